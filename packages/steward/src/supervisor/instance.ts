/**
 * One instance: its state, and the shell around its reducer. Effects are performed here and their outcome comes back as
 * the next event; events are taken one after the other, never inside each other.
 */

import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import type { FactType } from '@steward/sdk/contract/facts';
import type { InstanceSpec, SignalName } from '../config/model.ts';
import { type PlainSpec, withoutSecrets } from '../config/plan.ts';
import { isGroupAlive, type ProcessId, startTimeOfChild } from '../kernel/process-table.ts';
import type { Output, Place } from '../output/output.ts';
import {
  describeExit,
  type Exit,
  type InstanceEffect,
  type InstanceEvent,
  type InstanceState,
  initialState,
  step,
  type TimerName,
} from './machine.ts';
import { type Readiness, watchReadiness } from './readiness.ts';
import { instanceMark, type Registry, type Run, runMark } from './registry.ts';
import { isSocket, makeSocketFolder, openToGroup, removeDeadSocket } from './socket.ts';
import { CannotStart, environmentFor, type Identity, identify, launch } from './spawn.ts';
import { openDescriptors, type Stream, streamsOf } from './streams.ts';

/** What an instance needs of the world. */
export interface World {
  readonly output: Output;
  readonly registry: Registry;
  /** Folder of logs that name none. */
  readonly logFolder: string;
  /** Hides secrets in what is kept on disk. */
  readonly secretKey: string;
  /** Group that may connect to the sockets of services: the gateway's. */
  socketGroup(): number | undefined;
  /** The socket a spec shares with the other instances of its service, as a descriptor. Rejects with CannotStart. */
  openShared(spec: InstanceSpec, identity: Identity): Promise<number>;
  /** Makes the backlog of that socket again what the file says. */
  restoreBacklog(spec: InstanceSpec): void;
  /** Closes the sockets that no instance shares any more; resolves when their addresses are free, undefined when they are. */
  freeAddresses(): Promise<void> | undefined;
  /** Rights an instance keeps although it does not run as root, by service. */
  capabilitiesOf(service: string): readonly string[];
  now(): number;
  wallClock(): number;
  chance(): number;
  record(type: FactType, subject: string, message: string, data?: Record<string, string | number | null>): void;
  onState(instance: Instance, before: InstanceState): void;
}

export interface Instance {
  readonly spec: InstanceSpec;
  readonly state: InstanceState;
  readonly process: ProcessId | undefined;
  /** Epoch ms of the last start. */
  readonly startedMs: number;
  readonly streams: readonly Stream[];
  dispatch(event: InstanceEvent): void;
  /** Takes a new spec now, for what needs no restart, or with the next start. Without a process both are now. */
  replace(spec: InstanceSpec, when: 'now' | 'next-start'): void;
  adopt(run: Run): void;
  signal(signal: SignalName): boolean;
  onOutput(): void;
  onNotify(text: string): void;
  /** Lets go of timers, probes and streams; the process is not touched. */
  release(closeStreams: boolean): void;
}

const groupLookMs = 20;

const exitOf = (code: number | null, signal: NodeJS.Signals | null): Exit => ({
  code,
  signal: signal === null ? null : (constants.signals[signal] ?? 0),
});

