/**
 * The body of a request on its way to an upstream: counted, limited, and with backpressure, so that 4 GB take no more memory
 * than 4 KB. It stands between because an upstream client destroys the stream it is given, and destroying the request itself
 * would cut the client off before it sees the answer.
 */
import { Readable } from 'node:stream';
import type { Exchange } from './exchange.ts';

/** Status to answer with when the body cannot be taken: too large (413), or the client stopped sending (408). */
export type BodyFault = 413 | 408;

export class RequestBody extends Readable {
  /** Whether a byte may have been taken from the client: the request cannot be repeated then. */
  taken = false;
  fault: BodyFault | undefined;
  readonly #exchange: Exchange;
  readonly #maxBytes: number;
  #seenBytes = 0;

  /** `maxBytes` 0 sets no limit. */
  constructor(exchange: Exchange, maxBytes: number) {
    super({ highWaterMark: 64 * 1024 });
    // Whoever reads it may have stopped listening by the time it fails; the failure is told by `fault`.
    this.on('error', () => {});
    this.#exchange = exchange;
    this.#maxBytes = maxBytes;
  }

  override _read(): void {
    const { req } = this.#exchange;
    if (!this.taken) {
      this.taken = true;
      this.#exchange.sendContinue();
      req.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('timeout', this.#onQuiet);
    }
    req.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { req } = this.#exchange;
    req.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('timeout', this.#onQuiet);
    if (this.taken && !req.complete) req.resume();
    done(error);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#seenBytes += chunk.length;
    if (this.#maxBytes > 0 && this.#seenBytes > this.#maxBytes) this.#fail(413);
    else if (!this.push(chunk)) this.#exchange.req.pause();
  };

  readonly #onEnd = (): void => {
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.#exchange.req.complete) this.destroy(new Error('the client went away'));
  };

  /** Silence counts only while we wait for the client, not while the upstream is slow to read. */
  readonly #onQuiet = (): void => {
    if (this.#exchange.req.isPaused()) this.#exchange.req.socket.setTimeout(this.#exchange.port.stallMs);
    else this.#fail(408);
  };

  #fail(status: BodyFault): void {
    this.fault = status;
    this.destroy(new Error(status === 413 ? 'the request body is over the limit' : 'the client stopped sending'));
  }
}
