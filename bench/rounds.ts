/** Contestants taking turns (A B C A B C ...), so that a busy moment of the machine hits them all alike, and what their figures amount to. */
import { setTimeout as wait } from 'node:timers/promises';

/** What takes a turn: one figure, or one record of figures, each time. */
export type Contestant<Figure> = { name: string; turn: () => Promise<Figure> };

/** All figures of each contestant, in the order of the contestants. @throws when `signal` aborts, or when a turn does. */
export async function takeTurns<Figure>(
  contestants: readonly Contestant<Figure>[],
  rounds: number,
  signal: AbortSignal,
): Promise<Map<string, Figure[]>> {
  const figures = new Map<string, Figure[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, turn } of contestants) {
      await wait(pauseMs, undefined, { signal });
      figures.get(name)?.push(await turn());
    }
  }
  return figures;
}

/** Between two turns: what the last one left to do (a log line, a row in a database) is done by then. */
const pauseMs = 100;

/** The middle of the numbers; of an even count, the mean of the two in the middle. NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}
