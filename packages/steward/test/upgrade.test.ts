/** The daemon becomes another program, and nothing it runs notices. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { assertCounting, keepAsking, linesOf, numberWriter } from './continuity.ts';
import { freePort, isRunning, newPlace, type Outcome, type Place, repository, run, until } from './harness.ts';

interface Copy {
  steward(...words: string[]): Promise<Outcome>;
  edit(file: string, change: (text: string) => string): void;
}

/** This program in another folder, with another version. */
function copyProgram(place: Place, version: string): Copy {
  const folder = join(place.folder, `program-${version}`);
  for (const name of ['sdk', 'steward'])
    cpSync(join(repository, 'packages', name), join(folder, 'packages', name), {
      recursive: true,
      filter: (source) => !/\/(node_modules|dist|test)$|\.test\.ts$/.test(source),
    });
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'));
  const copy: Copy = {
    steward: (...words) =>
      run(join(folder, 'packages/steward/bin/steward'), words, {
        cwd: place.folder,
        env: { ...process.env, STEWARD_STATE: place.state, NO_COLOR: '1' },
      }),
    edit(file, change) {
      const path = join(folder, 'packages/steward', file);
      const before = readFileSync(path, 'utf8');
      const after = change(before);
      assert.notEqual(after, before, `nothing to change in ${file}`);
      writeFileSync(path, after);
    },
  };
  copy.edit('package.json', (text) => text.replace(/"version": "[^"]+"/, `"version": "${version}"`));
  return copy;
}

interface Upgraded {
  readonly from: string;
  readonly to: string;
  readonly pid: number;
  readonly kept: readonly string[];
  readonly lost: readonly string[];
  readonly older: readonly { readonly part: string }[];
}

const pids = async (place: Place): Promise<Map<string, number | undefined>> => new Map((await place.ps()).map(({ id, pid }) => [id, pid]));

const files = (site: number): string => `services:
  writer: {run: python3 writer.py, stdout: {maxSize: 100KB, keep: 1000}}
  quiet: {run: sleep 1000}
gateway: {workers: 2, accessLog: false, user: root}
sites:
  - {listen: ["127.0.0.1:${site}"], routes: [{respond: here}]}
`;

test('an upgrade, and one of keeper and workers too, loses no request, no line and no process', async (t) => {
  const place = newPlace(t);
  const site = await freePort();
  place.write('writer.py', numberWriter);
  place.write('steward.yaml', files(site));
  await place.ok('up', '-d');
  const before = await pids(place);
  const daemon = await place.daemonPid();
  const client = keepAsking(`http://127.0.0.1:${site}/`);
  const next = copyProgram(place, '9.9.9');

  const { code, out, err } = await next.steward('upgrade-daemon', '--json');
  assert.equal(code, 0, err);
  const { to, pid, kept, lost, older } = JSON.parse(out) as Upgraded;
  assert.deepEqual({ to, pid, lost }, { to: '9.9.9', pid: daemon, lost: [] });
  assert.deepEqual(kept.toSorted(), [...before.keys()].toSorted());
  assert.deepEqual(older.map(({ part }) => part).toSorted(), ['gateway:gateway_1', 'gateway:gateway_2', 'keeper']);
  assert.deepEqual(await pids(place), before, 'the same processes');
  assert.match(await place.ok('version'), /daemon 9\.9\.9/);
  assert.match(await place.ok('events', '-n', '100'), /daemon.upgraded.* → 9\.9\.9/);

  const all = await next.steward('upgrade-daemon', '--all', '--json');
  assert.equal(all.code, 0, all.err);
  assert.deepEqual((JSON.parse(all.out) as Upgraded).older, []);
  const after = await pids(place);
  for (const id of ['writer', 'quiet']) assert.equal(after.get(id), before.get(id));
  for (const id of ['gateway:gateway_1', 'gateway:gateway_2']) assert.notEqual(after.get(id), before.get(id));

  const answered = client.answered();
  await until('it still answers', () => client.answered() > answered + 20);
  assert.deepEqual(await client.stop(), []);
  await place.ok('stop', 'writer');
  assertCounting(linesOf(place, 'writer'), 1000);
});

test('after an upgrade a crash is seen with its exit code, and leaves no zombie', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: "sh -c \'trap \\"exit 7\\" USR1; while :; do sleep 0.05; done\'", restart: never}\n');
  await place.ok('up', '-d');
  const { pid } = await place.instance('a');
  assert.match(await place.ok('upgrade-daemon'), /1 instance taken over, each as the process it was/);
  await place.ok('signal', 'USR1', 'a');
  await until('its end is seen', async () => (await place.instance('a')).state === 'EXITED');
  assert.deepEqual((await place.instance('a')).exit, { code: 7, signal: null });
  await until('it is no zombie', () => !isThere(pid as number));
});

