/**
 * The keeper: one small process that moves what services write from their pipes into their logs, sees processes die, and
 * holds the listening sockets that services share.
 * It outlives the daemon, so that services never wait for a reader and no line is lost while the daemon is away; it may
 * be killed itself, since bytes wait in the pipe until they are in the file (see moveToFile).
 *
 *   service ──▶ pipes/web.out ──splice──▶ logs/web.log            one thread, one epoll, no copy through JavaScript
 *   daemon  ──▶ keeper.in  {open} {close} {watch} {listen} …      one JSON a line, see keeper-protocol.ts
 *   daemon  ◀── keeper.out {grown} {died} {notified} {trouble} …
 *   daemon  ◀── fds        descriptors of the sockets held here   unix datagrams, since a pipe carries none
 *
 * Started as `node keeper.ts FOLDER SOCKETS`, where SOCKETS names the sockets it inherits from descriptor 3 on; holds the lock FOLDER/keeper.lock, so there is never a second one.
 */
import { chmodSync, chownSync, closeSync, constants, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  createPoller,
  EAGAIN,
  ESRCH,
  growPipe,
  lockFile,
  makePipe,
  moveToFile,
  openDatagrams,
  openProcess,
  receiveDatagram,
  waitStatusOf,
} from '../kernel/kernel.ts';
import { EADDRINUSE, openListener, sendDescriptor, setBacklog, takeListener } from '../kernel/listening.ts';
import { startTimeOf, statusOfZombie } from '../kernel/process-table.ts';
import { waitingBytes } from '../kernel/waiting-bytes.ts';
import {
  createCommandReader,
  type HeldSocket,
  type KeeperCommand,
  type KeeperEvent,
  listenDescriptor,
  type OpenStream,
  type Turn,
} from './keeper-protocol.ts';
import { adoptPacked } from './segments.ts';
import { openSink, type Scratch, type Sink, type Writer } from './sink.ts';

const folder = process.argv[2] ?? '.';
const pipeBytes = 256 * 1024;
/** The most one stream moves in a round, so that a flood in one does not starve the others. */
const roundBytes = 1024 * 1024;
/** Growth is told at most this often. */
const tellEveryMs = 10;
const retryEveryMs = 1000;
/** How long a dead process's exit status is waited for: it shows while it is a zombie, and on Linux 6.15 after that too. */
const reapWaitMs = 100;

interface Stream {
  readonly spec: OpenStream;
  readonly pipe: number;
  /** Undefined while its file cannot be opened. */
  sink: Sink | undefined;
  writer: Writer | undefined;
  triedAtMs: number;
  lastErrno: number;
  droppedBytes: number;
}

interface Watched {
  readonly pid: number;
  readonly start: number;
  readonly pidfd: number;
  diedAtMs: number;
}

const openAs = (name: string): number => {
  makePipe(join(folder, name), 0o600);
  const fd = openSync(join(folder, name), constants.O_RDWR | constants.O_NONBLOCK);
  growPipe(fd, pipeBytes * 4);
  return fd;
};

if (!lockFile(openSync(join(folder, 'keeper.lock'), 'w', 0o600))) process.exit(0);

const commands = openAs('keeper.in');
const events = openAs('keeper.out');
makePipe(join(folder, 'keeper.scratch'), 0o600);
const scratchPipe = openSync(join(folder, 'keeper.scratch'), constants.O_RDWR | constants.O_NONBLOCK);
growPipe(scratchPipe, pipeBytes);
const scratch: Scratch = { pipe: scratchPipe, buffer: Buffer.alloc(pipeBytes) };
const nowhere = openSync('/dev/null', 'w');
const poller = createPoller();
poller.add(commands);

const streams = new Map<string, Stream>();
const byPipe = new Map<number, Stream>();
const sinks = new Map<string, { sink: Sink; users: number }>();
const watched = new Map<number, Watched>();
const listeners = new Map<number, { id: string; path: string }>();
/** The sockets held, by name. */
const held = new Map<string, { fd: number; socket: HeldSocket }>();
(JSON.parse(process.argv[3] ?? '[]') as HeldSocket[]).forEach((socket, index) => {
  held.set(socket.name, { socket, fd: listenDescriptor + index });
});
/** What is said of runs and not yet done, by stream; a stream whose log cannot be opened keeps the last of it. */
const turns = new Map<string, Turn[]>();
const mostTurns = 1000;
const queue: KeeperCommand[] = [];
const grown = new Set<Stream>();
const reaping = new Set<Watched>();
let toldAt = 0;
let stopping = false;

