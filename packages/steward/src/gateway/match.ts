/**
 * The table made ready for requests: every text compiled, every limit worked out. Then finds the site of a host and the route
 * of a path, by nginx's precedence:
 *   host: exact, longest `*.wildcard`, longest `wildcard.*`, regular expressions in order, the listener's default
 *   path: see locations.ts
 */
import { parseRange } from '../config/address-range.ts';
import type { CompressSpec, PathMatch, TriesSpec } from '../config/model.ts';
import type { Problem } from '../config/problem.ts';
import { groupNames } from '../config/regular-expression.ts';
import type { GatewayErrorCode } from './errors.ts';
import { type CompiledFiles, compileFiles, compilePlace, type FilesPlace } from './files/files.ts';
import { compileLocations, type Locations, locate, type PlacedRoute } from './locations.ts';
import { type CompiledLog, compileLog } from './logs/access-log.ts';
import { type CompiledAccess, compileAccess } from './rules/access.ts';
import { compileErrorPages, type ErrorPages } from './rules/error-page.ts';
import { type CompiledExpires, compileExpires } from './rules/expires.ts';
import { compileHeader } from './rules/header-template.ts';
import { type CompiledConnections, type CompiledRate, compileConnections, compileRates } from './rules/limits.ts';
import type { CompiledMaintenance } from './rules/maintenance.ts';
import { type CompiledTrust, compileTrust } from './rules/real-address.ts';
import { type CompiledAnswer, type CompiledStep, compileAnswer, compileSteps } from './rules/steps.ts';
import {
  compilePattern,
  compileTemplate,
  createScope,
  findByWildcard,
  matchPattern,
  type Pattern,
  patternProblem,
  plainScope,
  type Scope,
  type Template,
  type VariableSource,
} from './rules/variables.ts';
import type { ActionEntry, ListenerEntry, RouteEntry, RouteTable, SiteEntry, StepEntry } from './table.ts';
import { listenerName } from './table.ts';
import { type CompiledProxy, compileProxy } from './upstream/proxy-action.ts';

export interface CompiledTable {
  readonly table: RouteTable;
  /** By `listenerName`. */
  readonly listeners: ReadonlyMap<string, CompiledListener>;
  readonly sites: readonly CompiledSite[];
  /** For texts that are compiled elsewhere. */
  readonly scope: Scope;
}

export interface CompiledListener {
  readonly name: string;
  readonly entry: ListenerEntry;
  readonly exact: ReadonlyMap<string, CompiledSite>;
  /** `.example.com` for `*.example.com`. */
  readonly endings: ReadonlyMap<string, CompiledSite>;
  /** `example.` for `example.*`. */
  readonly beginnings: ReadonlyMap<string, CompiledSite>;
  readonly patterns: readonly { readonly pattern: Pattern; readonly site: CompiledSite }[];
  readonly fallback: CompiledSite;
}

export interface CompiledSite {
  readonly entry: SiteEntry;
  readonly steps: readonly CompiledStep<CompiledRoute>[];
  readonly locations: Locations<CompiledRoute> | undefined;
  /** Routes reached by their name alone, without `@`. */
  readonly named: ReadonlyMap<string, CompiledRoute>;
  /** For requests that no route answers. */
  readonly rest: CompiledRoute;
  readonly trust: CompiledTrust | undefined;
  readonly maintenance: CompiledMaintenance | undefined;
}

export interface CompiledHeader {
  /** As configured, and in lowercase. */
  readonly name: string;
  readonly lower: string;
  readonly value: Template;
  readonly always: boolean;
}

export interface CompiledTries {
  readonly spec: TriesSpec;
  readonly place: FilesPlace;
  readonly paths: readonly Template[];
  readonly last:
    | { readonly kind: 'path'; readonly to: Template }
    | { readonly kind: 'named'; readonly name: string }
    | { readonly kind: 'status'; readonly status: number };
}

