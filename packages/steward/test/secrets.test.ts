/** Stored secrets, with Steward as a user runs it: they reach those who need them, and nobody else. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { secretFolderFor } from '../src/secrets/secrets.ts';
import { freePort, launcher, newPlace, type Outcome, type Place, repository, until } from './harness.ts';

const isRoot = process.getuid?.() === 0;

/** Runs a command with something on its standard input. */
function withInput(place: Place, input: string | Buffer, ...words: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(launcher, words, {
      cwd: place.folder,
      env: { ...process.env, STEWARD_STATE: place.state, NO_COLOR: '1' },
      timeout: 60_000,
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    child.stdin.on('error', () => {}); // it may have refused before it read
    child.stdin.end(input);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

async function setSecret(place: Place, name: string, value: string | Buffer, ...more: string[]): Promise<string> {
  const { code, out, err } = await withInput(place, value, 'secret', 'set', name, ...more);
  assert.equal(code, 0, out + err);
  return out + err;
}

const pids = async (place: Place): Promise<Record<string, number | undefined>> =>
  Object.fromEntries((await place.ps()).map(({ id, pid }) => [id, pid]));

/** The variable of a process that runs. */
function variableOf(pid: number | undefined, name: string): string | undefined {
  const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
}

const pidOf = async (place: Place, id: string): Promise<number> => (await place.instance(id)).pid ?? assert.fail(`${id} does not run`);

/** All regular files below a folder. */
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((file) => lstatSync(file, { throwIfNoEntry: false })?.isFile());

/** Looks at every command line of the machine until it is stopped; what it saw of `values`. */
function watchCommandLines(t: TestContext, values: readonly string[]): () => string[] {
  const seen = new Set<string>();
  const look = (): void => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      let line = '';
      try {
        line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch {} // it has ended
      for (const value of values) if (line.includes(value)) seen.add(line.replaceAll('\0', ' '));
    }
  };
  const timer = setInterval(look, 5);
  t.after(() => clearInterval(timer));
  return () => {
    look();
    return [...seen];
  };
}

test('a value is found nowhere: not in the state directory, not in what is answered, not on a command line', async (t) => {
  const place = newPlace(t);
  const values = ['first-value-4711', 'second-value-4711', 'binary-\u0001-4711', 'typed-value-4711', 'generated'];
  const commandLines = watchCommandLines(t, values.slice(0, 4));
  place.write(
    'steward.yaml',
    `services:
  web:
    run: [sh, -c, 'echo "it is $KEY" >&2; cat "$KEY_FILE"; exec sleep 1000']
    env: {KEY: "{{secret.key}}"}
    secretFiles: {KEY_FILE: "{{secret.key}}"}
    stdout: {file: ${place.folder}/own.log}
    stderr: stdout
  fails:
    run: [sh, -c, 'echo "cannot use $KEY" >&2; exit 3']
    env: {KEY: "prefix-{{secret.key}}"}
    startRetries: 3
    backoff: {base: 10ms, max: 10ms}
    stderr: {file: ${place.folder}/fails.log}
    stdout: {file: ${place.folder}/fails.out}
`,
  );
  const said: string[] = [await setSecret(place, 'key', `${values[0]}\n`)];
  const tell = async (...words: string[]): Promise<void> => {
    const { out, err } = await place.steward(...words);
    said.push(out + err);
  };
  await tell('up', '-d');
  await until('the program gave up', async () => (await place.instance('fails')).state === 'FATAL');
  said.push(await withInput(place, `${values[1]}\n`, 'secret', 'set', 'key').then(({ out, err }) => out + err));
  await until('it runs with the new value', async () => readFileSync(join(place.folder, 'own.log'), 'utf8').includes(`it is ${values[1]}`));
  await setSecret(place, 'other', values[2] as string, '--raw');
  await setSecret(place, 'made', '', '--generate', '40');
  await tell('secret', 'set', 'key', values[3] as string);
  for (const words of [
    ['ps', '--json'],
    ['plan', '--json'],
    ['check'],
    ['events'],
    ['logs', '--marks'],
    ['logs', '--json'],
    ['secret', 'list', '--json'],
  ])
    await tell(...words);
  const shown = said.join('\n');
  for (const value of values.slice(0, 4)) assert.ok(!shown.includes(value), `${value} was shown`);
  assert.match(shown, /it is \*{8}/, 'a log shows that something was left out');
  assert.match(shown, /cannot use prefix-\*{8}/);
  const runFolder = secretFolderFor(place.state);
  const holding = (): string[] =>
    filesIn(place.state).filter((file) => {
      const held = readFileSync(file, 'latin1');
      return values.slice(0, 4).some((value) => held.includes(value));
    });
  assert.deepEqual(
    holding().filter((file) => !file.startsWith(`${runFolder}/`)),
    [],
  );
  await place.ok('down');
  assert.deepEqual(holding(), [], 'the files of runs are gone with the runs');
  const seen = commandLines();
  assert.deepEqual(
    seen.filter((line) => !line.includes(values[3] as string)),
    [],
  );
  assert.notDeepEqual(seen, [], 'it was looked at all the time: what somebody typed was seen');
});

test('a new value restarts those who use it and nothing else; the same value, or --no-restart, restarts nothing', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  await setSecret(place, 'mail', 'value one');
  const yaml = `services:
  api: {run: sleep 1000, instances: 2, env: {DB: "{{secret.db}}"}}
  file: {run: sleep 1000, secretFiles: {DB_FILE: "user={{service}} password={{secret.db}}"}}
  old: {run: sleep 1000, env: {OLD: "{{secret.db.previous}}"}}
  mailer: {run: sleep 1000, env: {MAIL: "{{secret.mail}}"}}
  plain: {run: sleep 1000, env: {MODE: one}}
`;
  place.write('steward.yaml', yaml);
  await place.ok('up', '-d');
  const first = await pids(place);
  assert.equal(variableOf(first.old, 'OLD'), 'value one', 'without a value before, it is the one in force');
  place.write('steward.yaml', yaml.replace('MODE: one', 'MODE: two'));
  assert.match(await setSecret(place, 'db', 'value one'), /has this value already: nothing is done/);
  assert.deepEqual(await pids(place), first);
  await setSecret(place, 'mail', 'value two', '--no-restart');
  assert.match(await setSecret(place, 'db', 'value two'), /version 2; restarted: api:api_1, api:api_2, file\n/);
  const second = await pids(place);
  const moved = Object.keys(first).filter((id) => first[id] !== second[id]);
  assert.deepEqual(moved.toSorted(), ['api:api_1', 'api:api_2', 'file'], 'neither an edited file nor another secret was applied with it');
  assert.equal(variableOf(second['api:api_1'], 'DB'), 'value two');
  assert.equal(readFileSync(variableOf(second.file, 'DB_FILE') ?? '', 'utf8'), 'user=file password=value two');
  const plan = await place.ok('plan');
  assert.match(plan, /~ mailer restarts\n {4}secret mail changed\n~ plain restarts\n {4}env\.MODE changed\n/);
  assert.doesNotMatch(plan, /value/);
  await place.ok('apply');
  await until('the mailer has it', async () => variableOf((await pids(place)).mailer, 'MAIL') === 'value two');
  await setSecret(place, 'db', 'value three');
  const third = await pids(place);
  assert.equal(variableOf(third.old, 'OLD'), 'value two', 'the one before is kept until the next');
  assert.match(await place.ok('secret', 'list'), /^db +3 .* kept +api, file, old$/m);
});

test('a service with update: rolling gets a new value one instance after the other', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  place.write(
    'steward.yaml',
    'services:\n  api: {run: sleep 1000, instances: 2, update: rolling, upAfter: 100ms, env: {DB: "{{secret.db}}"}}\n',
  );
  await place.ok('up', '-d');
  await setSecret(place, 'db', 'value two');
  await until('both have it', async () => {
    const now = Object.values(await pids(place));
    return now.length === 2 && now.every((pid) => pid !== undefined && variableOf(pid, 'DB') === 'value two');
  });
  assert.match(await place.ok('events'), /service\.reloaded/);
});

