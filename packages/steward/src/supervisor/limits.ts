/**
 * What a process may use. Limits of the system for each process (setrlimit(2)), niceness, disk priority and OOM score are
 * set by words in front of the command: they hold before its first instruction, and everything it starts inherits them.
 * prlimit(2) and the like on the running child would be too late for programs that read a limit when they start, and on
 * Steward itself around a spawn would meet its other threads; a word costs its service about 1 ms a start, others nothing.
 */
import type { InstanceSpec, LimitsSpec } from '../config/model.ts';
import { formatSize } from '../config/units.ts';
import type { Usage } from '../kernel/process-table.ts';
import type { Trees } from './tree.ts';

type Spec = Pick<InstanceSpec, 'processLimits' | 'nice' | 'io' | 'oomScore'>;

const prlimitNames = { openFiles: 'nofile', coreSize: 'core', fileSize: 'fsize', lockedMemory: 'memlock', stack: 'stack' } as const;
const ioClasses = { realtime: 1, 'best-effort': 2, idle: 3 } as const;

function prlimitWords({ processLimits = {} }: Spec): string[] {
  const options = (Object.keys(prlimitNames) as (keyof typeof prlimitNames)[]).flatMap((name) => {
    const value = processLimits[name];
    return value === undefined ? [] : [`--${prlimitNames[name]}=${value}`];
  });
  return options.length === 0 ? [] : ['prlimit', ...options, '--'];
}

/** The words to put in front of a command, by tools of util-linux and coreutils; each group begins with the tool's name. Pure. */
export function limitWords(spec: Spec): string[][] {
  const { nice, io, oomScore } = spec;
  return [
    prlimitWords(spec),
    nice === undefined ? [] : ['nice', '-n', String(nice)],
    io === undefined
      ? []
      : ['ionice', '-c', String(ioClasses[io.class]), ...(io.priority === undefined ? [] : ['-n', String(io.priority)])],
    oomScore === undefined ? [] : ['choom', '-n', String(oomScore), '--'],
  ].filter((words) => words.length > 0);
}

/** What only root may ask for, in the words of the file; undefined when nothing is. */
export function needsRoot({ nice, io, oomScore }: Spec): string | undefined {
  if (nice !== undefined && nice < 0) return `nice: ${nice}`;
  if (oomScore !== undefined && oomScore < 0) return `oomScore: ${oomScore}`;
  return io?.class === 'realtime' ? 'ioClass: realtime' : undefined;
}

const megabytes = (bytes: number): string => (bytes < 10 * 1024 ** 2 ? formatSize(bytes) : `${Math.round(bytes / 1024 ** 2)} MB`);

/** Why a run has to be ended for what its tree uses, among the limits the system does not hold itself; undefined when it is within. Pure. */
export function overLimit(limits: LimitsSpec, usage: Usage, holds: Trees['holds']): string | undefined {
  const { memory, tasks } = limits;
  if (memory !== undefined && !holds.memory && usage.memoryBytes > memory)
    return `its ${megabytes(usage.memoryBytes)} are over its limit of ${megabytes(memory)}`;
  if (tasks !== undefined && !holds.tasks && usage.tasks > tasks) return `its ${usage.tasks} tasks are over its limit of ${tasks}`;
  return undefined;
}

/** What is to be told once: it uses more than `memoryHigh`, which nothing here slows down. Pure. */
export function overHigh({ memoryHigh }: LimitsSpec, usage: Usage, holds: Trees['holds']): string | undefined {
  return memoryHigh !== undefined && !holds.memory && usage.memoryBytes > memoryHigh
    ? `its ${megabytes(usage.memoryBytes)} are over memoryHigh, ${megabytes(memoryHigh)}`
    : undefined;
}

/** The limits that cannot be had on this machine, in words; undefined when all can. Pure. */
export const notHeld = ({ cpu }: LimitsSpec, holds: Trees['holds']): string | undefined =>
  cpu !== undefined && !holds.cpu
    ? `limits.cpu: ${cpu} cannot be held: this machine gives Steward no control group (version 2) with the cpu controller; nice is what is left`
    : undefined;

/** Whether anything of these limits needs a look now and then. */
export const needsWatch = ({ memory, memoryHigh, tasks }: LimitsSpec, holds: Trees['holds']): boolean =>
  ((memory !== undefined || memoryHigh !== undefined) && !holds.memory) || (tasks !== undefined && !holds.tasks);

/** A run whose use is watched. */
export interface Watched {
  readonly runId: string;
  readonly limits: LimitsSpec;
  /** It is over a limit: to be ended. */
  over(reason: string): void;
  /** It is over its high mark; called once a run. */
  high(message: string): void;
}

export interface LimitWatch {
  stop(): void;
}

const lookEveryMs = 1000;

/** Looks once a second at what is watched, with one look at the process table for all; none while nothing is. */
export function watchLimits(trees: Pick<Trees, 'usage' | 'holds'>, watched: () => readonly Watched[]): LimitWatch {
  let toldHigh = new Set<string>();
  const timer = setInterval(() => {
    const runs = watched().filter(({ limits }) => needsWatch(limits, trees.holds));
    if (runs.length === 0) return;
    const usage = trees.usage(runs.map(({ runId }) => runId));
    toldHigh = new Set(runs.flatMap(({ runId }) => (toldHigh.has(runId) ? runId : [])));
    for (const { runId, limits, over, high } of runs) {
      const used = usage.get(runId);
      if (used === undefined) continue;
      const reason = overLimit(limits, used, trees.holds);
      if (reason !== undefined) over(reason);
      const message = toldHigh.has(runId) ? undefined : overHigh(limits, used, trees.holds);
      if (message === undefined) continue;
      toldHigh.add(runId);
      high(message);
    }
  }, lookEveryMs).unref();
  return { stop: () => clearInterval(timer) };
}
