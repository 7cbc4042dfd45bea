/**
 * The supervisor: keeps instances as their specs want them. Instances start in order, waiting for what they need to be
 * ready, and stop in reverse; an apply touches only what its plan names.
 *
 *   recover() → processes of an earlier daemon are taken over         apply(specs) → Change[] done, in order
 *   start / stop / restart / signal by id                             onChange → endpoints of ready instances moved
 */
import { createHash } from 'node:crypto';
import type { FactType } from '@steward/sdk/contract/facts';
import type { Address, InstanceSpec, SignalName } from '../config/model.ts';
import { type Change, type PlainSpec, planChanges, withoutSecrets } from '../config/plan.ts';
import { isAlive, type ProcessId, type Usage } from '../kernel/process-table.ts';
import { createOutput, type ExitStatus, type Output } from '../output/output.ts';
import { createSecretFiles } from '../secrets/secrets.ts';
import type { Store } from '../store/store.ts';
import { createInstance, type Instance, type World } from './instance.ts';
import { watchLimits } from './limits.ts';
import type { InstanceState } from './machine.ts';
import { startOrder, stopWaves } from './order.ts';
import { createRegistry, runMark } from './registry.ts';
import { type Fleet, type RollReport, roll } from './rolling.ts';
import { createSharedSockets, sharedSocketOf } from './shared-socket.ts';
import { instanceOf, type Stream } from './streams.ts';
import { createTrees } from './tree.ts';

export type { RollReport } from './rolling.ts';
export { strangerAt } from './shared-socket.ts';
export { CannotStart, type OneOff, oneOff, tryStart } from './spawn.ts';
export { findGroup, findUser, type User } from './user.ts';

export interface SupervisorOptions {
  readonly store: Store;
  /** Folder of pipes and the keeper. */
  readonly ioFolder: string;
  /** Folder of the sockets of sd_notify. */
  readonly notifyFolder: string;
  readonly logFolder: string;
  readonly secretKey: string;
  /** Folder of the files by which services get secrets. */
  readonly secretFolder: string;
  /** Takes out of what services wrote what nobody is to read; undefined when there is nothing. */
  readonly mask?: () => ((text: string) => string) | undefined;
  /** Group that may connect to the sockets of services, at this moment: the gateway's. */
  readonly socketGroup: () => number | undefined;
  readonly capabilitiesOf: (service: string) => readonly string[];
  /** Where a field of a service is written, such as `steward.yaml:4:11`; empty when nobody knows. */
  readonly placeOf: (service: string, field: string) => string;
  /** The boot step a service waits for before it may start by itself; undefined when it waits for none. */
  readonly gateOf?: (service: string) => string | undefined;
  readonly record: (type: FactType, subject: string, message: string, data?: Record<string, string | number | null>) => void;
  /** Something about an instance changed; several changes may come as one call. */
  readonly onChange: () => void;
  /** Streams that have new lines. */
  readonly onGrowth: (streams: readonly string[]) => void;
  /** Resolves when no request is under way to an instance that is to be stopped; undefined when nobody sends it any. */
  readonly drained: (spec: InstanceSpec) => Promise<void> | undefined;
  /** A copy that can serve while the instances of a service are replaced; undefined when there can be none. */
  readonly standIn: (service: string) => Promise<InstanceSpec | undefined>;
}

/** What is known of an instance. */
export interface InstanceView {
  readonly spec: InstanceSpec;
  readonly state: InstanceState;
  readonly pid: number | undefined;
  /** Epoch ms of its last start, undefined when it does not run. */
  readonly startedMs: number | undefined;
  /** How long it has run, by a clock that nobody sets; undefined when it does not run. */
  readonly uptimeMs: number | undefined;
  readonly stoppedByHand: boolean;
  /** Services it still waits for before its first start. */
  readonly waitsFor: readonly string[];
  /** Its output streams: stdout first. */
  readonly streams: readonly Stream[];
}

