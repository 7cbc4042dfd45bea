import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOver } from './period.ts';

const zone = process.env.TZ;
function at<T>(name: string, work: () => T): T {
  process.env.TZ = name;
  try {
    return work();
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
}
const ms = (text: string): number => Date.parse(text);

test('a day ends at midnight of the local clock, not of UTC', () => {
  at('Europe/Berlin', () => {
    assert.equal(isOver('daily', ms('2026-11-20T22:30:00Z'), ms('2026-11-20T22:59:59Z')), false);
    assert.equal(isOver('daily', ms('2026-11-20T22:30:00Z'), ms('2026-11-20T23:00:00Z')), true);
    assert.equal(isOver('daily', ms('2026-11-20T23:00:00Z'), ms('2026-11-21T22:59:59Z')), false);
  });
});

test('days of 23 and 25 hours are one day each', () => {
  at('Europe/Berlin', () => {
    assert.equal(isOver('daily', ms('2026-03-28T23:00:00Z'), ms('2026-03-29T21:59:59Z')), false);
    assert.equal(isOver('daily', ms('2026-03-28T23:00:00Z'), ms('2026-03-29T22:00:00Z')), true);
    assert.equal(isOver('daily', ms('2026-10-24T22:00:00Z'), ms('2026-10-25T22:59:59Z')), false);
    assert.equal(isOver('daily', ms('2026-10-24T22:00:00Z'), ms('2026-10-25T23:00:00Z')), true);
  });
});

test('an hour that is repeated in autumn is two hours', () => {
  at('Europe/Berlin', () => assert.equal(isOver('hourly', ms('2026-10-25T00:10:00Z'), ms('2026-10-25T01:10:00Z')), true));
  at('Asia/Kolkata', () => assert.equal(isOver('hourly', ms('2026-10-25T00:31:00Z'), ms('2026-10-25T01:29:00Z')), false));
});

test('a week begins on Monday', () => {
  at('UTC', () => {
    assert.equal(isOver('weekly', ms('2026-11-16T00:00:00Z'), ms('2026-11-22T23:59:59Z')), false);
    assert.equal(isOver('weekly', ms('2026-11-22T23:59:59Z'), ms('2026-11-23T00:00:00Z')), true);
    assert.equal(isOver('weekly', ms('2026-12-31T12:00:00Z'), ms('2027-01-01T12:00:00Z')), false);
  });
});

test('a clock that jumps forth and back rotates once, and one that is set back by a little not at all', () => {
  at('UTC', () => {
    assert.equal(isOver('daily', ms('2026-11-20T00:10:00Z'), ms('2026-11-19T23:50:00Z')), false);
    assert.equal(isOver('daily', ms('2026-11-20T00:10:00Z'), ms('2026-11-17T00:00:00Z')), true);
  });
});
