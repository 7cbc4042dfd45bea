/** How an instance is seen to be ready, as written → as a probe. Pure. */
import type { ReadySpec } from './model.ts';
import type { ServiceSource } from './sections/service.ts';
import type { ServiceDraft } from './service-draft.ts';
import { durationOr } from './units.ts';

/** `8080`, `host:8080`, `[::1]:8080`. */
function tcpAddress(draft: ServiceDraft, given: string | number): { host: string; port: number } {
  const text = typeof given === 'number' ? String(given) : draft.text(given, '/ready/tcp');
  const [, v6, host, port] = /^(?:(?:\[([^\]]+)\]|([^:]+)):)?(\d+)$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65535)
    draft.tell('/ready/tcp', 'config/address', `"${text}" is no port and no host:port`, 'Write 8080, 127.0.0.1:8080 or "{{port}}".');
  return { host: v6 ?? host ?? '127.0.0.1', port: Number(port ?? 1) };
}

function httpProbe(draft: ServiceDraft, template: string): { kind: 'http'; url: string; socketPath?: string } {
  const url = draft.text(template, '/ready/http');
  if (!URL.canParse(url) || !/^https?:/.test(url))
    draft.tell('/ready/http', 'config/address', `"${url}" is no http address`, 'Write http://{{endpoint}}/health.');
  const { endpoint } = draft;
  return { kind: 'http', url, ...(endpoint?.kind === 'unix' && template.includes('{{endpoint}}') && { socketPath: endpoint.path }) };
}

function logProbe(draft: ServiceDraft, pattern: string): { kind: 'log'; pattern: string } {
  try {
    new RegExp(pattern);
    return { kind: 'log', pattern };
  } catch (error) {
    draft.tell(
      '/ready/log',
      'config/regular-expression',
      `"${pattern}" is no regular expression: ${(error as Error).message.replace(/^.*: /, '')}`,
      'Put a backslash before ( ) [ ] { } . * + ? when they stand for themselves.',
    );
    return { kind: 'log', pattern: '(?!)' };
  }
}

const defaultReadyMs = 60_000;

export function readyOf(draft: ServiceDraft, source: ServiceSource): ReadySpec | undefined {
  const { ready } = source;
  const { endpoint } = draft;
  const timing = { timeoutMs: durationOr(ready?.timeout, defaultReadyMs), ...(ready?.every && { everyMs: durationOr(ready.every, 0) }) };
  const kinds = (['tcp', 'http', 'unix', 'log', 'notify'] as const).filter((kind) => ready?.[kind] !== undefined && ready[kind] !== false);
  if (kinds.length > 1) draft.tell('/ready', 'config/two-probes', `${kinds.join(' and ')} are given together`, 'Keep one of them.');
  if (ready?.tcp !== undefined) return { ...timing, kind: 'tcp', ...tcpAddress(draft, ready.tcp) };
  if (ready?.http !== undefined) return { ...timing, ...httpProbe(draft, ready.http) };
  if (ready?.unix !== undefined) return { ...timing, kind: 'unix', path: draft.path(ready.unix, '/ready/unix') };
  if (ready?.log !== undefined) return { ...timing, ...logProbe(draft, ready.log) };
  if (ready?.notify) return { ...timing, kind: 'notify' };
  // The system accepts for a shared socket, so that a look at it says nothing of one instance.
  const own = endpoint?.shared === undefined ? endpoint : undefined;
  if (own?.kind === 'tcp') return { ...timing, kind: 'tcp', host: own.host, port: own.port };
  if (own?.kind === 'unix') return { ...timing, kind: 'unix', path: own.path };
  if (ready !== undefined) draft.tell('/ready', 'config/no-probe', 'it does not say how', 'Give one of tcp, http, unix, log, notify.');
  return undefined;
}

/** A probe of a shared socket is answered before the program is ready, by the system or by a sibling. */
export function checkProbe(draft: ServiceDraft, ready: ReadySpec | undefined): void {
  const { endpoint } = draft;
  if (endpoint?.shared === undefined || ready === undefined) return;
  const isTcp = endpoint.kind === 'tcp' && ready.kind === 'tcp' && ready.port === endpoint.port;
  const isUnix = endpoint.kind === 'unix' && ready.kind === 'unix' && ready.path === endpoint.path;
  if (!isTcp && !isUnix) return;
  draft.tell(
    `/ready/${ready.kind}`,
    'config/shared-probe',
    'a shared socket accepts connections at all times, whether this instance is ready or not',
    'Use log or notify, or leave it out: it counts as running once it has stayed up for upAfter.',
    'warning',
  );
}
