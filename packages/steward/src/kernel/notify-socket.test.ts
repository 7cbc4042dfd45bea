import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EINVAL, openDatagrams, receiveDatagram } from './kernel.ts';
import { sendToSocket } from './notify-socket.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-notify-'));
after(() => rmSync(folder, { recursive: true }));

test('a message arrives whole, and each as its own', () => {
  const path = join(folder, 'socket');
  const fd = openDatagrams(path);
  assert.equal(sendToSocket(path, 'READY=1\nSTATUS=größer'), 0);
  assert.equal(sendToSocket(path, 'WATCHDOG=1'), 0);
  assert.equal(receiveDatagram(fd), 'READY=1\nSTATUS=größer');
  assert.equal(receiveDatagram(fd), 'WATCHDOG=1');
  assert.equal(receiveDatagram(fd), undefined);
  closeSync(fd);
});

test('nobody who listens, and an address that is none, are answered by an error', () => {
  const ECONNREFUSED = 111;
  const ENOENT = 2;
  assert.equal(sendToSocket(join(folder, 'nothing'), 'x'), -ENOENT);
  assert.equal(sendToSocket(join(folder, 'socket'), 'x'), -ECONNREFUSED);
  assert.equal(sendToSocket('@steward-nobody-listens-here', 'x'), -ECONNREFUSED);
  assert.equal(sendToSocket('relative', 'x'), -EINVAL);
  assert.equal(sendToSocket(`/${'x'.repeat(200)}`, 'x'), -EINVAL);
});
