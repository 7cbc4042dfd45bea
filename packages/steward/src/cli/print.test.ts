import assert from 'node:assert/strict';
import { test } from 'node:test';
import { harmless, harmlessInColor, widthOf } from '../config/terminal.ts';
import { type Column, clock, count, cut, megabytes, paint, table, uptime } from './print.ts';

interface Row {
  readonly name: string;
  readonly pid: number;
  readonly text: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'PID', value: ({ pid }) => String(pid), align: 'right', color: () => 'green' },
  { title: 'TEXT', value: ({ text }) => text },
];
const rows: readonly Row[] = [
  { name: 'web', pid: 7, text: 'hello' },
  { name: '中文', pid: 12_345, text: 'a longer text' },
];

test('a table lines up, wide characters too, and ends no line in blanks', () => {
  assert.equal(table(rows, columns, 0, false), ['NAME    PID  TEXT', 'web       7  hello', '中文  12345  a longer text'].join('\n'));
});

test('the last column is cut to the terminal, never below ten columns', () => {
  for (const line of table(rows, columns, 24, false).split('\n')) assert.ok(widthOf(line) <= 24, line);
  assert.match(table(rows, columns, 24, false), /a longer t…$/);
  assert.match(table(rows, columns, 1, false), /a longer …$/);
});

test('colors change nothing about the columns', () => {
  const plain = table(rows, columns, 24, false);
  const colored = table(rows, columns, 24, true);
  assert.notEqual(colored, plain);
  assert.equal(colored.replace(/\x1b\[\d+m/g, ''), plain);
});

test('a table without rows is its titles', () => {
  assert.equal(table([], columns, 80, false), 'NAME  PID  TEXT');
});

test('a text is cut at a width, not within a character', () => {
  assert.equal(cut('short', 5), 'short');
  assert.equal(cut('longer', 5), 'long…');
  assert.equal(cut('中文字', 5), '中文…');
  assert.equal(cut('a💥b', 3), 'a…');
});

test('wide characters take two columns, color codes none', () => {
  assert.equal(widthOf('abc'), 3);
  assert.equal(widthOf('中文'), 4);
  assert.equal(widthOf('한글'), 4);
  assert.equal(widthOf('💥'), 2);
  assert.equal(widthOf(paint('abc', 'red', true)), 3);
});

test('what a terminal would act on is shown instead', () => {
  assert.equal(harmless('a\x1b[31mb\x07\rc\x9b\x7f'), 'a␛[31mb··c··');
  assert.equal(harmless('a\tb é 中'), 'a\tb é 中');
});

test('an uptime shows its two largest units', () => {
  const expected: readonly (readonly [number, string])[] = [
    [0, '0s'],
    [59, '59s'],
    [60, '1m 0s'],
    [3599, '59m 59s'],
    [3600, '1h 0m'],
    [90_000, '1d 1h'],
    [8_640_000, '100d 0h'],
  ];
  for (const [seconds, text] of expected) assert.equal(uptime(seconds), text);
});

test('memory is shown in MB, or in GB', () => {
  for (const [bytes, text] of [
    [0, '0.0 MB'],
    [1024 ** 2 * 1.26, '1.3 MB'],
    [1024 ** 2 * 9.99, '10 MB'],
    [1024 ** 2 * 512, '512 MB'],
    [1024 ** 2 * 1023.9, '1.0 GB'],
    [1024 ** 3 * 1.5, '1.5 GB'],
  ] as const) {
    assert.equal(megabytes(bytes), text);
  }
});

test('a time of today is shown without its date', () => {
  const now = new Date(2026, 10, 20, 14, 0, 0);
  assert.equal(clock(new Date(2026, 10, 20, 3, 4, 5, 6).toISOString(), now), '03:04:05.006');
  assert.equal(clock(new Date(2026, 10, 19, 23, 59, 59, 999).toISOString(), now), '2026-11-19 23:59:59.999');
});

test('one is one, others are many', () => {
  assert.deepEqual(
    [0, 1, 2].map((n) => count(n, 'site')),
    ['0 sites', '1 site', '2 sites'],
  );
});

test('a log line keeps its colors on a terminal and nothing else that a terminal acts on', () => {
  assert.equal(harmlessInColor('\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J end'), '\x1b[31mred\x1b[0m ␛]0;title· ␛[2J end\x1b[0m');
  assert.equal(harmlessInColor('plain\ttext'), 'plain\ttext');
});
