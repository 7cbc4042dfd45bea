import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageOf } from './page.ts';

const all = ['a', 'b', 'c', 'd', 'e'];
const page = (limit?: number, after?: string) => pageOf(all, (item) => item, limit, after);

test('pages follow each other without a gap and end', () => {
  assert.deepEqual(page(2), { items: ['a', 'b'], next: 'b' });
  assert.deepEqual(page(2, 'b'), { items: ['c', 'd'], next: 'd' });
  assert.deepEqual(page(2, 'd'), { items: ['e'], next: undefined });
  assert.deepEqual(page(5), { items: all, next: undefined });
  assert.deepEqual(page(), { items: all, next: undefined });
});

test('a page behind what is gone begins at the start', () => {
  assert.deepEqual(page(2, 'x'), { items: ['a', 'b'], next: 'b' });
});
