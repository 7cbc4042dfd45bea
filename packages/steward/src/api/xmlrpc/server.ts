/** One place where supervisorctl is answered: HTTP by Node, with limits on everything that a client could drag out. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import type { Credentials, SupervisorctlListener } from '../../config/model.ts';
import { isAuthorized, isFromBrowser } from './auth.ts';
import { NoCall } from './xml.ts';

/** A call has a name and a few texts; the text of a larger one would keep everybody waiting while it is read. */
const longestBody = 256 * 1024;
const mostThrownAway = 8 * 1024 * 1024;
const headMs = 10_000;
const requestMs = 30_000;
/** supervisorctl as a shell keeps its connection between commands. */
const idleMs = 120_000;
/** A client that takes nothing of an answer for so long is let go. */
const stallMs = 60_000;
const mostConnections = 64;
/** A wrong name or password is answered this late: all connections together guess no more than 64 times a second. */
const guessMs = 1000;
/** Logs that are followed at once, so that there are connections left for calls. */
const mostFollowers = 32;

export interface Answers {
  /** Somebody gave a wrong name or password, from this address. */
  denied(from: string): void;
  /** The XML of the answer to a call. */
  call(text: string, signal: AbortSignal): Promise<string>;
  /** What `tail -f` and `maintail -f` read; undefined when there is no such log. */
  follow(path: string, signal: AbortSignal): AsyncGenerator<Buffer> | undefined;
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** After these the connection is closed; after others the client may still be writing, and would miss the answer. */
const ending: readonly number[] = [413, 500, 503];

function refuse(response: ServerResponse, status: number, message: string): void {
  if (response.headersSent) return void response.destroy();
  const challenge = status === 401 ? { 'www-authenticate': 'Basic realm="default"' } : {};
  const text = Buffer.from(`${message}\n`);
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': text.length,
    ...(ending.includes(status) && { connection: 'close' }),
    ...challenge,
  });
  response.end(text);
}

/** A body that is too long is read on for a while and thrown away, so that the client gets to the answer. */
async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > mostThrownAway) break; // which closes the connection
    if (size <= longestBody) chunks.push(chunk);
    else chunks.length = 0;
  }
  if (size > longestBody) throw new Refusal(413, `a call may have ${longestBody} bytes`);
  return Buffer.concat(chunks).toString('utf8');
}

/** @throws Refusal for who may not ask. */
function admit({ headers, socket }: IncomingMessage, credentials: Credentials | undefined, answers: Answers): void {
  if (credentials !== undefined && !isAuthorized(headers.authorization, credentials)) {
    if (headers.authorization !== undefined) answers.denied(socket.remoteAddress ?? '');
    throw new Refusal(401, 'a user name and a password are needed');
  }
  // With a password a page of a browser has nothing to act with.
  if (credentials === undefined && isFromBrowser(headers)) throw new Refusal(403, 'pages in browsers are not answered here');
}

async function answerCall(request: IncomingMessage, response: ServerResponse, answers: Answers, signal: AbortSignal): Promise<void> {
  if (request.method !== 'POST') throw new Refusal(400, 'a call is sent by POST');
  // A page may send other types to any address without asking first.
  if (!/^(text|application)\/xml\b/i.test(request.headers['content-type'] ?? '')) throw new Refusal(415, 'a call is text/xml');
  const answer = await answers.call(await bodyOf(request), signal);
  const bytes = Buffer.from(answer);
  response.setTimeout(stallMs, () => response.destroy());
  response.writeHead(200, { 'content-type': 'text/xml', 'content-length': bytes.length });
  response.end(bytes);
}

/** Waits until a client has taken what it was sent; one that takes nothing is let go. */
async function drained(response: ServerResponse, signal: AbortSignal): Promise<void> {
  const timer = setTimeout(() => response.destroy(), stallMs);
  await once(response, 'drain', { signal }).catch(() => {});
  clearTimeout(timer);
}

async function answerFollow(path: string, response: ServerResponse, answers: Answers, signal: AbortSignal): Promise<void> {
  const bytes = answers.follow(path, signal);
  if (bytes === undefined) throw new Refusal(404, 'there is no such log');
  response.writeHead(200, { 'content-type': 'text/plain;charset=utf-8', 'x-accel-buffering': 'no' });
  response.flushHeaders();
  for await (const chunk of bytes) if (!response.write(chunk)) await drained(response, signal);
  response.end();
}

function pathOf({ url = '/' }: IncomingMessage): string {
  try {
    return decodeURIComponent(url.replace(/[?#].*$/s, ''));
  } catch {
    throw new Refusal(400, 'the path cannot be read');
  }
}

/** A server that is not listening yet. `onError` hears of bugs. */
export function createCtlServer(
  { credentials }: Pick<SupervisorctlListener, 'credentials'>,
  answers: Answers,
  onError: (error: unknown) => void,
): Server {
  let followers = 0;

  async function answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    admit(request, credentials, answers);
    const path = pathOf(request);
    if (path.startsWith('/RPC2')) return answerCall(request, response, answers, signal);
    if (!path.startsWith('/logtail/') && !path.startsWith('/mainlogtail'))
      throw new Refusal(404, 'there is no page here; use supervisorctl');
    if (request.method !== 'GET') throw new Refusal(400, 'a log is read by GET');
    if (followers >= mostFollowers) throw new Refusal(503, 'too many logs are followed already');
    followers += 1;
    try {
      await answerFollow(path, response, answers, signal);
    } finally {
      followers -= 1;
    }
  }

  async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const controller = new AbortController();
    response.once('close', () => controller.abort());
    request.on('error', () => controller.abort());
    try {
      await answer(request, response, controller.signal);
    } catch (error) {
      if (controller.signal.aborted) return;
      if (error instanceof Refusal) {
        const guessed = error.status === 401 && request.headers.authorization !== undefined;
        if (guessed) await wait(guessMs, undefined, { signal: controller.signal, ref: false }).catch(() => {});
        return refuse(response, error.status, error.message);
      }
      if (error instanceof NoCall) return refuse(response, 400, error.message);
      onError(error);
      refuse(response, 500, 'something went wrong inside Steward; its log has the details');
    }
  }

  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: headMs,
      requestTimeout: requestMs,
      keepAliveTimeout: idleMs,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => void take(request, response),
  );
  server.maxConnections = mostConnections;
  return server;
}
