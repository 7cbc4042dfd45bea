/**
 * A connection of a client that speaks HTTP/2: each stream is an exchange of its own. nghttp2 reads the frames; what is
 * checked here is what HTTP/1 upstreams could take another way: names and values of headers (RFC 9113, 8.2 and 10.3).
 */
import type { Buffer } from 'node:buffer';
import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { BodyFault, BodyReader, Carrier } from '../../carrier.ts';
import type { Exchange } from '../../exchange.ts';
import type { Timed } from '../deadlines.ts';
import { Headers, headerName, isHeaderValue, mayTrail } from '../headers.ts';
import { httpDate } from '../http-date.ts';
import type { Receiver } from '../http1/client-connection.ts';
import { isMethod, isTarget, maxHeaderLines } from '../http1/head.ts';
import type { Peer, Port } from '../port.ts';

/** Requests that one connection may have under way. */
const maxStreams = 128;
/** A client may send so much of a body before it is asked for more; a whole connection, four bodies' worth. */
const windowBytes = 256 * 1024;
/** After its last answer a client is given this long to end the connection itself. */
const lingerMs = 5_000;
const { NGHTTP2_NO_ERROR, NGHTTP2_FLAG_END_STREAM } = http2.constants;

/** `closeWhenIdle` tells the client to send no more requests; those under way are answered. */
export interface Http2Connection {
  closeWhenIdle(): void;
  readonly busy: boolean;
  destroy(): void;
}

/** Speaks HTTP/2 on `socket` until it ends; `onClose` is called then. */
export function serveHttp2(socket: TLSSocket, port: Port, peer: Peer, receiver: Receiver, onClose: () => void): Http2Connection {
  return new ClientSession(socket, port, peer, receiver, onClose);
}

class ClientSession implements Http2Connection, Timed {
  deadlineMs: number;
  readonly #socket: TLSSocket;
  readonly #port: Port;
  readonly #session: ServerHttp2Session;
  #streams = 0;
  #closing = false;

  constructor(socket: TLSSocket, port: Port, peer: Peer, receiver: Receiver, onClose: () => void) {
    const { limits, deadlines } = port;
    this.#socket = socket;
    this.#port = port;
    this.deadlineMs = performance.now() + limits.headerTimeoutMs;
    const session = http2.performServerHandshake(socket, {
      settings: {
        maxConcurrentStreams: maxStreams,
        initialWindowSize: windowBytes,
        maxHeaderListSize: limits.maxHeaderBytes,
        enablePush: false,
      },
      maxHeaderListPairs: maxHeaderLines + 8,
      // In megabytes: every stream may hold back an answer for a slow client.
      maxSessionMemory: 32,
      // Upstreams do send some headers twice.
      strictSingleValueFields: false,
    });
    this.#session = session;
    session.setLocalWindowSize(4 * windowBytes);
    deadlines.add(this);
    session.on('error', () => session.destroy());
    session.on('close', () => {
      deadlines.remove(this);
      onClose();
    });
    session.on('stream', (stream, pseudo, flags, raw: readonly string[]) => {
      // Reset before it was even looked at.
      if (stream.destroyed || stream.aborted) return;
      peer.requests++;
      this.#streams++;
      this.deadlineMs = Number.POSITIVE_INFINITY;
      const made = new ClientStream(stream, port, peer, this);
      made.begin(pseudo, (flags & NGHTTP2_FLAG_END_STREAM) !== 0, raw, receiver);
    });
  }

  get busy(): boolean {
    return this.#streams > 0;
  }

