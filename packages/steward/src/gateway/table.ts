/**
 * The routing table: what the daemon hands to the gateway's workers, over a socket and on disk. Plain JSON, so that a
 * worker needs nothing else to serve: no configuration file, no daemon, no certificate file.
 *
 *   sites + endpoints + certificates ── buildTable ──► RouteTable ── compileTable (match.ts) ──► what a request is matched with
 */
import type {
  Address,
  FilesAction,
  GatewaySpec,
  ListenSpec,
  PathMatch,
  ProxyAction,
  RouteAction,
  RouteSpec,
  ServerSpec,
  SiteSpec,
} from '../config/model.ts';

/** PEM texts. `cert` holds the leaf first, then its chain. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface RouteTable {
  readonly listeners: readonly ListenerEntry[];
  readonly sites: readonly SiteEntry[];
  readonly upstreams: Readonly<Record<string, UpstreamEntry>>;
  readonly certificates: Readonly<Record<string, Certificate>>;
  readonly headerTimeoutMs: number;
  readonly stallTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly accessLog: boolean;
}

export interface ListenerEntry extends ListenSpec {
  readonly tls: boolean;
  /** Indexes into `sites`, in the order of the configuration. */
  readonly sites: readonly number[];
  /** Index of the site that answers unknown hosts. */
  readonly defaultSite: number;
}

export interface SiteEntry {
  readonly hosts: readonly string[];
  readonly serverName: string;
  /** Name in `certificates`; undefined when it has none that can be used. */
  readonly certificate?: string;
  readonly routes: readonly RouteEntry[];
}

export interface RouteEntry {
  readonly match: PathMatch;
  readonly maxBodyBytes: number;
  readonly addHeaders: Readonly<Record<string, string>>;
  readonly action: ProxyEntry | FilesAction | Exclude<RouteAction, ProxyAction | FilesAction>;
}

export interface ProxyEntry extends Omit<ProxyAction, 'target'> {
  /** Name in `upstreams`. */
  readonly upstream: string;
  /** What $proxy_host stands for. */
  readonly proxyHost: string;
}

export interface UpstreamEntry {
  /** The one way of choosing so far; others join this union and balance.ts. */
  readonly policy: 'round-robin';
  readonly servers: readonly ServerSpec[];
}

/** One word for an address to listen on: `*:80`, `127.0.0.1:8080`. */
export const listenerName = ({ host, port }: ListenSpec): string =>
  `${host === undefined ? '*' : host.includes(':') ? `[${host}]` : host}:${port}`;

/** Whether a site answers hosts that nobody named: its own certificate should then hold for this machine too. */
export const answersAnyHost = (site: Pick<SiteSpec, 'hosts' | 'isDefault'>): boolean => site.isDefault || site.hosts.length === 0;

/** The name under which a site's certificate is kept in the table, or undefined for a site without TLS. */
export function certificateName(site: Pick<SiteSpec, 'tls' | 'hosts' | 'isDefault'>): string | undefined {
  if (site.tls === undefined) return undefined;
  if (site.tls === 'internal') return `internal:${[...new Set(site.hosts)].sort().join(',')}${answersAnyHost(site) ? ' and any' : ''}`;
  return `files:${[site.tls.cert, site.tls.key, site.tls.chain ?? ''].join(',')}`;
}

/**
 * The table for `sites`: routes to a service get the addresses in `endpoints` (its ready instances; none means 503),
 * sites get their certificate from `certificates` by `certificateName`. A site without TLS on a port that has TLS is left
 * out there: the configuration refuses such a pair. Never throws.
 */
