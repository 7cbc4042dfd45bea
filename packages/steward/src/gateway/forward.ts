/**
 * Hands a request to an upstream and its answer back, both streamed.
 *
 *   pick a server ── dispatch ── connect failed, or reset before a byte of an answer ──► the next server, if it can be repeated
 *        │                └── answer ──► headers, then the body as it comes; a break in it breaks the client's connection
 *        └── none left: 503 if there was none at all, else 502, or 504 when the last one took too long
 */
import type { Dispatcher } from 'undici';
import { noteAnswer, noteFailure, type Server } from './balance.ts';
import type { Exchange } from './exchange.ts';
import { type CompiledProxy, clientHeaders, upstreamHeaders, upstreamTarget } from './proxy-action.ts';
import { RequestBody } from './request-body.ts';
import type { Link, Upstreams } from './upstreams.ts';

/** Why a server did not answer. */
export type Failure = 'unreachable' | 'connect-timeout' | 'reset' | 'timeout' | 'refused-by-us';

/** With `buffering` this much of an answer is read ahead of a slow client. */
const readAheadBytes = 64 * 1024;

/** Up to here copying an answer into one write is cheaper than a second buffer in it. */
const smallBytes = 4096;

/** Methods that may be sent twice without harm (RFC 9110, 9.2.2). */
const repeatable = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** Answers `exchange` by the servers of `action`. Always ends it, with an answer or by cutting the connection. */
export function forward(
  exchange: Exchange,
  action: CompiledProxy,
  prefix: string,
  maxBodyBytes: number,
  upstreams: Upstreams,
  log: (line: string) => void,
): void {
  new Forwarding(exchange, action, prefix, maxBodyBytes, upstreams, log).next();
}

function failureOf(error: Error, sent: boolean): Failure {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED' || code === 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH')
    return 'refused-by-us';
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (!sent && code === 'ETIMEDOUT')) return 'connect-timeout';
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'timeout';
  return sent ? 'reset' : 'unreachable';
}

class Forwarding implements Dispatcher.DispatchHandler {
  readonly #exchange: Exchange;
  readonly #action: CompiledProxy;
  readonly #upstreams: Upstreams;
  readonly #log: (line: string) => void;
  readonly #headers: string[];
  readonly #path: string;
  readonly #maxBodyBytes: number;
  #tried: Set<Server> | undefined;
  #server: Server | undefined;
  #link: Link | undefined;
  #body: RequestBody | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #sent = false;
  #answered = false;
  /** Nothing of the answer has left yet, and it may still turn out to be small. */
  #waits = false;
  #first: Buffer | undefined;
  #lastFailure: Failure | undefined;

  constructor(
    exchange: Exchange,
    action: CompiledProxy,
    prefix: string,
    maxBodyBytes: number,
    upstreams: Upstreams,
    log: (line: string) => void,
  ) {
    this.#exchange = exchange;
    this.#action = action;
    this.#upstreams = upstreams;
    this.#log = log;
    this.#maxBodyBytes = maxBodyBytes;
    exchange.proxyHost = action.entry.proxyHost;
    this.#headers = upstreamHeaders(action, exchange);
    this.#path = upstreamTarget(action, exchange.target.path, prefix, exchange.target.query);
    exchange.onAbandon = () => this.#abandon();
  }

