/**
 * Short programs that may hang, run to their end or their time. A program that asks a dead file server sleeps where no
 * signal wakes it: it is left to itself then, and this process, whose own calls would hang alike, goes on.
 */
import { type ChildProcess, spawn } from 'node:child_process';

export interface Ended {
  /** Null when it was killed, did not end in time, or could not be started. */
  readonly code: number | null;
  /** What it said on both outputs, at most 16 KB, or why it could not be started. */
  readonly text: string;
  readonly inTime: boolean;
}

const mostText = 16 * 1024;
/** A grandchild that keeps the pipe open is not waited for longer. */
const drainMs = 300;

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {} // gone by itself
}

/** Programs that did not end when they were killed, by what they look at. */
const hanging = new Map<string, ChildProcess>();

/**
 * Runs a program in a process group of its own; killed after `timeoutMs` or when `signal` fires. `about` names what it looks
 * at: while an earlier program hangs there no further one is started. Never rejects.
 */
export function runBounded(words: readonly [string, ...string[]], about: string, timeoutMs: number, signal: AbortSignal): Promise<Ended> {
  if (hanging.has(about)) return Promise.resolve({ code: null, text: '', inTime: false });
  const [command, ...rest] = words;
  return new Promise((resolve) => {
    const child = spawn(command, rest, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: path, LC_ALL: 'C' }, cwd: '/' });
    child.unref();
    let text = '';
    const collect = (chunk: Buffer): void => {
      text = (text + chunk.toString()).slice(0, mostText);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    let drain: NodeJS.Timeout | undefined;
    const finish = (ended: Omit<Ended, 'text'>): void => {
      clearTimeout(timer);
      clearTimeout(drain);
      signal.removeEventListener('abort', giveUp);
      child.stdout.destroy();
      child.stderr.destroy();
      resolve({ ...ended, text: text.trim() });
    };
    const giveUp = (): void => {
      killGroup(child);
      hanging.set(about, child);
      finish({ code: null, inTime: false });
    };
    const timer = setTimeout(giveUp, timeoutMs);
    signal.addEventListener('abort', giveUp, { once: true });
    child.once('error', (error) => {
      text = error.message;
      finish({ code: null, inTime: true });
    });
    child.once('exit', (code) => {
      if (hanging.get(about) === child) hanging.delete(about);
      drain = setTimeout(() => finish({ code, inTime: true }), drainMs);
    });
    child.once('close', (code) => finish({ code, inTime: true }));
    if (signal.aborted) giveUp();
  });
}
