/** Promise 1 in short: what `npm run chaos` and `npm run soak` do for hours, for some seconds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chaos } from '../../../bench/chaos/chaos.ts';
import { kinds } from '../../../bench/chaos/events.ts';
import { soak } from '../../../bench/soak/soak.ts';

test('whatever is killed, halted or asked for at once, all is well again afterwards', { timeout: 290_000 }, async (t) => {
  const broken = await chaos({ seed: 1, events: kinds.length, minutes: 4, print: (text) => t.diagnostic(text), signal: t.signal });
  assert.deepEqual(broken, []);
});

test('crashes, lines and commands for some seconds leave nothing behind', { timeout: 200_000 }, async (t) => {
  assert.deepEqual(await soak({ minutes: 0.15, seed: 1, answerMs: 60_000, print: (text) => t.diagnostic(text), signal: t.signal }), []);
});
