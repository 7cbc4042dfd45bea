/**
 * What stands before the services: the gateway with its certificates, its log files, and the authority out there that gives some of
 * them. Everything that makes the gateway's table comes together here.
 *
 *   use(configuration) ─┐
 *   endpoints ──────────┼─▶ publish: the table, if it is news ─▶ workers
 *   certificates ───────┘
 */
import { randomBytes } from 'node:crypto';
import type { SiteInfo, Traffic } from '@steward/sdk/contract/gateway';
import { addressName } from './config/address.ts';
import { type Config, type Endpoint, type InstanceSpec, plainGateway } from './config/model.ts';
import {
  type Acme,
  buildTable,
  type Certificate,
  certificateName,
  createAcme,
  createGateway,
  createLogFiles,
  describeSites,
  type Gateway,
  type LogFiles,
  loadCertificates,
  loadSiteFiles,
  logFilesOf,
  noChallenges,
  type Served,
  sumTraffic,
  type TableInputs,
  workerCommand,
  workerProgram,
} from './gateway/gateway.ts';
import { gatewayInstances, gatewayUser } from './gateway-service.ts';
import type { StateFolder } from './state-folder.ts';
import type { User } from './supervisor/supervisor.ts';

/** Longer than any drain: the instance's own limit ends it. */
const longestDrainMs = 24 * 60 * 60 * 1000;

/** How long an authority is kept waiting for workers that start. */
const workersThereMs = 20_000;

export interface FrontOptions {
  readonly state: StateFolder;
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Hears of what the gateway cannot do. */
  readonly onTrouble: (message: string) => void;
  /** Where services can be reached now. */
  endpoints(): TableInputs['endpoints'];
  /** Workers that run. */
  workers(): number;
}

/** What a configuration needs besides itself: certificates and the files that sites name, with what is wrong with them. */
export type Supplies = {
  readonly certificates: ReadonlyMap<string, Certificate>;
  readonly files: ReadonlyMap<string, string>;
  readonly problems: Awaited<ReturnType<typeof loadCertificates>>['problems'];
};

export interface Front {
  /** Who the workers would run as; undefined: as Steward itself. Why not as another is told once. */
  userFor(next: Config): User | undefined;
  /** The group of the workers in force. */
  group(): number | undefined;
  /** The workers of a configuration, as instances. */
  instances(next: Config, user: User | undefined): InstanceSpec[];
  /** `more` has certificates for others than sites; `known` stands for those when the files have errors anyway. Never rejects. */
  supply(next: Config, more: readonly Served[], internal: boolean, isBroken: boolean): Promise<Supplies>;
  /** Opens the gateway if it is needed: before anything of the configuration is used. */
  open(next: Config, user: User | undefined): Promise<void>;
  /** From now on the table is made of these. */
  use(config: Config, supplies: Supplies, user: User | undefined): void;
  /** Access logs and the authority out there, once the configuration is used. Never rejects. */
  follow(): Promise<void>;
  /** Sends the gateway what is reachable now, if that is news; resolves when its workers serve by it. Never rejects. */
  publish(): Promise<void>;
  /** Looks at the certificates again, and makes new keys for session tickets. */
  renew(more: readonly Served[]): Promise<void>;
  /** The certificate by which others than sites are served. */
  certificateFor(served: Served): Certificate | undefined;
  /** Waits until the gateway sends an instance nothing more and has its answers; undefined when it sends it nothing. */
  drained(endpoint: Endpoint | undefined): Promise<void> | undefined;
  /** What the workers and the authority cannot do now. */
  problems(): string[];
  sites(): SiteInfo[];
  traffic(): Traffic;
  /** In order of what depends on what. */
  readonly closing: readonly (() => unknown)[];
}

const empty: Config = { name: '', instances: [], sites: [], gateway: plainGateway };

