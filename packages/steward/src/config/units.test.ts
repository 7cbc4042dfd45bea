import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatDuration, formatSize, parseDuration, parseSize } from './units.ts';

test('a duration is the sum of its parts', () => {
  const expected: readonly (readonly [string | number, number])[] = [
    ['200ms', 200],
    ['30s', 30_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['2d', 172_800_000],
    ['1m1m', 120_000],
    ['0', 0],
    [0, 0],
  ];
  for (const [text, ms] of expected) assert.equal(parseDuration(text), ms, String(text));
});

test('a number without a unit is no duration, except 0', () => {
  for (const text of ['30', 30, '', ' 30s', '30 s', '30S', '-1s', '1.s', '.5s', 's', '1h 30m', '00', 'Infinity', '1e3s']) {
    assert.equal(parseDuration(text), undefined, String(text));
  }
});

test('a size counts in powers of 1024, in any case', () => {
  const expected: readonly (readonly [string | number, number])[] = [
    ['64KB', 65_536],
    ['50MB', 52_428_800],
    ['1.5GB', 1_610_612_736],
    ['1TB', 1_099_511_627_776],
    ['10m', 10_485_760],
    ['10 mb', 10_485_760],
    ['7B', 7],
    ['7b', 7],
    ['7', 7],
    [7, 7],
    ['0', 0],
  ];
  for (const [text, bytes] of expected) assert.equal(parseSize(text), bytes, String(text));
});

test('a text that is no size is refused', () => {
  for (const text of ['', 'MB', '-1MB', '1PB', '1 k b', '1.MB', '50MBs', '0x10', '1e3']) assert.equal(parseSize(text), undefined, text);
});

test('a large duration or size stays a number', () => {
  for (const parsed of [parseDuration(`${'9'.repeat(400)}d`), parseSize(`${'9'.repeat(400)}GB`)]) {
    assert.ok(parsed === undefined || !Number.isNaN(parsed));
  }
});

test('a duration is written in the largest unit that gives a whole number', () => {
  for (const [ms, text] of [
    [0, '0s'],
    [200, '200ms'],
    [1500, '1500ms'],
    [90_000, '90s'],
    [120_000, '2m'],
    [86_400_000, '1d'],
  ] as const) {
    assert.equal(formatDuration(ms), text);
    assert.equal(parseDuration(text), ms);
  }
});

test('a size is written in the largest unit that gives a whole number', () => {
  for (const [bytes, text] of [
    [0, '0B'],
    [1000, '1000B'],
    [52_428_800, '50MB'],
    [1_099_511_627_776, '1TB'],
  ] as const) {
    assert.equal(formatSize(bytes), text);
    assert.equal(parseSize(text), bytes);
  }
});
