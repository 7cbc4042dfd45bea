/** A site as written → what the gateway serves: addresses parsed, paths absolute, defaults filled in. Pure. */
import { isAbsolute, resolve } from 'node:path';
import type { Address, ListenSpec, PathMatch, ProxyAction, RouteAction, RouteSpec, ServerSpec, SiteSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { pointerStep } from './problem.ts';
import type { Scope } from './scope.ts';
import type { RouteSource, ServerSource, SiteSource, UpstreamSource } from './sections/site.ts';
import { parseDuration, parseSize } from './units.ts';

const ms = (text: string | number | undefined, byDefault: number): number =>
  text === undefined ? byDefault : (parseDuration(text) ?? byDefault);
const standardBodyBytes = 100 * 1024 * 1024;

/** `unix:/path`, `host:port`, `[v6]:port`; undefined when it is none of them. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? { kind: 'unix', path: text.slice(5) } : undefined;
  const [, v6, host, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65535) return undefined;
  return { kind: 'tcp', host: (v6 ?? host) as string, port: Number(port) };
}

/** `8080`, `127.0.0.1:8080`, `[::]:8080`; undefined when it is none of them. */
export function parseListen(given: string | number): ListenSpec | undefined {
  if (typeof given === 'number' || /^\d+$/.test(given))
    return Number(given) >= 1 && Number(given) <= 65535 ? { port: Number(given) } : undefined;
  const address = parseAddress(given.replace(/^\*:/, '0.0.0.0:'));
  return address?.kind === 'tcp' ? { host: address.host, port: address.port } : undefined;
}

/** Why a text is no regular expression; undefined when it is one. */
function regexMistake(text: string): string | undefined {
  try {
    new RegExp(text);
    return undefined;
  } catch (error) {
    return `"${text}" is no regular expression: ${(error as Error).message.replace(/^.*: /, '')}`;
  }
}

/** `/prefix`, `= /exact`, `^~ /prefix`, `~ regex`, `~* regex`. */
function parsePath(text: string): PathMatch | { mistake: string } {
  const [, sign = '', rest = ''] = /^(=|\^~|~\*|~)?\s*(.*)$/s.exec(text) ?? [];
  if (sign === '~' || sign === '~*') {
    const mistake = regexMistake(rest);
    return mistake === undefined ? { kind: 'regex', pattern: rest, anyCase: sign === '~*' } : { mistake };
  }
  if (!rest.startsWith('/')) return { mistake: `the path "${text}" does not begin with /` };
  return sign === '=' ? { kind: 'exact', path: rest } : { kind: 'prefix', path: rest, stop: sign === '^~' };
}

function serverOf(scope: Scope, pointer: string, given: string | ServerSource): ServerSpec[] {
  const source: ServerSource = typeof given === 'string' ? { to: given } : given;
  const address = parseAddress(source.to);
  if (address === undefined) {
    scope.tell(pointer, 'config/address', `"${source.to}" is no address of a server`, 'Write host:port or unix:/path/to.sock.');
    return [];
  }
  const placed = address.kind === 'unix' && !isAbsolute(address.path) ? { ...address, path: resolve(scope.folder, address.path) } : address;
  return [
    {
      address: placed,
      weight: source.weight ?? 1,
      maxFails: source.maxFails ?? 1,
      failTimeoutMs: ms(source.failTimeout, 10_000),
      backup: source.backup ?? false,
      down: source.down ?? false,
    },
  ];
}

/** The servers of an entry of `upstreams:`. */
export const resolveUpstream = (scope: Scope, name: string, { servers }: UpstreamSource): ServerSpec[] =>
  servers.flatMap((server, index) => serverOf(scope, `/upstreams${pointerStep(name)}/servers/${index}`, server));

function targetOf(scope: Scope, pointer: string, route: RouteSource): ProxyAction['target'] {
  if (route.service !== undefined) {
    if (!scope.services().includes(route.service))
      scope.tell(
        `${pointer}/service`,
        'config/unknown-service',
        `there is no service "${route.service}"`,
        `Use one of: ${scope.services().join(', ') || '(none is defined)'}.${didYouMean(route.service, scope.services())}`,
      );
    else if (!scope.hasEndpoint(route.service))
      scope.tell(
        `${pointer}/service`,
        'config/no-endpoint',
        `service "${route.service}" has no port and no socket to send requests to`,
        'Give it port: NUMBER or socket: true.',
      );
    return { kind: 'service', service: route.service };
  }
  const name = route.upstream as string;
  const known = scope.upstream(name);
  if (known !== undefined) return { kind: 'servers', name, servers: known };
  if (parseAddress(name) === undefined)
    scope.tell(
      `${pointer}/upstream`,
      'config/unknown-upstream',
      `there is no upstream "${name}", and it is no address`,
      `Declare it under upstreams:, or write host:port or unix:/path.${didYouMean(name, scope.upstreams())}`,
    );
  return { kind: 'servers', name, servers: parseAddress(name) ? serverOf(scope, `${pointer}/upstream`, name) : [] };
}

const kinds = ['service', 'upstream', 'files', 'root', 'redirect', 'respond'] as const;

function actionOf(scope: Scope, pointer: string, route: RouteSource): RouteAction {
  const given = kinds.filter((kind) => route[kind] !== undefined);
  if (given.length !== 1) {
    if (given.length === 0 && route.status !== undefined) return { kind: 'respond', status: route.status, body: '' };
    scope.tell(
      pointer,
      'config/route-action',
      given.length === 0 ? 'the route does not say what answers it' : `${given.join(' and ')} are given together`,
      `Give exactly one of ${kinds.join(', ')}.`,
    );
    return { kind: 'respond', status: 404, body: '' };
  }
  if (route.redirect !== undefined) return { kind: 'redirect', to: route.redirect, status: route.status ?? 302 };
  if (route.respond !== undefined) return { kind: 'respond', status: route.status ?? 200, body: route.respond };
  const folder = route.files ?? route.root;
  if (folder !== undefined) {
    return {
      kind: 'files',
      folder: resolve(scope.folder, folder),
      mapping: route.files === undefined ? 'append' : 'strip',
      index: route.index ?? ['index.html'],
      ...(route.fallback && { fallback: route.fallback }),
    };
  }
  return {
    kind: 'proxy',
    target: targetOf(scope, pointer, route),
    scheme: route.upstreamScheme ?? 'http',
    ...(route.upstreamPath !== undefined && { upstreamPath: route.upstreamPath }),
    setHeaders: route.setHeaders ?? {},
    forwardedHeaders: route.forwardedHeaders ?? 'set',
    upstreamHost: route.upstreamHost ?? 'keep',
    rewriteLocation: route.rewriteLocation ?? [],
    buffering: route.buffering ?? false,
    connectTimeoutMs: ms(route.connectTimeout, 5000),
    readTimeoutMs: ms(route.readTimeout, 60_000),
  };
}

const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

function checkHeaders(scope: Scope, pointer: string, headers: Readonly<Record<string, string>> | undefined): void {
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (!headerName.test(name))
      scope.tell(
        `${pointer}${pointerStep(name)}#key`,
        'config/header-name',
        `"${name}" cannot be the name of a header`,
        'Use letters, digits and -.',
      );
    if (/[\r\n\0]/.test(value))
      scope.tell(
        pointer + pointerStep(name),
        'config/header-value',
        `the value of ${name} holds a line break`,
        'Headers are one line each.',
      );
  }
}

