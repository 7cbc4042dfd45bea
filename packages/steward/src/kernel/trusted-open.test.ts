import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  constants,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { openTrusted, trustedPath } from './trusted-open.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-trusted-'));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]): string => join(folder, ...names);
const stranger = 65534;
const flags = constants.O_RDWR | constants.O_CREAT;
const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root' };

mkdirSync(at('real'));
writeFileSync(at('real', 'precious'), 'precious');

function append(path: string): void {
  const fd = openTrusted(path, flags, 0o644);
  writeSync(fd, 'x', 0);
  closeSync(fd);
}

test("files and folders, and links of root or one's own, are opened as ever", () => {
  symlinkSync(at('real'), at('own-folder'));
  symlinkSync('real/app.log', at('own.log'));
  for (const path of [at('real', 'a.log'), at('own-folder', 'b.log'), at('own.log'), at('real', '..', 'real', 'c.log')]) append(path);
  for (const name of ['a.log', 'b.log', 'app.log', 'c.log']) assert.equal(readFileSync(at('real', name), 'utf8'), 'x');
  append('/dev/null');
  assert.equal(trustedPath(at('own-folder', 'none', 'x')), at('real', 'none', 'x'));
});

test('a link of another user in the place of a log, or of a folder on the way, is not followed', needsRoot, () => {
  symlinkSync(at('real', 'precious'), at('planted.log'));
  symlinkSync(at('real'), at('planted-folder'));
  for (const name of ['planted.log', 'planted-folder']) lchownSync(at(name), stranger, stranger);
  assert.throws(() => append(at('planted.log')), { code: 'EPERM', message: /planted\.log is a link that user 65534 made/ });
  assert.throws(() => append(at('planted-folder', 'precious')), { code: 'EPERM' });
  assert.equal(readFileSync(at('real', 'precious'), 'utf8'), 'precious');
});

test('links that lead in a circle end in words', () => {
  symlinkSync(at('b'), at('a'));
  symlinkSync(at('a'), at('b'));
  assert.throws(() => append(at('a')), { code: 'ELOOP' });
});

test('whoever changes file and link again and again while it is opened gets nothing written elsewhere', needsRoot, async () => {
  mkdirSync(at('race'));
  const script = `
    const { lchownSync, renameSync, rmSync, symlinkSync, writeFileSync } = require('node:fs');
    const { workerData } = require('node:worker_threads');
    const { log, victim, stop } = workerData;
    for (let n = 0; !Atomics.load(stop, 0); n++) {
      try {
        symlinkSync(victim, log + '.l'); lchownSync(log + '.l', ${stranger}, ${stranger}); renameSync(log + '.l', log);
        writeFileSync(log + '.f', ''); renameSync(log + '.f', log);
      } catch {}
    }`;
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(script, { eval: true, workerData: { log: at('race', 'app.log'), victim: at('real', 'precious'), stop } });
  await new Promise((resolve) => worker.once('online', resolve));
  let opened = 0;
  let refused = 0;
  for (const end = Date.now() + 1500; Date.now() < end; )
    try {
      append(at('race', 'app.log'));
      opened += 1;
    } catch (error) {
      assert.match(String((error as NodeJS.ErrnoException).code), /^(EPERM|ENOENT)$/);
      refused += 1;
    }
  Atomics.store(stop, 0, 1);
  await worker.terminate();
  assert.ok(opened > 0 && refused > 0, `${opened} opened, ${refused} refused`);
  assert.equal(readFileSync(at('real', 'precious'), 'utf8'), 'precious');
});
