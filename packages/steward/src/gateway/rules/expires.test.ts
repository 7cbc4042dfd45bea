import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExpiresSpec } from '../../config/model.ts';
import { requestOf } from '../testing-request.ts';
import { compileExpires, expiresHeaders, parseExpires } from './expires.ts';
import { plainScope } from './variables.ts';

const now = Date.UTC(2026, 10, 21, 12, 29, 12, 345);
const modified = Date.UTC(2026, 10, 21, 12, 0, 0);

function told(spec: ExpiresSpec, url = '/', modifiedMs?: number): string | undefined {
  const compiled = compileExpires(spec, plainScope);
  if (compiled === undefined) return 'off';
  const headers = expiresHeaders(compiled, requestOf({ url }), now, modifiedMs);
  return headers === undefined ? undefined : `${headers.expires} | ${headers.cacheControl}`;
}

/** Seen with nginx 1.22, at the same times. */
test('headers are what nginx sends', () => {
  const seconds = (count: number, from: 'now' | 'modified' = 'now'): ExpiresSpec => ({ kind: 'seconds', seconds: count, from });
  assert.equal(told(seconds(3600)), 'Sat, 21 Nov 2026 13:29:12 GMT | max-age=3600');
  assert.equal(told(seconds(0)), 'Sat, 21 Nov 2026 12:29:12 GMT | max-age=0');
  assert.equal(told(seconds(-1)), 'Sat, 21 Nov 2026 12:29:11 GMT | no-cache');
  assert.equal(told(seconds(3600, 'modified'), '/', modified), 'Sat, 21 Nov 2026 13:00:00 GMT | max-age=1848');
  assert.equal(told(seconds(60, 'modified'), '/', modified), 'Sat, 21 Nov 2026 12:01:00 GMT | no-cache');
  assert.equal(told(seconds(60, 'modified')), 'Sat, 21 Nov 2026 12:30:12 GMT | max-age=60');
  assert.equal(told({ kind: 'epoch' }), 'Thu, 01 Jan 1970 00:00:01 GMT | no-cache');
  assert.equal(told({ kind: 'max' }), 'Thu, 31 Dec 2037 23:55:55 GMT | max-age=315360000');
  assert.equal(told({ kind: 'off' }), 'off');
});

test('a time of day is the next one, in the zone of the machine', () => {
  for (const second of [0, 43_200, 86_340]) {
    const headers = told({ kind: 'daily', second }) ?? '';
    const end = new Date(headers.split(' | ')[0] ?? '');
    assert.equal(end.getHours() * 3600 + end.getMinutes() * 60 + end.getSeconds(), second);
    assert.ok(end.getTime() > now && end.getTime() - now <= 90_000_000);
    assert.match(headers, /max-age=\d+$/);
  }
});

test('a text gives one of the forms, or nothing', () => {
  const text: ExpiresSpec = { kind: 'text', text: '$arg_v' };
  const table: Record<string, string | undefined> = {
    '1h': 'Sat, 21 Nov 2026 13:29:12 GMT | max-age=3600',
    '1h30m': 'Sat, 21 Nov 2026 13:59:12 GMT | max-age=5400',
    '-5': 'Sat, 21 Nov 2026 12:29:07 GMT | no-cache',
    max: 'Thu, 31 Dec 2037 23:55:55 GMT | max-age=315360000',
    off: undefined,
    junk: undefined,
    '': undefined,
  };
  for (const [value, headers] of Object.entries(table)) assert.equal(told(text, `/?v=${value}`), headers, value);
});

test('forms are read', () => {
  const table: Record<string, ExpiresSpec | undefined> = {
    epoch: { kind: 'epoch' },
    off: { kind: 'off' },
    '@15h30m': { kind: 'daily', second: 55_800 },
    '@25h': undefined,
    '30': { kind: 'seconds', seconds: 30, from: 'now' },
    '+1d': { kind: 'seconds', seconds: 86_400, from: 'now' },
    'modified +24h': { kind: 'seconds', seconds: 86_400, from: 'modified' },
    'modified-1h': { kind: 'seconds', seconds: -3600, from: 'modified' },
    '1y1M1w': { kind: 'seconds', seconds: 31_536_000 + 2_592_000 + 604_800, from: 'now' },
    '1m1h': undefined,
    '5x': undefined,
  };
  for (const [text, spec] of Object.entries(table)) assert.deepEqual(parseExpires(text), spec, text);
});
