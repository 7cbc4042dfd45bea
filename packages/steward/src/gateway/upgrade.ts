/** Requests that change the protocol (websockets): passed to an upstream, and on 101 the two connections are joined. */
import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { noteAnswer, noteFailure, type Server } from './balance.ts';
import type { Exchange } from './exchange.ts';
import { type CompiledProxy, clientHeaders, upstreamHeaders, upstreamTarget } from './proxy-action.ts';
import { addressName, authorityOf, type Upstreams } from './upstreams.ts';

/** Protocols never passed on: h2c would let a client speak to the upstream past every rule here. */
const refused = /(?:^|,)\s*(?:h2c|http\/?[\d.]*|tls\/?[\d.]*)\s*(?:,|$)/i;

/** Whether a request's Upgrade header names a protocol that may be passed on; otherwise it is a plain request. */
export const mayUpgrade = (upgrade: string | undefined): boolean => upgrade !== undefined && upgrade !== '' && !refused.test(upgrade);

/** Joins `socket` to an upstream of `action`, or answers `exchange` with what the upstream says instead of 101. */
export function passUpgrade(
  exchange: Exchange,
  socket: Duplex,
  head: Buffer,
  action: CompiledProxy,
  prefix: string,
  upstreams: Upstreams,
  log: (line: string) => void,
): void {
  exchange.proxyHost = action.entry.proxyHost;
  const headers = upstreamHeaders(action, exchange);
  headers.push('Connection', 'Upgrade', 'Upgrade', exchange.header('upgrade'));
  const path = upstreamTarget(action, exchange.target.path, prefix, exchange.target.query);
  const tried = new Set<Server>();
  let timedOut = false;
  const next = (): void => {
    if (exchange.closed) return;
    const server = upstreams.pick(action.entry.upstream, performance.now(), tried);
    if (server === undefined) return void giveUp();
    tried.add(server);
    attempt({ exchange, socket, head, action, server, path, headers }, (error, timeout) => {
      noteFailure(server, performance.now());
      timedOut = timeout;
      log(`${exchange.upstream}: ${exchange.method} ${exchange.target.path.raw}: ${error.message}`);
      next();
    });
  };
  const giveUp = (): void => {
    if (tried.size === 0) return void exchange.respondPage(503, ['retry-after', '1']);
    exchange.respondPage(timedOut ? 504 : 502);
  };
  next();
}

interface Attempt {
  readonly exchange: Exchange;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly action: CompiledProxy;
  readonly server: Server;
  readonly path: string;
  readonly headers: readonly string[];
}

/** One server's turn. `onFailure` is called at most once, when there was no answer: an upgrade is a GET without body. */
function attempt(turn: Attempt, onFailure: (error: Error, timeout: boolean) => void): void {
  const { exchange, action, server } = turn;
  const request = requestTo(turn);
  let timeout = false;
  let settled = false;
  const limit = (ms: number, what: string): NodeJS.Timeout =>
    setTimeout(() => {
      timeout = true;
      request.destroy(new Error(what));
    }, ms);
  let timer = limit(action.entry.connectTimeoutMs, 'it could not be reached in time');
  const settle = (): void => {
    settled = true;
    clearTimeout(timer);
    server.active--;
  };
  server.active++;
  server.requests++;
  exchange.onAbandon = () => request.destroy();
  request.on('socket', (upstream) => {
    upstream.once(action.entry.scheme === 'https' ? 'secureConnect' : 'connect', () => {
      clearTimeout(timer);
      if (!settled) timer = limit(action.entry.readTimeoutMs, 'it took too long to answer');
    });
  });
  request.on('error', (error) => {
    if (settled) return;
    settle();
    onFailure(error, timeout);
  });
  request.on('response', (answer) => {
    settle();
    noteAnswer(server);
    passAnswer(exchange, action, answer);
  });
  request.on('upgrade', (answer, upstream, rest) => {
    settled = true;
    clearTimeout(timer);
    noteAnswer(server);
    join(turn, answer, upstream, rest);
  });
  request.end();
}

function requestTo({ exchange, action, server, path, headers }: Attempt): http.ClientRequest {
  const { address } = server.spec;
  const { scheme } = action.entry;
  const authority = authorityOf(address, scheme);
  exchange.upstream = addressName(address);
  const options: https.RequestOptions = {
    ...(address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port }),
    method: exchange.method,
    path,
    headers: action.host === undefined ? ['host', authority, ...headers.slice(2)] : [...headers],
    agent: false,
    rejectUnauthorized: false,
  };
  return scheme === 'https' ? https.request(options) : http.request(options);
}

/** The upstream did not switch: its answer is an ordinary one. */
function passAnswer(exchange: Exchange, action: CompiledProxy, answer: http.IncomingMessage): void {
  const { res } = exchange;
  exchange.onAbandon = () => answer.destroy();
  try {
    exchange.begin(answer.statusCode ?? 502, clientHeaders(action, answer.headers, exchange));
  } catch {
    answer.destroy();
    return void exchange.respondPage(502);
  }
  answer.on('data', (chunk: Buffer) => {
    if (exchange.write(chunk)) return;
    answer.pause();
    res.once('drain', () => answer.resume());
  });
  answer.on('end', () => exchange.end());
  answer.on('error', () => exchange.breakOff());
}

function join({ exchange, socket, head, action, server }: Attempt, answer: http.IncomingMessage, upstream: Duplex, rest: Buffer): void {
  exchange.status = 101;
  exchange.onAbandon = undefined;
  const { req, res } = exchange;
  res.detachSocket(req.socket);
  req.socket.setTimeout(0);
  let lines = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${answer.headers.upgrade ?? exchange.header('upgrade')}\r\n`;
  const headers = clientHeaders(action, answer.headers, exchange);
  for (let at = 0; at < headers.length; at += 2) lines += `${headers[at]}: ${headers[at + 1]}\r\n`;
  socket.write(`${lines}\r\n`, 'latin1');
  if (rest.length > 0) socket.write(rest);
  if (head.length > 0) upstream.write(head);
  let open = 2;
  const link = (from: Duplex, to: Duplex): void => {
    from.pipe(to);
    from.on('error', () => to.destroy());
    // What is still on its way out is sent before the other side closes too.
    from.on('close', () => {
      if (to.writable) to.end();
      setTimeout(() => to.destroy(), 1_000).unref();
      if (--open > 0) return;
      server.active--;
      exchange.bytesSent = req.socket.bytesWritten;
      exchange.close();
    });
  };
  link(upstream, socket);
  link(socket, upstream);
  const quiet = upstream as Duplex & { setTimeout?: (ms: number, then: () => void) => void };
  quiet.setTimeout?.(action.entry.readTimeoutMs, () => {
    upstream.destroy();
    socket.destroy();
  });
}