/** Whatever a route does not have is undefined or empty, and costs nothing. */
export interface CompiledRoute {
  readonly entry: RouteEntry;
  /** As the configuration writes its path. */
  readonly name: string;
  readonly match: PathMatch;
  /** The matched prefix; empty for a regular expression and a name. */
  readonly prefix: string;
  readonly nested: Locations<CompiledRoute> | undefined;
  /** Nothing but an action and headers: no steps, access, limits, tries, expires, error pages, compression, and not internal. */
  readonly plain: boolean;
  readonly internal: boolean;
  readonly steps: readonly CompiledStep<CompiledRoute>[];
  readonly access: CompiledAccess | undefined;
  readonly accessExcept: { readonly methods: ReadonlySet<string>; readonly access: CompiledAccess | undefined } | undefined;
  readonly rates: readonly CompiledRate[];
  readonly connections: readonly CompiledConnections[];
  readonly maxBodyBytes: number;
  readonly addHeaders: readonly CompiledHeader[];
  readonly expires: CompiledExpires | undefined;
  readonly errorPages: ErrorPages | undefined;
  readonly compress: CompressSpec | undefined;
  readonly logs: readonly CompiledLog[];
  readonly tries: CompiledTries | undefined;
  readonly action: CompiledAction;
}

export type CompiledAction =
  | CompiledProxy
  | CompiledFiles
  | { readonly kind: 'answer'; readonly answer: CompiledAnswer; readonly contentType: Template | undefined }
  | { readonly kind: 'status'; readonly form: 'stub' | 'json' };

type Problems = Problem<GatewayErrorCode>[];

/**
 * The table made ready for requests, and a problem for each regular expression that cannot be used (its host, route or step
 * then fits nothing and the rest serves) and for each variable made from itself.
 */
export function compileTable(table: RouteTable): { compiled: CompiledTable; problems: Problem<GatewayErrorCode>[] } {
  const problems: Problems = [];
  const scope = createScope(table.gateway.variables, declaredNames(table.sites), problems);
  const compiler = new TableCompiler(table, scope, problems);
  const sites = table.sites.map((site) => compiler.site(site));
  const listeners = table.listeners.map((entry) => compiler.listener(entry, sites));
  return { compiled: { table, listeners: new Map(listeners.map((listener) => [listener.name, listener])), sites, scope }, problems };
}

/** Names that steps, auth_request and named groups make variables. */
function declaredNames(sites: readonly SiteEntry[]): Set<string> {
  const names = new Set<string>();
  const groups = (pattern: string): void => {
    for (const name of groupNames(pattern)) names.add(name);
  };
  const ofSteps = (steps: readonly StepEntry[]): void => {
    for (const step of steps) {
      if (step.kind === 'set') names.add(step.variable);
      else if (step.kind === 'rewrite') groups(step.pattern.pattern);
      else if (step.kind === 'if') {
        if (step.test.kind === 'matches') groups(step.test.pattern.pattern);
        ofSteps(step.steps);
        if (step.route !== undefined) ofRoute(step.route);
      }
    }
  };
  const ofRoute = ({ match, routes, steps, access, accessExcept, action }: RouteEntry): void => {
    if (match.kind === 'regex') groups(match.pattern);
    for (const asked of [access.request, accessExcept?.access.request]) for (const name of Object.keys(asked?.set ?? {})) names.add(name);
    if (action.kind === 'proxy') {
      for (const { from } of [...action.rewriteLocation, ...action.rewriteCookies]) if (typeof from !== 'string') groups(from.pattern);
    }
    ofSteps(steps);
    routes.forEach(ofRoute);
  };
  for (const { hosts, steps, routes, rest } of sites) {
    for (const host of hosts) if (host.startsWith('~')) groups(host);
    ofSteps(steps);
    [...routes, rest].forEach(ofRoute);
  }
  return names;
}

const slashRedirect: CompiledAnswer = { status: 301, to: compileTemplate('$uri/$is_args$args', plainScope, 'url'), body: undefined };

class TableCompiler {
  readonly #table: RouteTable;
  readonly #scope: Scope;
  readonly #problems: Problems;

  constructor(table: RouteTable, scope: Scope, problems: Problems) {
    this.#table = table;
    this.#scope = scope;
    this.#problems = problems;
  }

  listener(entry: ListenerEntry, sites: readonly CompiledSite[]): CompiledListener {
    const exact = new Map<string, CompiledSite>();
    const endings = new Map<string, CompiledSite>();
    const beginnings = new Map<string, CompiledSite>();
    const patterns: { pattern: Pattern; site: CompiledSite }[] = [];
    const first = (map: Map<string, CompiledSite>, host: string, site: CompiledSite): void => {
      if (!map.has(host)) map.set(host, site);
    };
    for (const index of entry.sites) {
      const site = sites[index];
      for (const host of site?.entry.hosts ?? []) {
        if (site === undefined) continue;
        if (host.startsWith('~')) {
          const pattern = this.#pattern({ pattern: host.slice(1), anyCase: true });
          if (pattern !== undefined) patterns.push({ pattern, site });
        } else if (host.startsWith('*.')) first(endings, host.slice(1), site);
        else if (host.endsWith('.*')) first(beginnings, host.slice(0, -1), site);
        else if (host.startsWith('.')) {
          first(exact, host.slice(1), site);
          first(endings, host, site);
        } else first(exact, host, site);
      }
    }
    const fallback = sites[entry.defaultSite] ?? sites[0];
    if (fallback === undefined) throw new Error(`the table names no site for ${listenerName(entry)}`);
    return { name: listenerName(entry), entry, exact, endings, beginnings, patterns, fallback };
  }

