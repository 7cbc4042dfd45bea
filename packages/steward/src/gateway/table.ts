/**
 * The routing table: what the daemon hands to the gateway's workers, over a socket and on disk. Plain JSON, so that a
 * worker needs nothing else to serve: no configuration file, no daemon, no certificate file.
 *
 *   sites + endpoints + certificates ── buildTable ──► RouteTable ── compileTable (match.ts) ──► what a request is matched with
 */
import type {
  Address,
  AnswerSpec,
  BalanceSpec,
  CanarySpec,
  FilesAction,
  GatewaySpec,
  ListenSpec,
  ProxyAction,
  RouteAction,
  RouteSpec,
  ServerSpec,
  SiteSpec,
  StepSpec,
  TargetSpec,
  UpstreamSpec,
} from '../config/model.ts';
import { plainRoute, plainServer } from '../config/model.ts';
import type { UpstreamEntry } from './upstream/balance.ts';

export type { UpstreamEntry };

/** PEM texts. `cert` holds the leaf first, then its chain. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** What an ACME authority looks for to see that a host is ours (RFC 8555, 8.3; RFC 8737). */
export interface Challenges {
  /** Key authorizations by token. */
  readonly http: Readonly<Record<string, string>>;
  /** Certificates by host. */
  readonly alpn: Readonly<Record<string, Certificate>>;
}

/** PEM texts and files' contents that workers, who may read no files of root's, need; by name. */
export interface TableInputs {
  /** Addresses of the ready instances, by service. */
  readonly endpoints: ReadonlyMap<string, readonly Address[]>;
  /** By `certificateName`. */
  readonly certificates: ReadonlyMap<string, Certificate>;
  /** Contents of PEM files and pages that sites name, by path. */
  readonly files: ReadonlyMap<string, string>;
  readonly challenges: Challenges;
  /** 48 random bytes, in base64, that all workers encrypt TLS session tickets with. */
  readonly ticketKeys?: string;
}

export const noInputs: TableInputs = {
  endpoints: new Map(),
  certificates: new Map(),
  files: new Map(),
  challenges: { http: {}, alpn: {} },
};

export interface RouteTable {
  readonly listeners: readonly ListenerEntry[];
  readonly sites: readonly SiteEntry[];
  readonly upstreams: Readonly<Record<string, UpstreamEntry>>;
  readonly certificates: Readonly<Record<string, Certificate>>;
  /** By path: authorities of client certificates, of upstreams, pages. */
  readonly files: Readonly<Record<string, string>>;
  readonly challenges: Challenges;
  readonly ticketKeys?: string;
  readonly gateway: Omit<GatewaySpec, 'upstreams' | 'acme' | 'user'>;
}

export interface ListenerEntry extends ListenSpec {
  readonly tls: boolean;
  /** Indexes into `sites`, in the order of the configuration. */
  readonly sites: readonly number[];
  /** Index of the site that answers unknown hosts. */
  readonly defaultSite: number;
}

export interface SiteEntry extends Omit<SiteSpec, 'listen' | 'tls' | 'redirectFrom' | 'routes' | 'rest' | 'steps' | 'isDefault'> {
  /** Name in `certificates`; undefined when it has none that can be used. */
  readonly certificate?: string;
  readonly steps: readonly StepEntry[];
  readonly routes: readonly RouteEntry[];
  readonly rest: RouteEntry;
}

export interface RouteEntry extends Omit<RouteSpec, 'action' | 'routes' | 'steps'> {
  readonly routes: readonly RouteEntry[];
  readonly steps: readonly StepEntry[];
  readonly action: ActionEntry;
}

export type StepEntry =
  | Exclude<StepSpec, { kind: 'if' }>
  | (Omit<Extract<StepSpec, { kind: 'if' }>, 'steps' | 'route'> & { readonly steps: readonly StepEntry[]; readonly route?: RouteEntry });

export type ActionEntry = ProxyEntry | FilesAction | Exclude<RouteAction, ProxyAction | FilesAction>;

export interface ProxyEntry extends Omit<ProxyAction, 'target' | 'canary'> {
  readonly target: TargetEntry;
  readonly canary?: Omit<CanarySpec, 'target'> & { readonly target: Extract<TargetEntry, { kind: 'upstream' }> };
}

