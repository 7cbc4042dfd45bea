/**
 * Texts with `$variables` of nginx's names: compiled once for a table, filled in for each request.
 *
 * Variables are of four kinds: those of variable-names.ts and their families, which the request itself answers
 * (`VariableSource`); those the configuration declares (`variables:`, `set`, named groups, auth_request), each with a
 * slot that every request has room for; `$1` to `$9`, groups of the last regular expression; and none, which stay as text.
 * https://nginx.org/en/docs/varindex.html
 */
import { hostname } from 'node:os';
import type { VariableSpec } from '../../config/model.ts';
import type { Problem } from '../../config/problem.ts';
import { compileRegex, groupNames } from '../../config/regular-expression.ts';
import type { VariableName, variablePrefixes } from '../../config/variable-names.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { encodePath, type RequestPath } from '../target.ts';
import { isoTime, localTime } from './clock.ts';

/** Facts of a TLS connection; each is empty without TLS. */
export type TlsVariable = Extract<VariableName, `ssl_${string}`>;

/** Facts of the upstreams asked for a request; each is empty when none was. */
export type UpstreamVariable = Extract<VariableName, `upstream_${string}`>;

/** Where the values of one request come from. All texts are as sent by the client unless said otherwise. */
export interface VariableSource {
  /** Host name without port, lowercase; the site's name when the client sent none. */
  readonly host: string;
  /** What stands for the `*` of the wildcard that the host matched, else empty. `matchSite` writes it. */
  hostLabel: string;
  /** The authority of an absolute request target, else the Host header. $http_host is the header in any case. */
  readonly httpHost: string;
  /** The client's, after a trusted proxy was believed. */
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Of the connection itself. */
  readonly peerAddress: string;
  readonly peerPort: number;
  /** From the PROXY protocol; empty and 0 without it. */
  readonly proxyProtocolAddress: string;
  readonly proxyProtocolPort: number;
  readonly scheme: string;
  readonly serverAddress: string;
  readonly serverPort: number;
  readonly serverName: string;
  readonly method: string;
  /** Of the request around this one, when it is within another. */
  readonly askedMethod?: string;
  /** HTTP/1.0, HTTP/1.1 or HTTP/2.0. */
  readonly protocol: string;
  /** The request line, without its line break. */
  readonly requestLine: string;
  /** Path and query, as sent. Rewriting does not change it. */
  readonly requestUri: string;
  /** As it is now: rewriting changes it. */
  readonly path: RequestPath;
  /** Query without `?`, as it is now. */
  readonly args: string;
  /** Name given for basic authentication. */
  readonly remoteUser: string;
  readonly requestId: string;
  readonly traceparent: string;
  /** Bytes of request line, headers and body so far. */
  readonly requestLength: number;
  /** By `performance.now()`. */
  readonly startedAtMs: number;
  readonly connectionNumber: number;
  readonly connectionRequests: number;
  /** The request came before the last answer was out. */
  readonly pipelined: boolean;
  /** The answer was sent to its end. */
  readonly completed: boolean;
  /** 0 until an answer begins. */
  readonly status: number;
  readonly bytesSent: number;
  readonly bodyBytesSent: number;
  /** Name of the upstream, and the port it has by its name or scheme; empty when there is none. */
  readonly proxyHost: string;
  readonly proxyPort: string;
  /** Folder of `root` or `files` of the route, that folder with its links resolved, and the file asked for. */
  readonly documentRoot: string;
  readonly realpathRoot: string;
  readonly requestFilename: string;
  /** Captures and declared variables; undefined until there is one. `variablesOf` makes it. */
  vars: RequestVariables | undefined;
  /** All values of a request header joined by a comma, or the empty text. `name` is lowercase. */
  header(name: string): string;
  /** The same of the answer's headers. */
  sentHeader(name: string): string;
  /** The same of the last upstream's headers. */
  upstreamHeader(name: string): string;
  /** Its Set-Cookie headers. */
  upstreamCookies(): readonly string[];
  tlsValue(name: TlsVariable): string;
  upstreamValue(name: UpstreamVariable): string;
}

