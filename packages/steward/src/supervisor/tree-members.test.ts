import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessRow } from '../kernel/process-table.ts';
import { ownersOf } from './tree-members.ts';

const row = (pid: number, parent: number, group: number, session = group): ProcessRow => ({
  pid,
  start: pid * 10,
  state: 'S',
  parent,
  group,
  session,
  cpuSeconds: 0,
  memoryBytes: 0,
  tasks: 1,
});

const none = { self: 0, leaders: new Map<number, string>(), earlier: new Map(), markOf: () => undefined };
const owners = (rows: readonly ProcessRow[], known: Partial<Parameters<typeof ownersOf>[1]>): Record<string, string> =>
  Object.fromEntries(ownersOf(rows, { ...none, ...known }));

test('a process belongs to the run whose group or session it is in', () => {
  const rows = [row(1, 0, 1), row(7, 1, 7), row(8, 7, 7), row(9, 1, 9, 7)];
  assert.deepEqual(owners(rows, { leaders: new Map([[7, 'web']]) }), { 7: 'web', 8: 'web', 9: 'web' });
});

test('a process in a session of its own belongs to the run of its ancestors', () => {
  const rows = [row(7, 1, 7), row(8, 7, 8), row(9, 8, 9)];
  assert.deepEqual(owners(rows, { leaders: new Map([[7, 'web']]) }), { 7: 'web', 8: 'web', 9: 'web' });
});

test('once its parents are gone, an earlier look still tells, for exactly this process', () => {
  const earlier = new Map([[9, { pid: 9, start: 90, run: 'web' }]]);
  assert.deepEqual(owners([row(9, 1, 9)], { earlier }), { 9: 'web' });
  assert.deepEqual(owners([{ ...row(9, 1, 9), start: 91 }], { earlier }), {});
});

test('its own mark tells when nothing else does, and is not asked before', () => {
  const asked: number[] = [];
  const markOf = ({ pid }: ProcessRow): string | undefined => {
    asked.push(pid);
    return pid === 9 ? 'web' : undefined;
  };
  const rows = [row(1, 0, 1), row(7, 1, 7), row(9, 1, 9), row(10, 9, 10)];
  assert.deepEqual(owners(rows, { leaders: new Map([[7, 'db']]), markOf }), { 7: 'db', 9: 'web', 10: 'web' });
  assert.deepEqual(asked, [1, 9]);
});

test('the daemon belongs to no run, nor what it started itself', () => {
  const rows = [row(7, 1, 7), row(50, 7, 50), row(51, 50, 51), row(60, 50, 60)];
  const leaders = new Map([
    [7, 'web'],
    [60, 'db'],
  ]);
  assert.deepEqual(owners(rows, { self: 50, leaders }), { 7: 'web', 60: 'db' });
});

test('a run within a run is its own, and a table that holds a circle ends', () => {
  const rows = [row(7, 1, 7), row(8, 7, 8), row(20, 21, 20), row(21, 20, 21)];
  assert.deepEqual(
    owners(rows, {
      leaders: new Map([
        [7, 'outer'],
        [8, 'inner'],
      ]),
    }),
    { 7: 'outer', 8: 'inner' },
  );
});
