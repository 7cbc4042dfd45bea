/**
 * How long who failed to log in has to wait. Pure.
 *
 * Each failure counts for the address it came from and for the name it was about; a wait begins after some free ones, doubles, and
 * has a limit. Addresses come first: they wait earlier and longer than names, so that who guesses from one address waits for it
 * and hardly hinders the owner of the name. The wait of a name is short and does not concern addresses its owner has logged in
 * from: nobody can be locked out by somebody else who keeps guessing. What is refused for a wait is not looked at and does not count.
 */

export interface Failures {
  readonly count: number;
  readonly lastMs: number;
}

export interface ThrottleRule {
  /** Failures without a wait. */
  readonly free: number;
  readonly firstMs: number;
  readonly longestMs: number;
  /** One failure is forgotten this often. */
  readonly forgiveEveryMs: number;
}

const minute = 60_000;
export const addressRule: ThrottleRule = { free: 8, firstMs: 1000, longestMs: 15 * minute, forgiveEveryMs: 5 * minute };
export const nameRule: ThrottleRule = { free: 10, firstMs: 1000, longestMs: minute, forgiveEveryMs: minute };

/** More would change nothing but how long it takes to forget them. */
const mostOver = 12;

/** Time since the last failure; a clock that was set back counts as none. */
const since = ({ lastMs }: Failures, nowMs: number): number => Math.max(0, nowMs - lastMs);

/** Failures that still count. */
export const countAt = (rule: ThrottleRule, failures: Failures | undefined, nowMs: number): number =>
  failures === undefined ? 0 : Math.max(0, failures.count - Math.floor(since(failures, nowMs) / rule.forgiveEveryMs));

/** Milliseconds until the next try is looked at; 0: now. */
export function waitMs(rule: ThrottleRule, failures: Failures | undefined, nowMs: number): number {
  if (failures === undefined || failures.count < rule.free) return 0;
  const wait = Math.min(rule.longestMs, rule.firstMs * 2 ** (failures.count - rule.free));
  return Math.max(0, wait - since(failures, nowMs));
}

/** With one more failure. */
export const failed = (rule: ThrottleRule, failures: Failures | undefined, nowMs: number): Failures => ({
  count: Math.min(countAt(rule, failures, nowMs) + 1, rule.free + mostOver),
  lastMs: nowMs,
});

/** With one failure taken back; undefined when none is left. */
export const forgiven = ({ count, lastMs }: Failures): Failures | undefined => (count <= 1 ? undefined : { count: count - 1, lastMs });

/** What an address counts as: a home or a rented machine has a whole /64 of IPv6. */
export function addressKey(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.toLowerCase().split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = tail === undefined ? left : [...left, ...Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