const needsRoot = { skip: !isRoot && 'only root may start a service as another user' };

test('a file of a secret is readable for the user of the service alone, and gone after the run', needsRoot, async (t) => {
  const place = newPlace(t);
  const bytes = Buffer.from([0, 10, 255, 13, 10]);
  await setSecret(place, 'key', bytes, '--raw');
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000, user: nobody, cwd: /, secretFiles: {KEY_FILE: "{{secret.key}}"}}\n');
  await place.ok('up', '-d');
  const path = variableOf(await pidOf(place, 'web'), 'KEY_FILE') ?? assert.fail('there is no KEY_FILE');
  assert.ok(path.startsWith(`${secretFolderFor(place.state)}/`), path);
  assert.deepEqual(readFileSync(path), bytes);
  const { mode, uid } = statSync(path);
  assert.deepEqual([mode & 0o7777, uid], [0o400, 65534]);
  process.kill(await pidOf(place, 'web'), 'SIGKILL');
  await until('the file of the run that ended is gone', () => !existsSync(path));
  await until('the next run has its own', async () => {
    const { pid } = await place.instance('web');
    return pid !== undefined && readFileSync(variableOf(pid, 'KEY_FILE') ?? '').equals(bytes);
  });
  await place.ok('stop', 'web');
  assert.deepEqual(readdirSync(secretFolderFor(place.state)), []);
});

