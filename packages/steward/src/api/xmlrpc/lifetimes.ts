/** When instances were last started and when they last ended, also those that do not run: known from the facts. */
import type { Fact } from '@steward/sdk/contract/facts';
import type { Journal } from '../../journal.ts';

export interface Lifetime {
  /** Epoch ms of the last start. */
  readonly startMs?: number;
  /** Epoch ms of the last end of a process. */
  readonly stopMs?: number;
}

export interface Lifetimes {
  of(id: string): Lifetime;
  /** From now on they count as never started, as supervisord has it of a group that was removed and added. */
  forget(ids: readonly string[]): void;
  stop(): void;
}

/** How far back is looked when the daemon starts, in facts. */
const remembered = 2000;
/** More instances than anybody has; the oldest go. */
const most = 20_000;

export function createLifetimes(journal: Journal): Lifetimes {
  const known = new Map<string, Lifetime>();

  function take({ type, subject, at, data }: Fact): void {
    const atMs = Date.parse(at);
    const before = known.get(subject);
    // One that is stopped while it waits for its next try has ended before: that fact has no data.
    const ended = type === 'instance.exited' || (type === 'instance.stopped' && data !== undefined);
    if (type !== 'instance.starting' && !ended) return;
    known.set(subject, ended ? { ...before, stopMs: atMs } : { ...before, startMs: atMs });
    const [oldest] = known.size > most ? known.keys() : [];
    if (oldest !== undefined) known.delete(oldest);
  }

  for (const fact of journal.last(remembered)) take(fact);
  const unfollow = journal.follow(take);
  return {
    of: (id) => known.get(id) ?? {},
    forget: (ids) => ids.forEach((id) => void known.delete(id)),
    stop: unfollow,
  };
}
