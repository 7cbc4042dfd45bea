import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commentStart, hasComment, parseIni, placeIn, valuePlace } from './ini.ts';

const optionsOf = (text: string): Record<string, string> =>
  Object.fromEntries(
    parseIni({ file: 'x.conf', text }).sections.flatMap(({ options }) => options.map(({ key, text: value }) => [key, value])),
  );

test('a comment starts at ; or # after white space, even inside quotes', () => {
  assert.equal(commentStart('a="b ;c"'), 5);
  assert.equal(commentStart('a=b # c'), 4);
  assert.equal(commentStart('a=b;c#d'), undefined);
  assert.equal(commentStart('  ; all of it'), 0);
});

test('the first round of comment signs that hits decides, as in RawConfigParser', () => {
  // In the first round `;` is attached and ` #` is a comment: the ` ;` between them survives.
  assert.equal(commentStart('a=x;y ;z #w'), 9);
  assert.equal(commentStart('a=x;y ;z'), 6);
});

test('= and : both end a key, whichever comes first, and keys are lowercased', () => {
  assert.deepEqual(optionsOf('[s]\nA = 1\nb: 2=3\nC=x:y\n'), { a: '1', b: '2=3', c: 'x:y' });
});

test('a deeper line continues a value, and empty lines inside it stay', () => {
  assert.deepEqual(optionsOf('[s]\na=1\n  2\n\n ; comment\n\t3\n\nb=4'), { a: '1\n2\n\n3', b: '4' });
});

test('a line as deep as its option starts a new option', () => {
  assert.deepEqual(optionsOf('[s]\n  a=1\n  b=2\n    c=3\n'), { a: '1', b: '2\nc=3' });
});

test('all line endings and a byte order mark are accepted', () => {
  assert.deepEqual(optionsOf('\uFEFF[s]\r\na=1\rb=2\nc=3'), { a: '1', b: '2', c: '3' });
});

test('every character of a value knows its line and column', () => {
  const option = parseIni({ file: 'x.conf', text: '[s]\n  key =  one two ; c\n\t  three' }).sections[0]?.options[0];
  assert.ok(option);
  assert.deepEqual(option.keyAt, { file: 'x.conf', line: 2, column: 3, length: 3 });
  assert.deepEqual(valuePlace(option), { file: 'x.conf', line: 2, column: 10, length: 7 });
  assert.deepEqual(placeIn(option, 4, 3), { file: 'x.conf', line: 2, column: 14, length: 3 });
  assert.deepEqual(placeIn(option, 8, 5), { file: 'x.conf', line: 3, column: 4, length: 5 });
  assert.ok(hasComment(option));
});

test('an option without a value is placed at its key, one whose value starts below at that line', () => {
  const [empty, below] = parseIni({ file: 'x.conf', text: '[s]\nempty =\nbelow =\n  value' }).sections[0]?.options ?? [];
  assert.ok(empty && below);
  assert.deepEqual(valuePlace(empty), { file: 'x.conf', line: 2, column: 1, length: 5 });
  assert.deepEqual(valuePlace(below), { file: 'x.conf', line: 4, column: 3, length: 5 });
});
