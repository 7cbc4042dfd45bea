import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startOrder, stopWaves } from './order.ts';

const spec = (service: string, after: readonly string[] = [], priority = 999, id = service) => ({ id, service, after, priority });

test('services start after what they wait for, however deep', () => {
  assert.deepEqual(startOrder([spec('web', ['api']), spec('api', ['db', 'cache']), spec('cache', ['db']), spec('db')]), [
    'db',
    'cache',
    'api',
    'web',
  ]);
});

test('services that do not wait for each other start by priority, then as written', () => {
  assert.deepEqual(startOrder([spec('c'), spec('b', [], 5), spec('a', [], 1), spec('d')]), ['a', 'b', 'c', 'd']);
});

test('waiting counts more than priority', () => {
  assert.deepEqual(startOrder([spec('first', ['second'], 1), spec('second', [], 1000)]), ['second', 'first']);
});

test('all instances of a service start together', () => {
  const specs = [spec('web', ['db'], 999, 'web:1'), spec('db'), spec('web', ['db'], 999, 'web:2')];
  assert.deepEqual(startOrder(specs), ['db', 'web:1', 'web:2']);
});

test('a service nobody runs is not waited for', () => {
  assert.deepEqual(startOrder([spec('a', ['gone']), spec('b')]), ['a', 'b']);
});

test('a circle does not hang', () => {
  assert.deepEqual(startOrder([spec('a', ['b']), spec('b', ['a'])]).toSorted(), ['a', 'b']);
  assert.deepEqual(stopWaves([spec('a', ['a'])]), [['a']]);
});

test('stopping is the start in reverse, in waves that wait for each other', () => {
  const specs = [spec('db'), spec('api', ['db']), spec('web', ['api'], 999, 'web:1'), spec('web', ['api'], 999, 'web:2')];
  assert.deepEqual(stopWaves(specs), [['web:2', 'web:1'], ['api'], ['db']]);
});

test('a higher number in priority stops earlier', () => {
  assert.deepEqual(stopWaves([spec('a', [], 1), spec('b', [], 2), spec('c', [], 2)]), [['c', 'b'], ['a']]);
});

test('a long chain is ordered in a moment', () => {
  const specs = Array.from({ length: 2000 }, (_, n) => spec(`s${n}`, n === 0 ? [] : [`s${n - 1}`]));
  const started = performance.now();
  assert.equal(startOrder(specs.toReversed())[0], 's0');
  assert.equal(stopWaves(specs)[0]?.[0], 's1999');
  assert.ok(performance.now() - started < 2000);
});
