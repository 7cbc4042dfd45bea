/** For tests of protocols: upstreams that record the exact bytes they get, and clients that send any. */
import net, { type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import type { Address } from '../config/model.ts';

/** Length of the request that `text` begins with, read leniently; -1 while it is not complete. */
function requestLength(text: string): number {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return -1;
  const head = text.slice(0, end + 2).toLowerCase();
  const counted = /\r\ncontent-length: (\d+)\r\n/.exec(head)?.[1];
  if (head.includes('\r\ntransfer-encoding: chunked\r\n')) {
    const last = /\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n/g;
    last.lastIndex = end + 2;
    const found = last.exec(text);
    return found === null ? -1 : last.lastIndex;
  }
  const length = end + 4 + Number(counted ?? 0);
  return text.length < length ? -1 : length;
}

export interface RawUpstream {
  readonly address: Address;
  /** Whole requests, as they came. */
  readonly requests: string[];
  /** All bytes of all connections. */
  readonly received: () => string;
  readonly open: ReadonlySet<Socket>;
  readonly connections: () => number;
}

export const okAnswer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** A server that answers each whole request with `answer`: a text, or whatever it does with the socket. */
export async function startRawUpstream(
  t: TestContext,
  answer: string | ((socket: Socket, request: string) => void) = okAnswer,
  onBytes: (socket: Socket, all: string) => void = () => {},
): Promise<RawUpstream> {
  const requests: string[] = [];
  const open = new Set<Socket>();
  let received = '';
  let connections = 0;
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    let text = '';
    connections++;
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => {});
    socket.on('end', () => socket.end());
    socket.setEncoding('latin1').on('data', (part) => {
      received += String(part);
      text += String(part);
      onBytes(socket, text);
      for (let length = requestLength(text); length > 0; length = requestLength(text)) {
        const request = text.slice(0, length);
        text = text.slice(length);
        requests.push(request);
        if (typeof answer === 'string') socket.write(answer, 'latin1');
        else answer(socket, request);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const { port } = server.address() as net.AddressInfo;
  return { address: { kind: 'tcp', host: '127.0.0.1', port }, requests, received: () => received, open, connections: () => connections };
}

export interface RawClient {
  readonly socket: Socket;
  readonly received: () => string;
  readonly send: (text: string) => void;
  readonly ended: () => boolean;
  readonly closed: Promise<void>;
}

/** A connection to a port of 127.0.0.1 that stays open until the other side ends it. */
export async function connectRaw(t: TestContext, port: number): Promise<RawClient> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  t.after(() => socket.destroy());
  let received = '';
  let ended = false;
  socket.setEncoding('latin1').on('data', (part) => {
    received += String(part);
  });
  socket.on('error', () => {});
  socket.on('end', () => {
    ended = true;
  });
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  return { socket, received: () => received, send: (text) => void socket.write(text, 'latin1'), ended: () => ended, closed };
}

/** The statuses of the answers in `text`, which are all counted or have no body, in order. */
export const statusesOf = (text: string): number[] =>
  [...text.matchAll(/(?:^|\n|ok|\.)HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
