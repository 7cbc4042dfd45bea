/**
 * What the supervisor must know after its own death: which process belongs to which instance, and what a person stopped.
 * A run is written down before its process exists, so a kill between the two leaves a process that can be found by the
 * run id in its environment.
 */
import { randomUUID } from 'node:crypto';
import { notOnRecord, type PlainSpec } from '../config/plan.ts';
import { bootId, environmentOf, isAlive, isLeader, livingPids, type ProcessId, startTimeOf } from '../kernel/process-table.ts';
import type { Store } from '../store/store.ts';
import { hookMark } from './hooks.ts';
import type { Exit } from './machine.ts';

/** The variable by which a process is known again. */
export const runMark = 'STEWARD_RUN_ID';
export const instanceMark = 'STEWARD_INSTANCE';

export interface Run {
  readonly id: string;
  readonly runId: string;
  /** Undefined between the decision to start it and its start. */
  readonly process?: ProcessId | undefined;
  /** Epoch ms. */
  readonly startedMs: number;
  readonly state: 'STARTING' | 'RUNNING' | 'EXITED';
  readonly restarts: number;
  /** How it ended, for EXITED. */
  readonly exit?: Exit | undefined;
  readonly spec: PlainSpec;
}

export interface Registry {
  save(run: Run): void;
  remove(id: string): void;
  /**
   * The runs of this boot whose process still lives, or that ended as they should; the rest is forgotten. A process of ours
   * that is on no record (the state file could not be written) is among them with a spec that says nothing but how to stop
   * it, unless its instance has another process already: then it is one of `copies`, which nobody wants.
   */
  recover(): { readonly runs: Run[]; readonly copies: readonly ProcessId[] };
  /** Commands of `hooks` that outlived the daemon that waited for them. */
  strayHooks(): ProcessId[];
  /** A run id of this installation. */
  newRunId(): string;
  readonly stoppedByHand: ReadonlySet<string>;
  markStopped(id: string, stopped: boolean): void;
}

interface Row {
  readonly id: string;
  readonly run_id: string;
  readonly pid: number | null;
  readonly start: number | null;
  readonly boot: string;
  readonly started_ms: number;
  readonly state: Run['state'];
  readonly restarts: number;
  readonly exit: string | null;
  readonly spec: string;
}

interface Marked extends ProcessId {
  /** The instance its environment names. */
  readonly id: string;
}

/** The first process of each run that carries a run id of this installation, by that id. */
function findMarked(home: string, variable = runMark): Map<string, Marked> {
  const found = new Map<string, Marked>();
  for (const pid of livingPids()) {
    const mark = environmentOf(pid, variable);
    const start = mark?.startsWith(`${home}.`) ? startTimeOf(pid) : undefined;
    if (mark === undefined || start === undefined || !isLeader(pid)) continue;
    const known = found.get(mark);
    if (known === undefined || start < known.start) found.set(mark, { pid, start, id: environmentOf(pid, instanceMark) ?? '' });
  }
  return found;
}

/** What is known of a process that no record names, because the state file could not be written when it started: how to stop it. */
function unknownSpec(id: string): PlainSpec {
  return {
    id,
    service: id,
    group: id,
    name: id,
    number: 1,
    priority: 999,
    autostart: true,
    after: [],
    command: [notOnRecord],
    cwd: '/',
    env: {},
    secretEnv: [],
    inheritEnv: false,
    restart: 'never',
    expectedExitCodes: [],
    upAfterMs: 0,
    startRetries: 0,
    backoff: { kind: 'linear' },
    stop: { signal: 'TERM', timeoutMs: 10_000, scope: 'group', killScope: 'group' },
    stdout: { file: 'none', maxBytes: 0, keep: 0 },
    stderr: 'stdout',
    masked: true,
  };
}

/** `home` names this installation among others on the machine. */
export function createRegistry(store: Store, home: string): Registry {
  const boot = bootId();
  const stoppedByHand = new Set(store.all<{ id: string }>('select id from stopped').map(({ id }) => id));
  function processOf(row: Row, marked: ReadonlyMap<string, Marked>): ProcessId | undefined {
    if (row.pid === null || row.start === null) return marked.get(row.run_id);
    const process = { pid: row.pid, start: row.start };
    const mark = environmentOf(row.pid, runMark);
    return isAlive(process) && (mark === undefined || mark === '' || mark === row.run_id) ? process : undefined;
  }

  return {
    save({ id, runId, process, startedMs, state, restarts, exit, spec }) {
      store.run(
        `insert into instance (id, run_id, pid, start, boot, started_ms, state, restarts, exit, spec) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         on conflict (id) do update set run_id = excluded.run_id, pid = excluded.pid, start = excluded.start, boot = excluded.boot,
           started_ms = excluded.started_ms, state = excluded.state, restarts = excluded.restarts, exit = excluded.exit, spec = excluded.spec`,
        id,
        runId,
        process?.pid ?? null,
        process?.start ?? null,
        boot,
        startedMs,
        state,
        restarts,
        exit === undefined ? null : JSON.stringify(exit),
        JSON.stringify(spec),
      );
    },
    remove: (id) => store.run('delete from instance where id = ?', id),
    recover() {
      const marked = findMarked(home);
      const rows = store.all<Row>('select * from instance');
      const runs = rows.flatMap((row): Run[] => {
        const { id, run_id: runId, started_ms: startedMs, state, restarts } = row;
        const spec = { ...(JSON.parse(row.spec) as PlainSpec), masked: true as const };
        if (row.boot !== boot) return [];
        if (state === 'EXITED')
          return [{ id, runId, startedMs, state, restarts, spec, ...(row.exit !== null && { exit: JSON.parse(row.exit) as Exit }) }];
        const process = processOf(row, marked);
        return process === undefined ? [] : [{ id, runId, process, startedMs, state, restarts, spec }];
      });
      const alive = new Set(runs.map(({ id }) => id));
      for (const { id } of rows) if (!alive.has(id)) store.run('delete from instance where id = ?', id);
      const recorded = new Set(runs.map(({ runId }) => runId));
      const strays = [...marked].filter(([mark]) => !recorded.has(mark));
      for (const [runId, { pid, start, id }] of strays) {
        if (alive.has(id)) continue;
        alive.add(id);
        runs.push({ id, runId, process: { pid, start }, startedMs: Date.now(), state: 'RUNNING', restarts: 0, spec: unknownSpec(id) });
      }
      const taken = new Set(runs.map(({ runId }) => runId));
      return { runs, copies: strays.filter(([mark]) => !taken.has(mark)).map(([, process]) => process) };
    },
    strayHooks: () => [...findMarked(home, hookMark).values()],
    newRunId: () => `${home}.${randomUUID()}`,
    stoppedByHand,
    markStopped(id, stopped) {
      if (stopped === stoppedByHand.has(id)) return;
      if (stopped) {
        stoppedByHand.add(id);
        store.run('insert or ignore into stopped (id) values (?)', id);
      } else {
        stoppedByHand.delete(id);
        store.run('delete from stopped where id = ?', id);
      }
    },
  };
}
