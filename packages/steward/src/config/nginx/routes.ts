/** The locations of a server as routes. A location that Steward cannot answer keeps its place and answers 501, so that none of its requests falls to another. */
import { STATUS_CODES } from 'node:http';
import type { Position } from '../problem.ts';
import type { RouteSource } from '../sections/site.ts';
import { setAnswerTypes, setFiles, setFolderOfTries, typeOf } from './files-route.ts';
import { inherited } from './inherit.ts';
import { setProxy } from './proxy-route.ts';
import { given, type Level, type LocationLevel, type Scene, type ServerLevel } from './scene.ts';
import type { StepLine } from './settings.ts';
import { guardsOf, type Shared, setShared, sharedOf, unguarded } from './shared.ts';
import { endsInAnswer, splitAnswer, stepsOf } from './steps.ts';
import { resolveText } from './variables.ts';

const bodyless = (status: number): boolean => status < 200 || status === 204 || status === 304;

function setResponse(route: RouteSource, status: number, at: Position, scene: Scene, text = ''): void {
  if (text !== '') scene.draft.set(route, 'respond', given(text, { at }));
  scene.draft.set(route, 'status', given(status, { at }));
}

/** These requests get 501 until somebody decides. */
const setUnanswerable = (route: RouteSource, at: Position, scene: Scene): void =>
  setResponse(route, 501, at, scene, `501 ${STATUS_CODES[501]}`);

/** A `return` as what the route answers. A status from 400 on without a text is an error, which error_page may replace. */
function setAnswer(
  route: RouteSource,
  line: Extract<StepLine, { kind: 'return' }>,
  level: Level,
  location: LocationLevel | undefined,
  scene: Scene,
): void {
  const { answer, at } = line;
  const use = { at, where: 'return' };
  if (answer.redirect !== undefined) {
    scene.draft.set(route, 'redirect', given(resolveText(scene, answer.redirect, use), { at }));
    scene.draft.set(route, 'status', given(answer.status, { at }));
    return;
  }
  const text = resolveText(scene, answer.text ?? '', use);
  setResponse(route, answer.status, at, scene, text);
  if (bodyless(answer.status) || (text === '' && answer.status >= 300)) return;
  if (location?.kind === 'exact') route.contentType = typeOf(level, location.text);
  else setAnswerTypes(route, level, scene);
}

/** Whether one of these instructions answers with a text. */
const answersText = (lines: readonly StepLine[]): boolean =>
  lines.some((line) =>
    line.kind === 'if' ? answersText(line.level.settings.steps) : line.kind === 'return' && line.answer.text !== undefined,
  );

/** What answers on `level`: an `if` has what its location has, unless it says otherwise. */
function handlerOf(level: Level): Pick<Level['settings'], 'proxyPass' | 'foreign' | 'counters'> {
  const { proxyPass, foreign, counters } = level.settings;
  if ((proxyPass ?? foreign ?? counters) !== undefined || level.context !== 'if' || level.parent === undefined)
    return { ...(proxyPass && { proxyPass }), ...(foreign && { foreign }), ...(counters && { counters }) };
  return handlerOf(level.parent);
}

/** Tells of a location for which there is nothing to serve, unless its mistake has been told already. */
function warnOfNothing(level: Level, location: LocationLevel | undefined, scene: Scene): void {
  const isTold = ['proxy_pass', 'return', 'root', 'alias', 'if', 'rewrite'].some((name) => level.seen.has(name));
  if (isTold || location === undefined) return;
  const hint = 'Write root and a folder, or proxy_pass.';
  scene.warning('config/nginx-value', 'this location names neither a folder nor a program; its requests get 404', location.path.at, hint);
}

function setContent(route: RouteSource, level: Level, location: LocationLevel | undefined, scene: Scene): void {
  const { foreign, proxyPass, counters } = handlerOf(level);
  const { tryFiles } = level.settings;
  if (foreign !== undefined) setUnanswerable(route, foreign.at, scene);
  else if (counters !== undefined) scene.draft.set(route, 'counters', counters);
  else if (proxyPass !== undefined && location !== undefined) {
    if (tryFiles !== undefined && level.context !== 'if') setFolderOfTries(route, level, location, scene);
    setProxy(route, level, location, proxyPass, scene);
  } else if (!setFiles(route, level, location, scene)) {
    warnOfNothing(level, location, scene);
    setResponse(route, 404, level.at, scene);
  }
}

/** limit_except: the rules that hold for other methods than those it names. */
function setExcept(route: RouteSource, location: LocationLevel, shared: Shared, scene: Scene): void {
  const { except } = location.settings;
  if (except === undefined) return;
  const found: NonNullable<RouteSource['accessExcept']> = { methods: [...except.methods] };
  setShared(found, guardsOf(except.level, scene), shared);
  if (Object.keys(found).length === 1)
    scene.warning('config/nginx-value', 'limit_except changes nothing', except.at, 'Write deny all; or auth_basic inside it.');
  else scene.draft.set(route, 'accessExcept', given(found, except));
}

