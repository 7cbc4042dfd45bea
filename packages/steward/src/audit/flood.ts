/**
 * What callers that nobody knows do to the trail: anybody on the network can be refused as often as they like, and must not fill the
 * disk with it. Of each minute as many entries are kept as somebody would read, and the rest is counted.
 */

const windowMs = 60_000;
const mostOfOne = 30;
const mostOfAll = 200;
const mostNamed = 10;

/** What a minute that is over had too much of. */
export interface Excess {
  readonly entries: number;
  /** The addresses that most of it came from. */
  readonly from: readonly string[];
}

export interface Flood {
  /** Whether an entry about `address` is kept; if not, it is counted. */
  admits(address: string, nowMs: number): boolean;
  /** Of the last minute that had too many, once; undefined while it lasts. */
  over(nowMs: number): Excess | undefined;
}

export function createFlood(): Flood {
  let startMs = Number.NEGATIVE_INFINITY;
  let kept = 0;
  let skipped = 0;
  let byAddress = new Map<string, number>();

  const isOver = (nowMs: number): boolean => nowMs >= startMs + windowMs || nowMs < startMs;
  function begin(nowMs: number): void {
    startMs = nowMs;
    kept = 0;
    skipped = 0;
    byAddress = new Map();
  }

  return {
    admits(address, nowMs) {
      if (isOver(nowMs) && skipped === 0) begin(nowMs);
      const asked = (byAddress.get(address) ?? 0) + 1;
      if (byAddress.has(address) || byAddress.size < 10 * mostOfAll) byAddress.set(address, asked);
      const fits = asked <= mostOfOne && kept < mostOfAll;
      if (fits) kept++;
      else skipped++;
      return fits;
    },
    over(nowMs) {
      if (skipped === 0 || !isOver(nowMs)) return undefined;
      const from = [...byAddress]
        .sort(([, a], [, b]) => b - a)
        .slice(0, mostNamed)
        .map(([address]) => address);
      const excess = { entries: skipped, from };
      begin(nowMs);
      return excess;
    },
  };
}
