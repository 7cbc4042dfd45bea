/** Programs that the bench runs or starts. Each has a process group of its own: Ctrl-C reaches the bench alone, which then stops them. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';

/** How long a command may take that says nothing else. */
const minuteMs = 60_000;
const maxOutputBytes = 64 * 2 ** 20;

/** What a command wrote (stdout and stderr). @throws with that text when it fails, or takes over `timeoutMs`. */
export function outputOf(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  signal?: AbortSignal,
  timeoutMs = minuteMs,
): Promise<string> {
  const options = {
    env: { ...process.env, ...env },
    detached: true,
    timeout: timeoutMs,
    maxBuffer: maxOutputBytes,
    ...(signal && { signal }),
  };
  return new Promise((resolve, reject) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout + stderr);
      error.message += stdout;
      reject(error);
    });
  });
}

/** Its version, by what `args` print; undefined when there is no such program. */
export async function versionOf(command: string, args: readonly string[]): Promise<string | undefined> {
  try {
    return versionIn(await outputOf(command, args));
  } catch (error) {
    // wrk tells its version, then fails for want of an address.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : versionIn((error as Error).message);
  }
}

const versionIn = (text: string): string => /\d+(\.\d+)+/.exec(text)?.[0] ?? 'of unknown version';

export type Program = AsyncDisposable & { pid: number };

/**
 * Starts a program that stays in the foreground; its stderr is the bench's own, or goes into the file `log`.
 * Disposing of it sends TERM, and KILL to its whole group 5 s later.
 */
export async function startProgram(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, log?: string): Promise<Program> {
  const stderr = log === undefined ? 'inherit' : openSync(log, 'a');
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'ignore', stderr], env: { ...process.env, ...env } });
  if (typeof stderr === 'number') closeSync(stderr);
  await once(child, 'spawn');
  const { pid } = child;
  if (pid === undefined) throw new Error(`${command} did not start`);
  const exited = once(child, 'exit');
  return {
    pid,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const late = setTimeout(() => process.kill(-pid, 'SIGKILL'), 5_000);
      await exited;
      clearTimeout(late);
    },
  };
}

/** Waits until a GET of `url` answers 200, whoever signed its certificate. @throws after 20 s. */
export async function untilServed(url: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await answers(url))) {
    if (Date.now() > deadline) throw new Error(`${url} does not answer`);
    await wait(50);
  }
}

function answers(url: string): Promise<boolean> {
  const client = url.startsWith('https:') ? https : http;
  return new Promise((resolve) => {
    const request = client.get(url, { agent: false, rejectUnauthorized: false, timeout: 2_000 }, (answer) => {
      resolve(answer.statusCode === 200);
      answer.destroy();
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}
