/** What carries a request and its answer: an HTTP/1 connection, a stream of HTTP/2, or another request. */
import type { Socket } from 'node:net';
import type { Headers } from './connection/headers.ts';
import type { Peer, Port } from './connection/port.ts';

/** Receives the body of a request. One of `onBodyEnd` and `onBodyFault` is called, once, and nothing after it. */
export interface BodyReader {
  onBodyPart(part: Buffer): void;
  onBodyEnd(trailers: Headers | undefined): void;
  /** 413: over the limit. 408: the client stopped sending. 400: broken chunks. 0: the client went away. */
  onBodyFault(status: BodyFault): void;
}

export type BodyFault = 413 | 408 | 400 | 0;

/** The protocol under an exchange: an HTTP/1 connection, or one stream of an HTTP/2 connection. */
export interface Carrier {
  readonly port: Port;
  readonly peer: Peer;
  /** Begins the answer; `headers` is flat. May keep it back until the first part, the end, or `flush`. */
  sendHead(status: number, headers: readonly string[], message: string | undefined): void;
  /** False asks to wait for `exchange.onDrain`. */
  sendPart(part: Buffer): boolean;
  sendEnd(last: Buffer | undefined, trailers: Headers | undefined): void;
  flush(): void;
  /** Ends the connection with the answer that is about to begin. A stream ends with its answer anyway. */
  endAfter?(): void;
  /** 100 (Continue). */
  sendContinue(): void;
  /** Ends the connection or stream so that nobody takes half an answer for a whole one. */
  cut(): void;
  /** Starts the body; parts come until `pauseBody`, and again after `resumeBody`. */
  readBody(reader: BodyReader): void;
  pauseBody(): void;
  resumeBody(): void;
  /** Reads the rest and throws it away, for a while. */
  dropBody(): void;
  /** Bytes of the answer that wait for the client. */
  readonly waitingBytes: number;
  /** Gives the connection itself away, with what came behind the request; there is none to give for a stream. */
  detach?(): { readonly socket: Socket; readonly ahead: Buffer };
}

/** What a protocol has read of a request when its exchange begins. */
export interface RequestFacts {
  readonly method: string;
  /** As sent: path and query, or a whole address. */
  readonly url: string;
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2.0';
  readonly headers: Headers;
  /** Bytes of the body; -1 when only its end tells. */
  readonly bodyLength: number;
  readonly expectsContinue: boolean;
  /** The protocol a client wants to change to. */
  readonly upgrade: string | undefined;
  /** Bytes of the head. */
  readonly headBytes: number;
}

/** An answer as whoever makes it sees it. */
export interface Reply {
  readonly method: string;
  /** Status, headers and so on have been handed over. */
  readonly begun: boolean;
  /** Nothing more can be sent. */
  readonly closed: boolean;
  /** Called when there is room again after `write` said false. */
  onDrain: (() => void) | undefined;
  /** Called once if the client goes away before its answer is complete. */
  onAbandon: (() => void) | undefined;
  /** All values of a request header joined, or the empty text. `name` is lowercase. */
  header(name: string): string;
  /** Sends status and headers (flat, without those of the connection). */
  begin(status: number, headers: string[], message?: string): void;
  /** False asks to wait for `onDrain`. */
  write(part: Buffer): boolean;
  end(last?: Buffer): void;
  /** A whole answer at once. `headers` is flat, without Content-Length. */
  respond(status: number, headers: string[], body?: string | Buffer): void;
  /** One of the gateway's own pages, or an error page of the route. */
  respondPage(status: number, headers?: string[]): void;
  /** Cuts the connection, so that nobody takes half an answer for a whole one. */
  breakOff(): void;
}
