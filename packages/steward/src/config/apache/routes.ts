/**
 * The points of a server's paths (views.ts) as routes. Steward takes the longest path, so each path that the file names becomes
 * two routes, itself and what is below it, each with the answer that Apache's first fitting line gives there. Regular
 * expressions become routes within them.
 */
import { extname } from 'node:path';
import type { Position } from '../problem.ts';
import type { RouteSource, SiteSource } from '../sections/site.ts';
import type { StepSource } from '../sections/step.ts';
import { formatDuration, formatSize } from '../units.ts';
import { guardsOf } from './access.ts';
import { answerHeaders, mappedVariable, requestHeaders } from './headers.ts';
import { bothRegex, covers, escapeRegex, fitsPath, type Point, type RegexMatcher } from './matchers.ts';
import { stepsOfRules, type Way } from './rewrite-steps.ts';
import {
  type Alias,
  given,
  inherited,
  type Pass,
  type ProxyTarget,
  type Redirect,
  type Scene,
  type Server,
  type Settings,
} from './scene.ts';
import { hasDollar } from './values.ts';
import { hiddenLines, mapOf, type PathMap, type View } from './views.ts';

const apacheTimeoutMs = 60_000;
const stewardReadMs = 60_000;
/** The limit of Apache 2.4.53 and later; older ones have none. */
const apacheMaxBody = 1024 ** 3;
/** Smaller answers Apache leaves as they are. */
const leastDeflated = 69;
/** Expressions that may fit one path together; all their combinations become routes. */
const mostTogether = 5;
/** Of more than those, so many are combined in pairs. */
const mostPaired = 12;

/** What routes are made for. */
interface Making {
  readonly server: Server;
  readonly scene: Scene;
  readonly map: PathMap;
  readonly ways: readonly Way[];
  readonly named: Map<string, RouteSource>;
}

const serverName = (server: Server): string | undefined => server.own.name?.value ?? server.main?.own.name?.value;

function setHost(route: RouteSource, target: ProxyTarget, { preserveHost }: Settings, scene: Scene): void {
  const host = preserveHost?.value === true ? 'keep' : target.address.startsWith('unix:') ? target.host : 'upstream';
  if (preserveHost === undefined) route.upstreamHost = host;
  else scene.draft.set(route, 'upstreamHost', given(host, preserveHost));
}

function setTimes(route: RouteSource, pass: Pass, server: Server, scene: Scene): void {
  const said = inherited(server, 'proxyTimeout') ?? inherited(server, 'timeout');
  const read = pass.timeoutMs === undefined ? said : { value: pass.timeoutMs, at: pass.targetAt };
  const connect = pass.connectTimeoutMs ?? read?.value ?? apacheTimeoutMs;
  const at = pass.connectTimeoutMs === undefined ? (read?.at ?? pass.targetAt) : pass.targetAt;
  scene.draft.set(route, 'connectTimeout', given(formatDuration(connect), { at }));
  if (read !== undefined && read.value !== stewardReadMs) scene.draft.set(route, 'readTimeout', given(formatDuration(read.value), read));
}

/** Redirects of each member of a balancer are those of the balancer. */
function reversesOf({ reverses }: Settings, scene: Scene): RouteSource['rewriteLocation'] {
  const found = reverses.flatMap(({ from, to, at }) => {
    const [, name, path = ''] = /^balancer:\/\/([^/]+)(.*)$/i.exec(from) ?? [];
    const members = name === undefined ? undefined : (scene.balancers.get(name.toLowerCase())?.members ?? []);
    const froms = members?.map((member) => `${member.scheme}://${member.host}${member.path.replace(/\/$/, '')}${path}`) ?? [from];
    return froms.map((one) => {
      const rule = { from: one.replace(/^ws/i, 'http'), to };
      scene.draft.place(rule, undefined, at);
      return rule;
    });
  });
  return found.length === 0 ? undefined : found;
}

