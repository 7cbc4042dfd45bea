/**
 * A connection of a client that speaks HTTP/2: each stream is an exchange of its own. nghttp2 reads the frames; what is
 * checked here is what HTTP/1 upstreams could take another way: names and values of headers (RFC 9113, 8.2 and 10.3).
 */
import type { Buffer } from 'node:buffer';
import http2, { type IncomingHttpHeaders, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { BodyReader, Carrier } from '../carrier.ts';
import type { Exchange } from '../exchange.ts';
import { Headers, headerName, isHeaderValue } from '../headers.ts';
import { httpDate } from '../http-date.ts';
import type { Receiver } from '../http1/client-connection.ts';
import { maxHeaderLines } from '../http1/head.ts';
import type { Peer, Port } from '../port.ts';

/** Requests that one connection may have under way. */
const maxStreams = 128;
const windowBytes = 256 * 1024;
const { NGHTTP2_NO_ERROR, NGHTTP2_INTERNAL_ERROR, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_FLAG_END_STREAM } = http2.constants;

export interface Http2Connection {
  closeWhenIdle(): void;
  readonly busy: boolean;
  destroy(): void;
}

/** Speaks HTTP/2 on `socket` until it ends; `onClose` is called then. */
export function serveHttp2(socket: TLSSocket, port: Port, peer: Peer, receiver: Receiver, onClose: () => void): Http2Connection {
  const { limits } = port;
  const session = http2.performServerHandshake(socket, {
    settings: {
      maxConcurrentStreams: maxStreams,
      initialWindowSize: windowBytes,
      maxHeaderListSize: limits.maxHeaderBytes,
      enablePush: false,
    },
    maxHeaderListPairs: maxHeaderLines + 8,
    maxSessionMemory: 16,
  });
  const streams = new Set<ClientStream>();
  session.setTimeout(limits.idleTimeoutMs, () => {
    if (streams.size === 0) session.close();
  });
  session.on('error', () => session.destroy());
  session.on('close', onClose);
  session.on('stream', (stream, pseudo, flags, raw: readonly string[]) => {
    peer.requests++;
    const made = new ClientStream(stream, port, peer, session, () => streams.delete(made));
    streams.add(made);
    made.begin(pseudo, (flags & NGHTTP2_FLAG_END_STREAM) !== 0, raw, receiver);
  });
  return {
    closeWhenIdle: () => session.close(),
    get busy() {
      return streams.size > 0;
    },
    destroy: () => session.destroy(),
  };
}

class ClientStream implements Carrier {
  readonly port: Port;
  readonly peer: Peer;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #stream: ServerHttp2Stream;
  readonly #session: ServerHttp2Session;
  readonly #onGone: () => void;
  #exchange: Exchange | undefined;
  #reader: BodyReader | undefined;
  #bodyLeft = true;
  #isHead = false;
  #trailers: Headers | undefined;

  constructor(stream: ServerHttp2Stream, port: Port, peer: Peer, session: ServerHttp2Session, onGone: () => void) {
    this.#stream = stream;
    this.#session = session;
    this.port = port;
    this.peer = peer;
    this.#onGone = onGone;
    port.deadlines.add(this);
    stream.on('error', () => {});
    stream.on('drain', () => {
      this.deadlineMs = Number.POSITIVE_INFINITY;
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
    const headers = headersOf(pseudo, raw);
    const method = pseudo[':method'];
    const path = pseudo[':path'];
    if (headers === undefined || method === undefined || path === undefined || method === 'CONNECT') {
      receiver.malformed(this, { status: 400, why: 'headers that are none' });
      this.#stream.respond({ ':status': 400 }, { endStream: true });
      return;
    }
    this.#isHead = method === 'HEAD';
    this.#bodyLeft = !ended;
    const length = headers.get('content-length');
    const exchange = receiver.begin(this, {
      method,
      url: path,
      protocol: 'HTTP/2.0',
      headers,
      bodyLength: ended ? 0 : length === undefined ? -1 : Number(length) || -1,
      expectsContinue: headers.get('expect')?.toLowerCase() === '100-continue',
      upgrade: undefined,
      headBytes: raw.reduce((sum, text) => sum + text.length, 0),
    });
    this.#exchange = exchange;
    receiver.route(exchange);
  }

  readBody(reader: BodyReader): void {
    this.#reader = reader;
    if (!this.#bodyLeft) return reader.onBodyEnd(undefined);
    this.#awaitBody();
    this.#stream.on('data', (part: Buffer) => {
      if (this.#reader === undefined) return;
      this.#awaitBody();
      if (this.#exchange !== undefined) this.#exchange.bodyBytesReceived += part.length;
      this.#reader.onBodyPart(part);
    });
    this.#stream.on('end', () => this.#endBody());
  }

  #awaitBody(): void {
    this.deadlineMs = performance.now() + this.port.limits.stallTimeoutMs;
  }

  #endBody(): void {
    if (!this.#bodyLeft || this.#stream.aborted) return;
    this.#bodyLeft = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#exchange !== undefined) this.#exchange.bodyComplete = true;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.onBodyEnd(undefined);
  }

  pauseBody(): void {
    this.#stream.pause();
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }

  resumeBody(): void {
    if (!this.#bodyLeft) return;
    this.#awaitBody();
    this.#stream.resume();
  }

  /** The client is told to stop once the answer is out (RFC 9113, 8.1). */
  dropBody(): void {
    this.#reader = undefined;
    this.#stream.resume();
    this.#stream.once('finish', () => this.#stream.close(NGHTTP2_NO_ERROR));
  }

  sendContinue(): void {
    this.#stream.additionalHeaders({ ':status': 100 });
  }

  sendHead(status: number, headers: readonly string[], _message: string | undefined): void {
    const fields: Record<string, string | number | string[]> = { ':status': status, date: httpDate() };
    let counted = false;
    for (let at = 0; at < headers.length; at += 2) {
      const name = (headers[at] ?? '').toLowerCase();
      const value = headers[at + 1] ?? '';
      if (name === 'connection') continue;
      counted ||= name === 'content-length';
      const before = name === 'date' ? undefined : fields[name];
      fields[name] = before === undefined ? value : Array.isArray(before) ? [...before, value] : [String(before), value];
    }
    const bodiless = this.#isHead || status === 204 || status === 304;
    if (!this.#stream.headersSent && !this.#stream.destroyed) {
      this.#stream.respond(fields, { endStream: false, waitForTrailers: !counted && !bodiless });
    }
    if (this.port.closing) this.#session.close();
  }

  sendPart(part: Buffer): boolean {
    if (this.#isHead || this.#stream.destroyed) return true;
    const free = this.#stream.write(part);
    if (!free) this.#awaitRoom();
    return free;
  }

  #awaitRoom(): void {
    this.deadlineMs = performance.now() + this.port.limits.stallTimeoutMs;
  }

  sendEnd(last: Buffer | undefined, trailers: Headers | undefined): void {
    this.#trailers = trailers;
    if (last !== undefined && !this.#isHead) this.#stream.end(last);
    else this.#stream.end();
    this.#exchange?.close();
    if (this.#stream.writableNeedDrain) this.#awaitRoom();
  }

  #sendTrailers(): void {
    const fields: Record<string, string> = {};
    const { names = [], values = [] } = this.#trailers ?? {};
    names.forEach(({ lower, kind }, at) => {
      if (kind === 'pass') fields[lower] = values[at] ?? '';
    });
    if (Object.keys(fields).length > 0) this.#stream.sendTrailers(fields);
    else this.#stream.close();
  }

  flush(): void {}

  cut(): void {
    if (!this.#stream.destroyed) this.#stream.close(NGHTTP2_INTERNAL_ERROR);
    this.#exchange?.close();
  }

  onDeadline(): void {
    const reader = this.#reader;
    if (reader === undefined) return void this.#stream.close(NGHTTP2_ENHANCE_YOUR_CALM);
    this.#reader = undefined;
    reader.onBodyFault(408);
  }

  #onClose(): void {
    this.port.deadlines.remove(this);
    this.#onGone();
    const reader = this.#reader;
    this.#reader = undefined;
    if (this.#bodyLeft) reader?.onBodyFault(0);
    this.#exchange?.close();
  }
}

/** Names that HTTP/2 does not have: they would mean something to the HTTP/1 connection behind. */
const connectionOnly = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']);

/** The fields of a request with its authority as Host; undefined when one of them cannot be. */
function headersOf(pseudo: IncomingHttpHeaders, raw: readonly string[]): Headers | undefined {
  const headers = new Headers();
  const authority = pseudo[':authority'];
  const hostName = headerName('Host');
  if (authority !== undefined && hostName !== undefined) headers.add(hostName, authority);
  for (let at = 0; at < raw.length; at += 2) {
    const text = raw[at] ?? '';
    const value = raw[at + 1] ?? '';
    if (text.startsWith(':')) continue;
    const name = headerName(text);
    if (name === undefined || connectionOnly.has(name.lower) || !isHeaderValue(value)) return undefined;
    if (name.kind === 'host') {
      if (authority !== undefined && authority.toLowerCase() !== value.toLowerCase()) return undefined;
      if (authority !== undefined || headers.get('host') !== undefined) continue;
    }
    if (name.kind === 'length' && (!/^\d{1,15}$/.test(value) || headers.get('content-length') !== undefined)) return undefined;
    headers.add(name, value);
  }
  return headers;
}
