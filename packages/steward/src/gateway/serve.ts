/**
 * From a request to its answer: who it is for, whether it may be answered at all, and which action does it.
 *
 *   target, host → site → who the client is → steps of the site → route (route.ts goes on) → answer → log, counters
 */

import type { Carrier, RequestFacts } from './carrier.ts';
import { challengeAnswer, noChallenges } from './certificates/acme/challenges.ts';
import { Headers } from './connection/headers.ts';
import type { Receiver } from './connection/http1/client-connection.ts';
import type { HeadFault } from './connection/http1/head.ts';
import { checkedWith } from './connection/secure.ts';
import { clientVerdict } from './connection/tls-facts.ts';
import { Counting } from './counting.ts';
import { Exchange, type ExchangeKeeper } from './exchange.ts';
import type { AccessLog } from './logs/access-log.ts';
import { type CompiledListener, type CompiledTable, matchSite } from './match.ts';
import { statusText } from './pages.ts';
import { RouteWalk } from './route-walk.ts';
import type { Limits } from './rules/limits.ts';
import type { PasswordCheck } from './rules/password-check.ts';
import { believe } from './rules/real-address.ts';
import { parseHost, parseTarget } from './target.ts';
import type { Upstreams } from './upstream/upstreams.ts';

export interface ServeParts {
  readonly upstreams: Upstreams;
  readonly access: AccessLog;
  readonly limits: Limits;
  readonly passwords: PasswordCheck;
  /** One line for the error log. */
  readonly log: (line: string) => void;
}

/** What stands in the log for bytes that were no request. */
const noRequest: RequestFacts = {
  method: '',
  url: '',
  protocol: 'HTTP/1.1',
  headers: new Headers(),
  bodyLength: 0,
  expectsContinue: false,
  upgrade: undefined,
  headBytes: 0,
};

/** CONNECT is for another kind of proxy; TRACE shows what nobody should see. */
const refusedMethods = new Set(['CONNECT', 'TRACE']);

export class Serve implements Receiver, ExchangeKeeper {
  readonly counting = new Counting();
  readonly #parts: ServeParts;
  readonly #walk: RouteWalk;
  /** Swapped as a whole; a request uses the one it began with. */
  #table: CompiledTable | undefined;

  constructor(parts: ServeParts) {
    this.#parts = parts;
    this.#walk = new RouteWalk({ ...parts, keeper: this, counters: () => this.counting });
  }

  get table(): CompiledTable | undefined {
    return this.#table;
  }

  /** Serves by `table` from the next request on. */
  setTable(table: CompiledTable): void {
    this.#table = table;
    this.#parts.upstreams.apply(table.table, table.scope);
    this.counting.keep(table);
  }

  // ---- Receiver: what connections ask

  begin(carrier: Carrier, request: RequestFacts): Exchange {
    this.counting.begin();
    const exchange = new Exchange(carrier, request, this, performance.now());
    exchange.table = this.#table;
    return exchange;
  }

  route(exchange: Exchange): void {
    try {
      this.#route(exchange);
    } catch (error) {
      this.#parts.log(`bug: ${error instanceof Error ? (error.stack ?? error.message).replaceAll('\n', ' | ') : String(error)}`);
      if (exchange.begun) exchange.breakOff();
      else exchange.respondPage(500);
    }
  }

  malformed(carrier: Carrier, { status }: HeadFault): void {
    this.counting.malformed++;
    const site = this.#table?.listeners.get(carrier.port.name)?.fallback;
    if (site === undefined || site.rest.logs.length === 0) return;
    const nothing = new Exchange(carrier, noRequest, this, performance.now());
    nothing.site = site;
    nothing.status = status;
    nothing.bodyBytesSent = `${status} ${statusText(status)}\n`.length;
    this.#parts.access.write(site.rest.logs, nothing);
  }

  closed(): void {
    this.counting.connections--;
  }

  opened(): void {
    this.counting.open();
  }

  // ---- ExchangeKeeper: what exchanges tell

  onClose(exchange: Exchange): void {
    if (exchange.depth > 0) return;
    this.counting.end(exchange);
    const logs = (exchange.route ?? exchange.site?.rest)?.logs;
    if (logs !== undefined && logs.length > 0) this.#parts.access.write(logs, exchange);
  }

  onError(exchange: Exchange, status: number, headers: readonly string[]): boolean {
    return this.#walk.sendErrorPage(exchange, status, headers);
  }

  // ---- the way to a route

  #route(exchange: Exchange): void {
    const listener = exchange.table?.listeners.get(exchange.carrier.port.name);
    if (listener === undefined) return exchange.respondPage(503, ['Retry-After', '1']);
    const { request } = exchange;
    const target = parseTarget(request.url);
    if (target !== undefined) {
      exchange.path = target.path;
      exchange.args = target.query.slice(1);
      if (target.relative !== undefined) exchange.requestUri = target.relative;
    }
    const sent = request.headers.get('host');
    exchange.httpHost = target?.authority ?? sent ?? '';
    const host = sent === undefined && target?.authority === undefined ? '' : parseHost(exchange.httpHost);
    if (refusedMethods.has(request.method)) return this.#refuse(exchange, listener, 405);
    if (target === undefined || host === undefined) return this.#refuse(exchange, listener, 400);
    const site = matchSite(listener, host, exchange);
    exchange.site = site;
    exchange.host = host === '' ? site.entry.serverName : host;
    this.#enter(exchange);
  }

  /** Nothing in the request says which site it is for. */
  #refuse(exchange: Exchange, listener: CompiledListener, status: number): void {
    exchange.site = listener.fallback;
    exchange.carrier.endAfter?.();
    exchange.respondPage(status);
  }

  /** Error pages know these faults by nginx's own numbers; the client gets 400. */
  #refuseTls(exchange: Exchange, fault: 495 | 496 | 497): void {
    if (!this.#walk.sendErrorPage(exchange, fault, [])) exchange.respondPage(400);
  }

  #enter(exchange: Exchange): void {
    const { site } = exchange;
    if (site === undefined) return;
    if (site.trust !== undefined) believe(exchange, site.trust);
    const { port, peer } = exchange.carrier;
    if (port.tls && peer.tls === undefined) return this.#refuseTls(exchange, 497);
    const proof =
      exchange.scheme === 'http' ? challengeAnswer(exchange.table?.table.challenges ?? noChallenges, exchange.path.text) : undefined;
    if (proof !== undefined) return exchange.respond(200, ['Content-Type', 'application/octet-stream'], proof);
    const { clientCertificates } = site.entry;
    if (clientCertificates !== undefined) {
      const { tls } = exchange.carrier.peer;
      // The certificate was checked for the host named in the handshake, which may have other authorities.
      if (tls !== undefined && checkedWith(tls) !== clientCertificates.ca) return exchange.respondPage(421);
      const fault = certificateFault(exchange, clientCertificates.mode);
      if (fault !== undefined) return this.#refuseTls(exchange, fault);
    }
    this.#walk.enter(exchange, site);
  }
}

/** Why a client may not go on with the certificate it showed, or without one, as nginx numbers it. */
function certificateFault({ carrier: { peer } }: Exchange, mode: 'require' | 'optional'): 495 | 496 | undefined {
  const verdict = peer.tls === undefined ? 'NONE' : clientVerdict(peer.tls);
  if (verdict === 'NONE') return mode === 'optional' ? undefined : 496;
  return verdict === 'SUCCESS' ? undefined : 495;
}
