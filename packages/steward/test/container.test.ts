/** Steward as PID 1, and services whose end is its own. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { patiently } from './continuity.ts';
import { freePort, get, isRunning, launcher, newPlace, type Place, repository, until } from './harness.ts';

const unshare = ['--pid', '--fork', '--mount-proc', '--kill-child'];
const mayUnshare = spawnSync('unshare', [...unshare, 'true']).status === 0;
const needed = { skip: !mayUnshare && 'needs unshare(1) with pid namespaces' };

interface Container {
  /** PID 1 of the container, as it is seen from outside. */
  readonly pid: number;
  text(): string;
  /** Resolves with the exit code of the container. */
  readonly ended: Promise<number | null>;
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);

/** Runs the launcher as PID 1 of a pid namespace of its own. */
async function container(t: TestContext, place: Place, cwd: string, words: readonly string[]): Promise<Container> {
  const child: ChildProcess = spawn('unshare', [...unshare, launcher, ...words], {
    cwd,
    env: { ...process.env, STEWARD_STATE: place.state, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout?.on('data', (chunk) => (text += chunk));
  child.stderr?.on('data', (chunk) => (text += chunk));
  const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  t.after(async () => {
    if (child.exitCode === null) child.kill('SIGKILL'); // --kill-child: and all that is in it
    await ended;
  });
  const pid = await until('PID 1', () => childrenOf(child.pid as number)[0]);
  return { pid, text: () => text, ended };
}

const zombiesOf = (parent: number): number =>
  readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const [state, ppid] = readFileSync(`/proc/${name}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
      return state === 'Z' && Number(ppid) === parent;
    } catch {
      return false;
    }
  }).length;

const allRun = (place: Place, count: number) => async (): Promise<boolean> => {
  const { out } = await place.steward('ps', '--json');
  if (out === '') return false;
  const { instances } = JSON.parse(out) as { instances: { state: string }[] };
  return instances.length === count && instances.every(({ state }) => state === 'RUNNING');
};

/** Ten shells leave a thousand children each. */
const orphans = `shells=0
while [ $shells -lt 10 ]; do
  sh -c 'n=0; while [ $n -lt 1000 ]; do (exit 3) & n=$((n + 1)); done; exit 0'
  shells=$((shells + 1))
done
: > made
exec sleep 1000
`;

test('as PID 1 it collects ten thousand orphans, and SIGTERM stops everything in order', needed, async (t) => {
  const place = newPlace(t);
  place.write('orphans.sh', orphans);
  place.write('steward.yaml', 'services:\n  maker: {run: sh orphans.sh}\n  quiet: {run: sleep 1000}\n');
  const { pid, ended, text } = await container(t, place, place.folder, ['up', 'steward.yaml']);
  await patiently('all orphans', () => readdirSync(place.folder).includes('made'));
  await until('no zombie stays', () => zombiesOf(pid) === 0);
  await until('both run', allRun(place, 2));
  assert.ok(
    (await place.ps()).every(({ restarts }) => restarts === 0),
    'no service was mistaken for a stranger',
  );
  process.kill(pid, 'SIGTERM');
  assert.equal(await ended, 0, text());
  assert.match(text(), /stopping all services in order[\s\S]*stopped/);
});

test('the example for containers serves, and ends with the exit code of the service that is critical', needed, async (t) => {
  const place = newPlace(t);
  const folder = join(place.folder, 'app');
  cpSync(join(repository, 'examples/container'), folder, { recursive: true });
  const [site, first] = [await freePort(), await freePort()];
  const file = join(folder, 'steward.yaml');
  const yaml = readFileSync(file, 'utf8')
    .replace('8080', String(site))
    .replace('8081', String(first))
    .replace('instances: 2', 'instances: 1');
  writeFileSync(file, yaml.replace('startRetries: 10', 'startRetries: 0'));
  const [, command = ''] = /^CMD (\[.*\])$/m.exec(readFileSync(join(folder, 'Dockerfile'), 'utf8')) ?? [];
  const [program, ...words] = JSON.parse(command) as string[];
  assert.equal(program, 'steward');
  const { ended, text } = await container(t, place, folder, words);
  await until('it serves', async () => (await get(`http://127.0.0.1:${site}/`).catch(() => undefined))?.body === 'hello from web\n');
  writeFileSync(join(folder, 'web.mjs'), 'process.exit(42);\n');
  await place.steward('restart', 'web');
  assert.equal(await ended, 42, text());
});

const endings: readonly [string, string, number][] = [
  ['a job that is done', `{run: "sh -c 'sleep 0.2'", restart: never, upAfter: 0s, critical: true}`, 0],
  ['a job that failed', `{run: "sh -c 'sleep 0.2; exit 3'", restart: never, upAfter: 0s, critical: true}`, 3],
  ['one that was killed', `{run: "sh -c 'kill -KILL $$'", restart: never, upAfter: 0s, critical: true}`, 137],
  ['one that never came up', '{run: "true", startRetries: 0, critical: true}', 1],
];
for (const [what, service, code] of endings)
  test(`a critical service ends Steward with its exit code: ${what}`, async (t) => {
    const place = newPlace(t);
    place.write('steward.yaml', `services:\n  it: ${service}\n  other: {run: sleep 1000}\n`);
    const up = place.foreground('up');
    assert.equal(await new Promise((resolve) => up.once('exit', resolve)), code, up.text());
    assert.match(up.text(), new RegExp(`it instance\\.critical .*ends with code ${code}`));
    assert.deepEqual(place.processes(), [], 'the other is stopped too');
  });

test('a critical service that a person stops ends nothing', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  it: {run: sleep 1000, critical: true}\n');
  await place.ok('up', '-d');
  const daemon = await place.daemonPid();
  await place.ok('stop', 'it');
  await place.ok('start', 'it');
  assert.ok(isRunning(daemon));
  assert.equal(await place.daemonPid(), daemon);
});
