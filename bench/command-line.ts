/** What the programs here are as commands: words read, Ctrl-C heard, an exit code. */

export interface CommandLine<Asked> {
  readonly usage: string;
  /** @throws with words for people when the words given mean nothing. */
  readonly read: (argv: readonly string[]) => Asked;
  /** Resolves to the exit code. Rejects once `signal` is aborted and all that was started is stopped. */
  readonly run: (asked: Asked, signal: AbortSignal) => Promise<number>;
}

/** Runs a command on the words of this process and sets its exit code: 2 for words that mean nothing, 130 when it was interrupted. */
export async function runCommandLine<Asked>({ usage, read, run }: CommandLine<Asked>): Promise<void> {
  let asked: Asked;
  try {
    asked = read(process.argv.slice(2));
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exitCode = 2;
    return;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  process.stdout.on('error', () => interrupted.abort()); // nobody reads any more, as behind `| head`
  try {
    process.exitCode = await run(asked, interrupted.signal);
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    console.error('interrupted; all that was started is stopped');
    process.exitCode = 130;
  }
}