export function buildTable(
  sites: readonly SiteSpec[],
  endpoints: ReadonlyMap<string, readonly Address[]>,
  certificates: ReadonlyMap<string, Certificate>,
  gateway: GatewaySpec,
): RouteTable {
  const upstreams = new Upstreams(endpoints);
  const entries: SiteEntry[] = [];
  const listeners = new Map<string, { listen: ListenSpec; tls: boolean; members: Member[] }>();
  const join = (listen: ListenSpec, tls: boolean, member: Member): void => {
    const name = listenerName(listen);
    const found = listeners.get(name);
    if (found === undefined) listeners.set(name, { listen, tls, members: [member] });
    else if (tls && !found.tls) listeners.set(name, { listen, tls, members: [member] });
    else if (tls === found.tls) found.members.push(member);
  };
  for (const site of sites) {
    const name = certificateName(site);
    const certificate = name !== undefined && certificates.has(name) ? name : undefined;
    const index =
      entries.push({
        hosts: site.hosts,
        serverName: site.serverName,
        ...(certificate === undefined ? {} : { certificate }),
        routes: site.routes.map((route) => upstreams.entryOf(route)),
      }) - 1;
    for (const listen of site.listen) join(listen, site.tls !== undefined, { index, site });
    if (site.redirectFrom.length === 0) continue;
    const redirect = entries.push(redirectSite(site)) - 1;
    for (const listen of site.redirectFrom) join(listen, false, { index: redirect, site });
  }
  return {
    listeners: [...listeners.values()].map(({ listen, tls, members }) => ({
      ...listen,
      tls,
      sites: members.map(({ index }) => index),
      defaultSite: defaultOf(members),
    })),
    sites: entries,
    upstreams: upstreams.entries,
    certificates: Object.fromEntries(certificates),
    headerTimeoutMs: gateway.headerTimeoutMs,
    stallTimeoutMs: gateway.stallTimeoutMs,
    idleTimeoutMs: gateway.idleTimeoutMs,
    accessLog: gateway.accessLog,
  };
}

interface Member {
  readonly index: number;
  readonly site: SiteSpec;
}

/** The site marked as default, else the first that names no host, else the first. */
const defaultOf = (members: readonly Member[]): number =>
  (members.find(({ site }) => site.isDefault) ?? members.find(({ site }) => site.hosts.length === 0) ?? members[0])?.index ?? 0;

/** What answers on `redirectFrom`: the same hosts, everything sent to the first address of `listen`. */
function redirectSite(site: SiteSpec): SiteEntry {
  const scheme = site.tls === undefined ? 'http' : 'https';
  const port = site.listen[0]?.port ?? 443;
  const usual = scheme === 'https' ? 443 : 80;
  const to = `${scheme}://$host${port === usual ? '' : `:${port}`}$request_uri`;
  const route: RouteEntry = {
    match: { kind: 'prefix', path: '/', stop: false },
    maxBodyBytes: 0,
    addHeaders: {},
    action: { kind: 'redirect', to, status: 308 },
  };
  return { hosts: site.hosts, serverName: site.serverName, routes: [route] };
}

/** Gives each different set of servers one name, so that routes to the same upstream share its health and connections. */
class Upstreams {
  readonly entries: Record<string, UpstreamEntry> = {};
  readonly #endpoints: ReadonlyMap<string, readonly Address[]>;

  constructor(endpoints: ReadonlyMap<string, readonly Address[]>) {
    this.#endpoints = endpoints;
  }

  entryOf(route: RouteSpec): RouteEntry {
    const { match, maxBodyBytes, addHeaders, action } = route;
    if (action.kind !== 'proxy') return { match, maxBodyBytes, addHeaders, action };
    const { target, ...rest } = action;
    const upstream = target.kind === 'service' ? this.#service(target.service) : this.#servers(target.name, target.servers);
    const name = target.kind === 'service' ? target.service : target.name;
    return { match, maxBodyBytes, addHeaders, action: { ...rest, upstream, proxyHost: name.startsWith('unix:') ? 'localhost' : name } };
  }

  /** Instances are never taken out after failures: the supervisor says which are ready, and a failure only skips for one request. */
  #service(service: string): string {
    const servers = (this.#endpoints.get(service) ?? []).map((address) => ({
      address,
      weight: 1,
      maxFails: 0,
      failTimeoutMs: 0,
      backup: false,
      down: false,
    }));
    this.entries[`service:${service}`] = { policy: 'round-robin', servers };
    return `service:${service}`;
  }

  #servers(name: string, servers: readonly ServerSpec[]): string {
    const content = JSON.stringify(servers);
    for (let n = 1; ; n++) {
      const candidate = `servers:${name}${n === 1 ? '' : `#${n}`}`;
      const found = this.entries[candidate];
      if (found !== undefined && JSON.stringify(found.servers) !== content) continue;
      this.entries[candidate] = { policy: 'round-robin', servers };
      return candidate;
    }
  }
}
