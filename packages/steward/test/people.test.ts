/** People, tokens and the audit trail, as somebody at the machine uses them. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Client, createClient, RequestRefused } from '@steward/sdk/client';
import type { AuditVerdict, ListedAuditEntry } from '@steward/sdk/contract/audit';
import type { Invitation, PersonInfo } from '@steward/sdk/contract/people';
import { isRunning, kill, launcher, newPlace, type Place, repository, until } from './harness.ts';

const password = 'a long enough password';
const services = 'services:\n  web: {run: sleep 1000}\n';
const clientOf = ({ state }: Place): Client => createClient({ socketPath: join(state, 'control.sock') });
const trailOf = async (place: Place, ...words: string[]): Promise<ListedAuditEntry[]> =>
  (JSON.parse(await place.ok('audit', '--json', ...words)) as { entries: ListedAuditEntry[] }).entries;

/** Runs a command with something to read. */
function fed({ state, folder }: Place, input: string, ...words: string[]): Promise<{ code: number | null; out: string }> {
  return new Promise((resolve) => {
    const child = spawn(launcher, words, { cwd: folder, env: { ...process.env, STEWARD_STATE: state, NO_COLOR: '1' } });
    let out = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (out += chunk));
    child.once('close', (code) => resolve({ code, out }));
    child.stdin.end(input);
  });
}

const refused = (code: string) => (error: unknown) => {
  assert.ok(error instanceof RequestRefused, String(error));
  assert.equal(error.code, code);
  return true;
};

test('the first admin is made at the machine, sets a password by a one-time code, and logs in', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  assert.match(await place.ok('user', 'list'), /nobody is here yet/);
  const text = await place.ok('admin', 'create', 'ada');
  const code = /^ {2}(\S{43})$/m.exec(text)?.[1] ?? assert.fail(text);
  const client = clientOf(place);
  await assert.rejects(client.login({ body: { name: 'ada', password } }), refused('identity/wrong'));
  assert.match((await fed(place, `${code}\nshort\n`, 'user', 'redeem')).out, /at least 12 characters/);
  const redeemed = await fed(place, `${code}\n${password}\n`, 'user', 'redeem');
  assert.deepEqual([redeemed.code, redeemed.out.trim()], [0, 'ada has a password now']);
  assert.equal((await fed(place, `${code}\n${password}\n`, 'user', 'redeem')).code, 2);

  const { name, grants } = await client.login({ body: { name: 'ada', password } });
  assert.deepEqual([name, grants], ['ada', [{ role: 'super' }]]);
  assert.match(await place.ok('session', 'list'), /ada/);
  assert.match(await place.ok('session', 'revoke', '--for', 'ada'), /1 session ended/);
  assert.match(await place.ok('session', 'list'), /nobody is logged in/);

  for (const words of [
    ['user', 'rm', 'ada'],
    ['user', 'disable', 'ada'],
    ['user', 'roles', 'ada', 'viewer'],
  ])
    assert.match((await place.steward(...words)).err, /last super admin who can log in.*identity\/last-super/s);
});

test('people get roles, are disabled, reset and removed', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  const added = JSON.parse(await place.ok('user', 'add', 'bob', 'operator@service:web', 'viewer', '--json')) as Invitation;
  assert.deepEqual(added.person.grants, [{ role: 'operator', on: ['service:web'] }, { role: 'viewer' }]);
  assert.match((await place.steward('user', 'add', 'eve', 'audit', 'operator')).err, /cannot have both.*identity\/roles/s);
  assert.match((await place.steward('user', 'add', 'eve', 'operater')).err, /no role "operater".*Did you mean "operator"/s);
  const people = async () => (JSON.parse(await place.ok('user', 'list', '--json')) as { people: PersonInfo[] }).people;
  await place.ok('user', 'roles', 'bob', 'viewer');
  await place.ok('user', 'disable', 'bob');
  assert.deepEqual(
    (await people()).map(({ name, grants, disabled }) => [name, grants, disabled]),
    [['bob', [{ role: 'viewer' }], true]],
  );
  assert.match(await place.ok('user', 'reset', 'bob'), /one-time code/);
  await place.ok('user', 'rm', 'bob');
  assert.deepEqual(await people(), []);
  assert.equal((await place.steward('user', 'rm', 'bob')).code, 2);
});

