/** Chance that can be repeated: the same seed gives the same numbers on every machine. */

export type Random = {
  /** A whole number from 0 to `limit` - 1. */
  below: (limit: number) => number;
  /** A whole number from `low` to `high`. */
  between: (low: number, high: number) => number;
  of: <T>(list: readonly [T, ...T[]]) => T;
};

/** Knuth's multiplier for 64 bits (MMIX); the high half of each state is the number, since the low bits repeat soon. */
const multiplier = 6_364_136_223_846_793_005n;
const increment = 1_442_695_040_888_963_407n;

export function random(seed: number): Random {
  let state = BigInt(seed);
  const next = (): number => {
    state = BigInt.asUintN(64, state * multiplier + increment);
    return Number(state >> 32n);
  };
  next(); // a small seed shows in the first number
  const below = (limit: number): number => next() % limit;
  return {
    below,
    between: (low, high) => low + below(high - low + 1),
    of: <T>(list: readonly [T, ...T[]]) => list[below(list.length)] as T,
  };
}
