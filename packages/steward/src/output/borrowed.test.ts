import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { listensOn, type SocketAddress } from '../kernel/listening.ts';
import { createOutput, type HeldSocket, type Output } from './output.ts';

interface Bench {
  readonly folder: string;
  /** An output in the folder; the last one ends after the test, and its keeper with it. */
  start(): Output;
}

function newBench(t: TestContext): Bench {
  const folder = mkdtempSync(join(tmpdir(), 'steward-borrowed-'));
  let last: Output | undefined;
  t.after(async () => {
    await last?.stop('stop');
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    folder,
    start() {
      last = createOutput({
        folder,
        notifyFolder: join(folder, 'notify'),
        onGrowth: () => {},
        onDeath: () => {},
        onNotify: () => {},
        onTrouble: () => {},
      });
      return last;
    },
  };
}

const socketAt = (path: string): HeldSocket => ({ name: `unix ${path}`, address: { kind: 'unix', path }, backlog: 16 });

const connects = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

const keeperPid = (folder: string): number | undefined =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`keeper.ts\0${folder}\0`);
      } catch {
        return false;
      }
    });

test('a borrowed socket lives on in the keeper, and the next daemon gets the same one', async (t) => {
  const { folder, start } = newBench(t);
  const socket = socketAt(join(folder, 's'));
  const first = start();
  const fd = await first.borrow(socket, []);
  assert.ok(listensOn(fd, socket.address));
  assert.equal(await first.borrow(socket, []), fd, 'who asks twice gets the same descriptor');
  await first.stop('leave');
  assert.ok(await connects(join(folder, 's')), 'nobody but the keeper has it now');
  const second = start();
  assert.ok(listensOn(await second.borrow(socket, []), socket.address));
  await second.hold([]);
  assert.equal(second.borrowed(socket.name), undefined);
  assert.ok(!(await connects(join(folder, 's'))), 'let go by both');
});

test('what the keeper answers to an earlier daemon is not taken for an answer', async (t) => {
  const { folder, start } = newBench(t);
  const socket = socketAt(join(folder, 's'));
  const output = start();
  await output.borrow(socketAt(join(folder, 'first')), []);
  const late = { lend: { request: 'of an earlier daemon', socket, from: [], to: join(folder, 'a mailbox that is gone') } };
  writeFileSync(join(folder, 'keeper.in'), `${JSON.stringify(late)}\n`);
  assert.ok(listensOn(await output.borrow(socket, []), socket.address));
});

test('a keeper that is killed is followed by one that has the socket', async (t) => {
  const { folder, start } = newBench(t);
  const first = start();
  await first.borrow(socketAt(join(folder, 's')), []);
  const killed = keeperPid(folder) as number;
  process.kill(killed, 'SIGKILL');
  for (let pid = keeperPid(folder); pid === undefined || pid === killed; pid = keeperPid(folder)) await wait(10);
  await first.settle();
  await first.stop('leave');
  assert.ok(await connects(join(folder, 's')));
  await start().hold([]);
  assert.ok(!(await connects(join(folder, 's'))), 'what an earlier daemon borrowed and nobody wants is let go');
});

test('forty sockets asked for at once all come', async (t) => {
  const { folder, start } = newBench(t);
  const output = start();
  const sockets = Array.from({ length: 40 }, (_, index) => socketAt(join(folder, String(index))));
  const found = await Promise.all(sockets.map((socket) => output.borrow(socket, [])));
  assert.ok(found.every((fd, index) => listensOn(fd, sockets[index]?.address as SocketAddress)));
});

test('an address that is taken is told by its code, and one that is let go meanwhile is not waited for', async (t) => {
  const [{ folder, start }, other] = [newBench(t), newBench(t)];
  const output = start();
  const socket = socketAt(join(folder, 's'));
  await output.borrow(socket, []);
  await assert.rejects(other.start().borrow(socket, []), { code: 'EADDRINUSE' });
  const asked = assert.rejects(output.borrow(socketAt(join(folder, 'late')), []), { code: 'ECANCELED' });
  await output.hold([socket.name]);
  await asked;
  assert.ok(!(await connects(join(folder, 'late'))));
});
