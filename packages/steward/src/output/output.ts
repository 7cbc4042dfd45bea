/**
 * Output: what services say. Each stream of an instance is a named pipe; the keeper (keeper.ts) moves its bytes into the
 * log; this door opens streams, hands out descriptors for new processes, reads logs back and tells when they grow.
 *
 *   open(stream) → pipe and log exist, the keeper moves         writer(id) → descriptor for a child's stdout
 *   read(...), follow(...) → lines with times                   watch(process) → onDeath, for processes that are not our children
 *   borrow(socket) → a listening socket that the keeper holds   hold(names) → it lets go of all others
 *
 * The keeper outlives this process. When it dies itself, it is started again and told everything anew.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, constants, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants as os } from 'node:os';
import { extname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EAGAIN, EEXIST, growPipe, lockFile, longestSocketPath, makePipe } from '../kernel/kernel.ts';
import { environmentOf, type ProcessId } from '../kernel/process-table.ts';
import { waitingBytes } from '../kernel/waiting-bytes.ts';
import { createLender } from './borrowed.ts';
import {
  createLineReader,
  type HeldSocket,
  type KeeperCommand,
  type KeeperEvent,
  listenDescriptor,
  type OpenStream,
  readWaitStatus,
  type Turn,
} from './keeper-protocol.ts';
import { fieldsOf, type Level, levelOf, levels } from './level.ts';
import {
  type Beginning,
  backlogOf,
  hasRun,
  type LogLine,
  lastRuns,
  leastStretchBytes,
  type Place,
  placeFor,
  type RunMark,
  readFrom,
  type Stretch,
  stretchBytes,
} from './log-reader.ts';
import { createPacking } from './packing.ts';
import type { Packing } from './segments.ts';
import type { SinkSpec, Writer } from './sink.ts';
import { createForwarder, type Forwarder, type SyslogSpec, type SyslogTrouble } from './syslog.ts';
import { systemError } from './system-error.ts';

export {
  type Beginning,
  fieldsOf,
  type HeldSocket,
  type Level,
  type LogLine,
  leastStretchBytes,
  levelOf,
  levels,
  listenDescriptor,
  type Place,
  type RunMark,
  type Stretch,
  stretchBytes,
};

export interface StreamSpec extends SinkSpec {
  /** Unique; `web` or `web!err`. */
  readonly id: string;
  /** How rotated files are packed; plain files stay when undefined. */
  readonly compress?: Packing;
  /** Where its lines are sent too. */
  readonly syslog?: SyslogSpec;
  /** Who may open the pipe again by /dev/stdout. */
  readonly owner?: { readonly uid: number; readonly gid: number };
}

/** A run of a program, by its id, and the process. */
export type { Writer };

/** How a process ended; both null when nobody can know. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: number | null;
}

export interface OutputOptions {
  /** Folder for pipes, indexes and the keeper's own files; made when missing. */
  readonly folder: string;
  /** Folder for the sockets of sd_notify; services of every user must be able to pass through it. */
  readonly notifyFolder: string;
  readonly onGrowth: (ids: readonly string[]) => void;
  readonly onDeath: (process: ProcessId, exit: ExitStatus) => void;
  /** An sd_notify message of a stream's program. */
  readonly onNotify: (id: string, text: string) => void;
  /** A log cannot be written (text says why) or can be again, with what was dropped; and the same for what is sent to syslog. */
  readonly onTrouble: (id: string, trouble: Trouble) => void;
  /** Takes out of lines what nobody is to read; undefined when there is nothing, at the moment of each reading. */
  readonly mask?: () => ((text: string) => string) | undefined;
  /** How long a rotated file stays as it is before it is packed. Default: a minute. */
  readonly packAfterMs?: number;
}

export type Trouble = { readonly text: string } | { readonly droppedBytes: number } | SyslogTrouble;

