/**
 * The whole tree of each run of an instance: what it started, whatever that did to its session, its parent or its
 * environment. Each run has a control group of its own where the system lets us make one; everywhere a process is known by
 * its group, its session, its parents and the run id in its environment.
 *
 *   begin(run) before its start, entered(run) after it → members are known           signal, kill → all of them get it
 *   isGone → nothing is left         sweep → KILL until nothing is left               usage → what all of them use
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import type { LimitsSpec, SignalName } from '../config/model.ts';
import { type Groups, openGroups } from '../kernel/cgroup.ts';
import { openProcess, signalProcess } from '../kernel/kernel.ts';
import {
  childrenOf,
  environmentOf,
  isAlive,
  isGroupAlive,
  openFilesOf,
  type ProcessId,
  type ProcessRow,
  processRow,
  processTable,
  startTimeOf,
  type Usage,
  waitChannelOf,
} from '../kernel/process-table.ts';
import { fileNameOf } from '../output/output.ts';
import { ownersOf } from './tree-members.ts';

/** One run of an instance. */
export interface TreeOf {
  /** The instance. */
  readonly id: string;
  readonly runId: string;
  readonly limits?: LimitsSpec | undefined;
  /** What its first process leaves behind lives on: `stop.killScope` is `process`. */
  readonly spares: boolean;
}

export interface Trees {
  /** What of memory, cpu and tasks the system holds by itself; the rest has to be watched, or cannot be had. */
  readonly holds: { readonly memory: boolean; readonly cpu: boolean; readonly tasks: boolean };
  /** Makes room for a run that is about to start. */
  begin(tree: TreeOf): void;
  /** Its first process is there: `pid` leads a session and group of its own. */
  entered(tree: TreeOf, pid: number): void;
  limit(runId: string, limits: LimitsSpec | undefined): void;
  /** Everything of a run that lives now. */
  members(runId: string): readonly ProcessRow[];
  /** Sends a signal to all of it; false when nobody got it. A signal that asks it to end wakes what is stopped, too. */
  signal(runId: string, signal: SignalName): boolean;
  /** Whether nothing lives any more that was there after `since` (monotonic ms); false also while that is not known yet. */
  isGone(runId: string, since: number): boolean;
  /** Ends what is left of a run, in the background, and forgets it. `onStuck` hears once why something stays. */
  sweep(runId: string, onStuck: (why: string) => void): void;
  /** Why a run that got KILL is still there, in words; undefined when it is gone. */
  whyThere(runId: string): string | undefined;
  /** Lets go of a run that is over; what it spares stays. */
  forget(runId: string): void;
  /** How often the kernel killed in a run because it was over its memory. */
  outOfMemoryKills(runId: string): number;
  /** What all processes of each run use, by run; one look at the process table. */
  usage(runIds: readonly string[]): Map<string, Usage>;
  /** Ends what runs of an earlier daemon left behind, but for `runIds`. */
  tidy(runIds: readonly string[]): void;
  close(): void;
}

interface Tracked extends TreeOf {
  pid: number | undefined;
  /** All of it is in the group. */
  isInside: boolean;
  /** Name of its control group, when it has one. */
  readonly group: string | undefined;
}

/** One run being swept. */
interface Sweep {
  readonly beganMs: number;
  /** What a look must be younger than to say that nothing is left. */
  readonly since: number;
  readonly pauseMs: number;
  readonly onStuck: (why: string) => void;
  /** That something is stuck has been told. */
  readonly told: boolean;
}

interface Look {
  readonly atMs: number;
  readonly rows: readonly ProcessRow[];
  readonly owners: ReadonlyMap<number, string>;
}

const sparesMark = '~';
const shortOf = (runId: string): string => runId.slice(-12);
const groupNameOf = ({ id, runId, spares }: TreeOf): string => `${fileNameOf(id)}.${shortOf(runId)}${spares ? sparesMark : ''}`;

const endSignals: ReadonlySet<SignalName> = new Set(['TERM', 'INT', 'QUIT', 'HUP']);

/** Sends a signal to exactly this process. */
function signalExactly({ pid, start }: ProcessId, signal: number): boolean {
  const pidfd = openProcess(pid);
  if (pidfd < 0) return false;
  try {
    return startTimeOf(pid) === start && signalProcess(pidfd, signal) === 0;
  } finally {
    closeSync(pidfd);
  }
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): boolean {
  if (pid === undefined) return false;
  try {
    return process.kill(-pid, signal);
  } catch {
    return false;
  }
}

/** However many looks are wanted at once, they leave most of the processor to others: three times what they took is free. */
const restPerLook = 3;
/** ...but a few looks may follow each other. */
const burstMs = 60;