/** All that a route says of an upstream but the path. */
function setUpstream(route: RouteSource, pass: Pass, target: ProxyTarget, settings: Settings, making: Making): void {
  const { scene, server } = making;
  const at = { at: pass.targetAt };
  scene.draft.set(route, 'upstream', given(target.address, at));
  const balancer = target.balancer === true ? scene.balancers.get(target.address) : undefined;
  if (target.scheme === 'https' || balancer?.members[0]?.scheme === 'https') scene.draft.set(route, 'upstreamScheme', given('https', at));
  if (settings.verifyUpstream?.value === true && route.upstreamScheme === 'https')
    route.upstreamVerify = settings.upstreamCa ? { ca: settings.upstreamCa.value } : true;
  setHost(route, target, settings, scene);
  const headers = requestHeaders(settings.requestHeaders, scene) ?? [];
  const adds = settings.addForwarded?.value ?? true;
  const name = serverName(server);
  const list = Array.isArray(headers) ? headers : [];
  const own = adds && name !== undefined ? [{ name: 'X-Forwarded-Server', value: name }] : [];
  const all = [...own.filter((header) => !list.some((other) => other.name.toLowerCase() === header.name.toLowerCase())), ...list];
  if (all.length > 0) route.setHeaders = all;
  if (settings.addForwarded === undefined) route.forwardedHeaders = 'append';
  else scene.draft.set(route, 'forwardedHeaders', given(adds ? 'append' : 'off', settings.addForwarded));
  const reverses = reversesOf(settings, scene);
  if (reverses !== undefined) route.rewriteLocation = reverses;
  if (settings.cookieRules.length > 0)
    route.rewriteCookies = settings.cookieRules.map(({ attribute, from, to }) => ({ attribute, from, to }));
  scene.draft.set(route, 'interceptErrors', settings.interceptErrors);
  setTimes(route, pass, server, scene);
}

/** The path that the members of a balancer have before that of ProxyPass. */
const memberPath = (target: ProxyTarget, scene: Scene): string => {
  const path = target.balancer === true ? (scene.balancers.get(target.address)?.members[0]?.path ?? '') : '';
  return path.replace(/\/$/, '');
};

/** What requests for a path become: the step that changes it (for expressions), or the replaced prefix. */
function setPath(route: RouteSource, pass: Pass, target: ProxyTarget, view: View, isNested: boolean, scene: Scene): readonly StepSource[] {
  const { match } = pass;
  const to = memberPath(target, scene) + target.path;
  if (match.kind === 'regex') {
    const text = to === '' ? '/' : to;
    // Without a group Apache puts the whole path behind the address.
    const replaced = /\$\d/.test(text) ? text.replace(/\$0/g, '$uri') : `${to.replace(/\/$/, '')}$uri`;
    return replaced === '$uri' && pass.isRaw === true
      ? []
      : [
          {
            rewrite: match.anyCase === true ? `(?i)${match.pattern}` : match.pattern,
            to: replaced.startsWith('/') ? replaced : `/${replaced}`.replace('/$', '$'),
            flag: 'break',
          },
        ];
  }
  const front = match.kind === 'path' ? match.path : '/';
  // With nocanon the path goes on as it was sent; else it is written anew from what it means, without .. and double slashes.
  if (front === '' || (pass.isRaw === true && front === to)) return [];
  const slash = target.balancer === true && target.path === '' ? '/' : '';
  const joined = (rest: string): string => (to + (rest === '' ? slash : rest)).replace(/^(?!\/)/, '/');
  if (isNested) {
    const start = to !== '' ? to : front.endsWith('/') ? '/' : '';
    return [{ rewrite: `^${escapeRegex(front)}(.*)$`, to: `${start}$1`, flag: 'break' }];
  }
  scene.draft.set(route, 'upstreamPath', given(joined(view.point.path.slice(front.length)), { at: pass.targetAt }));
  return [];
}

const setStatus = (route: RouteSource, status: number, at: Position, scene: Scene): void =>
  scene.draft.set(route, 'status', given(status, { at }));

/** The address of a redirect, and the query that Apache puts behind it unless it has one. */
function redirectSteps(redirect: Redirect, to: string, pattern: string): readonly StepSource[] {
  const target = to.includes('?') ? to : `${to}$is_args$args`;
  return [{ if: { value: '$uri', matches: pattern }, steps: [{ return: redirect.status, to: target }] }];
}

