/**
 * The process that serves: `node worker.ts --dir <folder>`. It starts by the table on disk, takes newer ones from the daemon,
 * and goes on when the daemon is gone. Access log lines go to stdout, errors to stderr. SIGTERM: accepts nothing more,
 * finishes what is under way for up to 10 s, exits 0.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Problem } from '../config/problem.ts';
import { Deadlines } from './connection/deadlines.ts';
import { createListeners } from './connection/listeners.ts';
import { connectControl } from './control.ts';
import { createAccessLog } from './logs/access-log.ts';
import { createLineWriter } from './logs/line-writer.ts';
import { compileTable } from './match.ts';
import { parseJson, type ToDaemon, tablePath, type VersionedTable } from './protocol.ts';
import { limitsFile, openLimits } from './rules/limits.ts';
import { createPasswordCheck } from './rules/password-check.ts';
import { Serve } from './serve.ts';
import { listenerName } from './table.ts';
import { createHealthChecks } from './upstream/health-checks.ts';
import { Upstreams } from './upstream/upstreams.ts';

const graceMs = 10_000;
const countersEveryMs = 1_000;

function dirFrom(argv: readonly string[]): string {
  const at = argv.indexOf('--dir');
  const dir = at < 0 ? undefined : argv[at + 1];
  if (dir !== undefined) return dir;
  process.stderr.write('usage: worker --dir <folder of the gateway>\n');
  process.exit(2);
}

function storedTable(dir: string): VersionedTable | undefined {
  try {
    return parseJson(readFileSync(tablePath(dir), 'utf8')) as VersionedTable | undefined;
  } catch {
    return undefined;
  }
}

function run(dir: string): void {
  const errors = createLineWriter(2);
  const log = (line: string): void => errors.write(`${new Date().toISOString()} gateway: ${line}`);
  const deadlines = new Deadlines();
  const upstreams = new Upstreams(deadlines, () => report());
  const checks = createHealthChecks({ log });
  const own = createLineWriter(1);
  const access = createAccessLog(own, log);
  const passwords = createPasswordCheck({ log });
  const stored = storedTable(dir);
  const limits = openLimits({ file: limitsFile(dir), workers: stored?.table.gateway.workers ?? availableParallelism(), log });
  const serve = new Serve({ upstreams, access, limits, passwords, log });
  let version = 0;
  let tableProblems: readonly Problem[] = [];
  const listeners = createListeners({ receiver: serve, deadlines, log, onChange: () => report() });
  const state = () => ({ version, problems: [...tableProblems, ...listeners.problems()], leaving: upstreams.leaving() });
  const report = (): void => control.send({ type: 'applied', ...state() });
  let turn: Promise<void> = Promise.resolve();
  let stopping = false;
  let announced = false;

  const apply = async (next: VersionedTable): Promise<void> => {
    if (stopping) return;
    const { compiled, problems } = compileTable(next.table);
    serve.setTable(compiled);
    checks.apply(upstreams.checked());
    tableProblems = problems;
    await listeners.apply(compiled);
    version = next.version;
    report();
    if (!announced) log(`serves ${next.table.listeners.map(listenerName).join(', ')}`); // what the supervisor waits for
    announced = true;
  };
  const take = (next: VersionedTable): void => {
    turn = turn.then(() => apply(next)).catch((error: unknown) => log(`table ${next.version} cannot be used: ${describe(error)}`));
  };
  const control = connectControl(dir, state, take);
  if (stored !== undefined) take(stored);

  let last = '';
  let dropped = 0;
  setInterval(() => {
    const counters = serve.counting.counts(upstreams.counts(), access.dropped());
    const text = JSON.stringify({ type: 'counters', counters } satisfies ToDaemon);
    if (text !== last) control.sendText(text);
    last = text;
    if (counters.logLinesDropped > dropped) log(`${counters.logLinesDropped - dropped} access log lines dropped: nobody reads them`);
    dropped = counters.logLinesDropped;
  }, countersEveryMs).unref();

  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    control.stop();
    checks.stop();
    await listeners.close(graceMs);
    await Promise.all([access.flush(1_000), errors.flush(1_000)]);
    process.exit(0);
  };
  process.on('SIGTERM', () => void stop());
  process.on('SIGINT', () => void stop());
  process.on('SIGPIPE', () => {});
  // One request's bug must not cut off the thousand others; it is told, and the code is what needs mending.
  process.on('uncaughtException', (error) => log(`bug: ${describe(error)}`));
}

const describe = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message).replaceAll('\n', ' | ') : String(error);

run(dirFrom(process.argv));
