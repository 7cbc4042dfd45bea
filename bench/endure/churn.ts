/**
 * Clients that wrk cannot be: they leave in the middle of an answer, in the middle of a body, in the middle of a head; they open websockets and
 * cut them off, or close them properly; they send what is no HTTP. One after another, so many at once. Arguments: PORT CLIENTS. Ends on SIGTERM.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const port = Number(process.argv[2]);
const clients = Number(process.argv[3]);
const host = `Host: 127.0.0.1:${port}\r\n`;

async function open(head: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(head);
  await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {});
  return socket;
}

const upgrade = (): string =>
  `GET /socket HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`;

/** A masked text of four bytes, and a masked close: the mask is zeros. */
const [text, goodbye] = [Buffer.from([0x81, 0x84, 0, 0, 0, 0, 116, 101, 120, 116]), Buffer.from([0x88, 0x80, 0, 0, 0, 0])];

const habits: readonly (() => Promise<void>)[] = [
  async () => void (await open(`GET /download?bytes=10000000 HTTP/1.1\r\n${host}\r\n`)).destroy(),
  async () => void (await open(`GET /files/large.bin HTTP/1.1\r\n${host}\r\n`)).resetAndDestroy(),
  async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(`POST /post HTTP/1.1\r\n${host}Content-Length: 100000\r\n\r\n${'x'.repeat(50_000)}`, () => socket.destroy());
    await once(socket, 'close');
  },
  async () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: cut-', () => socket.destroy());
    await once(socket, 'close');
  },
  async () => {
    const socket = await open(upgrade());
    socket.write(text);
    await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => {});
    socket.end(goodbye);
    socket.resume();
    await once(socket, 'close').catch(() => {});
  },
  async () => void (await open(upgrade())).destroy(),
  async () => void (await open('this is no HTTP\r\n\r\n')).destroy(),
];

async function client(first: number): Promise<void> {
  for (let turn = first; ; turn++) await habits[turn % habits.length]?.();
}

for (let number = 0; number < clients; number++) void client(number);