function setRedirect(route: RouteSource, redirect: Redirect, view: View, scene: Scene): readonly StepSource[] {
  const { match, status, to, at } = redirect;
  if (to === undefined) {
    setStatus(route, status, at, scene);
    return [];
  }
  const isRegex = match.kind === 'regex' && redirect.isWhole !== true;
  if (hasDollar(isRegex ? to.replace(/\$\d/g, '') : to)) {
    scene.warning(
      'config/apache-not-taken-over',
      `the $ in "${to}" would be read as a variable; this redirect is left out`,
      at,
      'Write %24 instead of $.',
    );
    setStatus(route, 404, at, scene);
    return [];
  }
  if (isRegex) {
    setStatus(route, 404, at, scene);
    return redirectSteps(redirect, to.replace(/\$0/g, '$uri'), match.anyCase === true ? `(?i)${match.pattern}` : match.pattern);
  }
  if (redirect.isWhole === true) {
    scene.draft.set(route, 'redirect', given(to.includes('?') ? to : `${to}$is_args$args`, { at }));
    setStatus(route, status, at, scene);
    return [];
  }
  const front = match.kind === 'path' ? match.path : '/';
  const isHost = front === '/' && /^https?:\/\/[^/]+$/i.test(to);
  if (isHost) {
    const hint = 'Steward puts the / between them. Write it at the end of the address.';
    scene.warning('config/apache-value', `Redirect / "${to}": Apache would glue the path to it without a /`, at, hint);
  }
  const address = isHost ? `${to}/` : to;
  if (address.endsWith(front) && !address.includes('?')) {
    scene.draft.set(route, 'redirect', given(`${address.slice(0, -front.length)}$request_uri`, { at }));
    setStatus(route, status, at, scene);
    return [];
  }
  if (view.point.isExact) {
    const rest = view.point.path.slice(front.length);
    scene.draft.set(route, 'redirect', given(`${address}${rest}${address.includes('?') ? '' : '$is_args$args'}`, { at }));
    setStatus(route, status, at, scene);
    return [];
  }
  setStatus(route, 404, at, scene);
  return redirectSteps(redirect, `${address}$1`, `^${escapeRegex(front)}(.*)$`);
}

/** Files of DocumentRoot or an alias. */
function setFolder(route: RouteSource, alias: Alias, view: View, isNested: boolean, scene: Scene): readonly StepSource[] {
  const { match, folder, at, folderAt } = alias;
  const { settings, point } = view;
  if (folder === undefined) {
    setStatus(route, 501, at, scene);
    return [];
  }
  const steps: StepSource[] = [];
  if (match.kind === 'regex') {
    scene.draft.set(route, 'file', given(folder.replace(/\$0/g, '$uri'), { at: folderAt }));
    return [];
  }
  const front = match.kind === 'path' ? match.path : '/';
  if (front === '/') scene.draft.set(route, 'root', given(folder, { at: folderAt }));
  else if (isNested) {
    steps.push({ rewrite: `^${escapeRegex(front.replace(/\/$/, ''))}/*(.*)$`, to: '/$1', flag: 'break' });
    scene.draft.set(route, 'root', given(folder, { at: folderAt }));
  } else if (point.isExact && point.path === front) {
    if (extname(folder) !== '' && extname(front) !== '') scene.draft.set(route, 'file', given(folder, { at: folderAt }));
    else {
      scene.draft.set(route, 'redirect', given(`${front}/$is_args$args`, { at }));
      setStatus(route, 301, at, scene);
      return [];
    }
  } else {
    const below = `${folder.replace(/\/$/, '')}/${point.path.slice(front.length)}`.replace(/\/+/g, '/');
    scene.draft.set(route, 'files', given(below, { at: folderAt }));
  }
  scene.draft.set(route, 'index', settings.index);
  // Apache asks for it anew: what runs a program, or is closed, stays so.
  if (settings.fallback?.value !== undefined)
    scene.draft.set(route, 'try', given(['$uri', '$uri/', settings.fallback.value], settings.fallback));
  if (settings.types.length > 0) route.types = Object.fromEntries(settings.types.map(({ extension, type }) => [extension, type]));
  scene.draft.set(route, 'defaultType', settings.defaultType);
  return steps;
}

/** A place for the text of `ErrorDocument 404 "text"`. */
function textPage(status: number, text: string, at: Position, { named, scene }: Making): string {
  const known = [...named].find(([, route]) => route.respond === text && route.status === status)?.[0];
  if (known !== undefined) return known;
  const path = `@error_${status}_${named.size + 1}`;
  const route: RouteSource = { path, respond: text, status, contentType: 'text/html; charset=iso-8859-1' };
  scene.draft.place(route, undefined, at);
  named.set(path, route);
  return path;
}

