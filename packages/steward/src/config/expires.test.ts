import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExpires } from './expires.ts';

const seconds = (count: number, from: 'now' | 'modified' = 'now') => ({ kind: 'seconds', seconds: count, from });

test('every form of expires', () => {
  const forms: Readonly<Record<string, unknown>> = {
    off: { kind: 'off' },
    epoch: { kind: 'epoch' },
    max: { kind: 'max' },
    '30d': seconds(2_592_000),
    '1h30m': seconds(5400),
    '+1h': seconds(3600),
    '3600': seconds(3600),
    '0': seconds(0),
    '-1': seconds(-1),
    '-1h': seconds(-3600),
    'modified+1h': seconds(3600, 'modified'),
    'modified +1h': seconds(3600, 'modified'),
    'modified 1h': seconds(3600, 'modified'),
    '@15h30m': { kind: 'daily', second: 55_800 },
    '1y2M': seconds(36_720_000),
    '1w 2d': seconds(777_600),
    '@0': { kind: 'daily', second: 0 },
  };
  for (const [text, spec] of Object.entries(forms)) assert.deepEqual(parseExpires(text), spec, text);
});

test('other texts say nothing', () => {
  for (const text of ['', 'soon', '1 day', '@', '@24h', '@-1h', '--1', 'modified', 'Max', '30d x'])
    assert.equal(parseExpires(text), undefined, text);
});
