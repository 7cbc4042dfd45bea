/**
 * Steward itself: the only file that knows every room. It builds them, connects them, and applies configurations; to see
 * what causes what, read `createSteward` from top to bottom.
 *
 *   files ── config ──▶ plan ──▶ supervisor.apply         journal ◀── every room
 *                          └───▶ gateway.setTable ◀── endpoints of ready instances ── supervisor.onChange
 */
import { randomBytes } from 'node:crypto';
import type { Plan, Status } from '@steward/sdk/contract/system';
import { type Api, createApi, createBell, type FilesRequest, type System } from './api/api.ts';
import { type Config, plainGateway } from './config/model.ts';
import type { Change } from './config/plan.ts';
import { formatPlace, formatProblems, hasErrors } from './config/problem.ts';
import { type Loaded, loadConfig } from './config/read.ts';
import { StewardError } from './errors.ts';
import {
  type Acme,
  buildTable,
  type Certificate,
  certificateName,
  createAcme,
  createGateway,
  createLogFiles,
  type Gateway,
  type LogFiles,
  listenerName,
  loadCertificates,
  loadSiteFiles,
  logFilesOf,
  noChallenges,
  openAuthority,
  sumTraffic,
  workerCommand,
  workerProgram,
} from './gateway/gateway.ts';
import { gatewayInstances, gatewayService, gatewayUser } from './gateway-service.ts';
import { createJournal } from './journal.ts';
import { claimState, type StateFolder, secretKeyIn } from './state-folder.ts';
import { openStore, type Store } from './store/store.ts';
import { createSupervisor, type User } from './supervisor/supervisor.ts';
import { version } from './version.ts';

export interface Steward {
  readonly system: System;
  /** Applies the files of the last apply, for a daemon that starts by itself. Undefined when there are none. */
  resume(): Promise<Plan | undefined>;
  /** Takes over what an earlier daemon left, without any file: to stop it. */
  takeOver(): Promise<number>;
  /** Resolves when Steward has been asked to shut down and nothing runs any more. */
  readonly ended: Promise<void>;
  /** Stops all services in order, then itself. */
  shutDown(): Promise<void>;
  /** Lets go and leaves everything running. */
  leave(): Promise<void>;
}

