/** A location with proxy_pass as a route (https://nginx.org/en/docs/http/ngx_http_proxy_module.html). */

import type { Given } from '../draft.ts';
import type { RouteSource } from '../sections/site.ts';
import { formatDuration } from '../units.ts';
import { isHopByHop } from './directives/proxy.ts';
import { serverAddress } from './directives/upstream.ts';
import { inherited, inheritedLines } from './inherit.ts';
import { given, type Level, type LocationLevel, type Scene } from './scene.ts';
import type { ProxyTarget, TextRewrite } from './settings.ts';
import { resolveText } from './variables.ts';

const nginxConnectMs = 60_000;
const usualMs = 60_000;
/** Headers of upstreams that nginx keeps to itself unless proxy_pass_header names them. */
const hiddenByDefault = [
  'date',
  'server',
  'x-accel-expires',
  'x-accel-redirect',
  'x-accel-limit-rate',
  'x-accel-buffering',
  'x-accel-charset',
];
/** What Steward never passes on. */
const hiddenAlways = new Set(hiddenByDefault.filter((name) => name.startsWith('x-accel-')));

/** nginx's $proxy_host: what it sends as Host unless the file sets one; undefined when each request has its own. */
function proxyHost({ address, scheme, isText }: ProxyTarget): string | undefined {
  if (isText) return undefined;
  if (address.startsWith('unix:')) return 'localhost';
  return address.replace(scheme === 'https' ? /:443$/ : /:80$/, '');
}

function fixedNames(target: ProxyTarget): Readonly<Record<string, string>> {
  const host = proxyHost(target);
  if (host === undefined) return {};
  const byDefault = target.scheme === 'https' ? '443' : '80';
  const port = target.address.startsWith('unix:') ? '' : (/:(\d+)$/.exec(target.address)?.[1] ?? byDefault);
  return { proxy_host: host, proxy_port: port };
}

/** Variables whose value begins with a /, so that the address ends where they stand. */
const startsPath =
  /[/?]|\$(?:request_uri|uri|document_uri|is_args|args|query_string)\b|\$\{(?:request_uri|uri|document_uri|is_args|args|query_string)\}/;

/** A proxy_pass with variables: address and path apart when the text tells where one ends, else whole. */
function setTextTarget(route: RouteSource, target: Given<ProxyTarget>, scene: Scene): void {
  const text = resolveText(scene, target.value.url, { at: target.at, where: 'proxy_pass', decides: true });
  const [, scheme, rest] = /^(https?):\/\/([\s\S]+)$/i.exec(text) ?? [];
  if (scheme === undefined || rest === undefined || rest.startsWith('unix:')) {
    scene.draft.set(route, 'upstream', given(text, target));
    return;
  }
  const end = rest.search(startsPath);
  const [address, path] = end < 0 ? [rest, ''] : [rest.slice(0, end), rest.slice(end)];
  if (/^[^$]+\$/.test(address) && !path.startsWith('/')) {
    // The variable may hold the end of the address or the beginning of the path.
    scene.draft.set(route, 'upstream', given(text, target));
    return;
  }
  const plain = /\$/.test(address) ? undefined : (blockName(scene, address) ?? serverAddress(address, scheme === 'https' ? 443 : 80));
  scene.draft.set(route, 'upstream', given(plain ?? address, target));
  if (/^https$/i.test(scheme)) scene.draft.set(route, 'upstreamScheme', given('https', target));
  if (path !== '') scene.draft.set(route, 'upstreamUri', given(path.startsWith('?') ? `/${path}` : path, target));
}

const blockName = (scene: Scene, address: string): string | undefined =>
  scene.upstreams.find(({ name }) => name.value.toLowerCase() === address.toLowerCase())?.name.value;

function setUpstream(route: RouteSource, target: Given<ProxyTarget>, scene: Scene): void {
  const { address, scheme, path, isText } = target.value;
  if (isText) {
    setTextTarget(route, target, scene);
    return;
  }
  const block = blockName(scene, address);
  const port = scheme === 'https' ? 443 : 80;
  scene.draft.set(route, 'upstream', given(block ?? serverAddress(address, port) ?? address, target));
  if (block === undefined && /^[\w-]+$/.test(address) && address !== 'localhost') {
    const hint = 'If an upstream of another file is meant, read both files together.';
    scene.warning('config/nginx-value', `proxy_pass: no upstream "${address}" here; it is taken for the name of a host`, target.at, hint);
  }
  if (scheme === 'https') scene.draft.set(route, 'upstreamScheme', given('https', target));
  if (path !== undefined) scene.draft.set(route, 'upstreamPath', given(path, target));
}

/** `keep` and `upstream` are words of their own in steward.yaml. */
const hostText = (text: string): string => (text === '$http_host' ? 'keep' : text === 'keep' || text === 'upstream' ? '$proxy_host' : text);

function setRequestHeaders(route: RouteSource, level: Level, target: ProxyTarget, scene: Scene): void {
  const headers: { name: string; value: string }[] = [];
  const fixed = fixedNames(target);
  route.upstreamHost = hostText(proxyHost(target) ?? '$proxy_host');
  for (const line of inheritedLines(level, 'requestHeaders')) {
    if (isHopByHop(line, scene)) continue;
    const value = resolveText(scene, line.value, { at: line.at, where: `proxy_set_header ${line.name}`, fixed });
    if (/^host$/i.test(line.name) && value !== '') {
      scene.draft.set(route, 'upstreamHost', given(hostText(value), line));
      continue;
    }
    const header = { name: line.name, value };
    scene.draft.place(header, undefined, line.at);
    headers.push(header);
  }
  if (headers.length > 0) route.setHeaders = headers;
  route.forwardedHeaders = 'off';
  route.requestId = false;
}