function errorPages({ errorPages: lines }: Settings, making: Making): RouteSource['errorPages'] {
  const last = new Map(lines.map((line) => [line.status, line]));
  return [...last.values()].flatMap(({ status, to, at }) => {
    if (to === undefined) return [];
    const page = { on: [status], to: to.kind === 'text' ? textPage(status, to.text, at, making) : to.text };
    making.scene.draft.place(page, undefined, at);
    return [page];
  });
}

function compression({ compressTypes, compressLevel }: Settings): RouteSource['compress'] {
  if (compressTypes.length === 0) return undefined;
  const pairs = compressTypes.map(({ value }) => value.split(' '));
  const encodings = (['br', 'gzip'] as const).filter((encoding) => pairs.some(([name]) => name === encoding));
  const types = [...new Set(pairs.flatMap(([, type]) => type ?? []))];
  return { encodings, types: types.includes('*') ? ['*'] : types, minSize: leastDeflated, level: compressLevel?.value ?? 6 };
}

function expiresOf({ expiresActive, expiresDefault, expiresByType }: Settings, scene: Scene): string | undefined {
  if (expiresActive?.value !== true) return undefined;
  if (expiresByType.length === 0) return expiresDefault?.value;
  const cases = Object.fromEntries(
    expiresByType.map(({ type, expires }) => [`~*^${escapeRegex(type).replace(/\\\*/g, '[^;]*')}\\s*(;|$)`, expires]),
  );
  return mappedVariable(scene, '$sent_http_content_type', cases, expiresDefault?.value ?? 'off', 'expires');
}

function setExcept(route: RouteSource, { except }: Settings, around: Settings, scene: Scene): void {
  if (except === undefined) return;
  const { guards } = guardsOf({ ...around, ...except.settings }, scene);
  if (Object.keys(guards).length > 0) scene.draft.set(route, 'accessExcept', given({ methods: [...except.methods], ...guards }, except));
}

const isSaid = (site: Partial<SiteSource>, key: 'maxBody' | 'errorPages' | 'compress', value: unknown): boolean =>
  value === undefined || JSON.stringify(value) === JSON.stringify(site[key] ?? (key === 'errorPages' ? [] : undefined));

/** Headers, limits, errors and access of a route. Gives back the steps that access needs. */
function setShared(route: RouteSource, view: View, site: Partial<SiteSource>, making: Making): readonly StepSource[] {
  const { settings, action } = view;
  const { scene } = making;
  const { guards, steps } = action.kind === 'redirect' && action.isEarly ? { guards: {}, steps: [] } : guardsOf(settings, scene);
  const isClosed = guards.access?.[0] === 'deny all' && guards.satisfy === undefined;
  const kind = isClosed
    ? 'own'
    : action.kind === 'proxy'
      ? 'proxy'
      : action.kind === 'folder' && route.status === undefined
        ? 'files'
        : 'own';
  Object.assign(route, answerHeaders(settings.answerHeaders, kind, scene));
  if (site.addHeaders !== undefined) route.addHeaders ??= [];
  const maxBody = formatSize(settings.maxBody?.value ?? apacheMaxBody);
  if (!isSaid(site, 'maxBody', maxBody) && settings.maxBody !== undefined)
    scene.draft.set(route, 'maxBody', given(maxBody, settings.maxBody));
  const pages = errorPages(settings, making);
  if (!isSaid(site, 'errorPages', pages)) route.errorPages = pages;
  const compress = compression(settings);
  if (!isSaid(site, 'compress', compress)) route.compress = compress;
  const expires = kind === 'own' ? undefined : expiresOf(settings, scene);
  if (expires !== undefined) route.expires = expires;
  Object.assign(route, guards);
  if (action.kind === 'redirect' && action.isEarly) return [];
  setExcept(route, settings, settings, scene);
  return steps;
}

