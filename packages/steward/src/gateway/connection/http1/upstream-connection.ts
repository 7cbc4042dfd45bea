/**
 * A connection to a server behind the gateway: one request at a time, its answer streamed to whoever asked.
 *
 *   idle ── send ──► busy ── answer complete, request complete, kept ──► idle
 *                     ├── 101 ──► detached: two byte streams joined by upgrade.ts
 *                     └── broken, or not to be kept ──► gone
 */
import type { Socket } from 'node:net';
import type { ReadSlot } from '../../upstream/read-slot.ts';
import type { Deadlines } from '../deadlines.ts';
import type { Headers } from '../headers.ts';
import { BodyDecoder, type BodySink } from './body.ts';
import { LastFields, type ResponseHead, readResponseHead, untilClose } from './head.ts';

/** Why an upstream gave no (whole) answer. */
export type UpstreamFault = 'unreachable' | 'connect-timeout' | 'reset' | 'timeout' | 'invalid';

/** Receives an answer. `onFault` ends it in place of `onEnd`. */
export interface AnswerReader {
  onHead(head: ResponseHead): void;
  onPart(part: Buffer): void;
  onEnd(trailers: Headers | undefined): void;
  onFault(fault: UpstreamFault, why: string): void;
  /** All that came at once has been handed over: time to send on what waits for more. */
  onPause(): void;
  /** There is room for more of the request's body. */
  onRoom(): void;
  /** Parts handed over are still being sent: their memory must not be used again. */
  readonly holdsParts: boolean;
}

export interface AnswerLimits {
  readonly readTimeoutMs: number;
  readonly sendTimeoutMs: number;
}

/** Upstreams with large cookies or long CSP headers are not ours to refuse; clients are held to less. */
const maxAnswerHeadBytes = 64 * 1024;
const nothing = Buffer.alloc(0);

/** What becomes of a connection that is free again or gone. */
export interface Keeper {
  /** Free for the next request. */
  onIdle(connection: UpstreamConnection): void;
  onGone(connection: UpstreamConnection): void;
}

export class UpstreamConnection implements BodySink {
  readonly socket: Socket;
  deadlineMs = Number.POSITIVE_INFINITY;
  /** Requests sent on it: the first on a new connection cannot have met a server that was just closing it. */
  requests = 0;
  /** From its Keep-Alive header, or undefined. */
  keepIdleMs: number | undefined;
  readonly #deadlines: Deadlines;
  readonly #keeper: Keeper;
  #reader: AnswerReader | undefined;
  #limits: AnswerLimits | undefined;
  #ahead: Buffer = nothing;
  readonly #lastFields = new LastFields();
  #decoder: BodyDecoder | undefined;
  #bodiless = false;
  #kept = false;
  #requestComplete = true;
  #paused = false;
  #gone = false;

