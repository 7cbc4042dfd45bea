import assert from 'node:assert/strict';
import { test } from 'node:test';
import { growth, laterHalf, slope } from './growth.ts';

test('a straight line has its slope, and grows by it', () => {
  const points = [0, 1, 2, 5].map((x) => ({ x, y: 10 + 3 * x }));
  assert.equal(slope(points), 3);
  assert.equal(growth(points), 15);
});

test('points that go up and down around a level do not grow', () => {
  const points = [0, 1, 2, 3, 4].map((x) => ({ x, y: 50 + (x % 2) }));
  assert.equal(growth(points), 0);
});

test('points of one place grow by nothing', () => {
  assert.equal(
    growth([
      { x: 3, y: 1 },
      { x: 3, y: 9 },
    ]),
    0,
  );
});

test('the later half has the middle one', () => {
  assert.deepEqual(laterHalf([1, 2, 3, 4, 5]), [3, 4, 5]);
  assert.deepEqual(laterHalf([1, 2, 3, 4]), [3, 4]);
});
