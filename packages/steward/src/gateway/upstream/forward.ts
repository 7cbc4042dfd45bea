/**
 * Hands a request to an upstream and its answer back, both streamed.
 *
 *   pick a server ── a kept connection, or a new one ── head, body ──► answer ──► headers, then the body as it comes
 *        │                    └── failed before a byte of an answer ──► the next server, if the request can be repeated
 *        └── none is there ── held until one comes, at most `hold` ──► 503 if it is a service, else 502 or 504
 *
 * A break in an answer that has begun breaks the client's connection.
 */
import type { RetrySpec } from '../../config/model.ts';
import type { BodyFault } from '../carrier.ts';
import { type Headers, mayUpgrade } from '../connection/headers.ts';
import { chunked, type ResponseHead } from '../connection/http1/head.ts';
import type { AnswerReader, UpstreamConnection, UpstreamFault } from '../connection/http1/upstream-connection.ts';
import type { Exchange } from '../exchange.ts';
import { expand } from '../rules/variables.ts';
import { parsePath } from '../target.ts';
import { noteAnswer, noteFailure, pickServer, releaseServer, type Server, serverCount } from './balance.ts';
import { clientOf, cookiesFor } from './destination.ts';
import type { Held } from './holding.ts';
import { type CompiledProxy, clientHeaders, upstreamLines, upstreamTarget } from './proxy-action.ts';
import { RequestBody } from './request-body.ts';
import {
  type FailedCause,
  type FailedTry,
  failedStatus,
  isRepeatable,
  isRetryStatus,
  isServerFailure,
  mayRetry,
  noteRequest,
  returnRetry,
  spendRetry,
} from './retry.ts';
import { joinSockets } from './upgrade.ts';
import { type Attempt, addToTale } from './upstream-tale.ts';
import type { Destination, Link, Upstreams, Waiter } from './upstreams.ts';

export interface ForwardParts {
  readonly upstreams: Upstreams;
  /** One line for the error log. */
  readonly log: (line: string) => void;
  /** Whether an error page answers instead of the upstream's own `status`; then it has begun to. */
  intercept(exchange: Exchange, status: number, headers: Headers): boolean;
  /** Sends the request to another path of its site. */
  sendWithin(exchange: Exchange, to: string): void;
}

/** With `buffering` this much of an answer is read ahead of a slow client. */
const readAheadBytes = 64 * 1024;

/** How soon a held request may look again for a server that nobody has told of. */
const firstLookMs = 25;
const lastLookMs = 500;
/** More requests than these are not held at once: they are refused. */
const maxHeld = 10_000;
/** Those who wait that an upstream which answers brings along. */
const followers = 2;

/** A server that closes a kept connection has not failed: what may be repeated is, whatever the route says of retries. */
const afterKept: RetrySpec = { on: ['error'], tries: 0, timeoutMs: 0 };

/** Of an upstream that leaves the answer to another route. */
const keptWithin = new Set(['content-type', 'content-disposition', 'accept-ranges', 'set-cookie', 'cache-control', 'expires']);

const causeOf: Readonly<Record<UpstreamFault, FailedCause>> = {
  unreachable: 'error',
  'connect-timeout': 'timeout',
  reset: 'error',
  timeout: 'timeout',
  invalid: 'invalid-header',
};

/** Answers `exchange` by the servers of `destination`. Always ends it, with an answer or by cutting the connection. */
export function forward(
  exchange: Exchange,
  action: CompiledProxy,
  destination: Destination,
  prefix: string,
  maxBodyBytes: number,
  parts: ForwardParts,
): void {
  new Forwarding(exchange, action, destination, prefix, maxBodyBytes, parts).begin();
}