export function createFront({ state, log, onTrouble, endpoints, workers }: FrontOptions): Front {
  let config = empty;
  let supplies: Supplies = { certificates: new Map(), files: new Map(), problems: [] };
  let challenges = noChallenges;
  let ticketKeys = randomBytes(48).toString('base64');
  let gateway: Gateway | undefined;
  let acme: Acme | undefined;
  let acmeSpec = '';
  let logFiles: LogFiles | undefined;
  let workersAs: User | undefined;
  let toldUser: string | undefined;
  let lastTable = '';

  /** By name; those of an authority out there in place of what stands in for them. */
  const certificates = (): ReadonlyMap<string, Certificate> => new Map([...supplies.certificates, ...(acme?.certificates() ?? [])]);

  async function publish(): Promise<void> {
    if (gateway === undefined) return;
    const inputs = { endpoints: endpoints(), certificates: certificates(), files: supplies.files, challenges, ticketKeys };
    const table = buildTable(config.sites, config.gateway, inputs);
    const text = JSON.stringify(table);
    if (text === lastTable) return;
    lastTable = text;
    try {
      for (const { message } of await gateway.setTable(table)) onTrouble(message);
    } catch (error) {
      lastTable = '';
      log('error', `the gateway's table cannot be written: ${(error as Error).message}`);
    }
  }

  function followLogs(): void {
    logFiles?.stop();
    const owner = workersAs && { uid: workersAs.uid, gid: workersAs.gid };
    logFiles = createLogFiles({ ...(owner && { owner }), log: (line) => log('warn', line) });
    logFiles.want(logFilesOf(config.sites));
  }

  /** Opens what certificates from an authority out there are kept in, so that the first table has them. Never rejects. */
  async function followAuthority(): Promise<void> {
    const { acme: spec } = config.gateway;
    const wanted = config.sites.some(({ tls }) => tls === 'acme');
    const text = !wanted || spec === undefined ? '' : JSON.stringify(spec);
    if (text !== acmeSpec) {
      await acme?.stop();
      acme = undefined;
      challenges = noChallenges;
      acmeSpec = text;
    }
    if (text === '' || spec === undefined || acme !== undefined) return;
    const options = {
      dir: state.acme,
      spec,
      log: (line: string) => log('info', line),
      publish: async (next: typeof challenges) => {
        challenges = next;
        await publish();
        // At the first start, and after a restart of the daemon, the authority would look before anybody answers.
        await gateway?.serving(gatewayInstances(config, workerCommand(state.gateway), undefined).length, workersThereMs);
      },
      onCertificate: () => void publish(),
      onTrouble: ({ message }: { readonly message: string }) => onTrouble(message),
    };
    try {
      acme = await createAcme(options);
    } catch (error) {
      onTrouble(`certificates from the authority (ACME) cannot be kept in ${state.acme}: ${(error as Error).message}`);
    }
  }

  /** Asks for the certificates that are missing, and renews the others; those that are there belong in the next table. */
  function wantCertificates(): void {
    const hasPlainPort = config.sites.some(({ tls, redirectFrom }) => tls === undefined || redirectFrom.length > 0);
    const ways = hasPlainPort ? {} : { ways: ['tls-alpn-01' as const] };
    const asked = config.sites.filter(({ tls }) => tls === 'acme');
    acme?.want(asked.map((site) => ({ name: certificateName(site) ?? '', hosts: site.hosts, ...ways })));
  }

  return {
    userFor(next) {
      const { user, reason } = gatewayUser(next.gateway.user, [process.execPath, workerProgram], state.gateway);
      if (reason !== undefined && reason !== toldUser) log('warn', reason);
      toldUser = reason;
      return user;
    },
    group: () => workersAs?.gid,
    instances: (next, user) =>
      gatewayInstances(next, workerCommand(state.gateway), user).map((spec) => ({ ...spec, ownProgram: true as const })),
    async supply({ sites }, more, internal, isBroken) {
      const served = [...sites, ...more].filter(({ tls }) => internal || typeof tls !== 'string');
      const loaded = isBroken ? { ...supplies, problems: [] } : await loadCertificates(served, state.authority, Date.now());
      const named = await loadSiteFiles(sites);
      return { certificates: loaded.certificates, files: named.files, problems: [...loaded.problems, ...named.problems] };
    },
    async open({ sites }, user) {
      if (gateway !== undefined || sites.length === 0) return;
      gateway = await createGateway({
        dir: state.gateway,
        log: (line) => log('info', line),
        ...(user && { owner: { uid: user.uid, gid: user.gid } }),
      });
    },
    use(next, found, user) {
      config = next;
      supplies = found;
      workersAs = user;
    },
    async follow() {
      followLogs();
      await followAuthority();
      wantCertificates();
    },
    publish,
    async renew(more) {
      const loaded = await loadCertificates([...config.sites, ...more], state.authority, Date.now());
      supplies = { ...supplies, certificates: loaded.certificates };
      ticketKeys = randomBytes(48).toString('base64');
      await publish();
    },
    certificateFor: (served) => supplies.certificates.get(certificateName(served) ?? ''),
    drained(endpoint) {
      if (gateway === undefined || endpoint === undefined || endpoint.shared !== undefined) return undefined;
      // After a restart of the daemon they serve, and have yet to connect.
      const there = workers();
      return publish().then(() => gateway?.left(addressName(endpoint), there, longestDrainMs));
    },
    problems: () => [...(gateway?.problems() ?? []), ...(acme?.problems() ?? [])].map(({ message }) => message),
    sites: () => describeSites(config.sites, certificates(), Date.now()),
    traffic: () => sumTraffic([...(gateway?.counters().values() ?? [])], new Date()),
    closing: [() => logFiles?.stop(), () => acme?.stop(), () => gateway?.stop()],
  };
}