function routeOf(scope: Scope, pointer: string, route: RouteSource, siteBody: number): RouteSpec[] {
  const match = parsePath(route.path ?? '/');
  if ('mistake' in match) {
    scope.tell(`${pointer}/path`, 'config/path', match.mistake, 'Write /prefix, = /exact, ^~ /prefix, ~ regex or ~* regex.');
    return [];
  }
  if (match.kind === 'regex' && route.upstreamPath !== undefined)
    scope.tell(
      `${pointer}/upstreamPath`,
      'config/regex-path',
      'upstreamPath replaces a prefix, and this route matches a regular expression',
      'Take upstreamPath away, or give the route a prefix.',
    );
  checkHeaders(scope, `${pointer}/setHeaders`, route.setHeaders);
  checkHeaders(scope, `${pointer}/addHeaders`, route.addHeaders);
  return [
    {
      match,
      maxBodyBytes: route.maxBody === undefined ? siteBody : (parseSize(route.maxBody) ?? siteBody),
      addHeaders: route.addHeaders ?? {},
      action: actionOf(scope, pointer, route),
    },
  ];
}

function listensOf(
  scope: Scope,
  pointer: string,
  given: readonly (string | number)[] | undefined,
  byDefault: readonly number[],
): ListenSpec[] {
  return (given ?? byDefault).flatMap((listen, index) => {
    const parsed = parseListen(listen);
    if (parsed === undefined)
      scope.tell(
        `${pointer}/${index}`,
        'config/listen',
        `"${listen}" is no port and no address:port`,
        'Write 8080, "127.0.0.1:8080" or "[::]:8080".',
      );
    return parsed ?? [];
  });
}

