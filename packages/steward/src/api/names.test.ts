import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StewardError } from '../errors.ts';
import { resolveNames } from './names.ts';

const named = (id: string, service: string, group = service, name = service) => ({ id, service, group, name });
const known = [
  named('db', 'db'),
  named('web:web_1', 'web', 'web', 'web_1'),
  named('web:web_2', 'web', 'web', 'web_2'),
  named('back:mail', 'mail', 'back', 'mail'),
];

test('a name means an instance, a service or one of its instances', () => {
  assert.deepEqual(resolveNames(['db'], known), ['db']);
  assert.deepEqual(resolveNames(['web'], known), ['web:web_1', 'web:web_2']);
  assert.deepEqual(resolveNames(['web:web_2'], known), ['web:web_2']);
  assert.deepEqual(resolveNames(['web_2'], known), ['web:web_2']);
  assert.deepEqual(resolveNames(['mail'], known), ['back:mail']);
});

test('group:* means all of a group, all means all', () => {
  assert.deepEqual(resolveNames(['back:*'], known), ['back:mail']);
  assert.deepEqual(resolveNames(['all'], known), ['db', 'web:web_1', 'web:web_2', 'back:mail']);
});

test('whoever is meant twice comes once, in the order of the files', () => {
  assert.deepEqual(resolveNames(['web_2', 'web:*', 'db'], known), ['db', 'web:web_1', 'web:web_2']);
});

test('all is nobody when nothing runs, and no error', () => {
  assert.deepEqual(resolveNames(['all'], []), []);
});

test('every name that means nothing is told, and nothing is done', () => {
  assert.throws(
    () => resolveNames(['db', 'wep', 'x:*'], known),
    (error) =>
      error instanceof StewardError &&
      error.code === 'api/unknown-name' &&
      error.status === 404 &&
      error.message === 'there is no service or instance "wep", "x:*"' &&
      error.hint === 'There is: db, web, mail. Did you mean "web"?',
  );
});

test('without services the refusal says so', () => {
  assert.throws(() => resolveNames(['web'], []), { hint: 'There is: nothing.' });
});
