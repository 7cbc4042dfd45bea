/** Requests of the tables, written short. */
import type { Tolerance } from './compare.ts';
import type { Sent } from './wire.ts';

export type Headers = Readonly<Record<string, string>>;

export interface Options {
  readonly headers?: Headers;
  readonly body?: string | Buffer;
  readonly version?: '1.0' | '1.1';
  /** Sends no Host header. */
  readonly noHost?: boolean;
  readonly name?: string;
}

/** What an upstream of the tests answers instead of 200: sent along as a header, which passes every proxy. */
export interface Wanted {
  readonly status?: number;
  readonly headers?: readonly (readonly [string, string])[];
  readonly body?: string;
  /** Waits before it answers. */
  readonly afterMs?: number;
  /** Ends the connection without an answer. */
  readonly drop?: boolean;
  /** Ends the connection in the middle of the body. */
  readonly half?: boolean;
  /** Length of a header of its own. */
  readonly long?: number;
  /** Only when this server is asked. */
  readonly at?: string;
}

export const want = (wanted: Wanted): Headers => ({ 'X-Want': JSON.stringify(wanted) });

function textOf(method: string, target: string, options: Options): Buffer {
  const { headers = {}, body = '', version = '1.1', noHost = false } = options;
  const bytes = Buffer.from(body);
  const given: Record<string, string> = { ...(noHost ? {} : { Host: 'localhost' }), ...headers };
  const isFramed = Object.keys(given).some((name) => /^(content-length|transfer-encoding)$/i.test(name));
  if (bytes.length > 0 && !isFramed) given['Content-Length'] = String(bytes.length);
  const lines = Object.entries(given).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`${method} ${target} HTTP/${version}\r\n${lines.join('')}\r\n`, 'latin1'), bytes]);
}

/** One request. */
export const ask = (method: string, target: string, options: Options = {}): Sent => ({
  name: options.name ?? `${method} ${target} ${JSON.stringify(options.headers ?? {})}`.slice(0, 160),
  bytes: textOf(method, target, options),
  methods: [method],
});

export const get = (target: string, headers: Headers = {}, options: Options = {}): Sent => ask('GET', target, { ...options, headers });

/** GET of each of these. */
export const gets = (...targets: readonly string[]): Sent[] => targets.map((target) => get(target));

export const post = (target: string, body: string | Buffer, headers: Headers = {}): Sent => ask('POST', target, { headers, body });

/** Bytes as they are; `methods` of the requests in them. */
export const raw = (name: string, text: string, methods: readonly string[] = ['GET']): Sent => ({
  name,
  bytes: Buffer.from(text, 'latin1'),
  methods,
});

/** Several requests at once on one connection. */
export const pipeline = (...requests: readonly Sent[]): Sent => ({
  name: `pipeline of ${requests.map(({ name }) => name).join(', ')}`.slice(0, 160),
  bytes: Buffer.concat(requests.map(({ bytes }) => bytes)),
  methods: requests.flatMap(({ methods }) => methods),
});

/** To another port of the file: `{{port2}}`. */
export const at = (port: number, sent: Sent): Sent => ({ ...sent, port, name: `${sent.name} at port ${port}` });

export interface Case {
  readonly name: string;
  /** What stands inside http. {{port}}, {{port2}}, {{files}} (a folder), {{logs}} (a folder), {{a}} to {{d}} (upstreams) are replaced. */
  readonly conf: string;
  readonly requests: readonly Sent[];
  /** Names of logs below {{logs}} to compare. */
  readonly logs?: readonly string[];
  /** Requests that differ by decision, by the beginning of their names, and which of `tolerances` says why. */
  readonly allow?: Readonly<Partial<Record<Tolerance, readonly string[]>>>;
}

/** A server around these lines, on {{port}}. */
export const server = (lines: string): string => `server {\n  listen 127.0.0.1:{{port}};\n  ${lines}\n}\n`;