/** Tells the daemon; what does not fit into the pipe while it is away is dropped: it asks again when it comes back. */
function tell(event: KeeperEvent): void {
  try {
    writeSync(events, `${JSON.stringify(event)}\n`);
  } catch {}
}

function sinkOf(spec: OpenStream): Sink {
  const shared = sinks.get(spec.file);
  if (shared !== undefined) {
    shared.users += 1;
    shared.sink.retune(spec);
    return shared.sink;
  }
  const sink = openSink(spec, folder, scratch, hasRotated);
  sinks.set(spec.file, { sink, users: 1 });
  return sink;
}

/** Deletes the oldest rotated files of all logs of a pool until they are within its cap. */
function keepWithin({ name, bytes }: { readonly name: string; readonly bytes: number }): void {
  const members = [...sinks.values()].map(({ sink }) => sink).filter(({ spec }) => spec.pool?.name === name);
  let sum = members.reduce((total, { rotatedBytes }) => total + rotatedBytes, 0);
  while (sum > bytes) {
    const oldest = members.reduce((a, b) => (b.oldestMs < a.oldestMs ? b : a));
    if (oldest.rotatedBytes === 0) return;
    sum -= oldest.rotatedBytes;
    oldest.dropOldest();
    sum += oldest.rotatedBytes;
  }
}

function hasRotated(sink: Sink): void {
  tell({ rotated: sink.spec.file });
  if (sink.spec.pool !== undefined) keepWithin(sink.spec.pool);
}

function takePacked({ file, origin, packing, temporary }: Extract<KeeperCommand, { packed: unknown }>['packed']): void {
  adoptPacked(file, folder, origin, packing, temporary);
  sinks.get(file)?.sink.look();
}

function openStream(spec: OpenStream): void {
  const present = streams.get(spec.id);
  if (present?.sink !== undefined && present.spec.file === spec.file && present.spec.pipe === spec.pipe) {
    present.writer ??= spec.writer;
    return present.sink.retune(spec);
  }
  if (present !== undefined) closeStream(spec.id);
  const pipe = openSync(spec.pipe, constants.O_RDWR | constants.O_NONBLOCK);
  growPipe(pipe, pipeBytes);
  const stream: Stream = { spec, pipe, sink: undefined, writer: spec.writer, triedAtMs: 0, lastErrno: 0, droppedBytes: 0 };
  streams.set(spec.id, stream);
  byPipe.set(pipe, stream);
  poller.add(pipe);
  drain(stream);
}

function closeStream(id: string): void {
  const stream = streams.get(id);
  if (stream === undefined) return;
  while (drain(stream) > 0);
  turns.delete(id);
  streams.delete(id);
  byPipe.delete(stream.pipe);
  grown.delete(stream);
  poller.remove(stream.pipe);
  closeSync(stream.pipe);
  const shared = stream.sink && sinks.get(stream.spec.file);
  if (shared === undefined || --shared.users > 0) return;
  shared.sink.close();
  sinks.delete(stream.spec.file);
}

/** A service must not stand still because its log cannot be written: what it says now is counted and told, not kept. */
function drop(stream: Stream, errno: number): number {
  const dropped = Math.max(0, moveToFile(stream.pipe, nowhere, 0, roundBytes));
  if (dropped === 0) return 0;
  if (stream.droppedBytes === 0) tell({ trouble: { id: stream.spec.id, file: stream.spec.file, errno: -errno } });
  stream.droppedBytes += dropped;
  return dropped;
}

function ownUp(stream: Stream, nowMs: number): void {
  stream.sink?.note(`[steward] ${stream.droppedBytes} bytes of output are missing here: the log could not be written`, nowMs);
  tell({ recovered: { id: stream.spec.id, droppedBytes: stream.droppedBytes } });
  stream.droppedBytes = 0;
}

/** The sink of a stream; one that cannot be opened is tried again each second. @throws while it cannot. */
function openedSink(stream: Stream, nowMs: number): Sink {
  if (stream.sink !== undefined) return stream.sink;
  if (nowMs - stream.triedAtMs < retryEveryMs) throw Object.assign(new Error('not yet'), { errno: stream.lastErrno });
  stream.triedAtMs = nowMs;
  try {
    stream.sink = sinkOf(stream.spec);
    stream.writer ??= stream.sink.lastWriter;
    return stream.sink;
  } catch (error) {
    stream.lastErrno = (error as { errno?: number }).errno ?? -5;
    throw error;
  }
}

function apply(turn: Turn, stream: Stream, sink: Sink, nowMs: number): void {
  if (turn.kind === 'begin') stream.writer = { run: turn.run, pid: 0 };
  else if (turn.kind === 'started') {
    if (stream.writer?.run === turn.run) stream.writer = { run: turn.run, pid: turn.pid };
    sink.started({ run: turn.run, pid: turn.pid }, turn.timeMs);
  } else sink.ended(turn, nowMs);
}

