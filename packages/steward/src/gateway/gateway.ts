/**
 * The door of the gateway: what the daemon holds. It serves nothing itself. Workers (worker.ts), which the supervisor keeps
 * up like any other instance, take the table from here and from the disk, so that they need no daemon to serve:
 *
 *   setTable ──► <dir>/table.json   (0600: it holds keys)      read by a worker when it starts
 *            └─► <dir>/control.sock ── table ──► workers ── applied, counters ──► here
 */
import { chmod, chown, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import net from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Problem } from '../config/problem.ts';
import type { Counters } from './counters.ts';
import type { GatewayErrorCode } from './errors.ts';
import { controlPath, parseJson, readMessages, type ToDaemon, tablePath, type VersionedTable } from './protocol.ts';
import type { RouteTable } from './table.ts';

export { type Acme, askableHosts, createAcme, noChallenges } from './certificates/acme/acme.ts';
export { openAuthority } from './certificates/authority.ts';
export { loadCertificates, type Served } from './certificates/certs.ts';
export { loadSiteFiles } from './certificates/site-files.ts';
export { bucketEndMs, type Counters, percentile } from './counters.ts';
export { describeSites } from './describe-sites.ts';
export { createLogFiles, type LogFiles } from './logs/log-files.ts';
export { logFilesOf } from './logs/site-logs.ts';
export { buildTable, type Certificate, certificateName, listenerName, noInputs, type TableInputs } from './table.ts';
export { sumTraffic } from './traffic.ts';

/** How long a worker may take to serve by a new table before `setTable` stops waiting for it. */
const applyTimeoutMs = 5_000;

export interface GatewayOptions {
  /** Folder for the table and the socket; made if missing, for the owner alone. */
  readonly dir: string;
  /** One line for the daemon's log: workers that come and go. */
  readonly log: (line: string) => void;
  /** Who the workers run as, when that is not the daemon's own user. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

export interface Gateway {
  /**
   * Makes workers serve by `table`, now and after a restart of either side. Resolves when every connected worker has answered
   * (with what they could not do, each problem once) or after 5 s (with a problem for those that have not). Rejects when the
   * table cannot be written.
   */
  setTable(table: RouteTable): Promise<Problem[]>;
  /** Resolves when so many workers are connected and serve by the current table, or when `timeoutMs` has passed. */
  serving(workers: number, timeoutMs: number): Promise<void>;
  /**
   * Resolves when at least so many workers are connected, all serve by the current table, and none has a request under way to a
   * server at `address` (host:port or unix:/path) that is not in it any more; or when `timeoutMs` has passed.
   */
  left(address: string, workers: number, timeoutMs: number): Promise<void>;
  /** What the connected workers cannot do just now (a taken port, a refused certificate), each problem once. */
  problems(): Problem[];
  /** The last counters of each connected worker, by process id. */
  counters(): ReadonlyMap<number, Counters>;
  /** Lets go of the workers, which serve on. May be called twice. */
  stop(): Promise<void>;
}

/** The program of a worker; a file that whoever runs it must be able to read. */
export const workerProgram = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));

/** What starts a worker on the table in `dir`: executable and arguments. */
export const workerCommand = (dir: string): [string, ...string[]] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  workerProgram,
  '--dir',
  dir,
];

interface Worker {
  readonly socket: net.Socket;
  pid: number;
  applied: number;
  problems: readonly Problem[];
  leaving: readonly string[];
  counters: Counters | undefined;
}

