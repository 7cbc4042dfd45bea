/** After 101 (Switching Protocols): the two connections of a request joined, byte for byte, until one ends. */
import type { Socket } from 'node:net';
import type { ResponseHead } from '../connection/http1/head.ts';
import type { UpstreamConnection } from '../connection/http1/upstream-connection.ts';
import type { Exchange } from '../exchange.ts';

/** What one side sent last is given this long to reach the other after the end. */
const lastWordsMs = 1_000;

/**
 * Answers 101 with `headers` (flat) and joins client and upstream. `quietMs` of silence of the upstream ends both.
 * `onEnd` is called once, when both connections are gone.
 */
export function joinSockets(
  exchange: Exchange,
  connection: UpstreamConnection,
  head: ResponseHead,
  headers: readonly string[],
  quietMs: number,
  onEnd: () => void,
): void {
  const client = exchange.carrier.detach?.();
  const rest = connection.detach();
  const upstream = connection.socket;
  if (client === undefined) {
    upstream.destroy();
    return exchange.breakOff();
  }
  const { socket, ahead } = client;
  exchange.status = 101;
  exchange.begun = true;
  const protocol = head.upgrade ?? exchange.request.upgrade ?? '';
  let lines = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
  for (let at = 0; at < headers.length; at += 2) lines += `${headers[at]}: ${headers[at + 1]}\r\n`;
  socket.write(`${lines}\r\n`, 'latin1');
  const before = socket.bytesWritten;
  if (rest.length > 0) socket.write(rest);
  if (ahead.length > 0) upstream.write(ahead);
  let open = 2;
  const ended = (): void => {
    if (--open === 0) onEnd();
  };
  exchange.completed = true;
  // Before the connection ends its exchange, which logs them.
  socket.prependOnceListener('close', () => {
    exchange.bodyBytesSent = socket.bytesWritten - before;
  });
  join(upstream, socket, ended);
  join(socket, upstream, ended);
  upstream.setTimeout(quietMs, () => {
    upstream.destroy();
    socket.destroy();
  });
  socket.resume();
}

function join(from: Socket, to: Socket, onClose: () => void): void {
  from.pipe(to);
  from.on('error', () => to.destroy());
  // Who has said all does not listen for long (as in nginx, which ends both at once).
  from.once('end', () => {
    setTimeout(() => from.destroy(), lastWordsMs).unref();
  });
  from.once('close', () => {
    if (to.writable) to.end();
    setTimeout(() => to.destroy(), lastWordsMs).unref();
    onClose();
  });
}
