/** The locations of a server as routes. A location that Steward cannot answer keeps its place and answers 501, so that none of its requests falls to another. */
import { STATUS_CODES } from 'node:http';
import type { Given } from '../draft.ts';
import type { Position } from '../problem.ts';
import type { RouteSource } from '../sections/site.ts';
import { formatSize } from '../units.ts';
import { noFolder, setFiles } from './files-route.ts';
import { inherited, inheritedLines } from './inherit.ts';
import { setProxy } from './proxy-route.ts';
import { type Answer, given, type Level, type LocationLevel, type Scene, type ServerLevel } from './scene.ts';
import { hasVariable, redirectVariables, resolveVariables } from './variables.ts';

/** What a site says that its routes need. */
export interface SiteFacts {
  readonly tls: boolean;
  readonly serverName: string;
}

const bodyless = (status: number): boolean => status < 200 || status === 204 || status === 304;

function setResponse(route: RouteSource, status: number, at: Position, scene: Scene, text?: string): void {
  const page = status >= 300 ? `${status} ${STATUS_CODES[status] ?? ''}`.trim() : '';
  scene.draft.set(route, 'respond', given(text ?? (bodyless(status) ? '' : page), { at }));
  scene.draft.set(route, 'status', given(status, { at }));
}

/** These requests get 501 until somebody decides. */
function setUnanswerable(route: RouteSource, at: Position, scene: Scene): void {
  setResponse(route, 501, at, scene);
}

function setRedirect(route: RouteSource, answer: Given<Answer>, facts: SiteFacts, scene: Scene): void {
  const wanted = (answer.value.redirect ?? '').replaceAll(/\$(?:uri|document_uri)\$is_args\$(?:args|query_string)/g, '$request_uri');
  const fixed = {
    scheme: facts.tls ? 'https' : 'http',
    server_name: facts.serverName,
    http_host: '$host',
    hostname: scene.around.hostname,
  };
  const { text, unknown } = resolveVariables(wanted, redirectVariables, fixed);
  if (unknown.length > 0 || text === '') {
    const what = unknown.length > 0 ? `${unknown.join(', ')} is not known to Steward in a redirect` : 'the address of a redirect is empty';
    scene.warning(
      'config/nginx-variable',
      `${what}; these requests get 501`,
      answer.at,
      'Known are $host $request_uri $uri $args $scheme $server_name.',
    );
    setUnanswerable(route, answer.at, scene);
    return;
  }
  scene.draft.set(route, 'redirect', given(text, answer));
  scene.draft.set(route, 'status', given(answer.value.status, answer));
}

function setAnswer(route: RouteSource, answer: Given<Answer>, facts: SiteFacts, scene: Scene): void {
  const { status, redirect, text } = answer.value;
  if (redirect !== undefined) setRedirect(route, answer, facts, scene);
  else if (text !== undefined && hasVariable(text)) {
    scene.warning(
      'config/nginx-variable',
      `return: "${text}" has a variable, which is not taken over; these requests get 501`,
      answer.at,
      'Write the text out.',
    );
    setUnanswerable(route, answer.at, scene);
  } else if (status === 444 || status < 100 || status > 599) {
    const what = status === 444 ? 'return 444 closes the connection without an answer' : `return ${status} is no status of HTTP`;
    scene.warning(
      'config/nginx-not-taken-over',
      `${what}; Steward answers 404 instead`,
      answer.at,
      'Write the status that clients shall get.',
    );
    setResponse(route, 404, answer.at, scene);
  } else setResponse(route, status, answer.at, scene, text);
}

/** Where nobody is allowed, or undefined where everybody is. Rules that tell people apart stop the import. */
function closedAt(level: Level, scene: Scene): Position | undefined {
  const rules = inheritedLines(level, 'access');
  const [first] = rules;
  if (first?.who === 'all') return first.verb === 'deny' ? first.at : undefined;
  const denied = rules.find((rule) => rule.verb === 'deny');
  if (first === undefined || denied === undefined) return undefined;
  const message = `${first.verb} "${first.who}" is not taken over: without it the site would be open to everybody`;
  scene.error(
    'config/nginx-not-taken-over',
    message,
    first.at,
    'Close the port to others in the firewall, or keep nginx in front of this part.',
  );
  return undefined;
}

/** Fills `route` with the program or the folder that answers. Gives back what cannot be taken over, in words. */
function setHandler(route: RouteSource, level: Level, location: LocationLevel | undefined, scene: Scene): string | undefined {
  const { proxyPass, tryFiles } = level.settings;
  if (proxyPass === undefined || location === undefined) return setFiles(route, level, location, scene);
  if (tryFiles !== undefined) return 'try_files beside proxy_pass';
  setProxy(route, location, proxyPass, scene);
  return undefined;
}

