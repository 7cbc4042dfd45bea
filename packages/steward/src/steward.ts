/**
 * Steward itself: the only file that knows every room. It builds them, connects them, and applies configurations; to see
 * what causes what, read `createSteward` from top to bottom.
 *
 *   files ── config ──▶ plan ──▶ supervisor.apply         journal ◀── every room
 *                          └───▶ gateway.setTable ◀── endpoints of ready instances ── supervisor.onChange
 */
import { randomBytes } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Plan, Status } from '@steward/sdk/contract/system';
import { type Api, createApi, createBell, createRepeats, createXmlRpc, type FilesRequest, type System } from './api/api.ts';
import { createAudit } from './audit/audit.ts';
import { type BootRecord, createBoot } from './boot/boot.ts';
import { createBootRunner } from './boot-service.ts';
import { addressName } from './config/address.ts';
import { type Config, type InstanceSpec, plainGateway, standardAuditMs } from './config/model.ts';
import type { Change } from './config/plan.ts';
import { formatPlace, formatProblems, hasErrors } from './config/problem.ts';
import { type Loaded, loadConfig } from './config/read.ts';
import { baseOf, type StoredSecrets } from './config/stored-secret.ts';
import { createConfigHistory } from './config-history.ts';
import { createConfiguration } from './configuration.ts';
import { StewardError } from './errors.ts';
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
  listenerName,
  loadCertificates,
  loadSiteFiles,
  logFilesOf,
  noChallenges,
  openAuthority,
  type Served,
  sumTraffic,
  workerCommand,
  workerProgram,
} from './gateway/gateway.ts';
import { gatewayInstances, gatewayService, gatewayUser } from './gateway-service.ts';
import { createGroups } from './groups.ts';
import { createIdentity } from './identity/identity.ts';
import { createJournal } from './journal.ts';
import { ticksSinceBoot } from './kernel/age.ts';
import type { DeadChild } from './kernel/children.ts';
import { freePort } from './kernel/free-port.ts';
import { lockHolder } from './kernel/locks.ts';
import { bootId, startTimeOf } from './kernel/process-table.ts';
import { countsOf, inForce, type Scaling, scaledTo } from './scaling.ts';
import { createSecrets, secretFolderFor, takeKey } from './secrets/secrets.ts';
import { claimState, type StateFolder, secretKeyIn } from './state-folder.ts';
import { openStore, type Store } from './store/store.ts';
import { createSupervisor, type InstanceView, type User } from './supervisor/supervisor.ts';
import { version } from './version.ts';

export interface Steward {
  readonly system: System;
  /** Applies the files of the last apply, for a daemon that starts by itself. Undefined when there are none. */
  resume(): Promise<Plan | undefined>;
  /** Takes over what an earlier daemon left, without any file: to stop it. */
  takeOver(): Promise<number>;
  /** Resolves when Steward has ended: with everything stopped, or let go of for another program. */
  readonly ended: Promise<End>;
  /** A child that Node did not start has ended and is collected. */
  reaped(dead: DeadChild): void;
  /** Stops all services in order, then itself. */
  shutDown(): Promise<void>;
  /** Lets go and leaves everything running. */
  leave(): Promise<void>;
}

/** A Steward that can be run: absolute paths of Node and of the main file. */
export type Program = Status['program'];

/** What follows: the exit code of this process, or another program that takes its place. */
export type End = { readonly exitCode: number } | { readonly become: Program };

