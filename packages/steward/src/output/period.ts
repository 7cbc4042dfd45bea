/** Rotation by time: which hour, day or week of the local clock a moment belongs to. Pure but for the time zone of the process. */

export const rotations = ['hourly', 'daily', 'weekly'] as const;
export type Rotation = (typeof rotations)[number];

const hourMs = 3_600_000;
const lengthMs: Readonly<Record<Rotation, number>> = { hourly: hourMs, daily: 24 * hourMs, weekly: 7 * 24 * hourMs };

/** A text that is the same for all moments of one period. Hours count with their distance to UTC: one that is repeated in autumn is two. Weeks begin on Monday. */
export function periodOf(rotation: Rotation, timeMs: number): string {
  const date = new Date(timeMs);
  const day = `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
  if (rotation === 'hourly') return `${day} ${date.getHours()} ${date.getTimezoneOffset()}`;
  if (rotation === 'daily') return day;
  const sinceMonday = (date.getDay() + 6) % 7;
  return periodOf('daily', new Date(date.getFullYear(), date.getMonth(), date.getDate() - sinceMonday, 12).getTime());
}

/**
 * Whether a log that began at `beganMs` is over at `nowMs`. A clock that is set back makes it over only when it went back by
 * more than a whole period, so that a clock that goes to and fro does not rotate a log at each step.
 */
export function isOver(rotation: Rotation, beganMs: number, nowMs: number): boolean {
  if (nowMs < beganMs) return beganMs - nowMs > lengthMs[rotation];
  return periodOf(rotation, beganMs) !== periodOf(rotation, nowMs);
}
