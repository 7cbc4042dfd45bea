/** One request and its answer, as the rest of the gateway sees it: whatever protocol it came by. */

import { type AnswerFilter, beginEncoded, type FilteredAnswer } from './answer-filter.ts';
import type { BodyReader, Carrier, Reply, RequestFacts } from './carrier.ts';
import { dropFields, fieldIn, fieldsIn } from './connection/header-list.ts';
import type { Headers } from './connection/headers.ts';
import { makeRequestId, makeTraceparent } from './connection/request-id.ts';
import { tlsValueOf } from './connection/tls-facts.ts';
import { decorate } from './decorate.ts';
import { encodeHeaders } from './files/compress.ts';
import { documentRootOf, type FilesPlace, realpathRootOf, requestFilenameOf } from './files/files.ts';
import type { CompiledRoute, CompiledSite, CompiledTable } from './match.ts';
import { pageFor } from './pages.ts';
import { parseBasic } from './rules/access.ts';
import type { RequestVariables, TlsVariable, UpstreamVariable, VariableSource } from './rules/variables.ts';
import type { RequestPath } from './target.ts';
import { type Attempt, Tale } from './upstream/upstream-tale.ts';

/** Who looks after exchanges. */
export interface ExchangeKeeper {
  /** It is over. */
  onClose(exchange: Exchange): void;
  /** Whether an error page answers instead of the gateway's own; then it has begun to. */
  onError(exchange: Exchange, status: number, headers: readonly string[]): boolean;
}

const noPath: RequestPath = { raw: '/', bytes: '/', text: '/' };

const conditional = new Set(['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range']);

/** nginx's ngx_http_special_response_handler. */
const endsConnection = new Set([400, 413, 414, 495, 496, 497, 500, 501]);

const taleField = {
  upstream_addr: 'addresses',
  upstream_status: 'statuses',
  upstream_connect_time: 'connectTimes',
  upstream_header_time: 'headerTimes',
  upstream_response_time: 'responseTimes',
  upstream_response_length: 'lengths',
} as const satisfies Record<UpstreamVariable, keyof Tale>;

/** Where the files of a route are, or of its `try`. */
const placeOf = (route: CompiledRoute | undefined): FilesPlace | undefined =>
  route?.action.kind === 'files' ? route.action.place : route?.tries?.place;

/** Puts `more` into `headers` (both flat), in place of those of the same names. Parts of a file stay what they are. */
function putHeaders(headers: string[], added: readonly string[]): void {
  const isParts = headers.some((value, at) => at % 2 === 1 && value.startsWith('multipart/byteranges'));
  const more = isParts ? added.filter((_, at) => added[at - (at % 2)]?.toLowerCase() !== 'content-type') : added;
  dropFields(headers, new Set(more.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase())));
  headers.push(...more);
}

