import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFlood } from './flood.ts';

const times = (count: number, work: (index: number) => boolean): number =>
  Array.from({ length: count }, (_, index) => work(index)).filter(Boolean).length;

test('of one address thirty entries a minute are kept, of all two hundred, and the rest is counted', () => {
  const flood = createFlood();
  assert.equal(
    times(100, () => flood.admits('a', 0)),
    30,
  );
  assert.equal(
    times(500, (index) => flood.admits(`b${index}`, 1000)),
    170,
  );
  assert.equal(flood.over(59_999), undefined, 'not while it lasts');
  assert.deepEqual({ ...flood.over(60_000), from: [] }, { entries: 400, from: [] });
  assert.equal(flood.over(60_001), undefined, 'told once');
  assert.equal(flood.admits('a', 60_002), true);
});

test('the addresses that most came from are named', () => {
  const flood = createFlood();
  for (let index = 0; index < 50; index++) flood.admits('loud', 0);
  for (let index = 0; index < 12; index++) flood.admits(`quiet ${index}`, 0);
  const { from = [], entries } = flood.over(60_000) ?? {};
  assert.deepEqual([entries, from[0], from.length], [20, 'loud', 10]);
});

test('a quiet minute leaves nothing to tell', () => {
  const flood = createFlood();
  for (let minute = 0; minute < 5; minute++) {
    assert.equal(
      times(30, () => flood.admits('a', minute * 60_000)),
      30,
    );
    assert.equal(flood.over((minute + 1) * 60_000), undefined);
  }
});
