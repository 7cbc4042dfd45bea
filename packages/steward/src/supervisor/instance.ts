/**
 * One instance: its state, and the shell around its reducer. Effects are performed here and their outcome comes back as
 * the next event; events are taken one after the other, never inside each other.
 */

import { rmSync } from 'node:fs';
import type { FactType } from '@steward/sdk/contract/facts';
import type { HookName, InstanceSpec, SignalName } from '../config/model.ts';
import { type PlainSpec, withoutSecrets } from '../config/plan.ts';
import { ageMs } from '../kernel/age.ts';
import { type ProcessId, startTimeOfChild } from '../kernel/process-table.ts';
import type { Output, Place } from '../output/output.ts';
import type { SecretFiles } from '../secrets/secrets.ts';
import { type HookRun, runHook } from './hooks.ts';
import { createLastEnd } from './last-end.ts';
import { notHeld } from './limits.ts';
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
import { openDescriptors, type Stream, shortRun, streamsOf } from './streams.ts';
import type { TreeOf, Trees } from './tree.ts';

/** What an instance needs of the world. */
export interface World {
  readonly output: Output;
  readonly registry: Registry;
  readonly trees: Trees;
  /** Folder of logs that name none. */
  readonly logFolder: string;
  /** Hides secrets in what is kept on disk. */
  readonly secretKey: string;
  readonly secretFiles: SecretFiles;
  /** Group that may connect to the sockets of services: the gateway's. */
  socketGroup(): number | undefined;
  /** The socket a spec shares with the other instances of its service, as a descriptor. Rejects with CannotStart. */
  openShared(spec: InstanceSpec, identity: Identity): Promise<number>;
  /** Makes the backlog of that socket again what the file says. */
  restoreBacklog(spec: InstanceSpec): void;
  /** Closes the sockets that no instance shares any more; resolves when their addresses are free, undefined when they are. */
  freeAddresses(): Promise<void> | undefined;
  /** Resolves when no request is under way to it; undefined when nobody sends it any. */
  drained(spec: InstanceSpec): Promise<void> | undefined;
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
  /** Of its last start; empty before the first. */
  readonly runId: string;
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

const treeLookMs = 20;
const lastTreeLookMs = 500;
/** How long KILL may take before it is told that it does not. */
const killTakesMs = 1000;
/** What `afterExit` is told of the end. */
const endedHow = ({ code, signal }: Exit): Record<string, string> => ({
  ...(code !== null && { EXIT_CODE: String(code) }),
  ...(signal !== null && { EXIT_SIGNAL: String(signal) }),
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
  const lastEnd = createLastEnd(world);
  let toldNotHeld = '';
  let stuckLook: NodeJS.Timeout | undefined;
  /** Files with secrets are there for its run. */
  let hasFiles = false;
  /** The command that runs before a start or a stop. */
  let hook: HookRun | undefined;

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
    if (event.type === 'exited') ended(event.exit);
    if (event.type === 'exited' || event.type === 'spawn-failed') removeFiles();
    if (event.type === 'exited' && before.pid !== undefined)
      for (const { id } of streams().toReversed()) output.ended(id, { run: shortRun(runId), pid: before.pid }, event.exit);
    const { state: after, effects } = step(spec, state, event);
    state = after;
    if (after.phase !== before.phase) remember();
    if (after.phase === 'RUNNING' && before.phase !== 'RUNNING') nowServing();
    if (after.phase === 'RUNNING' && before.phase === 'STARTING') void ownHook('afterReady');
    if (event.type === 'exited' && before.pid !== undefined) void ownHook('afterExit', endedHow(event.exit));
    for (const effect of effects) perform(effect, before.pid);
    if (event.type === 'exited' || event.type === 'group-gone') explain().catch(notExplained);
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
      case 'take-leave':
        return void takeLeave();
      case 'signal':
        if (state.pid === undefined) hook?.cancel(); // it had not started yet
        if (effect.scope === 'process') return void send(effect.signal, state.pid ?? pid);
        return signalTree(effect.signal);
      case 'await-group':
        return awaitTree(world.now(), treeLookMs);
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
      refuseLacking();
      openStreams();
      writeFiles(identity);
      if (ownSocket() !== undefined) makeSocketFolder(ownSocket() as string, identity, world.socketGroup());
      remember();
      const drained = output.drained(streams().map(({ id }) => id));
      if (spec.hooks?.beforeStart !== undefined) void prepare(drained);
      else if (drained === undefined) startAtEnd();
      else void drained.then(startDrained);
    } catch (error) {
      failed(error as Error);
    }
  }

