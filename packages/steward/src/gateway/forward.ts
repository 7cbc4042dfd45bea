/**
 * Hands a request to an upstream and its answer back, both streamed.
 *
 *   pick a server ── a kept connection, or a new one ── head, body ──► answer ──► headers, then the body as it comes
 *        │                    └── failed before a byte of an answer ──► the next server, if the request can be repeated
 *        └── none is there ── held until one comes, at most `hold` ──► 503 if there was none at all, else 502 or 504
 *
 * A break in an answer that has begun breaks the client's connection.
 */
import { noteAnswer, noteFailure, pickServer, releaseServer, type Server, serverCount } from './balance.ts';
import type { BodyFault, BodyReader } from './carrier.ts';
import { clientOf, cookiesFor } from './destination.ts';
import type { Exchange } from './exchange.ts';
import type { Headers } from './headers.ts';
import { chunked, type ResponseHead } from './http1/head.ts';
import type { AnswerReader, UpstreamConnection, UpstreamFault } from './http1/upstream-connection.ts';
import { type CompiledProxy, clientHeaders, upstreamLines, upstreamTarget } from './proxy-action.ts';
import { type FailedCause, failedStatus, isRetryStatus, isServerFailure, mayRetry, noteRequest, returnRetry, spendRetry } from './retry.ts';
import { joinSockets } from './upgrade.ts';
import { addToTale } from './upstream-tale.ts';
import type { Destination, Link, Upstreams, Waiter } from './upstreams.ts';
import { expand } from './variables.ts';

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

/** How often a held request looks for a server that nobody has told of. */
const firstLookMs = 25;
const lastLookMs = 250;
/** More requests than these are not held at once: they are refused. */
const maxHeld = 10_000;
let held = 0;

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
  new Forwarding(exchange, action, destination, prefix, maxBodyBytes, parts).next();
}

