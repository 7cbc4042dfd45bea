/** Finds the end of a body in the bytes of a connection: counted, chunked (RFC 9112, 7.1) or until the connection ends. */
import type { Headers } from '../headers.ts';
import { chunked, readTrailers, untilClose } from './head.ts';

/** Where the parts of a body go. */
export interface BodySink {
  onPart(part: Buffer): void;
}

/** Longest line with the size of a chunk: what follows a `;` there means nothing to anybody. */
const maxSizeLine = 256;
const sizeLine = /^([0-9a-f]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/i;

type State = 'counted' | 'size' | 'chunk' | 'chunk-end' | 'trailers' | 'open' | 'done' | 'broken';

export class BodyDecoder {
  #state: State;
  /** Bytes still to come: of a counted body, or of the chunk. */
  #left: number;
  /** A line that is not complete yet. */
  #line = '';
  readonly #maxTrailerBytes: number;
  trailers: Headers | undefined;

  /** `length` as in a head: bytes, `chunked` or `untilClose`. */
  constructor(length: number, maxTrailerBytes: number) {
    this.#left = Math.max(0, length);
    this.#maxTrailerBytes = maxTrailerBytes;
    this.#state = length === chunked ? 'size' : length === untilClose ? 'open' : length === 0 ? 'done' : 'counted';
  }

  get done(): boolean {
    return this.#state === 'done';
  }

  /** Bytes came that no chunk begins or ends with: nothing more can be read. */
  get broken(): boolean {
    return this.#state === 'broken';
  }

  /** The connection ended: whether the body is complete by that. */
  end(): boolean {
    if (this.#state === 'open') this.#state = 'done';
    return this.done;
  }

  /** Hands the parts of the body in `bytes` from `at` on to `sink`; where the first byte behind the body is, or `bytes.length`. */
  take(bytes: Buffer, at: number, sink: BodySink): number {
    let next = at;
    while (next < bytes.length && this.#state !== 'done' && this.#state !== 'broken') next = this.#step(bytes, next, sink);
    return next;
  }

  #step(bytes: Buffer, at: number, sink: BodySink): number {
    if (this.#state === 'open') {
      sink.onPart(at === 0 ? bytes : bytes.subarray(at));
      return bytes.length;
    }
    if (this.#state === 'counted' || this.#state === 'chunk') return this.#takeCounted(bytes, at, sink);
    return this.#takeLine(bytes, at);
  }

  #takeCounted(bytes: Buffer, at: number, sink: BodySink): number {
    const end = Math.min(bytes.length, at + this.#left);
    this.#left -= end - at;
    if (this.#left === 0) this.#state = this.#state === 'chunk' ? 'chunk-end' : 'done';
    sink.onPart(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    return end;
  }

  #takeLine(bytes: Buffer, at: number): number {
    const feed = bytes.indexOf(10, at);
    const end = feed < 0 ? bytes.length : feed + 1;
    this.#line += bytes.toString('latin1', at, end);
    const limit = this.#state === 'trailers' ? this.#maxTrailerBytes : maxSizeLine;
    if (this.#line.length > limit) this.#state = 'broken';
    else if (feed >= 0) this.#endLine();
    return end;
  }

  #endLine(): void {
    const line = this.#line;
    if (!line.endsWith('\r\n')) this.#state = 'broken';
    else if (this.#state === 'trailers') return this.#endTrailer(line);
    else if (this.#state === 'chunk-end') this.#state = line === '\r\n' ? 'size' : 'broken';
    else this.#beginChunk(line.slice(0, -2));
    this.#line = '';
  }

  #beginChunk(line: string): void {
    const size = sizeLine.exec(line)?.[1];
    this.#left = size === undefined ? 0 : Number.parseInt(size, 16);
    this.#state = size === undefined ? 'broken' : this.#left === 0 ? 'trailers' : 'chunk';
  }

  /** Trailers are gathered until the empty line. */
  #endTrailer(lines: string): void {
    if (lines !== '\r\n' && !lines.endsWith('\r\n\r\n')) return;
    if (lines !== '\r\n') {
      this.trailers = readTrailers(lines.slice(0, -4));
      if (this.trailers === undefined) this.#state = 'broken';
    }
    if (this.#state !== 'broken') this.#state = 'done';
    this.#line = '';
  }
}
