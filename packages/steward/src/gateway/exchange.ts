/** One request and its answer, as the rest of the gateway sees it: whatever protocol it came by. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { CompiledRoute } from './match.ts';
import { pageFor } from './pages.ts';
import type { HeaderSource } from './proxy-action.ts';
import { encodePath, type Target } from './target.ts';
import { expand } from './variables.ts';

/** The port a request came in by. */
export interface Port {
  readonly name: string;
  readonly number: number;
  readonly tls: boolean;
  /** Set when it is being closed: each answer then ends its connection. */
  closing: boolean;
  /** Silence of a client in the middle of a message, after which it is given up. Follows the table. */
  stallMs: number;
  /** Hears of such silence: a client that takes no byte of its answer is cut off, one that only waits for us is not. */
  readonly onQuiet: (socket: Socket) => void;
}

/** Who wants to know that an exchange is over. */
export type OnClose = (exchange: Exchange) => void;

/** The rest of a refused upload is read this long, so that the client gets to see the answer instead of a reset. */
const lingerMs = 5_000;

const ignore = (): void => {};

const plainAddress = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address);

export class Exchange implements HeaderSource {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly port: Port;
  readonly startedAtMs = performance.now();
  readonly remoteAddress: string;
  /** Set while it is routed. */
  host = '';
  httpHost = '';
  serverName = '';
  proxyHost = '';
  target: Target = { path: { raw: '/', bytes: '/', text: '/' }, query: '' };
  route: CompiledRoute | undefined;
  /** For the log. 0 until an answer begins. */
  status = 0;
  bytesSent = 0;
  upstream = '-';
  closed = false;
  /** Called once if the client goes away before its answer is complete. */
  onAbandon: (() => void) | undefined;
  readonly #onClose: OnClose;
  #awaitsContinue: boolean;

  constructor(req: IncomingMessage, res: ServerResponse, port: Port, onClose: OnClose, awaitsContinue = false) {
    this.req = req;
    this.res = res;
    this.port = port;
    this.remoteAddress = plainAddress(req.socket.remoteAddress ?? '');
    this.#onClose = onClose;
    this.#awaitsContinue = awaitsContinue;
    res.on('error', ignore);
    res.on('timeout', port.onQuiet);
    res.on('close', () => this.close());
  }

  get method(): string {
    return this.req.method ?? 'GET';
  }

  get rawHeaders(): readonly string[] {
    return this.req.rawHeaders;
  }

  get scheme(): 'http' | 'https' {
    return this.port.tls ? 'https' : 'http';
  }

  get serverPort(): number {
    return this.port.number;
  }

  get requestUri(): string {
    return this.target.path.raw + this.target.query;
  }

  get uri(): string {
    return encodePath(this.target.path.bytes);
  }

  get args(): string {
    return this.target.query.slice(1);
  }

  header(name: string): string {
    const value = this.req.headers[name];
    return value === undefined ? '' : typeof value === 'string' ? value : value.join(', ');
  }

  /** Whether the client announced a body, read or not. */
  get hasBody(): boolean {
    const { headers } = this.req;
    const length = headers['content-length'];
    return (length !== undefined && length !== '0') || headers['transfer-encoding'] !== undefined;
  }

  /** Tells a client that waits for it (Expect: 100-continue) to send its body. */
  sendContinue(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.res.writeContinue();
  }

  /** Sends status and headers (flat), with those that the route adds. Throws when a header holds what no header may. */
  begin(status: number, headers: string[], message?: string): void {
    this.status = status;
    const { route } = this;
    if (route !== undefined) for (const { name, value } of route.addHeaders) headers.push(name, expand(value, this));
    if (this.port.closing) headers.push('connection', 'close');
    if (message === undefined) this.res.writeHead(status, headers);
    else this.res.writeHead(status, message, headers);
  }

  /** Sends a part of the body; false asks to wait for 'drain' on `res`. */
  write(chunk: Buffer): boolean {
    if (this.closed || this.res.destroyed) return true;
    this.bytesSent += chunk.length;
    return this.res.write(chunk);
  }

  /** Ends the answer, with a last small part if there is one. */
  end(last?: Buffer): void {
    if (!this.req.complete && this.hasBody) this.#dropRest();
    if (last === undefined) {
      this.res.end();
      return;
    }
    this.bytesSent += last.length;
    // As text, Node puts it behind the headers in one buffer and one write; as a Buffer it would take a gathered write.
    this.res.end(last.toString('latin1'), 'latin1');
  }

  /** A whole answer at once. `headers` is flat, without Content-Length. */
  respond(status: number, headers: string[], body: string | Buffer = ''): void {
    if (this.closed) return;
    if (this.res.headersSent) return void this.breakOff();
    const content = typeof body === 'string' ? Buffer.from(body) : body;
    const bodiless = status === 204 || status === 304;
    const unread = this.hasBody && !this.req.complete;
    if (!bodiless) headers.push('content-length', String(content.length));
    if (unread && !this.port.closing) headers.push('connection', 'close');
    this.begin(status, headers);
    const silent = bodiless || this.method === 'HEAD';
    if (!silent) this.bytesSent += content.length;
    if (!unread && !silent && content.length <= 4096) this.res.end(content.toString('latin1'), 'latin1');
    else if (!unread) this.res.end(silent ? undefined : content);
    else this.#respondThenLinger(silent ? Buffer.alloc(0) : content);
  }

  /** One of the gateway's own pages. */
  respondPage(status: number, headers: string[] = []): void {
    const page = pageFor(status, this.header('accept'));
    headers.push('content-type', page.contentType);
    this.respond(status, headers, page.body);
  }

  /** Cuts the connection, so that nobody takes half an answer for a whole one. */
  breakOff(): void {
    const { socket } = this.req;
    // To an HTTP/1.0 client the end of the connection is the end of the answer: only a reset says otherwise.
    if (this.req.httpVersionMinor === 0 && !this.port.tls) socket.resetAndDestroy();
    else socket.destroy();
  }

  /** The answer is complete for the client by its Content-Length; the connection ends after the unread body, or soon. */
  #respondThenLinger(content: Buffer): void {
    const { req, res } = this;
    if (content.length > 0) res.write(content);
    else res.flushHeaders();
    const timer = setTimeout(() => res.end(), lingerMs);
    req.once('end', () => res.end());
    res.once('close', () => clearTimeout(timer));
    req.resume();
  }

  /** An upstream answered before it read everything: the rest is read and thrown away, but not for ever. */
  #dropRest(): void {
    const { req } = this;
    req.resume();
    const timer = setTimeout(() => req.socket.destroy(), lingerMs);
    req.once('close', () => clearTimeout(timer));
  }

  /** Ends the bookkeeping: once, when the answer is out, cut off, or (after an upgrade) when the connection ends. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (!this.res.writableFinished) this.onAbandon?.();
    this.onAbandon = undefined;
    this.#onClose(this);
  }
}
