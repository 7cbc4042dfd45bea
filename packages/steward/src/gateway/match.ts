/**
 * Finds the site of a host and the route of a path, by nginx's precedence:
 *   host: exact, longest `*.wildcard`, longest `wildcard.*`, regular expressions in order, the listener's default
 *   path: `=` exact, then the longest prefix if it is `^~`, regular expressions in order, the longest prefix
 */
import type { PathMatch } from '../config/model.ts';
import type { Problem } from '../config/problem.ts';
import type { GatewayErrorCode } from './errors.ts';
import { type CompiledProxy, compileProxy } from './proxy-action.ts';
import type { ListenerEntry, RouteEntry, RouteTable, SiteEntry } from './table.ts';
import { listenerName } from './table.ts';
import { compileTemplate, type Template } from './variables.ts';

export interface CompiledTable {
  readonly table: RouteTable;
  /** By `listenerName`. */
  readonly listeners: ReadonlyMap<string, CompiledListener>;
}

export interface CompiledListener {
  readonly name: string;
  readonly entry: ListenerEntry;
  readonly exact: ReadonlyMap<string, CompiledSite>;
  /** `.example.com` for `*.example.com`. */
  readonly endings: ReadonlyMap<string, CompiledSite>;
  /** `example.` for `example.*`. */
  readonly beginnings: ReadonlyMap<string, CompiledSite>;
  readonly patterns: readonly { readonly pattern: RegExp; readonly site: CompiledSite }[];
  readonly fallback: CompiledSite;
}

export interface CompiledSite {
  readonly entry: SiteEntry;
  readonly exact: ReadonlyMap<string, CompiledRoute>;
  /** Longest first. */
  readonly prefixes: readonly CompiledRoute[];
  readonly patterns: readonly { readonly pattern: RegExp; readonly route: CompiledRoute }[];
}

export interface CompiledRoute {
  readonly match: PathMatch;
  /** The matched prefix; empty for a regular expression. */
  readonly prefix: string;
  readonly maxBodyBytes: number;
  readonly addHeaders: readonly { readonly name: string; readonly value: Template }[];
  readonly action: CompiledAction;
}

export type CompiledAction =
  | CompiledProxy
  | Extract<RouteEntry['action'], { kind: 'files' }>
  | { readonly kind: 'redirect'; readonly to: Template; readonly status: number }
  | { readonly kind: 'respond'; readonly status: number; readonly body: string };

/**
 * The table made ready for requests, and a problem for each regular expression that cannot be used; its host or route
 * then matches nothing and the rest serves.
 */
export function compileTable(table: RouteTable): { compiled: CompiledTable; problems: Problem<GatewayErrorCode>[] } {
  const problems: Problem<GatewayErrorCode>[] = [];
  const sites = table.sites.map((site) => compileSite(site, problems));
  const listeners = table.listeners.map((entry) => compileListener(entry, sites, problems));
  return { compiled: { table, listeners: new Map(listeners.map((listener) => [listener.name, listener])) }, problems };
}

function compilePattern(source: string, flags: string, problems: Problem<GatewayErrorCode>[]): RegExp | undefined {
  try {
    return new RegExp(source.replaceAll('(?P<', '(?<'), flags);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    problems.push({
      severity: 'error',
      code: 'gateway/pattern',
      message: `"${source}" is not a regular expression: ${why}`,
      hint: "Write it in JavaScript's form.",
    });
    return undefined;
  }
}

const emptySite: SiteEntry = { hosts: [], serverName: '', routes: [] };

function compileListener(entry: ListenerEntry, sites: readonly CompiledSite[], problems: Problem<GatewayErrorCode>[]): CompiledListener {
  const exact = new Map<string, CompiledSite>();
  const endings = new Map<string, CompiledSite>();
  const beginnings = new Map<string, CompiledSite>();
  const patterns: { pattern: RegExp; site: CompiledSite }[] = [];
  const first = (map: Map<string, CompiledSite>, host: string, site: CompiledSite): void => {
    if (!map.has(host)) map.set(host, site);
  };
  for (const index of entry.sites) {
    const site = sites[index];
    for (const host of site?.entry.hosts ?? []) {
      if (site === undefined) continue;
      if (host.startsWith('~')) {
        const pattern = compilePattern(host.slice(1), 'i', problems);
        if (pattern !== undefined) patterns.push({ pattern, site });
      } else if (host.startsWith('*.')) first(endings, host.slice(1), site);
      else if (host.endsWith('.*')) first(beginnings, host.slice(0, -1), site);
      else if (host.startsWith('.')) {
        first(exact, host.slice(1), site);
        first(endings, host, site);
      } else first(exact, host, site);
    }
  }
  const fallback = sites[entry.defaultSite] ?? compileSite(emptySite, problems);
  return { name: listenerName(entry), entry, exact, endings, beginnings, patterns, fallback };
}

