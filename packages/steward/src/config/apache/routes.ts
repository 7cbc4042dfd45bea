/**
 * ProxyPass, Redirect and DocumentRoot of a server as routes. Apache takes the first line that fits, Steward the longest path: what an
 * earlier shorter line hides is told and left out, and for the rest both rules choose the same. Apache's paths end at a
 * slash (`/api` is not `/apidocs`), so a path without one at its end becomes two routes: itself, and what is below it.
 */
import { STATUS_CODES } from 'node:http';
import type { RouteSource } from '../sections/site.ts';
import { formatDuration } from '../units.ts';
import { given, type HeaderLine, inherited, type Pass, type ProxyTarget, type Redirect, type Scene, type Server } from './scene.ts';

const apacheTimeoutMs = 60_000;
const stewardReadMs = 60_000;

/** Whether Apache hands requests for `inner` to the line for `outer`. */
const covers = (outer: string, inner: string): boolean => outer === inner || inner.startsWith(outer.endsWith('/') ? outer : `${outer}/`);

/** The main server's lines come after the virtual host's own. */
function all<K extends 'passes' | 'located' | 'redirects' | 'reverses'>(server: Server, key: K): Server['settings'][K][number][] {
  return [...server.settings[key], ...(server.main?.settings[key] ?? [])];
}

/** ProxyPass lines in the order in which Apache asks them, without those that an earlier one hides. */
function visiblePasses(server: Server, scene: Scene): readonly Pass[] {
  const ordered = [...all(server, 'located').toReversed(), ...all(server, 'passes')];
  return ordered.filter((pass, index) => {
    const hiding = ordered.slice(0, index).find((earlier) => covers(earlier.path, pass.path));
    if (hiding !== undefined) {
      const message = `ProxyPass ${pass.path} is never used: ProxyPass ${hiding.path} on line ${hiding.at.line} takes its requests`;
      scene.warning('config/apache-never-used', message, pass.at, 'Write the longer path first.');
    }
    return hiding === undefined;
  });
}

function visibleRedirects(server: Server, passes: readonly Pass[], scene: Scene): readonly Redirect[] {
  const ordered = all(server, 'redirects');
  return ordered.filter((redirect, index) => {
    const pass = passes.find((earlier) => covers(earlier.path, redirect.path));
    const hiding = pass?.target === undefined ? ordered.slice(0, index).find((earlier) => covers(earlier.path, redirect.path)) : pass;
    if (hiding === undefined) return true;
    const message = `Redirect ${redirect.path} is never used: ${hiding === pass ? 'ProxyPass' : 'Redirect'} ${hiding.path} on line ${hiding.at.line} takes its requests`;
    const hint = hiding === pass ? `Write ProxyPass ${redirect.path} ! above it.` : 'Write the longer path first.';
    scene.warning('config/apache-never-used', message, redirect.at, hint);
    return false;
  });
}

/** The paths of Steward that answer what Apache's `path` does. */
function pathsOf(path: string): readonly { readonly path: string; readonly isExact: boolean }[] {
  if (path.endsWith('/')) return [{ path, isExact: false }];
  return [
    { path: `= ${path}`, isExact: true },
    { path: `${path}/`, isExact: false },
  ];
}

function startRoute(path: string, pass: { readonly at: Pass['at'] }, scene: Scene): RouteSource {
  const route: RouteSource = {};
  scene.draft.place(route, undefined, pass.at);
  scene.draft.set(route, 'path', given(path, pass));
  return route;
}

function headersOf(server: Server, key: 'requestHeaders' | 'answerHeaders', scene: Scene): Record<string, string> | undefined {
  const lines: readonly HeaderLine[] = [...(server.main?.settings[key] ?? []), ...server.settings[key]];
  const headers: Record<string, string> = {};
  for (const { name, value, at } of lines) {
    const earlier = Object.keys(headers).find((other) => other.toLowerCase() === name.toLowerCase());
    if (earlier !== undefined) delete headers[earlier];
    headers[name] = value;
    scene.draft.place(headers, name, at);
  }
  return lines.length === 0 ? undefined : headers;
}

