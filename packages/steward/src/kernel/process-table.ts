/** What /proc knows of processes: who is who, exactly. A process is named by its pid and its start time together. */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, statSync } from 'node:fs';

/** `start` is in clock ticks since boot: a reused pid has another one. */
export interface ProcessId {
  readonly pid: number;
  readonly start: number;
}

/** Longer than a row of /proc/PID/stat can be: 52 numbers and a name. */
const statBuffer = Buffer.alloc(2048);

/** Fields of /proc/PID/stat after the command name, which may hold spaces and brackets itself. */
function statFields(pid: number | 'self'): string[] | undefined {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/stat`, 'r');
  } catch {
    return undefined;
  }
  try {
    // One read gives all of it; with a thousand processes to look at, asking for its size and its end as well costs.
    const text = statBuffer.toString('latin1', 0, readSync(fd, statBuffer));
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined; // it has gone between the two
  } finally {
    closeSync(fd);
  }
}

/** The start time of a living process, undefined when there is none (a zombie counts as none). */
export function startTimeOf(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields === undefined || fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
}

/** The same for our own child, which keeps its entry after death until its exit has been collected. */
export const startTimeOfChild = (pid: number): number => Number(statFields(pid)?.[19] ?? 0);

/** Whether exactly this process still runs. */
export const isAlive = ({ pid, start }: ProcessId): boolean => startTimeOf(pid) === start;

const exitCodeField = 49; // field 52 of proc(5), counted from the state

/** How a dead process that nobody has collected yet ended, as wait(2) encodes it; undefined when it is not there to see. */
export function statusOfZombie({ pid, start }: ProcessId): number | undefined {
  const fields = statFields(pid);
  return fields?.[0] === 'Z' && Number(fields[19]) === start ? Number(fields[exitCodeField]) : undefined;
}

/** Changes with each boot, so that a pid and start time of an earlier one match nothing. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/** The value of a variable in the environment a process was started with; undefined when unreadable or unset. */
export function environmentOf(pid: number, name: string): string | undefined {
  try {
    const entry = readFileSync(`/proc/${pid}/environ`, 'utf8')
      .split('\0')
      .find((text) => text.startsWith(`${name}=`));
    return entry?.slice(name.length + 1);
  } catch {
    return undefined;
  }
}

/** Rows of a table of /proc/net, each split into its fields, without the heading; none when there is no such table. */
function netTable(name: string): string[][] {
  try {
    const rows = readFileSync(`/proc/net/${name}`, 'utf8').trimEnd().split('\n').slice(1);
    return rows.map((row) => row.trim().split(/\s+/));
  } catch {
    return [];
  }
}

const isListening = '0A';
const acceptsFlag = 0x10000;

/** Inodes of the sockets that listen on a TCP port, of any address, or at a path. */
function listeningInodes(at: number | string): string[] {
  if (typeof at === 'string')
    return netTable('unix').flatMap((row) =>
      row[7] === at && (Number.parseInt(row[3] ?? '', 16) & acceptsFlag) !== 0 ? (row[6] ?? []) : [],
    );
  const port = `:${at.toString(16).toUpperCase().padStart(4, '0')}`;
  return [...netTable('tcp'), ...netTable('tcp6')].flatMap((row) =>
    row[1]?.endsWith(port) && row[3] === isListening ? (row[9] ?? []) : [],
  );
}

/** The name of a process that has one of these sockets, as the kernel shows it; undefined when it has none, is gone, or is not ours to look at. */
function holderName(pid: number, sockets: ReadonlySet<string>): string | undefined {
  try {
    const isHolder = readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`)));
    return isHolder ? readFileSync(`/proc/${pid}/comm`, 'utf8').trim() : undefined;
  } catch {
    return undefined;
  }
}

