import assert from 'node:assert/strict';
import { test } from 'node:test';
import { members, readable, retryAfter, text } from './client.ts';

const now = Date.UTC(2026, 0, 1);

test('Retry-After is read as seconds and as a date, and ignored when it is neither', () => {
  const cases: readonly [string | string[] | undefined, number | undefined][] = [
    ['120', 120_000],
    [' 0 ', 0],
    ['Thu, 01 Jan 2026 01:00:00 GMT', 3_600_000],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['soon', undefined],
    ['-5 minutes or so', undefined],
    [['1', '2'], undefined],
    [undefined, undefined],
  ];
  for (const [header, ms] of cases) assert.equal(retryAfter(header, now), ms, String(header));
});

test('what an authority says is one line, and not an endless one', () => {
  assert.equal(readable('a\r\n\tb\u001b[0m\u202e c'), 'a b [0m c');
  assert.equal(readable('x'.repeat(9999)).length, 500);
});

test('members are looked at one by one', () => {
  const answer = (content: string) => ({ url: 'https://ca.example/order/1', location: undefined, text: content, retryAfterMs: undefined });
  assert.equal(text(members(answer('{"status":"valid"}')), 'status', ''), 'valid');
  for (const content of ['', 'null', '[]', '"text"', '{'])
    assert.throws(() => members(answer(content)), /the answer of ca\.example is no JSON object/, content);
  assert.throws(() => text({ status: 5 }, 'status', 'https://ca.example/order/1'), /the answer of ca\.example has no "status"/);
});
