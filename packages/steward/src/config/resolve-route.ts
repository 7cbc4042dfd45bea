/**
 * A route as written → what the gateway serves. What a route does not say of headers, errors, limits, access and logs holds
 * as the site, or the route around it, says it; what it does say takes the place of all of it, as in nginx. Pure.
 */
import { type PathMatch, plainRoute, type RouteAction, type RouteSpec, type TriesSpec } from './model.ts';
import { resolveAccess, resolveAccessExcept } from './resolve-access.ts';
import { resolveAnswer, resolveErrorPages } from './resolve-answer.ts';
import { resolveCompress } from './resolve-compress.ts';
import { type Folder, resolveAnswerTypes, resolveFiles, resolveFolder, resolveTries } from './resolve-files.ts';
import { resolveAddedHeaders, resolveExpires, withShared } from './resolve-headers.ts';
import { resolveConnections, resolveRates } from './resolve-limits.ts';
import { resolveLogs } from './resolve-logs.ts';
import { nestingMistake, resolvePath, wordsOf } from './resolve-path.ts';
import { resolveProxy } from './resolve-proxy.ts';
import { resolveSteps } from './resolve-steps.ts';
import type { SiteScope } from './scope.ts';
import type { sharedByRoutes } from './sections/route.ts';
import type { RouteSource } from './sections/step.ts';
import { sizeOr } from './units.ts';

/** What routes take over from the site, or from the route around them. */
export type Inherited = Pick<
  RouteSpec,
  'maxBodyBytes' | 'addHeaders' | 'errorPages' | 'compress' | 'logs' | 'rates' | 'connections' | 'access' | 'charset'
>;

/** What a site or a route says of it. */
export type SharedSource = Pick<RouteSource, keyof typeof sharedByRoutes>;

/** What holds within `source`: what it says itself, else what holds `around` it. */
export function resolveShared(scope: SiteScope, pointer: string, source: SharedSource, around: Inherited): Inherited {
  const { addHeaders, errorPages, compress, log, rate, connections, maxBody, charset = around.charset } = source;
  const compressed = compress === undefined ? around.compress : resolveCompress(scope, `${pointer}/compress`, compress);
  return {
    access: resolveAccess(scope, pointer, source, around.access),
    rates: rate === undefined ? around.rates : resolveRates(scope, `${pointer}/rate`, rate),
    connections: connections === undefined ? around.connections : resolveConnections(scope, `${pointer}/connections`, connections),
    maxBodyBytes: sizeOr(maxBody, around.maxBodyBytes),
    addHeaders: addHeaders === undefined ? around.addHeaders : resolveAddedHeaders(scope, `${pointer}/addHeaders`, addHeaders),
    errorPages: errorPages === undefined ? around.errorPages : resolveErrorPages(scope, `${pointer}/errorPages`, errorPages),
    ...(compressed && { compress: compressed }),
    ...(charset !== undefined && { charset }),
    logs: log === undefined ? around.logs : resolveLogs(scope, `${pointer}/log`, log),
  };
}

const kinds = ['service', 'upstream', 'files', 'root', 'file', 'redirect', 'respond', 'counters'] as const;
type ActionKind = (typeof kinds)[number];

/** The keys that say what answers. Those that say where `try` looks may stand beside another one. */
function answering(route: RouteSource): ActionKind[] {
  const given = kinds.filter((kind) => route[kind] !== undefined);
  const others = given.filter((kind) => kind !== 'root' && kind !== 'files' && kind !== 'file');
  return route.try !== undefined && others.length > 0 ? others : given;
}

/** Answers where steps or routes within do, and nothing else. */
const notFound: RouteAction = { kind: 'answer', answer: { status: 404 } };

function resolveAction(scope: SiteScope, pointer: string, route: RouteSource, match: PathMatch, folder: Folder | undefined): RouteAction {
  const [kind, ...more] = answering(route);
  if (more.length > 0) {
    const given = [kind, ...more].join(' and ');
    scope.tell(pointer, 'config/route-action', `${given} are given together`, `Give exactly one of ${kinds.join(', ')}.`);
    return notFound;
  }
  if (kind === 'service' || kind === 'upstream') return resolveProxy(scope, pointer, route, match);
  if (folder !== undefined && (kind === 'files' || kind === 'root' || kind === 'file')) return resolveFiles(scope, pointer, route, folder);
  if (route.counters !== undefined) return { kind: 'status', form: route.counters };
  const answer = resolveAnswer(scope, pointer, route);
  if (answer === undefined && route.steps === undefined && route.routes === undefined)
    scope.tell(pointer, 'config/route-action', 'the route does not say what answers it', `Give exactly one of ${kinds.join(', ')}.`);
  return answer ?? notFound;
}

/** All of a route but its path, once that is known. `match` is that of the route around for the route of an `if`. */
function resolveWithin(scope: SiteScope, pointer: string, route: RouteSource, match: PathMatch, around: Inherited): RouteSpec {
  const shared = resolveShared(scope, pointer, route, around);
  const folder = resolveFolder(scope, pointer, route, match);
  const tries: TriesSpec | undefined = route.try && resolveTries(scope, pointer, route.try, folder);
  const answerTypes = resolveAnswerTypes(route, shared.charset);
  const inner = (at: string, given: RouteSource): RouteSpec =>
    resolveWithin(scope, at, { ...given, path: undefined, steps: undefined, routes: undefined }, match, shared);
  return {
    ...shared,
    addHeaders: withShared(shared.addHeaders, scope.standingHeaders),
    match,
    internal: route.internal ?? plainRoute.internal,
    steps: resolveSteps(scope, `${pointer}/steps`, route.steps, inner),
    ...(route.accessExcept && {
      accessExcept: resolveAccessExcept(scope, `${pointer}/accessExcept`, route.accessExcept, shared.access),
    }),
    expires: resolveExpires(scope, `${pointer}/expires`, route.expires),
    ...(tries && { tries }),
    ...(answerTypes && { answerTypes }),
    action: resolveAction(scope, pointer, { ...route, charset: shared.charset }, match, folder),
    routes: resolveRoutes(scope, `${pointer}/routes`, route.routes ?? [], shared, match),
  };
}

/** Tells a route that another one of the same list hides. */
function checkTwice(scope: SiteScope, pointer: string, match: PathMatch, taken: Set<string>): void {
  const words = wordsOf(match);
  if (match.kind !== 'regex' && taken.has(words))
    scope.tell(
      `${pointer}/path`,
      'config/path-twice',
      `${words} is answered by an earlier route already`,
      'Take one of them away, or give it another path.',
      'warning',
    );
  taken.add(words);
}

/** The routes of a site, or of the route that `outer` is the path of. */
export function resolveRoutes(
  scope: SiteScope,
  pointer: string,
  routes: readonly RouteSource[],
  around: Inherited,
  outer?: PathMatch,
): RouteSpec[] {
  const taken = new Set<string>();
  return routes.flatMap((route, index) => {
    const at = `${pointer}/${index}`;
    const match = resolvePath(scope, `${at}/path`, route.path ?? '/');
    if (match === undefined) return [];
    const mistake = outer && nestingMistake(match, outer);
    if (mistake !== undefined)
      scope.tell(`${at}/path`, 'config/nested-path', mistake, 'Write a path that goes on from the one around it, or move the route out.');
    checkTwice(scope, at, match, taken);
    return [resolveWithin(scope, at, route, match, around)];
  });
}