/** The processes that listen on a TCP port or at the path of a unix socket, of those we may look at. */
export function listenersAt(at: number | string): { readonly pid: number; readonly command: string }[] {
  const sockets = new Set(listeningInodes(at).map((inode) => `socket:[${inode}]`));
  if (sockets.size === 0) return [];
  return livingPids().flatMap((pid) => {
    const command = holderName(pid, sockets);
    return command === undefined ? [] : { pid, command };
  });
}

/** Whether a process leads its process group, as all that Steward starts do and most of their children do not. */
export const isLeader = (pid: number): boolean => Number(statFields(pid)?.[2]) === pid;

/** All pids of this moment. */
export function livingPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Whether a process group has a member that is not yet dead; zombies that nobody collected do not count. */
export function isGroupAlive(group: number): boolean {
  try {
    process.kill(-group, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return livingPids().some((pid) => {
    const fields = statFields(pid);
    return fields !== undefined && Number(fields[2]) === group && fields[0] !== 'Z' && fields[0] !== 'X';
  });
}

export interface Usage {
  /** Seconds of processor time, user and system, of the processes themselves. */
  readonly cpuSeconds: number;
  /** Resident memory; what several processes share counts for each of them. */
  readonly memoryBytes: number;
  /** Processes and threads. */
  readonly tasks: number;
  /** Undefined when nobody may look. */
  readonly openFiles?: number;
}

/** One row of the process table. */
export interface ProcessRow extends ProcessId, Usage {
  /** Letter of proc(5), such as S for asleep and D for a sleep that no signal ends; never Z or X. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
}

/** A value the kernel hands every process at its start (getauxval(3)); `byDefault` when it cannot be read. */
function auxiliary(type: number, byDefault: number): number {
  try {
    const words = readFileSync('/proc/self/auxv');
    for (let at = 0; at + 16 <= words.length; at += 16)
      if (words.readBigUInt64LE(at) === BigInt(type)) return Number(words.readBigUInt64LE(at + 8));
    return byDefault;
  } catch {
    return byDefault;
  }
}

const pageBytes = auxiliary(6 /* AT_PAGESZ */, 4096);
const ticksPerSecond = auxiliary(17 /* AT_CLKTCK */, 100);

/** The row of a process; undefined when there is none, or only its zombie. */
export function processRow(pid: number): ProcessRow | undefined {
  const fields = statFields(pid);
  const state = fields?.[0];
  if (fields === undefined || state === undefined || state === 'Z' || state === 'X') return undefined;
  const number = (index: number): number => Number(fields[index]);
  return {
    pid,
    start: number(19),
    state,
    parent: number(1),
    group: number(2),
    session: number(3),
    cpuSeconds: (number(11) + number(12)) / ticksPerSecond,
    tasks: number(17),
    memoryBytes: number(21) * pageBytes,
  };
}

/** What the main thread of a process has started and not yet collected; [] also where the kernel does not tell. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** The rows of all processes that live now: one read for each. */
export const processTable = (): ProcessRow[] => livingPids().flatMap((pid) => processRow(pid) ?? []);

/** Descriptors a process has open; undefined when it is gone or not ours to look at. */
export function openFilesOf(pid: number): number | undefined {
  const folder = `/proc/${pid}/fd`;
  try {
    // Linux 6.2 and newer say the count as the folder's size, without a look at each.
    return statSync(folder).size || readdirSync(folder).length;
  } catch {
    return undefined;
  }
}

const longestCommandLine = 120;

/** The first words of a process's command line, cut to a line; its name when it has none. Undefined when it is gone. */
export function commandLineOf(pid: number): string | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return (words === '' ? readFileSync(`/proc/${pid}/comm`, 'utf8').trim() : words).slice(0, longestCommandLine);
  } catch {
    return undefined;
  }
}

/** Where in the kernel a process sleeps, such as `__refrigerator`; undefined when it does not, or nobody may know. */
export function waitChannelOf(pid: number): string | undefined {
  try {
    const name = readFileSync(`/proc/${pid}/wchan`, 'latin1').trim();
    return name === '' || name === '0' ? undefined : name;
  } catch {
    return undefined;
  }
}