/** What one request knows beyond its own facts. */
export class RequestVariables {
  /** By slot: set by a step, a named group or a made variable already looked up. */
  readonly values: (string | undefined)[] = [];
  /** Groups of the last regular expression that was tried with success. */
  groups: readonly (string | undefined)[] | undefined;
}

/** The variables of a request, made on first use. */
export function variablesOf(source: Pick<VariableSource, 'vars'>): RequestVariables {
  source.vars ??= new RequestVariables();
  return source.vars;
}

type Getter = (source: VariableSource) => string;
type Part = string | Getter;

/** A compiled text. One that is the same for every request has no part but texts (`constantOf`). */
export type Template = readonly Part[];

const passed = (value: number): string => (value === 0 ? '' : String(value));
const seconds = (ms: number): string => (ms / 1000).toFixed(3);
const machineName = hostname();
const processId = String(process.pid);
/** The version whose documented behaviour the gateway follows. */
const followedVersion = '1.22.1';

const getters: Readonly<Record<VariableName, Getter>> = {
  args: (source) => source.args,
  binary_remote_addr: (source) => source.remoteAddress,
  body_bytes_sent: (source) => String(source.bodyBytesSent),
  bytes_sent: (source) => String(source.bytesSent),
  connection: (source) => String(source.connectionNumber),
  connection_requests: (source) => String(source.connectionRequests),
  content_length: (source) => source.header('content-length'),
  content_type: (source) => source.header('content-type'),
  document_root: (source) => source.documentRoot,
  document_uri: (source) => source.path.text,
  host: (source) => source.host,
  host_label: (source) => source.hostLabel,
  hostname: () => machineName,
  http_host: (source) => source.header('host'),
  https: (source) => (source.scheme === 'https' ? 'on' : ''),
  is_args: (source) => (source.args === '' ? '' : '?'),
  limit_rate: () => '0',
  msec: () => seconds(Date.now()),
  nginx_version: () => followedVersion,
  pid: () => processId,
  pipe: (source) => (source.pipelined ? 'p' : '.'),
  proxy_add_x_forwarded_for: forwardedFor,
  proxy_host: (source) => source.proxyHost,
  proxy_port: (source) => source.proxyPort,
  proxy_protocol_addr: (source) => source.proxyProtocolAddress,
  proxy_protocol_port: (source) => passed(source.proxyProtocolPort),
  query_string: (source) => source.args,
  realip_remote_addr: (source) => source.peerAddress,
  realip_remote_port: (source) => passed(source.peerPort),
  realpath_root: (source) => source.realpathRoot,
  remote_addr: (source) => source.remoteAddress,
  remote_port: (source) => passed(source.remotePort),
  remote_user: (source) => source.remoteUser,
  request: (source) => source.requestLine,
  request_completion: (source) => (source.completed ? 'OK' : ''),
  request_filename: (source) => source.requestFilename,
  request_id: (source) => source.requestId,
  request_length: (source) => String(source.requestLength),
  request_method: (source) => source.askedMethod ?? source.method,
  request_time: (source) => seconds(performance.now() - source.startedAtMs),
  request_uri: (source) => source.requestUri,
  scheme: (source) => source.scheme,
  sent_http_content_type: (source) => source.sentHeader('content-type'),
  server_addr: (source) => source.serverAddress,
  server_name: (source) => source.serverName,
  server_port: (source) => String(source.serverPort),
  server_protocol: (source) => source.protocol,
  ssl_cipher: (source) => source.tlsValue('ssl_cipher'),
  ssl_client_escaped_cert: (source) => source.tlsValue('ssl_client_escaped_cert'),
  ssl_client_fingerprint: (source) => source.tlsValue('ssl_client_fingerprint'),
  ssl_client_i_dn: (source) => source.tlsValue('ssl_client_i_dn'),
  ssl_client_s_dn: (source) => source.tlsValue('ssl_client_s_dn'),
  ssl_client_serial: (source) => source.tlsValue('ssl_client_serial'),
  ssl_client_verify: (source) => source.tlsValue('ssl_client_verify'),
  ssl_protocol: (source) => source.tlsValue('ssl_protocol'),
  ssl_server_name: (source) => source.tlsValue('ssl_server_name'),
  ssl_session_reused: (source) => source.tlsValue('ssl_session_reused'),
  status: (source) => String(source.status).padStart(3, '0'),
  time_iso8601: () => isoTime(),
  time_local: () => localTime(),
  traceparent: (source) => source.traceparent,
  upstream_addr: (source) => source.upstreamValue('upstream_addr'),
  upstream_connect_time: (source) => source.upstreamValue('upstream_connect_time'),
  upstream_header_time: (source) => source.upstreamValue('upstream_header_time'),
  upstream_response_length: (source) => source.upstreamValue('upstream_response_length'),
  upstream_response_time: (source) => source.upstreamValue('upstream_response_time'),
  upstream_status: (source) => source.upstreamValue('upstream_status'),
  uri: (source) => source.path.text,
};

