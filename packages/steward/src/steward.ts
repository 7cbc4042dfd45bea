/**
 * Steward itself: the only file that knows every room. It builds them, connects them, and applies configurations; to see
 * what causes what, read `createSteward` from top to bottom.
 *
 *   files ── config ──▶ plan ──▶ supervisor.apply         journal ◀── every room
 *                          └───▶ gateway.setTable ◀── endpoints of ready instances ── supervisor.onChange
 */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Plan, Status } from '@steward/sdk/contract/system';
import { type Api, createApi, createBell, createRepeats, createXmlRpc, type FilesRequest, type System } from './api/api.ts';
import { createAudit } from './audit/audit.ts';
import { type BootRecord, createBoot } from './boot/boot.ts';
import { createBootRunner } from './boot-service.ts';
import { type Config, type InstanceSpec, plainGateway, standardAuditMs } from './config/model.ts';
import type { Change } from './config/plan.ts';
import { formatPlace, formatProblems, hasErrors } from './config/problem.ts';
import { type Loaded, loadConfig } from './config/read.ts';
import { baseOf, type StoredSecrets } from './config/stored-secret.ts';
import { createConfigHistory } from './config-history.ts';
import { createConfiguration } from './configuration.ts';
import { createEnding, type End } from './ending.ts';
import { StewardError } from './errors.ts';
import { createFront } from './front.ts';
import { listenerName, openAuthority, type Served } from './gateway/gateway.ts';
import { gatewayService } from './gateway-service.ts';
import { createGroups } from './groups.ts';
import { createIdentity } from './identity/identity.ts';
import { createJournal } from './journal.ts';
import type { DeadChild } from './kernel/children.ts';
import { freePort } from './kernel/free-port.ts';
import { lockHolder } from './kernel/locks.ts';
import { bootId } from './kernel/process-table.ts';
import { checkProgram, type Program, rememberProgram } from './running-program.ts';
import { countsOf, inForce, type Scaling, scaledTo } from './scaling.ts';
import { createSecrets, secretFolderFor, takeKey } from './secrets/secrets.ts';
import { createSettings } from './settings.ts';
import { claimState, type StateFolder, secretKeyIn } from './state-folder.ts';
import { openStore } from './store/store.ts';
import { createSupervisor, type InstanceView, type User } from './supervisor/supervisor.ts';
import { version } from './version.ts';

export type { End, Program };

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

export interface StewardOptions {
  readonly state: StateFolder;
  /** What this process runs. */
  readonly program: Program;
  /** One line of the daemon's own log. */
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

/** Certificates of the local authority are looked at this often: they last a year and are renewed in time. */
const renewLookMs = 12 * 60 * 60 * 1000;

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

/** Ids of the services without which there is no point in going on. */
const criticalOf = (specs: readonly InstanceSpec[]): string[] => specs.filter(({ critical }) => critical).map(({ id }) => id);

const summary = (changes: readonly Change[]): string => {
  const counts = Map.groupBy(changes, ({ kind }) => kind);
  return (
    ['start', 'restart', 'update', 'stop', 'stay']
      .flatMap((kind) => (counts.has(kind as Change['kind']) ? `${counts.get(kind as Change['kind'])?.length} ${kind}` : []))
      .join(', ') || 'nothing to run'
  );
};

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
  const saved = createSettings(store);
  const running = rememberProgram(saved, program);
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
  /** Who the gateway's workers run as, when that is not Steward's own user. */
  let workersAs: User | undefined;
  let recovered = false;
  let files: readonly string[] = saved.get<string[]>('files') ?? [];
  let turn: Promise<unknown> = Promise.resolve();

