/**
 * The program behind the gateway in these trials, on each of its arguments: a unix socket, or a port of 127.0.0.1.
 *
 *   GET  /...                  a small JSON with its pid
 *   GET  /download?bytes=N     N bytes
 *   POST, PUT /...             the body is read, and counted: {"bytes": N}; the header x-id goes into the file $LEDGER
 *   upgrade: websocket         every message comes back
 */
import { createHash } from 'node:crypto';
import { appendFileSync, chmodSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

const ledger = process.env.LEDGER;
const piece = Buffer.alloc(64 * 1024, 'x');

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://back');
  if (request.method === 'POST' || request.method === 'PUT') return takeBody(request, response);
  if (url.pathname.endsWith('/download')) return sendBytes(response, Number(url.searchParams.get('bytes')));
  sendJson(response, { pid: process.pid, name: 'Ada Lovelace', mail: 'ada@example.com', roles: ['admin', 'editor'] });
}

function sendJson(response: ServerResponse, value: object): void {
  const body = JSON.stringify(value);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
}

function sendBytes(response: ServerResponse, bytes: number): void {
  let left = bytes;
  const go = (): void => {
    while (left > 0) {
      const size = Math.min(left, piece.length);
      left -= size;
      if (!response.write(piece.subarray(0, size))) return void response.once('drain', go);
    }
    response.end();
  };
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': bytes });
  go();
}

function takeBody(request: IncomingMessage, response: ServerResponse): void {
  const id = request.headers['x-id'];
  // Written before it is answered: what was done twice is in the ledger twice, whatever the client came to know.
  if (ledger !== undefined && id !== undefined) appendFileSync(ledger, `${id}\n`);
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on('end', () => sendJson(response, { bytes }));
}

const websocketKey = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

function acceptWebSocket(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const accept = createHash('sha1')
    .update(request.headers['sec-websocket-key'] + websocketKey)
    .digest('base64');
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
  let held = head;
  const take = (chunk: Buffer): void => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    for (let frame = firstFrame(held); frame !== undefined; frame = firstFrame(held)) {
      held = held.subarray(frame.length);
      if (frame.opcode === closing) return void socket.end(serverFrame(closing, frame.payload));
      socket.write(serverFrame(frame.opcode === ping ? pong : frame.opcode, frame.payload));
    }
  };
  socket.on('error', () => socket.destroy());
  socket.on('end', () => socket.end());
  socket.on('data', take);
  take(Buffer.alloc(0));
}

const [closing, ping, pong] = [8, 9, 10];

/** The first frame of what a client sent: masked, of up to 64 KB. */
function firstFrame(bytes: Buffer): { opcode: number; payload: Buffer; length: number } | undefined {
  if (bytes.length < 6) return undefined;
  const short = (bytes[1] ?? 0) & 0x7f;
  const extended = short === 126 ? 2 : 0;
  const size = extended === 0 ? short : bytes.readUInt16BE(2);
  const start = 2 + extended + 4;
  if (bytes.length < start + size) return undefined;
  const payload = Buffer.from(bytes.subarray(start, start + size));
  for (const [index, byte] of payload.entries()) payload[index] = byte ^ (bytes[start - 4 + (index % 4)] ?? 0);
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload, length: start + size };
}

const serverFrame = (opcode: number, payload: Buffer): Buffer =>
  Buffer.concat([
    payload.length < 126
      ? Buffer.from([0x80 | opcode, payload.length])
      : Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 0xff]),
    payload,
  ]);

for (const place of process.argv.slice(2)) {
  const server = createServer({ keepAliveTimeout: 600_000, requestTimeout: 0, connectionsCheckingInterval: 600_000 }, answer);
  server.on('upgrade', acceptWebSocket);
  if (place.startsWith('/')) server.listen(place, 4_096, () => chmodSync(place, 0o666));
  else server.listen(Number(place), '127.0.0.1');
}
