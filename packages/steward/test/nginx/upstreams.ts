/** Real upstreams that remember what they got and answer what a request wants. */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { join } from 'node:path';
import type { Wanted } from './requests.ts';

/** What an upstream was sent. */
export interface Got {
  readonly server: string;
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

export interface Upstreams {
  /** Addresses by name, as nginx writes them: `a` and `b` on TCP, `c` and `d` on unix sockets, `e` with the certificate of one.example. */
  readonly addresses: Readonly<Record<string, string>>;
  /** What came since it was asked last. */
  take(): Got[];
  close(): void;
}

function wantedOf(request: IncomingMessage): Wanted {
  const text = request.headers['x-want'];
  try {
    return typeof text === 'string' ? (JSON.parse(text) as Wanted) : {};
  } catch {
    return {};
  }
}

function answer(name: string, request: IncomingMessage, response: ServerResponse): void {
  const all = wantedOf(request);
  const wanted = all.at === undefined || all.at === name ? all : {};
  if (wanted.drop === true) {
    request.socket.destroy();
    return;
  }
  const longs = wanted.long === undefined ? [] : [['X-Long', 'l'.repeat(wanted.long)] as const];
  const pairs = [...(wanted.headers ?? [['Content-Type', 'text/html'] as const]), ...longs];
  const body = wanted.body ?? `${name} says hello\n`;
  response.sendDate = false;
  const reply = (): void => {
    const status = wanted.status ?? 200;
    const length = status === 204 || status === 304 ? [] : ['Content-Length', String(Buffer.byteLength(body))];
    const isFramed = pairs.some(([key]) => /^(transfer-encoding|content-length)$/i.test(key));
    response.writeHead(status, [...pairs.flat(), ...(isFramed ? [] : length)]);
    if (wanted.half === true) {
      response.write(body.slice(0, body.length / 2), () => setTimeout(() => request.socket.destroy(), 30));
      return;
    }
    response.end(request.method === 'HEAD' || status === 204 || status === 304 ? undefined : body);
  };
  if (wanted.afterMs === undefined) reply();
  else setTimeout(reply, wanted.afterMs);
}

async function start(name: string, at: string | 0, got: Got[], pair?: { key: Buffer; cert: Buffer }): Promise<Server> {
  const options = { maxHeaderSize: 256 * 1024, insecureHTTPParser: true, requireHostHeader: false };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('error', () => {});
    request.on('end', () => {
      const flat = request.rawHeaders;
      const headers = Array.from(
        { length: flat.length / 2 },
        (_, n) => [(flat[2 * n] ?? '').toLowerCase(), flat[2 * n + 1] ?? ''] as const,
      );
      const body = Buffer.concat(parts).toString('latin1');
      got.push({ server: name, method: request.method ?? '', url: request.url ?? '', headers, body });
      answer(name, request, response);
    });
  };
  const server = pair === undefined ? createServer(options, listener) : createTlsServer({ ...options, ...pair }, listener);
  server.on('upgrade', (request, socket) => {
    const flat = request.rawHeaders;
    const headers = Array.from({ length: flat.length / 2 }, (_, n) => [(flat[2 * n] ?? '').toLowerCase(), flat[2 * n + 1] ?? ''] as const);
    got.push({ server: name, method: request.method ?? '', url: request.url ?? '', headers, body: '' });
    socket.on('error', () => {});
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nX-Server: ws\r\n\r\n',
    );
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => (at === 0 ? server.listen(0, '127.0.0.1', resolve) : server.listen(at, resolve)));
  return server;
}

/** Starts five upstreams; sockets are in `folder`, and certificates in its `tls`. */
export async function startUpstreams(folder: string): Promise<Upstreams> {
  const got: Got[] = [];
  const sockets = { c: join(folder, 'c.sock'), d: join(folder, 'd.sock') };
  const pemOf = (kind: 'key' | 'crt'): Buffer => readFileSync(join(folder, `tls/one.example.${kind}`));
  const [a, b, c, d, e] = await Promise.all([
    start('a', 0, got),
    start('b', 0, got),
    start('c', sockets.c, got),
    start('d', sockets.d, got),
    start('e', 0, got, { key: pemOf('key'), cert: pemOf('crt') }),
  ]);
  const tcp = (server: Server): string => `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    addresses: { a: tcp(a), b: tcp(b), c: `unix:${sockets.c}`, d: `unix:${sockets.d}`, e: tcp(e) },
    take: () => got.splice(0),
    close() {
      for (const server of [a, b, c, d, e]) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
}
