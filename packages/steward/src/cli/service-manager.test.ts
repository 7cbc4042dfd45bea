import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { openDatagrams, receiveDatagram } from '../kernel/kernel.ts';
import { findServiceManager } from './service-manager.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-manager-'));
after(() => rmSync(folder, { recursive: true }));

/** The next message; waits for it. */
async function next(fd: number): Promise<string> {
  for (let n = 0; n < 3000; n++) {
    const text = receiveDatagram(fd);
    if (text !== undefined) return text;
    await wait(10);
  }
  return assert.fail('no message came');
}

test('the manager is told what happens, and its variables reach no service', () => {
  const path = join(folder, 'told');
  const fd = openDatagrams(path);
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: path, OTHER: 'x' };
  const manager = findServiceManager(env);
  assert.deepEqual(env, { OTHER: 'x' });
  assert.deepEqual(manager.given, { NOTIFY_SOCKET: path });
  manager.ready('2 instances\nof nothing');
  manager.reloading();
  manager.stopping();
  assert.equal(receiveDatagram(fd), 'READY=1\nSTATUS=2 instances of nothing');
  assert.match(receiveDatagram(fd) ?? '', /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  assert.equal(receiveDatagram(fd), 'STOPPING=1');
  assert.equal(receiveDatagram(fd), undefined);
  manager.close();
  closeSync(fd);
});

test('signs of life come again and again, but only from the process that is watched', async () => {
  const path = join(folder, 'alive');
  const fd = openDatagrams(path);
  const other = findServiceManager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' });
  await wait(20);
  assert.equal(receiveDatagram(fd), undefined);
  other.close();
  const manager = findServiceManager({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '20000', WATCHDOG_PID: String(process.pid) });
  assert.equal(await next(fd), 'WATCHDOG=1');
  assert.equal(await next(fd), 'WATCHDOG=1');
  manager.close();
  closeSync(fd);
});

test('a manager that has no room is told later, in order', async () => {
  const path = join(folder, 'full');
  const fd = openDatagrams(path);
  const manager = findServiceManager({ NOTIFY_SOCKET: path });
  for (let n = 0; n < 15; n++) manager.ready(String(n));
  for (let n = 0; n < 15; n++) assert.equal(await next(fd), `READY=1\nSTATUS=${n}`);
  manager.close();
  closeSync(fd);
});

test('without a manager nothing is told', () => {
  const manager = findServiceManager({ PATH: '/bin' });
  manager.ready('');
  manager.stopping();
  assert.deepEqual(manager.given, {});
});
