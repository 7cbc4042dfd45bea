import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fact, FactType } from '@steward/sdk/contract/facts';
import type { Journal } from '../../journal.ts';
import { createLifetimes } from './lifetimes.ts';

const fact = (type: FactType, atMs: number, data?: Fact['data']): Fact => ({
  cursor: atMs,
  at: new Date(atMs).toISOString(),
  type,
  subject: 'web',
  message: '',
  ...(data && { data }),
});

function journalWith(past: readonly Fact[]): { journal: Journal; tell(next: Fact): void } {
  const listeners = new Set<(next: Fact) => void>();
  const journal: Journal = {
    record: () => {},
    since: () => [],
    last: () => [...past],
    follow: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  return { journal, tell: (next) => listeners.forEach((listener) => void listener(next)) };
}

test('the last start and the last end are known, from before the daemon started too', () => {
  const { journal, tell } = journalWith([fact('instance.starting', 1000), fact('instance.exited', 2000, { code: 1 })]);
  const lifetimes = createLifetimes(journal);
  assert.deepEqual(lifetimes.of('web'), { startMs: 1000, stopMs: 2000 });
  tell(fact('instance.starting', 3000));
  tell(fact('instance.running', 4000));
  assert.deepEqual(lifetimes.of('web'), { startMs: 3000, stopMs: 2000 });
  tell(fact('instance.stopped', 5000, { code: 0 }));
  assert.deepEqual(lifetimes.of('web'), { startMs: 3000, stopMs: 5000 });
});

test('one that is stopped while it waits for its next try has not ended again', () => {
  const { journal, tell } = journalWith([]);
  const lifetimes = createLifetimes(journal);
  tell(fact('instance.exited', 2000, { code: 1 }));
  tell(fact('instance.stopped', 9000));
  assert.equal(lifetimes.of('web').stopMs, 2000);
});

test('what is forgotten was never started, until it is', () => {
  const { journal, tell } = journalWith([fact('instance.starting', 1000)]);
  const lifetimes = createLifetimes(journal);
  lifetimes.forget(['web']);
  assert.deepEqual(lifetimes.of('web'), {});
  tell(fact('instance.starting', 3000));
  assert.deepEqual(lifetimes.of('web'), { startMs: 3000 });
});