  site(entry: SiteEntry): CompiledSite {
    const named = new Map<string, CompiledRoute>();
    return {
      entry,
      steps: this.#steps(entry.steps),
      locations: this.#level(entry.routes, named),
      named,
      rest: this.#route(entry.rest, named),
      trust: entry.realAddress === undefined ? undefined : compileTrust(entry.realAddress),
      maintenance: this.#maintenance(entry.maintenance),
    };
  }

  #maintenance(spec: SiteEntry['maintenance']): CompiledMaintenance | undefined {
    if (spec === undefined) return undefined;
    const allow = spec.allow.map((text) => parseRange(text)).filter((range) => range !== undefined);
    const page = spec.page === undefined ? undefined : this.#table.files[spec.page];
    return { allow, retryAfterSeconds: spec.retryAfterSeconds, page };
  }

  #pattern(spec: { readonly pattern: string; readonly anyCase: boolean }): Pattern | undefined {
    const pattern = compilePattern(spec, this.#scope);
    if (typeof pattern !== 'string') return pattern;
    this.#problems.push(patternProblem(spec.pattern, pattern));
    return undefined;
  }

  /** One level of routes; those with a name are put into `named`. */
  #level(entries: readonly RouteEntry[], named: Map<string, CompiledRoute>): Locations<CompiledRoute> | undefined {
    const placed: PlacedRoute<CompiledRoute>[] = [];
    for (const entry of entries) {
      const { match } = entry;
      const route = this.#route(entry, named);
      if (match.kind === 'named') {
        if (!named.has(match.name)) named.set(match.name, route);
      } else placed.push({ route, match, pattern: match.kind === 'regex' ? this.#pattern(match) : undefined });
    }
    return compileLocations([...placed, ...slashRedirects(placed)]);
  }

  #route(entry: RouteEntry, named: Map<string, CompiledRoute>): CompiledRoute {
    const { match, accessExcept } = entry;
    const { zones } = this.#table.gateway;
    const scope = this.#scope;
    const route = {
      entry,
      name: routeName(match),
      match,
      prefix: match.kind === 'prefix' || match.kind === 'exact' ? match.path : '',
      nested: entry.routes.length === 0 ? undefined : this.#level(entry.routes, named),
      internal: entry.internal,
      steps: this.#steps(entry.steps),
      access: compileAccess(entry.access, scope),
      accessExcept: accessExcept === undefined ? undefined : compileExcept(accessExcept, scope),
      rates: compileRates(entry.rates, zones, scope),
      connections: compileConnections(entry.connections, zones, scope),
      maxBodyBytes: entry.maxBodyBytes,
      addHeaders: entry.addHeaders.map(({ name, value, always }) => ({
        name,
        lower: name.toLowerCase(),
        value: compileHeader(value, scope, 'url'),
        always,
      })),
      expires: compileExpires(entry.expires, scope),
      errorPages: compileErrorPages(entry.errorPages, scope),
      compress: entry.compress,
      logs: entry.logs.map((spec) => compileLog(spec, scope)),
      tries: entry.tries === undefined ? undefined : compileTries(entry.tries, scope),
      action: this.#action(entry.action),
    };
    return { ...route, plain: isPlain(route) };
  }

  #steps(steps: readonly StepEntry[]): readonly CompiledStep<CompiledRoute>[] {
    // The route of an `if` has no named routes of its own that could be reached.
    return compileSteps(steps, this.#scope, this.#problems, (entry) => this.#route(entry, new Map()));
  }

  #action(action: ActionEntry): CompiledAction {
    const scope = this.#scope;
    if (action.kind === 'proxy') return compileProxy(action, scope);
    if (action.kind === 'files') return compileFiles(action, scope);
    if (action.kind === 'status') return action;
    const contentType = action.contentType === undefined ? undefined : compileTemplate(action.contentType, scope, 'url');
    return { kind: 'answer', answer: compileAnswer(action.answer, scope), contentType };
  }
}