function setContent(route: RouteSource, level: Level, location: LocationLevel | undefined, scene: Scene): void {
  const { foreign, tryFiles } = level.settings;
  if (foreign !== undefined) {
    setUnanswerable(route, foreign.at, scene);
    return;
  }
  const wrong = setHandler(route, level, location, scene);
  if (wrong === undefined) return;
  const at = tryFiles?.at ?? level.settings.files?.at ?? location?.path.at ?? level.at;
  if (wrong === noFolder && ['proxy_pass', 'return', 'root'].some((name) => level.seen.has(name))) {
    // Its mistake has been told already.
  } else if (wrong === noFolder) {
    const hint = 'Write root and a folder, or proxy_pass.';
    scene.warning('config/nginx-value', 'this location names neither a folder nor a program; its requests get 501', at, hint);
  } else {
    const hint = 'Write the folder out; give files and programs locations of their own.';
    scene.warning('config/nginx-not-taken-over', `${wrong} is not taken over; these requests get 501`, at, hint);
  }
  for (const key of ['root', 'files', 'index', 'fallback'] as const) delete route[key];
  setUnanswerable(route, at, scene);
}

function setAddedHeaders(route: RouteSource, level: Level, scene: Scene): void {
  const headers: Record<string, string> = {};
  for (const { name, value, at } of inheritedLines(level, 'answerHeaders')) {
    if (value === '') continue;
    if (hasVariable(value)) {
      scene.warning(
        'config/nginx-variable',
        `add_header ${name}: "${value}" has a variable, which is not taken over; the header is left out`,
        at,
        'Write the value out.',
      );
      continue;
    }
    const twice = Object.keys(headers).find((other) => other.toLowerCase() === name.toLowerCase());
    if (twice !== undefined && /^set-cookie$/i.test(name)) {
      scene.warning(
        'config/nginx-duplicate',
        'add_header Set-Cookie stands twice; the first one is sent',
        at,
        'Let the program set its cookies.',
      );
      continue;
    }
    headers[twice ?? name] = twice === undefined ? value : `${headers[twice]}, ${value}`;
    scene.draft.place(headers, twice ?? name, at);
  }
  if (Object.keys(headers).length > 0) route.addHeaders = headers;
}

function routeOf(level: Level, location: LocationLevel | undefined, facts: SiteFacts, scene: Scene): RouteSource {
  const route: RouteSource = {};
  scene.draft.place(route, undefined, location?.path.at ?? level.at);
  scene.draft.set(route, 'path', location?.path ?? given('/', { at: level.at }));
  const { answer, internal, maxBody } = level.settings;
  const closed = closedAt(level, scene);
  if (answer !== undefined) setAnswer(route, answer, facts, scene);
  else if (internal !== undefined) setResponse(route, 404, internal, scene);
  else if (closed !== undefined) setResponse(route, 403, closed, scene);
  else setContent(route, level, location, scene);
  setAddedHeaders(route, level, scene);
  if (location !== undefined && maxBody !== undefined) scene.draft.set(route, 'maxBody', given(formatSize(maxBody.value), maxBody));
  return route;
}

/** nginx sends `/x` to `/x/` when only a proxied location `/x/` exists (https://nginx.org/en/docs/http/ngx_http_core_module.html#location). */
function slashRoute(location: LocationLevel, server: ServerLevel, scene: Scene): readonly RouteSource[] {
  const { proxyPass, foreign } = location.settings;
  const bare = location.text.slice(0, -1);
  if (location.kind !== 'prefix' || !location.text.endsWith('/') || bare === '' || (proxyPass ?? foreign) === undefined) return [];
  if (server.locations.some((other) => other.kind !== 'regex' && other.text === bare)) return [];
  const route: RouteSource = { path: `= ${bare}`, redirect: location.text, status: 301 };
  scene.draft.place(route, undefined, location.path.at);
  return [route];
}

/** A route for what no location answers; none when a location `/` does, or when the server has nothing for it. */
function restRoute(server: ServerLevel, facts: SiteFacts, scene: Scene): readonly RouteSource[] {
  if (server.locations.some((location) => location.kind === 'prefix' && location.text === '/')) return [];
  if (inherited(server, 'files') === undefined && closedAt(server, scene) === undefined) return [];
  return [routeOf(server, undefined, facts, scene)];
}

/** Routes of `server`: a route for everything when it returns at once, else one for each location and one for the rest. */
export function routesOf(server: ServerLevel, facts: SiteFacts, scene: Scene): RouteSource[] {
  if (server.settings.answer !== undefined) {
    for (const location of server.locations) {
      const hint = `The server answers everything itself on line ${server.settings.answer.at.line}.`;
      scene.warning('config/nginx-never-used', `location "${location.path.value}" is never used`, location.path.at, hint);
    }
    return [routeOf(server, undefined, facts, scene)];
  }
  const routes = server.locations.flatMap((location) => [
    routeOf(location, location, facts, scene),
    ...slashRoute(location, server, scene),
  ]);
  return [...routes, ...restRoute(server, facts, scene)];
}