const isThere = (pid: number): boolean => {
  try {
    readFileSync(`/proc/${pid}/stat`);
    return true;
  } catch {
    return false;
  }
};

test('a program that does not come up is replaced by the one before, and nothing was touched', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n  b: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const before = await pids(place);
  const broken = copyProgram(place, '6.6.6');
  broken.edit('src/journal.ts', (text) =>
    text.replace(/export function createJournal\(.*\): Journal \{/, (head) => `${head}\n  throw new Error('out of order');`),
  );
  const { code, err } = await broken.steward('upgrade-daemon');
  assert.equal(code, 1);
  assert.match(err, /Steward 6\.6\.6 \(.*\) did not come up; \S+ runs again, and what it ran was not touched/);
  assert.match(err, /out of order/);
  assert.doesNotMatch(await place.ok('version'), /daemon 6\.6\.6/);
  assert.deepEqual(await pids(place), before);
});

test('a program that cannot read the files in force, or the state, is refused before anything happens', async (t) => {
  const place = newPlace(t);
  const file = place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const [before, daemon] = [await pids(place), await place.daemonPid()];
  writeFileSync(file, 'services:\n  a: {runs: sleep 1000}\n');
  const files = await place.steward('upgrade-daemon');
  assert.equal(files.code, 2);
  assert.match(files.err, /steward\.yaml:2:7[\s\S]*runs[\s\S]*does not accept the files in force; \S+ runs on/);
  writeFileSync(file, 'services:\n  a: {run: sleep 1000}\n');

  const old = copyProgram(place, '0.0.1');
  const database = new DatabaseSync(join(place.state, 'state.db'));
  const { user_version: schema } = database.prepare('pragma user_version').get() as { user_version: number };
  database.exec(`pragma user_version = ${schema + 1}`);
  const newer = await old.steward('upgrade-daemon');
  assert.equal(newer.code, 2);
  assert.match(newer.err, /state\.db was written by a newer Steward \(schema \d+; this one knows \d+\)/);
  database.exec(`pragma user_version = ${schema}`);
  database.close();
  assert.equal(await place.daemonPid(), daemon);
  assert.deepEqual(await pids(place), before);
});

test('`up` in the foreground is upgraded where it is', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: "sh -c \'while :; do echo line; sleep 0.1; done\'"}\n');
  const up = place.foreground('up');
  await until('it runs', async () => (await place.steward('ps')).out.includes('RUNNING'));
  const { pid } = await place.instance('a');
  const next = copyProgram(place, '9.9.9');
  const { code, err } = await next.steward('upgrade-daemon');
  assert.equal(code, 0, err);
  assert.equal((await place.instance('a')).pid, pid);
  assert.match(await place.ok('version'), new RegExp(`daemon 9\\.9\\.9, pid ${up.pid}`));
  const shown = up.text().length;
  await until('it shows lines again', () => up.text().slice(shown).includes('line'));
  up.kill('SIGINT');
  assert.equal(await new Promise((resolve) => up.once('exit', resolve)), 0);
  assert.ok(!isRunning(pid as number));
});

test('USR2 lets go of everything, and the next daemon takes it over', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const before = await pids(place);
  const daemon = await place.daemonPid();
  process.kill(daemon, 'SIGUSR2');
  await until('it is gone', () => !isRunning(daemon));
  assert.ok(isRunning(before.get('a') as number));
  await place.ok('up', '-d');
  assert.deepEqual(await pids(place), before);
});
