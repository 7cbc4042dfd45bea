import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { StewardError } from '../errors.ts';
import { openStore, type Store } from '../store/store.ts';
import { createIdentity, type Identity, may, personOf, publicId, whole } from './identity.ts';
import { hotp, stepAt } from './totp.ts';

const password = 'a long enough password';
const here = { address: '10.0.0.1', agent: 'test' };
const elsewhere = { address: '10.9.9.9', agent: 'test' };
const minute = 60_000;

interface Stage {
  identity: Identity;
  readonly store: Store;
  readonly file: string;
  nowMs: number;
  /** As if the daemon had ended and another one started. */
  restart(): void;
  /** Whether the disk takes writes. */
  full: boolean;
}

function stageOf(t: TestContext): Stage {
  const folder = mkdtempSync(join(tmpdir(), 'steward-identity-'));
  const file = join(folder, 'state.db');
  const open = openStore(file, (error) => assert.fail(error.message));
  t.after(() => {
    open.close();
    rmSync(folder, { recursive: true });
  });
  const store: Store = { ...open, run: (sql, ...values) => !stage.full && open.run(sql, ...values) };
  const make = (): Identity => createIdentity({ store, secretKey: 'key', issuer: 'test', now: () => stage.nowMs });
  const stage: Stage = {
    identity: undefined as unknown as Identity,
    store: open,
    file,
    nowMs: Date.UTC(2026, 10, 21),
    full: false,
    restart() {
      stage.identity = make();
    },
  };
  stage.restart();
  return stage;
}

async function withPerson(t: TestContext, name = 'ada', role: 'super' | 'operator' | 'viewer' = 'super'): Promise<Stage> {
  const stage = stageOf(t);
  await addPerson(stage, name, role);
  return stage;
}

async function addPerson({ identity }: Stage, name: string, role: 'super' | 'operator' | 'viewer'): Promise<string> {
  const { code } = identity.people.create(name, [{ role }], 'local');
  const { session } = await identity.redeem({ code, password }, here);
  return session;
}

const refusal =
  (code: string, words = /./) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof StewardError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, words);
    return true;
  };

const login = ({ identity }: Stage, given: Partial<{ name: string; password: string; totp: string }> = {}, from = here) =>
  identity.login({ name: 'ada', password, ...given }, from);

test('a one-time code sets the password once, within a day', async (t) => {
  const stage = stageOf(t);
  const { identity } = stage;
  const { code, person } = identity.people.create('ada', [{ role: 'super' }], 'local');
  assert.deepEqual([person.hasPassword, person.madeBy, person.grants], [false, 'local', [{ role: 'super' }]]);
  await assert.rejects(login(stage), refusal('identity/wrong'));
  await assert.rejects(identity.redeem({ code: `${code}x`, password }, here), refusal('identity/wrong-code'));
  await assert.rejects(identity.redeem({ code, password: 'short' }, here), refusal('identity/password', /at least 12/));
  const answer = await identity.redeem({ code, password }, here);
  assert.equal(answer.name, 'ada');
  await assert.rejects(identity.redeem({ code, password }, here), refusal('identity/wrong-code'));
  await login(stage);

  const late = identity.people.create('bob', [{ role: 'viewer' }], 'ada');
  stage.nowMs += 24 * 60 * minute;
  await assert.rejects(identity.redeem({ code: late.code, password }, here), refusal('identity/wrong-code'));
});

test('an unknown name, a wrong password and a disabled person are refused in the same words', async (t) => {
  const stage = await withPerson(t);
  await addPerson(stage, 'bob', 'viewer');
  stage.identity.people.update('bob', { disabled: true });
  const told = await Promise.all(
    [{ name: 'nobody-here' }, { password: 'another long password' }, { name: 'bob' }].map((given) =>
      login(stage, given).then(
        () => 'let in',
        ({ code, message, hint, status }: StewardError) => JSON.stringify([code, message, hint, status]),
      ),
    ),
  );
  assert.equal(new Set(told).size, 1, told.join('\n'));
  assert.match(told[0] ?? '', /identity\/wrong/);
});

test('a name is found however its letters are typed', async (t) => {
  const stage = await withPerson(t);
  assert.equal((await login(stage, { name: ' Ada ' })).name, 'ada');
});

