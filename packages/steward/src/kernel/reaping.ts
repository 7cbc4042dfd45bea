/**
 * Reaping strangers: dead children of this process that Node did not start. PID 1 of a container gets every orphan, and a
 * program that took the place of another by execve(2) has that one's children; Node waits for its own children only, so
 * all others would stay zombies.
 *
 *   SIGCHLD ─▶ waitid(P_ALL, WNOWAIT): who is dead? ── one of Node's own ─▶ left to Node, which is told by the same signal
 *                                                  └─ a stranger        ─▶ told, then waitid(P_PID): gone
 */
import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import ffi from 'node:ffi';
import { orErrno } from './kernel.ts';

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

/** A dead child that nobody has collected yet, which stays to be collected; undefined when there is none. */
export function peekDeadChild(): DeadChild | undefined {
  const info = Buffer.alloc(infoBytes);
  if (orErrno(libc.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT)) < 0) return undefined;
  const pid = info.readInt32LE(pidAt);
  if (pid === 0) return undefined;
  const status = info.readInt32LE(statusAt);
  const exited = info.readInt32LE(codeAt) === CLD_EXITED;
  return { pid, code: exited ? status : null, signal: exited ? null : status };
}

/** Collects one dead child, so that its pid is free. */
function collect(pid: number): void {
  libc.waitid(P_PID, pid, Buffer.alloc(infoBytes), WEXITED | WNOHANG);
}

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

/**
 * Collects every stranger that dies, from now on and those already dead; `onReaped` hears of each first. Begin before the
 * first child is started. The function given back ends it.
 */
export function reapStrangers(onReaped: (dead: DeadChild) => void): () => void {
  const own = knowOwnChildren();
  let ended = false;
  let again: NodeJS.Timeout | undefined;
  const lookIn = (ms: number): void => {
    again ??= setTimeout(look, ms).unref();
  };
  function look(): void {
    clearTimeout(again);
    again = undefined;
    for (let count = 0; count < atOnce; count++) {
      const dead = ended ? undefined : peekDeadChild();
      if (dead === undefined) return;
      if (own.has(dead.pid)) return lookIn(lookAgainMs);
      onReaped(dead);
      collect(dead.pid);
    }
    lookIn(0);
  }
  process.on('SIGCHLD', look);
  lookIn(0);
  return () => {
    ended = true;
    clearTimeout(again);
    own.stop();
    process.off('SIGCHLD', look);
  };
}
