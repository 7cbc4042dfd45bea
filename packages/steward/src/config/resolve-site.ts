/** A site as written → what the gateway serves: addresses parsed, paths absolute, defaults filled in. Pure. */
import { resolve } from 'node:path';
import { parseListen } from './address.ts';
import { parseIp } from './address-range.ts';
import {
  type ListenSpec,
  type MaintenanceSpec,
  plainRoute,
  type RealAddressSpec,
  type RouteAction,
  type RouteSpec,
  type SiteSpec,
} from './model.ts';
import { checkRanges } from './resolve-access.ts';
import { plainFiles } from './resolve-files.ts';
import { checkHeaderName, resolveHsts, withShared } from './resolve-headers.ts';
import { standardLog } from './resolve-logs.ts';
import { type Inherited, resolveRoutes, resolveShared } from './resolve-route.ts';
import { resolveSteps } from './resolve-steps.ts';
import { checkRegex, pathText } from './resolve-text.ts';
import type { Scope, SiteScope } from './scope.ts';
import type { SiteSource } from './sections/site.ts';
import { durationOr } from './units.ts';

const standardBodyBytes = 100 * 1024 * 1024;

type ListenEntry = NonNullable<SiteSource['listen']>[number];

function listenOf(scope: Scope, pointer: string, entry: ListenEntry): ListenSpec[] {
  const { to, proxyProtocol = false } = typeof entry === 'object' ? entry : { to: entry };
  const parsed = parseListen(to);
  if (parsed === undefined) {
    scope.tell(
      typeof entry === 'object' ? `${pointer}/to` : pointer,
      'config/listen',
      `"${to}" is no port and no address:port`,
      'Write 8080, "127.0.0.1:8080" or "[::]:8080".',
    );
    return [];
  }
  return [{ ...parsed, ...(proxyProtocol && { proxyProtocol }) }];
}

const listensOf = (scope: Scope, pointer: string, given: readonly ListenEntry[]): ListenSpec[] =>
  given.flatMap((entry, index) => listenOf(scope, `${pointer}/${index}`, entry));

