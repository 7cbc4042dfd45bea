/** One look at something: does it answer? Readiness, upstream health and checks all look this way. */
import { request } from 'node:http';
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
  | { readonly kind: 'http'; readonly url: string; readonly socketPath?: string };

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

function lookHttp(url: string, socketPath: string | undefined, signal: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const ask = url.startsWith('https:') ? requestTls : request;
    const req = ask(
      url,
      { signal, ...(socketPath && { socketPath }), agent: false, rejectUnauthorized: false, headers: { connection: 'close' } },
      (res) => {
        res.resume();
        const status = res.statusCode ?? 0;
        resolve({ ok: status >= 200 && status < 400, detail: `answered ${status}` });
      },
    );
    req.once('error', (error) => resolve({ ok: false, detail: signal.aborted ? 'timed out' : describe(error) }));
    req.end();
  });
}

/** Looks once and answers within `timeoutMs`, or when `cancel` fires. Never rejects. */
export function look(probe: Probe, timeoutMs: number, cancel?: AbortSignal): Promise<ProbeResult> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = cancel === undefined ? timeout : AbortSignal.any([timeout, cancel]);
  if (probe.kind === 'http') return lookHttp(probe.url, probe.socketPath, signal);
  return lookConnect(probe.kind === 'unix' ? { path: probe.path } : { host: probe.host, port: probe.port }, signal);
}
