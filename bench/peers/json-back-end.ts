/** The program behind the gateways: answers a small JSON on a port and on unix sockets. Arguments: PORT SOCKET... */
import { chmodSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';

const [port, ...sockets] = process.argv.slice(2);
const body = JSON.stringify({ id: 4711, name: 'Ada Lovelace', mail: 'ada@example.com', roles: ['admin', 'editor'], active: true });
const head = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
const answer: RequestListener = (_request, response) => void response.writeHead(200, head).end(body);

// Gateways wait for their turn longer than Node's 5 s; what they keep open stays open.
const server = () => createServer({ keepAliveTimeout: 600_000 }, answer);

server().listen(Number(port), '127.0.0.1');
for (const socket of sockets) server().listen(socket, () => chmodSync(socket, 0o666));
