import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cutText, entryOf, longestEntry, type Numbered } from './entry.ts';

const given: Numbered = {
  seq: 7,
  atMs: Date.UTC(2026, 10, 21, 18, 0, 0, 5),
  as: 'person',
  who: 'ada',
  via: 'https',
  from: '10.0.0.1',
  action: 'stopInstances',
  object: 'web',
  result: 'begun',
  details: { names: ['web'] },
};
const bytesOf = (more: Partial<Numbered>): number => Buffer.byteLength(JSON.stringify(entryOf({ ...given, ...more })));

test('an entry says who did what to what, in a fixed order', () => {
  assert.equal(
    JSON.stringify(entryOf(given)),
    '{"seq":7,"at":"2026-11-21T18:00:00.005Z","as":"person","who":"ada","via":"https","from":"10.0.0.1","action":"stopInstances","object":"web","result":"begun","details":{"names":["web"]}}',
  );
});

test('an outcome names the entry it belongs to, and why it is not done', () => {
  const { of, reason, result } = entryOf({ ...given, result: 'refused', of: 6, reason: 'api/forbidden: you may not' });
  assert.deepEqual([of, reason, result], [6, 'api/forbidden: you may not', 'refused']);
});

test('a long text is cut, and says how much is missing', () => {
  assert.equal(cutText('abcdef', 6), 'abcdef');
  assert.equal(cutText('abcdefg', 3), 'abc… (4 more)');
  assert.equal(cutText('ab😀cd', 3), 'ab… (4 more)', 'no half of a character');
  const { details } = entryOf({ ...given, details: { text: 'x'.repeat(10_000), list: Array.from({ length: 60 }, (_, index) => index) } });
  assert.match(String(details.text), /^x{500}… \(9500 more\)$/);
  assert.deepEqual((details.list as unknown[]).slice(-2), [49, '… (10 more)']);
});

test('no entry is longer than 8 KB, whatever was given', () => {
  const deep = (levels: number): unknown => (levels === 0 ? 'end' : { a: deep(levels - 1), b: [deep(levels - 1)] });
  const worst = {
    who: '\0'.repeat(999),
    as: '\0'.repeat(999),
    via: '\0'.repeat(999),
    from: '\0'.repeat(999),
    action: '\0'.repeat(999),
    object: '\0'.repeat(999),
    reason: '\0'.repeat(999),
  };
  const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`field ${index}`, '管家\0'.repeat(300)]));
  const wide = { texts: Array.from({ length: 300 }, () => '\0'.repeat(600)) };
  for (const details of [many, wide, { deep: deep(12) }, { ['k\0'.repeat(5000)]: 1 }, {}])
    for (const more of [{}, worst]) assert.ok(bytesOf({ details, ...more }) <= longestEntry, `${bytesOf({ details, ...more })} bytes`);
});

test('what does not fit is named', () => {
  const { details } = entryOf({ ...given, details: { names: ['web'], texts: Array.from({ length: 50 }, () => 'x'.repeat(500)), last: 1 } });
  assert.deepEqual(details, { names: ['web'], texts: '…', last: 1 });
});

test('values of secrets are taken out of everything that was given', () => {
  const entry = entryOf({ ...given, object: 'a hunter2 b', reason: 'hunter2', details: { deep: [{ text: 'with hunter2' }] } }, (text) =>
    text.replaceAll('hunter2', '***'),
  );
  assert.deepEqual([entry.object, entry.reason, entry.details], ['a *** b', '***', { deep: [{ text: 'with ***' }] }]);
});
