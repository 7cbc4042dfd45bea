/** A proxy route made ready for requests: which head goes to the upstream and which headers come back. Pure. */

import { connectionNames, type HeaderKind, type Headers, headerValue, kindOf } from '../connection/headers.ts';
import { isTrace } from '../connection/request-id.ts';
import { compileHeader } from '../rules/header-template.ts';
import {
  compileTemplate,
  constantOf,
  expand,
  forwardedFor,
  type Scope,
  type Template,
  usableRegex,
  type VariableSource,
  variablesOf,
} from '../rules/variables.ts';
import type { ProxyEntry } from '../table.ts';
import { encodePath, toBytes } from '../target.ts';

/** What a request brings to its upstream. */
export interface ProxiedRequest extends VariableSource {
  readonly request: { readonly headers: Headers };
  /** The other end of the connection is a proxy whose word is believed. */
  readonly trusted: boolean;
  readonly rewritten: boolean;
  /** A rewrite has stayed in the route with a path of its own, of which the route's prefix is no part. */
  readonly prefixGone: boolean;
  /** With its `?`, or empty. */
  readonly query: string;
}

export interface CompiledProxy {
  readonly kind: 'proxy';
  readonly entry: ProxyEntry;
  readonly setHeaders: readonly { readonly name: string; readonly value: Template }[];
  /** Lowercase names that the client's own headers lose to. */
  readonly replaced: ReadonlySet<string>;
  /** Undefined: each server's own address. */
  readonly host: Template | undefined;
  /** For a path that is replaced or made whole. */
  readonly path: Template;
  /** For a target worked out for each request. */
  readonly target: Template;
  readonly verifyName: Template | undefined;
  readonly rewriteLocation: readonly LocationRewrite[];
  readonly rewriteCookies: readonly CookieRewrite[];
  readonly hidden: ReadonlySet<string>;
  /** Nothing of the answer's headers needs a look but those that never pass. */
  readonly passesAnswers: boolean;
}

interface LocationRewrite {
  readonly from: Template | RegExp;
  readonly to: Template;
}

interface CookieRewrite {
  readonly attribute: 'domain' | 'path';
  readonly from: Template | RegExp;
  readonly to: Template;
}

const settable: ReadonlySet<HeaderKind> = new Set(['pass', 'forwarded', 'x-forwarded-for', 'underscored', 'accel']);

/** The route with its texts compiled. Headers that belong to the connection are not for a configuration to set. */
export function compileProxy(entry: ProxyEntry, scope: Scope): CompiledProxy {
  const sets = entry.setHeaders.map(({ name, value }) => ({
    name,
    value: compileHeader(value, scope, 'url'),
    lower: name.toLowerCase(),
  }));
  const usable = sets.filter(({ lower }) => settable.has(kindOf(lower)));
  const host = sets.find(({ lower }) => lower === 'host')?.value;
  const rewriteLocation = entry.rewriteLocation.map(({ from, to }) => ({
    from: typeof from === 'string' ? compileTemplate(from, scope, 'url') : regexOf(from),
    to: compileTemplate(to, scope, 'url'),
  }));
  const rewriteCookies = entry.rewriteCookies.map(({ attribute, from, to }) => ({
    attribute,
    from: typeof from === 'string' ? compileTemplate(withoutDot(attribute, from), scope) : regexOf(from),
    to: compileTemplate(typeof from === 'string' ? withoutDot(attribute, to) : to, scope, 'url'),
  }));
  return {
    kind: 'proxy',
    entry,
    setHeaders: usable.map(({ name, value }) => ({ name, value })),
    replaced: new Set(usable.map(({ lower }) => lower)),
    host: host ?? compileHost(entry.upstreamHost, scope),
    path: entry.path.kind === 'keep' ? [] : compileTemplate(entry.path.to, scope, 'url'),
    target: entry.target.kind === 'text' ? compileTemplate(entry.target.text, scope, 'url') : [],
    verifyName: entry.verify?.name === undefined ? undefined : compileTemplate(entry.verify.name, scope),
    rewriteLocation,
    rewriteCookies,
    hidden: new Set(entry.hideHeaders),
    passesAnswers: rewriteLocation.length === 0 && rewriteCookies.length === 0 && entry.hideHeaders.length === 0,
  };
}

/** A pattern that cannot be used fits nothing; the configuration has told it. */
const neverFits = /(?!)/;

function regexOf(spec: { readonly pattern: string; readonly anyCase: boolean }): RegExp {
  const regex = usableRegex(spec);
  return typeof regex === 'string' ? neverFits : regex;
}

/** A domain in front of which a dot makes no difference: the one that a cookie has there stays. */
const withoutDot = (attribute: 'domain' | 'path', text: string): string => (attribute === 'domain' ? text.replace(/^\./, '') : text);

const compileHost = (upstreamHost: string, scope: Scope): Template | undefined =>
  upstreamHost === 'upstream'
    ? undefined
    : upstreamHost === 'keep'
      ? [(source) => source.httpHost]
      : compileTemplate(upstreamHost, scope, 'url');

