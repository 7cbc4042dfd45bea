/**
 * The children of this process and their ends: programs started here, without a copy of this process (posix-spawn.ts); Node's own,
 * which Node waits for; and strangers. PID 1 of a container gets every orphan, and a program that took the place of
 * another by execve(2) has that one's children: nobody else would collect them.
 *
 *   SIGCHLD ─▶ waitid(P_ALL, WNOWAIT): who is dead? ─┬ started here  ─▶ collected, its starter is told
 *                                                    ├ one of Node's ─▶ left to Node, which is told by the same signal
 *                                                    └ a stranger    ─▶ told, then collected, when somebody reaps strangers
 */
import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import ffi from 'node:ffi';
import { orErrno } from './kernel.ts';
import { posixSpawn, type Start } from './posix-spawn.ts';

const { functions: libc } = ffi.dlopen(null, {
  waitid: { arguments: ['i32', 'u32', 'pointer', 'i32'], return: 'i32' },
});

/** A dead process and how it ended; one of the two is null. */
export interface DeadChild {
  readonly pid: number;
  readonly code: number | null;
  /** Number of the signal that killed it. */
  readonly signal: number | null;
}

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
const CLD_EXITED = 1;

/** siginfo_t: three ints, then on 64-bit machines a gap of one; pid, uid and status follow. */
const infoBytes = 128;
const codeAt = 8;
const pidAt = 16;
const statusAt = 24;

function wait(which: number, id: number, options: number): DeadChild | undefined {
  const info = Buffer.alloc(infoBytes);
  if (orErrno(libc.waitid(which, id, info, WEXITED | WNOHANG | options)) < 0) return undefined;
  const pid = info.readInt32LE(pidAt);
  if (pid === 0) return undefined;
  const status = info.readInt32LE(statusAt);
  const exited = info.readInt32LE(codeAt) === CLD_EXITED;
  return { pid, code: exited ? status : null, signal: exited ? null : status };
}

/** A dead child that nobody has collected yet, which stays to be collected; undefined when there is none. */
export const peekDeadChild = (): DeadChild | undefined => wait(P_ALL, 0, WNOWAIT);

/** Collects one child if it is dead, so that its pid is free. */
const collect = (pid: number): DeadChild | undefined => wait(P_PID, pid, 0);

/** Knows which children Node itself waits for, from now on. */
function knowOwnChildren(): { has(pid: number): boolean; stop(): void } {
  const unnamed = new Set<ChildProcess>();
  const byPid = new Map<number, ChildProcess>();
  // Told before it is started, so its pid is asked for later; no dead child is looked at in between.
  const onChild = (message: unknown): void => void unnamed.add((message as { process: ChildProcess }).process);
  subscribe('child_process', onChild);
  const name = (): void => {
    for (const child of unnamed) {
      if (child.pid === undefined) continue;
      const { pid } = child;
      byPid.set(pid, child);
      child.once('exit', () => byPid.get(pid) === child && byPid.delete(pid));
    }
    unnamed.clear(); // what has no pid by now could not be started
  };
  return {
    has(pid) {
      name();
      const child = byPid.get(pid);
      return child !== undefined && child.exitCode === null && child.signalCode === null;
    },
    stop: () => void unsubscribe('child_process', onChild),
  };
}

/** How many are collected before the event loop gets its turn: a thousand take some 5 ms. */
const atOnce = 1000;
/** When to look again while one of Node's own children stands before others. */
const lookAgainMs = 20;

/** Who is told of the end of a program started here. */
const started = new Map<number, (dead: DeadChild) => void>();
/** Who reaps strangers. */
let strangers: { readonly own: ReturnType<typeof knowOwnChildren>; readonly onReaped: (dead: DeadChild) => void } | undefined;
let again: NodeJS.Timeout | undefined;

function lookIn(ms: number): void {
  again ??= setTimeout(look, ms).unref();
}

/** True when `pid` was started here, is dead, and has been told. */
function tellEnd(pid: number): boolean {
  const onExit = started.get(pid);
  const dead = onExit === undefined ? undefined : collect(pid);
  if (onExit === undefined || dead === undefined) return false;
  started.delete(pid);
  onExit(dead);
  return true;
}

function reapStranger(dead: DeadChild): boolean {
  if (strangers === undefined || strangers.own.has(dead.pid)) return false;
  strangers.onReaped(dead);
  collect(dead.pid);
  return true;
}

function look(): void {
  clearTimeout(again);
  again = undefined;
  for (let count = 0; count < atOnce; count++) {
    const dead = peekDeadChild();
    if (dead === undefined) return;
    if (tellEnd(dead.pid) || reapStranger(dead)) continue;
    // It is somebody else's to collect, and until then it hides those behind it.
    for (const pid of [...started.keys()]) tellEnd(pid);
    if (strangers !== undefined) lookIn(lookAgainMs);
    return;
  }
  lookIn(0);
}

let isListening = false;
function listen(): void {
  if (isListening) return;
  isListening = true;
  process.on('SIGCHLD', look);
}

/**
 * Starts a program in a session and process group of its own; its pid. `onExit` hears of its end, in a later turn of the event loop, and by then
 * the pid is free. This process may end before it does. @throws as posixSpawn does.
 */
export function startChild(start: Start, onExit: (dead: DeadChild) => void): number {
  listen();
  const pid = posixSpawn(start);
  started.set(pid, onExit);
  return pid;
}

/**
 * Collects every stranger that dies, from now on and those already dead; `onReaped` hears of each first. Begin before the
 * first child is started. The function given back ends it.
 */
export function reapStrangers(onReaped: (dead: DeadChild) => void): () => void {
  const own = knowOwnChildren();
  strangers = { own, onReaped };
  listen();
  lookIn(0);
  return () => {
    strangers = undefined;
    own.stop();
  };
}
