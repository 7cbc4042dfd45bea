import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Grant } from './may.ts';
import type { Person } from './records.ts';
import { beyond, grantsProblem, isReserved, leavesNoSuper } from './rules.ts';

const person = (name: string, roles: readonly Grant[], more: Partial<Person> = {}): Person => ({
  name,
  grants: roles,
  disabled: false,
  password: 'set',
  madeBy: 'local',
  createdMs: 0,
  knownFrom: [],
  ...more,
});
const superGrants: Grant[] = [{ role: 'super' }];

test('who looks after the trail cannot operate', () => {
  assert.match(grantsProblem([{ role: 'audit' }, { role: 'super' }]) ?? '', /audit and the role super/);
  assert.match(grantsProblem([{ role: 'audit' }, { role: 'operator', on: ['service:web'] }]) ?? '', /audit and the role operator/);
  assert.equal(grantsProblem([{ role: 'audit' }, { role: 'viewer' }]), undefined);
  assert.equal(grantsProblem([{ role: 'super' }, { role: 'operator' }]), undefined);
  assert.match(grantsProblem([{ role: 'audit', on: ['service:web'] }]) ?? '', /one trail for all/);
});

test('the last super admin who can log in stays one', () => {
  const ada = person('ada', superGrants);
  const others = [
    ada,
    person('invited', superGrants, { password: undefined }),
    person('disabled', superGrants, { disabled: true }),
    person('scoped', [{ role: 'super', on: ['service:web'] }]),
    person('bob', [{ role: 'operator' }]),
  ];
  assert.equal(leavesNoSuper(others, ada, undefined), true);
  assert.equal(leavesNoSuper(others, ada, { ...ada, disabled: true }), true);
  assert.equal(leavesNoSuper(others, ada, { ...ada, grants: [{ role: 'viewer' }] }), true);
  assert.equal(leavesNoSuper(others, ada, { ...ada, grants: [{ role: 'super', on: ['service:web'] }] }), true);
  assert.equal(leavesNoSuper(others, ada, { ...ada, grants: [...superGrants, { role: 'viewer' }] }), false);
  assert.equal(leavesNoSuper([...others, person('eve', superGrants)], ada, undefined), false);
  assert.equal(leavesNoSuper(others, others[1] as Person, undefined), false, 'who cannot log in can go');
});

test('a role beyond those of its maker is named', () => {
  assert.equal(beyond([{ role: 'operator' }], superGrants), undefined);
  assert.equal(beyond([{ role: 'viewer' }, { role: 'super' }], [{ role: 'operator' }]), 'super');
  assert.equal(beyond([{ role: 'audit' }], [{ role: 'operator' }]), 'audit');
  assert.equal(beyond([{ role: 'viewer' }], [{ role: 'operator' }]), undefined);
});

test('names that stand for something else are kept free', () => {
  assert.deepEqual(['local', 'steward', 'nobody', 'supervisorctl', 'alice'].map(isReserved), [true, true, true, true, false]);
});