/** The answer of a view; `isNested`: within a regular expression, where no prefix matches. */
function routeOf(path: string, view: View, isNested: boolean, site: Partial<SiteSource>, making: Making): RouteSource {
  const { scene, server } = making;
  const { action, settings, rules } = view;
  const route: RouteSource = { path };
  const at =
    action.kind === 'proxy'
      ? action.pass.at
      : action.kind === 'redirect'
        ? action.redirect.at
        : action.kind === 'folder'
          ? action.alias.at
          : server.at;
  scene.draft.place(route, undefined, at);
  const handler = settings.handler;
  let own: readonly StepSource[] = [];
  if (action.kind === 'redirect') own = setRedirect(route, action.redirect, view, scene);
  else if (handler?.value === 'foreign' && action.kind !== 'proxy') setStatus(route, 501, handler.at, scene);
  else if (handler?.value === 'status') route.counters = 'stub';
  else if (action.kind === 'proxy') {
    setUpstream(route, action.pass, action.target, settings, making);
    own = setPath(route, action.pass, action.target, view, isNested, scene);
  } else if (action.kind === 'folder') own = setFolder(route, action.alias, view, isNested, scene);
  else setStatus(route, 404, server.at, scene);
  const guarding = setShared(route, view, site, making);
  const root = inherited(server, 'root')?.value;
  const ruled =
    rules === undefined
      ? []
      : stepsOfRules(rules.settings.rewrites, {
          scene,
          root,
          directory: { front: rules.front, base: rules.settings.rewriteBase?.value ?? rules.front },
          ways: [],
          isElsewhere: () => false,
        });
  const steps = [...waySteps(view, making), ...guarding, ...ruled, ...own];
  if (steps.length > 0) route.steps = steps;
  return route;
}

/** Where rewrite rules lead past the routes. Each keeps who may come in of the route it is taken in. */
function waySteps(view: View, making: Making): readonly StepSource[] {
  return making.ways.map((way): StepSource => {
    const test = { value: '$apache_way', equals: way.name };
    const to: StepSource = { rewrite: '^', to: '$apache_to', flag: 'break' };
    const route: RouteSource = {};
    if (way.kind === 'proxy') {
      const pass: Pass = { match: { kind: 'path', path: '' }, target: way.target, at: way.rule.at, targetAt: way.rule.at };
      setUpstream(route, pass, way.target, view.settings, making);
      return { if: test, steps: [to], route };
    }
    fileWay(route, way, view, making);
    return { if: test, steps: way.whole || route.status !== undefined ? [] : [to], route };
  });
}

/** Fills the route of a file that a rule leads to: what holds for the file, and for the path that was asked for. */
function fileWay(route: RouteSource, way: Extract<Way, { kind: 'files' }>, view: View, making: Making): void {
  const { map, scene, server } = making;
  const root = inherited(server, 'root')?.value;
  if (root === undefined) {
    setStatus(route, 404, way.rule.at, scene);
    return;
  }
  const path = way.whole ? way.path.slice(root.replace(/\/+$/, '').length) : way.path;
  const isFixed = !/[$%]/.test(way.rule.to.replaceAll('${document_root}', ''));
  const fitting = map.expressions.filter((one) => fitsPath(one, path));
  const file = map.view(pointFor(path, map), isFixed ? fitting : [], true);
  const [mine, theirs] = [view, file].map(({ settings }) => guardsOf(settings, scene).guards);
  const differ = JSON.stringify(mine) !== '{}' && JSON.stringify(theirs) !== '{}' && JSON.stringify(mine) !== JSON.stringify(theirs);
  if (differ || (!isFixed && mayBeClosed(path, file, making))) {
    const hint = 'Add [PT] to the rule, and ProxyPass /PATH ! for where it leads.';
    const message = 'what is closed below the target of this RewriteRule is not taken over: it would be open to everybody';
    scene.error('config/apache-not-taken-over', message, way.rule.at, hint);
  }
  if (file.settings.handler?.value === 'foreign') setStatus(route, 501, way.rule.at, scene);
  else if (way.whole) route.file = '$apache_to';
  else {
    route.root = root;
    if (file.settings.index !== undefined) route.index = file.settings.index.value;
  }
  Object.assign(route, JSON.stringify(mine) === '{}' ? theirs : mine);
}

/** Whether some files below `path` have other rules than those of `file`. Names with a dot in front are never served. */
function mayBeClosed(path: string, file: View, { map, scene }: Making): boolean {
  const rulesOf = (view: View): string => JSON.stringify([guardsOf(view.settings, scene).guards, view.settings.handler?.value]);
  const here = map.points.filter((point) => point.path.startsWith(path)).map((point) => map.view(point, [], true));
  const named = map.expressions.filter(({ pattern }) => !pattern.includes('\\.ht')).map((one) => map.view(file.point, [one], true));
  return [...here, ...named].some((view) => rulesOf(view) !== rulesOf(file));
}