/**
 * Does what is said of runs, as far as the bytes before it are in the log. Gives back how many bytes may be moved before
 * the next: what waits belongs to the run before until the pipe is empty, or until as many have gone as were there when
 * the next one was said to begin.
 */
function heedTurns(stream: Stream, sink: Sink, nowMs: number): number {
  const due = turns.get(stream.spec.id);
  for (let turn = due?.[0]; due !== undefined && turn !== undefined; turn = due[0]) {
    const next = due.find(({ kind }) => kind === 'begin') as Extract<Turn, { kind: 'begin' }> | undefined;
    const before = turn.kind === 'started' || waitingBytes(stream.pipe) === 0 ? 0 : (next?.after ?? Number.POSITIVE_INFINITY);
    if (before > 0) return before;
    due.shift();
    apply(turn, stream, sink, nowMs);
  }
  turns.delete(stream.spec.id);
  return Number.POSITIVE_INFINITY;
}

/** What has moved was in the pipe when these were said. */
function countMoved(id: string, moved: number): void {
  for (const turn of turns.get(id) ?? []) if (turn.kind === 'begin') turn.after = Math.max(0, turn.after - moved);
}

/** Moves what is there; bytes moved or dropped, 0 when the pipe is empty. Never throws. */
function drain(stream: Stream): number {
  // What is said of runs is said before their bytes come: whoever wrote what is there now is known once this is read. What comes
  // meanwhile may be the next run's, and waits for the next time.
  const there = waitingBytes(stream.pipe);
  pullCommands();
  const nowMs = Date.now();
  try {
    const sink = openedSink(stream, nowMs);
    if (stream.droppedBytes > 0) ownUp(stream, nowMs);
    const most = Math.min(there, roundBytes, turns.has(stream.spec.id) ? heedTurns(stream, sink, nowMs) : roundBytes);
    if (most === 0) return 0;
    const moved = sink.take(stream.pipe, most, nowMs, stream.writer);
    if (moved === -EAGAIN || moved === 0) return 0;
    if (moved < 0) return drop(stream, moved);
    grown.add(stream);
    if (turns.has(stream.spec.id)) {
      countMoved(stream.spec.id, moved);
      heedTurns(stream, sink, nowMs);
    }
    return moved;
  } catch (error) {
    return drop(stream, (error as { errno?: number }).errno ?? -5);
  }
}

/** A kernel or container without pidfds tells nothing here; the daemon looks for itself every two seconds then. */
function watchProcess(pid: number, start: number): void {
  const pidfd = openProcess(pid);
  if (pidfd === -ESRCH || startTimeOf(pid) !== start) {
    if (pidfd >= 0) closeSync(pidfd);
    return tell({ died: { pid, start, status: statusOfZombie({ pid, start }) } });
  }
  if (pidfd < 0) return;
  watched.set(pidfd, { pid, start, pidfd, diedAtMs: 0 });
  poller.add(pidfd);
}

function sawDeath(process: Watched): void {
  poller.remove(process.pidfd);
  watched.delete(process.pidfd);
  process.diedAtMs = Date.now();
  reaping.add(process);
}

/** Tells deaths with the exit status as soon as it is known, or without it when nobody reaps. */
function tellDeaths(nowMs: number): void {
  for (const process of reaping) {
    const status = statusOfZombie(process) ?? waitStatusOf(process.pidfd);
    if (status === undefined && nowMs - process.diedAtMs < reapWaitMs) continue;
    reaping.delete(process);
    closeSync(process.pidfd);
    tell({ died: { pid: process.pid, start: process.start, status } });
  }
}

/** A daemon that comes back asks again for what is there: it stays, so that no message falls in between. */
function listen({ id, path, uid, gid }: { id: string; path: string; uid?: number; gid?: number }): void {
  if (![...listeners.values()].some((listener) => listener.id === id && listener.path === path)) {
    unlisten(id);
    rmSync(path, { force: true });
    const fd = openDatagrams(path);
    if (fd < 0) return tell({ trouble: { id, file: path, errno: -fd } });
    listeners.set(fd, { id, path });
    poller.add(fd);
  }
  chmodSync(path, 0o600);
  if (uid !== undefined && gid !== undefined) chownSync(path, uid, gid);
}

function unlisten(id: string): void {
  for (const [fd, listener] of listeners) {
    if (listener.id !== id) continue;
    poller.remove(fd);
    closeSync(fd);
    rmSync(listener.path, { force: true });
    listeners.delete(fd);
  }
}