/** Opens the control socket in `dir`. A table on disk from before stays in force until the first `setTable`. */
export async function createGateway(options: GatewayOptions): Promise<Gateway> {
  const { dir, owner } = options;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  if (owner !== undefined) await chown(dir, owner.uid, owner.gid);
  const disk = new TableFile(options);
  let current = await disk.read();
  const workers = new Set<Worker>();
  const waiting = new Set<() => void>();
  const push = ({ socket }: Worker): void => {
    if (current !== undefined) socket.write(`${JSON.stringify({ type: 'table', ...current })}\n`);
  };

  const server = net.createServer((socket) => {
    const worker: Worker = { socket, pid: 0, applied: 0, problems: [], leaving: [], counters: undefined };
    workers.add(worker);
    readMessages(socket, (message) => {
      receive(worker, message as ToDaemon, current?.version);
      if ((message as ToDaemon).type === 'hello') {
        options.log(`gateway worker ${worker.pid} is there`);
        if (worker.applied === 0) push(worker);
      }
      for (const look of [...waiting]) look();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      workers.delete(worker);
      options.log(`gateway worker ${worker.pid} is gone`);
      for (const look of [...waiting]) look();
    });
  });
  await listenOn(server, controlPath(dir), owner);

  /** Resolves with true when `isSo`, which is looked at whenever a worker says something, else with false in the end. */
  const until = (isSo: () => boolean, timeoutMs: number): Promise<boolean> =>
    new Promise((resolve) => {
      const finish = (all: boolean): void => {
        waiting.delete(look);
        clearTimeout(timer);
        resolve(all);
      };
      const look = (): void => {
        if (isSo()) finish(true);
      };
      const timer = setTimeout(() => finish(false), timeoutMs);
      waiting.add(look);
      look();
    });

  const serveBy = (version: number): boolean => [...workers].every((worker) => worker.applied >= version);

  return {
    setTable: async (table) => {
      const version = (current?.version ?? 0) + 1;
      current = { version, table };
      for (const worker of workers) push(worker);
      const [inTime] = await Promise.all([until(() => serveBy(version), applyTimeoutMs), disk.write(current)]);
      const late = inTime ? [] : [...workers].filter((worker) => worker.applied < version);
      return unique([...[...workers].flatMap(({ problems }) => problems), ...late.map(({ pid }) => lateProblem(pid))]);
    },
    serving: async (least, timeoutMs) => {
      const version = current?.version ?? 1;
      await until(() => workers.size >= least && serveBy(version), timeoutMs);
    },
    left: async (address, least, timeoutMs) => {
      const version = current?.version ?? 0;
      const isLeft = (): boolean => [...workers].every(({ leaving }) => !leaving.includes(address));
      await until(() => workers.size >= least && serveBy(version) && isLeft(), timeoutMs);
    },
    problems: () => unique([...workers].flatMap(({ problems }) => problems)),
    counters: () => new Map([...workers].flatMap(({ pid, counters }) => (counters === undefined ? [] : [[pid, counters] as const]))),
    stop: async () => {
      for (const { socket } of workers) socket.destroy();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
      await disk.settled();
    },
  };
}

/** A worker that serves by any other table than the current one, even one that counts as newer, needs it sent. */
function receive(worker: Worker, message: ToDaemon, current: number | undefined): void {
  if (message.type === 'hello') {
    worker.pid = message.pid;
    worker.applied = message.version === current ? message.version : 0;
    worker.problems = message.problems;
    worker.leaving = message.leaving ?? [];
  } else if (message.type === 'applied') {
    worker.applied = message.version;
    worker.problems = message.problems;
    worker.leaving = message.leaving ?? [];
  } else if (message.type === 'counters') worker.counters = message.counters;
}

const lateProblem = (pid: number): Problem<GatewayErrorCode> => ({
  severity: 'warning',
  code: 'gateway/worker-late',
  message: `the gateway's worker ${pid} has not taken the new routes within ${applyTimeoutMs / 1000} s`,
  hint: 'It still serves by the routes before. `steward restart gateway` replaces it.',
});

function unique(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [`${problem.code} ${problem.message}`, problem])).values()];
}

async function listenOn(server: net.Server, path: string, owner: GatewayOptions['owner']): Promise<void> {
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve));
  await chmod(path, 0o600);
  if (owner !== undefined) await chown(path, owner.uid, owner.gid);
}

/** The table on disk: written whole or not at all. While one write is under way only the newest table waits for the next. */
class TableFile {
  readonly #options: GatewayOptions;
  #latest: VersionedTable | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  async read(): Promise<VersionedTable | undefined> {
    const text = await readFile(tablePath(this.#options.dir), 'utf8').catch(() => '');
    const stored = parseJson(text) as VersionedTable | undefined;
    return typeof stored?.version === 'number' ? stored : undefined;
  }

  write(table: VersionedTable): Promise<void> {
    this.#latest = table;
    const turn = this.#turn.then(() => this.#writeLatest());
    this.#turn = turn.catch(() => {});
    return turn;
  }

  settled(): Promise<void> {
    return this.#turn;
  }

  async #writeLatest(): Promise<void> {
    const table = this.#latest;
    if (table === undefined) return;
    this.#latest = undefined;
    const { dir, owner } = this.#options;
    const temporary = `${tablePath(dir)}.new`;
    await rm(temporary, { force: true });
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify(table));
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, tablePath(dir));
  }
}
