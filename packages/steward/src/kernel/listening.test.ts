import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ESRCH, openDatagrams } from './kernel.ts';
import {
  EADDRINUSE,
  listensOn,
  openListener,
  receiveDescriptor,
  type SocketAddress,
  sendDescriptor,
  setBacklog,
  setBlocking,
  takeListener,
} from './listening.ts';
import { listenersAt } from './process-table.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-listening-'));
after(() => rmSync(folder, { recursive: true }));

/** A port that nothing listens on, and that no other test of this file uses. */
let nextPort = 20_000 + (process.pid % 10_000);
const port = (): number => nextPort++;

const connects = (to: { host: string; port: number } | { path: string }): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(to);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

test('a listener without a host takes IPv4 and IPv6 connections, and nobody else gets its port', async () => {
  const address: SocketAddress = { kind: 'tcp', port: port() };
  const fd = openListener(address, 16);
  assert.ok(fd > 0, `answered ${fd}`);
  assert.ok(await connects({ host: '127.0.0.1', port: address.port }));
  assert.ok(await connects({ host: '::1', port: address.port }));
  assert.equal(openListener(address, 16), -EADDRINUSE);
  assert.equal(openListener({ ...address, host: '127.0.0.1' }, 16), -EADDRINUSE);
  assert.ok(listensOn(fd, address));
  assert.deepEqual(
    listenersAt(address.port).map(({ pid }) => pid),
    [process.pid],
  );
  assert.deepEqual(listenersAt(port()), []);
  assert.ok(!listensOn(fd, { ...address, port: address.port + 1 }));
  assert.deepEqual([setBacklog(fd, 64), setBlocking(fd)], [0, 0]);
  closeSync(fd);
  assert.ok(!(await connects({ host: '127.0.0.1', port: address.port })));
});

test('a listener with a host takes connections there only; a host that is no address is refused', async () => {
  const address: SocketAddress = { kind: 'tcp', host: '127.0.0.1', port: port() };
  const fd = openListener(address, 16);
  assert.ok(await connects({ host: '127.0.0.1', port: address.port }));
  assert.ok(!(await connects({ host: '::1', port: address.port })));
  closeSync(fd);
  assert.ok(openListener({ ...address, host: 'localhost' }, 16) < 0);
});

test('a unix socket listens at its path', async () => {
  const path = join(folder, 'web.sock');
  const fd = openListener({ kind: 'unix', path }, 16);
  assert.ok(await connects({ path }));
  assert.ok(listensOn(fd, { kind: 'unix', path }));
  assert.deepEqual(
    listenersAt(path).map(({ pid }) => pid),
    [process.pid],
  );
  assert.equal(openListener({ kind: 'unix', path }, 16), -EADDRINUSE);
  closeSync(fd);
  assert.ok(!(await connects({ path })) && existsSync(path), 'the file stays, and nobody answers');
  assert.ok(openListener({ kind: 'unix', path: join(folder, 'x'.repeat(200)) }, 16) < 0);
});

test('a descriptor goes from one datagram socket to another, with its text', async () => {
  const to = openDatagrams(join(folder, 'to'));
  const address: SocketAddress = { kind: 'tcp', host: '127.0.0.1', port: port() };
  const fd = openListener(address, 16);
  assert.equal(receiveDescriptor(to), undefined);
  assert.equal(sendDescriptor(join(folder, 'to'), 'tcp 1', fd), 0);
  closeSync(fd);
  const received = receiveDescriptor(to);
  assert.equal(received?.text, 'tcp 1');
  assert.ok(listensOn(received?.fd as number, address), 'the socket lives on in its copy');
  assert.equal(receiveDescriptor(to), undefined);
  for (const one of [to, received?.fd as number]) closeSync(one);
  assert.ok(sendDescriptor(join(folder, 'nowhere'), '', 0) < 0);
});

test('a listener is taken back from a process that has it, and nothing else is', async () => {
  const address: SocketAddress = { kind: 'tcp', host: '127.0.0.1', port: port() };
  const fd = openListener(address, 16);
  const child = spawn('sleep', ['60'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
  await new Promise((done) => child.once('spawn', done));
  const pid = child.pid as number;
  closeSync(fd);
  assert.match(readlinkSync(`/proc/${pid}/fd/3`), /^socket:/);
  const again = takeListener(pid, 3, address);
  assert.ok(again > 0, `answered ${again}`);
  assert.ok(takeListener(pid, 3, { ...address, port: 1 }) < 0);
  assert.ok(takeListener(pid, 0, address) < 0, '/dev/null is no listener');
  child.kill('SIGKILL');
  await new Promise((done) => child.once('exit', done));
  assert.equal(takeListener(pid, 3, address), -ESRCH);
  assert.ok(await connects(address as { host: string; port: number }), 'the socket outlives the process');
  closeSync(again);
});
