import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom } from './mutate.ts';
import { quoteWord, splitWords } from './words.ts';

const wordsOf = (line: string): string[] => {
  const split = splitWords(line);
  assert.ok('words' in split, line);
  return split.words;
};

test('blanks of any kind and number part words', () => {
  assert.deepEqual(wordsOf('  node \t server.ts\n--port  80 '), ['node', 'server.ts', '--port', '80']);
  assert.deepEqual(wordsOf(' \n '), []);
});

test('quotes hold blanks, may stand inside a word, and may be empty', () => {
  assert.deepEqual(wordsOf(`say "two words" 'and three' --name="A B"'C D'`), ['say', 'two words', 'and three', '--name=A BC D']);
  assert.deepEqual(wordsOf(`a "" '' b`), ['a', '', '', 'b']);
});

test('a backslash takes the next letter as it is, inside double quotes only before " and \\', () => {
  assert.deepEqual(wordsOf(String.raw`a\ b \"c\" \\`), ['a b', '"c"', '\\']);
  assert.deepEqual(wordsOf(String.raw`"a\"b\\c\d"`), [String.raw`a"b\c\d`]);
  assert.deepEqual(wordsOf(String.raw`'a\'`), ['a\\']);
});

test('nothing is expanded: a dollar, a star and a hash are letters', () => {
  assert.deepEqual(wordsOf('echo $HOME *.ts #no comment; a|b && c'), ['echo', '$HOME', '*.ts', '#no', 'comment;', 'a|b', '&&', 'c']);
});

test('an open quote is told with the place where it opens', () => {
  assert.deepEqual(splitWords(`node 'a "b`), { mistake: 'has an open single quote', offset: 5 });
  assert.deepEqual(splitWords(`node "a 'b\\"`), { mistake: 'has an open double quote', offset: 5 });
});

test('a backslash at the end is told', () => {
  assert.deepEqual(splitWords('node \\'), { mistake: 'ends with a backslash', offset: 5 });
});

test('a quoted word is read back as it was', () => {
  const random = createRandom(7);
  const letters = [...'ab \t\n\'"\\$*#;|&~é中{}'];
  for (let n = 0; n < 2000; n++) {
    const words = Array.from({ length: 1 + Math.floor(random() * 4) }, () =>
      Array.from({ length: Math.floor(random() * 8) }, () => letters[Math.floor(random() * letters.length)]).join(''),
    );
    assert.deepEqual(wordsOf(words.map(quoteWord).join(' ')), words);
  }
});

test('a word of plain letters needs no quotes', () => {
  assert.equal(quoteWord('--listen=127.0.0.1:80'), '--listen=127.0.0.1:80');
  assert.equal(quoteWord("it's"), `'it'\\''s'`);
});
