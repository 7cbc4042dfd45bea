import assert from 'node:assert/strict';
import { test } from 'node:test';
import { splitPairs, splitWords } from './words.ts';

const read = (text: string, letters: readonly number[]): string => letters.map((index) => text[index]).join('');

function words(text: string): string[] | string {
  const found = splitWords(text);
  return 'slip' in found ? `${found.slip.at}: ${found.slip.message}` : found.value.map((letters) => read(text, letters));
}

function pairs(text: string): Record<string, string> | string {
  const found = splitPairs(text);
  return 'slip' in found
    ? `${found.slip.at}: ${found.slip.message}`
    : Object.fromEntries(found.value.map(({ name, value }) => [read(text, name), read(text, value)]));
}

test('a command is split as a POSIX shell would, without comments or substitution', () => {
  assert.deepEqual(words('a  b\tc\nd'), ['a', 'b', 'c', 'd']);
  assert.deepEqual(words(`sh -c 'a "b" \\n' "x \\" \\\\ \\y" z\\ z "" #n $HOME`), [
    'sh',
    '-c',
    'a "b" \\n',
    'x " \\ \\y',
    'z z',
    '',
    '#n',
    '$HOME',
  ]);
  assert.deepEqual(words(`a"b"'c'd`), ['abcd']);
  assert.deepEqual(words('  '), []);
});

test('an open quote is reported where it opens, and a lone backslash where it stands', () => {
  assert.equal(words('a "b c'), '2: the quote " is never closed');
  assert.equal(words(`a 'b" c`), "2: the quote ' is never closed");
  assert.equal(words('a \\'), '2: nothing follows the backslash at the end');
});

test('environment is read as pairs with commas between, over several lines', () => {
  assert.deepEqual(pairs('A="1",B=\'2,3\',\n  C=/x.y+z-(w):v,'), { A: '1', B: '2,3', C: '/x.y+z-(w):v' });
  assert.deepEqual(pairs('A="",B=""'), { A: '', B: '' });
  assert.deepEqual(pairs(''), {});
});

test('any single token may stand where a comma belongs, as in supervisord', () => {
  assert.deepEqual(pairs('A=1;B=2'), { A: '1', B: '2' });
});

test('a hash skips to the end of the line without ending a word, as in the older lexer of shlex', () => {
  assert.deepEqual(pairs('A=1#x\n2,B=3'), { A: '12', B: '3' });
});

test('values that need quotes are reported at the character that needs them', () => {
  assert.equal(pairs('A=me@home'), '4: "@" follows the value of A where a comma belongs');
  assert.equal(pairs('A'), '0: "A" has no value');
  assert.equal(pairs('A=1,B 2'), '6: "2" follows "B" where "=" belongs');
  assert.equal(pairs('A="b'), '2: the quote " is never closed');
});