  /** With a `slot` the socket is read into that; it can then not be detached. */
  constructor(socket: Socket, deadlines: Deadlines, keeper: Keeper, slot?: ReadSlot) {
    this.socket = socket;
    this.#deadlines = deadlines;
    this.#keeper = keeper;
    deadlines.add(this);
    if (slot === undefined) socket.on('data', (bytes: Buffer) => void this.#onData(bytes));
    else slot.onBytes = (bytes) => this.#onData(bytes);
    socket.on('drain', () => {
      this.#awaitAnswer();
      this.#reader?.onRoom();
    });
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error: NodeJS.ErrnoException) => this.#fail('reset', error.code ?? error.message));
    socket.on('close', () => this.#fail('reset', 'it closed the connection'));
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Sends the head of a request, and all of its body if that is at hand. `method` HEAD expects no body back. */
  send(head: string, isHead: boolean, complete: boolean, limits: AnswerLimits, reader: AnswerReader): void {
    this.requests++;
    this.#reader = reader;
    this.#limits = limits;
    this.#bodiless = isHead;
    this.#kept = false;
    this.#requestComplete = complete;
    this.#awaitAnswer();
    this.socket.write(head, 'latin1');
  }

  /** More of the request's body; false asks to wait for `onRoom`. */
  sendPart(part: Buffer | string): boolean {
    if (this.#gone) return true;
    const free = typeof part === 'string' ? this.socket.write(part, 'latin1') : this.socket.write(part);
    const limits = this.#limits;
    if (!free && limits !== undefined) this.deadlineMs = performance.now() + limits.sendTimeoutMs;
    return free;
  }

  /** A server owes nothing while the client still owes its body: that is waited for by the client's side. */
  #awaitAnswer(): void {
    const limits = this.#limits;
    const owes = limits !== undefined && this.#requestComplete && !this.#paused;
    this.deadlineMs = owes ? performance.now() + limits.readTimeoutMs : Number.POSITIVE_INFINITY;
  }

  /** The request has been sent to its end. */
  completeRequest(): void {
    this.#requestComplete = true;
    if (this.#gone) return;
    if (this.#reader === undefined) this.#settle();
    else if (!this.socket.writableNeedDrain) this.#awaitAnswer();
  }

  /** No more of the answer is read until `resume`; meanwhile nothing is awaited. */
  pause(): void {
    if (this.#paused || this.#gone) return;
    this.#paused = true;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.socket.pause();
  }

  resume(): void {
    if (!this.#paused || this.#gone) return;
    this.#paused = false;
    this.#awaitAnswer();
    this.socket.resume();
  }

  /** Gives the request up: its answer is nobody's business any more. */
  abandon(): void {
    this.#reader = undefined;
    this.destroy();
  }

  destroy(): void {
    this.#leave();
    this.socket.destroy();
  }

  /** Hands the socket over to the protocol that follows; the bytes that came behind the head. */
  detach(): Buffer {
    const ahead = this.#ahead;
    this.#reader = undefined;
    this.#leave();
    for (const event of ['data', 'drain', 'end', 'close'] as const) this.socket.removeAllListeners(event);
    return ahead;
  }

  onPart(part: Buffer): void {
    this.#reader?.onPart(part);
  }

  onDeadline(): void {
    if (this.#reader === undefined) this.destroy();
    else this.#fail('timeout', 'it took too long');
  }

  /** True when somebody holds on to the bytes after the call. */
  #onData(bytes: Buffer): boolean {
    const reader = this.#reader;
    if (reader === undefined) {
      this.destroy(); // An answer to nothing.
      return false;
    }
    if (this.#requestComplete) this.#awaitAnswer();
    let at = 0;
    let data = bytes;
    if (this.#decoder === undefined) {
      if (this.#ahead.length > 0) data = Buffer.concat([this.#ahead, bytes]);
      at = this.#takeHeads(data, reader);
      if (at < 0) return true;
    }
    const decoder = this.#decoder;
    if (decoder !== undefined) at = decoder.take(data, at, this);
    if (decoder?.broken === true) this.#fail('invalid', 'its body is broken off by bytes that are no chunk');
    else if (decoder?.done === true) this.#complete(decoder, at < data.length);
    else reader.onPause();
    return reader.holdsParts;
  }

  /** Reads heads until the final one; the place behind it, or -1 when it is not there yet (or no more is read). */
  #takeHeads(data: Buffer, reader: AnswerReader): number {
    for (let at = 0; ; ) {
      const end = data.indexOf('\r\n\r\n', at, 'latin1');
      if (end < 0) {
        this.#ahead = at === 0 ? data : data.subarray(at);
        if (data.length - at > maxAnswerHeadBytes) this.#fail('invalid', 'its head is longer than 64 KB');
        return -1;
      }
      const head = readResponseHead(data.toString('latin1', at, end), this.#lastFields);
      if (typeof head === 'string') {
        this.#fail('invalid', head);
        return -1;
      }
      at = end + 4;
      // 100 and 103 are between the upstream and us.
      if (head.status < 200 && head.status !== 101) continue;
      this.#ahead = head.status === 101 ? data.subarray(at) : nothing;
      this.#begin(head);
      reader.onHead(head);
      return head.status === 101 || this.#gone ? -1 : at;
    }
  }

  #begin(head: ResponseHead): void {
    const { status } = head;
    const length = this.#bodiless || status === 204 || status === 304 ? 0 : head.bodyLength;
    this.#decoder = new BodyDecoder(length, maxAnswerHeadBytes);
    this.#kept = head.keepAlive && length !== untilClose;
    const told = head.headers.get('keep-alive');
    if (told !== undefined) this.#readKeepAlive(told);
  }

  #readKeepAlive(value: string): void {
    const seconds = /timeout=(\d{1,6})/.exec(value)?.[1];
    // A second less than the server says: a request must not meet it just closing.
    if (seconds !== undefined) this.keepIdleMs = Math.max(0, Number(seconds) * 1000 - 1000);
  }

  /** `more`: bytes came behind the answer, which no next request has asked for. */
  #complete({ trailers }: BodyDecoder, more: boolean): void {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#decoder = undefined;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    const requestComplete = this.#requestComplete;
    if (more || !this.#kept) this.destroy();
    else if (requestComplete) this.#settle();
    // From here on the next request may be under way on it.
    reader?.onEnd(trailers);
    // What is left of the request has nobody to go to.
    if (!requestComplete && !this.#gone) this.destroy();
  }

  #settle(): void {
    if (this.#paused) this.socket.resume();
    this.#paused = false;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#limits = undefined;
    this.#keeper.onIdle(this);
  }

  #onEnd(): void {
    const decoder = this.#decoder;
    if (decoder?.end() === true && this.#reader !== undefined) this.#complete(decoder, false);
    else this.#fail('reset', 'it closed the connection');
  }

  #fail(fault: UpstreamFault, why: string): void {
    const reader = this.#reader;
    this.#reader = undefined;
    this.destroy();
    reader?.onFault(fault, why);
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.#deadlines.remove(this);
    this.#keeper.onGone(this);
  }
}
