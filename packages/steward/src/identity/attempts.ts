/** Failed logins by address and by name, and who has to wait for them. Those of people outlive the daemon. */
import { StewardError } from '../errors.ts';
import type { Memory, Person } from './records.ts';
import { addressKey, addressRule, type Failures, failed, forgiven, nameRule, type ThrottleRule, waitMs } from './throttle.ts';

/** Addresses, and names of nobody, that are remembered; the oldest are forgotten first. */
const mostRemembered = 10_000;
/** Addresses a person logged in from within this time do not wait for the name. */
const knownForMs = 30 * 24 * 60 * 60 * 1000;
export const mostKnown = 8;

/** A try that counts as failed until it is known better: many at once are not looked at before the first has failed. */
export interface Attempt {
  /** It was right: the failures of the name are forgotten, and this one of the address. */
  succeeded(): void;
  /** It was neither right nor a guess. */
  takeBack(): void;
}

export interface Attempts {
  /** @throws StewardError when the address, or the name, has to wait. */
  begin(name: string, person: Person | undefined, address: string): Attempt;
}

interface Failing {
  get(key: string): Failures | undefined;
  set(key: string, value: Failures): unknown;
  delete(key: string): unknown;
}

/** A map that forgets the oldest. */
function bounded(): Failing {
  const all = new Map<string, Failures>();
  return {
    get: (key) => all.get(key),
    set(key, value) {
      all.delete(key);
      all.set(key, value);
      if (all.size > mostRemembered) all.delete(all.keys().next().value as string);
    },
    delete: (key) => all.delete(key),
  };
}

export const isKnown = ({ knownFrom }: Person, address: string, nowMs: number): boolean =>
  knownFrom.some((known) => known.address === addressKey(address) && nowMs - known.atMs < knownForMs);

function count(failing: Failing, rule: ThrottleRule, key: string, nowMs: number): void {
  failing.set(key, failed(rule, failing.get(key), nowMs));
}

function takeOne(failing: Failing, key: string): void {
  const now = failing.get(key);
  const rest = now && forgiven(now);
  if (rest !== undefined) failing.set(key, rest);
  else if (now !== undefined) failing.delete(key);
}

export function createAttempts({ failures }: Memory, now: () => number): Attempts {
  const addresses = bounded();
  const strangers = bounded();
  return {
    begin(name, person, address) {
      const at = now();
      const key = addressKey(address);
      const names = person === undefined ? strangers : failures;
      const free = person !== undefined && isKnown(person, address, at);
      const wait = Math.max(waitMs(addressRule, addresses.get(key), at), free ? 0 : waitMs(nameRule, names.get(name), at));
      if (wait > 0) {
        const seconds = Math.ceil(wait / 1000);
        throw new StewardError('identity/wait', `too many logins failed; the next try is looked at in ${seconds} s`, {
          status: 429,
          hint: 'Wait that long. On the machine itself, `steward user reset NAME` gives a new one-time code.',
          details: { retryAfterSeconds: seconds },
        });
      }
      count(addresses, addressRule, key, at);
      count(names, nameRule, name, at);
      return {
        succeeded() {
          takeOne(addresses, key);
          names.delete(name);
        },
        takeBack() {
          takeOne(addresses, key);
          takeOne(names, name);
        },
      };
    },
  };
}