type Family = keyof typeof variablePrefixes;

const families: Readonly<Record<Family, (rest: string) => Getter>> = {
  arg_: (rest) => (source) => argumentOf(source.args, rest),
  cookie_: (rest) => (source) => cookieOf(source.header('cookie'), rest),
  http_: (rest) => headerGetter(rest, (source, name) => source.header(name)),
  sent_http_: (rest) => headerGetter(rest, (source, name) => source.sentHeader(name)),
  upstream_http_: (rest) => headerGetter(rest, (source, name) => source.upstreamHeader(name)),
  upstream_cookie_: (rest) => (source) => setCookieOf(source.upstreamCookies(), rest),
};

/** Names of all variables that have a value here; a test holds them and variable-names.ts together. */
export const implementedVariables = { names: Object.keys(getters), families: Object.keys(families) };

function headerGetter(rest: string, read: (source: VariableSource, name: string) => string): Getter {
  const name = rest.replaceAll('_', '-');
  return (source) => read(source, name);
}

/** The client's X-Forwarded-For with the client's own address behind it. */
export function forwardedFor(source: VariableSource): string {
  const sent = source.header('x-forwarded-for');
  return sent === '' ? source.remoteAddress : `${sent}, ${source.remoteAddress}`;
}

/** The first argument of the name (lowercase) in a query, in any letter case, as sent; empty when there is none. */
export function argumentOf(args: string, name: string): string {
  for (let at = 0; at < args.length; ) {
    const end = args.indexOf('&', at) < 0 ? args.length : args.indexOf('&', at);
    const value = at + name.length;
    if (args.charCodeAt(value) === 61 && value < end && args.slice(at, value).toLowerCase() === name) return args.slice(value + 1, end);
    at = end + 1;
  }
  return '';
}

/** The first cookie of the name (lowercase) in a Cookie header, in any letter case; empty when there is none. */
export function cookieOf(header: string, name: string): string {
  for (let at = 0; at < header.length; ) {
    const end = header.indexOf(';', at) < 0 ? header.length : header.indexOf(';', at);
    while (header.charCodeAt(at) === 32) at++;
    const value = at + name.length;
    if (header.charCodeAt(value) === 61 && value < end && header.slice(at, value).toLowerCase() === name) {
      return header.slice(value + 1, end).trimEnd();
    }
    at = end + 1;
  }
  return '';
}

function setCookieOf(headers: readonly string[], name: string): string {
  for (const header of headers) {
    const equals = header.indexOf('=');
    if (equals < 0 || header.slice(0, equals).trim().toLowerCase() !== name) continue;
    const end = header.indexOf(';', equals);
    return header.slice(equals + 1, end < 0 ? undefined : end).trim();
  }
  return '';
}

/** Which names the configuration declares, each with its slot in `RequestVariables.values`. */
export interface Scope {
  readonly slots: ReadonlyMap<string, number>;
  /** By slot: how a made variable (nginx's map) is worked out. */
  readonly made: readonly (Getter | undefined)[];
}

