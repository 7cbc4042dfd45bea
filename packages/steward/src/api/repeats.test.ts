import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStore } from '../store/store.ts';
import { createRepeats } from './repeats.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-repeats-'));
after(() => rmSync(folder, { recursive: true }));
const storeAt = (name: string) => openStore(join(folder, name), (error) => assert.fail(error.message));

let nowMs = 1_000_000;
const now = (): number => nowMs;
const request = { operation: 'restartInstances', input: { body: { names: ['web'] } } };

function counting() {
  let count = 0;
  return { work: async () => ({ status: 200, answer: `{"n":${++count}}` }), done: () => count };
}

test('a request that comes again with its key is done once and answered alike, by the next daemon too', async () => {
  const store = storeAt('again.db');
  const { work, done } = counting();
  const first = await createRepeats(store, 'key', now).once('root', 'k', request, work);
  assert.deepEqual(await createRepeats(store, 'key', now).once('root', 'k', request, work), first);
  store.close();
  const later = storeAt('again.db');
  assert.deepEqual(await createRepeats(later, 'key', now).once('root', 'k', request, work), first);
  assert.equal(done(), 1);
  assert.deepEqual(
    await createRepeats(later, 'key', now).once('alice', 'k', request, work),
    { status: 200, answer: '{"n":2}' },
    "another person's key",
  );
  later.close();
});

test('a key for another request, and one whose request is under way, are refused', async () => {
  const store = storeAt('other.db');
  const repeats = createRepeats(store, 'key', now);
  await repeats.once('root', 'k', request, counting().work);
  await assert.rejects(repeats.once('root', 'k', { ...request, input: {} }, counting().work), { code: 'api/key-reused', status: 422 });
  await assert.rejects(repeats.once('root', 'k', { ...request, operation: 'stopInstances' }, counting().work), { code: 'api/key-reused' });
  const { promise, resolve } = Promise.withResolvers<{ status: number; answer: string }>();
  const slow = repeats.once('root', 'slow', request, () => promise);
  await assert.rejects(repeats.once('root', 'slow', request, counting().work), { code: 'api/key-under-way', status: 409 });
  resolve({ status: 200, answer: '{}' });
  await slow;
  await assert.rejects(repeats.once('root', 'x'.repeat(256), request, counting().work), { code: 'api/bad-request' });
  store.close();
});

test('after a death in the middle nobody pretends to know what came of it', async () => {
  const store = storeAt('killed.db');
  void createRepeats(store, 'key', now).once('root', 'k', request, () => new Promise(() => {}));
  await assert.rejects(createRepeats(store, 'key', now).once('root', 'k', request, counting().work), {
    code: 'api/key-unfinished',
    status: 409,
  });
  store.close();
});

test('what was refused may be tried again, and a day later a key is new', async () => {
  const store = storeAt('refused.db');
  const repeats = createRepeats(store, 'key', now);
  await assert.rejects(
    repeats.once('root', 'k', request, () => Promise.reject(new Error('no'))),
    /no/,
  );
  const { work, done } = counting();
  await repeats.once('root', 'k', request, work);
  nowMs += 25 * 60 * 60 * 1000;
  await repeats.once('root', 'k', request, work);
  assert.equal(done(), 2);
  store.close();
});