test('a session is known by its id until it idles, ends, or the person is disabled', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  const { session, csrf } = await login(stage);
  const known = identity.identify({ sessionId: session });
  assert.deepEqual(known?.subject, { kind: 'person', name: 'ada', grants: [{ role: 'super' }] });
  assert.equal(identity.csrfFits(session, csrf), true);
  assert.equal(identity.csrfFits(session, `${csrf}x`), false);
  const other = await login(stage);
  assert.equal(identity.csrfFits(other.session, csrf), false, 'bound to its session');
  assert.equal(identity.identify({ sessionId: `${session}x` }), undefined);
  assert.equal(identity.identify({}), undefined);

  for (let used = 0; used < 3; used++) {
    stage.nowMs += 29 * minute;
    assert.ok(identity.identify({ sessionId: session }), 'used often enough');
  }
  assert.equal(identity.identify({ sessionId: other.session }), undefined, 'idle for more than 30 minutes');
  for (let used = 0; used < 14; used++) {
    stage.nowMs += 29 * minute;
    identity.identify({ sessionId: session });
  }
  assert.equal(identity.identify({ sessionId: session }), undefined, 'older than 8 hours');
});

test('sessions outlive the daemon, and what a browser sends is in no file', async (t) => {
  const stage = await withPerson(t);
  const { session } = await login(stage);
  const { secret } = stage.identity.tokens.create(stage.identity.people.get('ada'), { name: 'deploy' });
  const { code } = stage.identity.people.create('bob', [{ role: 'viewer' }], 'ada');
  stage.restart();
  assert.ok(stage.identity.identify({ sessionId: session }));
  assert.ok(stage.identity.identify({ token: secret }));
  const db = new DatabaseSync(stage.file, { readOnly: true });
  const text = JSON.stringify(db.prepare('select * from identity').all());
  db.close();
  for (const shown of [session, secret, code, password]) assert.ok(!text.includes(shown), 'a secret is in the file');
  assert.match(text, /argon2id/);
});

test('a request of a session or a token writes nothing more than once a minute', async (t) => {
  const stage = await withPerson(t);
  const { session } = await login(stage);
  const { secret } = stage.identity.tokens.create(stage.identity.people.get('ada'), { name: 'deploy' });
  stage.identity.identify({ token: secret });
  const changes = (): number => (stage.store.all<{ n: number }>('select total_changes() as n')[0]?.n ?? 0) as number;
  const before = changes();
  for (let asked = 0; asked < 1000; asked++) {
    stage.identity.identify({ sessionId: session });
    stage.identity.identify({ token: secret });
  }
  assert.equal(changes(), before);
  stage.nowMs += minute;
  for (let asked = 0; asked < 1000; asked++) {
    stage.identity.identify({ sessionId: session });
    stage.identity.identify({ token: secret });
  }
  assert.equal(changes(), before + 2);
});

test('a changed password ends all sessions but the new one', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  const [one, two] = [await login(stage), await login(stage)];
  const newPassword = 'another long password';
  await assert.rejects(identity.changePassword('ada', { password: newPassword, newPassword }, here), refusal('identity/wrong'));
  const next = await identity.changePassword('ada', { password, newPassword }, here);
  assert.deepEqual(
    [one, two, next].map(({ session }) => identity.identify({ sessionId: session }) !== undefined),
    [false, false, true],
  );
  await assert.rejects(login(stage), refusal('identity/wrong'));
  await login(stage, { password: newPassword });
});

test('sessions are listed, and ended one by one or all', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  identity.sessions.endAll('ada');
  const made: string[] = [];
  for (let index = 0; index < 3; index++) {
    stage.nowMs += 1;
    made.push((await login(stage)).session);
  }
  const listed = identity.sessions.list('ada');
  assert.equal(listed.length, 3);
  assert.ok(!made.includes(publicId(listed[0] as (typeof listed)[number])), 'a list opens nothing');
  identity.sessions.end(listed[0] as (typeof listed)[number]);
  assert.deepEqual(
    made.map((sessionId) => identity.identify({ sessionId }) !== undefined),
    [true, true, false],
  );
  assert.equal(identity.sessions.endAll('ada').ended, 2);
  assert.equal(identity.sessions.list('ada').length, 0);
});

test('one person has a bounded number of sessions: the oldest end', async (t) => {
  const stage = await withPerson(t);
  const made: string[] = [];
  for (let index = 0; index < 22; index++) {
    stage.nowMs += 1;
    made.push((await login(stage)).session);
  }
  assert.equal(stage.identity.sessions.list('ada').length, 20);
  assert.equal(stage.identity.identify({ sessionId: made[0] as string }), undefined);
  assert.ok(stage.identity.identify({ sessionId: made[21] as string }));
});

