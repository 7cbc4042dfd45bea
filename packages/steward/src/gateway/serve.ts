/**
 * From a request to its answer: who it is for, whether it may be answered at all, and which action does it.
 *
 *   head checks (400, 431, 501) → host → site → path → route (404) → size (413) → proxy · files · redirect · respond
 */
import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { formatAccess, type LineWriter } from './access-log.ts';
import { Exchange, type Port } from './exchange.ts';
import { serveFile } from './files.ts';
import { forward } from './forward.ts';
import { type CompiledRoute, type CompiledTable, matchRoute, matchSite } from './match.ts';
import { parseHost, parseTarget } from './target.ts';
import { passUpgrade } from './upgrade.ts';
import type { Upstreams } from './upstreams.ts';
import { expand } from './variables.ts';

/** More headers than any browser or program sends; Node itself would silently leave out those over its limit. */
export const maxHeaders = 200;

/** Since the worker started. */
export interface Counters {
  requests: number;
  active: number;
  /** By first digit of the status: [informational, success, redirection, client's fault, server's fault]. */
  answers: [number, number, number, number, number];
  /** Clients that left before the answer was complete. */
  aborted: number;
  /** What came in and was no HTTP request. */
  malformed: number;
  bytesSent: number;
  logLinesDropped: number;
  upstreams: Record<string, Record<string, { requests: number; failures: number; active: number }>>;
}

export interface ServeParts {
  readonly upstreams: Upstreams;
  readonly access: LineWriter;
  /** One line for the error log. */
  readonly log: (line: string) => void;
}

export class Serve {
  readonly #parts: ServeParts;
  /** Swapped as a whole; a request uses the one it began with. */
  #table: CompiledTable | undefined;
  readonly #bySocket = new WeakMap<Socket, Exchange>();
  readonly #counters = { requests: 0, active: 0, answers: [0, 0, 0, 0, 0] as Counters['answers'], aborted: 0, malformed: 0, bytesSent: 0 };

  constructor(parts: ServeParts) {
    this.#parts = parts;
  }

  get table(): CompiledTable | undefined {
    return this.#table;
  }

  /** Serves by `table` from the next request on. */
  setTable(table: CompiledTable): void {
    this.#table = table;
    this.#parts.upstreams.apply(table.table);
  }

  get active(): number {
    return this.#counters.active;
  }

