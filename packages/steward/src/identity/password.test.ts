import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StewardError } from '../errors.ts';
import { createPasswords, currentCost, isOutdated, passwordProblem } from './password.ts';

const cheap = { memory: 64, passes: 1, parallelism: 1 };
const good = 'correct horse battery';

test('a hash made by the reference program of argon2 is read', async () => {
  // From test.c of github.com/P-H-C/phc-winner-argon2.
  const phc = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
  const { verify } = createPasswords(cheap);
  assert.equal(await verify(phc, 'password'), true);
  assert.equal(await verify(phc, 'Password'), false);
});

test('a password opens its own hash alone, and two hashes of it differ', async () => {
  const { hash, verify } = createPasswords(cheap);
  const [one, other] = [await hash(good), await hash(good)];
  assert.notEqual(one, other);
  assert.match(one, /^\$argon2id\$v=19\$m=64,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.equal(await verify(one, good), true);
  assert.equal(await verify(one, `${good} `), false);
  assert.equal(await verify(undefined, good), false);
  assert.equal(await verify('$2y$10$nonsense', good), false);
});

test('the same letters typed on another keyboard are the same password', async () => {
  const { hash, verify } = createPasswords(cheap);
  assert.equal(await verify(await hash('ｐａｓｓ phrase é'), 'pass phrase e\u0301'), true);
});

test('a hash of other costs is to be renewed', async () => {
  const phc = await createPasswords(cheap).hash(good);
  assert.deepEqual([isOutdated(phc, cheap), isOutdated(phc), isOutdated('nonsense')], [false, true, true]);
  assert.ok(currentCost.memory >= 19 * 1024 && currentCost.passes >= 2, 'at least what OWASP asks for');
});

test('more than a few logins at once are refused in words, and the others done', async () => {
  const { hash } = createPasswords(cheap);
  const results = await Promise.allSettled(Array.from({ length: 30 }, () => hash(good)));
  const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as StewardError] : []));
  assert.equal(refused.length, 30 - 18);
  assert.ok(refused.every((error) => error instanceof StewardError && error.code === 'identity/busy' && error.status === 503));
  await hash(good); // and it goes on
});

test('length counts, kinds of characters do not', () => {
  assert.equal(passwordProblem('aaaaaaaaaaaa', 'bob'), undefined);
  assert.equal(passwordProblem('密码密码密码密码密码密码', 'bob'), undefined);
  assert.match(passwordProblem('Sh0rt!Pass1', 'bob') ?? '', /at least 12/);
  assert.match(passwordProblem('密'.repeat(86), 'bob') ?? '', /at most 256 bytes/);
  assert.match(passwordProblem('Steward.Admin', 'steward.admin') ?? '', /name/);
});
