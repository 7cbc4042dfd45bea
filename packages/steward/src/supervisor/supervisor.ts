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
import { groupUsage, isAlive, type ProcessId, type Usage } from '../kernel/process-table.ts';
import { createOutput, type ExitStatus, type Output } from '../output/output.ts';
import type { Store } from '../store/store.ts';
import { createInstance, type Instance, type World } from './instance.ts';
import type { InstanceState } from './machine.ts';
import { startOrder, stopWaves } from './order.ts';
import { createRegistry } from './registry.ts';
import { createSharedSockets, sharedSocketOf } from './shared-socket.ts';
import { instanceOf, type Stream } from './streams.ts';

export { strangerAt } from './shared-socket.ts';
export { tryStart } from './spawn.ts';
export { findUser, type User } from './user.ts';

export interface SupervisorOptions {
  readonly store: Store;
  /** Folder of pipes and the keeper. */
  readonly ioFolder: string;
  /** Folder of the sockets of sd_notify. */
  readonly notifyFolder: string;
  readonly logFolder: string;
  readonly secretKey: string;
  /** Group that may connect to the sockets of services, at this moment: the gateway's. */
  readonly socketGroup: () => number | undefined;
  readonly capabilitiesOf: (service: string) => readonly string[];
  /** Where a field of a service is written, such as `steward.yaml:4:11`; empty when nobody knows. */
  readonly placeOf: (service: string, field: string) => string;
  readonly record: (type: FactType, subject: string, message: string, data?: Record<string, string | number | null>) => void;
  /** Something about an instance changed; several changes may come as one call. */
  readonly onChange: () => void;
  /** Streams that have new lines. */
  readonly onGrowth: (streams: readonly string[]) => void;
}

/** What is known of an instance. */
export interface InstanceView {
  readonly spec: InstanceSpec;
  readonly state: InstanceState;
  readonly pid: number | undefined;
  /** Epoch ms of its last start, undefined when it does not run. */
  readonly startedMs: number | undefined;
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
  /** Ids that got it. */
  signal(ids: readonly string[], signal: SignalName): string[];
  /** Addresses of the ready instances, by service. */
  endpoints(): Map<string, Address[]>;
  /** Processor time and memory by id, of each whole process group. */
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
  const instances = new Map<string, Instance>();
  /** Started by an apply or at boot, still waiting for what they need. */
  const held = new Set<string>();
  /** On their way out: forgotten once stopped. */
  const leaving = new Set<string>();
  const adopted = new Map<string, ProcessId>();
  const downWaiters = new Set<() => void>();
  let announced = false;
  let closed = false;

  const output = createOutput({
    folder: options.ioFolder,
    notifyFolder: options.notifyFolder,
    onGrowth(ids) {
      for (const id of ids) instanceOfStream(id)?.onOutput();
      options.onGrowth(ids);
    },
    onDeath: (process, exit) => died(process, exit),
    onNotify: (id, text) => instances.get(id)?.onNotify(text),
    onTrouble(id, trouble) {
      if ('text' in trouble) record('output.trouble', id, `${trouble.text}; it runs on, and what it says meanwhile is counted`);
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
    openShared: (spec, identity) => sockets.open(spec, identity, pidsSharing(sharedSocketOf(spec)?.name)),
    restoreBacklog: sockets.restoreBacklog,
    freeAddresses,
    logFolder: options.logFolder,
    secretKey,
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
      freeAddresses();
      options.onChange();
      for (const look of [...downWaiters]) look();
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
    return instance.spec.after.filter((service) => {
      const needed = [...instances.values()].filter((other) => other.spec.service === service && !leaving.has(other.spec.id));
      return (
        needed.length > 0 && !needed.every(({ state }) => state.phase === 'RUNNING' || (state.phase === 'EXITED' && state.exit?.code === 0))
      );
    });
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

  function plan(specs: readonly InstanceSpec[]): Change[] {
    const before = [...instances.values()].filter(({ spec }) => !leaving.has(spec.id)).map(({ spec }) => [spec.id, plainOf(spec)] as const);
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

  function change(instance: Instance, spec: InstanceSpec, kind: Change['kind']): void {
    const wasUp = instance.state.wanted === 'up' && instance.state.phase !== 'EXITED';
    instance.replace(spec, kind === 'restart' ? 'next-start' : 'now');
    if (kind === 'restart' && wasUp && !held.has(spec.id)) instance.dispatch({ type: 'restart', at: world.now() });
    else if (instance.state.phase === 'STOPPED' && spec.autostart && !registry.stoppedByHand.has(spec.id)) held.add(spec.id);
  }

  function stopIds(ids: readonly string[]): void {
    for (const id of ids) {
      held.delete(id);
      instances.get(id)?.dispatch({ type: 'want-down', at: world.now() });
    }
  }

  const areDown = (ids: readonly string[]): boolean => ids.every((id) => isDown(instances.get(id)?.state.phase ?? 'STOPPED'));

  function whenDown(ids: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!areDown(ids)) return;
        downWaiters.delete(look);
        resolve();
      };
      downWaiters.add(look);
      look();
    });
  }

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
      for (const run of runs) {
        const instance = createInstance(run.spec, world);
        instances.set(run.id, instance);
        if (run.process !== undefined) adopted.set(run.id, run.process);
        instance.adopt(run);
      }
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
      for (const { id, kind } of changes) {
        const spec = specOf.get(id);
        const present = instances.get(id);
        if (spec === undefined) continue;
        if (kind === 'start' || present === undefined) add(spec);
        else change(present, spec, kind);
      }
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
      const running = [...instances.values()].flatMap(({ spec, state }) =>
        state.pid === undefined ? [] : [[spec.id, state.pid] as const],
      );
      const sums = groupUsage(new Set(running.map(([, pid]) => pid)));
      return new Map(
        running.flatMap(([id, pid]) => {
          const usage = sums.get(pid);
          return usage === undefined ? [] : [[id, usage] as const];
        }),
      );
    },
    async stopAll() {
      held.clear();
      await stopInOrder([...instances.keys()]);
    },
    async close(keeper) {
      closed = true;
      clearInterval(looking);
      for (const instance of instances.values()) instance.release(false);
      await output.stop(keeper);
    },
  };
}