function tlsOf(scope: Scope, tls: SiteSource['tls']): SiteSpec['tls'] {
  if (tls === undefined || tls === 'internal') return tls;
  const file = (path: string): string => resolve(scope.folder, path);
  return { cert: file(tls.cert), key: file(tls.key), ...(tls.chain && { chain: file(tls.chain) }) };
}

function rootRoute(scope: Scope, root: string, maxBodyBytes: number): RouteSpec {
  return {
    match: { kind: 'prefix', path: '/', stop: false },
    maxBodyBytes,
    addHeaders: {},
    action: { kind: 'files', folder: resolve(scope.folder, root), mapping: 'append', index: ['index.html'] },
  };
}

function checkHosts(scope: Scope, pointer: string, hosts: readonly string[]): void {
  hosts.forEach((host, index) => {
    if (!host.startsWith('~')) return;
    const mistake = regexMistake(host.slice(1));
    if (mistake !== undefined)
      scope.tell(
        `${pointer}/hosts/${index}`,
        'config/regular-expression',
        mistake,
        "JavaScript's regular expressions are used; named groups are (?<name>...).",
      );
  });
}

/** One site; what is wrong is told to the scope. */
export function resolveSite(scope: Scope, site: SiteSource, index: number): SiteSpec {
  const pointer = `/sites/${index}`;
  const maxBodyBytes = site.maxBody === undefined ? standardBodyBytes : (parseSize(site.maxBody) ?? standardBodyBytes);
  const routes = site.routes.flatMap((route, number) => routeOf(scope, `${pointer}/routes/${number}`, route, maxBodyBytes));
  const isCovered = routes.some(({ match }) => match.kind === 'prefix' && match.path === '/');
  checkHosts(scope, pointer, site.hosts ?? []);
  const hosts = (site.hosts ?? []).map((host) => (host.startsWith('~') ? host : host.toLowerCase()));
  const wantsRedirect = site.tls !== undefined && site.listen === undefined;
  return {
    hosts,
    isDefault: site.default ?? false,
    listen: listensOf(scope, `${pointer}/listen`, site.listen, [site.tls === undefined ? 80 : 443]),
    ...(site.tls && { tls: tlsOf(scope, site.tls) }),
    redirectFrom: listensOf(scope, `${pointer}/redirectFrom`, site.redirectFrom, wantsRedirect ? [80] : []),
    serverName: site.serverName ?? hosts[0] ?? '',
    routes: site.root !== undefined && !isCovered ? [...routes, rootRoute(scope, site.root, maxBodyBytes)] : routes,
  };
}