  /** One of its streams is over. */
  noteStreamGone(): void {
    this.#streams--;
    if (this.#streams === 0) this.#awaitNext();
  }

  /** The next request, or the end. Pings do not keep a connection open. */
  #awaitNext(): void {
    this.deadlineMs = performance.now() + (this.#closing ? lingerMs : this.#port.limits.idleTimeoutMs);
  }

  closeWhenIdle(): void {
    if (this.#closing) return;
    this.#closing = true;
    if (!this.#session.closed) this.#session.close();
    if (this.#streams === 0) this.#awaitNext();
  }

  onDeadline(): void {
    if (this.#closing) this.destroy();
    else this.closeWhenIdle();
  }

  destroy(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }
}

class ClientStream implements Carrier, Timed {
  readonly port: Port;
  readonly peer: Peer;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #stream: ServerHttp2Stream;
  readonly #session: ClientSession;
  #exchange: Exchange | undefined;
  #reader: BodyReader | undefined;
  #bodyLeft = true;
  #listens = false;
  /** What Content-Length says; undefined when it says nothing. */
  #declared: number | undefined;
  #received = 0;
  /** When more of the body, and room for more of the answer, are due. */
  #bodyDueMs = Number.POSITIVE_INFINITY;
  #roomDueMs = Number.POSITIVE_INFINITY;
  #isHead = false;
  #bodiless = false;
  /** Behind the answer, and behind the request's body. */
  #trailers: Headers | undefined;
  #sentTrailers: Headers | undefined;

  constructor(stream: ServerHttp2Stream, port: Port, peer: Peer, session: ClientSession) {
    this.#stream = stream;
    this.#session = session;
    this.port = port;
    this.peer = peer;
    port.deadlines.add(this);
    stream.on('error', () => {});
    stream.on('drain', () => {
      this.#awaitRoom(false);
      this.#exchange?.drained();
    });
    stream.on('aborted', () => this.#exchange?.close());
    stream.on('close', () => this.#onClose());
    stream.on('wantTrailers', () => this.#sendTrailers());
  }

  get waitingBytes(): number {
    return this.#stream.writableLength;
  }

  begin(pseudo: IncomingHttpHeaders, ended: boolean, raw: readonly string[], receiver: Receiver): void {
    const method = pseudo[':method'] ?? '';
    const path = pseudo[':path'] ?? '';
    const headers = isMethod(method) && method !== 'CONNECT' && isPath(path) ? headersOf(pseudo, raw) : undefined;
    this.#bodyLeft = !ended;
    // They may be here before anybody reads the body.
    if (!ended)
      this.#stream.on('trailers', (_fields, _flags, sent: readonly string[]) => {
        this.#sentTrailers = trailersOf(sent);
      });
    if (headers === undefined) return this.#refuse(receiver);
    this.#isHead = method === 'HEAD';
    const length = headers.get('content-length');
    this.#declared = length === undefined ? undefined : Number(length);
    const exchange = receiver.begin(this, {
      method,
      url: path,
      protocol: 'HTTP/2.0',
      headers,
      bodyLength: ended ? 0 : this.#declared || -1,
      expectsContinue: headers.get('expect')?.toLowerCase() === '100-continue',
      upgrade: undefined,
      headBytes: raw.reduce((sum, text) => sum + text.length, 0),
    });
    this.#exchange = exchange;
    receiver.route(exchange);
  }

  #refuse(receiver: Receiver): void {
    receiver.malformed(this, { status: 400, why: 'headers that are none' });
    this.#stream.respond({ ':status': 400 }, { endStream: true });
    if (this.#bodyLeft) this.dropBody();
  }

  readBody(reader: BodyReader): void {
    this.#reader = reader;
    if (!this.#bodyLeft) return reader.onBodyEnd(undefined);
    this.#awaitBody(true);
    if (this.#listens) return void this.#stream.resume();
    this.#listens = true;
    this.#stream.on('data', (part: Buffer) => this.#takePart(part));
    this.#stream.on('end', () => this.#endBody());
    // It may have been paused while a server was looked for.
    this.#stream.resume();
  }

  #takePart(part: Buffer): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    this.#awaitBody(true);
    this.#received += part.length;
    if (this.#declared !== undefined && this.#received > this.#declared) return this.#failBody(400);
    if (this.#exchange !== undefined) this.#exchange.bodyBytesReceived += part.length;
    reader.onBodyPart(part);
  }

  #endBody(): void {
    if (!this.#bodyLeft || this.#stream.aborted) return;
    if (this.#declared !== undefined && this.#received !== this.#declared && this.#reader !== undefined) return this.#failBody(400);
    this.#bodyLeft = false;
    this.#awaitBody(false);
    if (this.#exchange !== undefined) this.#exchange.bodyComplete = true;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.onBodyEnd(this.#sentTrailers);
  }

  #failBody(status: BodyFault): void {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#awaitBody(false);
    reader?.onBodyFault(status);
  }

  #awaitBody(awaited: boolean): void {
    this.#bodyDueMs = awaited ? performance.now() + this.port.limits.stallTimeoutMs : Number.POSITIVE_INFINITY;
    this.deadlineMs = Math.min(this.#bodyDueMs, this.#roomDueMs);
  }

  #awaitRoom(awaited: boolean): void {
    this.#roomDueMs = awaited ? performance.now() + this.port.limits.stallTimeoutMs : Number.POSITIVE_INFINITY;
    this.deadlineMs = Math.min(this.#bodyDueMs, this.#roomDueMs);
  }

  pauseBody(): void {
    if (!this.#bodyLeft) return;
    this.#stream.pause();
    this.#awaitBody(false);
  }

  resumeBody(): void {
    if (!this.#bodyLeft) return;
    this.#awaitBody(true);
    this.#stream.resume();
  }

  /** The client is told to stop once the answer is out (RFC 9113, 8.1). */
  dropBody(): void {
    this.#reader = undefined;
    this.#awaitBody(false);
    this.#stream.resume();
    this.#stream.once('finish', () => this.#stream.close(NGHTTP2_NO_ERROR));
  }

  sendContinue(): void {
    if (!this.#stream.headersSent && !this.#stream.destroyed) this.#stream.additionalHeaders({ ':status': 100 });
  }

  sendHead(status: number, headers: readonly string[], _message: string | undefined): void {
    const fields = [':status', String(status)];
    let counted = false;
    let dated = false;
    for (let at = 0; at < headers.length; at += 2) {
      const name = (headers[at] ?? '').toLowerCase();
      if (connectionOnly.has(name) || (status === 204 && name === 'content-length')) continue;
      counted ||= name === 'content-length';
      dated ||= name === 'date';
      fields.push(name, headers[at + 1] ?? '');
    }
    if (!dated) fields.push('date', httpDate());
    this.#bodiless = this.#isHead || status === 204 || status === 205 || status === 304;
    if (!this.#stream.headersSent && !this.#stream.destroyed)
      this.#stream.respond(fields, { endStream: false, waitForTrailers: !counted && !this.#bodiless });
    if (this.port.closing) this.#session.closeWhenIdle();
  }

  sendPart(part: Buffer): boolean {
    if (this.#bodiless || this.#stream.destroyed) return true;
    const free = this.#stream.write(part);
    if (!free) this.#awaitRoom(true);
    return free;
  }

  sendEnd(last: Buffer | undefined, trailers: Headers | undefined): void {
    this.#trailers = trailers;
    if (last !== undefined && !this.#bodiless) this.#stream.end(last);
    else this.#stream.end();
    this.#exchange?.close();
    if (this.#stream.writableLength > 0) this.#awaitRoom(true);
  }

  /** An empty part ends the stream when there are none: closing it instead would take the answer for a broken one. */
  #sendTrailers(): void {
    const fields: Record<string, string> = {};
    const { names = [], values = [] } = this.#trailers ?? {};
    names.forEach(({ lower }, at) => {
      fields[lower] = values[at] ?? '';
    });
    this.#stream.sendTrailers(fields);
  }

  flush(): void {}

  /** A stream that is only closed would first end what it has sent so far, as if that were the whole answer. */
  cut(): void {
    if (!this.#stream.destroyed) this.#stream.destroy(brokenOff);
    this.#exchange?.close();
  }

  onDeadline(): void {
    const now = performance.now();
    if (this.#roomDueMs <= now) return this.cut();
    this.#failBody(408);
    this.deadlineMs = this.#roomDueMs;
  }

  #onClose(): void {
    this.port.deadlines.remove(this);
    this.#session.noteStreamGone();
    if (this.#bodyLeft) this.#failBody(0);
    this.#exchange?.close();
  }
}

/** Its code goes to the client as INTERNAL_ERROR. */
const brokenOff = new Error('the answer broke off');

/** Names that HTTP/2 does not have: they would mean something to the HTTP/1 connection behind. */
const connectionOnly = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/** A whole address has no place in a path here: the host stands in :authority. */
const isPath = (path: string): boolean => path.startsWith('/') && isTarget(path);

/**
 * The fields of a request with its authority as Host, and with its cookies in one (RFC 9113, 8.2.3); undefined when one of
 * them cannot be, or when nothing names a host.
 */
function headersOf(pseudo: IncomingHttpHeaders, raw: readonly string[]): Headers | undefined {
  const headers = new Headers();
  const authority = pseudo[':authority'];
  const hostName = headerName('Host');
  let hosts = 0;
  let cookieAt = -1;
  if (authority !== undefined && hostName !== undefined) {
    if (!isHeaderValue(authority)) return undefined;
    headers.add(hostName, authority);
    hosts++;
  }
  for (let at = 0; at < raw.length; at += 2) {
    const text = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    if (text.startsWith(':')) continue;
    const name = headerName(text);
    if (name === undefined || connectionOnly.has(name.lower) || !isHeaderValue(value)) return undefined;
    if (name.kind === 'host') {
      if (authority === undefined ? hosts > 0 : authority.toLowerCase() !== value.toLowerCase()) return undefined;
      if (hosts++ > 0) continue;
    }
    if (name.kind === 'length' && (!/^\d{1,15}$/.test(value) || headers.get('content-length') !== undefined)) return undefined;
    if (name.lower === 'cookie' && cookieAt >= 0) {
      headers.values[cookieAt] = `${headers.values[cookieAt]}; ${value}`;
      continue;
    }
    if (name.lower === 'cookie') cookieAt = headers.names.length;
    headers.add(name, value);
  }
  return hosts === 0 ? undefined : headers;
}

/** Those that may stand behind a body; others are left out. */
function trailersOf(raw: readonly string[]): Headers {
  const trailers = new Headers();
  for (let at = 0; at < raw.length; at += 2) {
    const name = headerName(raw[at] ?? '');
    const value = raw[at + 1] ?? '';
    if (name !== undefined && mayTrail(name) && isHeaderValue(value)) trailers.add(name, value);
  }
  return trailers;
}
