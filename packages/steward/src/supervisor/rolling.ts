/**
 * Replacing the instances of a service without a gap, also when there is only one.
 *
 *   a copy stands in ── ready ──► each instance: drained, stopped, started, ready ──► the copy leaves
 *        └── fails: it leaves, and nothing else was touched
 *
 * The copy is the first to run the new program or settings, so that a mistake in them costs nobody a request. It serves until
 * every instance runs again, also when one of them does not come back. Where there can be no copy, because nothing would tell
 * the program another address, the instances are replaced one after the other.
 */
import type { FactType } from '@steward/sdk/contract/facts';
import type { InstanceSpec } from '../config/model.ts';
import type { InstanceState } from './machine.ts';

/** What replacing needs of whoever keeps the instances. */
export interface Fleet {
  spec(id: string): InstanceSpec | undefined;
  state(id: string): InstanceState | undefined;
  /** Starts an instance that no file names. */
  add(spec: InstanceSpec): void;
  /** Stops one of these, and forgets it. */
  dismiss(id: string): void;
  /** Stops and starts an instance, with `spec` from that start on. */
  restart(id: string, spec: InstanceSpec): void;
  /** Resolves with what `look` finds, which is asked at each change. */
  until<T>(look: () => T | undefined): Promise<T>;
  record(type: FactType, subject: string, message: string): void;
}

export interface Roll {
  readonly service: string;
  /** Those to be replaced, in this order. */
  readonly ids: readonly string[];
  readonly standIn: InstanceSpec | undefined;
  /** What they are from now on, where that is something else. */
  readonly next: ReadonlyMap<string, InstanceSpec>;
}

export interface RollReport {
  readonly service: string;
  readonly done: boolean;
  /** What happened, for people. */
  readonly message: string;
  readonly replaced: readonly string[];
}

/** What a start that is under way has come to: the reason when it failed, `up`, or undefined as long as nobody knows. */
export function startOutcome(state: InstanceState | undefined, pidBefore: number | undefined): { up: boolean; why: string } | undefined {
  if (state === undefined) return { up: false, why: 'it is gone' };
  const { phase, pid, reason, wanted, stuck } = state;
  if (phase === 'RUNNING' && pid !== pidBefore) return { up: true, why: '' };
  if (phase === 'BACKOFF' || phase === 'FATAL' || phase === 'EXITED') return { up: false, why: reason };
  if (phase === 'STOPPED' && wanted === 'down') return { up: false, why: 'somebody stopped it' };
  return stuck ? { up: false, why: reason } : undefined;
}

/** Carries out a roll. Never rejects. */
export async function roll(fleet: Fleet, { service, ids, standIn, next }: Roll): Promise<RollReport> {
  const end = (done: boolean, replaced: readonly string[], message: string): RollReport => {
    fleet.record(done ? 'service.reloaded' : 'service.reload-failed', service, message);
    return { service, done, message, replaced };
  };
  fleet.record('service.reloading', service, standIn === undefined ? 'one after the other' : `${standIn.id} stands in meanwhile`);
  if (standIn !== undefined) {
    fleet.add(standIn);
    const { up, why } = await fleet.until(() => startOutcome(fleet.state(standIn.id), undefined));
    if (!up) {
      fleet.dismiss(standIn.id);
      return end(false, [], `a new copy does not come up: ${why}; nothing else was touched`);
    }
  }
  const replaced: string[] = [];
  for (const id of ids) {
    const why = await replaceOne(fleet, id, next.get(id));
    if (why !== undefined) return end(false, replaced, why);
    replaced.push(id);
  }
  return end(true, replaced, `replaced ${replaced.length === 0 ? 'nothing: none was running' : replaced.join(', ')}`);
}

/** Why it could not be replaced; it then runs again as it was, where that is something else. */
async function replaceOne(fleet: Fleet, id: string, next: InstanceSpec | undefined): Promise<string | undefined> {
  const before = fleet.spec(id);
  const state = fleet.state(id);
  if (before === undefined || state === undefined || state.wanted === 'down') return undefined;
  fleet.restart(id, next ?? before);
  const { up, why } = await fleet.until(() => startOutcome(fleet.state(id), state.pid));
  if (up) return undefined;
  if (next === undefined || fleet.state(id)?.wanted !== 'up') return `${id} does not come back: ${why}`;
  fleet.restart(id, before);
  const again = await fleet.until(() => startOutcome(fleet.state(id), undefined));
  return `${id} does not come up with what is new: ${why}; ${again.up ? 'it runs again as it was' : `nor does it as it was: ${again.why}`}`;
}