function compileSite(entry: SiteEntry, problems: Problem<GatewayErrorCode>[]): CompiledSite {
  const exact = new Map<string, CompiledRoute>();
  const prefixes = new Map<string, CompiledRoute>();
  const patterns: { pattern: RegExp; route: CompiledRoute }[] = [];
  for (const source of entry.routes) {
    const route = compileRoute(source);
    const { match } = source;
    if (match.kind === 'regex') {
      const pattern = compilePattern(match.pattern, match.anyCase ? 'i' : '', problems);
      if (pattern !== undefined) patterns.push({ pattern, route });
    } else {
      const map = match.kind === 'exact' ? exact : prefixes;
      if (!map.has(match.path)) map.set(match.path, route);
    }
  }
  addSlashRedirects(prefixes, exact);
  return { entry, exact, patterns, prefixes: [...prefixes.values()].sort((a, b) => b.prefix.length - a.prefix.length) };
}

/** As in nginx, `/app` leads to `/app/` when only the latter is proxied. */
function addSlashRedirects(prefixes: ReadonlyMap<string, CompiledRoute>, exact: Map<string, CompiledRoute>): void {
  for (const [path, route] of prefixes) {
    const bare = path.slice(0, -1);
    if (!path.endsWith('/') || bare === '' || route.action.kind !== 'proxy' || exact.has(bare) || prefixes.has(bare)) continue;
    const to = compileTemplate('$uri/$is_args$args');
    exact.set(bare, { ...route, match: { kind: 'exact', path: bare }, prefix: bare, action: { kind: 'redirect', to, status: 301 } });
  }
}

function compileRoute(entry: RouteEntry): CompiledRoute {
  const { match, maxBodyBytes, action } = entry;
  const addHeaders = Object.entries(entry.addHeaders).map(([name, value]) => ({ name: name.toLowerCase(), value: compileTemplate(value) }));
  return { match, prefix: match.kind === 'regex' ? '' : match.path, maxBodyBytes, addHeaders, action: compileAction(action) };
}

function compileAction(action: RouteEntry['action']): CompiledAction {
  if (action.kind === 'proxy') return compileProxy(action);
  if (action.kind === 'redirect') return { kind: 'redirect', to: compileTemplate(action.to), status: action.status };
  return action;
}

/** The site that answers `host` (lowercase, without port) on this listener: always one. */
export function matchSite(listener: CompiledListener, host: string): CompiledSite {
  const exact = listener.exact.get(host);
  if (exact !== undefined) return exact;
  if (listener.endings.size > 0) {
    for (let dot = host.indexOf('.'); dot >= 0; dot = host.indexOf('.', dot + 1)) {
      const found = dot > 0 ? listener.endings.get(host.slice(dot)) : undefined;
      if (found !== undefined) return found;
    }
  }
  if (listener.beginnings.size > 0) {
    for (let dot = host.lastIndexOf('.'); dot > 0; dot = host.lastIndexOf('.', dot - 1)) {
      const found = dot < host.length - 1 ? listener.beginnings.get(host.slice(0, dot + 1)) : undefined;
      if (found !== undefined) return found;
    }
  }
  return listener.patterns.find(({ pattern }) => pattern.test(host))?.site ?? listener.fallback;
}

/** The route that answers `path` (normalized, `RequestPath.text`), or undefined: 404. */
export function matchRoute(site: CompiledSite, path: string): CompiledRoute | undefined {
  const exact = site.exact.get(path);
  if (exact !== undefined) return exact;
  const prefix = site.prefixes.find((route) => path.startsWith(route.prefix));
  if (prefix?.match.kind === 'prefix' && prefix.match.stop) return prefix;
  return site.patterns.find(({ pattern }) => pattern.test(path))?.route ?? prefix;
}