  /** @throws CannotStart when a secret of it is not known. */
  function refuseLacking(): void {
    if (spec.lacks !== undefined) throw new CannotStart(spec.lacks);
    if (spec.masked) throw new CannotStart('its secrets are known once files are applied');
  }

  /** @throws CannotStart. */
  function writeFiles({ user, gid }: Identity): void {
    if (spec.secretFiles === undefined) return;
    hasFiles = true;
    try {
      world.secretFiles.write(runId, spec.secretFiles, { uid: user.uid, gid });
    } catch (error) {
      throw new CannotStart(`its secrets cannot be written: ${(error as Error).message}`);
    }
  }

  /** The same for a process that runs, should somebody have removed them. */
  function writeFilesAgain(): void {
    try {
      if (identity === undefined) identifyAgain();
      if (identity !== undefined && !spec.masked) writeFiles(identity);
    } catch (error) {
      if (!(error instanceof CannotStart)) throw error;
      world.record('secret.trouble', spec.id, error.message);
    }
  }

  function removeFiles(): void {
    if (hasFiles) world.secretFiles.remove(runId);
    hasFiles = false;
  }

  /** Variables with the paths of its files. */
  const pathsOfFiles = (): Record<string, string> => (hasFiles ? world.secretFiles.paths(runId, spec.secretFiles ?? []) : {});

  function startAtEnd(): void {
    begin = new Map(streams().map(({ file }) => [file, output.place(file, { lines: 0 })]));
    startWhenFree();
  }

  /** The same once the last words of the run before are in the log, so that they are not taken for its own. */
  function startDrained(): void {
    if (released) return;
    if (state.phase !== 'STARTING') return notStarted('stopped before it started');
    try {
      startAtEnd();
    } catch (error) {
      failed(error as Error);
    }
  }

  /** Its `beforeStart`, then the start. */
  async function prepare(drained: Promise<void> | undefined): Promise<void> {
    await drained;
    const fault = await ownHook('beforeStart');
    if (released) return;
    if (fault === undefined) startDrained();
    else notStarted(state.phase === 'STARTING' ? `its beforeStart ${fault}` : 'stopped before it started');
  }

  /** Runs one of its commands; what went wrong is told, and given back. */
  async function ownHook(name: HookName, env: Readonly<Record<string, string>> = {}): Promise<string | undefined> {
    if (spec.hooks?.[name] === undefined || identity === undefined) return undefined;
    const about = { ...env, ...pathsOfFiles(), ...(state.pid !== undefined && { STEWARD_PID: String(state.pid) }) };
    const { logFolder } = world;
    const run = runHook({ name, spec, identity, output, logFolder, run: shortRun(runId), mark: registry.newRunId(), env: about });
    if (name === 'beforeStart' || name === 'beforeStop') hook = run;
    const fault = await run?.outcome;
    if (hook === run) hook = undefined;
    if (fault !== undefined && !released) world.record('instance.hook', spec.id, `its ${name} ${fault}`, { hook: name });
    return fault;
  }

  /** Before the first signal: requests under way end, and `beforeStop` runs. */
  async function takeLeave(): Promise<void> {
    const run = runId;
    await Promise.all([world.drained(spec), ownHook('beforeStop')]);
    if (run === runId) dispatch({ type: 'left', at: at() });
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
    Object.assign(own, pathsOfFiles());
    return own;
  }

  function startProcess(listener?: number): void {
    const who = identity ?? identify(spec);
    const descriptors = openDescriptors(output, spec, world.logFolder, shortRun(runId));
    try {
      const env = environmentFor(spec, who, marks());
      makeRoom();
      const run = runId;
      const capabilities = world.capabilitiesOf(spec.service);
      follow(launch({ spec, identity: who, env, ...descriptors, listener, capabilities }, (exit) => run === runId && gone(exit)));
    } catch (error) {
      world.trees.forget(runId);
      throw error;
    } finally {
      descriptors.close();
    }
  }