function setUpstreamPath(route: RouteSource, pass: Pass, target: ProxyTarget, isExact: boolean, scene: Scene): void {
  const mine = pass.path.replace(/\/$/, '');
  const theirs = target.path.replace(/\/$/, '');
  if (mine === theirs) return;
  const path = isExact ? target.path || '/' : `${theirs}/`;
  scene.draft.set(route, 'upstreamPath', given(path, { at: pass.targetAt }));
}

function setHost(route: RouteSource, target: ProxyTarget, server: Server, scene: Scene): void {
  const preserve = inherited(server, 'preserveHost');
  const host = preserve?.value === true ? 'keep' : target.address.startsWith('unix:') ? target.host : 'upstream';
  if (preserve === undefined) route.upstreamHost = host;
  else scene.draft.set(route, 'upstreamHost', given(host, preserve));
}

function setTimes(route: RouteSource, pass: Pass, server: Server, scene: Scene): void {
  const said = inherited(server, 'proxyTimeout') ?? inherited(server, 'timeout');
  const read = pass.timeoutMs === undefined ? said : { value: pass.timeoutMs, at: pass.targetAt };
  const connect = pass.connectTimeoutMs ?? read?.value ?? apacheTimeoutMs;
  scene.draft.set(
    route,
    'connectTimeout',
    given(formatDuration(connect), { at: pass.connectTimeoutMs === undefined ? (read?.at ?? pass.targetAt) : pass.targetAt }),
  );
  if (read !== undefined && read.value !== stewardReadMs) scene.draft.set(route, 'readTimeout', given(formatDuration(read.value), read));
}

function proxyRoute(path: string, isExact: boolean, pass: Pass, target: ProxyTarget, server: Server, scene: Scene): RouteSource {
  const route = startRoute(path, pass, scene);
  const at = { at: pass.targetAt };
  scene.draft.set(route, 'upstream', given(target.address, at));
  if (target.scheme === 'https') scene.draft.set(route, 'upstreamScheme', given('https', at));
  setUpstreamPath(route, pass, target, isExact, scene);
  setHost(route, target, server, scene);
  const headers = headersOf(server, 'requestHeaders', scene);
  if (headers !== undefined) route.setHeaders = headers;
  const forwarded = inherited(server, 'addForwarded');
  if (forwarded === undefined) route.forwardedHeaders = 'append';
  else scene.draft.set(route, 'forwardedHeaders', given(forwarded.value ? 'append' : 'off', forwarded));
  const reverses = all(server, 'reverses').filter(({ location }) => location === undefined || location === pass.path);
  if (reverses.length > 0) {
    route.rewriteLocation = reverses.map(({ from, to, at: stands }) => {
      const rewrite = { from, to };
      scene.draft.place(rewrite, undefined, stands);
      return rewrite;
    });
  }
  setTimes(route, pass, server, scene);
  return route;
}

function setFolder(route: RouteSource, server: Server, scene: Scene): boolean {
  const root = inherited(server, 'root');
  scene.draft.set(route, 'root', root);
  if (root === undefined) return false;
  scene.draft.set(route, 'index', inherited(server, 'index'));
  scene.draft.set(route, 'fallback', inherited(server, 'fallback'));
  return true;
}

function setStatus(route: RouteSource, status: number, at: Pass['at'], scene: Scene): RouteSource {
  scene.draft.set(route, 'respond', given(`${status} ${STATUS_CODES[status] ?? ''}`.trim(), { at }));
  scene.draft.set(route, 'status', given(status, { at }));
  return route;
}

