import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { Fault, type FaultName } from './faults.ts';
import { existing, followFile, mostBytes, readBytes, replaceFile, tailBytes } from './log-file.ts';

function fileWith(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'steward-log-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'web.log');
  writeFileSync(file, text);
  return file;
}

const refuses = (work: () => unknown, fault: FaultName): void =>
  assert.throws(work, (error) => error instanceof Fault && error.fault === fault);

test('bytes are read from the front or from the end', (t) => {
  const file = fileWith(t, '0123456789');
  const cases: [offset: number, length: number, expected: string][] = [
    [0, 0, '0123456789'],
    [3, 0, '3456789'],
    [3, 2, '34'],
    [8, 100, '89'],
    [50, 0, ''],
    [-3, 0, '789'],
    [-50, 0, '0123456789'],
  ];
  for (const [offset, length, expected] of cases) assert.equal(readBytes(file, offset, length), expected, `${offset}, ${length}`);
  refuses(() => readBytes(file, -3, 2), 'BAD_ARGUMENTS');
  refuses(() => readBytes(file, 0, -1), 'BAD_ARGUMENTS');
  refuses(() => readBytes(`${file}.none`, 0, 0), 'FAILED');
  refuses(() => existing(`${file}.none`), 'NO_FILE');
  refuses(() => existing(undefined), 'NO_FILE');
});

test('a log of any size is read in pieces of a bounded size', (t) => {
  const file = fileWith(t, '');
  truncateSync(file, 3 * mostBytes);
  appendFileSync(file, 'end');
  assert.equal(readBytes(file, 0, 0).length, mostBytes);
  assert.equal(readBytes(file, 5, 2 ** 40).length, mostBytes);
  const last = readBytes(file, -(2 ** 40), 0);
  assert.deepEqual([last.length, last.endsWith('end')], [mostBytes, true]);
  assert.equal(tailBytes(file, 0, 2 ** 40)[0].length, mostBytes);
});

test('who tails gets what fits, where to go on, and whether there was more', (t) => {
  const file = fileWith(t, '0123456789');
  assert.deepEqual(tailBytes(file, 0, 4), ['6789', 10, true]);
  assert.deepEqual(tailBytes(file, 4, 100), ['0123456789', 10, false]);
  assert.deepEqual(tailBytes(file, 10, 5), ['', 10, false]);
  assert.deepEqual(tailBytes(`${file}.none`, 3, 5), ['', 0, false]);
});

test('a log that is cleared is another, empty file', (t) => {
  const file = fileWith(t, 'old');
  const before = statSync(file).ino;
  const kept = `${file}.kept`;
  renameSync(file, kept);
  replaceFile(file);
  assert.equal(statSync(file, { throwIfNoEntry: false }), undefined, 'what is not there is not made');
  renameSync(kept, file);
  replaceFile(file);
  assert.equal(readFileSync(file, 'utf8'), '');
  assert.ok(before > 0);
});

test('a follower gets the end of the log, what is added, and what comes after it was rotated or emptied', async (t) => {
  const file = fileWith(t, 'long ago, now');
  const controller = new AbortController();
  const bytes = followFile(file, 3, controller.signal);
  const next = async (): Promise<string> => String((await bytes.next()).value);
  assert.equal(await next(), 'now');
  appendFileSync(file, ' more');
  assert.equal(await next(), ' more');
  renameSync(file, `${file}.1`);
  writeFileSync(file, 'after rotation');
  assert.equal(await next(), 'after rotation');
  truncateSync(file, 0);
  assert.match(await next(), /truncated/);
  appendFileSync(file, 'anew');
  assert.equal(await next(), 'anew');
  controller.abort();
  assert.equal((await bytes.next()).done, true);
});