/** A scope without declared variables. */
export const plainScope: Scope = { slots: new Map(), made: [] };

/**
 * Where a text goes. In a `url` (redirects, headers) the path is percent-encoded, so that a decoded line break or `?` never
 * gets there; elsewhere it is the decoded text, as in nginx.
 */
export type TemplateForm = 'plain' | 'url';

const encodedUri: Getter = (source) => encodePath(source.path.bytes);

function getterOf(name: string, scope: Scope, form: TemplateForm): Getter | undefined {
  const slot = scope.slots.get(name);
  if (slot !== undefined) return slotGetter(slot, scope);
  if (form === 'url' && (name === 'uri' || name === 'document_uri')) return encodedUri;
  if (Object.hasOwn(getters, name)) return getters[name as VariableName];
  for (const [prefix, make] of Object.entries(families)) {
    if (name.startsWith(prefix) && name.length > prefix.length) return make(name.slice(prefix.length));
  }
  return undefined;
}

function slotGetter(slot: number, scope: Scope): Getter {
  const getter: Getter = (source) => {
    const known = source.vars?.values[slot];
    if (known !== undefined) return known;
    const made = scope.made[slot];
    if (made === undefined) return '';
    const value = made(source);
    variablesOf(source).values[slot] = value;
    return value;
  };
  alwaysThere.add(getter);
  return getter;
}

const reference = /\$(?:\{([a-z0-9_]+)\}|([1-9])|([a-z_][a-z0-9_]*))/gi;

/** Names of the variables in `text`, lowercase, known or not; without `$1` to `$9`. */
export const variablesIn = (text: string): string[] =>
  [...text.matchAll(reference)].map(([, braced, , plain]) => (braced ?? plain ?? '').toLowerCase()).filter((name) => /^\D/.test(name));

/**
 * `text` ready to be filled in. A `$name` that is no variable stays as it is; `${name}` is the same as `$name`. `group` is
 * how `$1` to `$9` are read, where that differs (steps.ts).
 */
export function compileTemplate(
  text: string,
  scope: Scope = plainScope,
  form: TemplateForm = 'plain',
  group: (n: number) => Getter = groupGetter,
): Template {
  const parts: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(reference)) {
    const [whole, braced, digit, plain] = match;
    if (match.index > end) parts.push(text.slice(end, match.index));
    const name = (braced ?? digit ?? plain ?? '').toLowerCase();
    parts.push((/^[1-9]$/.test(name) ? group(Number(name)) : getterOf(name, scope, form)) ?? whole);
    end = match.index + whole.length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts.length > 0 && parts.every((part) => typeof part === 'string') ? [parts.join('')] : parts;
}

/** The value of the `n`th group of the last regular expression, else empty. */
export function groupGetter(n: number): Getter {
  return (source) => source.vars?.groups?.[n] ?? '';
}

/** The text of a template that is the same for every request, else undefined. */
export function constantOf(template: Template): string | undefined {
  if (template.length === 0) return '';
  const [only] = template;
  return template.length === 1 && typeof only === 'string' ? only : undefined;
}

/** The text of `template` for one request. */
export function expand(template: Template, source: VariableSource): string {
  if (template.length === 1) {
    const [only = ''] = template;
    return typeof only === 'string' ? only : only(source);
  }
  let text = '';
  for (const part of template) text += typeof part === 'string' ? part : part(source);
  return text;
}

/** Variables that have a value even when it is empty: for nginx's logs the others are missing then. */
const alwaysThere = new WeakSet<Getter>([getters.https, getters.is_args, getters.request_completion]);

/**
 * The same with each variable's value (not the text between them) passed through `harmless`, which is told whether an empty one
 * is a value all the same.
 */
export function expandEscaped(template: Template, source: VariableSource, harmless: (value: string, isThere: boolean) => string): string {
  let text = '';
  for (const part of template) text += typeof part === 'string' ? part : harmless(part(source), alwaysThere.has(part));
  return text;
}

/** A regular expression of the configuration whose groups become variables. */
export interface Pattern {
  readonly regex: RegExp;
  /** Whether it has groups: one without is only tested. */
  readonly groups: boolean;
  readonly named: readonly { readonly group: string; readonly slot: number }[];
}