export interface Output {
  open(stream: StreamSpec): void;
  close(id: string): void;
  /** A descriptor for a child's stdout or stderr; the caller closes it. @throws when the stream is not open. */
  writer(id: string): number;
  /**
   * Says that what a process writes from now on is of this run; to be called right before it is started, and when `drained`
   * says that nothing of an earlier run is on its way.
   */
  begin(id: string, run: string): void;
  /** Undefined when nothing waits in these streams, else a promise for that; it resolves after a tenth of a second at the latest. */
  drained(ids: readonly string[]): Promise<void> | undefined;
  started(id: string, writer: Writer): void;
  ended(id: string, writer: Writer, exit: ExitStatus): void;
  watch(process: ProcessId): void;
  /** Receives sd_notify messages for `id`; the path for NOTIFY_SOCKET. @throws when that path would be too long. */
  listen(id: string, owner?: { readonly uid: number; readonly gid: number }): string;
  unlisten(id: string): void;
  /**
   * A descriptor of a listening socket that lives on in the keeper when this process dies; it stays open until `hold` leaves
   * its name out. Opens it unless the keeper holds it; when its address is taken, a copy is asked of the processes in
   * `from`, which got it from us. Rejects with the system's code when it cannot be had.
   */
  borrow(socket: HeldSocket, from: readonly number[]): Promise<number>;
  /** The borrowed descriptor of this name, if there is one. */
  borrowed(name: string): number | undefined;
  /** Closes every such socket but those named, here and in the keeper. Resolves when that is done. */
  hold(names: readonly string[]): Promise<void>;
  /** Resolves when all that was written before is in the logs. Gives up after 2 s without an answer. */
  settle(): Promise<void>;
  /** Where to begin reading a log file; undefined when there is none yet. */
  place(file: string, wanted: Beginning): Place | undefined;
  /** What a log file holds from a place on, over rotated files too; at most about `mostBytes`, by default `stretchBytes`. */
  read(file: string, place: Place | undefined, final: boolean, mostBytes?: number): Stretch;
  /** The last runs in a log, newest first. */
  runs(file: string, count: number): string[];
  /** Whether a log has lines of a run whose id begins so. */
  hasRun(file: string, run: string): boolean;
  /** Lets go; `keeper: 'stop'` ends the keeper too, after the last byte. */
  stop(keeper: 'stop' | 'leave'): Promise<void>;
}

const keeperFile = fileURLToPath(new URL(`keeper${extname(import.meta.url)}`, import.meta.url));
const commandBytes = 1024 * 1024;
const settleMs = 2000;
/** How soon the death of a keeper that an earlier daemon started is noticed; our own tells at once. */
const tendEveryMs = 500;

/** How long a start waits for what the run before left in its pipes: mostly not at all. Bytes that are still there then may count for the wrong run. */
const drainMs = 2000;
const packAfterMs = 60_000;

const keeperMark = 'STEWARD_KEEPER';

/** Whether a process is the keeper of a Steward, as far as we may see. */
export const isKeeper = (pid: number): boolean => environmentOf(pid, keeperMark) !== undefined;

/** Names made of an instance id must not leave their folder. */
export const fileNameOf = (id: string): string =>
  id.replaceAll(/[^A-Za-z0-9_.:@=+-]/g, (char) => `%${char.codePointAt(0)?.toString(16)}`).replace(/^\./, '%2e');

