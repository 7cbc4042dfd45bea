/** A page of a list whose entries have names: what comes after the entry of the name `after`. Pure. */
export interface Page<T> {
  readonly items: readonly T[];
  /** Name of the last one, when there are more. */
  readonly next: string | undefined;
}

/** An `after` that is gone by now begins at the start again: better twice than never. */
export function pageOf<T>(all: readonly T[], nameOf: (item: T) => string, limit = Number.POSITIVE_INFINITY, after?: string): Page<T> {
  const start = after === undefined ? 0 : all.findIndex((item) => nameOf(item) === after) + 1;
  const items = all.slice(start, start + limit);
  const last = items.at(-1);
  return { items, next: start + items.length < all.length && last !== undefined ? nameOf(last) : undefined };
}