class Forwarding implements AnswerReader, BodyReader, Waiter {
  readonly #exchange: Exchange;
  readonly #action: CompiledProxy;
  readonly #destination: Destination;
  readonly #parts: ForwardParts;
  readonly #maxBodyBytes: number;
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
  /** Some of the client's body has been taken. */
  #bodyTaken = false;
  #bodyBytes = 0;
  #bodyBroken = false;
  #chunks = false;
  #answered = false;
  #status = 0;
  #lastFault: UpstreamFault | undefined;
  #held = false;
  #lookMs = firstLookMs;

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
    this.#maxBodyBytes = maxBodyBytes;
    this.#parts = parts;
    exchange.proxyHost = destination.proxyHost;
    exchange.onAbandon = () => this.#abandon();
    noteRequest(destination.budget, exchange.startedAtMs);
  }

  // ---- asking

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
    this.#tries++;
    const { scheme, verify } = this.#action.entry;
    const verified = verify === undefined ? undefined : { ca: this.#parts.upstreams.file(verify.ca), name: this.#verifyName() };
    const link = this.#parts.upstreams.link(server, entry, { scheme, verify: verified });
    this.#link = link;
    exchange.upstream = link.label;
    const kept = exchange.upgrade === undefined ? link.take() : undefined;
    if (kept !== undefined) this.onConnected(kept, 0);
    else this.#cancel = link.connect(this.#action.entry.connectTimeoutMs, this);
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
    const hasBody = exchange.hasBody && entry.passBody && !exchange.bodyComplete;
    const head = this.#head(method, hasBody);
    if (!hasBody) return connection.send(head, method === 'HEAD', true, entry, this);
    const { socket } = connection;
    socket.cork();
    connection.send(head, method === 'HEAD', false, entry, this);
    exchange.readBody(this);
    socket.uncork();
  }

  #head(method: string, hasBody: boolean): string {
    const exchange = this.#exchange;
    const { host } = this.#action;
    if (this.#lines === '') {
      this.#path = upstreamTarget(this.#action, exchange, this.#prefix);
      this.#lines = upstreamLines(this.#action, exchange);
    }
    let head = `${method} ${this.#path} HTTP/1.1\r\nHost: ${host === undefined ? (this.#link?.authority ?? '') : expand(host, exchange)}\r\n${this.#lines}`;
    const { upgrade } = exchange;
    const { bodyLength } = exchange.request;
    this.#chunks = hasBody && bodyLength === chunked;
    if (this.#chunks) head += 'Transfer-Encoding: chunked\r\n';
    else if (hasBody) head += `Content-Length: ${bodyLength}\r\n`;
    else if (method !== 'GET' && method !== 'HEAD' && exchange.header('content-length') !== '') head += 'Content-Length: 0\r\n';
    return upgrade === undefined ? `${head}\r\n` : `${head}Connection: Upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`;
  }

  onUnreachable(fault: UpstreamFault, why: string): void {
    this.#cancel = undefined;
    this.onFault(fault, why);
  }

  // ---- the request's body

  onBodyPart(part: Buffer): void {
    const connection = this.#connection;
    this.#bodyTaken = true;
    this.#bodyBytes += part.length;
    if (this.#maxBodyBytes > 0 && this.#bodyBytes > this.#maxBodyBytes) return this.#failBody(413);
    if (connection === undefined || connection.gone) return;
    let free: boolean;
    if (this.#chunks) {
      connection.sendPart(`${part.length.toString(16)}\r\n`);
      connection.sendPart(part);
      free = connection.sendPart('\r\n');
    } else free = connection.sendPart(part);
    if (!free) this.#exchange.carrier.pauseBody();
  }

  onRoom(): void {
    this.#exchange.carrier.resumeBody();
  }

  onBodyEnd(trailers: Headers | undefined): void {
    const connection = this.#connection;
    if (this.#bodyBroken || connection === undefined || connection.gone) return;
    if (this.#chunks) connection.sendPart(`0\r\n${trailerLines(trailers)}\r\n`);
    connection.completeRequest();
  }

  onBodyFault(status: BodyFault): void {
    if (!this.#bodyBroken) this.#failBody(status);
  }

  /** The client's fault: the upstream is left, and hears no end. */
  #failBody(status: BodyFault): void {
    this.#bodyBroken = true;
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
    if (status === 101) return this.#join(head);
    if (status >= 400 && this.#turnsAway(head)) return;
    const within = head.headers.get('x-accel-redirect');
    if (within !== undefined) return this.#sendWithin(head, within);
    if (this.#server !== undefined) noteAnswer(this.#server, performance.now());
    if (this.#tries > 1) returnRetry(this.#destination.budget, performance.now());
    const headers = clientHeaders(this.#action, head.headers, exchange);
    for (const cookie of cookiesFor(exchange, this.#destination, this.#server)) headers.push('Set-Cookie', cookie);
    this.#answered = true;
    if (exchange.tale !== undefined) exchange.tale.headers = head.headers;
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
    if (exchange.method !== 'HEAD') exchange.becomeGet();
    this.#parts.sendWithin(exchange, to);
  }

  /** An error that another server, or a page of the gateway, answers instead. */
  #turnsAway({ status, headers }: ResponseHead): boolean {
    const { retry } = this.#action.entry;
    if (isRetryStatus(status, retry) && this.#hasMore() && this.#mayRepeat(status)) {
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
  }

  onPart(part: Buffer): void {
    this.#answerBytes += part.length;
    const exchange = this.#exchange;
    if (exchange.write(part)) return;
    if (this.#action.entry.buffering && exchange.carrier.waitingBytes < readAheadBytes) return;
    this.#connection?.pause();
  }

  onPause(): void {
    this.#exchange.flush();
  }

  onEnd(trailers: Headers | undefined): void {
    this.#note();
    this.#release();
    this.#exchange.end(undefined, trailers);
  }

  onFault(fault: UpstreamFault, why: string): void {
    const exchange = this.#exchange;
    this.#lastFault = fault;
    this.#note();
    this.#release();
    this.#connection = undefined;
    if (exchange.closed) return;
    if (this.#answered) {
      this.#parts.log(`${exchange.upstream}: the answer to ${exchange.method} ${exchange.requestUri} broke off: ${why}`);
      return exchange.breakOff();
    }
    if (this.#server !== undefined) noteFailure(this.#server, performance.now());
    this.#parts.log(`${exchange.upstream}: ${exchange.method} ${exchange.requestUri}: ${why}`);
    if (this.#mayRepeat(causeOf[fault])) this.#tryNext();
    else exchange.respondPage(fault === 'timeout' || fault === 'connect-timeout' ? 504 : 502);
  }

  #mayRepeat(cause: FailedCause): boolean {
    const may = mayRetry(
      {
        cause,
        method: this.#exchange.method,
        sent: this.#sent,
        bodyGone: this.#bodyTaken,
        tries: this.#tries,
        elapsedMs: performance.now() - this.#exchange.startedAtMs,
      },
      this.#action.entry.retry,
    );
    return may && spendRetry(this.#destination.budget, performance.now());
  }

  #tryNext(): void {
    if (this.#server !== undefined) this.#tried = (this.#tried ?? new Set()).add(this.#server);
    this.next();
  }

  /** No server is left: wait for one if the route says so. */
  #findNone(): void {
    const exchange = this.#exchange;
    const leftMs = exchange.startedAtMs + this.#action.entry.holdMs - performance.now();
    const hopeful = this.#lastFault === undefined || this.#lastFault === 'unreachable' || this.#lastFault === 'reset';
    if (leftMs > 0 && hopeful && (this.#held || held < maxHeld)) return this.#hold(leftMs);
    if (this.#lastFault === undefined) {
      const status = failedStatus(this.#destination.entry.service ? 'no-instance' : 'no-server');
      return exchange.respondPage(status, status === 503 ? ['Retry-After', '1'] : []);
    }
    exchange.respondPage(this.#lastFault === 'connect-timeout' || this.#lastFault === 'timeout' ? 504 : 502);
  }

  #hold(leftMs: number): void {
    if (!this.#held) held++;
    this.#held = true;
    this.#tried = undefined;
    const look = (): void => {
      this.#cancel?.();
      this.next();
    };
    const timer = setTimeout(look, Math.min(leftMs, this.#lookMs));
    this.#lookMs = Math.min(this.#lookMs * 2, lastLookMs);
    const forget = this.#parts.upstreams.hold(look);
    this.#cancel = () => {
      this.#cancel = undefined;
      clearTimeout(timer);
      forget();
    };
  }

  /** The upstream speaks another protocol from here on, and so does the client. */
  #join(head: ResponseHead): void {
    const exchange = this.#exchange;
    const connection = this.#connection;
    const server = this.#server;
    if (connection === undefined || exchange.upgrade === undefined) return this.onFault('invalid', 'it changed the protocol unasked');
    this.#answered = true;
    this.#note();
    this.#link = undefined;
    exchange.onAbandon = undefined;
    this.#endHold();
    joinSockets(exchange, connection, head, clientHeaders(this.#action, head.headers, exchange), this.#action.entry.readTimeoutMs, () => {
      if (server !== undefined) releaseServer(server);
    });
  }

  // ---- bookkeeping

  #note(): void {
    if (this.#link === undefined) return;
    addToTale(this.#exchange, {
      address: this.#link.label,
      status: this.#status === 0 ? (this.#lastFault === 'timeout' || this.#lastFault === 'connect-timeout' ? 504 : 502) : this.#status,
      connectMs: this.#connection === undefined ? undefined : this.#connectMs,
      headMs: this.#status === 0 ? undefined : this.#headMs,
      responseMs: performance.now() - this.#askedAtMs,
      bytes: this.#answerBytes,
    });
    this.#status = 0;
    this.#answerBytes = 0;
  }

  /** Once for each attempt. */
  #release(): void {
    this.#endHold();
    if (this.#link === undefined || this.#server === undefined) return;
    releaseServer(this.#server);
    this.#link = undefined;
  }

  #endHold(): void {
    if (!this.#held) return;
    this.#held = false;
    held--;
  }

  #abandon(): void {
    this.#bodyBroken = true;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#note();
    this.#release();
    this.#connection?.abandon();
  }
}

function trailerLines(trailers: Headers | undefined): string {
  let lines = '';
  trailers?.names.forEach(({ text, kind }, at) => {
    if (kind === 'pass') lines += `${text}: ${trailers.values[at]}\r\n`;
  });
  return lines;
}
