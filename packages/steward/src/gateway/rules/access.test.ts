import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { AccessSpec } from '../../config/model.ts';
import { requestOf } from '../testing-request.ts';
import { type AccessOutcome, accessAfterAsking, accessFor, checkAccess, compileAccess, parseBasic } from './access.ts';
import { createPasswordCheck, parseUsers } from './password-check.ts';
import { createScope } from './variables.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-access-'));
const users = join(folder, 'users');
// `joe:pw`, as `htpasswd -nbs`, `-nbm` (ann) and `-nbB` (bea) write it.
writeFileSync(
  users,
  [
    '# people',
    'joe:{SHA}GpHWL3ymc5liWkNopqtdSjuqYHM=:a comment',
    'ann:$apr1$CXkXtHMs$1/wokdlNFoE6YqkivIsen/',
    'bea:$2y$05$4O/zG8f1L8acvoBtDQWc8O/VOyvSQYWEu8aofj1q5rN.FQ6lf5AAG',
    'old:yTeNXbhsNLAvI',
    '',
  ].join('\n'),
);
const lines: string[] = [];
const clock = { ms: 0 };
const passwords = createPasswordCheck({ log: (line) => lines.push(line), now: () => clock.ms });
after(() => {
  passwords.stop();
  rmSync(folder, { recursive: true });
});

const scope = createScope([], ['who'], []);
const basic = { realm: 'A "q"', users };
const denyAll = { allow: false, who: 'all' };
const allowTen = { allow: true, who: '10.0.0.0/8' };
const ask = { uri: '/auth?u=$arg_u', set: { who: '$upstream_http_x_user' } };

