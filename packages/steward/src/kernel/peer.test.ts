import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { peerOf } from './peer.ts';

async function accepted(
  listen: (server: ReturnType<typeof createServer>) => void,
  dial: (server: ReturnType<typeof createServer>) => Socket,
) {
  const server = createServer();
  listen(server);
  await new Promise((resolve) => server.once('listening', resolve));
  const peer = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = dial(server);
  const found = peerOf(await peer);
  client.destroy();
  server.close();
  return found;
}

test('who connects to a unix socket is known by pid and user, who connects by TCP is not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'steward-peer-'));
  const path = join(folder, 's');
  const own = await accepted(
    (server) => server.listen(path),
    () => connect(path),
  );
  assert.deepEqual(own, { pid: process.pid, uid: process.getuid?.() });
  const other = await accepted(
    (server) => server.listen(0, '127.0.0.1'),
    (server) => connect((server.address() as { port: number }).port, '127.0.0.1'),
  );
  assert.equal(other, undefined);
  rmSync(folder, { recursive: true });
});
