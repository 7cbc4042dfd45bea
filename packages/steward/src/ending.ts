/** How Steward ends: with everything stopped in order, or with everything let go of, which runs on. */
import { setTimeout as wait } from 'node:timers/promises';
import type { InstanceSpec } from './config/model.ts';
import type { Program } from './running-program.ts';
import type { InstanceView, Supervisor } from './supervisor/supervisor.ts';

/** What follows: the exit code of this process, or another program that takes its place. */
export type End = { readonly exitCode: number } | { readonly become: Program };

export interface EndingOptions {
  readonly supervisor: Supervisor;
  readonly log: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** Before everything is stopped: what an earlier daemon left is Steward's too. */
  beforeStop(): void;
  /** Closes every room, the keeper with them or not; `reason` goes into the journal. Never rejects. */
  close(keeper: 'stop' | 'leave', reason: string): Promise<void>;
  /** A service that is critical is finally dead. */
  onCritical(id: string, message: string, exitCode: number): void;
  inTurn<T>(work: () => Promise<T>): Promise<T>;
}

export interface Ending {
  /** Resolves when it is over. */
  readonly ended: Promise<End>;
  hasBegun(): boolean;
  /** Ids of the services without which there is no point in going on. */
  setCritical(ids: readonly string[]): void;
  /** Ends all when one of those is finally dead; to be asked at each change. */
  look(): void;
  /** Stops all services in order, then Steward. */
  shutDown(exitCode?: number): Promise<void>;
  /** Lets go of everything, which runs on, and then says what follows. */
  letGo(end: End, reason: string): Promise<void>;
}

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

export function createEnding({ supervisor, log, beforeStop, close, onCritical, inTurn }: EndingOptions): Ending {
  const { promise: ended, resolve: markEnded } = Promise.withResolvers<End>();
  let ending: Promise<void> | undefined;
  let criticalIds: readonly string[] = [];

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
    beforeStop();
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

  return {
    ended,
    hasBegun: () => ending !== undefined,
    setCritical(ids) {
      criticalIds = ids;
    },
    look() {
      if (ending !== undefined) return;
      const dead = criticalIds.map((id) => supervisor.view(id)).find((view) => view !== undefined && isFinallyDead(view));
      if (dead === undefined) return;
      const exitCode = exitCodeOf(dead);
      const message = `is critical and is not started again: everything stops, and Steward ends with code ${exitCode}`;
      onCritical(dead.spec.id, message, exitCode);
      void shutDown(exitCode);
    },
    shutDown,
    letGo(end, reason) {
      ending ??= inTurn(async () => {
        await close('leave', reason);
        markEnded(end);
      });
      return ending;
    },
  };
}
