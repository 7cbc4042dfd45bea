/** Programs that the bench runs or starts. Each has a process group of its own: Ctrl-C reaches the bench alone, which then stops them. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as wait } from 'node:timers/promises';

/** What a command wrote (stdout and stderr). @throws with that text when it fails, or takes over a minute. */
export function outputOf(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}, signal?: AbortSignal): Promise<string> {
  const options = { env: { ...process.env, ...env }, detached: true, timeout: 60_000, ...(signal && { signal }) };
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

/** Starts a program that stays in the foreground. Disposing of it sends TERM, and KILL to its whole group 5 s later. */
export async function startProgram(command: string, args: readonly string[]): Promise<Program> {
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'ignore', 'inherit'] });
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

/** Waits until a GET of `url` answers 200. @throws after 20 s. */
export async function untilServed(url: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await answers(url))) {
    if (Date.now() > deadline) throw new Error(`${url} does not answer`);
    await wait(50);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false;
  }
}
