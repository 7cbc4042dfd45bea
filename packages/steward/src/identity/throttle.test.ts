import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey, addressRule, countAt, type Failures, failed, forgiven, nameRule, waitMs } from './throttle.ts';

const after = (rule: typeof nameRule, count: number, nowMs = 0): Failures | undefined => {
  let failures: Failures | undefined;
  for (let index = 0; index < count; index++) failures = failed(rule, failures, nowMs);
  return failures;
};
const waits = (rule: typeof nameRule, counts: readonly number[]): number[] => counts.map((count) => waitMs(rule, after(rule, count), 0));

test('the first failures are free, then the wait doubles up to a limit', () => {
  assert.deepEqual(waits(addressRule, [0, 1, 7, 8, 9, 10, 17, 18, 100]), [0, 0, 0, 1000, 2000, 4000, 512_000, 900_000, 900_000]);
  assert.deepEqual(waits(nameRule, [0, 9, 10, 11, 16, 100]), [0, 0, 1000, 2000, 60_000, 60_000]);
});

test('a wait is over after its time, and failures are forgotten one by one', () => {
  const failures = after(nameRule, 12);
  assert.equal(waitMs(nameRule, failures, 3999), 1);
  assert.equal(waitMs(nameRule, failures, 4000), 0);
  assert.deepEqual(
    [0, 59_999, 60_000, 3_600_000].map((now) => countAt(nameRule, failures, now)),
    [12, 12, 11, 0],
  );
  assert.deepEqual(
    [299_999, 300_000].map((now) => countAt(addressRule, failures, now)),
    [12, 11],
  );
  assert.equal(failed(nameRule, failures, 3_600_000).count, 1);
});

test('a clock that is set back makes nobody wait longer than the limit', () => {
  assert.equal(waitMs(nameRule, after(nameRule, 100, 1e12), 0), nameRule.longestMs);
});

test('who guesses from one address waits for it before the owner of the name does, and longer', () => {
  let now = 0;
  let address: Failures | undefined;
  let name: Failures | undefined;
  let blockedMs = 0;
  for (const end = 24 * 3_600_000; now < end; ) {
    const wait = Math.max(waitMs(addressRule, address, now), waitMs(nameRule, name, now));
    now += wait;
    [address, name] = [failed(addressRule, address, now), failed(nameRule, name, now)];
    blockedMs += waitMs(nameRule, name, now);
    now += 1;
  }
  assert.ok(blockedMs / now < 0.01, `the owner, from elsewhere, is kept out for ${blockedMs} of ${now} ms`);
});

test('a failure that was none is taken back', () => {
  assert.deepEqual(forgiven({ count: 3, lastMs: 5 }), { count: 2, lastMs: 5 });
  assert.equal(forgiven({ count: 1, lastMs: 5 }), undefined);
});

test('addresses of one IPv6 network count as one, however they are written', () => {
  assert.deepEqual(
    [
      '10.0.0.7',
      '::ffff:10.0.0.7',
      '2001:db8:1:2::9',
      '2001:0DB8:1:2:aaaa:bbbb:cccc:dddd',
      '2001:db8:1:3::9',
      '::1',
      'fe80::1%eth0',
      'control socket',
    ].map(addressKey),
    [
      '10.0.0.7',
      '10.0.0.7',
      '2001:db8:1:2::/64',
      '2001:db8:1:2::/64',
      '2001:db8:1:3::/64',
      '0:0:0:0::/64',
      'fe80:0:0:0::/64',
      'control socket',
    ],
  );
});
