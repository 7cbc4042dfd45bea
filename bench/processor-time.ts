/** How much processor time processes took. */
import { readFileSync } from 'node:fs';

/** Linux counts in 1/100 s towards programs, whatever its own clock is. */
const tickMs = 10;

/** Milliseconds (user and kernel, all threads) that these processes have used since they started. */
export function processorMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + processorTicks(pid) * tickMs, 0);
}

function processorTicks(pid: number): number {
  const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name, in parentheses, may hold blanks; user and kernel time are the 12th and 13th field after it.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