export interface Supervisor {
  readonly output: Output;
  /** Takes over what an earlier daemon started; ids of the instances taken over. Call once, before apply. */
  recover(): string[];
  plan(specs: readonly InstanceSpec[]): Change[];
  /** Does what `plan` says. Gives the changes back at once; they go on in the background. */
  apply(specs: readonly InstanceSpec[]): Change[];
  views(): InstanceView[];
  view(id: string): InstanceView | undefined;
  start(ids: readonly string[]): void;
  /** Remembered until somebody starts it. Resolves when all are down. */
  stop(ids: readonly string[]): Promise<void>;
  restart(ids: readonly string[]): void;
  /**
   * Replaces the running instances of a service one after the other while a copy stands in for them, or sends them the signal
   * that reloads them. Resolves when that is over; never rejects.
   */
  reload(service: string): Promise<RollReport>;
  /** Starts an instance that no file names; an apply leaves it alone. It goes with `dismiss`. */
  addTemporary(spec: InstanceSpec): void;
  dismiss(id: string): void;
  /** Starts those that are down, as at boot: each when what it needs is ready, and not those stopped by hand or ended well. */
  bringUp(ids: readonly string[]): void;
  /** Stops without remembering it. Resolves when all are down. */
  halt(ids: readonly string[]): Promise<void>;
  /** A child that Node did not start has ended and is collected: it may be one that was taken over. */
  reaped(pid: number, exit: ExitStatus): void;
  /** Ids that got it. */
  signal(ids: readonly string[], signal: SignalName): string[];
  /** Addresses of the ready instances, by service. */
  endpoints(): Map<string, Address[]>;
  /** Processor time, memory, descriptors and tasks by id, of the whole tree of each run. */
  usage(): Map<string, Usage>;
  /** Stops all in order. Resolves when nothing runs. */
  stopAll(): Promise<void>;
  /** Lets go without touching processes; `keeper: 'stop'` when nothing runs any more. */
  close(keeper: 'stop' | 'leave'): Promise<void>;
}

/** How often processes that are not our children are looked at, should the keeper have missed one. */
const lookAfterMs = 2000;

/** A name for this installation that tells nothing of its key. */
const homeOf = (key: string): string => createHash('sha256').update(`home ${key}`).digest('hex').slice(0, 12);

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {} // gone by itself
}

const isDown = (phase: InstanceState['phase']): boolean => phase === 'STOPPED' || phase === 'EXITED' || phase === 'FATAL';

