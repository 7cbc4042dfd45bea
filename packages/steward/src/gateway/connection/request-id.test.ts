import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeRequestId, makeTraceparent } from './request-id.ts';

test('ids are new each time, and a fit one is kept', () => {
  const made = new Set(Array.from({ length: 5000 }, () => makeRequestId('')));
  assert.equal(made.size, 5000);
  for (const id of made) assert.match(id, /^[0-9a-f]{32}$/);
  for (const fit of ['abc', 'A.b:c@/+=-_1', 'x'.repeat(128)]) assert.equal(makeRequestId(fit), fit);
  for (const unfit of ['a b', 'a\r\nX: y', 'ä', 'x'.repeat(129), 'a,b']) assert.match(makeRequestId(unfit), /^[0-9a-f]{32}$/);
});

const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
const parent = '00f067aa0ba902b7';

test('a trace goes on with a span of our own (the examples of the W3C)', () => {
  for (const [given, flags] of [
    [`00-${trace}-${parent}-01`, '01'],
    [`00-${trace}-${parent}-00`, '00'],
    [`cc-${trace}-${parent}-01-what-the-future-will-be-like`, '01'],
    [`cc-${trace}-${parent}-01`, '01'],
  ] as const) {
    const made = makeTraceparent(given);
    assert.match(made, new RegExp(`^00-${trace}-[0-9a-f]{16}-${flags}$`), given);
    assert.ok(!made.includes(parent));
  }
});

test('a traceparent that is none begins a new trace', () => {
  for (const given of [
    '',
    `00-${trace}-${parent}-01-what-the-future-will-be-like`,
    `00-${trace}-${parent}-01.`,
    `cc-${trace}-${parent}-01.what`,
    `ff-${trace}-${parent}-01`,
    `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${trace}-${parent}-1`,
    `00-${trace}-${parent}`,
    `00-${trace}-${parent}-01, 00-${trace}-${parent}-01`,
    `${trace}-${parent}-01`,
  ]) {
    const made = makeTraceparent(given);
    assert.match(made, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/, given);
    assert.ok(!made.includes(trace), given);
  }
});