export class Exchange implements VariableSource, FilteredAnswer, Reply {
  readonly carrier: Carrier;
  readonly request: RequestFacts;
  readonly startedAtMs: number;
  /** The client's, once a trusted proxy has been believed. */
  remoteAddress: string;
  remotePort: number;
  /** The other end of the connection is a proxy whose word is believed. */
  trusted = false;
  /** Set while it is routed. */
  host = '';
  hostLabel = '';
  httpHost = '';
  readonly scheme: 'http' | 'https';
  proxyHost = '';
  requestUri: string;
  path: RequestPath = noPath;
  args = '';
  /** The path is no longer the one sent. */
  rewritten = false;
  /** A rewrite stays in its route with a path of its own: the route's prefix is no part of it. */
  prefixGone = false;
  site: CompiledSite | undefined;
  route: CompiledRoute | undefined;
  /** Searches for a route after the first. */
  searches = 0;
  /** The table it began with. */
  table: CompiledTable | undefined;
  /** It was sent within: by an error page, `try`, X-Accel-Redirect, or as a request that decides. */
  internal = false;
  /** The request that this one decides about. */
  readonly parent: Exchange | undefined;
  /** Requests around this one. */
  readonly depth: number;
  /** It has been counted by the limits of rates. */
  counted = false;
  /** Somebody who has been let in already sends it. */
  admitted = false;
  /** The route whose `try` has been looked through. */
  tried: CompiledRoute | undefined;
  /** An error page answers: there is no other for its own errors. */
  errorPaged = false;
  /** Sent instead of the status of whatever answers. */
  statusInstead: number | undefined;
  vars: RequestVariables | undefined;
  /** Of the answer. 0 until it begins, 499 when it never did. */
  status = 0;
  /** Of the body. */
  bodyBytesSent = 0;
  headBytesSent = 0;
  bodyBytesReceived = 0;
  /** Of the last upstream asked, for the log. */
  upstream = '-';
  tale: Tale | undefined;
  /** Of the last answer of an upstream. */
  upstreamHeaders: Headers | undefined;
  /** Who asks an upstream just now. */
  asking: { attempt(): Attempt | undefined } | undefined;
  /** The answer is out, or cut off: nothing more can be sent. */
  closed = false;
  /** The answer reached its end. */
  completed = false;
  /** Status, headers and so on have been handed over. */
  begun = false;
  /** The whole request has been read. */
  bodyComplete: boolean;
  /** Its whole body, if it was collected before a server was asked. */
  collected: Buffer | undefined;
  /** Called once if the client goes away before its answer is complete. */
  onAbandon: (() => void) | undefined;
  /** Called when there is room again after `write` said false. */
  onDrain: (() => void) | undefined;
  /** Called at the end, whatever it was: what counts requests under way. */
  onEnd: (() => void) | undefined;
  #sent: readonly string[] = [];
  #requestId: string | undefined;
  #traceparent: string | undefined;
  readonly #keeper: ExchangeKeeper;
  #awaitsContinue: boolean;
  #asGet: boolean;
  #bodyRefused = false;
  #extra: readonly string[] = [];
  #filter: AnswerFilter | undefined;

  /** `parent`: this is a request within, which has no body and is asked with GET. */
  constructor(carrier: Carrier, request: RequestFacts, keeper: ExchangeKeeper, nowMs: number, parent?: Exchange) {
    this.carrier = carrier;
    this.request = request;
    this.#keeper = keeper;
    this.startedAtMs = nowMs;
    this.parent = parent;
    this.depth = parent === undefined ? 0 : parent.depth + 1;
    this.#asGet = parent !== undefined;
    this.requestUri = request.url;
    this.remoteAddress = carrier.peer.address;
    this.remotePort = carrier.peer.port;
    this.scheme = carrier.peer.tls === undefined ? 'http' : 'https';
    this.bodyComplete = request.bodyLength === 0;
    this.#awaitsContinue = request.expectsContinue;
  }

  get method(): string {
    return this.#asGet ? 'GET' : this.request.method;
  }

  /** What $request_method stands for: a request within has that of the one around it. */
  get askedMethod(): string {
    return this.parent?.askedMethod ?? this.method;
  }

  get upgrade(): string | undefined {
    return this.request.upgrade;
  }

  /** An error page is asked for with GET, whatever the request was. */
  becomeGet(): void {
    if (this.request.method !== 'HEAD') this.#asGet = true;
  }

  /** An error page answers from here on, with `headers` (flat) of the error itself. A body that was at fault goes nowhere. */
  beginErrorPage(status: number, headers: readonly string[]): void {
    this.errorPaged = true;
    this.#extra = headers;
    this.#noteFailure(status);
    if (status === 413 || status === 408 || status === 400) this.#bodyRefused = true;
  }

