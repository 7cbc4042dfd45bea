import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beginning, linkAfter } from './chain.ts';
import { csvHead, csvLine, headLine, lineOf, readHeadLine, readLine } from './format.ts';

const entry = {
  seq: 1,
  at: '2026-11-21T00:00:00.000Z',
  as: 'person',
  who: 'ada',
  via: 'https',
  from: '::1',
  action: 'x',
  object: 'say "hi",\nthere',
  result: 'done',
  details: {},
};
const linkOf = (more: object) => linkAfter(beginning, 1, JSON.stringify({ ...entry, ...more }));

test('a line holds the text of its entry byte by byte, and is JSON', () => {
  const link = linkOf({ who: '管家 \u2028 "}' });
  const line = lineOf(link);
  assert.equal(line.slice(83, -1), link.text);
  assert.deepEqual(JSON.parse(line), { hash: link.hash, entry: JSON.parse(link.text) });
  assert.deepEqual(readLine(line), link);
  assert.ok(!line.includes('\n'));
});

test('what is no line of an export is none', () => {
  const line = lineOf(linkOf({}));
  for (const text of [
    '',
    '{}',
    line.slice(1),
    line.slice(0, -1),
    line.replace('entry', 'Entry'),
    line.replace(/[0-9a-f]{64}/, 'Z'.repeat(64)),
  ])
    assert.equal(readLine(text), undefined, text.slice(0, 100));
});

test('the first line tells what the first entry follows', () => {
  const anchor = { seq: 12, hash: 'b'.repeat(64) };
  assert.deepEqual(readHeadLine(headLine(anchor)), anchor);
  assert.equal(readHeadLine(lineOf(linkOf({}))), undefined);
});

test('a table has a row an entry, whatever it holds', () => {
  assert.equal(csvHead, 'seq,at,as,who,via,from,action,object,result,reason,of,details,hash\r\n');
  const { hash } = linkOf({});
  assert.equal(
    csvLine(linkOf({})),
    `"1","2026-11-21T00:00:00.000Z","person","ada","https","::1","x","say ""hi"",\nthere","done","","","{}","${hash}"\r\n`,
  );
});

test('no text becomes a formula in a table', () => {
  for (const text of ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '  =cmd', '＝1', '\n=1'])
    assert.ok(csvLine(linkOf({ who: text })).includes(`"'${text}"`), JSON.stringify(text));
  assert.ok(csvLine(linkOf({ who: 'a=1' })).includes('"a=1"'));
});