class Forwarding implements AnswerReader, Waiter, Held {
  /** Of waiting for a server. */
  deadlineMs = Number.POSITIVE_INFINITY;
  notBeforeMs = 0;
  readonly #exchange: Exchange;
  readonly #action: CompiledProxy;
  readonly #destination: Destination;
  readonly #parts: ForwardParts;
  readonly #body: RequestBody;
  readonly #prefix: string;
  #path = '';
  #lines = '';
  #tried: Set<Server> | undefined;
  #tries = 0;
  #server: Server | undefined;
  #link: Link | undefined;
  #connection: UpstreamConnection | undefined;
  #cancel: (() => void) | undefined;
  #askedAtMs = 0;
  #connectMs = 0;
  #headMs = 0;
  #answerBytes = 0;
  /** The head has gone out: the upstream may have acted on it. */
  #sent = false;
  #answered = false;
  #status = 0;
  /** Of the attempt under way, and of the last one. */
  #fault: UpstreamFault | undefined;
  #lastFault: UpstreamFault | undefined;
  /** It was sent on a connection that had answered before. */
  #kept = false;
  /** Only new connections are used: a kept one has just proved to be closed. */
  #fresh = false;
  #lookMs = firstLookMs;
  /** Retries taken from the budget. */
  #spent = 0;