  /** After some errors nobody knows what the connection holds next: it ends with the answer, as in nginx. */
  #noteFailure(status: number): void {
    if (endsConnection.has(status)) this.carrier.endAfter?.();
  }

  /** Headers (flat) that the answer gets in place of its own. */
  keepHeaders(headers: readonly string[]): void {
    this.#extra = headers;
  }

  /** What the route answers, as the configuration writes it. */
  get routeName(): string {
    return this.route?.name ?? '';
  }

  /** Ends the connection without an answer: nginx's 444. */
  hangUp(): void {
    this.status = 444;
    this.completed = true;
    this.carrier.cut();
  }

  get protocol(): string {
    return this.request.protocol;
  }

  /** As given, whether or not it was right. */
  get remoteUser(): string {
    return parseBasic(this.header('authorization'))?.name ?? '';
  }

  get requestLine(): string {
    return this.request.method === '' ? '' : `${this.request.method} ${this.request.url} ${this.request.protocol}`;
  }

  get peerAddress(): string {
    return this.carrier.peer.address;
  }

  get peerPort(): number {
    return this.carrier.peer.port;
  }

  get proxyProtocolAddress(): string {
    return this.carrier.peer.proxied?.address ?? '';
  }

  get proxyProtocolPort(): number {
    return this.carrier.peer.proxied?.port ?? 0;
  }

  get serverAddress(): string {
    return this.carrier.peer.localAddress;
  }

  get serverPort(): number {
    return this.carrier.port.number;
  }

  get serverName(): string {
    return this.site?.entry.serverName ?? '';
  }

  get connectionNumber(): number {
    return this.carrier.peer.connection;
  }

  get connectionRequests(): number {
    return this.carrier.peer.requests;
  }

  get pipelined(): boolean {
    return false;
  }

  get requestLength(): number {
    return this.request.headBytes + this.bodyBytesReceived;
  }

  get bytesSent(): number {
    return this.headBytesSent + this.bodyBytesSent;
  }

  /** The query with its `?`, or nothing. */
  get query(): string {
    return this.args === '' ? (this.requestUri.endsWith('?') && !this.rewritten ? '?' : '') : `?${this.args}`;
  }

  get proxyPort(): string {
    const { action } = this.route ?? {};
    if (action?.kind !== 'proxy' || this.proxyHost === '') return '';
    return /:(\d+)$/.exec(this.proxyHost)?.[1] ?? (action.entry.scheme === 'https' ? '443' : '80');
  }

  get documentRoot(): string {
    const place = placeOf(this.route);
    return place === undefined ? '' : documentRootOf(place, this);
  }

  get realpathRoot(): string {
    const place = placeOf(this.route);
    return place === undefined ? '' : realpathRootOf(place, this);
  }

  get requestFilename(): string {
    const place = placeOf(this.route);
    return place === undefined ? '' : requestFilenameOf(place, this, this.route?.prefix ?? '');
  }

  /** An id that nobody else has; the client's own from a trusted proxy. */
  get requestId(): string {
    this.#requestId ??= this.parent?.requestId ?? makeRequestId(this.trusted ? this.header('x-request-id') : '');
    return this.#requestId;
  }

  get traceparent(): string {
    this.#traceparent ??= this.parent?.traceparent ?? makeTraceparent(this.header('traceparent'));
    return this.#traceparent;
  }

  /** All values of a request header joined, or the empty text. `name` is lowercase. */
  header(name: string): string {
    // Conditions and ranges are about what was asked for, not about an error page or an answer that decides.
    if ((this.errorPaged || this.depth > 0) && conditional.has(name)) return '';
    return this.request.headers.joined(name);
  }

  sentHeader(name: string): string {
    return fieldsIn(this.#sent, name).join(', ');
  }

  upstreamHeader(name: string): string {
    return this.upstreamHeaders?.joined(name) ?? '';
  }

  upstreamCookies(): readonly string[] {
    return this.upstreamHeaders?.all('set-cookie') ?? [];
  }

  tlsValue(name: TlsVariable): string {
    const { tls } = this.carrier.peer;
    return tls === undefined ? '' : tlsValueOf(tls, name);
  }

  upstreamValue(name: UpstreamVariable): string {
    const { tale } = this;
    const now = this.asking?.attempt();
    if (now !== undefined) return new Tale([...(tale?.attempts ?? []), now])[taleField[name]];
    return tale === undefined ? '' : tale[taleField[name]];
  }

  /** Whether there is a body for whoever answers, read or not. */
  get hasBody(): boolean {
    return this.request.bodyLength !== 0 && !this.#asGet && !this.#bodyRefused;
  }

  /** An upstream is being asked, or answering: for nobody, once the client is gone. */
  get awaitsUpstream(): boolean {
    return this.asking?.attempt() !== undefined;
  }

  /** Some of the body has been passed on, and cannot be had again. */
  get bodyGone(): boolean {
    return this.hasBody && this.bodyBytesReceived > 0 && this.collected === undefined;
  }

  /** Starts reading the body; tells a client that waits for it (Expect: 100-continue) to send. */
  readBody(reader: BodyReader): void {
    if (this.#awaitsContinue) {
      this.#awaitsContinue = false;
      this.carrier.sendContinue();
    }
    this.carrier.readBody(reader);
  }

  /** Sends status and headers (flat, without those of the connection). */
  begin(given: number, headers: string[], sentence?: string): void {
    if (this.closed) return;
    const route = this.route ?? this.site?.rest;
    const status = this.statusInstead ?? given;
    const message = status === given ? sentence : undefined;
    if (this.#extra.length > 0) putHeaders(headers, this.#extra);
    this.status = status;
    this.begun = true;
    this.#sent = headers;
    const encoding = route === undefined ? undefined : decorate(this, route, status, headers);
    if (encoding === undefined || route?.compress === undefined) return this.carrier.sendHead(status, headers, message);
    const said = fieldIn(headers, 'content-length');
    if (this.method === 'HEAD') {
      encodeHeaders(headers, encoding);
      return this.carrier.sendHead(status, headers, message);
    }
    this.#filter = beginEncoded(this, encoding, route.compress, status, headers, message, said === undefined ? undefined : Number(said));
  }

  /** Sends a part of the body; false asks to wait for `onDrain`. */
  write(part: Buffer): boolean {
    if (this.closed) return true;
    if (this.#filter !== undefined) return this.#filter.write(part);
    this.bodyBytesSent += part.length;
    return this.carrier.sendPart(part);
  }

  /** Parts of the answer are kept by whoever sends them. */
  get holdsParts(): boolean {
    return this.#filter !== undefined || this.carrier.waitingBytes > 0;
  }

  /** What has begun leaves now, though its body has not. */
  flush(): void {
    if (this.closed) return;
    if (this.#filter === undefined) this.carrier.flush();
    else this.#filter.flush();
  }

  /** There is room for more of the answer. */
  drained(): void {
    if (this.#filter === undefined) this.onDrain?.();
    else this.#filter.resume();
  }

  /** Ends the answer, with a last part if there is one. */
  end(last?: Buffer, trailers?: Headers): void {
    if (this.closed) return;
    if (this.#filter !== undefined) return this.#filter.end(last);
    this.#finish(last, trailers);
  }

  sendEncoded(part: Buffer): boolean {
    if (this.closed) return true;
    this.bodyBytesSent += part.length;
    return this.carrier.sendPart(part);
  }

  endEncoded(last: Buffer | undefined): void {
    if (!this.closed) this.#finish(last, undefined);
  }

  #finish(last: Buffer | undefined, trailers: Headers | undefined): void {
    if (last !== undefined) this.bodyBytesSent += last.length;
    this.completed = true;
    if (!this.bodyComplete) this.carrier.dropBody();
    this.carrier.sendEnd(last, trailers);
  }

  /** A whole answer at once. `headers` is flat, without Content-Length. */
  respond(status: number, headers: string[], body: string | Buffer = ''): void {
    if (this.closed) return;
    if (this.begun) return this.breakOff();
    const content = typeof body === 'string' ? Buffer.from(body) : body;
    const sent = this.statusInstead ?? status;
    const bodiless = sent < 200 || sent === 204 || sent === 304;
    if (!bodiless) headers.push('Content-Length', String(content.length));
    this.begin(status, headers);
    this.end(bodiless || this.method === 'HEAD' || content.length === 0 ? undefined : content);
  }

  /** One of the gateway's own pages. */
  respondPage(status: number, headers: string[] = []): void {
    if (this.closed || this.#keeper.onError(this, status, headers)) return;
    this.#noteFailure(status);
    this.#extra = [];
    const page = pageFor(status, this.header('accept'));
    headers.push('Content-Type', page.contentType);
    this.respond(status, headers, page.body);
  }

  /** Cuts the connection, so that nobody takes half an answer for a whole one. */
  breakOff(): void {
    this.carrier.cut();
  }

  /** Ends the bookkeeping: once, when the answer is out, cut off, or (after an upgrade) when the connection ends. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    const abandon = this.onAbandon;
    this.onAbandon = undefined;
    this.onDrain = undefined;
    if (!this.completed) abandon?.();
    // As nginx writes down a client that left before it had an answer.
    if (this.status === 0) this.status = 499;
    this.#filter?.destroy();
    this.onEnd?.();
    this.#keeper.onClose(this);
  }
}