/** How a route is called: its path with the mark that nginx writes before it. */
export function routeName(match: PathMatch): string {
  if (match.kind === 'exact') return `= ${match.path}`;
  if (match.kind === 'regex') return `${match.anyCase ? '~*' : '~'} ${match.pattern}`;
  if (match.kind === 'named') return `@${match.name}`;
  return match.stop ? `^~ ${match.path}` : match.path;
}

function compileExcept({ methods, access }: NonNullable<RouteEntry['accessExcept']>, scope: Scope): CompiledRoute['accessExcept'] {
  const open = new Set(methods.map((method) => method.toUpperCase()));
  if (open.has('GET')) open.add('HEAD');
  return { methods: open, access: compileAccess(access, scope) };
}

function compileTries(spec: TriesSpec, scope: Scope): CompiledTries {
  const paths = spec.paths.map((text) => compileTemplate(text, scope));
  const last = spec.last.kind === 'path' ? { kind: 'path' as const, to: compileTemplate(spec.last.to, scope) } : spec.last;
  return { spec, place: compilePlace(spec, scope), paths, last };
}

const isPlain = (route: Omit<CompiledRoute, 'plain'>): boolean =>
  !route.internal &&
  route.steps.length + route.rates.length + route.connections.length === 0 &&
  [route.access, route.accessExcept, route.expires, route.errorPages, route.compress, route.tries].every((part) => part === undefined);

/**
 * As in nginx, `/app` leads to `/app/` when only the latter is there and is proxied; before its steps, access and limits, but
 * with its headers.
 */
function slashRedirects(placed: readonly PlacedRoute<CompiledRoute>[]): PlacedRoute<CompiledRoute>[] {
  const paths = new Set(placed.map(({ route }) => route.prefix));
  return placed.flatMap(({ route }) => {
    const bare = route.prefix.slice(0, -1);
    if (!route.prefix.endsWith('/') || bare === '' || route.action.kind !== 'proxy' || paths.has(bare)) return [];
    const match = { kind: 'exact', path: bare } as const;
    const action = { kind: 'answer', answer: slashRedirect, contentType: undefined } as const;
    const open = { steps: [], access: undefined, accessExcept: undefined, rates: [], connections: [], tries: undefined, internal: false };
    const redirect: CompiledRoute = { ...route, ...open, match, action, prefix: bare, nested: undefined, plain: false };
    return [{ route: redirect, match, pattern: undefined }];
  });
}

/** What finding a site writes into a request. */
export type HostSource = Pick<VariableSource, 'vars' | 'hostLabel'>;

/**
 * The site that answers `host` (lowercase, without port) on this listener: always one. What the wildcard stands for and the
 * groups of a regular expression become variables of `source`.
 */
export function matchSite(listener: CompiledListener, host: string, source?: HostSource): CompiledSite {
  const exact = listener.exact.get(host);
  if (exact !== undefined) return exact;
  const wild = findByWildcard(listener.endings, listener.beginnings, host);
  if (wild !== undefined) {
    if (source !== undefined) source.hostLabel = labelOf(listener, host, wild);
    return wild;
  }
  for (const { pattern, site } of listener.patterns) if (matchPattern(pattern, host, source)) return site;
  return listener.fallback;
}

/** What stands for the `*`: the front of `*.example.com`, the end of `example.*`. */
function labelOf({ endings, beginnings }: CompiledListener, host: string, site: CompiledSite): string {
  for (let dot = host.indexOf('.', 1); dot > 0; dot = host.indexOf('.', dot + 1)) {
    if (endings.get(host.slice(dot)) === site) return host.slice(0, dot);
  }
  for (let dot = host.lastIndexOf('.'); dot > 0; dot = host.lastIndexOf('.', dot - 1)) {
    if (beginnings.get(host.slice(0, dot + 1)) === site) return host.slice(dot + 1);
  }
  return '';
}

/**
 * The route that answers `path` (decoded, `RequestPath.text`), or undefined: the site's `rest`. Groups of its regular
 * expression become `$1` to `$9` and named variables of `source`.
 */
export function matchRoute(site: CompiledSite, path: string, source?: Pick<VariableSource, 'vars'>): CompiledRoute | undefined {
  return site.locations === undefined ? undefined : locate(site.locations, path, source);
}
