/** Who holds a lock. */
import { readFileSync, statSync } from 'node:fs';

/** The process that holds the flock(2) lock of a file; undefined when nobody does, or nobody we can see. */
export function lockHolder(file: string): number | undefined {
  try {
    const { ino } = statSync(file);
    const rows = readFileSync('/proc/locks', 'latin1')
      .split('\n')
      .map((row) => row.trim().split(/\s+/));
    const held = rows.find((row) => row[1] === 'FLOCK' && row[5]?.split(':')[2] === String(ino));
    const pid = Number(held?.[4] ?? 0);
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}
