/**
 * A client with one method an operation, over a unix socket or a URL. Answers are plain data; a refusal is a
 * `RequestRefused` with the server's own words, an unreachable server an `Unreachable`.
 */
import { type ClientRequest, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { type OperationName, type Operations, operations } from './contract/contract.ts';
import type { Answer, Input, Operation } from './contract/operation.ts';

/** The control socket, or an address with a token; `ca` is the certificate (PEM) of an authority that the system does not know. */
export type ClientTarget = { readonly socketPath: string } | { readonly url: string; readonly token?: string; readonly ca?: string };

/** What the server said no to: the fields of application/problem+json (RFC 9457). */
export class RequestRefused extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
  constructor(status: number, body: Readonly<Record<string, unknown>>) {
    super(String(body.detail ?? body.title ?? `the server answered ${status}`));
    this.status = status;
    this.code = String(body.code ?? 'api/refused');
    this.hint = body.hint === undefined ? undefined : String(body.hint);
    this.body = body;
  }
}

/** No server there, or the connection broke. */
export class Unreachable extends Error {}

/** An event of a stream: its number to go on from, and its data. */
export interface StreamEvent<T> {
  readonly id: string | undefined;
  readonly data: T;
}

/** What goes along as headers. */
export interface Conditions {
  /** ETag of the texts that are meant to be changed: refused with 412 when they are others by now. */
  readonly ifMatch?: string;
  /** The same request with the same key is done once. */
  readonly idempotencyKey?: string;
}

type Given<O extends Operation> = Partial<Input<O>> & Conditions;

export type Client = {
  [N in OperationName]: Operations[N] extends { stream: true }
    ? (input?: Given<Operations[N]>, signal?: AbortSignal) => AsyncGenerator<StreamEvent<Answer<Operations[N]>>>
    : (input?: Given<Operations[N]>, signal?: AbortSignal) => Promise<Answer<Operations[N]>>;
};

interface Call extends Conditions {
  readonly params?: unknown;
  readonly query?: unknown;
  readonly body?: unknown;
}

function pathOf(operation: Operation, call: Call): string {
  const params = (call.params ?? {}) as Record<string, unknown>;
  const path = operation.path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(params[name])));
  const query = Object.entries((call.query ?? {}) as Record<string, unknown>).filter(([, value]) => value !== undefined);
  return query.length === 0
    ? path
    : `${path}?${new URLSearchParams(query.map(([name, value]): [string, string] => [name, String(value)]))}`;
}

function requestUrl(
  { url, ca }: { readonly url: string; readonly ca?: string },
  path: string,
  options: RequestOptions,
  onAnswer: (response: IncomingMessage) => void,
): ClientRequest {
  const whole = new URL(path, url);
  return whole.protocol === 'https:'
    ? requestHttps(whole, { ...options, ...(ca && { ca }) }, onAnswer)
    : requestHttp(whole, options, onAnswer);
}

function send(target: ClientTarget, operation: Operation, call: Call, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  const text = call.body === undefined ? undefined : JSON.stringify(call.body);
  const headers: Record<string, string> = { accept: operation.stream ? 'text/event-stream' : 'application/json' };
  if (text !== undefined) Object.assign(headers, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) });
  if ('token' in target && target.token) headers.authorization = `Bearer ${target.token}`;
  if (call.ifMatch !== undefined) headers['if-match'] = `"${call.ifMatch}"`;
  if (call.idempotencyKey !== undefined) headers['idempotency-key'] = call.idempotencyKey;
  const options: RequestOptions = { method: operation.method, headers, agent: false, ...(signal && { signal }) };
  const path = pathOf(operation, call);
  return new Promise((resolve, reject) => {
    const made =
      'socketPath' in target
        ? requestHttp({ ...options, socketPath: target.socketPath, path }, resolve)
        : requestUrl(target, path, options, resolve);
    made.once('error', (error) => reject(new Unreachable(error.message, { cause: error })));
    made.end(text);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of response) chunks.push(chunk as Buffer);
  } catch (error) {
    throw new Unreachable('the connection broke before the answer was complete', { cause: error });
  }
  return Buffer.concat(chunks).toString();
}

function asObject(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return { detail: text.slice(0, 500) };
  }
}

async function accepted(response: IncomingMessage): Promise<IncomingMessage> {
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return response;
  throw new RequestRefused(status, asObject(await textOf(response)));
}

/** Reads server-sent events (the WHATWG's format, as far as our server writes it). */
async function* eventsOf(response: IncomingMessage, signal: AbortSignal | undefined): AsyncGenerator<StreamEvent<unknown>> {
  let rest = '';
  response.setEncoding('utf8');
  try {
    for await (const chunk of response) {
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const fields = block
          .split('\n')
          .map((line): [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]);
        const data = fields
          .filter(([name]) => name === 'data')
          .map(([, value]) => value)
          .join('\n');
        if (data !== '') yield { id: fields.find(([name]) => name === 'id')?.[1], data: JSON.parse(data) };
      }
    }
  } catch (error) {
    // Over TLS an end that the caller wanted looks like a broken connection.
    if (!signal?.aborted && (error as Error).name !== 'AbortError') throw new Unreachable('the stream broke', { cause: error });
  }
}

/** Makes a client; nothing is sent before the first call. */
export function createClient(target: ClientTarget): Client {
  const methods = Object.entries(operations as Record<string, Operation>).map(([name, operation]): [string, unknown] => {
    if (operation.stream) {
      return [
        name,
        async function* (call: Call = {}, signal?: AbortSignal) {
          yield* eventsOf(await accepted(await send(target, operation, call, signal)), signal);
        },
      ];
    }
    return [
      name,
      async (call: Call = {}, signal?: AbortSignal) =>
        JSON.parse(await textOf(await accepted(await send(target, operation, call, signal)))),
    ];
  });
  return Object.fromEntries(methods) as unknown as Client;
}