  function follow(pid: number): void {
    world.trees.entered(tree(), pid);
    process_ = { pid, start: startTimeOfChild(pid) };
    for (const { id } of streams()) output.started(id, { run: shortRun(runId), pid });
    remember();
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
  function send(signal: SignalName, pid: number | undefined): boolean {
    if (pid === undefined) return false;
    try {
      return process.kill(pid, `SIG${signal}`);
    } catch {
      return false;
    }
  }

  const tree = (): TreeOf => ({ id: spec.id, runId, limits: spec.limits, spares: spec.stop.killScope === 'process' });

  function makeRoom(): void {
    world.trees.begin(tree());
    const missing = spec.limits === undefined ? undefined : notHeld(spec.limits, world.trees.holds);
    if (missing !== undefined && missing !== toldNotHeld) world.record('instance.limit', spec.id, missing);
    toldNotHeld = missing ?? '';
  }

  const tellStuck = (why: string): void => world.record('instance.stuck', spec.id, why);

  /** To all that a run has started. What is left once its first process has ended is ended in the background. */
  function signalTree(signal: SignalName): void {
    if (signal === 'KILL' && state.phase !== 'STOPPING') return world.trees.sweep(runId, tellStuck);
    world.trees.signal(runId, signal);
    if (signal === 'KILL') lookWhetherStuck();
  }

  function lookWhetherStuck(): void {
    clearTimeout(stuckLook);
    const run = runId;
    stuckLook = setTimeout(() => {
      const why = state.phase === 'STOPPING' && run === runId ? world.trees.whyThere(run) : undefined;
      if (why !== undefined) dispatch({ type: 'stuck', reason: why, at: at() });
    }, killTakesMs);
  }

  function awaitTree(since: number, pauseMs: number): void {
    if (released || state.phase !== 'STOPPING') return;
    if (!world.trees.isGone(runId, since)) {
      setTimeout(() => awaitTree(world.now(), Math.min(lastTreeLookMs, pauseMs * 2)), pauseMs);
      return;
    }
    world.trees.sweep(runId, tellStuck);
    dispatch({ type: 'group-gone', chance: world.chance(), at: at() });
  }

  function ended(exit: Exit): void {
    lastEnd.note({ runId, spec, identity, from: begin }, exit, state.phase, at() - state.startedAt);
    if (spec.stop.killScope === 'process') world.trees.forget(runId);
  }

  /** Says why it ended, as far as that can be found out; its next start does not wait for that. */
  async function explain(): Promise<void> {
    const found = await lastEnd.explain(() => state, streams);
    if (found === undefined || released) return;
    const { text, isNews, waited, runId: run } = found;
    // By the time its lines are there it may have been started again: then what it is doing now has another reason.
    if (!waited || run === runId) dispatch({ type: 'explained', text, isNews, at: at() });
    else if (isNews) world.record('instance.explained', spec.id, text);
  }

  const notExplained = ({ message }: Error): void =>
    world.record('instance.explained', spec.id, `why it ended cannot be found out: ${message}`);

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
    get runId() {
      return runId;
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
      world.trees.limit(runId, spec.limits);
      openStreams();
      writeFilesAgain();
      const kept = new Set(streams().map(({ id }) => id));
      for (const { id } of before) if (!kept.has(id)) output.close(id);
      remember();
    },
    adopt(run) {
      ({ runId, startedMs } = run);
      process_ = run.process;
      hasFiles = run.process !== undefined && run.spec.secretFiles !== undefined;
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
      makeRoom();
      world.trees.entered(tree(), run.process.pid);
      const startedAt = at() - ageMs(run.process); // not by the time of day, which may have been set since
      dispatch({ type: 'adopted', pid: run.process.pid, startedAt, running: run.state === 'RUNNING', restarts: run.restarts, at: at() });
      shareAgain(); // now that it counts as running: the socket may have to come from it
    },
    signal: (signal) => send(signal, state.pid),
    onOutput: () => readiness?.onOutput(),
    onNotify: (text) => readiness?.onNotify(text),
    release(closeStreams) {
      released = true;
      hook?.cancel();
      unprobe();
      clearTimeout(stuckLook);
      for (const timer of timers.values()) clearTimeout(timer);
      if (!closeStreams) return;
      output.unlisten(spec.id);
      for (const { id } of streams()) output.close(id);
    },
  };
  return instance;
}