export type TargetEntry =
  /** `name` in `upstreams`; `proxyHost` is what $proxy_host stands for. */
  { readonly kind: 'upstream'; readonly name: string; readonly proxyHost: string } | Extract<TargetSpec, { kind: 'text' }>;

/** One word for an address to listen on: `*:80`, `127.0.0.1:8080`. */
export const listenerName = ({ host, port }: ListenSpec): string =>
  `${host === undefined ? '*' : host.includes(':') ? `[${host}]` : host}:${port}`;

/** Whether a site answers hosts that nobody named: its own certificate should then hold for this machine too. */
export const answersAnyHost = (site: Pick<SiteSpec, 'hosts' | 'isDefault'>): boolean => site.isDefault || site.hosts.length === 0;

/** The name under which a site's certificate is kept in the table, or undefined for a site without TLS. */
export function certificateName(site: Pick<SiteSpec, 'tls' | 'hosts' | 'isDefault'>): string | undefined {
  if (site.tls === undefined) return undefined;
  if (site.tls === 'acme') return `acme:${[...new Set(site.hosts)].sort().join(',')}`;
  if (site.tls === 'internal') return `internal:${[...new Set(site.hosts)].sort().join(',')}${answersAnyHost(site) ? ' and any' : ''}`;
  return `files:${[site.tls.cert, site.tls.key, site.tls.chain ?? ''].join(',')}`;
}

/**
 * The table for `sites`: routes to a service get the addresses of its ready instances (none means that requests are held,
 * then refused), sites get their certificate by `certificateName`. A site without TLS on a port that has TLS is left out
 * there: the configuration refuses such a pair. Never throws.
 */
export function buildTable(sites: readonly SiteSpec[], gateway: GatewaySpec, inputs: TableInputs): RouteTable {
  const upstreams = new Upstreams(inputs.endpoints);
  const entries: SiteEntry[] = [];
  const listeners = new Map<string, { listen: ListenSpec; tls: boolean; members: Member[] }>();
  const join = (listen: ListenSpec, tls: boolean, member: Member): void => {
    const name = listenerName(listen);
    const found = listeners.get(name);
    if (found === undefined || (tls && !found.tls)) listeners.set(name, { listen, tls, members: [member] });
    else if (tls === found.tls) found.members.push(member);
  };
  for (const declared of gateway.upstreams) upstreams.add(declared);
  for (const site of sites) {
    const index = entries.push(siteEntry(site, inputs.certificates, upstreams)) - 1;
    for (const listen of site.listen) join(listen, site.tls !== undefined, { index, site });
    if (site.redirectFrom.length === 0) continue;
    const redirect = entries.push(redirectSite(site)) - 1;
    for (const listen of site.redirectFrom) join(listen, false, { index: redirect, site });
  }
  const { upstreams: _, acme: __, user: ___, ...rest } = gateway;
  return {
    listeners: [...listeners.values()].map(({ listen, tls, members }) => ({
      ...listen,
      tls,
      sites: members.map(({ index }) => index),
      defaultSite: defaultOf(members),
    })),
    sites: entries,
    upstreams: upstreams.entries,
    certificates: Object.fromEntries(inputs.certificates),
    files: Object.fromEntries(inputs.files),
    challenges: inputs.challenges,
    ...(inputs.ticketKeys !== undefined && { ticketKeys: inputs.ticketKeys }),
    gateway: rest,
  };
}

interface Member {
  readonly index: number;
  readonly site: SiteSpec;
}

/** The site marked as default, else the first that names no host, else the first. */
const defaultOf = (members: readonly Member[]): number =>
  (members.find(({ site }) => site.isDefault) ?? members.find(({ site }) => site.hosts.length === 0) ?? members[0])?.index ?? 0;

