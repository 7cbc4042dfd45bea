/** What others do to logs while programs write fast: remove, move, truncate, take rights away, fill the disk. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Trouble } from './output.ts';
import { afterwards, ended, keeperOf, newFolder, startOutput, until, write } from './testing.ts';

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
const numbersIn = (file: string): number[] => readFileSync(file, 'utf8').split('\n').slice(0, -1).map(Number);

/** Some megabytes a second. */
const counting = 'i=0; while :; do seq $((i * 1000 + 1)) $((i * 1000 + 1000)); i=$((i + 1)); done';

/** Whether numbers follow each other without a gap; the first may be the rest of one that began in another file. */
function assertSteady(numbers: readonly number[], what: string): void {
  for (let at = 2; at < numbers.length; at++)
    assert.equal(numbers[at], (numbers[at - 1] as number) + 1, `${what}: after ${numbers[at - 1]}`);
}

/** A program that counts into a log as fast as it can; `end` kills it, and resolves when all it wrote is in the log. */
async function startFlood(t: TestContext): Promise<{ folder: string; file: string; end: () => Promise<void> }> {
  const folder = newFolder(t);
  const output = startOutput(t, folder);
  const file = join(folder, 'x.log');
  output.open({ id: 'x', file, maxBytes: 0, keep: 0 });
  await output.settle();
  const child = write(output, 'x', counting);
  afterwards(t, () => child.kill('SIGKILL'));
  const end = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended(child);
    await output.settle();
  };
  return { folder, file, end };
}

test('a log that is moved again and again under a fast writer has each line once and whole', async (t) => {
  const { folder, file, end } = await startFlood(t);
  for (let n = 1; n <= 5; n++) {
    await until('lines', () => sizeOf(file) > 1_000_000);
    if (n === 3) chmodSync(file, 0);
    renameSync(file, join(folder, `moved.${n}`));
  }
  await until('lines', () => sizeOf(file) > 1_000_000);
  await end();
  const all = ['moved.1', 'moved.2', 'moved.3', 'moved.4', 'moved.5', 'x.log'].flatMap((name) => numbersIn(join(folder, name)));
  assert.equal(all[0], 1);
  assertSteady(all, 'all files');
});

test('after a log was deleted or truncated under a fast writer, no line that follows is missing', async (t) => {
  const { file, end } = await startFlood(t);
  for (const spoil of [() => rmSync(file), () => truncateSync(file, 0), () => rmSync(file)]) {
    await until('lines', () => sizeOf(file) > 1_000_000);
    spoil();
  }
  await until('lines', () => sizeOf(file) > 1_000_000);
  await end();
  assertSteady(numbersIn(file), 'what followed');
});

/** Resident memory in bytes. */
const memoryOf = (pid: number): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;

test('a full disk stops no program and makes nothing grow; what is missing is counted, and told in the log', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root, for a small file system');
  const folder = newFolder(t);
  const small = join(folder, 'small');
  mkdirSync(small);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'none', small]).status !== 0) return t.skip('mount(8) does not work here');
  afterwards(t, () => spawnSync('umount', ['-l', small]));
  const troubles: Trouble[] = [];
  const output = startOutput(t, folder, { onTrouble: (_id, trouble) => troubles.push(trouble) });
  const file = join(small, 'x.log');
  writeFileSync(join(small, 'others'), Buffer.alloc(2_000_000));
  output.open({ id: 'x', file, maxBytes: 1_000_000, keep: 1 });
  await output.settle();
  await ended(write(output, 'x', 'seq 1 200000'));
  await output.settle();
  writeFileSync(join(small, 'more'), Buffer.alloc(600_000));
  const keeper = keeperOf(folder);
  const before = memoryOf(keeper);
  const kept = numbersIn(file);
  assert.equal(await ended(write(output, 'x', 'seq 200001 9000000')), 0);
  await output.settle();
  assert.ok(
    troubles.some((trouble) => 'text' in trouble),
    JSON.stringify(troubles),
  );
  assert.ok(memoryOf(keeper) < before + 30_000_000, `${before} bytes became ${memoryOf(keeper)}`);
  const indexes = readdirSync(join(folder, 'io/index'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  assert.ok(indexes.every((entry) => statSync(join(entry.parentPath, entry.name)).size < 1_000_000));
  rmSync(join(small, 'others'));
  await ended(write(output, 'x', 'seq 9000001 9000100'));
  await output.settle();
  const recovered = troubles.find((trouble) => 'droppedBytes' in trouble);
  assert.ok(recovered !== undefined && 'droppedBytes' in recovered && recovered.droppedBytes > 1_000_000, JSON.stringify(troubles));
  const text = readdirSync(small)
    .filter((name) => name.startsWith('x.log'))
    .map((name) => readFileSync(join(small, name), 'utf8'))
    .join('');
  assert.match(text, /\[steward\] \d+ bytes of output are missing here/);
  assert.match(text, /\n9000100\n/);
  assert.ok(kept.length > 0);
});