const absolute = (path: string): string => (path.startsWith('/') ? path : `/${path}`);

/**
 * Path and query for the upstream: as sent, or with the matched prefix replaced, or as the route makes it whole. `given` is the
 * path of a target that came out as a URL. What a rewrite has left behind goes on as it is, and no empty query with it
 * (https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_pass).
 */
export function upstreamTarget(action: CompiledProxy, exchange: ProxiedRequest, prefix: string, given = ''): string {
  if (given !== '') return absolute(safeTarget(given));
  const { kind } = action.entry.path;
  const { path, args } = exchange;
  if (kind === 'whole') return absolute(safeTarget(expand(action.path, exchange)));
  const replaces = kind === 'replace' && prefix !== '';
  if (!replaces && !exchange.rewritten) return exchange.query === '' ? path.raw : path.raw + safeTarget(exchange.query);
  const query = args === '' ? '' : `?${safeTarget(args)}`;
  if (!replaces || exchange.prefixGone) return encodePath(path.bytes) + query;
  const rest = path.bytes.slice(toBytes(prefix).length);
  // Without escapes in what was sent there is nothing that needs one.
  const ready = exchange.rewritten || path.raw.includes('%') ? encodePath(rest) : rest;
  return absolute(safeTarget(expand(action.path, exchange)) + ready) + query;
}

const unsafeInTarget = /[^!-~\x80-\xff]/;

/** A target made from variables, with what would end it or its line escaped: a line break decoded from a path must stay data. */
const safeTarget = (text: string): string =>
  unsafeInTarget.test(text) ? text.toWellFormed().replace(/[^!-~\x80-\xff]/gu, (char) => encodeURIComponent(char)) : text;

/** Everything of a request's head behind its Host header: lines, each with its end. */
export function upstreamLines(action: CompiledProxy, exchange: ProxiedRequest): string {
  const { entry, replaced } = action;
  let lines = entry.passHeaders ? passedLines(action, exchange) : '';
  if (entry.forwardedHeaders !== 'off') lines += forwardedLines(action, exchange);
  if (entry.requestId && !replaced.has('x-request-id')) lines += `X-Request-Id: ${exchange.requestId}\r\n`;
  if (entry.traceparent && !replaced.has('traceparent')) lines += `traceparent: ${exchange.traceparent}\r\n`;
  for (const { name, value } of action.setHeaders) {
    const text = constantOf(value) ?? headerValue(expand(value, exchange));
    if (text !== '') lines += `${name}: ${text}\r\n`;
  }
  return lines;
}

/** What a route makes of the fields it received. */
class Passed {
  readonly by: CompiledProxy;
  readonly lines: string;

  constructor(by: CompiledProxy, lines: string) {
    this.by = by;
    this.lines = lines;
  }
}

function passedLines(action: CompiledProxy, exchange: ProxiedRequest): string {
  const { headers } = exchange.request;
  const { made } = headers;
  if (made instanceof Passed && made.by === action) return made.lines;
  const passed = new Passed(action, linesToPass(action, headers));
  headers.made = passed;
  return passed.lines;
}

function linesToPass({ entry, replaced }: CompiledProxy, headers: Headers): string {
  const { names, values } = headers;
  const adds = entry.forwardedHeaders !== 'off';
  const named = namedByConnection(headers);
  let lines = '';
  for (let at = 0; at < names.length; at++) {
    const name = names[at];
    if (name === undefined) continue;
    const { kind, lower } = name;
    if (kind === 'pass') {
      if ((entry.requestId && lower === 'x-request-id') || (entry.traceparent && lower === 'traceparent')) continue;
      // It belongs to the trace that goes on here, and to no new one (W3C Trace Context, 3.4).
      if (lower === 'tracestate' && entry.traceparent && !isTrace(headers.get('traceparent') ?? '')) continue;
    } else if (kind === 'forwarded' || kind === 'x-forwarded-for') {
      if (adds) continue;
    } else if (kind !== 'accel') continue;
    if (named?.has(lower) || (replaced.size > 0 && replaced.has(lower))) continue;
    lines += `${name.text}: ${values[at]}\r\n`;
  }
  return lines;
}

/** Lowercase names that the Connection headers of a message mark as its connection's own. */
function namedByConnection({ names, values }: Headers): ReadonlySet<string> | undefined {
  let named: ReadonlySet<string> | undefined;
  for (let at = 0; at < names.length; at++) {
    if (names[at]?.kind !== 'connection') continue;
    const more = connectionNames(values[at] ?? '');
    if (more !== undefined) named = named === undefined ? more : named.union(more);
  }
  return named;
}

