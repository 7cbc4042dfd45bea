import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventsOf, kinds } from './events.ts';

const first = (seed: number, count: number) => eventsOf(seed).take(count).toArray();

test('a seed always gives the same events, and another seed others', () => {
  assert.deepEqual(first(7, 100), first(7, 100));
  assert.notDeepEqual(first(7, 100), first(8, 100));
});

test('each kind comes once in every round', () => {
  for (const seed of [0, 1, 2]) {
    const events = first(seed, 2 * kinds.length).map(({ kind }) => kind);
    assert.deepEqual(events.slice(0, kinds.length).toSorted(), kinds.toSorted());
    assert.deepEqual(events.slice(kinds.length).toSorted(), kinds.toSorted());
  }
});