/** `ProxyPass /x !`: these requests are served from DocumentRoot, or not found. */
function excludedRoute(path: string, pass: Pass, server: Server, scene: Scene): RouteSource {
  const route = startRoute(path, pass, scene);
  return setFolder(route, server, scene) ? route : setStatus(route, 404, pass.at, scene);
}

function redirectTo(path: string, to: string, redirect: Redirect, scene: Scene): RouteSource {
  const route = startRoute(path, redirect, scene);
  scene.draft.set(route, 'redirect', given(to, redirect));
  scene.draft.set(route, 'status', given(redirect.status, redirect));
  return route;
}

/** Apache puts what follows the path behind the address. Steward can where path and address end alike. */
function redirectRoutes(redirect: Redirect, scene: Scene): readonly RouteSource[] {
  const { path, to, status, at } = redirect;
  if (to === undefined) return pathsOf(path).map((each) => setStatus(startRoute(each.path, redirect, scene), status, at, scene));
  const isHost = path === '/' && /^https?:\/\/[^/]+$/i.test(to);
  if (isHost) {
    const hint = 'Steward puts the / between them. Write it at the end of the address.';
    scene.warning('config/apache-value', `Redirect / "${to}": Apache would glue the path to it without a /`, at, hint);
  }
  const whole = isHost ? `${to}/` : to;
  if (/\$[\w{]/.test(whole)) {
    scene.warning(
      'config/apache-not-taken-over',
      `Redirect ${path}: the $ in "${to}" would be read as a variable; this redirect is left out`,
      at,
      'Write %24 instead of $.',
    );
    return [];
  }
  if (whole.endsWith(path)) {
    const base = `${whole.slice(0, -path.length)}$request_uri`;
    return pathsOf(path).map((each) => redirectTo(each.path, base, redirect, scene));
  }
  const hint = `Add routes for the paths below ${path} that are in use.`;
  scene.warning('config/apache-not-taken-over', `Redirect ${path}: Steward redirects this path alone, not the paths below it`, at, hint);
  return [redirectTo(`= ${path}`, whole, redirect, scene)];
}

/** What DocumentRoot serves: all that nothing else answers. */
function folderRoutes(server: Server, routes: readonly RouteSource[], scene: Scene): readonly RouteSource[] {
  const root = inherited(server, 'root');
  if (root === undefined || routes.some(({ path }) => path === '/')) return [];
  const route = startRoute('/', root, scene);
  setFolder(route, server, scene);
  return [route];
}

/** `.ht*` files below a served folder stay closed. */
function hiddenRoutes(server: Server, routes: readonly RouteSource[], scene: Scene): readonly RouteSource[] {
  const hidden = inherited(server, 'hidden');
  if (hidden === undefined || !routes.some(({ root }) => root !== undefined)) return [];
  return [setStatus(startRoute('~ /\\.ht', { at: hidden }, scene), 403, hidden, scene)];
}

function setAddedHeaders(routes: readonly RouteSource[], server: Server, scene: Scene): void {
  for (const route of routes) {
    const headers = headersOf(server, 'answerHeaders', scene);
    if (headers !== undefined) route.addHeaders = headers;
  }
}

/** The routes of a server, in the order of the file. */
export function routesOf(server: Server, scene: Scene): RouteSource[] {
  const passes = visiblePasses(server, scene);
  const redirects = visibleRedirects(server, passes, scene).flatMap((redirect) => redirectRoutes(redirect, scene));
  const routes = passes.flatMap((pass) =>
    pathsOf(pass.path).map(({ path, isExact }) => {
      return pass.target === undefined
        ? excludedRoute(path, pass, server, scene)
        : proxyRoute(path, isExact, pass, pass.target, server, scene);
    }),
  );
  const own = [...redirects, ...routes.filter(({ path }) => !redirects.some((redirect) => redirect.path === path))];
  const served = [...own, ...folderRoutes(server, own, scene)];
  const found = [...served, ...hiddenRoutes(server, served, scene)];
  setAddedHeaders(found, server, scene);
  return found;
}
