import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StewardError } from './errors.ts';
import { countsOf, inForce, scaledTo } from './scaling.ts';

const written = new Map([
  ['web', 2],
  ['jobs', 1],
]);

test('a number, a difference, and back to what the file says', () => {
  const four = scaledTo({}, written, 'web', '4');
  assert.deepEqual([four.from, four.to, four.written], [2, 4, 2]);
  assert.deepEqual(countsOf(four.scaling), new Map([['web', 4]]));
  const five = scaledTo(four.scaling, written, 'web', '+1');
  assert.deepEqual([five.from, five.to], [4, 5]);
  assert.deepEqual(scaledTo(five.scaling, written, 'web', '-3').scaling, {}, 'as in the file: nothing to remember');
  assert.equal(scaledTo({}, written, 'jobs', '0').to, 0);
});

test('it holds until the file says another number', () => {
  const { scaling } = scaledTo({}, written, 'web', '4');
  assert.deepEqual(inForce(scaling, written), scaling);
  assert.deepEqual(inForce(scaling, new Map([['web', 3]])), {});
  assert.deepEqual(inForce(scaling, new Map([['other', 1]])), {});
});

test('what cannot be is refused in words', () => {
  assert.throws(
    () => scaledTo({}, written, 'wep', '1'),
    (error: StewardError) => error.code === 'api/unknown-name' && /web/.test(error.hint ?? ''),
  );
  for (const text of ['-3', '10001', '99999'])
    assert.throws(
      () => scaledTo({}, written, 'web', text),
      (error) => error instanceof StewardError && error.code === 'api/bad-scale',
    );
});