/** The point that a path lies in. */
function pointFor(path: string, map: PathMap): Point {
  const exact = map.points.find((point) => point.isExact && point.path === path);
  const below = map.points
    .filter((point) => !point.isExact && path.startsWith(point.path))
    .toSorted((a, b) => b.path.length - a.path.length);
  return exact ?? below[0] ?? { path: '/', isExact: false };
}

const sameRoute = (one: RouteSource, other: RouteSource): boolean =>
  JSON.stringify({ ...one, path: '' }) === JSON.stringify({ ...other, path: '' });

function subsets<T>(all: readonly T[]): T[][] {
  const found: T[][] = [[]];
  for (const one of all) found.push(...found.map((set) => [...set, one]));
  return found.filter((set) => set.length > 0).toSorted((a, b) => b.length - a.length || all.indexOf(a[0] as T) - all.indexOf(b[0] as T));
}

/** Where a pass or redirect has the groups of an expression, that one stands first. */
function leading(view: View): readonly RegexMatcher[] {
  const { action, fitting } = view;
  const match =
    action.kind === 'proxy'
      ? action.pass.match
      : action.kind === 'redirect'
        ? action.redirect.match
        : action.kind === 'folder'
          ? action.alias.match
          : undefined;
  const first = fitting.find((one) => match?.kind === 'regex' && one.pattern === match.pattern);
  return first === undefined ? fitting : [first, ...fitting.filter((one) => one !== first)];
}

function regexPath(view: View): string {
  const all = leading(view);
  const [only] = all;
  return all.length === 1 && only?.anyCase === true ? `~* ${only.pattern}` : `~ ${bothRegex(all)}`;
}

/** Expressions that may fit one path: the larger sets first. Too many to combine all of them: two at most. */
function setsOf(touching: readonly RegexMatcher[]): readonly (readonly RegexMatcher[])[] {
  if (touching.length <= mostTogether) return subsets(touching);
  const some = touching.slice(0, mostPaired);
  const pairs = some.flatMap((one, index) => some.slice(index + 1).map((other) => [one, other]));
  return [...pairs, ...touching.map((one) => [one])];
}

/** A route within another takes over what it does not say itself: what does not hold there is said. */
function withoutAround(nested: RouteSource, around: RouteSource, site: Partial<SiteSource>): RouteSource {
  if (around.addHeaders !== undefined) nested.addHeaders ??= [];
  if (around.access !== undefined) nested.access ??= [];
  if (around.basicAuth !== undefined) nested.basicAuth ??= false;
  if (around.satisfy !== undefined) nested.satisfy ??= 'all';
  if (around.errorPages !== undefined) nested.errorPages ??= site.errorPages ?? [];
  if (around.compress !== undefined) nested.compress ??= site.compress ?? false;
  if (around.maxBody !== undefined && site.maxBody !== undefined) nested.maxBody ??= site.maxBody;
  return nested;
}

/** Routes for what expressions change within a point. */
function nestedRoutes(point: Point, site: Partial<SiteSource>, making: Making): RouteSource[] {
  const { map, scene, server } = making;
  const make = (fitting: readonly RegexMatcher[]): RouteSource =>
    routeOf(regexPath(map.view(point, fitting)), map.view(point, fitting), true, site, making);
  const untouched = make([]);
  const touching = map.expressions.filter(
    (one) =>
      !sameRoute(make([one]), untouched) ||
      (map.expressions.length <= 2 * mostPaired &&
        map.expressions.some((other) => other !== one && !sameRoute(make(inOrder([one, other], map)), make([other])))),
  );
  const made = setsOf(touching).map((set) => ({ set, route: make(inOrder(set, map)) }));
  if (touching.length > mostTogether) {
    const message = `more than ${mostTogether} regular expressions hold below ${point.path}; where three of them fit one path, only two are counted`;
    scene.warning('config/apache-value', message, server.at, 'Write fewer of them, or in sections of their own paths.');
    // What one of them closes stays closed, whatever the others say.
    const closed = made.filter(
      ({ set, route }) => set.length === 1 && (route.access !== undefined || route.basicAuth !== undefined || route.status === 501),
    );
    return [...closed, ...made.filter((one) => !closed.includes(one))].map(({ route }) => route);
  }
  // From the last: a set is told by the first one kept behind it that fits whenever it does.
  const kept = made.reduceRight<typeof made>((behindIt, one) => {
    const next = behindIt.find(({ set }) => set.every((expression) => one.set.includes(expression)));
    if (!sameRoute(one.route, next?.route ?? untouched)) behindIt.unshift(one);
    return behindIt;
  }, []);
  return kept.map(({ route }) => route);
}

