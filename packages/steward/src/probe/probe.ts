/** One look at something: does it answer? Readiness, upstream health and checks all look this way. */
import { type IncomingMessage, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';

export interface ProbeResult {
  readonly ok: boolean;
  /** What was seen, for people: `connection refused`, `answered 503`. */
  readonly detail: string;
}

export type Probe =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  | HttpProbe;

export interface HttpProbe {
  readonly kind: 'http';
  readonly url: string;
  readonly socketPath?: string;
  /** Host header, and name asked for in TLS, instead of the url's. */
  readonly host?: string;
  /** Statuses that pass: least and most. Default: 200 to 399. */
  readonly statuses?: readonly [number, number];
  /** Has to be in the first 64 KB of the body. */
  readonly body?: string;
}

/** Of a body that is looked through. */
const bodyMostBytes = 64 * 1024;

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOENT: 'no such socket',
  EACCES: 'permission denied',
  ETIMEDOUT: 'timed out',
};
const describe = (error: NodeJS.ErrnoException): string => words[error.code ?? ''] ?? error.message;

function lookConnect(to: { host: string; port: number } | { path: string }, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const socket = connect({ ...to, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve({ ok: true, detail: 'accepts connections' });
    });
    socket.once('error', (error) => resolve({ ok: false, detail: signal.aborted ? 'timed out' : describe(error) }));
  });
}

function lookHttp({ url, socketPath, host, statuses, body }: HttpProbe, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const ask = url.startsWith('https:') ? requestTls : request;
    const failed = (error: Error) => resolve({ ok: false, detail: signal.aborted ? 'timed out' : describe(error) });
    const headers = { connection: 'close', ...(host !== undefined && { host }) };
    const req = ask(url, { signal, ...(socketPath && { socketPath }), agent: false, rejectUnauthorized: false, headers }, (res) => {
      const status = res.statusCode ?? 0;
      const [least, most] = statuses ?? [200, 399];
      const ok = status >= least && status <= most;
      if (ok && body !== undefined) return void lookInto(res, body).then(resolve, failed);
      res.resume();
      resolve({ ok, detail: `answered ${status}` });
    });
    req.once('error', failed);
    req.end();
  });
}

/** Whether `wanted` comes in the body of an answer. Reads no further than needed; rejects when the body breaks off before. */
async function lookInto(res: IncomingMessage, wanted: string): Promise<ProbeResult> {
  const bytes = Buffer.from(wanted);
  let read = Buffer.alloc(0);
  for await (const part of res) {
    read = Buffer.concat([read, part as Buffer]).subarray(0, bodyMostBytes);
    if (read.includes(bytes)) return { ok: true, detail: `answered ${res.statusCode}` };
    if (read.length === bodyMostBytes) break;
  }
  return { ok: false, detail: `answered ${res.statusCode} without the expected text` };
}

/** Looks once and answers within `timeoutMs`, or when `cancel` fires. Never rejects. */
export function look(probe: Probe, timeoutMs: number, cancel?: AbortSignal): Promise<ProbeResult> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = cancel === undefined ? timeout : AbortSignal.any([timeout, cancel]);
  if (probe.kind === 'http') return lookHttp(probe, signal);
  return lookConnect(probe.kind === 'unix' ? { path: probe.path } : { host: probe.host, port: probe.port }, signal);
}