function forwardedLines({ entry, replaced }: CompiledProxy, exchange: ProxiedRequest): string {
  const { trusted } = exchange;
  let lines = '';
  const add = (name: string, lower: string, value: string): void => {
    if (value !== '' && (replaced.size === 0 || !replaced.has(lower))) lines += `${name}: ${value}\r\n`;
  };
  const appends = entry.forwardedHeaders === 'append' || trusted;
  add('X-Forwarded-For', 'x-forwarded-for', appends ? chain(exchange) : exchange.remoteAddress);
  add('X-Forwarded-Proto', 'x-forwarded-proto', (trusted && exchange.header('x-forwarded-proto')) || exchange.scheme);
  add('X-Forwarded-Host', 'x-forwarded-host', (trusted && exchange.header('x-forwarded-host')) || exchange.httpHost);
  add('X-Real-IP', 'x-real-ip', exchange.remoteAddress);
  return lines;
}

/** A trusted proxy's chain goes on with that proxy; anybody else's with the client. */
function chain(exchange: ProxiedRequest): string {
  if (!exchange.trusted) return forwardedFor(exchange);
  const sent = exchange.header('x-forwarded-for');
  return sent === '' ? exchange.remoteAddress : `${sent}, ${exchange.peerAddress}`;
}

/** Answer headers for the client, flat, from the upstream's: those of the connection dropped, Location and cookies rewritten. */
export function clientHeaders(action: CompiledProxy, received: Headers, source: VariableSource): string[] {
  const { names, values } = received;
  const named = namedByConnection(received);
  const headers: string[] = [];
  for (let at = 0; at < names.length; at++) {
    const name = names[at];
    if (name === undefined) continue;
    const { kind, lower } = name;
    if (kind === 'hop' || kind === 'connection' || kind === 'coding' || kind === 'accel' || named?.has(lower)) continue;
    const value = values[at] ?? '';
    if (action.passesAnswers) headers.push(name.text, value);
    else if (!action.hidden.has(lower)) headers.push(name.text, rewritten(action, lower, value, source));
  }
  return headers;
}

function rewritten(action: CompiledProxy, lower: string, value: string, source: VariableSource): string {
  if (lower === 'location') return rewriteLocation(action, value, source, true);
  if (lower === 'refresh') {
    const url = /^([^=]*url=)(.*)$/i.exec(value);
    return url === null ? value : `${url[1]}${rewriteLocation(action, url[2] ?? '', source, false)}`;
  }
  return lower === 'set-cookie' && action.rewriteCookies.length > 0 ? rewriteCookie(action, value, source) : value;
}

const ownOrigin = compileTemplate('$scheme://$http_host');

/** A Location changed by the first rule that fits. `whole` makes a path a whole address, as nginx and Apache do. */
function rewriteLocation({ rewriteLocation: rules }: CompiledProxy, location: string, source: VariableSource, whole: boolean): string {
  for (const { from, to } of rules) {
    const placed = replaced(location, from, to, source);
    if (placed !== undefined) return headerValue(whole && /^\/(?!\/)/.test(placed) ? expand(ownOrigin, source) + placed : placed);
  }
  return location;
}

function replaced(text: string, from: Template | RegExp, to: Template, source: VariableSource): string | undefined {
  if (from instanceof RegExp) {
    const found = from.exec(text);
    return found === null ? undefined : withGroups(to, found, source);
  }
  const prefix = expand(from, source);
  return text.startsWith(prefix) ? expand(to, source) + text.slice(prefix.length) : undefined;
}

/** `to` with `$1` to `$9` from `found`. */
function withGroups(to: Template, found: RegExpExecArray, source: VariableSource): string {
  const vars = variablesOf(source);
  const before = vars.groups;
  vars.groups = found;
  const text = expand(to, source);
  vars.groups = before;
  return text;
}

/** The cookie with its domain and path changed by the first rule that fits each; then all its parts stand in one form. */
function rewriteCookie({ rewriteCookies: rules }: CompiledProxy, cookie: string, source: VariableSource): string {
  let changed = false;
  const parts = cookie.split(';').map((part, at) => {
    const [, name = '', value = ''] = /^ *(domain|path) *= *(.*?) *$/i.exec(at === 0 ? '' : part) ?? [];
    const placed = name === '' ? undefined : placedAttribute(rules, name, value, source);
    if (placed === undefined) return part;
    changed = true;
    return `${name}=${headerValue(placed).replaceAll(';', '')}`;
  });
  if (!changed) return cookie;
  return parts
    .map((part) => part.replaceAll(/^ +| +$/g, ''))
    .filter((part) => part !== '')
    .join('; ');
}

function placedAttribute(rules: readonly CookieRewrite[], name: string, value: string, source: VariableSource): string | undefined {
  const lower = name.toLowerCase();
  for (const { attribute, from, to } of rules) {
    if (attribute !== lower) continue;
    const placed = attribute === 'domain' ? placedDomain(value, from, to, source) : replaced(value, from, to, source);
    if (placed !== undefined) return placed;
  }
  return undefined;
}

/** A domain is the same in any letter case; a dot before it stays. */
function placedDomain(value: string, from: Template | RegExp, to: Template, source: VariableSource): string | undefined {
  if (from instanceof RegExp) return replaced(value, from, to, source);
  const dot = value.startsWith('.') ? '.' : '';
  return value.slice(dot.length).toLowerCase() === expand(from, source).toLowerCase() ? dot + expand(to, source) : undefined;
}
