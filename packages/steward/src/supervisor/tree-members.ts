/** Which process belongs to which run of an instance, by all that says so. Pure. */
import type { ProcessId, ProcessRow } from '../kernel/process-table.ts';

/** What is known beforehand. */
export interface Known {
  /** The daemon: it belongs to no run, even if a run started it. */
  readonly self: number;
  /** Runs by the pid of their first process, which leads a session and a process group of that number. */
  readonly leaders: ReadonlyMap<number, string>;
  /** What an earlier look said of a process, by pid: it counts while it is the same process. */
  readonly earlier: ReadonlyMap<number, ProcessId & { readonly run: string }>;
  /** The run that a process names itself: by its control group or its environment. Asked only when nothing else says. */
  readonly markOf: (row: ProcessRow) => string | undefined;
}

/**
 * The run of each process that belongs to one, by pid. In this order: the process group and the session it is in, what was
 * known of it earlier (its parent may be gone by now), its parent, its own mark. So a process that made itself a daemon is
 * found as long as one of them is left.
 */
export function ownersOf(rows: readonly ProcessRow[], { self, leaders, earlier, markOf }: Known): Map<number, string> {
  const byPid = new Map(rows.map((row) => [row.pid, row]));
  const owners = new Map<number, string | undefined>();
  const ownerOf = (row: ProcessRow): string | undefined => {
    if (row.pid === self) return undefined;
    if (owners.has(row.pid)) return owners.get(row.pid);
    owners.set(row.pid, undefined); // ends the walk, should a table read bit by bit hold a circle
    const before = earlier.get(row.pid);
    const parent = byPid.get(row.parent);
    const owner =
      leaders.get(row.pid) ??
      leaders.get(row.group) ??
      leaders.get(row.session) ??
      (before?.start === row.start ? before.run : undefined) ??
      (parent === undefined ? undefined : ownerOf(parent)) ??
      markOf(row);
    owners.set(row.pid, owner);
    return owner;
  };
  return new Map(
    rows.flatMap((row) => {
      const owner = ownerOf(row);
      return owner === undefined ? [] : [[row.pid, owner] as const];
    }),
  );
}
