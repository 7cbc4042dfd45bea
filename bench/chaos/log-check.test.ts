import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRuns, checkStream, lineOf } from './log-check.ts';

const [one, two] = ['0123456789ab', 'ba9876543210'];
const lines = (run: string, from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, index) => lineOf('w', run, from + index)).join('');
const note = (bytes: number): string => `[steward] ${bytes} bytes of output are missing here: the log could not be written\n`;

test('a whole log is right, and one that ends early is not', () => {
  assert.deepEqual(checkStream(lines(one, 1, 5), 5), { lines: 5, missingBytes: 0, broken: [] });
  assert.match(checkStream(lines(one, 1, 5), 6).broken[0] ?? '', /ends after line 5, 6 were written/);
});

test('a line that is missing, doubled or torn is found', () => {
  for (const wrong of [
    lines(one, 1, 3) + lines(one, 5, 6),
    lines(one, 1, 3) + lines(one, 3, 6),
    lines(one, 1, 4).slice(0, -20) + lines(one, 5, 6),
  ])
    assert.equal(checkStream(wrong, 6).broken.length, 1, wrong);
});

test('a gap that is told is right, wherever it begins, when it is as long as it is told', () => {
  const whole = lines(one, 1, 9);
  const length = whole.length / 9;
  for (const from of [3 * length, 3 * length - 1, 3 * length + 7])
    for (const bytes of [length, 5, 2 * length + 3]) {
      const head = whole.slice(0, from);
      const text = `${head}${head.endsWith('\n') ? '' : '\n'}${note(bytes)}${whole.slice(from + bytes)}`;
      assert.deepEqual(checkStream(text, 9), { lines: 9, missingBytes: bytes, broken: [] }, `${bytes} bytes at ${from}`);
      // The line end before a note may be the note's own: a single byte cannot be told apart.
      assert.equal(checkStream(text.replace(`${bytes} bytes`, `${bytes + 2} bytes`), 9).broken.length, 1);
    }
});

test('runs follow each other, each from its first line on and up to what it knows it has written', () => {
  const text = lines(one, 1, 4) + lines(two, 1, 2);
  const known = new Map([
    [one, 4],
    [two, 2],
  ]);
  assert.deepEqual(checkRuns(text, known), { lines: 6, missingBytes: 0, broken: [] });
  assert.equal(checkRuns(text, new Map([[one, 5]])).broken.length, 1);
  assert.equal(checkRuns(lines(one, 1, 4) + lines(two, 2, 3), known).broken.length, 1);
  assert.equal(checkRuns(text + lines(one, 5, 5), known).broken.length > 0, true);
});

test('what is beside a note of missing bytes may be half a line', () => {
  const text = `${lines(one, 1, 4).slice(0, -9)}\n${note(30)}0012\n${lines(one, 6, 7)}${lines(two, 1, 1)}`;
  assert.deepEqual(checkRuns(text, new Map([[one, 7]])).broken, []);
});