  counters(): Counters {
    return {
      ...this.#counters,
      answers: [...this.#counters.answers],
      logLinesDropped: this.#parts.access.dropped(),
      upstreams: this.#parts.upstreams.counts(),
    };
  }

  noteMalformed(): void {
    this.#counters.malformed++;
  }

  /** The exchange that a connection is busy with. */
  exchangeOn(socket: Socket): Exchange | undefined {
    const exchange = this.#bySocket.get(socket);
    return exchange?.closed === false ? exchange : undefined;
  }

  request(req: IncomingMessage, res: ServerResponse, port: Port, awaitsContinue: boolean): void {
    const exchange = this.#begin(req, res, port, awaitsContinue);
    const route = this.#route(exchange);
    if (route !== undefined) this.#act(exchange, route);
  }

  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer, port: Port): void {
    const res = new ServerResponse(req);
    res.shouldKeepAlive = false;
    res.assignSocket(req.socket);
    res.once('finish', () => req.socket.destroySoon());
    socket.on('error', () => socket.destroy());
    const exchange = this.#begin(req, res, port, false);
    socket.once('close', () => {
      if (exchange.status !== 101) exchange.close();
    });
    const route = this.#route(exchange);
    if (route === undefined) return;
    if (route.action.kind !== 'proxy') return void this.#act(exchange, route);
    passUpgrade(exchange, socket, head, route.action, route.prefix, this.#parts.upstreams, this.#parts.log);
  }

  #begin(req: IncomingMessage, res: ServerResponse, port: Port, awaitsContinue: boolean): Exchange {
    this.#counters.requests++;
    this.#counters.active++;
    const exchange = new Exchange(req, res, port, (done) => this.#end(done), awaitsContinue);
    this.#bySocket.set(req.socket, exchange);
    return exchange;
  }

  #end(exchange: Exchange): void {
    const counters = this.#counters;
    counters.active--;
    counters.bytesSent += exchange.bytesSent;
    if (exchange.status === 0 || (!exchange.res.writableFinished && exchange.status !== 101)) counters.aborted++;
    const kind = Math.floor(exchange.status / 100) - 1;
    if (kind >= 0 && kind < 5) counters.answers[kind as 0]++;
    if (this.#table?.table.accessLog !== false) this.#parts.access.write(accessLine(exchange));
  }

  /** The route of a request, after the checks that need no route; undefined when it has been answered. */
  #route(exchange: Exchange): CompiledRoute | undefined {
    const { req } = exchange;
    const listener = this.#table?.listeners.get(exchange.port.name);
    const fault = headFault(req);
    const target = fault === undefined ? parseTarget(req.url ?? '') : undefined;
    exchange.httpHost = target?.authority ?? req.headers.host ?? '';
    const host = parseHost(exchange.httpHost);
    if (fault !== undefined || target === undefined || host === undefined || listener === undefined) {
      exchange.respondPage(fault ?? (listener === undefined ? 503 : 400));
      return undefined;
    }
    exchange.target = target;
    const site = matchSite(listener, host);
    exchange.serverName = site.entry.serverName;
    exchange.host = host === '' ? site.entry.serverName : host;
    const route = matchRoute(site, target.path.text);
    exchange.route = route;
    if (route === undefined) exchange.respondPage(404);
    else if (route.maxBodyBytes > 0 && Number(req.headers['content-length'] ?? 0) > route.maxBodyBytes) exchange.respondPage(413);
    else return route;
    return undefined;
  }

  #act(exchange: Exchange, route: CompiledRoute): void {
    const { action } = route;
    if (action.kind === 'proxy') forward(exchange, action, route.prefix, route.maxBodyBytes, this.#parts.upstreams, this.#parts.log);
    else if (action.kind === 'files') serveFile(exchange, action, route.prefix);
    else if (action.kind === 'redirect') redirect(exchange, expand(action.to, exchange), action.status);
    else respondText(exchange, action.status, action.body, route);
  }
}

/** A status that refuses a request for its head alone: ambiguous heads are how requests are smuggled past a proxy. */
function headFault(req: IncomingMessage): number | undefined {
  const { rawHeaders } = req;
  if (rawHeaders.length > maxHeaders * 2) return 431;
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  if (hosts > 1) return 400;
  const coding = req.headers['transfer-encoding'];
  if (coding === undefined) return undefined;
  if (req.httpVersionMinor === 0) return 400;
  return coding.trim().toLowerCase() === 'chunked' ? undefined : 501;
}

const lineBreaks = /[^\x21-\x7e]/g;

function redirect(exchange: Exchange, to: string, status: number): void {
  exchange.respond(status, ['location', to.replace(lineBreaks, (char) => encodeURIComponent(char))]);
}

function respondText(exchange: Exchange, status: number, body: string, route: CompiledRoute): void {
  // nginx's own status for "say nothing and hang up".
  if (status === 444) return void exchange.req.socket.destroy();
  const typed = body === '' || route.addHeaders.some(({ name }) => name === 'content-type');
  exchange.respond(status, typed ? [] : ['content-type', 'text/plain; charset=utf-8'], body);
}

/** The access log's line of a finished exchange; 499 for a client that left before its answer began, as in nginx. */
function accessLine(exchange: Exchange): string {
  const { req } = exchange;
  return formatAccess({
    client: exchange.remoteAddress,
    atMs: Date.now(),
    method: exchange.method,
    path: req.url ?? '-',
    version: req.httpVersion,
    status: exchange.status === 0 ? 499 : exchange.status,
    bytes: exchange.bytesSent,
    referer: req.headers.referer ?? '',
    agent: req.headers['user-agent'] ?? '',
    host: exchange.host,
    tookMs: performance.now() - exchange.startedAtMs,
    upstream: exchange.upstream,
  });
}