export interface StewardOptions {
  readonly state: StateFolder;
  /** One line of the daemon's own log. */
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

/** Certificates of the local authority are looked at this often: they last a year and are renewed in time. */
const renewLookMs = 12 * 60 * 60 * 1000;

/** How long an authority is kept waiting for workers that start. */
const workersThereMs = 20_000;

const emptyConfig: Config = {
  name: '',
  instances: [],
  sites: [],
  gateway: plainGateway,
};

/** A full disk makes every write fail: it is told once in a while. */
const storeErrorEveryMs = 60_000;

/** What the gateway serves by, as a text to compare with. */
const gatewayPart = ({ sites, gateway }: Config): string => JSON.stringify([sites, gateway]);

const settings = (store: Store) => ({
  get: <T>(name: string): T | undefined => {
    const [row] = store.all<{ value: string }>('select value from setting where name = ?', name);
    return row === undefined ? undefined : (JSON.parse(row.value) as T);
  },
  set: (name: string, value: unknown): void =>
    store.run(
      'insert into setting (name, value) values (?, ?) on conflict (name) do update set value = excluded.value',
      name,
      JSON.stringify(value),
    ),
});

const summary = (changes: readonly Change[]): string => {
  const counts = Map.groupBy(changes, ({ kind }) => kind);
  return (
    ['start', 'restart', 'update', 'stop', 'stay']
      .flatMap((kind) => (counts.has(kind as Change['kind']) ? `${counts.get(kind as Change['kind'])?.length} ${kind}` : []))
      .join(', ') || 'nothing to run'
  );
};

/** Takes the state directory and opens every room; nothing is started yet. @throws StewardError when the directory is taken or unusable. */
export async function createSteward({ state, log }: StewardOptions): Promise<Steward> {
  const claim = claimState(state);
  let storeErrorAt = Number.NEGATIVE_INFINITY;
  const onStoreError = (error: Error): void => {
    if (performance.now() - storeErrorAt < storeErrorEveryMs) return;
    storeErrorAt = performance.now();
    log('error', `state.db cannot be written: ${error.message}; supervision goes on`);
  };
  const store = openStore(state.database, onStoreError);
  const saved = settings(store);
  const secretKey = secretKeyIn(state);
  const journal = createJournal(store, () => Date.now());
  const growth = createBell();
  const startedAt = new Date();

  let config = emptyConfig;
  /** Where a field of a service is written, as people are told. */
  let placeOf: (service: string, field: string) => string = () => '';
  let certificates: ReadonlyMap<string, Certificate> = new Map();
  let siteFiles: ReadonlyMap<string, string> = new Map();
  let challenges = noChallenges;
  let ticketKeys = randomBytes(48).toString('base64');
  let gateway: Gateway | undefined;
  let acme: Acme | undefined;
  let acmeSpec = '';
  let logFiles: LogFiles | undefined;
  /** Who the gateway's workers run as, when that is not Steward's own user. */
  let gatewayAs: User | undefined;
  let gatewayReason: string | undefined;
  let lastTable = '';
  let recovered = false;
  let files: readonly string[] = saved.get<string[]>('files') ?? [];
  let ending: Promise<void> | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const supervisor = createSupervisor({
    store,
    ioFolder: state.io,
    notifyFolder: state.notify,
    logFolder: state.logs,
    secretKey,
    socketGroup: () => gatewayAs?.gid,
    placeOf: (service, field) => placeOf(service, field),
    capabilitiesOf: (service) => (service === gatewayService ? ['net_bind_service'] : []),
    record: (type, subject, message, data) => {
      journal.record({ type, subject, message, ...(data && { data }) });
      if (type === 'instance.fatal' || type.startsWith('output.')) log('warn', `${subject}: ${message}`);
    },
    onChange: () => void publishTable(),
    onGrowth: () => growth.ring(),
  });

  function tellTrouble({ message }: { readonly message: string }): void {
    journal.record({ type: 'gateway.trouble', subject: gatewayService, message });
    log('warn', `gateway: ${message}`);
  }

  /** Sends the gateway what is reachable now, if that is news; resolves when its workers serve by it. Never rejects. */
  async function publishTable(): Promise<void> {
    if (gateway === undefined) return;
    const table = buildTable(config.sites, config.gateway, {
      endpoints: supervisor.endpoints(),
      certificates: new Map([...certificates, ...(acme?.certificates() ?? [])]),
      files: siteFiles,
      challenges,
      ticketKeys,
    });
    const text = JSON.stringify(table);
    if (text === lastTable) return;
    lastTable = text;
    try {
      const problems = await gateway.setTable(table);
      problems.forEach(tellTrouble);
    } catch (error) {
      lastTable = '';
      log('error', `the gateway's table cannot be written: ${(error as Error).message}`);
    }
  }

  async function ensureGateway(next: Config, user: User | undefined): Promise<void> {
    if (gateway !== undefined || next.sites.length === 0) return;
    gateway = await createGateway({
      dir: state.gateway,
      log: (line) => log('info', line),
      ...(user && { owner: { uid: user.uid, gid: user.gid } }),
    });
  }

  /** Opens what certificates from an authority out there are kept in, so that the first table has them. Never rejects. */
  async function ensureAcme({ sites, gateway: { acme: spec } }: Config): Promise<void> {
    const wanted = sites.some(({ tls }) => tls === 'acme');
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
        await publishTable();
        // At the first start, and after a restart of the daemon, the authority would look before anybody answers.
        await gateway?.serving(gatewayInstances(config, workerCommand(state.gateway), undefined).length, workersThereMs);
      },
      onCertificate: () => void publishTable(),
      onTrouble: tellTrouble,
    };
    try {
      acme = await createAcme(options);
    } catch (error) {
      tellTrouble({ message: `certificates from the authority (ACME) cannot be kept in ${state.acme}: ${(error as Error).message}` });
    }
  }

  /** Asks for the certificates that are missing, and renews the others; those that are there belong in the next table. */
  function wantCertificates({ sites }: Config): void {
    const hasPlainPort = sites.some(({ tls, redirectFrom }) => tls === undefined || redirectFrom.length > 0);
    const ways = hasPlainPort ? {} : { ways: ['tls-alpn-01' as const] };
    const asked = sites.filter(({ tls }) => tls === 'acme');
    acme?.want(asked.map((site) => ({ name: certificateName(site) ?? '', hosts: site.hosts, ...ways })));
  }

  function ensureLogFiles({ sites }: Config, user: User | undefined): void {
    logFiles?.stop();
    logFiles = createLogFiles({ ...(user && { owner: { uid: user.uid, gid: user.gid } }), log: (line) => log('warn', line) });
    logFiles.want(logFilesOf(sites));
  }

  function workersUser(next: Config): User | undefined {
    const { user, reason } = gatewayUser(next.gateway.user, [process.execPath, workerProgram], state.gateway);
    if (reason !== undefined && reason !== gatewayReason) log('warn', reason);
    gatewayReason = reason;
    return user;
  }

  const instancesOf = (next: Config, user: User | undefined) => [
    ...next.instances,
    ...gatewayInstances(next, workerCommand(state.gateway), user),
  ];

  function load(request: FilesRequest): { loaded: Loaded; paths: readonly string[] } {
    const paths = request.files ?? files;
    if (paths.length === 0)
      throw new StewardError('config/no-files', 'no files are given, and none were applied before', {
        status: 400,
        hint: 'Name a file: steward up steward.yaml',
      });
    return { loaded: loadConfig(paths, { env: process.env, socketFolder: state.sockets, base: request.base ?? '/' }), paths };
  }

  /** What the files amount to, with the problems of certificate files. `internal` also makes those of the local authority. */
  async function examine(request: FilesRequest, internal: boolean) {
    const { loaded, paths } = load(request);
    const sites = loaded.config.sites.filter(({ tls }) => internal || typeof tls !== 'string');
    const certs = hasErrors(loaded.problems) ? { certificates, problems: [] } : await loadCertificates(sites, state.authority, Date.now());
    const named = await loadSiteFiles(loaded.config.sites);
    const problems = [...loaded.problems, ...certs.problems, ...named.problems];
    return {
      config: loaded.config,
      certificates: certs.certificates,
      siteFiles: named.files,
      problems,
      problemsText: formatProblems(problems, loaded.sources),
      placeOf: (service: string, field: string) => formatPlace(loaded.placeOf(service, field)),
      paths,
    };
  }

  function planOf(found: Awaited<ReturnType<typeof examine>>, changes: readonly Change[]): Plan {
    const ports = [...new Set(found.config.sites.flatMap((site) => [...site.listen, ...site.redirectFrom]).map(listenerName))];
    const changed = gatewayPart(found.config) !== (saved.get<string>('gateway') ?? gatewayPart(emptyConfig));
    return {
      files: [...found.paths],
      changes: changes.map((change) => ({ ...change, reasons: [...change.reasons] })),
      sites: {
        changed,
        summary:
          found.config.sites.length === 0
            ? 'no sites'
            : `${found.config.sites.length} ${found.config.sites.length === 1 ? 'site' : 'sites'} on ${ports.join(', ')}`,
      },
      problems: [...found.problems],
      problemsText: found.problemsText,
    };
  }

  function refuseErrors(found: Awaited<ReturnType<typeof examine>>): void {
    if (!hasErrors(found.problems)) return;
    journal.record({ type: 'config.refused', subject: found.paths.join(' '), message: `the files have errors; nothing was changed` });
    throw new StewardError('config/errors', 'the files have errors; nothing was changed', {
      status: 422,
      details: { problems: found.problems, problemsText: found.problemsText },
    });
  }

  /** Other files than those in force would stop what only the old ones bring: that must be said explicitly. */
  function refuseReplacement(request: FilesRequest, paths: readonly string[], changes: readonly Change[]): void {
    const stops = changes.filter(({ kind, id }) => kind === 'stop' && !id.startsWith(`${gatewayService}:`));
    const isSame = paths.length === files.length && paths.every((path) => files.includes(path));
    if (request.replace || isSame || files.length === 0 || stops.length === 0) return;
    throw new StewardError(
      'config/other-files',
      `Steward runs ${files.join(' ')}; these files alone would stop ${stops.map(({ id }) => id).join(', ')}`,
      { status: 409, hint: 'Name all files together, or add --replace to stop what is not in them.' },
    );
  }

  function recover(): number {
    if (recovered) return 0;
    recovered = true;
    const taken = supervisor.recover();
    if (taken.length > 0) log('info', `took over ${taken.length} running instances: ${taken.join(', ')}`);
    return taken.length;
  }

  async function apply(request: FilesRequest): Promise<Plan> {
    const found = await examine(request, true);
    refuseErrors(found);
    const user = workersUser(found.config);
    await ensureGateway(found.config, user);
    const specs = instancesOf(found.config, user);
    recover(); // in the same turn as the apply: what was taken over knows its secrets again before anything can end
    const changes = supervisor.plan(specs);
    refuseReplacement(request, found.paths, changes);
    const plan = planOf(found, changes);
    ({ config, certificates, siteFiles, placeOf } = found);
    gatewayAs = user;
    files = found.paths;
    saved.set('files', files);
    saved.set('gateway', gatewayPart(config));
    supervisor.apply(specs);
    ensureLogFiles(config, user);
    await ensureAcme(config);
    wantCertificates(config);
    await publishTable();
    journal.record({ type: 'config.applied', subject: files.join(' '), message: summary(changes) });
    log('info', `applied ${files.join(' ')}: ${summary(changes)}`);
    return plan;
  }

  /** One apply at a time: two at once would each plan against what the other is changing. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => {});
    return result;
  };

  const renewing = setInterval(() => {
    void inTurn(async () => {
      ({ certificates } = await loadCertificates(config.sites, state.authority, Date.now()));
      ticketKeys = randomBytes(48).toString('base64');
      await publishTable();
    }).catch((error: Error) => log('error', `certificates cannot be renewed: ${error.message}`));
  }, renewLookMs).unref();

  let markEnded: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    markEnded = resolve;
  });

  async function close(keeper: 'stop' | 'leave', reason: string): Promise<void> {
    clearInterval(renewing);
    journal.record({ type: 'daemon.stopped', subject: 'daemon', message: reason });
    await supervisor.close(keeper);
    logFiles?.stop();
    await acme?.stop();
    await gateway?.stop();
    await api.close(); // last: who waits for the end waits for this
    store.close();
    claim.release();
  }

  function shutDown(): Promise<void> {
    ending ??= inTurn(async () => {
      recover();
      await supervisor.stopAll();
      log('info', 'all services are stopped');
      await close('stop', 'shut down with all services');
      markEnded();
    });
    return ending;
  }

  const system: System = {
    plan: async (request) => {
      const found = await examine(request, false);
      return planOf(found, hasErrors(found.problems) ? [] : supervisor.plan(instancesOf(found.config, workersUser(found.config))));
    },
    apply: (request) => inTurn(() => apply(request)),
    status: (): Status => ({
      version,
      node: process.version,
      pid: process.pid,
      startedAt: startedAt.toISOString(),
      stateFolder: state.path,
      files: [...files],
      name: config.name,
      gatewayProblems: [...(gateway?.problems() ?? []), ...(acme?.problems() ?? [])].map(({ message }) => message),
      listeners: config.sites.flatMap((site) =>
        site.listen.map((listen) => ({ address: listenerName(listen), tls: site.tls !== undefined, hosts: [...site.hosts] })),
      ),
    }),
    traffic: () => sumTraffic([...(gateway?.counters().values() ?? [])], new Date()),
    authority: async () => ({ certificate: (await openAuthority(state.authority, Date.now())).certificate }),
    shutDown: () => {
      const stopping = supervisor.views().filter(({ pid }) => pid !== undefined).length;
      setImmediate(() => void shutDown());
      return { stopping };
    },
  };

  const api: Api = createApi({ supervisor, journal, system, growth }, (error) => log('error', `bug: ${(error as Error).stack ?? error}`));
  await api.listen(state.controlSocket);
  journal.record({ type: 'daemon.started', subject: 'daemon', message: `Steward ${version} started`, data: { pid: process.pid } });

  return {
    system,
    resume: async () => (files.length === 0 ? undefined : system.apply({})),
    takeOver: async () => recover(),
    ended,
    shutDown,
    async leave() {
      ending ??= close('leave', 'left all services running');
      await ending;
    },
  };
}
