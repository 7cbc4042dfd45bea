/** How many files and sockets a process may have open. */
import { readFileSync } from 'node:fs';
import { outputOf } from '../program.ts';

const wanted = 65_536;

/**
 * Raises the limit of this process, and so of all it starts, to 65,536 where that is allowed; gives the limit that holds.
 * Node has raised the soft limit to the hard one when it started. Going beyond the hard one takes CAP_SYS_RESOURCE: without it the limit stays.
 */
export async function raiseFileLimit(): Promise<number> {
  if (fileLimit() < wanted) {
    await outputOf('prlimit', [`--nofile=${wanted}:${wanted}`, '--pid', String(process.pid)]).catch(() => undefined);
  }
  return fileLimit();
}

const fileLimit = (): number => Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);
