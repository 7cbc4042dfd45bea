/** A request within another: its answer decides something (auth_request) and is thrown away. */
import type { BodyReader, Carrier } from './carrier.ts';
import type { Headers } from './connection/headers.ts';
import type { Peer, Port } from './connection/port.ts';
import { Exchange, type ExchangeKeeper } from './exchange.ts';
import { variablesOf } from './rules/variables.ts';
import type { Tale } from './upstream/upstream-tale.ts';

export interface SubAnswer {
  /** 0: it was cut off. */
  readonly status: number;
  /** Flat. */
  readonly headers: readonly string[];
  readonly upstreamHeaders: Headers | undefined;
  readonly tale: Tale | undefined;
}

class Discarding implements Carrier {
  readonly port: Port;
  readonly peer: Peer;
  readonly waitingBytes = 0;
  exchange: Exchange | undefined;
  #status = 0;
  #headers: readonly string[] = [];
  readonly #done: (answer: SubAnswer) => void;
  #over = false;

  constructor({ port, peer }: Carrier, done: (answer: SubAnswer) => void) {
    this.port = port;
    this.peer = peer;
    this.#done = done;
  }

  sendHead(status: number, headers: readonly string[]): void {
    this.#status = status;
    this.#headers = headers;
  }

  sendPart(): boolean {
    return true;
  }

  sendEnd(): void {
    this.#finish(this.#status);
  }

  cut(): void {
    this.#finish(0);
  }

  #finish(status: number): void {
    if (this.#over) return;
    this.#over = true;
    const { exchange } = this;
    exchange?.close();
    this.#done({ status, headers: this.#headers, upstreamHeaders: exchange?.upstreamHeaders, tale: exchange?.tale });
  }

  flush(): void {}

  sendContinue(): void {}

  readBody(reader: BodyReader): void {
    reader.onBodyEnd(undefined);
  }

  pauseBody(): void {}

  resumeBody(): void {}

  dropBody(): void {}
}

/** A GET of the same client with the same headers and no body; `done` gets its answer, once. Not yet routed. */
export function createSubrequest(parent: Exchange, keeper: ExchangeKeeper, done: (answer: SubAnswer) => void): Exchange {
  const carrier = new Discarding(parent.carrier, done);
  const { request } = parent;
  const made = new Exchange(
    carrier,
    { ...request, bodyLength: 0, expectsContinue: false, upgrade: undefined },
    keeper,
    performance.now(),
    parent,
  );
  carrier.exchange = made;
  made.remoteAddress = parent.remoteAddress;
  made.remotePort = parent.remotePort;
  made.trusted = parent.trusted;
  made.host = parent.host;
  made.hostLabel = parent.hostLabel;
  made.httpHost = parent.httpHost;
  made.requestUri = parent.requestUri;
  made.site = parent.site;
  // What its steps set, the request around it has too; the groups of the last pattern are each one's own.
  const { values, groups } = variablesOf(parent);
  made.vars = { values, groups };
  made.table = parent.table;
  made.internal = true;
  made.counted = parent.counted;
  return made;
}