const inOrder = (set: readonly RegexMatcher[], map: PathMap): readonly RegexMatcher[] => map.expressions.filter((one) => set.includes(one));

/** Tells lines that an earlier one hides. */
function tellHidden(server: Server, scene: Scene): void {
  const pathOf = ({ match }: Pass | Redirect): string => (match.kind === 'path' ? match.path : '');
  const nameOf = (line: Pass | Redirect): string => ('status' in line ? 'Redirect' : 'ProxyPass');
  for (const { line, by } of hiddenLines(server)) {
    const [one, other] = [`${nameOf(line)} ${pathOf(line)}`, `${nameOf(by)} ${pathOf(by)}`];
    const hint = nameOf(line) === nameOf(by) ? 'Write the longer path first.' : `Write ProxyPass ${pathOf(line)} ! above it.`;
    scene.warning('config/apache-never-used', `${one} is never used: ${other} on line ${by.at.line} takes its requests`, line.at, hint);
  }
}

/** All routes of a server, and the steps before them. What the site says already (`site`) is not said again. */
export function routesOf(
  server: Server,
  site: Partial<SiteSource>,
  scene: Scene,
): { readonly routes: RouteSource[]; readonly steps: StepSource[] } {
  tellHidden(server, scene);
  const map = mapOf(server);
  const ways: Way[] = [];
  const making: Making = { server, scene, map, ways, named: new Map() };
  Object.assign(site, sharedOf(map.base, making), siteHeaders(map, scene));
  const isElsewhere = (path: string): boolean => {
    const views = [pointFor(path, map), ...map.points.filter((point) => path.endsWith('/') && covers(path, point) && path !== '/')].map(
      (point) => map.view(point, []),
    );
    return views.some(({ action }) => action.kind === 'proxy' || (action.kind === 'redirect' && action.isEarly));
  };
  const root = inherited(server, 'root')?.value;
  const isOn = server.settings.rewriteEngine?.value === true;
  const steps = isOn ? stepsOfRules(server.settings.rewrites, { scene, root, ways, isElsewhere }) : [];
  const first: StepSource = { set: { apache_seen: '1', ...(ways.length > 0 ? { apache_way: '', apache_to: '' } : {}) } };
  // Rules are asked once: not again for the index file of a folder or an error page.
  const once: StepSource[] = steps.length === 0 ? [] : [{ if: { value: '$apache_seen', notEquals: '1' }, steps: [first, ...steps] }];
  const routes = map.points.flatMap((point): RouteSource[] => {
    if (point.isExact) {
      const fitting = map.expressions.filter((one) => fitsPath(one, point.path));
      return [routeOf(`= ${point.path}`, map.view(point, fitting), false, site, making)];
    }
    const route = routeOf(point.path, map.view(point, []), false, site, making);
    const routes = nestedRoutes(point, site, making).map((nested) => withoutAround(nested, route, site));
    if (routes.length > 0) route.routes = routes;
    return [route];
  });
  return { routes: [...routes, ...making.named.values()], steps: once };
}

/** Headers of answers that no route gives: redirects and refusals of rewrite rules outside of sections. */
const siteHeaders = (map: PathMap, scene: Scene): Pick<SiteSource, 'addHeaders'> =>
  answerHeaders(map.view({ path: '/', isExact: false }, []).settings.answerHeaders, 'own', scene);

/** What the site says for all its routes. */
function sharedOf(base: Settings, making: Making): Partial<SiteSource> {
  const site: Partial<SiteSource> = {};
  const { maxBody } = base;
  if (maxBody === undefined) site.maxBody = formatSize(apacheMaxBody);
  else making.scene.draft.set(site as { maxBody: string }, 'maxBody', given(formatSize(maxBody.value), maxBody));
  const pages = errorPages(base, making);
  if (pages !== undefined && pages.length > 0) site.errorPages = pages;
  const compress = compression(base);
  if (compress !== undefined) site.compress = compress;
  return site;
}
