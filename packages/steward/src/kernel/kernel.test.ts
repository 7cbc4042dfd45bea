import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { copyPipe, createPoller, EAGAIN, EEXIST, ESRCH, growPipe, makePipe, moveToFile, openProcess, signalProcess } from './kernel.ts';
import { bootId, commandLineOf, environmentOf, isAlive, openFilesOf, processTable, startTimeOf } from './process-table.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-kernel-'));
after(() => rmSync(folder, { recursive: true }));

function openPipe(name: string): number {
  assert.equal(makePipe(join(folder, name), 0o600), 0);
  return openSync(join(folder, name), constants.O_RDWR | constants.O_NONBLOCK);
}

test('bytes move from a pipe into a file at the given offset', () => {
  const pipe = openPipe('move');
  const file = openSync(join(folder, 'moved'), 'w');
  writeSync(pipe, 'hello ');
  assert.equal(moveToFile(pipe, file, 0, 65536), 6);
  writeSync(pipe, 'world');
  assert.equal(moveToFile(pipe, file, 6, 3), 3);
  assert.equal(moveToFile(pipe, file, 9, 65536), 2);
  assert.equal(moveToFile(pipe, file, 11, 65536), -EAGAIN);
  assert.equal(readFileSync(join(folder, 'moved'), 'utf8'), 'hello world');
  closeSync(pipe);
  closeSync(file);
});

test('a full disk is told apart from an empty pipe, and the bytes stay in the pipe', () => {
  const pipe = openPipe('full');
  const file = openSync('/dev/full', 'w');
  writeSync(pipe, 'kept');
  const answer = moveToFile(pipe, file, 0, 65536);
  assert.ok(answer < 0 && answer !== -EAGAIN, `answered ${answer}`);
  const good = openSync(join(folder, 'good'), 'w');
  assert.equal(moveToFile(pipe, good, 0, 65536), 4);
  for (const fd of [pipe, file, good]) closeSync(fd);
});

test('copying a pipe leaves the bytes in it', () => {
  const [from, to] = [openPipe('from'), openPipe('to')];
  writeSync(from, 'twice');
  assert.equal(copyPipe(from, to, 65536), 5);
  const file = openSync(join(folder, 'copied'), 'w');
  assert.equal(moveToFile(from, file, 0, 65536), 5);
  assert.equal(moveToFile(to, file, 5, 65536), 5);
  for (const fd of [from, to, file]) closeSync(fd);
});

test('making a pipe where something is answers EEXIST, and a pipe grows', () => {
  const pipe = openPipe('grow');
  assert.equal(makePipe(join(folder, 'grow'), 0o600), -EEXIST);
  assert.ok(growPipe(pipe, 262144) >= 262144);
  closeSync(pipe);
});

test('the poller names readable pipes and dead processes, and nothing else', async () => {
  const poller = createPoller();
  const [quiet, busy] = [openPipe('quiet'), openPipe('busy')];
  poller.add(quiet);
  poller.add(busy);
  assert.deepEqual(poller.wait(0), []);
  writeSync(busy, 'x');
  assert.deepEqual(poller.wait(0), [busy]);
  poller.remove(busy);
  const child = spawn('sleep', ['60'], { env: { MARK: 'yes' } });
  await new Promise((done) => child.once('spawn', done));
  const pid = child.pid as number;
  const watched = openProcess(pid);
  poller.add(watched);
  assert.deepEqual(poller.wait(0), []);
  assert.equal(environmentOf(pid, 'MARK'), 'yes');
  const id = { pid, start: startTimeOf(pid) as number };
  assert.ok(isAlive(id));
  assert.ok(!isAlive({ pid, start: id.start - 1 }));
  child.kill('SIGKILL');
  assert.deepEqual(poller.wait(5000), [watched]);
  await new Promise((done) => child.once('exit', done));
  assert.ok(!isAlive(id));
  assert.equal(openProcess(pid), -ESRCH);
  for (const fd of [quiet, busy, watched]) closeSync(fd);
});

test('this process is in the process table with its usage', () => {
  assert.match(bootId(), /^[0-9a-f-]{36}$/);
  const row = processTable().find(({ pid }) => pid === process.pid);
  assert.ok(row !== undefined && row.memoryBytes > 10_000_000 && row.cpuSeconds > 0 && row.tasks > 1);
  assert.equal(row.parent, process.ppid);
  assert.equal(row.start, startTimeOf(process.pid));
  assert.ok((openFilesOf(process.pid) ?? 0) > 2);
  assert.match(commandLineOf(process.pid) ?? '', /node/);
});

test('a signal reaches the process behind a pidfd, and nobody once it is gone', async () => {
  const child = spawn('sleep', ['60']);
  await new Promise((done) => child.once('spawn', done));
  const pidfd = openProcess(child.pid as number);
  const end = new Promise((done) => child.once('exit', (_, signal) => done(signal)));
  assert.equal(signalProcess(pidfd, 15), 0);
  assert.equal(await end, 'SIGTERM');
  assert.equal(signalProcess(pidfd, 15), -ESRCH);
  closeSync(pidfd);
});