test('a link where files of secrets belong is refused in words, and followed by nobody', async (t) => {
  const place = newPlace(t);
  const elsewhere = join(place.folder, 'elsewhere');
  mkdirSync(elsewhere);
  await setSecret(place, 'key', 'a value');
  mkdirSync(join(secretFolderFor(place.state), '..'), { recursive: true });
  symlinkSync(elsewhere, secretFolderFor(place.state));
  t.after(() => rmSync(secretFolderFor(place.state), { force: true, recursive: true }));
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000, startRetries: 0, secretFiles: {KEY_FILE: "{{secret.key}}"}}\n');
  await place.steward('up', '-d');
  const { state, reason } = await place.instance('web');
  assert.equal(state, 'FATAL');
  assert.match(reason, /its secrets cannot be written: .* is no folder: remove it/);
  assert.deepEqual(readdirSync(elsewhere), []);
});

const twoUsers = `services:
  env: {run: sleep 1000, env: {DB: "{{secret.db}}"}}
  file: {run: sleep 1000, secretFiles: {DB_FILE: "{{secret.db}}"}}
  plain: {run: sleep 1000}
`;

async function killDaemon(place: Place): Promise<void> {
  const pid = await place.daemonPid();
  process.kill(pid, 'SIGKILL');
  await until('the daemon is gone', () => !existsSync(`/proc/${pid}`));
}

test('a killed daemon leaves users of secrets alone, the next one takes them over and restores their files', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  place.write('steward.yaml', twoUsers);
  await place.ok('up', '-d');
  const before = await pids(place);
  const path = variableOf(before.file, 'DB_FILE') ?? '';
  await killDaemon(place);
  rmSync(path);
  await place.ok('up', '-d');
  assert.deepEqual(await pids(place), before);
  assert.equal(readFileSync(path, 'utf8'), 'value one');
  await setSecret(place, 'db', 'value two');
  const after = await pids(place);
  assert.deepEqual(
    Object.keys(before).filter((id) => before[id] !== after[id]),
    ['env', 'file'],
  );
  assert.ok(!existsSync(path));
});

test('with another master key what runs is not touched, what needs a secret says so, and the right key heals it', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  place.write('steward.yaml', twoUsers);
  await place.ok('up', '-d');
  const before = await pids(place);
  await killDaemon(place);
  const file = join(place.state, 'secrets.key');
  const right = readFileSync(file);
  writeFileSync(file, `${Buffer.alloc(32, 7).toString('base64')}\n`);
  place.write('steward.yaml', `${twoUsers}  late: {run: sleep 1000, env: {DB: "{{secret.db}}"}}\n`);
  const { err } = await place.steward('up', '-d');
  assert.match(err, /the master key is another one: that of .*secrets\.key does not open them/);
  const { late, ...rest } = await pids(place);
  assert.deepEqual(rest, before);
  assert.equal(late, undefined);
  assert.match((await place.instance('late')).reason, /secret "db" cannot be had: the master key is another one/);
  process.kill(before.env as number, 'SIGKILL');
  await until('it says why it cannot start', async () => /secret "db" cannot be had/.test((await place.instance('env')).reason));
  const refused = await withInput(place, 'x', 'secret', 'set', 'db');
  assert.equal(refused.code, 2);
  assert.match(refused.err, /the secrets are locked.*daemon\/secrets-locked/s);
  await killDaemon(place);
  writeFileSync(file, right);
  await place.ok('up', '-d');
  const after = await pids(place);
  assert.deepEqual([after.file, after.plain], [before.file, before.plain]);
  assert.equal(variableOf(after.late, 'DB'), 'value one');
  assert.equal(variableOf(after.env, 'DB'), 'value one');
});

