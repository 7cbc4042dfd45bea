/**
 * A connection of a client that speaks HTTP/1: its requests one after the other, each with its answer.
 *
 *   waiting ── head ──► answering ── answer out, body read ──► waiting (keep-alive)
 *      │                    └── Connection: close ──► lingering ── the client ends, or 5 s ──► gone
 *      └── not HTTP: 4xx ──────────────────────────────┘
 *
 * Bytes behind a request (pipelining) wait until it is answered. The deadline is the one thing that waits for the client:
 * headers, more of the body, the next request, or the end of the connection.
 */
import type { Socket } from 'node:net';
import type { BodyFault, BodyReader, Carrier, RequestFacts } from '../../carrier.ts';
import type { Exchange } from '../../exchange.ts';
import { statusText } from '../../pages.ts';
import type { Headers } from '../headers.ts';
import { httpDate } from '../http-date.ts';
import type { Peer, Port } from '../port.ts';
import type { BytesReader, SharedReads } from '../shared-reads.ts';
import { BodyDecoder, type BodySink } from './body.ts';
import { chunked, type HeadFault, isFault, LastFields, type RequestHead, readRequestHead } from './head.ts';

/** What a connection needs of the rest of the gateway. */
export interface Receiver {
  /** Makes the exchange of a request; `route` then answers it, perhaps at once. */
  begin(carrier: Carrier, request: RequestFacts): Exchange;
  route(exchange: Exchange): void;
  /** A connection begins, and ends. */
  opened(): void;
  closed(): void;
  /** Something came in that was no request. */
  malformed(carrier: Carrier, why: HeadFault): void;
}

/**
 * The rest of a refused upload is read for a while, so that the client gets to see the answer instead of a reset: as long as
 * something comes each 5 s, for 30 s at most.
 */
const lingerMs = 5_000;
const longestLingerMs = 30_000;
/** Up to here copying a body behind its head is cheaper than a second buffer in the write. */
const smallBytes = 8 * 1024;
/** Pipelined requests are read ahead up to here. */
const maxAheadBytes = 64 * 1024;

const nothing = Buffer.alloc(0);
const noBody = (status: number): boolean => status < 200 || status === 204 || status === 304;

export class ClientConnection implements Carrier, BodySink, BytesReader {
  readonly port: Port;
  readonly peer: Peer;
  readonly socket: Socket;
  deadlineMs = Number.POSITIVE_INFINITY;
  readonly #receiver: Receiver;
  readonly #reads: SharedReads | undefined;
  /** Bytes not yet read: an incomplete head, or what came behind a request. */
  #ahead: Buffer = nothing;
  /** They lie where the next read of any connection goes. */
  #aheadShared = false;
  readonly #lastFields = new LastFields();
  #exchange: Exchange | undefined;
  #decoder: BodyDecoder | undefined;
  #reader: BodyReader | undefined;
  /** Nobody takes the body just now: it is read ahead up to a limit, so that the end of a client is seen. */
  #bodyWaits = false;
  #lingering = false;
  /** What is read and thrown away is read until then. */
  #dropUntilMs = 0;
  #gone = false;
  #inputEnded = false;
  #running = false;
  /** Of the answer under way. */
  #minor = 1;
  #isHead = false;
  #keepAlive = true;
  #framing: 'counted' | 'chunks' | 'until-close' | 'none' = 'none';
  /** The answer's head, kept back for its body. */
  #head = '';