test('a second factor is asked for after the right password alone, and each code is taken once', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  const begun = await identity.beginSecondFactor('ada', password, here);
  assert.match(begun.uri, /^otpauth:\/\/totp\//);
  const secret = base32Bytes(begun.secret);
  const code = (): string => hotp(secret, stepAt(stage.nowMs));
  await login(stage); // not before it is confirmed
  assert.throws(() => identity.confirmSecondFactor('ada', '000000'), refusal('identity/wrong-code'));
  const { recoveryCodes } = identity.confirmSecondFactor('ada', code());
  assert.equal(new Set(recoveryCodes).size, 10);

  await assert.rejects(login(stage), refusal('identity/second-factor'));
  await assert.rejects(login(stage, { password: 'another long password' }), refusal('identity/wrong'));
  await assert.rejects(login(stage, { password: 'another long password', totp: code() }), refusal('identity/wrong'));
  await assert.rejects(login(stage, { totp: code() }), refusal('identity/wrong-code'), 'the code of the confirmation was used');
  stage.nowMs += 30_000;
  await login(stage, { totp: code() });
  await assert.rejects(login(stage, { totp: code() }), refusal('identity/wrong-code'));
  const [first = '', second = ''] = recoveryCodes;
  await login(stage, { totp: ` ${first.toUpperCase().replaceAll('-', ' ')}` });
  await assert.rejects(login(stage, { totp: first }), refusal('identity/wrong-code'));

  stage.restart();
  await assert.rejects(login(stage, { totp: first }), refusal('identity/wrong-code'), 'nor by another daemon');
  await assert.rejects(stage.identity.removeSecondFactor('ada', { password, totp: '000000' }, here), refusal('identity/wrong-code'));
  await stage.identity.removeSecondFactor('ada', { password, totp: second }, here);
  await login(stage);
});

/** The inverse of what is shown. */
function base32Bytes(text: string): Buffer {
  const bits = [...text].map((char) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(char).toString(2).padStart(5, '0')).join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
}

test('who keeps guessing waits, and does not keep the owner out', async (t) => {
  const stage = await withPerson(t); // logged in from `here` before
  const guess = (from = elsewhere) => login(stage, { password: 'wrong wrong wrong' }, from).catch((error: StewardError) => error.code);
  const codes: unknown[] = [];
  for (let index = 0; index < 12; index++) codes.push(await guess());
  assert.deepEqual(codes, [...Array(8).fill('identity/wrong'), ...Array(4).fill('identity/wait')]);
  await assert.rejects(login(stage, {}, elsewhere), refusal('identity/wait', /in \d+ s/), 'not even the right password is looked at');
  await login(stage); // the owner, at home

  for (let index = 0; index < 40; index++) await guess({ address: `10.1.${index}.1`, agent: '' });
  await assert.rejects(
    login(stage, {}, { address: '10.2.0.1', agent: '' }),
    refusal('identity/wait'),
    'many addresses: the name waits too',
  );
  await login(stage); // but not where the owner has been
  stage.nowMs += minute;
  await login(stage, {}, { address: '10.2.0.1', agent: '' });
});

test('an unknown name is made to wait like a known one', async (t) => {
  const stage = await withPerson(t);
  const codesFor = async (name: string): Promise<unknown[]> => {
    const codes: unknown[] = [];
    for (let index = 0; index < 14; index++)
      codes.push(
        await login(stage, { name, password: 'wrong wrong wrong' }, { address: `10.3.${index}.1`, agent: '' }).catch(
          (e: StewardError) => e.code,
        ),
      );
    return codes;
  };
  assert.deepEqual(await codesFor('ada'), await codesFor('stranger'));
});

test('failures of a name are remembered over a restart', async (t) => {
  const stage = await withPerson(t);
  for (let index = 0; index < 10; index++)
    await login(stage, { password: 'wrong wrong wrong' }, { address: `10.4.${index}.1`, agent: '' }).catch(() => {});
  stage.restart();
  await assert.rejects(login(stage, {}, elsewhere), refusal('identity/wait'));
});

test('logins sent all at once are counted before the first is looked at', async (t) => {
  const stage = await withPerson(t);
  const results = await Promise.all(
    Array.from({ length: 16 }, () => login(stage, { password: 'wrong wrong wrong' }, elsewhere).catch((error: StewardError) => error.code)),
  );
  assert.equal(results.filter((code) => code === 'identity/wrong').length, 8);
});

test('a token may no more than it was given, nor than its maker may now', async (t) => {
  const stage = await withPerson(t, 'bob', 'operator');
  const { identity } = stage;
  const bob = identity.people.get('bob');
  assert.throws(() => identity.tokens.create(bob, { name: 'x', grants: [{ role: 'super' }] }), refusal('identity/beyond', /super/));
  const { secret } = identity.tokens.create(bob, { name: 'deploy', grants: [{ role: 'operator', on: ['service:web'] }] });
  assert.match(secret, /^stw_[0-9A-Za-z]{49}$/);
  const subject = () => identity.identify({ token: secret })?.subject ?? assert.fail('not known');
  const web = { kind: 'service', service: 'web', group: 'web' } as const;
  const db = { kind: 'service', service: 'db', group: 'db' } as const;
  assert.equal(subject().name, 'bob/deploy');
  assert.equal(personOf(subject()), 'bob');
  assert.deepEqual([may(subject(), 'operate', web), may(subject(), 'operate', db), may(subject(), 'operate', whole)], [true, false, false]);
  identity.people.update('bob', { grants: [{ role: 'viewer' }] });
  assert.deepEqual([may(subject(), 'operate', web), may(subject(), 'read', web)], [false, true]);
  identity.people.update('bob', { disabled: true });
  assert.equal(identity.identify({ token: secret }), undefined);
  identity.people.update('bob', { disabled: false });
  assert.ok(identity.identify({ token: secret }));
});