test('tokens are made for somebody, shown once, listed and taken back', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  await place.ok('user', 'add', 'bob', 'operator');
  assert.match((await place.steward('token', 'create', 'deploy')).err, /control socket is no person/);
  const secret = (await place.ok('token', 'create', 'deploy', 'operator@service:web', '--for', 'bob')).trim();
  assert.match(secret, /^stw_[0-9A-Za-z]{49}$/);
  await place.ok('token', 'create', 'forever', '--for', 'bob', '--no-expiry');
  assert.match((await place.steward('token', 'create', 'more', 'super', '--for', 'bob')).err, /identity\/beyond/);
  const { tokens } = JSON.parse(await place.ok('token', 'list', '--json')) as {
    tokens: { id: string; name: string; expiresAt: string | null }[];
  };
  assert.deepEqual(tokens.map(({ name, expiresAt }) => [name, expiresAt === null]).sort(), [
    ['deploy', false],
    ['forever', true],
  ]);
  await place.ok('token', 'rm', tokens[0]?.id ?? '');
  assert.match(await place.ok('token', 'list', '--for', 'bob'), /bob/);
  for (const file of ['state.db', 'state.db-wal', 'daemon.log'])
    assert.ok(!readFileSync(join(place.state, file), 'latin1').includes(secret), `the token stands in ${file}`);
});

test('what was done stands in the trail with its outcome, and no secret does', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  const { code } = JSON.parse(await place.ok('admin', 'create', 'ada', '--json')) as Invitation;
  const client = clientOf(place);
  await client.redeemInvitation({ body: { code, password } });
  await assert.rejects(client.login({ body: { name: 'ada', password: 'wrong wrong wrong' } }));
  await place.ok('stop', 'web');
  await assert.rejects(client.createPerson({ body: { name: 'bob', grants: [{ role: 'audit' }, { role: 'super' }] } }));
  const trail = await trailOf(place);
  const found = trail.map(({ action, result, object }) => `${action} ${object} ${result}`);
  for (const line of [
    'createAdmin ada done',
    'redeemInvitation ada done',
    'login ada refused',
    'stopInstances web done',
    'createPerson bob refused',
  ])
    assert.ok(found.includes(line), `${line} is not in\n${found.join('\n')}`);
  assert.ok(
    trail.every(({ result }) => result !== 'begun'),
    'what is over is shown once',
  );
  assert.match(trail.find(({ action, result }) => action === 'createPerson' && result === 'refused')?.reason ?? '', /cannot have both/);
  const everything = JSON.stringify(await trailOf(place, '--all'));
  for (const secret of [code, password, 'wrong wrong wrong']) assert.ok(!everything.includes(secret));
  assert.match(everything, /"result":"begun"/);
  assert.match(await place.ok('audit', '--who', trail[0]?.who ?? '', '--action', 'stopInstances', '-n', '1'), /stopInstances +done +web/);
});

test('a daemon killed while it works leaves a trail that is whole, and what it had begun', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  const client = clientOf(place);
  for (let round = 0; round < 3; round++) {
    const pid = await place.daemonPid();
    let asked = 0;
    const busy = (async () => {
      for (;;) {
        asked++;
        await client.signalInstances({ body: { names: ['web'], signal: 'CONT' } });
      }
    })().catch(() => {});
    await until('some requests', () => asked > 20 + 7 * round);
    kill(pid);
    await busy;
    await until('its end', () => !isRunning(pid));
    const offline = JSON.parse(await place.ok('audit', 'verify', '--json', '--file', join(place.state, 'state.db'))) as AuditVerdict;
    assert.equal(offline.whole, true, offline.why ?? '');
    assert.ok(offline.entries > 20, String(offline.entries));
    await place.ok('up', '-d');
  }
  assert.match(await place.ok('audit', 'verify'), /the audit trail is whole: \d+ entries\nhead \d+:[0-9a-f]{64}/);
});

test('an export is verified by Steward, and by the few lines of Python in its manual', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  await place.ok('user', 'add', 'bob', 'viewer');
  await place.ok('stop', 'web');
  const file = join(place.folder, 'audit.ndjson');
  const { err } = await place.steward('audit', 'export', '-o', file);
  const head = /head (\d+:[0-9a-f]{64})/.exec(err)?.[1] ?? assert.fail(err);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.match(await place.ok('audit', 'verify', '--file', file, '--head', head), new RegExp(`whole.*head ${head}`, 's'));
  assert.match(await place.ok('audit', 'export', '--csv'), /^seq,at,as,who.*"createPerson","bob"/s);

  const manual = readFileSync(join(repository, 'docs/audit.md'), 'utf8');
  const program = /```python\n(.*?)```/s.exec(manual)?.[1] ?? assert.fail('no program in docs/audit.md');
  const byPython = (name: string) => spawnSync('python3', ['-c', program, name], { encoding: 'utf8', timeout: 30_000 });
  assert.equal(byPython(file).stdout.trim(), `whole, head ${head}`);
  const altered = join(place.folder, 'altered.ndjson');
  writeFileSync(altered, readFileSync(file, 'utf8').replace('"bob"', '"eve"'));
  assert.match(byPython(altered).stderr, /broken at entry \d+/);
  const told = await place.steward('audit', 'verify', '--file', altered);
  assert.deepEqual([told.code, /not whole: at entry \d+.*audit\/broken/.test(told.err)], [1, true]);
});