export function createInstance(first: InstanceSpec, world: World): Instance {
  const { output, registry } = world;
  let spec = first;
  let nextSpec: InstanceSpec | undefined;
  let state = initialState;
  let process_: ProcessId | undefined;
  let runId = '';
  let startedMs = 0;
  let readiness: Readiness | undefined;
  let begin = new Map<string, Place | undefined>();
  /** Who it runs as, asked once for each spec: a restart must not wait for a name service. */
  let identity: Identity | undefined;
  let released = false;
  const timers = new Map<TimerName, NodeJS.Timeout>();
  const waiting: InstanceEvent[] = [];
  let busy = false;

  const plain = (): PlainSpec => withoutSecrets(spec, world.secretKey);
  const at = (): number => world.now();

  const streams = (): Stream[] => streamsOf(spec, world.logFolder);

  /** Who may open its pipes and write to its notify socket, when that is not Steward's own user. */
  const owner = (): { uid: number; gid: number } | undefined =>
    identity?.switches ? { uid: identity.user.uid, gid: identity.gid } : undefined;

  function openStreams(): void {
    const who = owner();
    for (const stream of streams()) output.open({ ...stream, ...(who && { owner: who }) });
  }

  /** The same for a process that runs already; a user that is gone by now changes nothing for it. */
  function identifyAgain(): void {
    try {
      identity = identify(spec);
    } catch (error) {
      if (!(error instanceof CannotStart)) throw error;
    }
  }

  /** So that the socket of a process that runs already is held here too; if it cannot be had, the next start says why. */
  function shareAgain(): void {
    if (spec.endpoint?.shared !== undefined && identity !== undefined) world.openShared(spec, identity).catch(() => {});
  }

  function dispatch(event: InstanceEvent): void {
    waiting.push(event);
    if (busy) return;
    busy = true;
    try {
      for (let next = waiting.shift(); next !== undefined && !released; next = waiting.shift()) take(next);
    } finally {
      busy = false;
    }
  }

  function take(event: InstanceEvent): void {
    const before = state;
    const { state: after, effects } = step(spec, state, event);
    state = after;
    if (after.phase !== before.phase) remember();
    if (after.phase === 'RUNNING' && before.phase !== 'RUNNING') nowServing();
    for (const effect of effects) perform(effect, before.pid);
    if (after !== before) world.onState(instance, before);
  }

  function nowServing(): void {
    const socket = ownSocket();
    if (socket !== undefined) openToGroup(socket, world.socketGroup());
    world.restoreBacklog(spec);
  }

  /** Keeps on disk what the next daemon needs; a process that is gone needs nothing, unless it ended as it should. */
  function remember(): void {
    const { phase, restarts } = state;
    if (phase === 'STOPPING') return;
    if (phase === 'STARTING' || phase === 'RUNNING' || phase === 'EXITED') {
      registry.save({
        id: spec.id,
        runId,
        process: phase === 'EXITED' ? undefined : process_,
        startedMs,
        state: phase,
        restarts,
        exit: state.exit,
        spec: plain(),
      });
    } else registry.remove(spec.id);
  }

  /** `pid` is the process the effects are about: after an exit the state has none any more, its group may have members. */
  function perform(effect: InstanceEffect, pid: number | undefined): void {
    switch (effect.type) {
      case 'spawn':
        return spawnProcess();
      case 'signal':
        return void send(effect.signal, effect.scope, state.pid ?? pid);
      case 'await-group':
        return awaitGroup(state.pid);
      case 'arm':
        return arm(effect.timer, effect.ms);
      case 'disarm':
        return disarm(effect.timer);
      case 'probe':
        return probe();
      case 'unprobe':
        return unprobe();
      case 'fact':
        return world.record(effect.fact, spec.id, effect.message, effect.data);
    }
  }

  function arm(timer: TimerName, ms: number): void {
    disarm(timer);
    timers.set(
      timer,
      setTimeout(() => dispatch({ type: 'timer', timer, at: at() }), ms),
    );
  }

  function disarm(timer: TimerName): void {
    clearTimeout(timers.get(timer));
    timers.delete(timer);
  }

  function spawnProcess(): void {
    if (nextSpec !== undefined) {
      spec = nextSpec;
      nextSpec = undefined;
      identity = undefined;
    }
    process_ = undefined;
    runId = registry.newRunId();
    startedMs = world.wallClock();
    try {
      identity ??= identify(spec);
      openStreams();
      if (ownSocket() !== undefined) makeSocketFolder(ownSocket() as string, identity, world.socketGroup());
      remember();
      begin = new Map(streams().map(({ file }) => [file, output.place(file, { lines: 0 })]));
      startWhenFree();
    } catch (error) {
      failed(error as Error);
    }
  }

  /** The socket that it makes itself, in a folder that Steward hands out. */
  const ownSocket = (): string | undefined =>
    spec.endpoint?.kind === 'unix' && spec.endpoint.owned && spec.endpoint.shared === undefined ? spec.endpoint.path : undefined;

  const notStarted = (reason: string): void => dispatch({ type: 'spawn-failed', reason, chance: world.chance(), at: at() });

  function failed(error: Error): void {
    if (!(error instanceof CannotStart) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    notStarted(`cannot start: ${error.message}`);
  }

  /** Once the way is free: a socket file that a killed process left would keep the next one from listening. */
  function startWhenFree(): void {
    const { endpoint } = spec;
    if (endpoint === undefined) return startProcess();
    if (endpoint.shared !== undefined) return startAfter(world.openShared(spec, identity ?? identify(spec)));
    const freed = world.freeAddresses();
    const path = endpoint.kind === 'unix' && isSocket(endpoint.path) ? endpoint.path : undefined;
    if (freed === undefined && path === undefined) return startProcess();
    const isFree = async (): Promise<undefined> => {
      await freed;
      if (path !== undefined) await removeDeadSocket(path);
    };
    startAfter(isFree());
  }

  function startAfter(way: Promise<number | undefined>): void {
    void way
      .then((listener) => {
        if (released) return;
        if (state.phase !== 'STARTING') return notStarted('stopped before it started');
        startProcess(listener);
      })
      .catch((error: Error) => (state.phase === 'STARTING' ? failed(error) : notStarted('stopped before it started')));
  }

  function marks(): Record<string, string> {
    const own: Record<string, string> = { [runMark]: runId, STEWARD_SERVICE: spec.service, [instanceMark]: spec.id };
    if (spec.ready?.kind === 'notify') own.NOTIFY_SOCKET = output.listen(spec.id, owner());
    if (spec.endpoint?.shared !== undefined) Object.assign(own, { LISTEN_FDS: '1', LISTEN_FDNAMES: spec.service });
    return own;
  }

  function startProcess(listener?: number): void {
    const who = identity ?? identify(spec);
    const descriptors = openDescriptors(output, spec, world.logFolder);
    try {
      const env = environmentFor(spec, who, marks());
      follow(launch({ spec, identity: who, env, ...descriptors, listener, capabilities: world.capabilitiesOf(spec.service) }));
    } finally {
      descriptors.close();
    }
  }

  function follow(child: ChildProcess): void {
    const { pid } = child;
    child.unref();
    child.once('error', (error) => pid === undefined && failed(new CannotStart(error.message)));
    if (pid === undefined) return;
    process_ = { pid, start: startTimeOfChild(pid) };
    remember();
    const run = runId;
    child.once('exit', (code, signal) => run === runId && gone(exitOf(code, signal)));
    dispatch({ type: 'spawned', pid, at: at() });
  }

  function gone(exit: Exit): void {
    process_ = undefined;
    const socket = ownSocket();
    if (socket !== undefined) rmSync(socket, { force: true });
    world.restoreBacklog(spec);
    dispatch({ type: 'exited', exit, chance: world.chance(), at: at() });
  }

  /** False when there was nobody to get it. */
  function send(signal: SignalName, scope: 'group' | 'process', pid: number | undefined): boolean {
    if (pid === undefined) return false;
    try {
      return process.kill(scope === 'group' ? -pid : pid, `SIG${signal}`);
    } catch {
      return false;
    }
  }

  function awaitGroup(pid: number | undefined): void {
    if (released || state.phase !== 'STOPPING') return;
    if (pid === undefined || !isGroupAlive(pid)) return dispatch({ type: 'group-gone', chance: world.chance(), at: at() });
    setTimeout(() => awaitGroup(pid), groupLookMs);
  }

  function probe(): void {
    unprobe();
    if (spec.ready === undefined) return;
    readiness = watchReadiness({
      ready: spec.ready,
      output,
      begin,
      onReady: () => dispatch({ type: 'ready', at: at() }),
    });
  }

  function unprobe(): void {
    readiness?.cancel();
    readiness = undefined;
  }

  const instance: Instance = {
    get spec() {
      return spec;
    },
    get state() {
      return state;
    },
    get process() {
      return process_;
    },
    get startedMs() {
      return startedMs;
    },
    get streams() {
      return streams();
    },
    dispatch,
    replace(next, when) {
      if (when === 'next-start' && state.pid !== undefined) {
        nextSpec = next;
        return;
      }
      const before = streams();
      spec = next;
      nextSpec = undefined;
      identity = undefined;
      if (state.pid === undefined) return;
      openStreams();
      const kept = new Set(streams().map(({ id }) => id));
      for (const { id } of before) if (!kept.has(id)) output.close(id);
      remember();
    },
    adopt(run) {
      ({ runId, startedMs } = run);
      process_ = run.process;
      if (run.process === undefined) {
        state = {
          ...initialState,
          phase: 'EXITED',
          wanted: 'up',
          restarts: run.restarts,
          exit: run.exit,
          reason: run.exit === undefined ? '' : describeExit(run.exit),
        };
        return;
      }
      identifyAgain();
      openStreams();
      if (spec.ready?.kind === 'notify') output.listen(spec.id, owner());
      output.watch(run.process);
      const startedAt = at() - (world.wallClock() - run.startedMs);
      dispatch({ type: 'adopted', pid: run.process.pid, startedAt, running: run.state === 'RUNNING', restarts: run.restarts, at: at() });
      shareAgain(); // now that it counts as running: the socket may have to come from it
    },
    signal: (signal) => send(signal, 'process', state.pid),
    onOutput: () => readiness?.onOutput(),
    onNotify: (text) => readiness?.onNotify(text),
    release(closeStreams) {
      released = true;
      unprobe();
      for (const timer of timers.values()) clearTimeout(timer);
      if (!closeStreams) return;
      output.unlisten(spec.id);
      for (const { id } of streams()) output.close(id);
    },
  };
  return instance;
}