/** nginx's default turns the address of proxy_pass back into the path of the location. */
function defaultRewrite(location: LocationLevel, target: ProxyTarget): TextRewrite {
  if (target.path === undefined) return { from: `${target.url}/`, to: '/' };
  return { from: target.url, to: location.text };
}

function setLocationRewrites(route: RouteSource, level: Level, location: LocationLevel, target: Given<ProxyTarget>, scene: Scene): void {
  const said = inheritedLines(level, 'redirects');
  const lines = said.length === 0 ? [given('default' as const, target)] : said;
  if (lines.some(({ value }) => value === 'off')) return;
  const rewrites = lines.flatMap(({ value, at }) => {
    if (value === 'default' && target.value.isText) return [];
    const { from, to } = value === 'default' || value === 'off' ? defaultRewrite(location, target.value) : value;
    const use = { at, where: 'proxy_redirect' };
    const rewrite = { from: from.startsWith('~') ? from : resolveText(scene, from, use), to: resolveText(scene, to, use) };
    scene.draft.place(rewrite, undefined, at);
    return [rewrite];
  });
  if (rewrites.length > 0) route.rewriteLocation = rewrites;
}

function setCookieRewrites(route: RouteSource, level: Level, scene: Scene): void {
  const lines = [inheritedLines(level, 'cookieDomains'), inheritedLines(level, 'cookiePaths')];
  const rules = lines.flatMap((some) => {
    if (some.some((line) => 'off' in line)) return [];
    return some.flatMap((line) => {
      if ('off' in line) return [];
      const use = { at: line.at, where: `proxy_cookie_${line.attribute}` };
      const from = line.from.startsWith('~') ? line.from : resolveText(scene, line.from, use);
      const rule = { attribute: line.attribute, from, to: resolveText(scene, line.to, use) };
      scene.draft.place(rule, undefined, line.at);
      return [rule];
    });
  });
  if (rules.length > 0) route.rewriteCookies = rules;
}

function setHiddenHeaders(route: RouteSource, level: Level): void {
  const shown = new Set(inheritedLines(level, 'shownHeaders').map(({ value }) => value));
  const said = inheritedLines(level, 'hiddenHeaders').map(({ value }) => value);
  const hidden = [...hiddenByDefault, ...said].filter((name) => !shown.has(name) && !hiddenAlways.has(name));
  route.hideHeaders = [...new Set(hidden)];
}

function setTime(route: RouteSource, key: 'connectTimeout' | 'readTimeout' | 'sendTimeout', level: Level, scene: Scene): void {
  const time = inherited(level, key);
  if (time === undefined && key === 'connectTimeout') route[key] = formatDuration(nginxConnectMs);
  else if (time !== undefined && (key === 'connectTimeout' || time.value !== usualMs))
    scene.draft.set(route, key, given(formatDuration(time.value), time));
}

function setTransfer(route: RouteSource, level: Level, scene: Scene): void {
  const buffering = inherited(level, 'buffering');
  if (buffering === undefined) route.buffering = true;
  else scene.draft.set(route, 'buffering', buffering);
  for (const key of ['connectTimeout', 'readTimeout', 'sendTimeout'] as const) setTime(route, key, level, scene);
  if (inherited(level, 'interceptErrors')?.value === true) route.interceptErrors = true;
  if (inherited(level, 'passHeaders')?.value === false) route.passHeaders = false;
  if (inherited(level, 'passBody')?.value === false) route.passBody = false;
  scene.draft.set(route, 'upstreamMethod', inherited(level, 'method'));
}

function setRetry(route: RouteSource, level: Level, scene: Scene): void {
  const on = inherited(level, 'retryOn');
  const tries = inherited(level, 'retryTries');
  const timeout = inherited(level, 'retryTimeout');
  if (on?.value.length === 0) scene.draft.set(route, 'retry', given(false, on));
  else if (on !== undefined || tries !== undefined || timeout !== undefined) {
    route.retry = {
      ...(on === undefined ? {} : { on: [...on.value] }),
      ...(tries === undefined ? {} : { tries: tries.value }),
      ...(timeout === undefined ? {} : { timeout: formatDuration(timeout.value) }),
    };
    scene.draft.place(route.retry, undefined, (on ?? tries ?? timeout ?? level).at);
  }
}

function setVerify(route: RouteSource, level: Level, scheme: 'http' | 'https', scene: Scene): void {
  const verify = inherited(level, 'verify');
  if (scheme !== 'https' || verify?.value !== true) return;
  const ca = inherited(level, 'verifyCa');
  const name = inherited(level, 'verifyName');
  if (ca === undefined) {
    const hint = 'Name the file of the authorities with proxy_ssl_trusted_certificate.';
    scene.error('config/nginx-value', 'proxy_ssl_verify has no proxy_ssl_trusted_certificate', verify.at, hint);
    return;
  }
  const named = name === undefined ? {} : { name: resolveText(scene, name.value, { at: name.at, where: 'proxy_ssl_name' }) };
  route.upstreamVerify = { ca: ca.value, ...named };
  scene.draft.place(route.upstreamVerify, undefined, verify.at);
}

/** Fills `route` with everything that proxy_pass and its companions say on `level`, inside `location`. */
export function setProxy(route: RouteSource, level: Level, location: LocationLevel, target: Given<ProxyTarget>, scene: Scene): void {
  setUpstream(route, target, scene);
  setVerify(route, level, target.value.scheme, scene);
  setRequestHeaders(route, level, target.value, scene);
  setLocationRewrites(route, level, location, target, scene);
  setCookieRewrites(route, level, scene);
  setHiddenHeaders(route, level);
  setTransfer(route, level, scene);
  setRetry(route, level, scene);
}
