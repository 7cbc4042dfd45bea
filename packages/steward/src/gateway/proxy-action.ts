/** A proxy route made ready for requests: which headers go to the upstream and which come back. Pure. */

import type { ProxyEntry } from './table.ts';
import type { RequestPath } from './target.ts';
import { encodePath, toBytes } from './target.ts';
import { compileTemplate, expand, forwardedFor, type Template, type VariableSource } from './variables.ts';

export interface CompiledProxy {
  readonly kind: 'proxy';
  readonly entry: ProxyEntry;
  readonly setHeaders: readonly { readonly name: string; readonly value: Template }[];
  /** Lowercase names that the client's own headers lose to. */
  readonly replaced: ReadonlySet<string>;
  /** Undefined: each server's own address. */
  readonly host: Template | undefined;
  readonly rewriteLocation: readonly { readonly from: Template; readonly to: Template }[];
}

/** What a header is to a proxy. Hop headers belong to one connection and never pass. */
type HeaderClass = 'pass' | 'hop' | 'connection' | 'host' | 'length' | 'forwarded' | 'x-forwarded-for';

const hopNames = [
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'http2-settings',
];
const fixedClasses = new Map<string, HeaderClass>([
  ...hopNames.map((name) => [name, 'hop'] as const),
  ['connection', 'connection'],
  ['host', 'host'],
  ['content-length', 'length'],
  ['forwarded', 'forwarded'],
  ['x-real-ip', 'forwarded'],
  ['x-forwarded-for', 'x-forwarded-for'],
]);

/** `x_real_ip` counts as `x-real-ip`: WSGI and CGI programs cannot tell the two apart. */
function classOf(lower: string): HeaderClass {
  const fixed = fixedClasses.get(lower);
  if (fixed !== undefined) return fixed;
  if (!lower.startsWith('x') && !lower.startsWith('f')) return 'pass';
  const dashed = lower.replaceAll('_', '-');
  return dashed.startsWith('x-forwarded-') || dashed === 'x-real-ip' ? 'forwarded' : 'pass';
}

interface KnownName {
  readonly lower: string;
  readonly kind: HeaderClass;
}

/** Lowercasing and classing each name once is a third of the cost of copying headers; clients choose the names, so it is bounded. */
const knownNames = new Map<string, KnownName>();
const maxKnownNames = 2000;

function knownName(name: string): KnownName {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const fresh = { lower, kind: classOf(lower) };
  if (knownNames.size < maxKnownNames) knownNames.set(name, fresh);
  return fresh;
}

/** The route with its texts compiled. Headers that belong to the connection are not for a configuration to set. */
export function compileProxy(entry: ProxyEntry): CompiledProxy {
  const sets = Object.entries(entry.setHeaders).map(([name, value]) => ({
    name,
    value: compileTemplate(value),
    lower: name.toLowerCase(),
  }));
  const usable = sets.filter(({ lower }) => ['pass', 'forwarded', 'x-forwarded-for'].includes(classOf(lower)));
  const host = sets.find(({ lower }) => lower === 'host')?.value;
  return {
    kind: 'proxy',
    entry,
    setHeaders: usable.map(({ name, value }) => ({ name, value })),
    replaced: new Set(usable.map(({ lower }) => lower)),
    host: host ?? compileHost(entry.upstreamHost),
    rewriteLocation: entry.rewriteLocation.map(({ from, to }) => ({ from: compileTemplate(from), to: compileTemplate(to) })),
  };
}

const compileHost = (upstreamHost: string): Template | undefined =>
  upstreamHost === 'upstream' ? undefined : compileTemplate(upstreamHost === 'keep' ? '$http_host' : upstreamHost);

/** Path and query for the upstream: as sent, or with the matched prefix replaced by the route's `upstreamPath`. */
export function upstreamTarget(action: CompiledProxy, path: RequestPath, prefix: string, query: string): string {
  const { upstreamPath } = action.entry;
  if (upstreamPath === undefined || prefix === '') return path.raw + query;
  const rest = encodePath(path.bytes.slice(toBytes(prefix).length));
  const joined = upstreamPath + rest;
  return (joined.startsWith('/') ? joined : `/${joined}`) + query;
}

