import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ageMs, ticksSinceBoot } from './age.ts';
import { lockFile } from './kernel.ts';
import { lockHolder } from './locks.ts';
import { startTimeOf } from './process-table.ts';

test('a process is as old as the time since its start, and one of the future is new', async () => {
  const began = performance.now();
  const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
  await new Promise((resolve) => child.once('spawn', resolve));
  const start = startTimeOf(child.pid as number) as number;
  const first = ageMs({ start });
  assert.ok(first <= performance.now() - began + 50, `${first} ms`);
  while (ageMs({ start }) < first + 30) await new Promise((resolve) => setTimeout(resolve, 10));
  child.kill('SIGKILL');
  assert.equal(ageMs({ start: ticksSinceBoot() + 1000 }), 0);
});

test('the holder of a lock is named while it holds it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'steward-locks-'));
  const file = join(folder, 'lock');
  assert.equal(lockHolder(file), undefined);
  const fd = openSync(file, 'w');
  assert.equal(lockHolder(file), undefined);
  assert.ok(lockFile(fd));
  assert.equal(lockHolder(file), process.pid);
  closeSync(fd);
  assert.equal(lockHolder(file), undefined);
  rmSync(folder, { recursive: true });
});
