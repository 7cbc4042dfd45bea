/** Ages of processes by the clock that only goes forward: setting the time of day changes none. */
import { readFileSync } from 'node:fs';
import type { ProcessId } from './process-table.ts';

/** Start times of processes count in hundredths of a second (USER_HZ), on every architecture that Node runs on. */
const ticksPerSecond = 100;

/** How long this machine, or this container, has been up, in the unit of a process's start time. */
export const ticksSinceBoot = (): number => Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * ticksPerSecond;

/** How long ago a process started, in milliseconds, within 10. */
export const ageMs = ({ start }: Pick<ProcessId, 'start'>): number =>
  Math.max(0, Math.round(((ticksSinceBoot() - start) / ticksPerSecond) * 1000));