const bearing = (name: string, password: string): string => `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
const joe = bearing('joe', 'pw');

async function decide(spec: Partial<AccessSpec>, address: string, authorization = '', url = '/'): Promise<AccessOutcome> {
  const access = compileAccess({ satisfy: 'all', rules: [], ...spec }, scope);
  if (access === undefined) return { kind: 'allowed' };
  return checkAccess(access, requestOf({ remoteAddress: address, headers: { authorization }, url }), passwords);
}

const word = (outcome: AccessOutcome): string | number =>
  outcome.kind === 'refused' ? outcome.status : outcome.kind === 'ask' ? `ask, else ${outcome.before?.status ?? 'in'}` : outcome.kind;

/** Seen with nginx 1.22: [what is asked, address, authorization, outcome]. */
test('addresses and passwords let in as in nginx, all of them or one', async () => {
  const table: [Partial<AccessSpec>, string, string, string | number][] = [
    [{ rules: [allowTen, denyAll] }, '10.1.2.3', '', 'allowed'],
    [{ rules: [allowTen, denyAll] }, '127.0.0.1', '', 403],
    [{ rules: [allowTen] }, '127.0.0.1', '', 'allowed'],
    [{ rules: [{ allow: false, who: '::1' }] }, '::1', '', 403],
    [{ rules: [{ allow: true, who: 'unix:' }, denyAll] }, 'unix:', '', 'allowed'],
    [{ rules: [allowTen, denyAll] }, '::ffff:10.0.0.9', '', 'allowed'],
    [{ basic }, '127.0.0.1', '', 401],
    [{ basic }, '127.0.0.1', joe, 'allowed'],
    [{ basic }, '127.0.0.1', bearing('joe', 'no'), 401],
    [{ basic }, '127.0.0.1', bearing('nobody', 'pw'), 401],
    [{ basic }, '127.0.0.1', joe.replace('Basic ', 'bAsIc   '), 'allowed'],
    [{ basic }, '127.0.0.1', 'Basic am9l', 401],
    [{ basic }, '127.0.0.1', 'Bearer x', 401],
    [{ basic: { realm: 'off', users } }, '127.0.0.1', '', 'allowed'],
    [{ basic: { realm: 'A', users: join(folder, 'none') } }, '127.0.0.1', joe, 403],
    [{ basic: { realm: 'A', users: join(folder, 'none') } }, '127.0.0.1', '', 401],
    [{ basic: { realm: 'A', users: folder } }, '127.0.0.1', joe, 500],
    [{ rules: [allowTen, denyAll], basic }, '127.0.0.1', joe, 403],
    [{ rules: [allowTen, denyAll], basic }, '10.0.0.1', '', 401],
    [{ rules: [allowTen, denyAll], basic }, '10.0.0.1', joe, 'allowed'],
    [{ satisfy: 'any', rules: [allowTen, denyAll], basic }, '10.0.0.1', '', 'allowed'],
    [{ satisfy: 'any', rules: [allowTen, denyAll], basic }, '127.0.0.1', '', 401],
    [{ satisfy: 'any', rules: [allowTen, denyAll], basic }, '127.0.0.1', joe, 'allowed'],
    [{ satisfy: 'any', rules: [allowTen], basic }, '127.0.0.1', '', 401],
    [{ satisfy: 'any', rules: [denyAll] }, '127.0.0.1', '', 403],
    [{ satisfy: 'any', rules: [denyAll], request: ask }, '127.0.0.1', '', 'ask, else 403'],
    [{ satisfy: 'any', rules: [denyAll], basic, request: ask }, '127.0.0.1', '', 'ask, else 401'],
    [{ satisfy: 'any', rules: [denyAll], basic, request: ask }, '127.0.0.1', joe, 'allowed'],
    [{ rules: [allowTen, denyAll], basic, request: ask }, '10.0.0.1', joe, 'ask, else in'],
    [{ rules: [denyAll], request: ask }, '10.0.0.1', '', 403],
    [{}, '127.0.0.1', '', 'allowed'],
  ];
  for (const [spec, address, authorization, outcome] of table) {
    assert.equal(word(await decide(spec, address, authorization)), outcome, JSON.stringify([spec, address, authorization]));
  }
});

test('a refusal asks for a name and password', async () => {
  const outcome = await decide({ basic }, '10.0.0.1');
  assert.deepEqual(outcome, { kind: 'refused', status: 401, headers: ['www-authenticate', 'Basic realm="A \\"q\\""'] });
});

test('the request within decides last, and its answer sets variables', async () => {
  const after = (satisfy: 'all' | 'any', before: 401 | 403 | undefined, status: number) => {
    const access = compileAccess({ satisfy, rules: [], request: ask }, scope);
    assert.ok(access);
    const request = requestOf({ received: { 'x-user': 'bob' } });
    const refusal = before === undefined ? undefined : ({ kind: 'refused', status: before, headers: [] } as const);
    const outcome = accessAfterAsking(access, request, refusal, status, ['Bearer']);
    assert.equal(request.vars?.values[scope.slots.get('who') ?? -1], 'bob');
    return word(outcome);
  };
  assert.equal(after('all', undefined, 204), 'allowed');
  assert.equal(after('all', undefined, 403), 403);
  assert.equal(after('all', undefined, 401), 401);
  assert.equal(after('all', undefined, 302), 500);
  assert.equal(after('any', 403, 200), 'allowed');
  assert.equal(after('any', 403, 403), 403);
  assert.equal(after('any', 401, 403), 401);
  assert.equal(after('any', 403, 401), 401);
  const asked = await decide({ request: ask }, '10.0.0.1', '', '/?u=7');
  assert.deepEqual(asked, { kind: 'ask', uri: '/auth?u=7', before: undefined });
});

test('slow hashes are worked out beside the loop, once a minute; broken ones are told', async () => {
  let turns = 0;
  const turning = setInterval(() => turns++, 1);
  const first = passwords.check(users, 'bea', 'pa ss:wörd');
  assert.ok(first instanceof Promise);
  assert.equal(await first, 'right');
  clearInterval(turning);
  assert.ok(turns > 0);
  assert.equal(passwords.check(users, 'bea', 'pa ss:wörd'), 'right');
  assert.equal(await passwords.check(users, 'bea', 'other'), 'wrong');
  assert.equal(await passwords.check(users, 'ann', 'pa ss:wörd'), 'right');
  clock.ms += 60_001;
  const again = passwords.check(users, 'bea', 'pa ss:wörd');
  assert.ok(again instanceof Promise);
  assert.equal(await again, 'right');
  assert.equal(passwords.check(users, 'old', 'pass'), 'wrong');
  assert.match(lines.join('\n'), /users: the password of "old" is not taken: it is a DES hash/);
});

test('a file is read again when it changed, at most once a second', () => {
  const file = join(folder, 'changing');
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  write('a:{PLAIN}1\n');
  assert.equal(passwords.check(file, 'a', '1'), 'right');
  write('a:{PLAIN}2\n');
  assert.equal(passwords.check(file, 'a', '1'), 'right');
  clock.ms += 1000;
  assert.equal(passwords.check(file, 'a', '1'), 'wrong');
  assert.equal(passwords.check(file, 'a', '2'), 'right');
  rmSync(file);
  clock.ms += 1000;
  assert.equal(passwords.check(file, 'a', '2'), 'no-file');
});

test('more slow questions than can be answered soon are refused', async () => {
  const answers = await Promise.all(Array.from({ length: 80 }, (_, n) => passwords.check(users, 'bea', `wrong ${n}`)));
  assert.deepEqual(new Set(answers), new Set(['wrong', 'busy']));
  assert.equal(answers.filter((answer) => answer === 'busy').length, 16);
});

test('users and Authorization headers are read', () => {
  assert.deepEqual(
    [...parseUsers('a:x\r\n#b:y\nc\n:d\ne:f:g\na:z')],
    [
      ['a', 'x'],
      ['e', 'f'],
    ],
  );
  assert.deepEqual(parseBasic(bearing('a', 'b:c')), { name: 'a', password: 'b:c' });
  assert.equal(parseBasic(bearing('', 'b')), undefined);
});

test('rules for other methods take the place of the rules of the route', () => {
  const access = compileAccess({ satisfy: 'all', rules: [allowTen] }, scope);
  const except = compileAccess({ satisfy: 'all', rules: [denyAll] }, scope);
  const route = { access, accessExcept: { methods: new Set(['GET', 'HEAD']), access: except } };
  assert.equal(accessFor(route, 'HEAD'), access);
  assert.equal(accessFor(route, 'POST'), except);
  assert.equal(accessFor({ access, accessExcept: undefined }, 'POST'), access);
});