/** A program is moved into its group once it is likely to have started. */
const enterAfterMs = 100;
const sweepFirstMs = 5;
const sweepLastMs = 1000;
/** Something that KILL does not end is told after this long. */
const stuckAfterMs = 1000;
/** What is stuck is looked at more seldom... */
const stuckSweepMs = 30_000;
/** ...and left to itself after this long. */
const sweepForMs = 10 * 60_000;

/** Where processes cannot be moved, trying has an end: such a run is looked at as if it had no group. */
const confirmTries = 10;

/** How many generations may have been born before the first process was moved. */
const deepestEntry = 8;

/** Why a process is still there although it was killed. */
function describeStuck({ pid, state }: ProcessRow): string {
  const where = waitChannelOf(pid);
  const place = where === undefined ? '' : ` in ${where}`;
  return state === 'D'
    ? `KILL was sent; the kernel does not let pid ${pid} go: uninterruptible sleep${place}`
    : `KILL was sent; pid ${pid} has not gone yet (state ${state}${place})`;
}

/** `name` is that of Steward's groups, `mark` the variable that holds a run id, `open` what gives it the groups. */
export function createTrees(name: string, mark: string, open: (name: string) => Groups | undefined = openGroups): Trees {
  const groups = open(name);
  const tracked = new Map<string, Tracked>();
  const leaders = new Map<number, string>();
  const runOfGroup = new Map<string, string>();
  /** What was asked of processes that nothing else told about: it stays what it is. */
  const asked = new Map<number, { readonly start: number; readonly run: string | undefined }>();
  let earlier = new Map<number, ProcessId & { readonly run: string }>();
  let last: Look | undefined;
  let debtMs = 0;
  let debtAtMs = performance.now();
  /** Groups that could not be removed yet. */
  const lingering = new Set<string>();
  const pauses = new Set<NodeJS.Timeout>();
  /** One after the other: together they would take all threads of Node from other work. */
  let entering: Promise<void> = Promise.resolve();
  let closed = false;

  function markOf({ pid, start }: ProcessRow): string | undefined {
    const known = asked.get(pid);
    if (known?.start === start) return known.run;
    const group = groups?.groupOf(pid);
    const run = (group === undefined ? undefined : runOfGroup.get(group)) ?? environmentOf(pid, mark);
    asked.set(pid, { start, run });
    return run;
  }

  function look(): Look {
    const began = performance.now();
    const usedBefore = process.threadCpuUsage();
    const rows = processTable();
    const owners = new Map([...ownersOf(rows, { self: process.pid, leaders, earlier, markOf })].filter(([, run]) => tracked.has(run)));
    const present = new Set(rows.map(({ pid }) => pid));
    letGo(new Set(rows.flatMap(({ group, session }) => [group, session])));
    for (const pid of asked.keys()) if (!present.has(pid)) asked.delete(pid);
    earlier = new Map(
      rows.flatMap(({ pid, start }) => {
        const run = owners.get(pid);
        return run === undefined ? [] : [[pid, { pid, start, run }] as const];
      }),
    );
    const { user, system } = process.threadCpuUsage(usedBefore);
    debtMs = Math.max(0, debtMs - (began - debtAtMs)) + ((user + system) / 1000) * restPerLook;
    debtAtMs = began;
    last = { atMs: began, rows, owners };
    return last;
  }

  /** Once nothing is left of a group and session, their number may be given to somebody else. */
  function letGo(present: ReadonlySet<number>): void {
    for (const [pid, runId] of leaders) {
      if (present.has(pid)) continue;
      leaders.delete(pid);
      const tree = tracked.get(runId);
      if (tree !== undefined) tree.pid = undefined;
    }
  }

  /** A look that was begun after `since`; undefined when there have been too many for now. */
  function lookSince(since: number): Look | undefined {
    if (last !== undefined && last.atMs >= since) return last;
    return Math.max(0, debtMs - (performance.now() - debtAtMs)) > burstMs ? undefined : look();
  }

  const rowsOf = ({ rows, owners }: Look, runId: string): ProcessRow[] => rows.filter(({ pid }) => owners.get(pid) === runId);

  /** Members that are known without a look at the whole table: once the run is in a group of its own, that is all of them but for what slipped through. */
  function insideOf(tree: Tracked): ProcessRow[] {
    const known = [...earlier.values()].flatMap((member) => (member.run === tree.runId && isAlive(member) ? member.pid : []));
    const grouped = tree.group === undefined ? [] : (groups?.members(tree.group) ?? []);
    return [...new Set([...known, ...grouped])].flatMap((pid) => processRow(pid) ?? []);
  }

  function members(runId: string): ProcessRow[] {
    const tree = tracked.get(runId);
    if (tree === undefined) return [];
    const seen = lookSince(performance.now());
    return seen === undefined ? insideOf(tree) : rowsOf(seen, runId);
  }

  function killAll(tree: Tracked): void {
    signalGroup(tree.pid, 'SIGKILL');
    if (tree.group !== undefined && groups?.isPopulated(tree.group) && !groups.kill(tree.group))
      for (const pid of groups.members(tree.group)) {
        const start = startTimeOf(pid);
        if (start !== undefined) signalExactly({ pid, start }, constants.signals.SIGKILL);
      }
  }

  /** Whether nothing is left that needs no look at the whole table to be seen. */
  const looksEmpty = ({ pid, group }: Tracked): boolean =>
    (pid === undefined || !isGroupAlive(pid)) && (group === undefined || groups?.isPopulated(group) !== true);

  function later(ms: number, work: () => void): void {
    const timer = setTimeout(() => {
      pauses.delete(timer);
      if (!closed) work();
    }, ms).unref();
    pauses.add(timer);
  }

  /**
   * Moves a process that runs already, and what it has started meanwhile. While the kernel moves one, every fork, exec and
   * exit of the machine waits: a program that is just starting would feel that, so it is done a little later. A lead word that enters before exec would leave
   * no gap, but cost each start the grace period the kernel asks for (12 ms where a whole restart takes 5); what slips
   * through the gap is still known by its session, its parents and its environment, and is moved after it.
   */
  async function enter(tree: Tracked, pid: number, depth: number): Promise<void> {
    if (closed || tree.group === undefined || tracked.get(tree.runId) !== tree || groups === undefined) return;
    if (!(await groups.enter(tree.group, pid)) || depth === deepestEntry) return;
    for (const child of childrenOf(pid)) if (groups.groupOf(child) !== tree.group) await enter(tree, child, depth + 1);
  }

  /** Once nothing of a run is outside its group, and so nothing can get out any more: one look serves all that started within a second. */
  function confirmInside(tree: Tracked, since: number, tries: number): void {
    if (tracked.get(tree.runId) !== tree || tries === 0) return;
    const seen = lookSince(since);
    const outside = seen && rowsOf(seen, tree.runId).filter((row) => isAlive(row) && groups?.groupOf(row.pid) !== tree.group);
    if (outside?.length === 0) {
      tree.isInside = true;
      return;
    }
    for (const { pid } of outside ?? []) entering = entering.then(() => enter(tree, pid, 0));
    const now = performance.now();
    later(sweepLastMs, () => confirmInside(tree, now, tries - 1));
  }

  function removeGroup(group: string): void {
    if (groups === undefined || groups.remove(group)) {
      lingering.delete(group);
      runOfGroup.delete(group);
    } else lingering.add(group);
  }

  function forget(runId: string): void {
    const tree = tracked.get(runId);
    if (tree === undefined) return;
    tracked.delete(runId);
    if (tree.pid !== undefined && leaders.get(tree.pid) === runId) leaders.delete(tree.pid);
    if (tree.group !== undefined) removeGroup(tree.group);
    for (const group of lingering) removeGroup(group);
  }

  function sweep(tree: Tracked, sweeping: Sweep): void {
    if (tracked.get(tree.runId) !== tree) return;
    const { beganMs, since, pauseMs, onStuck, told } = sweeping;
    const next = { ...sweeping, pauseMs: Math.min(told ? stuckSweepMs : sweepLastMs, pauseMs * 2) };
    const seen = lookSince(since);
    if (seen === undefined) return later(pauseMs, () => sweep(tree, next));
    const left = rowsOf(seen, tree.runId).filter(isAlive);
    if (left.length === 0 && looksEmpty(tree)) return forget(tree.runId);
    const now = performance.now();
    if (now - beganMs > sweepForMs) return forget(tree.runId);
    killAll(tree);
    for (const row of left) signalExactly(row, constants.signals.SIGKILL);
    const stuck = now - beganMs > stuckAfterMs && !told ? left[0] : undefined;
    if (stuck !== undefined) onStuck(describeStuck(stuck));
    later(pauseMs, () => sweep(tree, { ...next, since: now, told: told || stuck !== undefined }));
  }

  return {
    holds: {
      memory: groups?.controllers.has('memory') === true,
      cpu: groups?.controllers.has('cpu') === true,
      tasks: groups?.controllers.has('pids') === true,
    },
    begin(tree) {
      const group = groupNameOf(tree);
      const made = groups?.make(group);
      tracked.set(tree.runId, { ...tree, pid: undefined, isInside: made === 'was there', group: made && group });
      if (made === undefined) return;
      runOfGroup.set(group, tree.runId);
      if (tree.limits !== undefined) groups?.limit(group, tree.limits);
    },
    entered({ runId }, pid) {
      const tree = tracked.get(runId);
      if (tree === undefined) return;
      tree.pid = pid;
      leaders.set(pid, runId);
      if (tree.group === undefined) return;
      tree.isInside &&= groups?.groupOf(pid) === tree.group;
      if (tree.isInside) return;
      later(enterAfterMs, () => {
        entering = entering.then(async () => {
          await enter(tree, pid, 0);
          const now = performance.now();
          later(sweepLastMs, () => confirmInside(tree, now, confirmTries));
        });
      });
    },
    limit(runId, limits) {
      const group = tracked.get(runId)?.group;
      if (group !== undefined) groups?.limit(group, limits ?? {});
    },
    members,
    signal(runId, signal) {
      const tree = tracked.get(runId);
      if (tree === undefined) return false;
      const strays = (tree.isInside ? insideOf(tree) : members(runId)).filter(({ group }) => group !== tree.pid);
      const reached = signalGroup(tree.pid, `SIG${signal}`);
      if (signal === 'KILL') killAll(tree);
      const send = (name: SignalName): boolean[] => strays.map((row) => signalExactly(row, constants.signals[`SIG${name}`]));
      const strayReached = send(signal).includes(true);
      if (endSignals.has(signal)) {
        signalGroup(tree.pid, 'SIGCONT');
        send('CONT');
      }
      return reached || strayReached;
    },
    isGone(runId, since) {
      const tree = tracked.get(runId);
      if (tree === undefined) return true;
      if (!looksEmpty(tree)) return false;
      if (tree.isInside) return insideOf(tree).length === 0;
      const seen = lookSince(since);
      return seen !== undefined && !rowsOf(seen, runId).some(isAlive);
    },
    sweep(runId, onStuck) {
      const tree = tracked.get(runId);
      if (tree === undefined) return;
      killAll(tree);
      const now = performance.now();
      const first: Sweep = { beganMs: now, since: now, pauseMs: sweepFirstMs, onStuck, told: false };
      // Not at once: what was killed needs a moment, and a restart must not wait for a look. Where a group says that nothing
      // is left, one look serves all runs that ended within a second.
      later(sweepFirstMs, () => {
        const isQuiet = tree.group !== undefined && looksEmpty(tree) && insideOf(tree).length === 0;
        if (isQuiet) later(sweepLastMs, () => sweep(tree, first));
        else sweep(tree, first);
      });
    },
    whyThere(runId) {
      const left = members(runId).filter(isAlive);
      const worst = left.find(({ state }) => state === 'D') ?? left[0];
      return worst === undefined ? undefined : describeStuck(worst);
    },
    forget,
    outOfMemoryKills(runId) {
      const group = tracked.get(runId)?.group;
      return group === undefined ? 0 : (groups?.outOfMemoryKills(group) ?? 0);
    },
    usage(runIds) {
      const wanted = new Set(runIds);
      const { rows, owners } = lookSince(performance.now()) ?? last ?? look();
      const sums = new Map<string, Usage>();
      for (const row of rows) {
        const run = owners.get(row.pid);
        if (run === undefined || !wanted.has(run)) continue;
        const sum = sums.get(run) ?? { cpuSeconds: 0, memoryBytes: 0, tasks: 0 };
        const openFiles = openFilesOf(row.pid);
        sums.set(run, {
          cpuSeconds: sum.cpuSeconds + row.cpuSeconds,
          memoryBytes: sum.memoryBytes + row.memoryBytes,
          tasks: sum.tasks + row.tasks,
          ...((sum.openFiles !== undefined || openFiles !== undefined) && { openFiles: (sum.openFiles ?? 0) + (openFiles ?? 0) }),
        });
      }
      return sums;
    },
    tidy(runIds) {
      const kept = new Set(runIds.map(shortOf));
      for (const group of groups?.names() ?? []) {
        const run = group.slice(group.lastIndexOf('.') + 1);
        if (kept.has(run.replace(sparesMark, '')) || runOfGroup.has(group)) continue;
        if (!run.endsWith(sparesMark)) groups?.kill(group);
        removeGroup(group);
      }
      if (lingering.size > 0) later(sweepLastMs, () => [...lingering].forEach(removeGroup));
    },
    close() {
      closed = true;
      for (const timer of pauses) clearTimeout(timer);
      for (const [runId, tree] of [...tracked]) if (looksEmpty(tree)) forget(runId);
      for (const group of [...lingering]) removeGroup(group);
      groups?.close();
    },
  };
}
