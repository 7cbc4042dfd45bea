/** Every right, every role, whole and scoped: what each may, written out. A new right or role has no row here, and fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Right, type Role, rights, roleNames } from '@steward/sdk/contract/rights';
import { type Grant, may, mayAnywhere, nobody, type Resource, type Subject, whole } from './may.ts';

const web: Resource = { kind: 'service', service: 'web', group: 'shop' };
const cart: Resource = { kind: 'service', service: 'cart', group: 'shop' };
const mail: Resource = { kind: 'service', service: 'mail', group: 'mail' };
const site: Resource = { kind: 'site', hosts: ['example.com', 'www.example.com'] };

const places: readonly Resource[] = [whole, web, site];
const others: readonly Resource[] = [cart, mail, whole];

const person = (...grants: Grant[]): Subject => ({ kind: 'person', name: 'p', grants });

/** Who has a role for everything may these, and no other. */
const byRole: Readonly<Record<Role, readonly Right[]>> = {
  super: ['read', 'logs', 'operate', 'run', 'configure', 'secrets', 'people', 'audit', 'daemon', 'self'],
  audit: ['audit', 'self'],
  operator: ['read', 'logs', 'operate', 'self'],
  viewer: ['read', 'logs', 'self'],
};

const rightNames = Object.keys(rights) as Right[];

test('each role gives exactly what is written here, over everything', () => {
  assert.deepEqual(Object.keys(byRole).sort(), [...roleNames].sort(), 'a role has no row');
  for (const role of roleNames)
    for (const resource of places)
      assert.deepEqual(
        rightNames.filter((right) => may(person({ role }), right, resource)),
        rightNames.filter((right) => byRole[role].includes(right)),
        `${role} over ${JSON.stringify(resource)}`,
      );
});

test('a role for some things gives nothing over others, nor over the whole, but what is about oneself', () => {
  for (const role of roleNames) {
    const scoped = person({ role, on: ['service:web', 'site:example.com'] });
    const over = (resource: Resource): Right[] => rightNames.filter((right) => may(scoped, right, resource));
    const all = rightNames.filter((right) => byRole[role].includes(right));
    assert.deepEqual(over(web), all, `${role} over its service`);
    assert.deepEqual(over(site), all, `${role} over its site`);
    for (const resource of others) assert.deepEqual(over(resource), ['self'], `${role} over ${JSON.stringify(resource)}`);
  }
});

test('a role for a group is one for each of its services', () => {
  const scoped = person({ role: 'operator', on: ['group:shop'] });
  assert.deepEqual(
    [web, cart, mail, whole].map((resource) => may(scoped, 'operate', resource)),
    [true, true, false, false],
  );
});

test('roles add up, each for what it is for', () => {
  const both = person({ role: 'viewer' }, { role: 'operator', on: ['service:web'] });
  assert.deepEqual(
    [may(both, 'read', mail), may(both, 'operate', web), may(both, 'operate', mail), may(both, 'read', whole)],
    [true, true, false, true],
  );
});

test('nobody may nothing, and neither may who has no role', () => {
  for (const subject of [nobody, person()])
    assert.deepEqual(
      rightNames.filter((right) => may(subject, right, whole) || mayAnywhere(subject, right)),
      [],
    );
});

test('a token may what it was given and its maker may, both', () => {
  const token = (grants: Grant[], within: Grant[]): Subject => ({ kind: 'token', name: 'p/t', grants, within });
  const narrowed = token([{ role: 'super' }], [{ role: 'operator', on: ['group:shop'] }]);
  assert.deepEqual(
    rightNames.filter((right) => may(narrowed, right, web)),
    ['read', 'logs', 'operate', 'self'],
  );
  assert.deepEqual(
    [may(narrowed, 'read', mail), may(narrowed, 'people', whole), may(token([{ role: 'super' }], []), 'read', web)],
    [false, false, false],
  );
  assert.equal(mayAnywhere(narrowed, 'operate'), true);
  assert.equal(mayAnywhere(narrowed, 'configure'), false);
});

test('names of things are compared whole', () => {
  const scoped = person({ role: 'viewer', on: ['service:we', 'group:sho', 'site:example', 'web'] });
  assert.deepEqual(
    [web, site].map((resource) => may(scoped, 'read', resource)),
    [false, false],
  );
});