function siteEntry(site: SiteSpec, certificates: ReadonlyMap<string, Certificate>, upstreams: Upstreams): SiteEntry {
  const { listen: _, tls: __, redirectFrom: ___, isDefault: ____, ...rest } = site;
  const name = certificateName(site);
  return {
    ...rest,
    ...(name !== undefined && certificates.has(name) && { certificate: name }),
    steps: site.steps.map((step) => upstreams.stepEntry(step)),
    routes: site.routes.map((route) => upstreams.routeEntry(route)),
    rest: upstreams.routeEntry(site.rest),
  };
}

const answerRoute = (answer: AnswerSpec): RouteEntry => ({
  ...plainRoute,
  match: { kind: 'prefix', path: '/', stop: false },
  maxBodyBytes: 0,
  action: { kind: 'answer', answer },
});

/** What answers on `redirectFrom`: the same hosts, everything sent to the first address of `listen`. */
function redirectSite(site: SiteSpec): SiteEntry {
  const scheme = site.tls === undefined ? 'http' : 'https';
  const port = site.listen[0]?.port ?? 443;
  const usual = scheme === 'https' ? 443 : 80;
  const to = `${scheme}://$host${port === usual ? '' : `:${port}`}$request_uri`;
  const { hosts, serverName, realAddress } = site;
  const route = { ...answerRoute({ status: 308, to }), logs: site.rest.logs };
  return { hosts, serverName, ...(realAddress && { realAddress }), steps: [], routes: [route], rest: route };
}

/** Gives each different set of servers one name, so that routes to the same upstream share its health and connections. */
class Upstreams {
  readonly entries: Record<string, UpstreamEntry> = {};
  readonly #endpoints: ReadonlyMap<string, readonly Address[]>;

  constructor(endpoints: ReadonlyMap<string, readonly Address[]>) {
    this.#endpoints = endpoints;
  }

  stepEntry(step: StepSpec): StepEntry {
    if (step.kind !== 'if') return step;
    const { route, steps, ...rest } = step;
    return { ...rest, steps: steps.map((one) => this.stepEntry(one)), ...(route && { route: this.routeEntry(route) }) };
  }

  routeEntry(route: RouteSpec): RouteEntry {
    const { action } = route;
    return {
      ...route,
      routes: route.routes.map((nested) => this.routeEntry(nested)),
      steps: route.steps.map((step) => this.stepEntry(step)),
      action: action.kind === 'proxy' ? this.#proxyEntry(action) : action,
    };
  }

  #proxyEntry({ target, canary, ...rest }: ProxyAction): ProxyEntry {
    return {
      ...rest,
      target: target.kind === 'text' ? target : this.add(target),
      ...(canary && { canary: { ...canary, target: this.add(canary.target) } }),
    };
  }

  /** The name under which `upstream` is in the table, which it is from now on. */
  add(upstream: UpstreamSpec): Extract<TargetEntry, { kind: 'upstream' }> {
    const { policy, sticky, check, slowStartMs, keepIdle, keepIdleMs } = upstream;
    const balance: BalanceSpec = { policy, ...(sticky && { sticky }), ...(check && { check }), slowStartMs, keepIdle, keepIdleMs };
    if (upstream.kind === 'service') {
      const { service } = upstream;
      const name = this.#name(`service:${upstream.name ?? service}`, { ...balance, service: true, servers: this.#instances(service) });
      return { kind: 'upstream', name, proxyHost: upstream.name ?? service };
    }
    const name = this.#name(`servers:${upstream.name}`, { ...balance, service: false, servers: upstream.servers });
    return { kind: 'upstream', name, proxyHost: upstream.name.startsWith('unix:') ? 'localhost' : upstream.name };
  }

  /** Instances are never taken out after failures: the supervisor says which are ready, and a failure only skips for one request. */
  #instances(service: string): ServerSpec[] {
    return (this.#endpoints.get(service) ?? []).map((address) => ({
      ...plainServer,
      address,
      maxFails: 0,
      failTimeoutMs: 0,
    }));
  }

  #name(wanted: string, entry: UpstreamEntry): string {
    const content = JSON.stringify(entry);
    for (let n = 1; ; n++) {
      const candidate = n === 1 ? wanted : `${wanted}#${n}`;
      const found = this.entries[candidate];
      if (found !== undefined && JSON.stringify(found) !== content) continue;
      this.entries[candidate] = entry;
      return candidate;
    }
  }
}