/** The regular expression, or a sentence on why it cannot be used. */
export function usableRegex({ pattern, anyCase }: { readonly pattern: string; readonly anyCase: boolean }): RegExp | string {
  try {
    return compileRegex(pattern, anyCase);
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** The pattern, or a sentence on why it cannot be used. Its named groups need a slot in `scope` to be variables. */
export function compilePattern(spec: { readonly pattern: string; readonly anyCase: boolean }, scope: Scope): Pattern | string {
  const regex = usableRegex(spec);
  if (typeof regex === 'string') return regex;
  const groups = new RegExp(`${regex.source}|`, regex.flags).exec('');
  const named = Object.keys(groups?.groups ?? {}).flatMap((group) => {
    const slot = scope.slots.get(group.toLowerCase());
    return slot === undefined ? [] : [{ group, slot }];
  });
  return { regex, groups: (groups?.length ?? 1) > 1, named };
}

/** Whether `text` fits; then its groups become `$1` to `$9` and named variables of the request. */
export function matchPattern(pattern: Pattern, text: string, source: Pick<VariableSource, 'vars'> | undefined): boolean {
  if (!pattern.groups || source === undefined) {
    if (!pattern.regex.test(text)) return false;
    if (source?.vars !== undefined) source.vars.groups = undefined;
    return true;
  }
  const found = pattern.regex.exec(text);
  if (found === null) return false;
  const vars = variablesOf(source);
  vars.groups = found;
  for (const { group, slot } of pattern.named) vars.values[slot] = found.groups?.[group] ?? '';
  return true;
}

/** A made variable ready to be looked up. */
interface MadeVariable {
  readonly from: Template;
  readonly exact: ReadonlyMap<string, Template>;
  /** `.example.com` for `*.example.com`. */
  readonly endings: ReadonlyMap<string, Template>;
  /** `example.` for `example.*`. */
  readonly beginnings: ReadonlyMap<string, Template>;
  readonly patterns: readonly { readonly pattern: Pattern; readonly to: Template }[];
  readonly hostnames: boolean;
  readonly byDefault: Template;
}

/**
 * The scope of a table: `variables` (nginx's map) and the names that steps, named groups and auth_request `declared`. Told
 * are regular expressions that cannot be used (their case fits nothing) and variables that are made from themselves (empty).
 */
export function createScope(variables: readonly VariableSpec[], declared: Iterable<string>, problems: Problem<GatewayErrorCode>[]): Scope {
  const slots = new Map<string, number>();
  const give = (name: string): void => {
    const lower = name.toLowerCase();
    if (lower !== 'args' && lower !== 'query_string' && !slots.has(lower)) slots.set(lower, slots.size);
  };
  for (const { name } of variables) give(name);
  for (const name of declared) give(name);
  for (const { cases } of variables) {
    for (const { when } of cases) if (when.kind === 'regex') for (const name of groupNames(when.pattern)) give(name);
  }
  const made: (Getter | undefined)[] = [];
  const scope: Scope = { slots, made };
  const endless = variablesInCycles(variables);
  for (const spec of variables) {
    const slot = slots.get(spec.name.toLowerCase());
    if (slot === undefined) continue;
    if (endless.has(spec.name.toLowerCase())) {
      problems.push(cycleProblem(spec.name));
      made[slot] = () => '';
    } else made[slot] = madeGetter(compileMade(spec, scope, problems));
  }
  return scope;
}

const cycleProblem = (name: string): Problem<GatewayErrorCode> => ({
  severity: 'error',
  code: 'gateway/variable-cycle',
  message: `variable "${name}" is made from itself`,
  hint: 'It stays empty. Take it out of `from` and of the values of its own cases, and of the variables those use.',
});

/** Lowercase names of those that lead back to themselves. */
function variablesInCycles(variables: readonly VariableSpec[]): ReadonlySet<string> {
  const uses = new Map<string, readonly string[]>();
  for (const { name, from, cases, byDefault } of variables) {
    uses.set(name.toLowerCase(), [from, byDefault, ...cases.map(({ to }) => to)].flatMap(variablesIn));
  }
  const leadsTo = (target: string): boolean => {
    const seen = new Set<string>();
    const open = [...(uses.get(target) ?? [])];
    for (let name = open.pop(); name !== undefined; name = open.pop()) {
      if (name === target) return true;
      if (seen.has(name)) continue;
      seen.add(name);
      open.push(...(uses.get(name) ?? []));
    }
    return false;
  };
  return new Set([...uses.keys()].filter(leadsTo));
}

function compileMade(spec: VariableSpec, scope: Scope, problems: Problem<GatewayErrorCode>[]): MadeVariable {
  const exact = new Map<string, Template>();
  const endings = new Map<string, Template>();
  const beginnings = new Map<string, Template>();
  const patterns: { pattern: Pattern; to: Template }[] = [];
  const first = (map: Map<string, Template>, key: string, to: Template): void => {
    if (!map.has(key)) map.set(key, to);
  };
  for (const { when, to: text } of spec.cases) {
    const to = compileTemplate(text, scope);
    if (when.kind === 'regex') {
      const pattern = compilePattern(when, scope);
      if (typeof pattern === 'string') problems.push(patternProblem(when.pattern, pattern));
      else patterns.push({ pattern, to });
      continue;
    }
    const key = when.text.toLowerCase();
    if (spec.hostnames && key.startsWith('*.')) first(endings, key.slice(1), to);
    else if (spec.hostnames && key.endsWith('.*')) first(beginnings, key.slice(0, -1), to);
    else if (spec.hostnames && key.startsWith('.')) {
      first(exact, key.slice(1), to);
      first(endings, key, to);
    } else first(exact, key, to);
  }
  const from = compileTemplate(spec.from, scope);
  return { from, exact, endings, beginnings, patterns, hostnames: spec.hostnames, byDefault: compileTemplate(spec.byDefault, scope) };
}

/** What to tell about a regular expression that JavaScript does not take. */
export const patternProblem = (pattern: string, why: string): Problem<GatewayErrorCode> => ({
  severity: 'error',
  code: 'gateway/pattern',
  message: `"${pattern}" is not a regular expression: ${why}`,
  hint: "Write it in JavaScript's form.",
});

/** Groups of a case's regular expression hold for its value alone: `$1` of the route is what it was before. */
function madeGetter(made: MadeVariable): Getter {
  return (source) => {
    const groups = source.vars?.groups;
    const value = expand(chooseCase(made, expand(made.from, source), source), source);
    if (source.vars !== undefined) source.vars.groups = groups;
    return value;
  };
}

function chooseCase(made: MadeVariable, sent: string, source: VariableSource): Template {
  const text = made.hostnames && sent.endsWith('.') ? sent.slice(0, -1) : sent;
  const key = text.toLowerCase();
  const found = made.exact.get(key) ?? (made.hostnames ? findByWildcard(made.endings, made.beginnings, key) : undefined);
  if (found !== undefined) return found;
  for (const { pattern, to } of made.patterns) if (matchPattern(pattern, text, source)) return to;
  return made.byDefault;
}

/**
 * What the longest `*.example.com` (`endings`: `.example.com`), else the longest `example.*` (`beginnings`: `example.`) holds
 * for `host`, lowercase.
 */
export function findByWildcard<T>(endings: ReadonlyMap<string, T>, beginnings: ReadonlyMap<string, T>, host: string): T | undefined {
  if (endings.size > 0) {
    for (let dot = host.indexOf('.', 1); dot > 0; dot = host.indexOf('.', dot + 1)) {
      const found = endings.get(host.slice(dot));
      if (found !== undefined) return found;
    }
  }
  if (beginnings.size > 0) {
    for (let dot = host.lastIndexOf('.'); dot > 0; dot = host.lastIndexOf('.', dot - 1)) {
      const found = dot < host.length - 1 ? beginnings.get(host.slice(0, dot + 1)) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}