/** Lowercase names that a Connection header marks as belonging to this connection. */
export function connectionNames(value: string): ReadonlySet<string> | undefined {
  if (value === 'keep-alive' || value === 'close' || value === 'Keep-Alive') return undefined;
  const names = value
    .toLowerCase()
    .split(',')
    .map((name) => name.trim());
  return new Set(names.filter((name) => name !== 'host' && name !== 'content-length' && name !== ''));
}

/** What a request brings to its upstream headers. */
export interface HeaderSource extends VariableSource {
  /** Name, value, name, value, as received. */
  readonly rawHeaders: readonly string[];
}

/**
 * Headers for the upstream: name, value, name, value. The first is always `host`, empty when the route sends each server
 * its own address. Content-Length is passed on, so that the body's length is checked; hop headers are not.
 */
export function upstreamHeaders(action: CompiledProxy, source: HeaderSource): string[] {
  const headers = ['host', action.host === undefined ? '' : expand(action.host, source)];
  const { rawHeaders } = source;
  const mode = action.entry.forwardedHeaders;
  let named: ReadonlySet<string> | undefined;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? '';
    const { kind, lower } = knownName(name);
    const value = rawHeaders[at + 1] ?? '';
    if (kind === 'connection') {
      const more = connectionNames(value);
      if (more !== undefined) named = named === undefined ? more : named.union(more);
    } else if (kind === 'hop' || kind === 'host') continue;
    else if (mode !== 'off' && (kind === 'forwarded' || kind === 'x-forwarded-for')) continue;
    else if (action.replaced.size === 0 || !action.replaced.has(lower)) headers.push(name, value);
  }
  if (named !== undefined) dropNames(headers, named);
  addForwarded(headers, action, source);
  for (const { name, value } of action.setHeaders) {
    const text = expand(value, source);
    if (text !== '') headers.push(name, text);
  }
  return headers;
}

function dropNames(headers: string[], names: ReadonlySet<string>): void {
  for (let at = headers.length - 2; at >= 2; at -= 2) {
    if (names.has((headers[at] ?? '').toLowerCase())) headers.splice(at, 2);
  }
}

function addForwarded(headers: string[], { entry, replaced }: CompiledProxy, source: HeaderSource): void {
  if (entry.forwardedHeaders === 'off') return;
  const add = (name: string, lower: string, value: string): void => {
    if (replaced.size === 0 || !replaced.has(lower)) headers.push(name, value);
  };
  add('X-Forwarded-For', 'x-forwarded-for', entry.forwardedHeaders === 'append' ? forwardedFor(source) : source.remoteAddress);
  add('X-Forwarded-Proto', 'x-forwarded-proto', source.scheme);
  if (source.httpHost !== '') add('X-Forwarded-Host', 'x-forwarded-host', source.httpHost);
  add('X-Real-IP', 'x-real-ip', source.remoteAddress);
}

/** Answer headers for the client, flat, from the upstream's by lowercase name: hop headers dropped, Location rewritten. */
export function clientHeaders(
  action: CompiledProxy,
  received: Readonly<Record<string, string | string[] | undefined>>,
  source: VariableSource,
): string[] {
  const headers: string[] = [];
  const connection = received.connection;
  const named = connection === undefined ? undefined : connectionNames(String(connection));
  for (const name in received) {
    const value = received[name];
    const { kind } = knownName(name);
    if (value === undefined || kind === 'hop' || kind === 'connection' || named?.has(name)) continue;
    if (typeof value !== 'string') for (const one of value) headers.push(name, one);
    else headers.push(name, name === 'location' ? rewriteLocation(action, value, source) : value);
  }
  return headers;
}

const ownOrigin = compileTemplate('$scheme://$http_host');

/** A Location with its prefix replaced by the first rule that fits. A path becomes a whole address, as nginx and Apache make it. */
function rewriteLocation({ rewriteLocation: rules }: CompiledProxy, location: string, source: VariableSource): string {
  for (const rule of rules) {
    const from = expand(rule.from, source);
    if (!location.startsWith(from)) continue;
    const placed = expand(rule.to, source) + location.slice(from.length);
    return /^\/(?!\/)/.test(placed) ? expand(ownOrigin, source) + placed : placed;
  }
  return location;
}