test('a key from the environment reaches the daemon, and no process that it starts', async (t) => {
  const key = Buffer.alloc(32, 9).toString('base64');
  const place = newPlace(t, { STEWARD_SECRETS_KEY: key });
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000, inheritEnv: true, env: {DB: "{{secret.db}}"}}\n');
  writeFileSync(join(place.folder, 'value'), 'value one\n');
  await place.ok('secret', 'set', 'db', '--file', 'value');
  await place.ok('up', '-d');
  assert.ok(!existsSync(join(place.state, 'secrets.key')));
  assert.equal(variableOf(await pidOf(place, 'web'), 'DB'), 'value one');
  const daemon = await place.daemonPid();
  for (const pid of place.processes().filter((other) => other !== daemon)) assert.equal(variableOf(pid, 'STEWARD_SECRETS_KEY'), undefined);
  const held = filesIn(place.state).filter((file) => readFileSync(file, 'latin1').includes(key));
  assert.deepEqual(held, []);
  await place.ok('upgrade-daemon');
  assert.match(await place.ok('secret', 'list'), /^db +1 /m, 'the program that takes its place has the key too');
  assert.match((await place.steward('secret', 'rekey')).err, /comes from STEWARD_SECRETS_KEY, where Steward cannot change it.*--key-file/s);
});

test('a NUL cannot be in the environment: that service says so, the others go on; as a file it can', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  place.write('steward.yaml', twoUsers);
  await place.ok('up', '-d');
  const before = await pids(place);
  const { code, err } = await withInput(place, 'a\0b', 'secret', 'set', 'db');
  assert.equal(code, 1);
  assert.match(err, /it is stored, and not in use: env: secret "db" cannot be had: it holds a NUL, which no environment variable can/);
  const after = await pids(place);
  assert.deepEqual([after.env, after.plain], [before.env, before.plain], 'it goes on with the value it has');
  assert.equal(readFileSync(variableOf(after.file, 'DB_FILE') ?? '', 'latin1'), 'a\0b');
  assert.match(
    (await place.steward('plan')).err,
    /steward\.yaml:2:\d+ {2}warning: services\.env\.env\.DB: secret "db" cannot be had: it holds a NUL/,
  );
  await setSecret(place, 'db', 'line 1\nline 2\n', '--raw');
  assert.equal(variableOf(await pidOf(place, 'env'), 'DB'), 'line 1\nline 2\n', 'line breaks are fine');
});

test('a value is taken from input or a file, never from the command line', async (t) => {
  const place = newPlace(t);
  const typed = await place.steward('secret', 'set', 'db', 'oops-a-value');
  assert.equal(typed.code, 2);
  assert.match(typed.err, /a value is not taken from the command line: everybody on this machine can read command lines/);
  assert.doesNotMatch(typed.err, /oops/);
  for (const [words, message] of [
    [['secret', 'set'], /needs a name/],
    [['secret', 'get', 'db'], /knows set NAME, list, rm NAME and rekey/],
    [['secret', 'set', '1db', '--generate'], /"1db" cannot be the name of a secret/],
    [['secret', 'set', 'db', '--generate', '7'], /7 characters cannot be made/],
    [['secret', 'set', 'db', '--file', 'none'], /none cannot be read: ENOENT/],
    [['secret', 'rm', 'db'], /there is no stored secret "db"/],
  ] as const) {
    const { code, err } = await place.steward(...words);
    assert.equal(code, 2, err);
    assert.match(err, message);
  }
  assert.match((await withInput(place, Buffer.alloc(70_000, 'x'), 'secret', 'set', 'db')).err, /larger than 64 KB/);
  assert.match((await withInput(place, '\n', 'secret', 'set', 'db')).err, /the value of db is empty/);
  assert.equal((await place.steward('secret', 'list')).out, 'nothing is stored\n');
});

test('a name that is declared and stored is a warning, one that is neither an error, and check alone tells a note', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'stored value');
  place.write('key', 'declared value\n');
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000, env: {DB: "{{secret.db}}"}}\n');
  const { code, err } = await place.steward('check');
  assert.equal(code, 0);
  assert.match(err, /note: services\.web\.env\.DB: secret "db" is not declared, so it has to be stored/);
  place.write('steward.yaml', 'secrets: {db: {file: key}}\nservices:\n  web: {run: sleep 1000, env: {DB: "{{secret.db}}"}}\n');
  await place.ok('up', '-d');
  assert.equal(variableOf(await pidOf(place, 'web'), 'DB'), 'declared value');
  assert.match((await place.steward('plan')).err, /warning: secret "db" is stored too: the one declared here counts/);
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000, env: {DB: "{{secret.bd}}"}}\n');
  for (const command of ['check', 'apply']) {
    const refused = await place.steward(command);
    assert.equal(refused.code, 2);
    assert.match(refused.err, /there is no secret "bd"\n[\s\S]*steward secret set bd/);
  }
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000, env: {DB: "{{secret.db}}"}}\n');
  await place.ok('apply');
  assert.match((await place.steward('secret', 'rm', 'db')).err, /web uses the secret db/);
  assert.match(await place.ok('secret', 'rm', 'db', '--force'), /files that still name it cannot be applied: web/);
});

