/** Answers everything with 100 MB from memory, on a port and on unix sockets. Arguments: PORT SOCKET... */
import { chmodSync } from 'node:fs';
import { createServer } from 'node:http';
import { downloadBytes } from '../download-size.ts';

const piece = Buffer.alloc(2 ** 20, 'x');
const [port, ...sockets] = process.argv.slice(2);

const server = () =>
  createServer({ keepAliveTimeout: 600_000 }, (_request, response) => {
    let left = downloadBytes;
    const go = (): void => {
      while (left > 0) {
        const bytes = Math.min(left, piece.length);
        left -= bytes;
        if (!response.write(piece.subarray(0, bytes))) return void response.once('drain', go);
      }
      response.end();
    };
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': left });
    go();
  });

server().listen(Number(port), '127.0.0.1');
for (const socket of sockets) server().listen(socket, () => chmodSync(socket, 0o666));