  const supervisor = createSupervisor({
    store,
    ioFolder: state.io,
    notifyFolder: state.notify,
    logFolder: state.logs,
    secretKey,
    secretFolder: secretFolderFor(state.path),
    mask: secrets.currentMask,
    socketGroup: () => front.group(),
    placeOf: (service, field) => placeOf(service, field),
    capabilitiesOf: (service) => (service === gatewayService ? ['net_bind_service'] : []),
    gateOf: (service) => boot.gateOf(service),
    drained: ({ endpoint }) => front.drained(endpoint),
    standIn: async (service) => (groups.readingOf(service)?.standIn ?? standInOf)?.(service, await freePort()),
    record: (type, subject, message, data) => {
      journal.record({ type, subject, message, ...(data && { data }) });
      if (type === 'instance.fatal' || type.startsWith('output.')) log('warn', `${subject}: ${message}`);
    },
    onChange: () => {
      ending.look();
      bootRunner.onChange();
      void front.publish();
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

  const front = createFront({
    state,
    log,
    onTrouble: (message) => {
      journal.record({ type: 'gateway.trouble', subject: gatewayService, message });
      log('warn', `gateway: ${message}`);
    },
    endpoints: () => supervisor.endpoints(),
    workers: () => gatewayViews().filter(({ state: { phase } }) => phase === 'RUNNING').length,
  });
  const gatewayViews = (): InstanceView[] => supervisor.views().filter(({ spec }) => spec.service === gatewayService);

  /** Makes the API reachable where the files say. */
  async function serveApi(): Promise<void> {
    const [served] = apiServed(config);
    const pair = served && front.certificateFor(served);
    await api.serve(served !== undefined && pair === undefined ? undefined : config.api, pair);
  }

  /** `host` is whose boot list is run, when that changes. */
  const instancesOf = (next: Config, user: User | undefined, host?: string) => [
    ...next.instances,
    ...boot.instances(next.boot, host),
    ...front.instances(next, user),
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
    const supplies = await front.supply(loaded.config, apiServed(loaded.config), internal, hasErrors(loaded.problems));
    const problems = [...loaded.problems, ...supplies.problems];
    return {
      config: loaded.config,
      supplies,
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
    const user = front.userFor(found.config);
    await front.open(found.config, user);
    const specs = instancesOf(found.config, user);
    recover(); // in the same turn as the apply: what was taken over knows its secrets again before anything can end
    const changes = supervisor.plan(specs);
    refuseReplacement(request, found.paths, changes);
    const plan = planOf(found, changes);
    ({ config, placeOf, standInOf, asWritten, stored } = found);
    front.use(config, found.supplies, user);
    setSince = new Map();
    groups.reset();
    scaling = inForce(scaling, asWritten.written);
    saved.set('scaling', scaling);
    workersAs = user;
    files = found.paths;
    saved.set('files', files);
    saved.set('gateway', gatewayPart(config));
    ending.setCritical(criticalOf(specs));
    boot.set(config.boot);
    audit.keep(config.auditKeepMs ?? standardAuditMs);
    supervisor.apply(specs);
    boot.begin(); // in the same turn: services of the list must not start before it
    await front.follow();
    await serveApi();
    await xmlRpc.listen(config.supervisorctl ?? []);
    await front.publish();
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
    supervisor.apply(instancesOf(config, workersAs));
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
    const changes = supervisor.apply(instancesOf(config, workersAs));
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
      await front.renew(apiServed(config));
      await serveApi();
    }).catch((error: Error) => log('error', `certificates cannot be renewed: ${error.message}`));
  }, renewLookMs).unref();

  async function close(keeper: 'stop' | 'leave', reason: string): Promise<void> {
    clearInterval(renewing);
    boot.stop();
    journal.record({ type: 'daemon.stopped', subject: 'daemon', message: reason });
    const steps: readonly (() => unknown)[] = [
      () => supervisor.close(keeper),
      ...front.closing,
      () => xmlRpc.close(),
      () => api.close(), // last of those that speak: who waits for the end waits for this
      () => audit.stop(),
      () => store.close(),
      () => claim.release(),
      () => keeper === 'leave' && masterKey.giveBack(process.env), // nothing is started here any more, and what follows needs it
    ];
    for (const step of steps)
      try {
        await step();
      } catch (error) {
        log('error', `while ending: ${(error as Error).message}`); // a dead disk must not keep it from ending
      }
  }

  const ending = createEnding({
    supervisor,
    log,
    beforeStop: () => {
      recover();
      boot.stop();
    },
    close,
    onCritical: (id, message, exitCode) => {
      journal.record({ type: 'instance.critical', subject: id, message, data: { exitCode } });
      log('error', `${id} ${message}`);
    },
    inTurn: (work) => inTurn(work),
  });

  /** The keeper and the workers that were started by an earlier program, and run on. */
  function olderParts(): Status['older'] {
    const keeper = { part: 'keeper', pid: lockHolder(join(state.io, 'keeper.lock')) };
    return running.older([keeper, ...gatewayViews().map(({ spec, pid }) => ({ part: spec.id, pid }))]);
  }

  async function plan(request: FilesRequest, texts?: ReadonlyMap<string, string>): Promise<Plan> {
    const found = await examine(request, false, texts);
    return planOf(found, hasErrors(found.problems) ? [] : supervisor.plan(instancesOf(found.config, front.userFor(found.config))));
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
    const specs = instancesOf(config, workersAs);
    ending.setCritical(criticalOf(specs));
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
    plan: (instances) => supervisor.plan(instancesOf({ ...config, instances }, workersAs)),
    use: useGroups,
    apply: (by) => apply({}, by),
    onDown: () => xmlRpc.forget(),
    isEnding: () => ending.hasBegun(),
    inTurn: (work) => inTurn(work),
    onError: (error) => log('error', `starting over: ${error.message}`),
  });

  const system: System = {
    plan: (request) => plan(request),
    apply: (request, by) => inTurn(() => apply(request, by)),
    configuration,
    groups,
    sites: () => front.sites(),
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
      gatewayProblems: front.problems(),
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
        supervisor.apply(instancesOf(config, workersAs, host));
        boot.run(request);
        return boot.info();
      }),
    traffic: () => front.traffic(),
    authority: async () => ({ certificate: (await openAuthority(state.authority, Date.now())).certificate }),
    shutDown: () => {
      const stopping = supervisor.views().filter(({ pid }) => pid !== undefined).length;
      setImmediate(() => void ending.shutDown());
      return { stopping };
    },
    upgrade: (next) => {
      checkProgram(next);
      if (ending.hasBegun()) throw new StewardError('daemon/ending', 'the daemon is ending', { status: 409 });
      setImmediate(() => void ending.letGo({ become: next }, `gives way to ${next.main}`));
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
  if (running.upgradedFrom !== undefined)
    journal.record({ type: 'daemon.upgraded', subject: 'daemon', message: `${running.upgradedFrom} → ${version}, ${program.main}` });
  if (secrets.locked !== undefined) {
    journal.record({ type: 'secret.locked', subject: 'secrets', message: secrets.locked });
    log('warn', `the secrets are locked: ${secrets.locked}`);
  }

  return {
    system,
    resume: async () => (files.length === 0 ? undefined : system.apply({}, 'daemon')),
    takeOver: async () => recover(),
    ended: ending.ended,
    reaped: ({ pid, code, signal }) => supervisor.reaped(pid, { code, signal }),
    shutDown: () => ending.shutDown(),
    leave: () => ending.letGo({ exitCode: 0 }, 'left all services running'),
  };
}