  /** Gives the request to the next server. */
  next(): void {
    const { entry } = this.#action;
    const server = this.#upstreams.pick(entry.upstream, performance.now(), this.#tried);
    if (server === undefined) return void this.#giveUp();
    const link = this.#upstreams.link(server, entry);
    this.#server = server;
    this.#link = link;
    this.#sent = false;
    this.#exchange.upstream = link.label;
    if (this.#action.host === undefined) this.#headers[1] = link.authority;
    this.#body = this.#exchange.hasBody ? new RequestBody(this.#exchange, this.#maxBodyBytes) : undefined;
    server.active++;
    server.requests++;
    link.pool.dispatch(this.#options(link), this);
  }

  #options({ serverName }: Link): Dispatcher.DispatchOptions {
    const { readTimeoutMs, scheme } = this.#action.entry;
    const options = {
      path: this.#path,
      method: this.#exchange.method,
      headers: this.#headers,
      body: this.#body,
      headersTimeout: readTimeoutMs,
      bodyTimeout: readTimeoutMs,
    };
    // Without a name of our own undici asks for the client's Host and reconnects whenever that changes.
    return scheme === 'https' ? Object.assign(options, { servername: serverName }) : options;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#sent = true;
    if (this.#exchange.closed) controller.abort(new Error('the client went away'));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    received: Record<string, string | string[] | undefined>,
    message?: string,
  ): void {
    if (status < 200) return;
    this.#controller = controller;
    if (this.#server !== undefined) noteAnswer(this.#server);
    const headers = clientHeaders(this.#action, received, this.#exchange);
    this.#exchange.begin(status, headers, message === '' ? undefined : message);
    this.#answered = true;
    this.#waits = true;
    process.nextTick(flushIfWaiting, this);
  }

  /**
   * Headers wait for the first part of the body, and that for the end, until this turn of the event loop is over: a small
   * answer leaves in one write, a slow one (an event stream) loses no time.
   */
  flush(): void {
    if (!this.#waits) return;
    this.#waits = false;
    if (this.#exchange.closed) return;
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) this.#pass(first);
    else this.#exchange.res.flushHeaders();
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#waits && this.#first === undefined && chunk.length <= smallBytes) {
      this.#first = chunk;
      return;
    }
    const first = this.#first;
    this.#first = undefined;
    this.#waits = false;
    if (first !== undefined) this.#pass(first);
    this.#pass(chunk);
  }

  #pass(chunk: Buffer): void {
    const { res } = this.#exchange;
    const controller = this.#controller;
    if (this.#exchange.write(chunk) || controller === undefined || controller.paused) return;
    if (this.#action.entry.buffering && res.writableLength < readAheadBytes) return;
    controller.pause();
    res.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    this.#waits = false;
    this.#release();
    if (!this.#exchange.closed) this.#exchange.end(this.#first);
  }

  onResponseError(_controller: Dispatcher.DispatchController | null, error: Error): void {
    this.#release();
    const exchange = this.#exchange;
    const fault = this.#body?.fault;
    if (exchange.closed) return;
    if (this.#answered || exchange.res.headersSent) {
      this.#log(`${exchange.upstream}: the answer to ${exchange.method} ${exchange.target.path.raw} broke off: ${error.message}`);
      return void exchange.breakOff();
    }
    if (fault !== undefined) return void exchange.respondPage(fault);
    const failure = failureOf(error, this.#sent);
    this.#lastFailure = failure;
    if (failure === 'refused-by-us') return void exchange.respondPage(400);
    if (this.#server !== undefined) noteFailure(this.#server, performance.now());
    this.#log(`${exchange.upstream}: ${exchange.method} ${exchange.target.path.raw}: ${error.message || failure}`);
    if (!this.#mayRepeat(failure)) return void exchange.respondPage(failure === 'timeout' ? 504 : 502);
    if (this.#server !== undefined) this.#tried = (this.#tried ?? new Set()).add(this.#server);
    this.next();
  }

  /** A request that never left can go elsewhere; one that was cut short only if it does no harm twice and its body is not gone. */
  #mayRepeat(failure: Failure): boolean {
    if (this.#body?.taken === true) return false;
    if (!this.#sent) return true;
    return failure === 'reset' && this.#body === undefined && repeatable.has(this.#exchange.method);
  }

  #giveUp(): void {
    const exchange = this.#exchange;
    if (this.#lastFailure !== undefined) return void exchange.respondPage(this.#lastFailure === 'connect-timeout' ? 504 : 502);
    exchange.respondPage(503, ['retry-after', '1']);
  }

  /** Once for each attempt. */
  #release(): void {
    if (this.#link === undefined || this.#server === undefined) return;
    this.#server.active--;
    this.#link = undefined;
  }

  #abandon(): void {
    const reason = new Error('the client went away');
    this.#body?.destroy(reason);
    if (this.#sent) this.#controller?.abort(reason);
  }
}

function flushIfWaiting(forwarding: Forwarding): void {
  forwarding.flush();
}