export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { record, secretKey } = options;
  const registry = createRegistry(options.store, homeOf(secretKey));
  const trees = createTrees(`steward-${homeOf(secretKey)}`, runMark);
  const instances = new Map<string, Instance>();
  /** Started by an apply or at boot, still waiting for what they need. */
  const held = new Set<string>();
  /** On their way out: forgotten once stopped. */
  const leaving = new Set<string>();
  const adopted = new Map<string, ProcessId>();
  const secretFiles = createSecretFiles(options.secretFolder);
  const waiters = new Set<() => void>();
  /** Services whose instances are being replaced. */
  const rolling = new Set<string>();
  let announced = false;
  let closed = false;

  const output = createOutput({
    folder: options.ioFolder,
    ...(options.mask && { mask: options.mask }),
    notifyFolder: options.notifyFolder,
    onGrowth(ids) {
      for (const id of ids) instanceOfStream(id)?.onOutput();
      options.onGrowth(ids);
    },
    onDeath: (process, exit) => died(process, exit),
    onNotify: (id, text) => instances.get(id)?.onNotify(text),
    onTrouble(id, trouble) {
      if ('syslog' in trouble)
        record(trouble.syslog === 'up' ? 'output.recovered' : 'output.trouble', id, `syslog: ${trouble.text}`, {
          ...(trouble.skippedBytes > 0 && { skippedBytes: trouble.skippedBytes }),
        });
      else if ('text' in trouble) record('output.trouble', id, `${trouble.text}; it runs on, and what it says meanwhile is counted`);
      else
        record('output.recovered', id, `its log can be written again; ${trouble.droppedBytes} bytes are missing`, {
          droppedBytes: trouble.droppedBytes,
        });
    },
  });

  const instanceOfStream = (stream: string): Instance | undefined => instances.get(instanceOf(stream));

  const sockets = createSharedSockets({ output, socketGroup: options.socketGroup, placeOf: options.placeOf });

  const pidsSharing = (name: string | undefined): number[] =>
    [...instances.values()].flatMap(({ spec, state }) => (state.pid !== undefined && sharedSocketOf(spec)?.name === name ? state.pid : []));

  /** While anybody is to serve a socket it stays open: what connects waits. Of a service that is down it is closed, so that it refuses. */
  const freeAddresses = (): Promise<void> | undefined =>
    sockets.keepOnly([...instances.values()].flatMap(({ spec, state }) => (held.has(spec.id) || !isDown(state.phase) ? spec : [])));

  const world: World = {
    output,
    registry,
    trees,
    openShared: (spec, identity) => sockets.open(spec, identity, pidsSharing(sharedSocketOf(spec)?.name)),
    restoreBacklog: sockets.restoreBacklog,
    freeAddresses,
    drained: options.drained,
    logFolder: options.logFolder,
    secretKey,
    secretFiles,
    socketGroup: options.socketGroup,
    capabilitiesOf: options.capabilitiesOf,
    now: () => performance.now(),
    wallClock: () => Date.now(),
    chance: () => Math.random(),
    record,
    onState(instance, before) {
      if (instance.state.phase !== before.phase) settleState(instance);
      announce();
    },
  };

  /** One call for all changes of this turn. */
  function announce(): void {
    if (announced || closed) return;
    announced = true;
    queueMicrotask(() => {
      announced = false;
      admit();
      dismissIdle();
      freeAddresses();
      options.onChange();
      for (const look of [...waiters]) look();
    });
  }

  function settleState(instance: Instance): void {
    const { id } = instance.spec;
    if (instance.process === undefined) adopted.delete(id);
    if (leaving.has(id) && isDown(instance.state.phase)) forget(id);
  }

  function forget(id: string): void {
    leaving.delete(id);
    held.delete(id);
    instances.get(id)?.release(true);
    instances.delete(id);
    registry.remove(id);
    registry.markStopped(id, false);
  }

  /** Services `instance` needs that are not ready yet. */
  function missing(instance: Instance): string[] {
    const gate = options.gateOf?.(instance.spec.service);
    const services = instance.spec.after.filter((service) => {
      const needed = lasting().filter((other) => other.spec.service === service);
      return (
        needed.length > 0 && !needed.every(({ state }) => state.phase === 'RUNNING' || (state.phase === 'EXITED' && state.exit?.code === 0))
      );
    });
    return gate === undefined ? services : [`boot step ${gate}`, ...services];
  }

  /** Starts those whose time has come, in order. */
  function admit(): void {
    if (held.size === 0) return;
    const specs = [...instances.values()].map(({ spec }) => spec);
    for (const id of startOrder(specs).filter((name) => held.has(name))) {
      const instance = instances.get(id);
      if (instance === undefined || missing(instance).length > 0) continue;
      held.delete(id);
      instance.dispatch({ type: 'want-up', at: world.now() });
    }
  }

  function died(process: ProcessId, exit: ExitStatus): void {
    for (const [id, known] of adopted) {
      if (known.pid !== process.pid || known.start !== process.start) continue;
      adopted.delete(id);
      instances.get(id)?.dispatch({ type: 'exited', exit, chance: world.chance(), at: world.now() });
    }
  }

  const looking = setInterval(() => {
    for (const process of [...adopted.values()]) if (!isAlive(process)) died(process, { code: null, signal: null });
  }, lookAfterMs).unref();

  const plainOf = (spec: InstanceSpec): PlainSpec => withoutSecrets(spec, secretKey);

  /** What files name, and is not on its way out. */
  const lasting = (): Instance[] => [...instances.values()].filter(({ spec }) => !leaving.has(spec.id) && spec.temporary === undefined);

  function plan(specs: readonly InstanceSpec[]): Change[] {
    const before = lasting().map(({ spec }) => [spec.id, plainOf(spec)] as const);
    return planChanges(new Map(before), new Map(specs.map((spec) => [spec.id, plainOf(spec)])), registry.stoppedByHand);
  }

  function add(spec: InstanceSpec): void {
    const present = instances.get(spec.id);
    if (present !== undefined) {
      // It is on its way out and wanted back.
      leaving.delete(spec.id);
      present.replace(spec, 'next-start');
    } else instances.set(spec.id, createInstance(spec, world));
    if (spec.autostart && !registry.stoppedByHand.has(spec.id)) held.add(spec.id);
  }

  /** What runs and could not be started by its new spec keeps the one it has. */
  function asItCan({ spec, state }: Instance, next: InstanceSpec): InstanceSpec {
    if (next.lacks === undefined || state.pid === undefined) return next;
    return spec.masked ? { ...spec, lacks: next.lacks } : spec;
  }

  function change(instance: Instance, spec: InstanceSpec, kind: Change['kind']): void {
    const wasUp = instance.state.wanted === 'up' && instance.state.phase !== 'EXITED';
    instance.replace(asItCan(instance, spec), kind === 'restart' ? 'next-start' : 'now');
    if (kind === 'restart' && wasUp && !held.has(spec.id)) instance.dispatch({ type: 'restart', at: world.now() });
    else if (instance.state.phase === 'STOPPED' && spec.autostart && !registry.stoppedByHand.has(spec.id)) held.add(spec.id);
  }

  function stopIds(ids: readonly string[]): void {
    for (const id of ids) {
      held.delete(id);
      instances.get(id)?.dispatch({ type: 'want-down', at: world.now() });
    }
  }

  /** One that got KILL and that the kernel lets not go holds nobody up. */
  function addTemporary(spec: InstanceSpec): void {
    const instance = createInstance(spec, world);
    instances.set(spec.id, instance);
    instance.dispatch({ type: 'want-up', at: world.now() });
  }

  function dismiss(id: string): void {
    if (!instances.has(id)) return;
    leaving.add(id);
    stopIds([id]);
    if (areDown([id])) forget(id);
  }

  /** A stand-in leaves once everything it stands in for runs, or is not to; what a daemon that was killed left, too. */
  function dismissIdle(): void {
    for (const { spec } of [...instances.values()]) {
      if (spec.temporary !== 'stand-in' || leaving.has(spec.id) || rolling.has(spec.service)) continue;
      const isWanted = (other: Instance): boolean => other.state.wanted === 'up' || held.has(other.spec.id);
      const wanted = lasting().filter((other) => other.spec.service === spec.service && isWanted(other));
      if (wanted.every(({ state }) => state.phase === 'RUNNING')) dismiss(spec.id);
    }
  }

  /** Resolves with what `look` finds, which is asked at each change. */
  const until = <T>(look: () => T | undefined): Promise<T> =>
    new Promise((resolve) => {
      const again = (): void => {
        const found = look();
        if (found === undefined) return;
        waiters.delete(again);
        resolve(found);
      };
      waiters.add(again);
      again();
    });

  const fleet: Fleet = {
    spec: (id) => instances.get(id)?.spec,
    state: (id) => instances.get(id)?.state,
    add: addTemporary,
    dismiss,
    restart(id, spec) {
      const instance = instances.get(id);
      instance?.replace(spec, 'next-start');
      instance?.dispatch({ type: 'restart', at: world.now() });
    },
    until,
    record: (type, subject, message) => record(type, subject, message),
  };

  async function rollService(service: string, next: ReadonlyMap<string, InstanceSpec>): Promise<RollReport> {
    if (rolling.has(service)) return { service, done: false, message: 'it is being reloaded already', replaced: [] };
    rolling.add(service);
    try {
      const standIn = await options.standIn(service);
      const running = lasting().filter(({ spec, state }) => spec.service === service && state.wanted === 'up');
      const ids = running.map(({ spec }) => spec.id).filter((id) => next.size === 0 || next.has(id));
      const isFree = standIn !== undefined && ids.length > 0 && !instances.has(standIn.id);
      return await roll(fleet, { service, ids, standIn: isFree ? standIn : undefined, next });
    } finally {
      rolling.delete(service);
      announce();
    }
  }

  /** Sends the signal by which the program reloads itself. */
  function signalReload(service: string, members: readonly Instance[], signal: SignalName): RollReport {
    const replaced = members.filter((instance) => instance.signal(signal)).map(({ spec }) => spec.id);
    for (const id of replaced) record('instance.signalled', id, `got ${signal} to reload`, { signal });
    return {
      service,
      done: true,
      message: replaced.length === 0 ? 'none was running' : `sent ${signal} to ${replaced.join(', ')}`,
      replaced,
    };
  }

  const areDown = (ids: readonly string[]): boolean =>
    ids.every((id) => {
      const state = instances.get(id)?.state;
      return state === undefined || isDown(state.phase) || (state.phase === 'STOPPING' && state.stuck === true);
    });

  const limitWatch = watchLimits(trees, () =>
    [...instances.values()].flatMap((instance) => {
      const { spec, state, runId } = instance;
      if (spec.limits === undefined || state.pid === undefined || state.phase === 'STOPPING') return [];
      return {
        runId,
        limits: spec.limits,
        over: (reason: string) => instance.dispatch({ type: 'restart', reason, at: world.now() }),
        high: (message: string) => record('instance.limit', spec.id, message),
      };
    }),
  );

  /** Down, or wanted up again since: who asked for the stop must not wait for what another has undone. */
  const isSettled = (id: string): boolean => areDown([id]) || instances.get(id)?.state.wanted === 'up';

  const whenDown = async (ids: readonly string[]): Promise<void> => void (await until(() => ids.every(isSettled) || undefined));

  /** Stops the given ids wave by wave, each when the one before is down. */
  async function stopInOrder(ids: readonly string[]): Promise<void> {
    const specs = ids.flatMap((id) => instances.get(id)?.spec ?? []);
    for (const wave of stopWaves(specs)) {
      stopIds(wave);
      await whenDown(wave);
    }
  }

  function viewOf(instance: Instance): InstanceView {
    const { spec, state, startedMs } = instance;
    return {
      spec,
      state,
      pid: state.pid,
      startedMs: state.pid === undefined ? undefined : startedMs,
      uptimeMs: state.pid === undefined ? undefined : world.now() - state.startedAt,
      stoppedByHand: registry.stoppedByHand.has(spec.id),
      waitsFor: held.has(spec.id) ? missing(instance) : [],
      streams: instance.streams,
    };
  }

  return {
    output,
    recover() {
      const { runs, copies } = registry.recover();
      for (const { pid } of copies) {
        record('instance.killed', String(pid), 'a second copy that no record names: gets KILL', { pid });
        endGroup(pid);
      }
      for (const { pid } of registry.strayHooks()) endGroup(pid);
      for (const run of runs) {
        const instance = createInstance(run.spec, world);
        instances.set(run.id, instance);
        if (run.process !== undefined) adopted.set(run.id, run.process);
        instance.adopt(run);
      }
      secretFiles.keepOnly(runs.map(({ runId }) => runId));
      trees.tidy(runs.map(({ runId }) => runId));
      return runs.filter((run) => run.process !== undefined).map(({ id }) => id);
    },
    plan,
    apply(specs) {
      const changes = plan(specs);
      const specOf = new Map(specs.map((spec) => [spec.id, spec]));
      const gone = changes.filter(({ kind }) => kind === 'stop').map(({ id }) => id);
      for (const id of gone) leaving.add(id);
      void stopInOrder(gone);
      for (const id of gone) if (areDown([id])) forget(id);
      const rolls = new Map<string, Map<string, InstanceSpec>>();
      for (const { id, kind } of changes) {
        const spec = specOf.get(id);
        const present = instances.get(id);
        if (spec === undefined) continue;
        if (kind === 'start' || present === undefined) add(spec);
        else if (kind === 'restart' && spec.rolls && present.state.phase === 'RUNNING')
          rolls.set(spec.service, (rolls.get(spec.service) ?? new Map<string, InstanceSpec>()).set(id, spec));
        else change(present, spec, kind);
      }
      for (const [service, next] of rolls) void rollService(service, next);
      announce();
      return changes;
    },
    views: () => [...instances.values()].map(viewOf),
    view: (id) => {
      const instance = instances.get(id);
      return instance && viewOf(instance);
    },
    start(ids) {
      for (const id of ids) {
        registry.markStopped(id, false);
        held.delete(id);
        instances.get(id)?.dispatch({ type: 'want-up', at: world.now() });
      }
    },
    stop(ids) {
      for (const id of ids) registry.markStopped(id, true);
      return stopInOrder(ids);
    },
    restart(ids) {
      for (const id of ids) {
        registry.markStopped(id, false);
        held.delete(id);
        instances.get(id)?.dispatch({ type: 'restart', at: world.now() });
      }
    },
    async reload(service) {
      const members = lasting().filter(({ spec }) => spec.service === service);
      const signal = members[0]?.spec.reloadSignal;
      return signal === undefined ? rollService(service, new Map()) : signalReload(service, members, signal);
    },
    addTemporary,
    dismiss,
    reaped(pid, exit) {
      const known = [...adopted.values()].find((process) => process.pid === pid);
      if (known !== undefined) died(known, exit);
    },
    bringUp(ids) {
      for (const id of ids) {
        const state = instances.get(id)?.state;
        const isToStart = state !== undefined && isDown(state.phase) && !(state.phase === 'EXITED' && state.exit?.code === 0);
        if (isToStart && !registry.stoppedByHand.has(id)) held.add(id);
      }
      announce();
    },
    halt: (ids) => stopInOrder(ids),
    signal(ids, signal) {
      const reached = ids.filter((id) => instances.get(id)?.signal(signal));
      for (const id of reached) record('instance.signalled', id, `got ${signal}`, { signal });
      return reached;
    },
    endpoints() {
      const found = new Map<string, Address[]>();
      for (const { spec, state } of instances.values()) {
        const list = found.get(spec.service) ?? [];
        found.set(spec.service, list);
        if (spec.endpoint === undefined || state.phase !== 'RUNNING') continue;
        if (spec.endpoint.shared !== undefined && list.length > 0) continue;
        list.push(
          spec.endpoint.kind === 'unix'
            ? { kind: 'unix', path: spec.endpoint.path }
            : { kind: 'tcp', host: spec.endpoint.host, port: spec.endpoint.port },
        );
      }
      return found;
    },
    usage() {
      const running = [...instances.values()].flatMap(({ spec, state, runId }) =>
        state.pid === undefined ? [] : [[spec.id, runId] as const],
      );
      const sums = trees.usage(running.map(([, runId]) => runId));
      return new Map(
        running.flatMap(([id, runId]) => {
          const usage = sums.get(runId);
          return usage === undefined ? [] : [[id, usage] as const];
        }),
      );
    },
    async stopAll() {
      held.clear();
      // Somebody may start one meanwhile.
      do await stopInOrder([...instances.keys()]);
      while (!areDown([...instances.keys()]));
    },
    async close(keeper) {
      closed = true;
      clearInterval(looking);
      limitWatch.stop();
      for (const instance of instances.values()) instance.release(false);
      trees.close();
      await output.stop(keeper);
    },
  };
}
