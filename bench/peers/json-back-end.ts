/**
 * The program behind the gateways: answers a small JSON on each of its arguments: a port of 127.0.0.1, the path of a unix socket,
 * or fd:3, a listening socket that was handed to it. Several processes may share a port.
 */
import { chmodSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';

const body = JSON.stringify({ id: 4711, name: 'Ada Lovelace', mail: 'ada@example.com', roles: ['admin', 'editor'], active: true });
const head = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
const answer: RequestListener = (_request, response) => void response.writeHead(200, head).end(body);

// Gateways wait for their turn longer than Node's 5 s; what they keep open stays open.
const server = () => createServer({ keepAliveTimeout: 600_000 }, answer);

/** As many as the kernel lets wait: thousands of clients may come at the same moment, and over a full unix socket connect() fails at once. */
const backlog = 4_096;

for (const place of process.argv.slice(2)) {
  if (place.startsWith('fd:')) server().listen({ fd: Number(place.slice(3)), backlog });
  else if (place.startsWith('/')) server().listen(place, backlog, () => chmodSync(place, 0o666));
  else server().listen({ port: Number(place), host: '127.0.0.1', reusePort: true, backlog });
}
