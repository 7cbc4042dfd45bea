import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { mapSharedMemory } from './shared-memory.ts';

const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'steward-shared-'));
after(() => rmSync(folder, { recursive: true }));

const adder = (path: string) => `
  import { mapSharedMemory } from ${JSON.stringify(new URL('./shared-memory.ts', import.meta.url).href)};
  const words = new Int32Array(mapSharedMemory(${JSON.stringify(path)}, 8192));
  Atomics.add(words, 0, 1);
  for (const end = Date.now() + 10_000; Atomics.load(words, 0) < 2 && Date.now() < end; );
  for (let n = 0; n < 1_000_000; n++) Atomics.add(words, 1, 1);
`;

test('two processes add to one word at the same time and lose nothing', async () => {
  const path = join(folder, 'adds');
  const words = new Int32Array(mapSharedMemory(path, 8192));
  const run = () => spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', adder(path)], { stdio: 'inherit' });
  const codes = await Promise.all([run(), run()].map(async (child) => (await once(child, 'exit'))[0]));
  assert.deepEqual(codes, [0, 0]);
  assert.equal(Atomics.load(words, 1), 2_000_000);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('what was written is there when the file is mapped again', () => {
  const path = join(folder, 'again');
  new Int32Array(mapSharedMemory(path, 4096))[7] = 42;
  assert.equal(new Int32Array(mapSharedMemory(path, 4096))[7], 42);
});

test('a link, a folder, too much and a file of somebody else are refused', () => {
  const target = join(folder, 'target');
  writeFileSync(target, '');
  symlinkSync(target, join(folder, 'link'));
  assert.throws(() => mapSharedMemory(join(folder, 'link'), 4096), /ELOOP/);
  assert.throws(() => mapSharedMemory(folder, 4096), /EISDIR/);
  assert.throws(() => mapSharedMemory(join(folder, 'huge'), 2 ** 52), /no room|errno/);
  if (process.geteuid?.() !== 0) return;
  chownSync(target, 1, 1);
  chmodSync(target, 0o666);
  assert.throws(() => mapSharedMemory(target, 4096), /another user/);
});
