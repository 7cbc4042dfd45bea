import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentile, RouteCounter, SiteCounters } from './counters.ts';

test('percentiles are right to within their bucket', () => {
  const counter = new RouteCounter();
  for (let ms = 1; ms <= 1000; ms++) counter.note(200, 10, ms);
  const { took, requests, bytesSent } = counter.counts('/');
  assert.deepEqual([requests, bytesSent], [1000, 10_000]);
  for (const [share, exact] of [
    [0.5, 500],
    [0.9, 900],
    [0.99, 990],
  ] as const) {
    const found = percentile(took, share);
    assert.ok(found >= exact && found <= exact * 1.42, `${share}: ${found} ms`);
  }
  assert.equal(percentile([], 0.5), 0);
  counter.note(500, 0, 0.001);
  assert.deepEqual(counter.counts('/').answers, [0, 1000, 0, 0, 1]);
});

test('a thousand busy routes cost little to tell, and sites that are gone are forgotten', () => {
  const counters = new SiteCounters();
  for (let n = 0; n < 1000; n++) for (let ms = 1; ms < 1000; ms *= 3) counters.counter('site', `/${n}`).note(200, 1, ms);
  JSON.stringify(counters.counts());
  const begun = performance.now();
  const text = JSON.stringify(counters.counts());
  assert.ok(performance.now() - begun < 50);
  assert.ok(text.length < 300_000);
  assert.equal(counters.counts()[0]?.routes.length, 1000);
  counters.keep(new Set(['other']));
  assert.deepEqual(counters.counts(), []);
});