export interface StewardOptions {
  readonly state: StateFolder;
  /** What this process runs. */
  readonly program: Program;
  /** One line of the daemon's own log. */
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

/** Certificates of the local authority are looked at this often: they last a year and are renewed in time. */
const renewLookMs = 12 * 60 * 60 * 1000;

/** Longer than any drain: the instance's own limit ends it. */
const longestDrainMs = 24 * 60 * 60 * 1000;

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

/** Names under which the API is reached when the files name none. */
const ownNames = (): string[] => [...new Set([hostname(), 'localhost', '127.0.0.1', '[::1]'])];

/** What the certificate of the API is for; [] when it needs none. */
function apiServed({ api }: Config): Served[] {
  if (api === undefined || api.tls === 'none') return [];
  return [{ hosts: api.hosts.length === 0 ? ownNames() : api.hosts, isDefault: false, tls: api.tls }];
}

/** What the gateway serves by, as a text to compare with. */
const gatewayPart = ({ sites, gateway }: Config): string => JSON.stringify([sites, gateway]);

/** While services stop: how often it is looked whether any moves on, and how long after its KILL one may still take. */
const stopLookMs = 200;
const killTakesMs = 20_000;

/** From the wish to stop one until its KILL, with its drain and its hooks. */
const longestStopMs = ({ stop, hooks }: InstanceSpec): number =>
  stop.timeoutMs + (stop.drainMs ?? 0) + (hooks === undefined ? 0 : 2 * hooks.timeoutMs);

/** Neither runs nor is to be started again by itself. */
const isFinallyDead = ({ state: { phase } }: InstanceView): boolean => phase === 'FATAL' || phase === 'EXITED';

/** As a shell has it: its code, or 128 and the number of the signal. Who gave up has failed, whatever the last code was. */
function exitCodeOf({ state: { phase, exit } }: InstanceView): number {
  if (exit?.signal) return 128 + exit.signal;
  return exit?.code || (phase === 'EXITED' && exit?.code === 0 ? 0 : 1);
}

/** @throws StewardError when there is no such program here. */
function checkProgram({ node, main }: Program): void {
  try {
    accessSync(node, constants.X_OK);
    accessSync(main, constants.R_OK);
  } catch (error) {
    throw new StewardError('daemon/program', `the daemon cannot become ${main}: ${(error as Error).message}`, {
      status: 400,
      cause: error,
    });
  }
}

const settings = (store: Store) => ({
  get: <T>(name: string): T | undefined => {
    const [row] = store.all<{ value: string }>('select value from setting where name = ?', name);
    return row === undefined ? undefined : (JSON.parse(row.value) as T);
  },
  set: (name: string, value: unknown): void =>
    void store.run(
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

/** What the last daemon ran, and since when, in ticks since `boot`. */
interface SavedProgram {
  readonly version: string;
  readonly program: Program;
  readonly boot: string;
  readonly since: number;
}

const isSameProgram = (earlier: SavedProgram | undefined, { node, main }: Program): boolean =>
  earlier?.version === version && earlier.program.node === node && earlier.program.main === main;

/** Since when, in ticks since boot, processes that are started run the program of this daemon; from another boot there are none. */
function sinceWhen(earlier: SavedProgram | undefined, program: Program): number {
  if (earlier?.boot !== bootId()) return 0;
  return isSameProgram(earlier, program) ? earlier.since : ticksSinceBoot();
}

/** Takes the state directory and opens every room; nothing is started yet. @throws StewardError when the directory is taken or unusable. */
export async function createSteward({ state, program, log: write }: StewardOptions): Promise<Steward> {
  const masterKey = takeKey(process.env);
  const claim = claimState(state);
  let mask = (text: string): string => text;
  const log: StewardOptions['log'] = (level, message) => write(level, mask(message));
  let storeErrorAt = Number.NEGATIVE_INFINITY;
  const onStoreError = (error: Error): void => {
    if (performance.now() - storeErrorAt < storeErrorEveryMs) return;
    storeErrorAt = performance.now();
    log('error', `state.db cannot be written: ${error.message}; supervision goes on`);
  };
  const store = openStore(state.database, onStoreError);
  const saved = settings(store);
  const earlier = saved.get<SavedProgram>('program');
  const secretKey = secretKeyIn(state);
  const secrets = createSecrets({ store, source: masterKey.source, folder: state.path, markKey: secretKey, now: () => Date.now() });
  ({ mask } = secrets);
  const journal = createJournal(store, () => Date.now(), mask);
  const identity = createIdentity({ store, secretKey, issuer: `Steward ${hostname()}`, now: () => Date.now() });
  const audit = createAudit({
    store,
    now: () => Date.now(),
    mask: secrets.mask,
    onTrouble: (message) => {
      journal.record({ type: 'audit.trouble', subject: 'audit', message });
      log('error', message);
    },
  });
  const growth = createBell();
  const history = createConfigHistory(store, () => Date.now());
  const startedAt = new Date();

  let config = emptyConfig;
  /** Where a field of a service is written, as people are told. */
  let placeOf: (service: string, field: string) => string = () => '';
  let standInOf: Loaded['standIn'] | undefined;
  /** The files in force as they were read, without numbers that were set by hand. */
  let asWritten: Loaded | undefined;
  /** The stored secrets in force: those of the last apply, and those that were set since, by name. */
  let stored: StoredSecrets = () => undefined;
  let setSince: ReadonlyMap<string, StoredSecrets> = new Map();
  let scaling: Scaling = saved.get<Scaling>('scaling') ?? {};
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
  let criticalIds: readonly string[] = [];
  const programSince = sinceWhen(earlier, program);
  if (!isSameProgram(earlier, program) || earlier?.since !== programSince)
    saved.set('program', { version, program, boot: bootId(), since: programSince } satisfies SavedProgram);
  let turn: Promise<unknown> = Promise.resolve();

  const supervisor = createSupervisor({
    store,
    ioFolder: state.io,
    notifyFolder: state.notify,
    logFolder: state.logs,
    secretKey,
    secretFolder: secretFolderFor(state.path),
    mask: secrets.currentMask,
    socketGroup: () => gatewayAs?.gid,
    placeOf: (service, field) => placeOf(service, field),
    capabilitiesOf: (service) => (service === gatewayService ? ['net_bind_service'] : []),
    gateOf: (service) => boot.gateOf(service),
    drained: (spec) => drained(spec),
    standIn: async (service) => (groups.readingOf(service)?.standIn ?? standInOf)?.(service, await freePort()),
    record: (type, subject, message, data) => {
      journal.record({ type, subject, message, ...(data && { data }) });
      if (type === 'instance.fatal' || type.startsWith('output.')) log('warn', `${subject}: ${message}`);
    },
    onChange: () => {
      endIfCritical();
      bootRunner.onChange();
      void publishTable();
    },
    onGrowth: () => growth.ring(),
  });
  const bootRunner = createBootRunner(supervisor);
  const boot = createBoot({
    bootId: bootId(),
    hostname: hostname(),
    read: () => saved.get<BootRecord>('boot'),
    write: (record) => saved.set('boot', record),
    runner: bootRunner,
    record: (type, subject, message, data) => {
      journal.record({ type, subject, message, ...(data && { data }) });
      log(type === 'boot.failed' || type === 'boot.alert' || type === 'boot.degraded' ? 'warn' : 'info', `${subject}: ${message}`);
    },
  });

  function tellTrouble({ message }: { readonly message: string }): void {
    journal.record({ type: 'gateway.trouble', subject: gatewayService, message });
    log('warn', `gateway: ${message}`);
  }

  /** By name; those of an authority out there in place of what stands in for them. */
  const certificatesNow = (): ReadonlyMap<string, Certificate> => new Map([...certificates, ...(acme?.certificates() ?? [])]);

  /** Sends the gateway what is reachable now, if that is news; resolves when its workers serve by it. Never rejects. */
  async function publishTable(): Promise<void> {
    if (gateway === undefined) return;
    const table = buildTable(config.sites, config.gateway, {
      endpoints: supervisor.endpoints(),
      certificates: certificatesNow(),
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

  /** Makes the API reachable where the files say. */
  async function serveApi(): Promise<void> {
    const [served] = apiServed(config);
    const pair = served && certificates.get(certificateName(served) ?? '');
    await api.serve(served !== undefined && pair === undefined ? undefined : config.api, pair);
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

  /** Waits until the gateway sends an instance nothing more and has its answers. */
  function drained({ endpoint }: InstanceSpec): Promise<void> | undefined {
    if (gateway === undefined || endpoint === undefined || endpoint.shared !== undefined) return undefined;
    // After a restart of the daemon they serve, and have yet to connect.
    const workers = supervisor
      .views()
      .filter(({ spec, state: { phase } }) => spec.service === gatewayService && phase === 'RUNNING').length;
    return publishTable().then(() => gateway?.left(addressName(endpoint), workers, longestDrainMs));
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

  /** `host` is whose boot list is run, when that changes. */
  const instancesOf = (next: Config, user: User | undefined, host?: string) => [
    ...next.instances,
    ...boot.instances(next.boot, host),
    ...gatewayInstances(next, workerCommand(state.gateway), user).map((spec) => ({ ...spec, ownProgram: true as const })),
  ];

  function load(
    request: FilesRequest,
    texts?: ReadonlyMap<string, string>,
  ): { loaded: Loaded; stored: StoredSecrets; paths: readonly string[] } {
    const paths = request.files ?? files;
    if (paths.length === 0)
      throw new StewardError('config/no-files', 'no files are given, and none were applied before', {
        status: 400,
        hint: 'Name a file: steward up steward.yaml',
      });
    const now = secrets.snapshot();
    const around = { env: process.env, socketFolder: state.sockets, base: request.base ?? '/', stored: now, ...(texts && { texts }) };
    return { loaded: loadConfig(paths, around), stored: now, paths };
  }

  /** The same with the numbers of instances that were set by hand and still hold. */
  function withScaling(loaded: Loaded): Loaded {
    const counts = countsOf(inForce(scaling, loaded.written));
    return counts.size === 0 ? loaded : loaded.scaled(counts);
  }

  /** What the files amount to, with the problems of certificate files. `internal` also makes those of the local authority. */
  async function examine(request: FilesRequest, internal: boolean, texts?: ReadonlyMap<string, string>) {
    const { loaded: asRead, stored, paths } = load(request, texts);
    const loaded = withScaling(asRead);
    const sites = [...loaded.config.sites, ...apiServed(loaded.config)].filter(({ tls }) => internal || typeof tls !== 'string');
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
      standInOf: loaded.standIn,
      asWritten: asRead,
      stored,
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

  async function apply(request: FilesRequest, by: string): Promise<Plan> {
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
    ({ standInOf, asWritten, stored } = found);
    setSince = new Map();
    groups.reset();
    scaling = inForce(scaling, asWritten.written);
    saved.set('scaling', scaling);
    gatewayAs = user;
    files = found.paths;
    saved.set('files', files);
    saved.set('gateway', gatewayPart(config));
    criticalIds = specs.filter(({ critical }) => critical).map(({ id }) => id);
    boot.set(config.boot);
    audit.keep(config.auditKeepMs ?? standardAuditMs);
    supervisor.apply(specs);
    boot.begin(); // in the same turn: services of the list must not start before it
    ensureLogFiles(config, user);
    await ensureAcme(config);
    wantCertificates(config);
    await serveApi();
    await xmlRpc.listen(config.supervisorctl ?? []);
    await publishTable();
    history.keep({ by, summary: summary(changes), roots: files }, asWritten.texts);
    journal.record({ type: 'config.applied', subject: files.join(' '), message: summary(changes) });
    log('info', `applied ${files.join(' ')}: ${summary(changes)}`);
    return plan;
  }

  /** Changes the number of instances of a service, by the files in force as they were read: what was edited since is not applied. */
  function scale(service: string, text: string): { from: number; to: number; written: number } {
    const written = asWritten?.written ?? new Map<string, number>();
    const { from, to, written: inFile, scaling: next } = scaledTo(scaling, written, service, text);
    const loaded = asWritten?.scaled(countsOf(next));
    if (loaded === undefined || hasErrors(loaded.problems))
      throw new StewardError('api/bad-scale', `${service} cannot have ${to} instances`, {
        status: 422,
        details: { problemsText: loaded === undefined ? '' : formatProblems(loaded.problems, loaded.sources) },
      });
    scaling = next;
    saved.set('scaling', scaling);
    config = groups.restrict(loaded.config);
    standInOf = loaded.standIn;
    supervisor.apply(instancesOf(config, gatewayAs));
    const told = `has ${to} instances now, and had ${from}`;
    journal.record({ type: 'service.scaled', subject: service, message: told, data: { from, to } });
    log('info', `${service} ${told}`);
    return { from, to, written: inFile };
  }

  /**
   * Gives a secret that was set to the services that use it, by the files in force as they were read: neither files that were edited
   * since nor other secrets that were set since are applied with it.
   */
  function rotate(name: string): { restarted: string[]; trouble?: string } {
    if (asWritten === undefined) return { restarted: [] };
    const since = new Map([...setSince, [name, secrets.snapshot(name)]]);
    const written = asWritten.withSecrets((wanted) => (since.get(baseOf(wanted)) ?? stored)(wanted));
    const loaded = withScaling(written);
    if (hasErrors(loaded.problems)) return { restarted: [], trouble: formatProblems(loaded.problems, loaded.sources) };
    setSince = since;
    asWritten = written;
    config = groups.restrict(loaded.config);
    standInOf = loaded.standIn;
    const up = new Set(
      supervisor.views().flatMap(({ spec, state: { wanted, phase } }) => (wanted === 'up' && phase !== 'EXITED' ? spec.id : [])),
    );
    const changes = supervisor.apply(instancesOf(config, gatewayAs));
    const lacking = config.instances.find(
      ({ lacks, secrets: used = {} }) => lacks !== undefined && (name in used || `${name}.previous` in used),
    );
    const restarted = changes.filter(({ kind, id }) => kind === 'restart' && up.has(id)).map(({ id }) => id);
    return { restarted, ...(lacking?.lacks !== undefined && { trouble: `${lacking.id}: ${lacking.lacks}` }) };
  }

  /** One apply at a time: two at once would each plan against what the other is changing. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work);
    turn = result.catch(() => {});
    return result;
  };

  const renewing = setInterval(() => {
    void inTurn(async () => {
      ({ certificates } = await loadCertificates([...config.sites, ...apiServed(config)], state.authority, Date.now()));
      await serveApi();
      ticketKeys = randomBytes(48).toString('base64');
      await publishTable();
    }).catch((error: Error) => log('error', `certificates cannot be renewed: ${error.message}`));
  }, renewLookMs).unref();

  let markEnded: (end: End) => void = () => {};
  const ended = new Promise<End>((resolve) => {
    markEnded = resolve;
  });

  async function close(keeper: 'stop' | 'leave', reason: string): Promise<void> {
    clearInterval(renewing);
    boot.stop();
    journal.record({ type: 'daemon.stopped', subject: 'daemon', message: reason });
    const steps: readonly (() => unknown)[] = [
      () => supervisor.close(keeper),
      () => logFiles?.stop(),
      () => acme?.stop(),
      () => gateway?.stop(),
      () => xmlRpc.close(),
      () => api.close(), // last of those that speak: who waits for the end waits for this
      () => audit.stop(),
      () => store.close(),
      () => claim.release(),
    ];
    for (const step of steps)
      try {
        await step();
      } catch (error) {
        log('error', `while ending: ${(error as Error).message}`); // a dead disk must not keep it from ending
      }
  }

  const runningViews = (): InstanceView[] => supervisor.views().filter(({ pid }) => pid !== undefined);

  /** Stops all in order for as long as it moves on; ids of those that nothing ends, such as a process that waits for a dead disk. */
  async function stopAll(): Promise<string[]> {
    let left = runningViews();
    let movedAt = performance.now();
    let done = false;
    const stopping = supervisor.stopAll().then(() => {
      done = true;
    });
    while (!done) {
      await Promise.race([stopping, wait(stopLookMs)]);
      const now = runningViews();
      if (now.length < left.length) movedAt = performance.now();
      left = now;
      const patienceMs = Math.max(0, ...supervisor.views().map(({ spec }) => longestStopMs(spec))) + killTakesMs;
      if (performance.now() - movedAt > patienceMs) return left.map(({ spec }) => spec.id);
    }
    return [];
  }

  async function stopAndClose(exitCode: number): Promise<void> {
    recover();
    boot.stop();
    const left = await stopAll();
    if (left.length === 0) log('info', 'all services are stopped');
    else log('error', `not even KILL ends ${left.join(', ')}: left behind`);
    await close(left.length === 0 ? 'stop' : 'leave', left.length === 0 ? 'shut down with all services' : `left behind ${left.join(', ')}`);
    markEnded({ exitCode: left.length === 0 ? exitCode : exitCode || 1 });
  }

  function shutDown(exitCode = 0): Promise<void> {
    ending ??= inTurn(() => stopAndClose(exitCode));
    return ending;
  }

  function endIfCritical(): void {
    if (ending !== undefined) return;
    const dead = criticalIds.map((id) => supervisor.view(id)).find((view) => view !== undefined && isFinallyDead(view));
    if (dead === undefined) return;
    const exitCode = exitCodeOf(dead);
    const message = `is critical and is not started again: everything stops, and Steward ends with code ${exitCode}`;
    journal.record({ type: 'instance.critical', subject: dead.spec.id, message, data: { exitCode } });
    log('error', `${dead.spec.id} ${message}`);
    void shutDown(exitCode);
  }

  /** Lets go of everything, which runs on, and then says what follows. */
  function letGo(end: End, reason: string): Promise<void> {
    ending ??= inTurn(async () => {
      await close('leave', reason);
      masterKey.giveBack(process.env); // nothing is started here any more, and what follows needs it
      markEnded(end);
    });
    return ending;
  }

  /** The keeper and the workers that were started by an earlier program, and run on. */
  function olderParts(): Status['older'] {
    const keeper = lockHolder(join(state.io, 'keeper.lock'));
    const workers = supervisor.views().filter(({ spec }) => spec.service === gatewayService);
    const parts = [{ part: 'keeper', pid: keeper }, ...workers.map(({ spec, pid }) => ({ part: spec.id, pid }))];
    return parts.flatMap(({ part, pid }) => {
      const start = pid === undefined ? undefined : startTimeOf(pid);
      return pid === undefined || start === undefined || start >= programSince ? [] : { part, pid };
    });
  }

  async function plan(request: FilesRequest, texts?: ReadonlyMap<string, string>): Promise<Plan> {
    const found = await examine(request, false, texts);
    return planOf(found, hasErrors(found.problems) ? [] : supervisor.plan(instancesOf(found.config, workersUser(found.config))));
  }

  const configuration = createConfiguration({
    history,
    roots: () => files,
    read: (roots) => (roots.length === 0 ? [] : load({ files: roots }).loaded.texts),
    plan: (roots, texts) => plan({ files: roots }, new Map(texts.map(({ path, text }) => [path, text]))),
    apply: (roots, by, replace) => apply({ files: roots, replace }, by),
    inTurn: (work) => inTurn(work),
  });

  function useGroups(): void {
    if (asWritten === undefined) return;
    config = groups.restrict(withScaling(asWritten).config);
    const specs = instancesOf(config, gatewayAs);
    criticalIds = specs.filter(({ critical }) => critical).map(({ id }) => id);
    const changes = supervisor.apply(specs);
    journal.record({ type: 'config.applied', subject: files.join(' '), message: `by groups: ${summary(changes)}` });
  }

  const groups = createGroups({
    supervisor,
    read: async () => {
      const found = await examine({}, false);
      refuseErrors(found);
      return found.asWritten;
    },
    applied: () => asWritten,
    scaled: withScaling,
    plan: (instances) => supervisor.plan(instancesOf({ ...config, instances }, gatewayAs)),
    use: useGroups,
    apply: (by) => apply({}, by),
    onDown: () => xmlRpc.forget(),
    isEnding: () => ending !== undefined,
    inTurn: (work) => inTurn(work),
    onError: (error) => log('error', `starting over: ${error.message}`),
  });

  const system: System = {
    plan: (request) => plan(request),
    apply: (request, by) => inTurn(() => apply(request, by)),
    configuration,
    groups,
    sites: () => describeSites(config.sites, certificatesNow(), Date.now()),
    scale: (service, to) => inTurn(async () => scale(service, to)),
    setSecret: (set, restarts) =>
      inTurn(async () => {
        const { changed, version } = set();
        return { changed, version, ...(changed && restarts !== undefined ? rotate(restarts) : { restarted: [] }) };
      }),
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
      program,
      older: olderParts(),
    }),
    boot: (host) => boot.info(host),
    runBoot: (request) =>
      inTurn(async () => {
        const { host } = boot.check(request);
        supervisor.apply(instancesOf(config, gatewayAs, host));
        boot.run(request);
        return boot.info();
      }),
    traffic: () => sumTraffic([...(gateway?.counters().values() ?? [])], new Date()),
    authority: async () => ({ certificate: (await openAuthority(state.authority, Date.now())).certificate }),
    shutDown: () => {
      const stopping = supervisor.views().filter(({ pid }) => pid !== undefined).length;
      setImmediate(() => void shutDown());
      return { stopping };
    },
    upgrade: (next) => {
      checkProgram(next);
      if (ending !== undefined) throw new StewardError('daemon/ending', 'the daemon is ending', { status: 409 });
      setImmediate(() => void letGo({ become: next }, `gives way to ${next.main}`));
      return system.status();
    },
  };

  const rooms = { supervisor, journal, secrets, identity, audit, system, growth };
  const api: Api = createApi({
    rooms,
    keeper: identity,
    ledger: audit,
    repeats: createRepeats(store, secretKey, () => Date.now()),
    onError: (error) => log('error', `bug: ${(error as Error).stack ?? error}`),
    onTrouble: (message) => {
      journal.record({ type: 'api.trouble', subject: 'api', message });
      log('warn', message);
    },
  });
  const xmlRpc = createXmlRpc({
    rooms,
    mainLog: state.daemonLog,
    begin: ({ subject, from, via }, action, names) => {
      const entry = { as: subject.kind, who: subject.name, via, from, action, object: names.join(' '), details: {} };
      return audit.begin(entry);
    },
    onDenied: (from) =>
      audit.note({
        as: 'nobody',
        who: '',
        via: 'supervisorctl',
        from,
        action: 'supervisorctl',
        object: '',
        details: {},
        result: 'refused',
        reason: 'wrong user name or password',
      }),
    onTrouble: (message) => {
      journal.record({ type: 'supervisorctl.trouble', subject: 'supervisorctl', message });
      log('warn', message);
    },
    onError: (error) => log('error', `bug: ${(error as Error).stack ?? error}`),
  });
  await api.listen(state.controlSocket);
  journal.record({ type: 'daemon.started', subject: 'daemon', message: `Steward ${version} started`, data: { pid: process.pid } });
  if (earlier !== undefined && !isSameProgram(earlier, program))
    journal.record({ type: 'daemon.upgraded', subject: 'daemon', message: `${earlier.version} → ${version}, ${program.main}` });
  if (secrets.locked !== undefined) {
    journal.record({ type: 'secret.locked', subject: 'secrets', message: secrets.locked });
    log('warn', `the secrets are locked: ${secrets.locked}`);
  }

  return {
    system,
    resume: async () => (files.length === 0 ? undefined : system.apply({}, 'daemon')),
    takeOver: async () => recover(),
    ended,
    reaped: ({ pid, code, signal }) => supervisor.reaped(pid, { code, signal }),
    shutDown: () => shutDown(),
    leave: () => letGo({ exitCode: 0 }, 'left all services running'),
  };
}
