import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../testing.ts';
import { Deadlines, type Timed } from './deadlines.ts';

const due = (inMs: number, onDeadline: () => void): Timed => ({ deadlineMs: performance.now() + inMs, onDeadline });

test('a deadline that passes is told once; one that is put off or taken away is not', async () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  const soon = due(50, () => told.push('soon'));
  const putOff = due(50, () => told.push('put off'));
  const removed = due(50, () => told.push('removed'));
  const never: Timed = { deadlineMs: Number.POSITIVE_INFINITY, onDeadline: () => told.push('never') };
  for (const timed of [soon, putOff, removed, never]) deadlines.add(timed);
  putOff.deadlineMs += 60_000;
  deadlines.remove(removed);
  const keepAlive = setInterval(() => {}, 1000); // its own timer lets a process end
  await until('the first deadline', () => told.length > 0);
  await new Promise((resolve) => setTimeout(resolve, 250));
  clearInterval(keepAlive);
  assert.deepEqual(told, ['soon']);
  assert.equal(soon.deadlineMs, Number.POSITIVE_INFINITY);
  for (const timed of [soon, putOff, never, removed]) deadlines.remove(timed);
  assert.equal(deadlines.size, 0);
});

test('what a deadline does may add and remove others', async () => {
  const deadlines = new Deadlines();
  const told: string[] = [];
  const second = due(0, () => told.push('second'));
  const late = due(0, () => told.push('late'));
  const first = due(0, () => {
    told.push('first');
    deadlines.remove(second);
    deadlines.add(late);
  });
  deadlines.add(first);
  deadlines.add(second);
  const keepAlive = setInterval(() => {}, 1000);
  await until('the added one', () => told.includes('late'));
  clearInterval(keepAlive);
  assert.deepEqual(told, ['first', 'late']);
  deadlines.remove(first);
  deadlines.remove(late);
});
