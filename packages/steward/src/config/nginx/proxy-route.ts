/** A location with proxy_pass as a route (https://nginx.org/en/docs/http/ngx_http_proxy_module.html). */

import type { Given } from '../draft.ts';
import type { RouteSource } from '../sections/site.ts';
import { formatDuration } from '../units.ts';
import { websocketHint } from './directives/rest.ts';
import { serverAddress } from './directives/upstream.ts';
import { inherited, inheritedLines } from './inherit.ts';
import { given, type HeaderLine, type LocationLevel, type LocationRewrite, type ProxyTarget, type Scene } from './scene.ts';
import { headerVariables, resolveVariables } from './variables.ts';

const nginxConnectMs = 60_000;
const readMs = 60_000;

/** nginx's $proxy_host: what it sends as Host unless the file sets one. */
function hostSent(target: ProxyTarget, isBlock: boolean): string {
  if (target.address.startsWith('unix:')) return 'localhost';
  return isBlock ? target.address : 'upstream';
}

function setUpstream(route: RouteSource, location: LocationLevel, target: Given<ProxyTarget>, scene: Scene): boolean {
  const { address, scheme, path } = target.value;
  const block = scene.upstreams.find(({ name }) => name.value.toLowerCase() === address.toLowerCase());
  const port = scheme === 'https' ? 443 : 80;
  scene.draft.set(route, 'upstream', given(block?.name.value ?? serverAddress(address, port) ?? address, target));
  if (block === undefined && /^[\w-]+$/.test(address) && address !== 'localhost') {
    const hint = 'If an upstream of another file is meant, read both files together.';
    scene.warning('config/nginx-value', `proxy_pass: no upstream "${address}" here; it is taken for the name of a host`, target.at, hint);
  }
  if (scheme === 'https') scene.draft.set(route, 'upstreamScheme', given('https', target));
  if (path !== undefined && path !== location.text) scene.draft.set(route, 'upstreamPath', given(path, target));
  return block !== undefined;
}

/** The value of a request header in the gateway's variables, or undefined when it holds one the gateway does not know. */
function headerValue(line: HeaderLine, scene: Scene): string | undefined {
  const { text, unknown } = resolveVariables(line.value, headerVariables, { hostname: scene.around.hostname });
  if (unknown.length === 0) return text;
  const message = `proxy_set_header ${line.name}: ${unknown.join(', ')} is not known to Steward; the header is left out`;
  scene.warning(
    'config/nginx-variable',
    message,
    line.at,
    `Known are ${[...headerVariables].map((name) => `$${name}`).join(' ')} and $http_NAME.`,
  );
  return undefined;
}

/** Connection and Upgrade belong to one connection: Steward sets them itself, for websockets too. */
function isHopByHop(line: HeaderLine, scene: Scene): boolean {
  if (!/^(connection|upgrade)$/i.test(line.name)) return false;
  if (line.value !== '') scene.instead('websocket', line.at, websocketHint, `proxy_set_header ${line.name}`);
  return true;
}

function setHost(route: RouteSource, line: HeaderLine, byDefault: string, scene: Scene): boolean {
  const fixed: Readonly<Record<string, string>> = { $http_host: 'keep', $proxy_host: byDefault };
  const host = fixed[line.value] ?? (/[$]|^$|^(keep|upstream)$/.test(line.value) ? undefined : line.value);
  if (host !== undefined) scene.draft.set(route, 'upstreamHost', given(host, line));
  return host !== undefined;
}

function setRequestHeaders(route: RouteSource, location: LocationLevel, byDefault: string, scene: Scene): void {
  const headers: Record<string, string> = {};
  let hasHost = false;
  for (const line of inheritedLines(location, 'requestHeaders')) {
    if (isHopByHop(line, scene)) continue;
    if (/^host$/i.test(line.name)) {
      hasHost = true;
      if (setHost(route, line, byDefault, scene)) continue;
    }
    const value = headerValue(line, scene);
    if (value === undefined) continue;
    const twice = Object.keys(headers).find((name) => name.toLowerCase() === line.name.toLowerCase());
    if (twice !== undefined) {
      scene.warning(
        'config/nginx-duplicate',
        `proxy_set_header ${line.name} stands twice; the last one is sent`,
        line.at,
        'Keep one of them.',
      );
      delete headers[twice];
    }
    headers[line.name] = value;
    scene.draft.place(headers, line.name, line.at);
  }
  if (!hasHost) route.upstreamHost = byDefault;
  if (Object.keys(headers).length > 0) route.setHeaders = headers;
  route.forwardedHeaders = 'off';
}

/** nginx's default turns the address of proxy_pass back into the path of the location. */
function defaultRewrite(location: LocationLevel, target: ProxyTarget): { from: string; to: string } {
  if (target.path === undefined) return { from: `${target.url}/`, to: '/' };
  return { from: target.url, to: location.text };
}

function setLocationRewrites(route: RouteSource, location: LocationLevel, target: Given<ProxyTarget>, scene: Scene): void {
  const said = inheritedLines(location, 'rewrites');
  const lines: readonly Given<LocationRewrite>[] = said.length === 0 ? [given<LocationRewrite>('default', target)] : said;
  if (lines.some(({ value }) => value === 'off')) return;
  const rewrites = lines.map(({ value, at }) => {
    const rewrite = value === 'default' || value === 'off' ? defaultRewrite(location, target.value) : { ...value };
    scene.draft.place(rewrite, undefined, at);
    return rewrite;
  });
  route.rewriteLocation = rewrites;
}

function setTransfer(route: RouteSource, location: LocationLevel, scene: Scene): void {
  const buffering = inherited(location, 'buffering');
  if (buffering === undefined) route.buffering = true;
  else scene.draft.set(route, 'buffering', buffering);
  const connect = inherited(location, 'connectTimeout');
  if (connect === undefined) route.connectTimeout = formatDuration(nginxConnectMs);
  else scene.draft.set(route, 'connectTimeout', given(formatDuration(connect.value), connect));
  const read = inherited(location, 'readTimeout');
  if (read !== undefined && read.value !== readMs) scene.draft.set(route, 'readTimeout', given(formatDuration(read.value), read));
}

/** Fills `route` with everything that proxy_pass and its companions say for `location`. */
export function setProxy(route: RouteSource, location: LocationLevel, target: Given<ProxyTarget>, scene: Scene): void {
  const isBlock = setUpstream(route, location, target, scene);
  setRequestHeaders(route, location, hostSent(target.value, isBlock), scene);
  setLocationRewrites(route, location, target, scene);
  setTransfer(route, location, scene);
}
