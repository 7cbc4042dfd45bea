/**
 * Which route answers a path, as nginx finds its locations
 * (https://nginx.org/en/docs/http/ngx_http_core_module.html#location), nested ones too:
 *
 *   exact ──► longest prefix, within it the same again ──► unless that prefix is `^~`: regular expressions in order ──► the prefix
 *
 * A regular expression inside the longest prefix wins over those beside it; one that fits is looked into in turn. Prefixes
 * are found by a search in a sorted list, so that a thousand cost hardly more than ten.
 */
import type { PathMatch } from '../config/model.ts';
import { matchPattern, type Pattern, type VariableSource } from './rules/variables.ts';

/** What a search finds: a route of the gateway, or anything else with the same two fields. */
export interface Located {
  readonly match: PathMatch;
  /** Routes looked at once this one is the best match. */
  readonly nested: Locations<this> | undefined;
}

interface PrefixEntry<R> {
  readonly path: string;
  readonly route: R;
  readonly stop: boolean;
  /** Index of the longest other prefix that this one begins with; -1 for none. */
  readonly parent: number;
}

/** The routes of one level, ready to be searched. */
export interface Locations<R> {
  readonly exact: ReadonlyMap<string, R>;
  /** By path. */
  readonly prefixes: readonly PrefixEntry<R>[];
  readonly patterns: readonly { readonly pattern: Pattern; readonly route: R }[];
}

/** A route with the pattern of its match, when that is a regular expression. */
export interface PlacedRoute<R> {
  readonly route: R;
  readonly match: PathMatch;
  readonly pattern: Pattern | undefined;
}

/** The routes ready to be searched; undefined when there is none that a path leads to. Of two for the same path the first counts. */
export function compileLocations<R>(routes: readonly PlacedRoute<R>[]): Locations<R> | undefined {
  const exact = new Map<string, R>();
  const byPath = new Map<string, { route: R; stop: boolean }>();
  const patterns: { pattern: Pattern; route: R }[] = [];
  for (const { route, match, pattern } of routes) {
    if (match.kind === 'exact') {
      if (!exact.has(match.path)) exact.set(match.path, route);
    } else if (match.kind === 'prefix') {
      if (!byPath.has(match.path)) byPath.set(match.path, { route, stop: match.stop });
    } else if (pattern !== undefined) patterns.push({ pattern, route });
  }
  if (exact.size + byPath.size + patterns.length === 0) return undefined;
  const sorted = [...byPath].sort(([a], [b]) => (a < b ? -1 : 1));
  const prefixes: PrefixEntry<R>[] = [];
  for (const [path, { route, stop }] of sorted) {
    let parent = prefixes.length - 1;
    while (parent >= 0 && !path.startsWith(prefixes[parent]?.path ?? '')) parent = prefixes[parent]?.parent ?? -1;
    prefixes.push({ path, route, stop, parent });
  }
  return { exact, prefixes, patterns };
}

/**
 * The longest prefix of `path`. The last entry that is not behind `path` begins with it, since what stands between a prefix of
 * `path` and `path` itself begins with that prefix.
 */
function longestPrefix<R>(prefixes: readonly PrefixEntry<R>[], path: string): PrefixEntry<R> | undefined {
  let low = 0;
  let high = prefixes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((prefixes[middle] as PrefixEntry<R>).path <= path) low = middle + 1;
    else high = middle;
  }
  for (let at = low - 1; at >= 0; ) {
    const entry = prefixes[at] as PrefixEntry<R>;
    if (path.startsWith(entry.path)) return entry;
    at = entry.parent;
  }
  return undefined;
}

/** How sure a find is: `final` ones are not given up for a regular expression further out. */
let final = false;

/**
 * The route of `path` (decoded, `RequestPath.text`), or undefined: 404. The groups of a regular expression that fits become
 * variables of `source`.
 */
export function locate<R extends Located>(
  locations: Locations<R>,
  path: string,
  source: Pick<VariableSource, 'vars'> | undefined,
): R | undefined {
  final = false;
  return search(locations, path, source);
}

function search<R extends Located>(locations: Locations<R>, path: string, source: Pick<VariableSource, 'vars'> | undefined): R | undefined {
  const exact = locations.exact.size === 0 ? undefined : locations.exact.get(path);
  if (exact !== undefined) {
    final = true;
    return exact;
  }
  const prefix = longestPrefix(locations.prefixes, path);
  let found = prefix?.route;
  if (prefix !== undefined && prefix.route.nested !== undefined) {
    found = search(prefix.route.nested as Locations<R>, path, source) ?? prefix.route;
    if (final) return found;
  }
  if (prefix?.stop === true) return found;
  for (const { pattern, route } of locations.patterns) {
    if (!matchPattern(pattern, path, source)) continue;
    const inner = route.nested === undefined ? undefined : search(route.nested as Locations<R>, path, source);
    final = true;
    return inner ?? route;
  }
  return found;
}
