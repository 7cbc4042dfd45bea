/** What /proc knows of processes: who is who, exactly. A process is named by its pid and its start time together. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** `start` is in clock ticks since boot: a reused pid has another one. */
export interface ProcessId {
  readonly pid: number;
  readonly start: number;
}

/** Fields of /proc/PID/stat after the command name, which may hold spaces and brackets itself. */
function statFields(pid: number | 'self'): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
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
  /** Seconds of processor time, user and system, of the process itself. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
}

const ticksPerSecond = 100;
const pageBytes = 4096;

/** Processor time and resident memory of a process group, summed over its members. */
export function groupUsage(groups: ReadonlySet<number>): Map<number, Usage> {
  const sums = new Map<number, Usage>();
  for (const pid of livingPids()) {
    const fields = statFields(pid);
    const group = Number(fields?.[2]);
    if (fields === undefined || !groups.has(group)) continue;
    const sum = sums.get(group) ?? { cpuSeconds: 0, memoryBytes: 0 };
    sums.set(group, {
      cpuSeconds: sum.cpuSeconds + (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
      memoryBytes: sum.memoryBytes + Number(fields[21]) * pageBytes,
    });
  }
  return sums;
}