function receive(fd: number, id: string): void {
  for (let text = receiveDatagram(fd); text !== undefined; text = receiveDatagram(fd)) tell({ notified: { id, text } });
}

/** The descriptor of a socket, or -errno: the one held, a new one, or a copy of what a service has kept. */
function socketFor(socket: HeldSocket, from: readonly number[]): number {
  const present = held.get(socket.name)?.fd;
  if (present !== undefined) return Math.min(0, setBacklog(present, socket.backlog)) || present;
  const opened = openListener(socket.address, socket.backlog);
  const fd =
    opened === -EADDRINUSE
      ? (from.map((pid) => takeListener(pid, listenDescriptor, socket.address)).find((copy) => copy >= 0) ?? opened)
      : opened;
  if (fd >= 0) held.set(socket.name, { fd, socket });
  return fd;
}

function lend({ request, socket, from, to }: { request: string; socket: HeldSocket; from: readonly number[]; to: string }): void {
  const fd = socketFor(socket, from);
  tell({ lent: { request, name: socket.name, errno: fd < 0 ? -fd : -sendDescriptor(to, socket.name, fd) } });
}

/** A socket file without its socket would answer nobody. */
function letGo({ fd, socket: { name, address } }: { fd: number; socket: HeldSocket }): void {
  held.delete(name);
  closeSync(fd);
  if (address.kind === 'unix') rmSync(address.path, { force: true });
}

function obey(command: KeeperCommand): void {
  if ('open' in command) openStream(command.open);
  else if ('close' in command) closeStream(command.close);
  else if ('turn' in command) touch(command.turn.id);
  else if ('packed' in command) takePacked(command.packed);
  else if ('watch' in command) watchProcess(command.watch.pid, command.watch.start);
  else if ('listen' in command) listen(command.listen);
  else if ('unlisten' in command) unlisten(command.unlisten);
  else if ('lend' in command) lend(command.lend);
  else if ('hold' in command) {
    for (const one of [...held.values()]) if (!command.hold.includes(one.socket.name)) letGo(one);
  } else if ('sync' in command) {
    for (const stream of streams.values()) while (drain(stream) > 0);
    tellGrowth(Date.now());
    tell({ synced: command.sync });
  } else stopping = true;
}

const commandReader = createCommandReader();
const commandBuffer = Buffer.alloc(65536);

/** A run that says nothing has its marks too. */
function touch(id: string): void {
  const stream = streams.get(id);
  if (stream === undefined) turns.delete(id);
  else if (turns.has(id)) drain(stream);
}

/** Takes in what the daemon has said; what is about runs is known at once, since a drain may be next. */
function pullCommands(): void {
  while (waitingBytes(commands) > 0) {
    let count = 0;
    try {
      count = readSync(commands, commandBuffer, 0, commandBuffer.length, null);
    } catch {
      return;
    }
    for (const command of commandReader(commandBuffer.subarray(0, count))) {
      queue.push(command);
      if ('turn' in command) addTurn(command.turn);
    }
  }
}

function addTurn(turn: Turn): void {
  const due = turns.get(turn.id) ?? [];
  turns.set(turn.id, due);
  due.push(turn);
  if (due.length > mostTurns) due.shift();
}

function readCommands(): void {
  pullCommands();
  for (let command = queue.shift(); command !== undefined; command = queue.shift()) {
    try {
      obey(command);
    } catch (error) {
      const id = 'open' in command ? command.open.id : '';
      tell({ trouble: { id, file: 'open' in command ? command.open.file : '', errno: -((error as { errno?: number }).errno ?? -5) } });
    }
  }
}

function tellGrowth(nowMs: number): void {
  toldAt = nowMs;
  if (grown.size === 0) return;
  tell({ grown: [...grown].map(({ spec }) => spec.id) });
  grown.clear();
}

const patience = (): number => (reaping.size > 0 ? 2 : grown.size > 0 ? tellEveryMs : retryEveryMs * 10);

process.on('SIGTERM', () => {});
while (!stopping) {
  for (const fd of poller.wait(patience())) {
    const stream = byPipe.get(fd);
    if (stream !== undefined) drain(stream);
    else if (fd !== commands) {
      const process = watched.get(fd);
      const listener = listeners.get(fd);
      if (process !== undefined) sawDeath(process);
      else if (listener !== undefined) receive(fd, listener.id);
    }
  }
  readCommands();
  const nowMs = Date.now();
  if (reaping.size > 0) tellDeaths(nowMs);
  if (grown.size > 0 && nowMs - toldAt >= tellEveryMs) tellGrowth(nowMs);
}
for (const id of [...streams.keys()]) closeStream(id);
process.exit(0);