test('a token expires after ninety days, when it says, or never when that is asked for', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  const ada = identity.people.get('ada');
  const day = 24 * 60 * minute;
  const [standard, short, never] = [undefined, 1, null].map(
    (expiresInDays, index) => identity.tokens.create(ada, { name: `t${index}`, expiresInDays }).secret,
  );
  const good = (): boolean[] => [standard, short, never].map((token) => identity.identify({ token }) !== undefined);
  assert.deepEqual(good(), [true, true, true]);
  stage.nowMs += day;
  assert.deepEqual(good(), [true, false, true]);
  stage.nowMs += 89 * day;
  assert.deepEqual(good(), [false, false, true]);
});

test('a token is taken back at once, and anything that is no token is not looked up', async (t) => {
  const { identity } = await withPerson(t);
  const { token, secret } = identity.tokens.create(identity.people.get('ada'), { name: 'deploy' });
  assert.equal(identity.identify({ token: `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}` }), undefined);
  for (const text of ['', 'stw_', 'x'.repeat(500), secret.slice(4)]) assert.equal(identity.identify({ token: text }), undefined);
  assert.throws(() => identity.tokens.create(identity.people.get('ada'), { name: 'deploy' }), refusal('identity/exists'));
  identity.tokens.revoke(token);
  assert.equal(identity.identify({ token: secret }), undefined);
});

test('a reset takes password, second factor and sessions for a new code', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  const { session } = await login(stage);
  const { code, person } = identity.people.reset('ada');
  assert.deepEqual([person.hasPassword, person.sessions], [false, 0]);
  assert.equal(identity.identify({ sessionId: session }), undefined);
  await assert.rejects(login(stage), refusal('identity/wrong'));
  await identity.redeem({ code, password: 'another long password' }, here);
  await login(stage, { password: 'another long password' });
});

test('the last super admin is neither removed, disabled nor given other roles', async (t) => {
  const stage = await withPerson(t);
  const { people } = stage.identity;
  people.create('eve', [{ role: 'super' }], 'ada'); // has no password yet
  assert.throws(() => people.remove('ada'), refusal('identity/last-super', /ada is the last/));
  assert.throws(() => people.update('ada', { disabled: true }), refusal('identity/last-super'));
  assert.throws(() => people.update('ada', { grants: [{ role: 'viewer' }] }), refusal('identity/last-super'));
  await stage.identity.redeem({ code: people.reset('eve').code, password }, here);
  people.remove('ada');
  assert.throws(() => people.get('ada'), refusal('identity/unknown'));
  assert.equal(stage.identity.sessions.list('ada').length, 0);
});

test('roles that do not go together, and names that cannot be, are refused', (t) => {
  const { people } = stageOf(t).identity;
  assert.throws(() => people.create('bob', [{ role: 'audit' }, { role: 'operator' }], 'local'), refusal('identity/roles'));
  for (const name of ['Bob', '1bob', 'b b', '../x', 'x'.repeat(33), 'local', ''])
    assert.throws(() => people.create(name, [{ role: 'viewer' }], 'local'), refusal('identity/name'), name);
  people.create('bob', [{ role: 'audit' }, { role: 'viewer' }], 'local');
  assert.throws(() => people.create('bob', [{ role: 'viewer' }], 'local'), refusal('identity/exists'));
  assert.throws(() => people.update('bob', { grants: [{ role: 'audit' }, { role: 'super' }] }), refusal('identity/roles'));
});

test('on a full disk people still log in, and what cannot be kept is told', async (t) => {
  const stage = await withPerson(t);
  const { identity } = stage;
  stage.full = true;
  const { session } = await login(stage);
  assert.ok(identity.identify({ sessionId: session }));
  assert.throws(() => identity.people.create('bob', [{ role: 'viewer' }], 'ada'), refusal('identity/not-kept', /was not added/));
  assert.throws(() => identity.people.get('bob'), refusal('identity/unknown'));
  assert.throws(() => identity.tokens.create(identity.people.get('ada'), { name: 'x' }), refusal('identity/not-kept'));
  await assert.rejects(login(stage, { password: 'wrong wrong wrong' }), refusal('identity/wrong'));
  stage.full = false;
  await login(stage);
  stage.restart();
  assert.ok(stage.identity.identify({ sessionId: session }), 'written with the next that could be');
});
