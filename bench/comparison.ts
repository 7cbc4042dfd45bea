/** Figures of several contestants as one table, each beside its yardstick. */
import { median } from './rounds.ts';
import { ratio, table } from './table.ts';

/** A column: the figure of each turn, and what becomes of them. NaN stands for no figure. */
export type Column<Figures> = {
  head: string;
  of: (figures: Figures) => number;
  digits?: number;
  /** The middle one by default. */
  as?: 'median' | 'range' | 'sum';
  /** Followed by a column with the ratio to the yardstick. */
  compared?: boolean;
};

/** The median of a column over turns. */
export const middle = <Figures>(turns: readonly Figures[] | undefined, { of }: Column<Figures>): number => median((turns ?? []).map(of));

/** A row a contestant. `yardstick` names the contestant that another is compared with, called `peer` in the head. */
export function comparison<Figures>(
  what: string,
  peer: string,
  columns: readonly Column<Figures>[],
  figures: ReadonlyMap<string, readonly Figures[]>,
  yardstick: (name: string) => string | undefined,
): string {
  const head = columns.flatMap((column) => (column.compared ? [column.head, `to ${peer}`] : [column.head]));
  const rows = [...figures].map(([name, turns]) => {
    const other = figures.get(yardstick(name) ?? '');
    return [name, ...columns.flatMap((column) => cells(column, turns, other))];
  });
  return table([what, ...head], rows);
}

function cells<Figures>(column: Column<Figures>, turns: readonly Figures[], other: readonly Figures[] | undefined): string[] {
  const text = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(column.digits ?? 0));
  const values = turns.map(column.of);
  if (column.as === 'sum') return [text(values.reduce((sum, value) => sum + value, 0))];
  if (column.as === 'range') return [`${text(Math.min(...values))}-${text(Math.max(...values))}`];
  const value = median(values);
  if (!column.compared) return [text(value)];
  return [text(value), other && !Number.isNaN(value) ? ratio(value, middle(other, column)) : '-'];
}

/** A goal and whether the medians reach it: at least, or at most, so many times the other's figure. */
export function goal<Figures>(
  text: string,
  column: Column<Figures>,
  mine: readonly Figures[] | undefined,
  other: readonly Figures[] | undefined,
  limit: { atLeast: number } | { atMost: number },
): string {
  const share = middle(mine, column) / middle(other, column);
  if (Number.isNaN(share)) return `wanted: ${text}: not measured`;
  const reached = 'atLeast' in limit ? share >= limit.atLeast : share <= limit.atMost;
  return `wanted: ${text}: ${share.toFixed(2)}x, ${reached ? 'reached' : 'not reached'}`;
}
