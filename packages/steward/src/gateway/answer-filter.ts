/** An answer that is compressed on its way: gathered and encoded at once when it is small, else as it comes. */
import type { CompressSpec } from '../config/model.ts';
import type { Carrier } from './carrier.ts';
import { createEncoder, type Encoder, type Encoding, encodeHeaders, encodeWhole, wholeBytes } from './files/compress.ts';

export interface AnswerFilter {
  /** False asks to wait for `onDrain`. */
  write(part: Buffer): boolean;
  end(last: Buffer | undefined): void;
  /** The client takes bytes again. */
  resume(): void;
  flush(): void;
  /** The client is gone. */
  destroy(): void;
}

/** The filter's side of an exchange. */
export interface FilteredAnswer {
  readonly carrier: Carrier;
  /** Counts what really leaves. */
  sendEncoded(part: Buffer): boolean;
  endEncoded(last: Buffer | undefined): void;
  breakOff(): void;
  readonly onDrain: (() => void) | undefined;
}

/** Begins the answer with `headers` (flat, changed in place) and encodes its body. `lengthBytes` when that is known. */
export function beginEncoded(
  answer: FilteredAnswer,
  encoding: Encoding,
  { level }: CompressSpec,
  status: number,
  headers: string[],
  message: string | undefined,
  lengthBytes: number | undefined,
): AnswerFilter {
  encodeHeaders(headers, encoding);
  if (lengthBytes !== undefined && lengthBytes <= wholeBytes) return new Gathered(answer, encoding, level, { status, headers, message });
  answer.carrier.sendHead(status, headers, message);
  return new Streamed(answer, encoding, level);
}

interface Head {
  readonly status: number;
  readonly headers: string[];
  readonly message: string | undefined;
}

class Gathered implements AnswerFilter {
  readonly #answer: FilteredAnswer;
  readonly #encoding: Encoding;
  readonly #level: number;
  readonly #head: Head;
  readonly #parts: Buffer[] = [];

  constructor(answer: FilteredAnswer, encoding: Encoding, level: number, head: Head) {
    this.#answer = answer;
    this.#encoding = encoding;
    this.#level = level;
    this.#head = head;
  }

  write(part: Buffer): boolean {
    this.#parts.push(part);
    return true;
  }

  end(last: Buffer | undefined): void {
    if (last !== undefined) this.#parts.push(last);
    const { status, headers, message } = this.#head;
    const body = encodeWhole(this.#encoding, this.#level, Buffer.concat(this.#parts));
    headers.push('Content-Length', String(body.length));
    this.#answer.carrier.sendHead(status, headers, message);
    this.#answer.endEncoded(body);
  }

  resume(): void {}

  flush(): void {}

  destroy(): void {}
}

class Streamed implements AnswerFilter {
  readonly #answer: FilteredAnswer;
  readonly #encoder: Encoder;

  constructor(answer: FilteredAnswer, encoding: Encoding, level: number) {
    this.#answer = answer;
    this.#encoder = createEncoder(encoding, level, {
      write: (part) => answer.sendEncoded(part),
      end: () => answer.endEncoded(undefined),
      fail: () => answer.breakOff(),
    });
    this.#encoder.onDrain = () => answer.onDrain?.();
  }

  write(part: Buffer): boolean {
    return this.#encoder.write(part);
  }

  end(last: Buffer | undefined): void {
    this.#encoder.end(last);
  }

  resume(): void {
    this.#encoder.resume();
  }

  /** The head does not wait for the first encoded bytes. */
  flush(): void {
    this.#answer.carrier.flush();
  }

  destroy(): void {
    this.#encoder.destroy();
  }
}