  constructor(
    exchange: Exchange,
    action: CompiledProxy,
    destination: Destination,
    prefix: string,
    maxBodyBytes: number,
    parts: ForwardParts,
  ) {
    this.#exchange = exchange;
    this.#action = action;
    this.#destination = destination;
    this.#prefix = prefix;
    this.#parts = parts;
    this.#body = new RequestBody(exchange, {
      maxBytes: maxBodyBytes,
      repeatable: isRepeatable(exchange.method, action.entry.retry),
      onFault: (status) => this.#failBody(status),
    });
    exchange.proxyHost = destination.proxyHost;
    exchange.onAbandon = () => this.#abandon();
    exchange.asking = this;
    noteRequest(destination.budget, exchange.startedAtMs);
  }

  // ---- asking

  begin(): void {
    if (!this.#action.entry.passBody || !this.#body.collect(() => this.next())) this.next();
  }

  /** Gives the request to the next server. */
  next(): void {
    const exchange = this.#exchange;
    const { entry, name } = this.#destination;
    const balance = this.#parts.upstreams.balance(name);
    const nowMs = performance.now();
    const server = balance === undefined ? undefined : pickServer(balance, clientOf(exchange, this.#destination), nowMs, this.#tried);
    if (server === undefined) return this.#findNone();
    this.#server = server;
    this.#askedAtMs = nowMs;
    this.#sent = false;
    this.#status = 0;
    this.#answerBytes = 0;
    this.#fault = undefined;
    this.#tries++;
    const { verify } = this.#action.entry;
    const scheme = this.#destination.scheme ?? this.#action.entry.scheme;
    const verified = verify === undefined ? undefined : { ca: this.#parts.upstreams.file(verify.ca), name: this.#verifyName() };
    const link = this.#parts.upstreams.link(server, entry, { scheme, verify: verified });
    this.#link = link;
    exchange.upstream = link.label;
    const kept = exchange.upgrade === undefined && !this.#fresh ? link.take() : undefined;
    this.#kept = kept !== undefined;
    if (kept !== undefined) this.onConnected(kept, 0);
    else this.#cancel = link.connect(this.#action.entry.connectTimeoutMs, exchange.upgrade !== undefined, this);
  }

  #verifyName(): string | undefined {
    const { verifyName } = this.#action;
    return verifyName === undefined ? undefined : expand(verifyName, this.#exchange);
  }

  onConnected(connection: UpstreamConnection, tookMs: number): void {
    const exchange = this.#exchange;
    const { entry } = this.#action;
    const method = entry.method ?? exchange.method;
    this.#cancel = undefined;
    this.#connection = connection;
    this.#connectMs = tookMs;
    this.#sent = true;
    this.#parts.upstreams.wake(this.#destination.name, followers);
    const hasBody = entry.passBody && this.#body.isThere;
    const head = this.#head(method, hasBody);
    if (!hasBody) return connection.send(head, method === 'HEAD', true, entry, this);
    const { socket } = connection;
    socket.cork();
    connection.send(head, method === 'HEAD', false, entry, this);
    this.#body.sendTo(connection, exchange.request.bodyLength === chunked);
    socket.uncork();
  }

  #head(method: string, hasBody: boolean): string {
    const exchange = this.#exchange;
    const { host } = this.#action;
    if (this.#lines === '') {
      this.#path = upstreamTarget(this.#action, exchange, this.#prefix, this.#destination.path);
      this.#lines = upstreamLines(this.#action, exchange);
    }
    let head = `${method} ${this.#path} HTTP/1.1\r\nHost: ${host === undefined ? (this.#link?.authority ?? '') : expand(host, exchange)}\r\n${this.#lines}`;
    const { upgrade } = exchange;
    const { bodyLength } = exchange.request;
    if (hasBody && bodyLength === chunked) head += 'Transfer-Encoding: chunked\r\n';
    else if (hasBody) head += `Content-Length: ${bodyLength}\r\n`;
    else if (method !== 'GET' && method !== 'HEAD' && exchange.header('content-length') !== '') head += 'Content-Length: 0\r\n';
    return upgrade === undefined ? `${head}\r\n` : `${head}Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`;
  }

  onUnreachable(fault: UpstreamFault, why: string): void {
    this.#cancel = undefined;
    this.onFault(fault, why);
  }

  // ---- the request's body

  onRoom(): void {
    this.#body.onRoom();
  }

  /** The client's fault: the upstream is left, and hears no end. */
  #failBody(status: BodyFault): void {
    this.#note();
    this.#release();
    this.#connection?.abandon();
    const exchange = this.#exchange;
    if (status === 0 || exchange.closed) return;
    if (exchange.begun) exchange.breakOff();
    else exchange.respondPage(status);
  }

  // ---- the answer

  onHead(head: ResponseHead): void {
    const exchange = this.#exchange;
    const connection = this.#connection;
    const { status } = head;
    this.#status = status;
    this.#headMs = performance.now() - this.#askedAtMs;
    exchange.upstreamHeaders = head.headers;
    if (status === 101) return this.#join(head);
    if (status >= 300 && this.#turnsAway(head)) return;
    const within = head.headers.get('x-accel-redirect');
    if (within !== undefined) return this.#sendWithin(head, within);
    if (this.#server !== undefined) noteAnswer(this.#server, performance.now());
    if (this.#spent > 0 && !isRetryStatus(status, this.#action.entry.retry)) returnRetry(this.#destination.budget, performance.now());
    const headers = clientHeaders(this.#action, head.headers, exchange);
    for (const cookie of cookiesFor(exchange, this.#destination, this.#server)) headers.push('Set-Cookie', cookie);
    this.#answered = true;
    exchange.onDrain = () => connection?.resume();
    exchange.begin(status, headers, head.message === '' ? undefined : head.message);
  }

  /** The upstream has decided, and leaves the answer to another route (nginx's X-Accel-Redirect). */
  #sendWithin({ headers }: ResponseHead, to: string): void {
    const exchange = this.#exchange;
    if (this.#server !== undefined) noteAnswer(this.#server, performance.now());
    exchange.onAbandon = undefined;
    this.#leave();
    exchange.keepHeaders(headers.names.flatMap(({ text, lower }, at) => (keptWithin.has(lower) ? [text, headers.values[at] ?? ''] : [])));
    exchange.becomeGet();
    const place = to.startsWith('@') ? to : placeWithin(to);
    if (place === undefined) exchange.respondPage(404);
    else this.#parts.sendWithin(exchange, place);
  }

  /** An error that another server, or a page of the gateway, answers instead. */
  #turnsAway({ status, headers }: ResponseHead): boolean {
    const { retry } = this.#action.entry;
    if (isRetryStatus(status, retry) && this.#hasMore() && this.#mayRepeat(status) && this.#spend()) {
      if (this.#server !== undefined && isServerFailure(status, retry)) noteFailure(this.#server, performance.now());
      this.#leave();
      this.#tryNext();
      return true;
    }
    if (!this.#action.entry.interceptErrors) return false;
    const exchange = this.#exchange;
    if (!this.#parts.intercept(exchange, status, headers)) return false;
    if (this.#server !== undefined) noteAnswer(this.#server, performance.now());
    this.#leave();
    return true;
  }

  /** Whether a server has not been asked. */
  #hasMore(): boolean {
    const balance = this.#parts.upstreams.balance(this.#destination.name);
    return balance !== undefined && this.#tries < serverCount(balance);
  }

  /** Gives up the answer under way. */
  #leave(): void {
    this.#note();
    this.#release();
    this.#connection?.abandon();
    this.#connection = undefined;
    this.#body.leave();
  }

  onPart(part: Buffer): void {
    this.#answerBytes += part.length;
    const exchange = this.#exchange;
    if (exchange.write(part)) return;
    if (this.#action.entry.buffering && exchange.carrier.waitingBytes < readAheadBytes) return;
    this.#connection?.pause();
  }

  get holdsParts(): boolean {
    return this.#exchange.holdsParts;
  }

  onPause(): void {
    this.#exchange.flush();
  }

  onEnd(trailers: Headers | undefined): void {
    this.#note();
    this.#release();
    this.#parts.upstreams.wake(this.#destination.name, 1);
    this.#exchange.end(undefined, trailers);
  }

  onFault(fault: UpstreamFault, why: string): void {
    const exchange = this.#exchange;
    const first = this.#lastFault === undefined;
    this.#fault = fault;
    this.#lastFault = fault;
    this.#note();
    this.#release();
    this.#connection = undefined;
    this.#body.leave();
    if (exchange.closed) return;
    if (this.#answered) {
      this.#parts.log(`${exchange.upstream}: the answer to ${exchange.method} ${exchange.requestUri} broke off: ${why}`);
      return exchange.breakOff();
    }
    if (this.#kept && fault === 'reset' && mayRetry(this.#failed('error'), afterKept)) return this.#askAnew();
    if (this.#server !== undefined) noteFailure(this.#server, performance.now());
    // What waits for a server meets the same fault again and again.
    if (first || this.#lookMs === firstLookMs) this.#parts.log(`${exchange.upstream}: ${exchange.method} ${exchange.requestUri}: ${why}`);
    const repeatable = this.#mayRepeat(causeOf[fault]);
    if (repeatable && this.#hasMore() && this.#spend()) this.#tryNext();
    else if ((repeatable || fault === 'unreachable') && this.#mayHold()) this.#hold();
    else this.#giveUp();
  }

  /** On a new connection: the kept one was closed by the other side before it took the request. */
  #askAnew(): void {
    this.#fresh = true;
    this.#tries--;
    this.next();
  }

  #failed(cause: FailedCause): FailedTry {
    return {
      cause,
      method: this.#exchange.method,
      sent: this.#sent,
      bodyGone: this.#body.gone,
      tries: this.#tries,
      elapsedMs: performance.now() - this.#exchange.startedAtMs,
    };
  }

  #mayRepeat(cause: FailedCause): boolean {
    return mayRetry(this.#failed(cause), this.#action.entry.retry);
  }

  #spend(): boolean {
    if (!spendRetry(this.#destination.budget, performance.now())) return false;
    this.#spent++;
    return true;
  }

  #tryNext(): void {
    if (this.#server !== undefined) this.#tried = (this.#tried ?? new Set()).add(this.#server);
    // What comes before the next server is there would be lost.
    this.#exchange.carrier.pauseBody();
    this.next();
  }

  // ---- no server is there

  #findNone(): void {
    if (this.#mayHold()) this.#hold();
    else this.#giveUp();
  }

  /** Whether to wait for a server that may come up: one that is too slow is there already. */
  #mayHold(): boolean {
    const { upstreams } = this.#parts;
    const hopeful = this.#lastFault === undefined || this.#lastFault === 'unreachable' || this.#lastFault === 'reset';
    const { holdMs } = this.#action.entry;
    if (!hopeful || holdMs <= 0 || upstreams.balance(this.#destination.name) === undefined) return false;
    return upstreams.held < maxHeld && performance.now() < this.#exchange.startedAtMs + holdMs;
  }

  #hold(): void {
    const { upstreams } = this.#parts;
    const { name } = this.#destination;
    this.#tried = undefined;
    this.#tries = 0;
    this.notBeforeMs = performance.now() + this.#lookMs;
    this.#lookMs = Math.min(this.#lookMs * 2, lastLookMs);
    this.deadlineMs = this.#exchange.startedAtMs + this.#action.entry.holdMs;
    upstreams.hold(name, this);
    this.#cancel = () => upstreams.letGo(name, this);
  }

  look(): void {
    this.#cancel = undefined;
    this.next();
  }

  onDeadline(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#giveUp();
  }

  /** A service that is not up gives 503: it will be. One that may have taken the request, and a server outside, give 502 or 504. */
  #giveUp(): void {
    const exchange = this.#exchange;
    const fault = this.#lastFault;
    const { service } = this.#destination.entry;
    if (fault === 'timeout' || fault === 'connect-timeout') return exchange.respondPage(504);
    if (fault !== undefined && !(service && this.#action.entry.holdMs > 0 && fault === 'unreachable')) return exchange.respondPage(502);
    const status = failedStatus(service ? 'no-instance' : 'no-server');
    exchange.respondPage(status, status === 503 ? ['Retry-After', '1'] : []);
  }

  /** The upstream speaks another protocol from here on, and so does the client. */
  #join(head: ResponseHead): void {
    const exchange = this.#exchange;
    const connection = this.#connection;
    const server = this.#server;
    if (connection === undefined || exchange.upgrade === undefined || (head.upgrade !== undefined && !mayUpgrade(head.upgrade))) {
      connection?.abandon();
      return this.onFault('invalid', 'it changed the protocol unasked');
    }
    this.#answered = true;
    this.#note();
    this.#link = undefined;
    exchange.onAbandon = undefined;
    joinSockets(exchange, connection, head, clientHeaders(this.#action, head.headers, exchange), this.#action.entry.readTimeoutMs, () => {
      if (server !== undefined) releaseServer(server);
    });
  }

  // ---- bookkeeping

  /** What the attempt under way has come to. */
  attempt(): Attempt | undefined {
    if (this.#link === undefined) return undefined;
    const failed = this.#fault === 'timeout' || this.#fault === 'connect-timeout' ? 504 : this.#fault && 502;
    return {
      address: this.#link.label,
      status: this.#status === 0 ? failed : this.#status,
      connectMs: this.#connection === undefined ? undefined : this.#connectMs,
      headMs: this.#status === 0 ? undefined : this.#headMs,
      responseMs: performance.now() - this.#askedAtMs,
      bytes: this.#answerBytes,
    };
  }

  #note(): void {
    const attempt = this.attempt();
    if (attempt !== undefined) addToTale(this.#exchange, attempt);
  }

  /** Once for each attempt. */
  #release(): void {
    if (this.#link === undefined || this.#server === undefined) return;
    releaseServer(this.#server);
    this.#link = undefined;
  }

  #abandon(): void {
    this.#body.drop();
    this.#cancel?.();
    this.#cancel = undefined;
    this.#note();
    this.#release();
    this.#connection?.abandon();
  }
}

/** The place that an X-Accel-Redirect means: its path is percent-encoded, and leads nowhere by `..` (404). */
function placeWithin(to: string): string | undefined {
  const mark = to.indexOf('?');
  const sent = mark < 0 ? to : to.slice(0, mark);
  const path = sent.startsWith('/') ? parsePath(sent) : undefined;
  if (path === undefined || /(?:^|\/|%2f)(?:\.|%2e){2}(?:\/|%2f|$)/i.test(sent)) return undefined;
  return path.text + to.slice(sent.length);
}