/** What answers when an `if` of `location` holds: all of its location, with what the block says. */
function routeOfIf(level: Level, location: LocationLevel | undefined, around: Shared, scene: Scene): RouteSource | undefined {
  if (location === undefined || level.context !== 'if' || endsInAnswer(level.settings.steps)) return undefined;
  const tries = location.settings.tryFiles;
  if (level.settings.isMore !== true && tries === undefined) return undefined;
  if (tries !== undefined) {
    const hint = 'It does so in nginx too. Put the condition and the files into locations of their own.';
    scene.warning('config/nginx-value', 'this if takes the try_files of its location away when it holds', level.at, hint);
  }
  const route: RouteSource = {};
  scene.draft.place(route, undefined, level.at);
  setContent(route, level, location, scene);
  setRest(route, level, sharedOf(level, scene), around, scene);
  return route;
}

function setRest(route: RouteSource, level: Level, shared: Shared, around: Shared, scene: Scene): void {
  setShared(route, shared, around);
  const expires = inherited(level, 'expires');
  if (expires !== undefined && expires.value !== 'off')
    scene.draft.set(route, 'expires', given(resolveText(scene, expires.value, { at: expires.at, where: 'expires' }), expires));
}

function routeOf(level: Level, location: LocationLevel | undefined, around: Shared, scene: Scene): RouteSource {
  const route: RouteSource = {};
  scene.draft.place(route, undefined, location?.path.at ?? level.at);
  scene.draft.set(route, 'path', location?.path ?? given('/', { at: level.at }));
  const { internal } = level.settings;
  if (internal !== undefined) scene.draft.set(route, 'internal', given(true, { at: internal }));
  const shared = sharedOf(level, scene);
  const { before, answer } = splitAnswer(location === undefined ? [] : level.settings.steps);
  const own = location === undefined ? splitAnswer(level.settings.steps).answer : answer;
  if (before.length > 0) route.steps = stepsOf(before, scene, (block) => routeOfIf(block, location, shared, scene));
  if (own !== undefined) setAnswer(route, own, level, location, scene);
  else setContent(route, level, location, scene);
  if (answersText(before) && route.contentType === undefined) setAnswerTypes(route, level, scene);
  setRest(route, level, own === undefined ? shared : unguarded(shared), around, scene);
  if (own === undefined && location !== undefined) setExcept(route, location, shared, scene);
  if (location !== undefined && location.locations.length > 0)
    route.routes = routesIn(location, own === undefined ? shared : unguarded(shared), scene);
  return route;
}

/** nginx sends `/x` to `/x/` when only a proxied location `/x/` exists (https://nginx.org/en/docs/http/ngx_http_core_module.html#location). */
function slashRoute(location: LocationLevel, others: readonly LocationLevel[], around: Shared, scene: Scene): readonly RouteSource[] {
  const { proxyPass, foreign, internal } = location.settings;
  const bare = location.text.slice(0, -1);
  const isPrefix = location.kind === 'prefix' && location.text.endsWith('/') && bare !== '';
  if (!isPrefix || internal !== undefined || (proxyPass ?? foreign) === undefined) return [];
  if (others.some((other) => (other.kind === 'prefix' || other.kind === 'exact') && other.text === bare)) return [];
  const route: RouteSource = { path: `= ${bare}`, redirect: `${location.text}$is_args$args`, status: 301 };
  scene.draft.place(route, undefined, location.path.at);
  setShared(route, unguarded(sharedOf(location, scene)), around);
  return [route];
}

function routesIn(level: ServerLevel | LocationLevel, around: Shared, scene: Scene): RouteSource[] {
  return level.locations.flatMap((location) => [
    routeOf(location, location, around, scene),
    ...slashRoute(location, level.locations, around, scene),
  ]);
}

/** A route for what no location answers; none when a location `/` does, or when the server has nothing for it. */
function restRoute(server: ServerLevel, around: Shared, scene: Scene): readonly RouteSource[] {
  if (server.locations.some((location) => location.kind === 'prefix' && location.text === '/')) return [];
  if ((inherited(server, 'files') ?? server.settings.counters) === undefined) return [];
  return [routeOf(server, undefined, around, scene)];
}

/** Routes of `server`: a route for everything when it returns at once, else one for each location and one for the rest. */
export function routesOf(server: ServerLevel, shared: Shared, scene: Scene): RouteSource[] {
  const { answer } = splitAnswer(server.settings.steps);
  if (answer !== undefined) {
    for (const location of server.locations) {
      const hint = `The server answers everything itself on line ${answer.at.line}.`;
      scene.warning('config/nginx-never-used', `location "${location.path.value}" is never used`, location.path.at, hint);
    }
    return [routeOf(server, undefined, shared, scene)];
  }
  return [...routesIn(server, shared, scene), ...restRoute(server, shared, scene)];
}