  /** With `reads` the socket is read into shared memory. */
  constructor(socket: Socket, port: Port, peer: Peer, receiver: Receiver, reads?: SharedReads) {
    this.socket = socket;
    this.#reads = reads;
    this.port = port;
    this.peer = peer;
    this.#receiver = receiver;
    this.deadlineMs = performance.now() + port.limits.headerTimeoutMs;
    port.deadlines.add(this);
    if (reads === undefined) socket.on('data', (bytes: Buffer) => this.onBytes(bytes, false));
    else reads.reader = this;
    socket.on('drain', () => this.#onDrain());
    socket.on('end', () => this.#onEnd());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#onClose());
    socket.on('timeout', () => this.#onStalled());
  }

  get busy(): boolean {
    return this.#exchange !== undefined;
  }

  get waitingBytes(): number {
    return this.socket.writableLength;
  }

  // ---- what comes in

  get keepsBytes(): boolean {
    return this.#decoder !== undefined;
  }

  onBytes(bytes: Buffer, shared: boolean): void {
    if (this.#lingering) return this.#awaitRest();
    this.#aheadShared = shared && this.#ahead.length === 0;
    if (this.#exchange !== undefined && (this.#decoder === undefined || this.#bodyWaits)) {
      this.#keepAhead(this.#ahead.length === 0 ? bytes : Buffer.concat([this.#ahead, bytes]));
      if (this.#ahead.length > maxAheadBytes) this.socket.pause();
      return;
    }
    this.#take(bytes);
  }

  /** What is read later has to outlive the next read. */
  #keepAhead(bytes: Buffer): void {
    this.#ahead = this.#aheadShared ? Buffer.from(bytes) : bytes;
    this.#aheadShared = false;
  }

  /** Reads `bytes`: the rest of a body, then requests as long as each is answered at once. */
  #take(bytes: Buffer): void {
    let rest = bytes;
    if (this.#decoder !== undefined) {
      rest = this.#takeBody(rest);
      if (this.#exchange !== undefined || this.#lingering) {
        this.#ahead = rest;
        return;
      }
    }
    this.#ahead = this.#ahead.length === 0 ? rest : Buffer.concat([this.#ahead, rest]);
    this.#run();
  }

  /** Begins requests while one is there and none is under way. Not entered twice: an answer at once comes back here. */
  #run(): void {
    if (this.#running) return;
    this.#running = true;
    while (this.#exchange === undefined && !this.#lingering && !this.#gone && this.#ahead.length > 0) if (!this.#beginRequest()) break;
    this.#running = false;
    if (this.#exchange === undefined && !this.#lingering && this.#inputEnded) this.socket.end();
  }

  /** Reads a head from what is there; false when it is not complete. */
  #beginRequest(): boolean {
    let bytes = this.#ahead;
    // Empty lines before a request are nothing (RFC 9112, 2.2).
    while (bytes.length >= 2 && bytes[0] === 13 && bytes[1] === 10) bytes = bytes.subarray(2);
    const { maxHeaderBytes } = this.port.limits;
    const end = bytes.indexOf('\r\n\r\n', 0, 'latin1');
    if (end < 0 || end > maxHeaderBytes) {
      this.#keepAhead(bytes);
      if (bytes.length > maxHeaderBytes) this.#refuse(tooLong(bytes, maxHeaderBytes));
      else if (bytes.length > 0 && end < 0) this.#awaitHead(bytes);
      return false;
    }
    const head = readRequestHead(bytes.toString('latin1', 0, end), this.#lastFields);
    if (isFault(head)) {
      this.#refuse(head);
      return false;
    }
    if (end + 4 === bytes.length) this.#ahead = nothing;
    else this.#keepAhead(bytes.subarray(end + 4));
    this.#beginExchange(head, end + 4);
    return true;
  }

  /** A first line that is no HTTP, or a bare line feed, is not worth waiting for the rest. */
  #awaitHead(bytes: Buffer): void {
    const first = bytes[0] ?? 0;
    // Half of an empty line.
    if (first === 13 && bytes.length === 1) return;
    if (first < 33 || first > 126 || hasBareFeed(bytes)) return this.#refuse({ status: 400, why: 'no request of HTTP' });
    if (this.deadlineMs === Number.POSITIVE_INFINITY || this.peer.requests > 0) this.#awaitHeadFrom();
  }

  /** From the first byte of a request on a kept connection, not from the end of the one before. */
  #headBegan = false;

  #awaitHeadFrom(): void {
    if (this.#headBegan) return;
    this.#headBegan = true;
    this.deadlineMs = performance.now() + this.port.limits.headerTimeoutMs;
  }

  #beginExchange(head: RequestHead, headBytes: number): void {
    const { method, minor, bodyLength } = head;
    this.#headBegan = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.peer.requests++;
    this.#minor = minor;
    this.#isHead = method === 'HEAD';
    this.#keepAlive = head.keepAlive && !this.#inputEnded;
    this.#framing = 'none';
    this.#reader = undefined;
    this.#bodyWaits = bodyLength !== 0;
    this.#decoder = bodyLength === 0 ? undefined : new BodyDecoder(bodyLength, this.port.limits.maxHeaderBytes);
    const exchange = this.#receiver.begin(this, {
      method,
      url: head.target,
      protocol: minor === 1 ? 'HTTP/1.1' : 'HTTP/1.0',
      headers: head.headers,
      bodyLength: bodyLength === chunked ? -1 : bodyLength,
      expectsContinue: head.expectsContinue,
      upgrade: head.upgrade,
      headBytes,
    });
    this.#exchange = exchange;
    if (this.#bodyWaits) this.#holdBody();
    this.#receiver.route(exchange);
  }

  // ---- the body of a request

  /** The stream of a socket that is not read by us reads ahead by itself. */
  #holdBody(): void {
    if (this.#reads === undefined) this.socket.pause();
  }

  readBody(reader: BodyReader): void {
    this.#reader = reader;
    this.#bodyWaits = false;
    if (this.#decoder === undefined) return reader.onBodyEnd(undefined);
    this.#takeOn();
  }

  /** Goes on with the body, with what has been read ahead first. */
  #takeOn(): void {
    this.#awaitBody();
    this.#takeAhead();
    // Once that was all of it, the body of the request behind may be the one that waits.
    if (!this.#bodyWaits) this.socket.resume();
  }

  /** Parts that came with the head. */
  #takeAhead(): void {
    const bytes = this.#ahead;
    if (bytes.length === 0) return;
    this.#ahead = nothing;
    this.#ahead = this.#takeBody(bytes);
    if (this.#exchange === undefined) this.#run();
  }

  /** Feeds the decoder; what is left when the body is complete. */
  #takeBody(bytes: Buffer): Buffer {
    const decoder = this.#decoder;
    if (decoder === undefined) return bytes;
    if (this.#reader === undefined) this.#awaitRest();
    else this.#awaitBody();
    const next = decoder.take(bytes, 0, this);
    // Refused in the middle: the rest is nobody's.
    if (this.#decoder !== decoder) return nothing;
    if (decoder.broken) {
      this.#failBody(400);
      return nothing;
    }
    if (decoder.done) this.#endBody(decoder.trailers);
    return next === bytes.length ? nothing : bytes.subarray(next);
  }

  onPart(part: Buffer): void {
    const exchange = this.#exchange;
    if (exchange !== undefined) exchange.bodyBytesReceived += part.length;
    this.#reader?.onBodyPart(part);
  }

  #endBody(trailers: Headers | undefined): void {
    this.#decoder = undefined;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const exchange = this.#exchange;
    const reader = this.#reader;
    this.#reader = undefined;
    if (exchange !== undefined) exchange.bodyComplete = true;
    // Bytes behind it are read on, up to a limit, and so is the client's end.
    this.socket.resume();
    reader?.onBodyEnd(trailers);
    if (exchange?.closed === true) this.#settle();
  }

  #failBody(status: BodyFault): void {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#decoder = undefined;
    this.#keepAlive = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    reader?.onBodyFault(status);
    const exchange = this.#exchange;
    if (exchange === undefined) this.#linger();
    else if (exchange.closed || exchange.begun) this.cut();
  }

  #awaitBody(): void {
    this.deadlineMs = performance.now() + this.port.limits.stallTimeoutMs;
  }

  pauseBody(): void {
    if (this.#bodyWaits || this.#decoder === undefined) return;
    this.#bodyWaits = true;
    this.#holdBody();
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }

  resumeBody(): void {
    if (!this.#bodyWaits) return;
    this.#bodyWaits = false;
    if (this.#decoder !== undefined) this.#takeOn();
  }

  dropBody(): void {
    if (this.#decoder === undefined) return;
    this.#reader = undefined;
    this.#bodyWaits = false;
    this.#dropUntilMs = performance.now() + longestLingerMs;
    this.#takeAhead();
    if (this.#decoder !== undefined) this.#awaitRest();
    this.socket.resume();
  }

  /** More of what nobody reads. */
  #awaitRest(): void {
    this.deadlineMs = Math.min(performance.now() + lingerMs, this.#dropUntilMs);
  }

  // ---- the answer

  endAfter(): void {
    this.#keepAlive = false;
  }

  sendContinue(): void {
    this.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  sendHead(status: number, headers: readonly string[], message: string | undefined): void {
    let text = message === undefined ? `HTTP/1.1 ${status} ${statusText(status)}\r\n` : `HTTP/1.1 ${status} ${message}\r\n`;
    let counted = false;
    let dated = false;
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] ?? '';
      if (name.length === 14 && name.toLowerCase() === 'content-length') {
        if (status === 204) continue; // A client might wait for that many bytes (RFC 9110, 8.6).
        counted = true;
      }
      text += `${name}: ${headers[at + 1]}\r\n`;
      if (name.length === 4) dated ||= name.toLowerCase() === 'date';
    }
    if (!dated) text += `Date: ${httpDate()}\r\n`;
    this.#framing = this.#isHead || noBody(status) ? 'none' : counted ? 'counted' : this.#minor === 1 ? 'chunks' : 'until-close';
    if (this.#framing === 'chunks') text += 'Transfer-Encoding: chunked\r\n';
    // A body that nobody reads but that is here already costs the client no connection.
    if (this.#decoder !== undefined && this.#reader === undefined) this.#takeAhead();
    if (this.port.closing || this.#framing === 'until-close' || (this.#decoder !== undefined && this.#reader === undefined))
      this.#keepAlive = false;
    if (!this.#keepAlive) text += 'Connection: close\r\n\r\n';
    else text += this.#minor === 0 ? 'Connection: keep-alive\r\n\r\n' : '\r\n';
    this.#head = text;
  }

  sendPart(part: Buffer): boolean {
    if (this.#framing === 'none' || part.length === 0) return true;
    const head = this.#head;
    this.#head = '';
    const free = this.#framing === 'chunks' ? this.#writeChunk(head, part, '\r\n') : this.#writeWith(head, part);
    if (!free) this.socket.setTimeout(this.port.limits.stallTimeoutMs);
    return free;
  }

  #writeWith(head: string, part: Buffer): boolean {
    const { socket } = this;
    if (head === '') return socket.write(part);
    if (part.length <= smallBytes) return socket.write(head + part.toString('latin1', 0, part.length), 'latin1');
    socket.cork();
    socket.write(head, 'latin1');
    const free = socket.write(part);
    socket.uncork();
    return free;
  }

  #writeChunk(head: string, part: Buffer, after: string): boolean {
    const { socket } = this;
    const before = `${head}${part.length.toString(16)}\r\n`;
    if (part.length <= smallBytes) return socket.write(before + part.toString('latin1', 0, part.length) + after, 'latin1');
    socket.cork();
    socket.write(before, 'latin1');
    socket.write(part);
    const free = socket.write(after, 'latin1');
    socket.uncork();
    return free;
  }

  sendEnd(last: Buffer | undefined, trailers: Headers | undefined): void {
    const head = this.#head;
    this.#head = '';
    const sends = last !== undefined && last.length > 0 && this.#framing !== 'none';
    if (this.#framing === 'chunks') {
      const end = `0\r\n${trailers?.lines() ?? ''}\r\n`;
      if (sends) this.#writeChunk(head, last, `\r\n${end}`);
      else this.socket.write(head + end, 'latin1');
    } else if (sends) this.#writeWith(head, last);
    else if (head !== '') this.socket.write(head, 'latin1');
    if (this.socket.writableNeedDrain) this.socket.setTimeout(this.port.limits.stallTimeoutMs);
    this.#exchange?.close();
    if (this.#decoder === undefined || !this.#keepAlive) this.#settle();
  }

  flush(): void {
    const head = this.#head;
    if (head === '') return;
    this.#head = '';
    this.socket.write(head, 'latin1');
  }

  cut(): void {
    // To an HTTP/1.0 client the end of the connection is the end of the answer: only a reset says otherwise.
    if (this.#framing === 'until-close' && this.peer.tls === undefined) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /** The answer is out and the request read: the next one, or the end. */
  #settle(): void {
    this.#exchange = undefined;
    if (!this.#keepAlive) return this.#linger();
    this.deadlineMs = performance.now() + this.port.limits.idleTimeoutMs;
    if (this.#inputEnded && this.#ahead.length === 0) return void this.socket.end();
    if (this.socket.isPaused()) this.socket.resume();
    this.#run();
  }

  // ---- the end

  #refuse(why: HeadFault): void {
    this.#receiver.malformed(this, why);
    this.#keepAlive = false;
    const { status } = why;
    const text = `${status} ${statusText(status)}\n`;
    this.socket.write(
      `HTTP/1.1 ${status} ${statusText(status)}\r\nDate: ${httpDate()}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
      'latin1',
    );
    this.#linger();
  }

  /** Nothing more is sent; what the client still sends is read for a while, since closing on unread bytes would reset the answer away. */
  #linger(): void {
    if (this.#lingering) return;
    this.#lingering = true;
    this.#ahead = nothing;
    this.#decoder = undefined;
    this.#dropUntilMs = performance.now() + longestLingerMs;
    this.#awaitRest();
    this.socket.end();
    this.socket.resume();
  }

  /** Ends the connection as soon as nothing is under way on it. */
  closeWhenIdle(): void {
    if (this.#exchange === undefined && !this.#lingering && this.#ahead.length === 0) this.#linger();
  }

  /** Hands the socket over to a protocol that follows HTTP; the bytes that came behind the request. */
  detach(): { socket: Socket; ahead: Buffer } {
    const ahead = this.#ahead;
    this.#ahead = nothing;
    this.#gone = true;
    this.#reads?.letGo();
    this.port.deadlines.remove(this);
    for (const event of ['data', 'drain', 'end', 'timeout'] as const) this.socket.removeAllListeners(event);
    this.socket.setTimeout(0);
    return { socket: this.socket, ahead };
  }

  onDeadline(): void {
    if (this.#exchange?.closed !== false && this.socket.writableLength > 0) return this.#awaitTaking();
    if (this.#lingering) return void this.socket.destroy();
    if (this.#decoder !== undefined) {
      // After its answer, the rest of a body is nobody's loss.
      if (this.#exchange?.closed === true) this.socket.destroy();
      else this.#failBody(408);
      return;
    }
    if (this.#headBegan || this.#ahead.length > 0) this.#refuse({ status: 408, why: 'headers that took too long' });
    else this.#linger();
  }

  /** The answer is still on its way to a slow client: only one that takes nothing for a while is cut off. */
  #awaitTaking(): void {
    this.#dropUntilMs = performance.now() + longestLingerMs;
    this.deadlineMs = performance.now() + lingerMs;
    if (!this.socket.timeout) this.socket.setTimeout(this.port.limits.stallTimeoutMs);
  }

  #onStalled(): void {
    this.socket.destroy();
  }

  #onDrain(): void {
    this.socket.setTimeout(0);
    this.#exchange?.drained();
  }

  /** The client sends no more. A request that is complete is still answered, unless an upstream has yet to do so (as in nginx). */
  #onEnd(): void {
    this.#inputEnded = true;
    this.#keepAlive = false;
    const exchange = this.#exchange;
    if (this.#decoder !== undefined) {
      this.#failBody(0);
      this.socket.destroy();
    } else if (exchange === undefined) this.socket.end();
    else if (exchange.onAbandon !== undefined && (!exchange.begun || exchange.awaitsUpstream)) this.socket.destroy();
  }

  #onClose(): void {
    this.#gone = true;
    this.port.deadlines.remove(this);
    const exchange = this.#exchange;
    this.#exchange = undefined;
    if (this.#decoder !== undefined) {
      const reader = this.#reader;
      this.#decoder = undefined;
      this.#reader = undefined;
      reader?.onBodyFault(0);
    }
    exchange?.close();
  }
}

/** A request line over the limit is 414, headers over it are 431. */
function tooLong(bytes: Buffer, limit: number): HeadFault {
  const line = bytes.indexOf(13);
  return line < 0 || line > limit ? { status: 414, why: 'a request line over the limit' } : { status: 431, why: 'headers over the limit' };
}

/** Whether a line feed stands without its carriage return. */
function hasBareFeed(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) if (bytes[at - 1] !== 13) return true;
  return false;
}