/** A name, an address, `*.name` or `name.*`; empty for clients that send none. */
const isHost = (host: string): boolean => host === '' || /^(\*\.)?[^\s*:/?#@[\]]+(\.\*)?$|^\[[0-9a-f:.]+\]$/i.test(host);

function checkHosts(scope: Scope, pointer: string, hosts: readonly string[]): void {
  hosts.forEach((host, index) => {
    const at = `${pointer}/${index}`;
    if (host.startsWith('~')) checkRegex(scope, at, host.slice(1), true);
    else if (!isHost(host))
      scope.tell(
        at,
        'config/host',
        `"${host}" is no host name`,
        host === '*'
          ? 'Leave hosts out to answer any host.'
          : 'Write example.com, "*.example.com", "example.*" or "~regex", without port and path.',
      );
  });
}

/** Why the authority that `tls: acme` asks would not give a certificate for a host; undefined when it would. */
function acmeMistake(host: string): string | undefined {
  if (host.startsWith('~')) return 'a regular expression does not say which names it stands for';
  if (host.includes('*')) return 'certificates for wildcards need a record in the DNS, which Steward does not write';
  if (parseIp(host.replace(/^\[|\]$/g, '')) !== undefined) return 'it is an address, not a name';
  return /^[^.]+$/.test(host) || host === '' ? 'it is no public name' : undefined;
}

const acmeHint = 'List the exact names under hosts, or use tls: internal or your own files.';

function checkAcme(scope: Scope, pointer: string, hosts: readonly string[]): void {
  if (hosts.length === 0) scope.tell(`${pointer}/tls`, 'config/acme-host', 'a certificate cannot be fetched for any host at all', acmeHint);
  hosts.forEach((host, index) => {
    const mistake = acmeMistake(host);
    if (mistake !== undefined)
      scope.tell(`${pointer}/hosts/${index}`, 'config/acme-host', `a certificate cannot be fetched for "${host}": ${mistake}`, acmeHint);
  });
}

/** Tells what only sites with TLS can do. */
function checkPlain(scope: Scope, pointer: string, { clientCertificates, hsts, tlsLeast }: SiteSource): void {
  const tell = (key: string, severity: 'error' | 'warning'): void =>
    scope.tell(`${pointer}/${key}`, 'config/no-tls', `${key} has no effect: the site has no tls`, 'Add tls, or take it away.', severity);
  if (clientCertificates !== undefined) tell('clientCertificates', 'error');
  if (hsts !== undefined && hsts !== false) tell('hsts', 'warning');
  if (tlsLeast !== undefined) tell('tlsLeast', 'warning');
}

function tlsOf(scope: Scope, pointer: string, site: SiteSource): Pick<SiteSpec, 'tls' | 'tlsVersions' | 'clientCertificates'> {
  const { tls, tlsLeast, clientCertificates } = site;
  const file = (path: string): string => resolve(scope.folder, path);
  if (tls === undefined) {
    checkPlain(scope, pointer, site);
    return {};
  }
  if (tls === 'acme') checkAcme(scope, pointer, site.hosts ?? []);
  return {
    tls: typeof tls === 'string' ? tls : { cert: file(tls.cert), key: file(tls.key), ...(tls.chain && { chain: file(tls.chain) }) },
    ...(tlsLeast && { tlsVersions: { least: tlsLeast } }),
    ...(clientCertificates && {
      clientCertificates: { ca: file(clientCertificates.ca), mode: clientCertificates.mode ?? 'require' },
    }),
  };
}

function realAddressOf(scope: Scope, pointer: string, trust: SiteSource['trust']): RealAddressSpec | undefined {
  if (trust === undefined) return undefined;
  const given = Array.isArray(trust) ? { from: trust } : trust;
  checkRanges(scope, Array.isArray(trust) ? pointer : `${pointer}/from`, given.from);
  const { from, header = 'x-forwarded-for', recursive = true } = given;
  checkHeaderName(scope, `${pointer}/header`, header);
  return from.length === 0 ? undefined : { from, header: header.toLowerCase(), recursive };
}

function maintenanceOf(scope: Scope, pointer: string, maintenance: SiteSource['maintenance']): MaintenanceSpec | undefined {
  if (maintenance === undefined || maintenance === false) return undefined;
  const { page, allow = [], retryAfter } = maintenance === true ? {} : maintenance;
  return {
    ...(page !== undefined && { page: resolve(scope.folder, page) }),
    allow: checkRanges(scope, `${pointer}/allow`, allow),
    retryAfterSeconds: Math.ceil(durationOr(retryAfter, 300_000) / 1000),
  };
}

/** What holds in a site that says nothing. */
const nothingSaid = (scope: Scope): Inherited => ({
  ...plainRoute,
  maxBodyBytes: standardBodyBytes,
  logs: scope.accessLog ? [standardLog] : [],
});

/** What answers when no route does: the files of `root`, else 404. */
function restOf(scope: SiteScope, pointer: string, root: string | undefined, shared: Inherited): RouteSpec {
  const action: RouteAction =
    root === undefined
      ? { kind: 'answer', answer: { status: 404 } }
      : {
          ...plainFiles,
          folder: pathText(scope, `${pointer}/root`, root),
          mapping: 'append',
          ...(shared.charset !== undefined && { charset: shared.charset }),
        };
  return {
    ...plainRoute,
    ...shared,
    addHeaders: withShared(shared.addHeaders, scope.standingHeaders),
    match: { kind: 'prefix', path: '/', stop: false },
    action,
  };
}

const namedRoutes = (site: SiteSource): string[] => site.routes.flatMap(({ path }) => (path?.startsWith('@') ? [path] : []));

/** The site at `pointer`; what is wrong is told to the scope. */
export function resolveSite(fileScope: Scope, site: SiteSource, pointer: string): SiteSpec {
  const standingHeaders = site.tls === undefined ? [] : resolveHsts(site.hsts);
  const scope: SiteScope = { ...fileScope, namedRoutes: namedRoutes(site), standingHeaders };
  checkHosts(scope, `${pointer}/hosts`, site.hosts ?? []);
  const hosts = (site.hosts ?? []).map((host) => (host.startsWith('~') ? host : host.toLowerCase()));
  const wantsRedirect = site.tls !== undefined && site.listen === undefined;
  const shared = resolveShared(scope, pointer, site, nothingSaid(scope));
  const realAddress = realAddressOf(scope, `${pointer}/trust`, site.trust);
  const maintenance = maintenanceOf(scope, `${pointer}/maintenance`, site.maintenance);
  return {
    hosts,
    isDefault: site.default ?? false,
    listen: listensOf(scope, `${pointer}/listen`, site.listen ?? [site.tls === undefined ? 80 : 443]),
    ...tlsOf(scope, pointer, site),
    redirectFrom: listensOf(scope, `${pointer}/redirectFrom`, site.redirectFrom ?? (wantsRedirect ? [80] : [])),
    serverName: site.serverName ?? hosts[0] ?? '',
    ...(realAddress && { realAddress }),
    ...(maintenance && { maintenance }),
    steps: resolveSteps(scope, `${pointer}/steps`, site.steps, undefined),
    routes: resolveRoutes(scope, `${pointer}/routes`, site.routes, shared),
    rest: restOf(scope, pointer, site.root, shared),
  };
}