test('a rekey changes nothing for anybody but who has the old key', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  place.write('steward.yaml', twoUsers);
  await place.ok('up', '-d');
  const before = await pids(place);
  const key = readFileSync(join(place.state, 'secrets.key'), 'utf8');
  assert.match(await place.ok('secret', 'rekey'), /sealed anew with a new master key: 1/);
  assert.notEqual(readFileSync(join(place.state, 'secrets.key'), 'utf8'), key);
  assert.match(await place.ok('plan'), /3 stay untouched/);
  await killDaemon(place);
  await place.ok('up', '-d');
  assert.deepEqual(await pids(place), before);
  await setSecret(place, 'db', 'value two');
  assert.equal(variableOf(await pidOf(place, 'env'), 'DB'), 'value two');
});

test('hooks, and commands run in the environment of a service, get its files too', async (t) => {
  const place = newPlace(t);
  await setSecret(place, 'db', 'value one');
  place.write(
    'steward.yaml',
    `services:
  web:
    run: sleep 1000
    secretFiles: {DB_FILE: "{{secret.db}}"}
    hooks: {beforeStart: [sh, -c, 'cat "$DB_FILE" > before']}
`,
  );
  await place.ok('up', '-d');
  assert.equal(readFileSync(join(place.folder, 'before'), 'utf8'), 'value one');
  await place.ok('run', 'web', '--', 'sh', '-c', 'cat "$DB_FILE" > ran');
  assert.equal(readFileSync(join(place.folder, 'ran'), 'utf8'), 'value one');
  assert.equal(readdirSync(secretFolderFor(place.state)).length, 1, 'those of the command are gone with it');
});

test('the example: a token changes, and whoever has the one of before is not turned away', async (t) => {
  const place = newPlace(t);
  const folder = join(place.folder, 'secrets');
  cpSync(join(repository, 'examples/secrets'), folder, { recursive: true });
  const file = join(folder, 'steward.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('8750', String(await freePort())));
  await setSecret(place, 'api_token', '', '--generate');
  await place.ok('up', '-d', folder);
  const first = await pidOf(place, 'client');
  const letIn = async (): Promise<number> => (await place.ok('logs', 'client')).match(/the server answers 200/g)?.length ?? 0;
  await until('the client is let in', async () => (await letIn()) > 0);
  assert.match(await setSecret(place, 'api_token', '', '--generate'), /version 2; restarted: api\n/);
  assert.match(await setSecret(place, 'api_token', '', '--generate'), /version 3; restarted: api, client\n/);
  assert.notEqual(await pidOf(place, 'client'), first);
  const before = await letIn();
  await until('the client is let in again', async () => (await letIn()) > before + 1);
  assert.doesNotMatch(await place.ok('logs', 'client'), /answers 401/);
});

/** Runs a command on a terminal of its own (script(1)), and types each answer once its question is there. */
function onTerminal(place: Place, answers: readonly (readonly [question: string, typed: string])[], ...words: string[]): Promise<Outcome> {
  const [file, ...rest] = ['script', '--quiet', '--return', '--command', [launcher, ...words].join(' '), '/dev/null'];
  return new Promise((resolve, reject) => {
    const child = spawn(file as string, rest, { cwd: place.folder, env: { ...process.env, STEWARD_STATE: place.state }, timeout: 60_000 });
    const left = [...answers];
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
      const [next] = left;
      if (next === undefined || !out.includes(next[0])) return;
      left.shift();
      child.stdin.write(next[1]);
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err: '' }));
  });
}

test('a value that is typed on a terminal is asked for twice and shown never', async (t) => {
  const place = newPlace(t);
  const typed = await onTerminal(
    place,
    [
      ['value of db (not shown): ', 'typed-4711\r'],
      ['the same again: ', 'typed-4711\r'],
    ],
    ...['secret', 'set', 'db'],
  );
  assert.equal(typed.code, 0, typed.out);
  assert.match(typed.out, /db is set, version 1/);
  assert.doesNotMatch(typed.out, /4711/);
  const differing = await onTerminal(
    place,
    [
      ['value of', 'one-4711\r'],
      ['again', 'two-4711\r'],
    ],
    ...['secret', 'set', 'db'],
  );
  assert.equal(differing.code, 2);
  assert.match(differing.out, /the two values differ; nothing was changed/);
  const given = await onTerminal(place, [['value of', 'x\x03']], ...['secret', 'set', 'db']);
  assert.match(given.out, /nothing was changed/);
  assert.match(await place.ok('secret', 'list'), /^db +1 /m);
});
