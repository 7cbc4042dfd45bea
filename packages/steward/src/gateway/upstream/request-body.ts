/**
 * A request's body on its way to a server.
 *
 *   small, its length known ── collected whole ──► a server is asked ──► sent in one piece
 *   large, or in chunks     ──────────────────── a server is asked ──► passed on as it comes
 *
 * A client that is slow with a small body (16 KB, nginx's client_body_buffer_size) thereby costs no server a connection. Up to 64 KB are kept until the answer is there,
 * so that another server can be asked.
 */
import type { BodyFault, BodyReader } from '../carrier.ts';
import type { Headers } from '../connection/headers.ts';
import type { UpstreamConnection } from '../connection/http1/upstream-connection.ts';
import type { Exchange } from '../exchange.ts';

/** So much memory an attacker with slow bodies may hold by each connection. */
const collectedBytes = 16 * 1024;
const keptBytes = 64 * 1024;

export interface BodyOptions {
  /** More is 413; 0 is no limit. */
  readonly maxBytes: number;
  /** Whether another server may be sent it once one has had some of it. */
  readonly repeatable: boolean;
  /** The client's fault, or (0) its end; told once. */
  readonly onFault: (status: BodyFault) => void;
}

export class RequestBody implements BodyReader {
  readonly #exchange: Exchange;
  readonly #options: BodyOptions;
  #connection: UpstreamConnection | undefined;
  /** Where it is collected, and who waits for that. */
  #collecting: { readonly whole: Buffer; readonly onCollected: () => void } | undefined;
  #kept: Buffer[] | undefined;
  #gone = false;
  #bytes = 0;
  #broken = false;
  #chunks = false;

  constructor(exchange: Exchange, options: BodyOptions) {
    this.#exchange = exchange;
    this.#options = options;
    if (exchange.collected !== undefined) this.#kept = [exchange.collected];
  }

  /** Some of it has been taken and not kept: it cannot be had again. */
  get gone(): boolean {
    return this.#gone;
  }

  /** Whether a server can get it. */
  get isThere(): boolean {
    return this.#exchange.hasBody && (!this.#exchange.bodyComplete || this.#kept !== undefined);
  }

  /** Collects a small body, then calls `onCollected`, perhaps at once. False when there is none to collect. */
  collect(onCollected: () => void): boolean {
    const { hasBody, bodyComplete, bodyBytesReceived, request } = this.#exchange;
    const isSmall = request.bodyLength > 0 && request.bodyLength <= collectedBytes;
    if (!hasBody || bodyComplete || bodyBytesReceived > 0 || !isSmall) return false;
    this.#collecting = { whole: Buffer.allocUnsafeSlow(request.bodyLength), onCollected };
    this.#exchange.readBody(this);
    return true;
  }

  /** Sends what is kept to `connection`, then the rest as it comes. */
  sendTo(connection: UpstreamConnection, chunks: boolean): void {
    this.#connection = connection;
    this.#chunks = chunks;
    for (const part of this.#kept ?? []) this.#pass(connection, part);
    this.#exchange.readBody(this);
  }

  /** What comes from now on goes to no server, until there is another. */
  leave(): void {
    this.#connection = undefined;
  }

  /** Nothing more is passed on or told. */
  drop(): void {
    this.#broken = true;
  }

  /** The server has room for more. */
  onRoom(): void {
    this.#exchange.carrier.resumeBody();
  }

  onBodyPart(part: Buffer): void {
    const { maxBytes } = this.#options;
    this.#bytes += part.length;
    if (maxBytes > 0 && this.#bytes > maxBytes) return this.#fail(413);
    if (this.#collecting !== undefined) return void part.copy(this.#collecting.whole, this.#bytes - part.length);
    this.#keep(part);
    const connection = this.#connection;
    if (connection === undefined || connection.gone) return;
    if (!this.#pass(connection, part)) this.#exchange.carrier.pauseBody();
  }

  onBodyEnd(trailers: Headers | undefined): void {
    if (this.#broken) return;
    const collecting = this.#collecting;
    this.#collecting = undefined;
    if (collecting !== undefined) {
      this.#exchange.collected = collecting.whole;
      this.#kept = [collecting.whole];
      return collecting.onCollected();
    }
    const connection = this.#connection;
    if (connection === undefined || connection.gone) return;
    if (this.#chunks) connection.sendPart(`0\r\n${trailers?.lines() ?? ''}\r\n`);
    connection.completeRequest();
  }

  onBodyFault(status: BodyFault): void {
    if (!this.#broken) this.#fail(status);
  }

  #fail(status: BodyFault): void {
    this.#broken = true;
    this.#options.onFault(status);
  }

  #keep(part: Buffer): void {
    if (this.#gone) return;
    if (this.#bytes <= keptBytes && this.#options.repeatable) {
      this.#kept ??= [];
      this.#kept.push(Buffer.from(part));
    } else {
      this.#gone = true;
      this.#kept = undefined;
    }
  }

  /** False asks to wait for `onRoom`. */
  #pass(connection: UpstreamConnection, part: Buffer): boolean {
    if (!this.#chunks) return connection.sendPart(part);
    connection.socket.cork();
    connection.sendPart(`${part.length.toString(16)}\r\n`);
    connection.sendPart(part);
    const free = connection.sendPart('\r\n');
    connection.socket.uncork();
    return free;
  }
}