function openPipe(path: string): number {
  const made = makePipe(path, 0o600);
  if (made < 0 && made !== -EEXIST) throw systemError(made, `cannot make the named pipe ${path}`);
  return openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

/** @throws when the folder cannot be made or written. */
const masked = (stretch: Stretch, mask: ((text: string) => string) | undefined): Stretch =>
  mask === undefined ? stretch : { ...stretch, lines: stretch.lines.map((line) => maskedLine(line, mask)) };

function maskedLine(line: LogLine, mask: (text: string) => string): LogLine {
  const text = mask(line.text);
  return text === line.text ? line : { ...line, text };
}

export function createOutput(options: OutputOptions): Output {
  const { folder, notifyFolder } = options;
  mkdirSync(join(folder, 'pipes'), { recursive: true, mode: 0o700 });
  mkdirSync(notifyFolder, { recursive: true, mode: 0o711 });
  interface Open {
    readonly spec: OpenStream;
    readonly held: number;
    readonly forwarder: Forwarder | undefined;
    writer: Writer | undefined;
  }
  const streams = new Map<string, Open>();
  const watches = new Map<number, ProcessId>();
  const listeners = new Map<string, { id: string; path: string; uid?: number; gid?: number }>();
  const settling = new Map<number, () => void>();
  let settled = Date.now(); // a number no earlier daemon is waiting for
  let stopping = false;
  let keeper: ChildProcess | undefined;

  const commands = openPipe(join(folder, 'keeper.in'));
  growPipe(commands, commandBytes);
  const events = new Socket({ fd: openPipe(join(folder, 'keeper.out')), readable: true, writable: false });
  let unsent = Buffer.from('\n');
  let sender: NodeJS.Timeout | undefined;

  /** Writes what is due; a full pipe (a keeper that is being started) is tried again shortly. */
  function send(): void {
    sender = undefined;
    while (unsent.length > 0) {
      try {
        unsent = unsent.subarray(writeSync(commands, unsent));
      } catch (error) {
        if ((error as { errno?: number }).errno !== -EAGAIN) throw error;
        sender ??= setTimeout(send, 5);
        return;
      }
    }
  }

  function say(command: KeeperCommand): void {
    tend();
    unsent = Buffer.concat([unsent, Buffer.from(`${JSON.stringify(command)}\n`)]);
    if (sender === undefined) send();
  }

  function hear(event: KeeperEvent): void {
    if ('grown' in event) {
      for (const id of event.grown) streams.get(id)?.forwarder?.look();
      options.onGrowth(event.grown);
    } else if ('rotated' in event) packing.look(event.rotated);
    else if ('died' in event) {
      const known = watches.get(event.died.pid);
      if (known?.start !== event.died.start) return;
      watches.delete(event.died.pid);
      options.onDeath(known, event.died.status === undefined ? { code: null, signal: null } : readWaitStatus(event.died.status));
    } else if ('trouble' in event)
      options.onTrouble(event.trouble.id, { text: `${event.trouble.file} cannot be written (errno ${event.trouble.errno})` });
    else if ('recovered' in event) options.onTrouble(event.recovered.id, { droppedBytes: event.recovered.droppedBytes });
    else if ('notified' in event) options.onNotify(event.notified.id, event.notified.text);
    else if ('lent' in event) lender.onLent(event.lent);
    else settling.get(event.synced)?.();
  }

  const eventReader = createLineReader<KeeperEvent>();
  events.on('data', (chunk) => eventReader(chunk as Buffer).forEach(hear));
  events.on('error', () => {});

  function startKeeper(): void {
    const log = openSync(join(folder, 'keeper.log'), 'a', 0o600);
    const sockets = lender.sockets();
    const names = JSON.stringify(sockets.map(({ socket }) => socket));
    keeper = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', keeperFile, folder, names], {
      detached: true,
      stdio: ['ignore', log, log, ...sockets.map(({ fd }) => fd)],
      env: { [keeperMark]: '1', ...(process.env.TZ !== undefined && { TZ: process.env.TZ }) }, // days end at local midnight
      cwd: '/',
    });
    closeSync(log);
    keeper.unref();
    const gone = (): void => {
      keeper = undefined;
      tend();
    };
    keeper.once('error', () => setTimeout(gone, tendEveryMs).unref());
    keeper.once('exit', gone);
    for (const { spec, writer } of streams.values()) say({ open: { ...spec, ...(writer && { writer }) } });
    for (const listener of listeners.values()) say({ listen: listener });
    for (const { pid, start } of watches.values()) say({ watch: { pid, start } });
    lender.askAgain();
  }

  const lender = createLender(join(folder, 'fds'), say);
  const isNeeded = (): boolean => streams.size > 0 || watches.size > 0 || listeners.size > 0 || lender.isInUse();

  /** Whether a keeper runs, whoever started it: it holds the lock. */
  function isKept(): boolean {
    const lock = openSync(join(folder, 'keeper.lock'), 'w', 0o600);
    const isFree = lockFile(lock);
    closeSync(lock);
    return !isFree;
  }

  /** Sees to it that one runs, once there is anything to keep. */
  function tend(): void {
    if (!stopping && isNeeded() && keeper === undefined && !isKept()) startKeeper();
  }
  const tending = setInterval(tend, tendEveryMs).unref();

  const packing = createPacking({ folder, afterMs: options.packAfterMs ?? packAfterMs, onPacked: (packed) => say({ packed }) });

  const isEmpty = (id: string): boolean => waitingBytes(known(id).held) === 0;

  async function untilDrained(ids: readonly string[]): Promise<void> {
    for (let waitedMs = 0; waitedMs < drainMs; waitedMs++) {
      await wait(1);
      if (ids.every((id) => !streams.has(id) || isEmpty(id))) return;
    }
  }

  const turn = (next: Turn): void => say({ turn: next });

  const known = (id: string): Open => {
    const stream = streams.get(id);
    if (stream === undefined) throw new Error(`no output stream ${id}`);
    return stream;
  };

  /** The forwarder of a stream: the one there is, unless its log or where it sends has changed. */
  function forwarderOf(id: string, file: string, spec: SyslogSpec | undefined, present: Forwarder | undefined): Forwarder | undefined {
    const key = JSON.stringify([file, spec]);
    if (present?.key === key) return present;
    void present?.stop();
    if (spec === undefined) return undefined;
    const stateFile = join(folder, 'syslog', fileNameOf(id));
    const read = (place: Place | undefined): Stretch => readFrom(file, folder, place, false);
    return createForwarder({
      key,
      spec,
      stateFile,
      read,
      backlog: (place) => backlogOf(file, folder, place),
      end: () => placeFor(file, folder, { lines: 0 }),
      onTrouble: (trouble) => options.onTrouble(id, trouble),
    });
  }

  /** Asks the keeper to end after the last byte, and waits until it has. */
  async function stopKeeper(): Promise<void> {
    if (!isKept() && keeper === undefined) return;
    await settle();
    say({ stop: true });
    for (let waitedMs = 0; waitedMs < settleMs && isKept(); waitedMs += 10) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async function settle(): Promise<void> {
    if (!isNeeded() && keeper === undefined && !isKept()) return;
    const number = ++settled;
    say({ sync: number });
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, settleMs);
      settling.set(number, () => {
        clearTimeout(timer);
        resolve();
      });
    });
    settling.delete(number);
  }

  let stopped: Promise<void> | undefined;
  async function close(mode: 'stop' | 'leave'): Promise<void> {
    stopping = true;
    clearInterval(tending);
    await packing.stop();
    if (mode === 'stop') await stopKeeper();
    await Promise.all([...streams.values()].map(({ forwarder }) => forwarder?.stop()));
    clearTimeout(sender);
    events.destroy();
    closeSync(commands);
    lender.close();
    for (const { held } of streams.values()) closeSync(held);
    streams.clear();
  }

  return {
    open({ id, owner, compress, syslog, ...sink }) {
      const pipe = join(folder, 'pipes', fileNameOf(id));
      const spec: OpenStream = { id, pipe, ...sink };
      const before = streams.get(id);
      const held = before?.held ?? openPipe(pipe);
      if (owner !== undefined) chownSync(pipe, owner.uid, owner.gid);
      const forwarder = forwarderOf(id, sink.file, syslog, before?.forwarder);
      streams.set(id, { spec, held, forwarder, writer: before?.writer });
      packing.want(sink.file, compress);
      if (JSON.stringify(before?.spec) !== JSON.stringify(spec)) say({ open: spec });
    },
    close(id) {
      const stream = streams.get(id);
      if (stream === undefined) return;
      streams.delete(id);
      say({ close: id });
      settle().then(() => {
        closeSync(stream.held);
        void stream.forwarder?.stop();
        if (![...streams.values()].some(({ spec }) => spec.file === stream.spec.file)) packing.want(stream.spec.file, undefined);
        if (!streams.has(id)) rmSync(stream.spec.pipe, { force: true });
      });
    },
    writer: (id) => openSync(known(id).spec.pipe, constants.O_RDWR),
    begin(id, run) {
      const stream = known(id);
      stream.writer = { run, pid: 0 };
      turn({ kind: 'begin', id, run, after: waitingBytes(stream.held) });
    },
    drained(ids) {
      const waiting = ids.filter((id) => streams.has(id) && !isEmpty(id));
      return waiting.length === 0 ? undefined : untilDrained(waiting);
    },
    started(id, writer) {
      const stream = streams.get(id);
      if (stream === undefined) return;
      stream.writer = writer;
      turn({ kind: 'started', id, ...writer, timeMs: Date.now() });
    },
    ended(id, writer, { code, signal }) {
      if (streams.has(id)) turn({ kind: 'ended', id, ...writer, code, signal });
    },
    watch(process) {
      watches.set(process.pid, process);
      say({ watch: { pid: process.pid, start: process.start } });
    },
    listen(id, owner) {
      const path = join(notifyFolder, fileNameOf(id));
      if (Buffer.byteLength(path) > longestSocketPath)
        throw systemError(-os.errno.ENAMETOOLONG, `the path of its notify socket, ${path}, is longer than ${longestSocketPath} bytes`);
      listeners.set(id, { id, path, ...owner });
      say({ listen: { id, path, ...owner } });
      return path;
    },
    unlisten(id) {
      if (listeners.delete(id)) say({ unlisten: id });
    },
    borrow: lender.borrow,
    borrowed: lender.borrowed,
    hold(names) {
      lender.hold(names);
      say({ hold: names });
      return settle();
    },
    settle,
    place: (file, wanted) => placeFor(file, folder, wanted),
    read: (file, place, final, mostBytes) => masked(readFrom(file, folder, place, final, mostBytes), options.mask?.()),
    runs: (file, count) => lastRuns(file, folder, count),
    hasRun: (file, run) => hasRun(file, folder, run),
    stop: (mode) => (stopped ??= close(mode)),
  };
}
