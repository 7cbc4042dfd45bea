/** What users of other supervisors have met, done to Steward: the numbers are those of docs/faults.md. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { type Client, createClient } from '@steward/sdk/client';
import { isLeader } from '../src/kernel/process-table.ts';
import { isRunning, kill, launcher, newPlace, type Place, run, until } from './harness.ts';

const clientOf = (place: Place): Client => createClient({ socketPath: join(place.state, 'control.sock') });

const linesOf = (file: string): number => {
  try {
    return readFileSync(file, 'utf8').split('\n').length - 1;
  } catch {
    return 0;
  }
};

/** Processes that were started as an instance of this place, by what /proc says: what such a one forks leads no group, and has its words until it executes others. */
function startedAs(place: Place, command: string): number[] {
  return place.processes().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(command.replaceAll(' ', '\0')) && isRunning(pid) && isLeader(pid);
    } catch {
      return false;
    }
  });
}

test('F1: hundreds of calls, restarts and rotations leave as many descriptors open as there were', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:\n  chatty: {run: "sh -c 'seq 1 3000; exec sleep 1000'", stdout: {maxSize: 4KB, keep: 2}, upAfter: 0s}\n`,
  );
  await place.ok('up', '-d');
  const client = clientOf(place);
  const daemon = await place.daemonPid();
  const count = (): number => readdirSync(`/proc/${daemon}/fd`).length;
  const before = count();
  for (let call = 0; call < 400; call++) {
    await client.listInstances();
    if (call % 20 === 0) await client.restartInstances({ body: { names: ['chatty'] } });
  }
  await until('the last restart is over', async () => (await place.instance('chatty')).state === 'RUNNING');
  await until(`as many descriptors as before: ${before}`, () => count() <= before + 2);
});

test('F2: a program that ends at once starts at most ten times a second, whatever its file says, and the others go on', async (t) => {
  const place = newPlace(t);
  const ledger = join(place.folder, 'ledger');
  place.write(
    'steward.yaml',
    `services:
  storm: {run: "sh -c 'echo >> ${ledger}; exit 1'", upAfter: 0s, backoff: {first: 0s, base: 0s}}
  other: {run: sleep 1000}
`,
  );
  const begunAt = performance.now();
  await place.steward('up', '-d');
  const { pid } = await place.instance('other');
  await until('it has started ten times', () => linesOf(ledger) >= 10);
  const most = (performance.now() - begunAt) / 100 + 2;
  assert.ok(linesOf(ledger) <= most, `${linesOf(ledger)} starts, at most ${most}`);
  assert.equal((await place.instance('other')).pid, pid);
});

test('F3: whatever is wrong with one service, the daemon and the others go on', async (t) => {
  const place = newPlace(t);
  const good = 'services:\n  good: {run: sleep 1000}\n';
  const file = place.write('steward.yaml', good);
  await place.ok('up', '-d');
  const before = await place.instance('good');
  const daemon = await place.daemonPid();
  const client = clientOf(place);
  const blocks = [
    `{run: "sh -c 'unclosed"}`,
    '{run: [}',
    '{run: 7}',
    '{run: [sleep, 1000], instances: many}',
    '{run: sleep 1000, instances: 100000}',
    '{run: "{{nothing}}"}',
    '{run: "\\u0000"}',
    `{run: ${JSON.stringify('x'.repeat(200_000))}, startRetries: 0}`,
    '{run: /no/such/program, startRetries: 0}',
    '{run: sleep 1000, cwd: /no/such/folder, startRetries: 0}',
    '{run: sleep 1000, user: nobody-of-this-name, startRetries: 0}',
    '{run: /etc, startRetries: 0}',
  ];
  for (const block of blocks) {
    writeFileSync(file, `${good}  bad: ${block}\n`);
    const { code, out, err } = await place.steward('apply');
    assert.ok(code === 0 || code === 1 || code === 2, `${block}: exit ${code}`);
    assert.doesNotMatch(out + err, /\n {4}at |this is a bug/, block.slice(0, 100));
    const { instances } = await client.listInstances({ query: { names: 'good' } });
    assert.equal(instances[0]?.pid, before.pid, block.slice(0, 100));
  }
  assert.ok(isRunning(daemon));
  assert.doesNotMatch(readFileSync(join(place.state, 'daemon.log'), 'utf8'), /bug:/);
});

/** A disk of its own for a state directory; unmounted after the test, and after `newPlace` has brought Steward down. */
async function smallDisk(t: TestContext): Promise<{ place: Place; disk: string }> {
  const disk = mkdtempSync(join(tmpdir(), 'steward-disk-'));
  const place = newPlace(t, { STEWARD_STATE: disk });
  const { code, err } = await run('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0711', 'steward-test', disk]);
  t.after(async () => {
    await run('umount', ['-l', disk]);
    rmSync(disk, { recursive: true, force: true });
  });
  assert.equal(code, 0, err);
  return { place, disk };
}

test('F11: a disk that is full when everything dies empties nothing that was saved', {
  skip: process.getuid?.() !== 0 && 'needs root, who may mount a small disk',
}, async (t) => {
  const { place, disk } = await smallDisk(t);
  place.write(
    'steward.yaml',
    `env: {PLACE: ${place.state}}\nservices:\n  a: {run: sleep 1000, instances: 3}\n  resting: {run: sleep 1001}\n`,
  );
  await place.ok('up', '-d');
  await place.ok('stop', 'resting');
  const pids = new Map((await place.ps()).map(({ id, pid }) => [id, pid]));
  for (let round = 0; round < 2; round++) {
    const filler = join(disk, 'filler');
    try {
      writeFileSync(filler, Buffer.alloc(16 * 2 ** 20));
    } catch {} // ENOSPC: now it is full
    await place.steward('restart', 'a:a_1'); // would be written down
    const daemon = Number(readFileSync(join(disk, 'daemon.lock'), 'utf8'));
    kill(daemon);
    await until('the daemon is dead', () => !isRunning(daemon));
    rmSync(filler);
    await place.ok('up', '-d');
    const after = await place.ps();
    assert.deepEqual(after.map(({ id, state }) => `${id} ${state}`).toSorted(), [
      'a:a_1 RUNNING',
      'a:a_2 RUNNING',
      'a:a_3 RUNNING',
      'resting STOPPED',
    ]);
    for (const { id, pid } of after) if (id === 'a:a_2' || id === 'a:a_3') assert.equal(pid, pids.get(id), `${id} is the same process`);
    assert.equal(startedAs(place, 'sleep 1000\0').length, 3, 'no second copy');
  }
});

test('F16: after health a crash is followed by a start at once, however long the waiting had become', async (t) => {
  const place = newPlace(t);
  place.write('moody.sh', 'n=$(cat "$1" 2>/dev/null | wc -l)\necho >> "$1"\ntest "$n" -lt 3 && exit 1\nexec sleep 1000\n');
  place.write(
    'steward.yaml',
    `services:\n  moody: {run: "sh moody.sh ${join(place.folder, 'ledger')}", upAfter: 100ms, backoff: {first: 0s, base: 300ms, factor: 3, resetAfter: 1s}}\n`,
  );
  await place.steward('up', '-d');
  const { pid } = await until('it is healthy', async () => {
    const now = await place.instance('moody');
    return now.state === 'RUNNING' && (now.uptimeSeconds ?? 0) >= 2 && now;
  });
  const waits = async (): Promise<number> => (await place.ok('events', '-n', '1000')).split('moody instance.backoff').length - 1;
  const before = await waits();
  assert.ok(before >= 3, `${before} waits in the crash loop`);
  kill(pid as number);
  await until('it runs again', async () => {
    const now = await place.instance('moody');
    return now.state === 'RUNNING' && now.pid !== pid;
  });
  assert.equal(await waits(), before, 'no wait before the start');
});

for (const last of ['start', 'stop', 'restart'] as const) {
  test(`F17: fifty commands at once make no second process, are all answered, and a last ${last} decides`, async (t) => {
    const place = newPlace(t);
    // Leaves slowly, so that commands meet it in every phase.
    place.write('slow.sh', 'trap "sleep 0.1; exit 0" TERM\nwhile :; do sleep 0.05; done\n');
    place.write(
      'steward.yaml',
      'services:\n  puppet: {run: sh slow.sh, inheritEnv: true, upAfter: 200ms, backoff: {base: 100ms, max: 200ms}}\n',
    );
    await place.ok('up', '-d');
    const client = clientOf(place);
    const acts = { start: client.startInstances, stop: client.stopInstances, restart: client.restartInstances };
    const words = ['start', 'stop', 'restart'] as const;
    let isOver = false;
    let most = 0;
    const looking = (async () => {
      for (; !isOver; await wait(10)) most = Math.max(most, startedAs(place, 'sh slow.sh').length);
    })();
    const body = { names: ['puppet'] };
    const limit = AbortSignal.timeout(60_000);
    await Promise.all(Array.from({ length: 50 }, (_, index) => acts[words[(index * 7 + index) % 3] ?? 'start']({ body }, limit)));
    await acts[last]({ body }, limit);
    const wanted = last === 'stop' ? 'STOPPED' : 'RUNNING';
    await until(`it is ${wanted}`, async () => (await place.instance('puppet')).state === wanted);
    isOver = true;
    await looking;
    assert.ok(most <= 1, `${most} processes at once`);
    assert.equal(startedAs(place, 'sh slow.sh').length, last === 'stop' ? 0 : 1);
  });
}

test('F18: a job that has ended is not run again by the next daemon, and a killed keeper keeps nobody from starting', async (t) => {
  const place = newPlace(t);
  const ledger = join(place.folder, 'ledger');
  place.write(
    'steward.yaml',
    `services:\n  job: {run: "sh -c 'echo >> ${ledger}'", restart: never, upAfter: 0s}\n  other: {run: sleep 1000}\n`,
  );
  await place.ok('up', '-d');
  await until('the job is done', async () => (await place.instance('job')).state === 'EXITED');
  const { pid } = await place.instance('other');
  const keepers = place.processes().filter((one) => readFileSync(`/proc/${one}/cmdline`, 'latin1').includes('keeper.ts'));
  kill(await place.daemonPid());
  for (const keeper of keepers) kill(keeper);
  await place.ok('up', '-d');
  assert.equal((await place.instance('other')).pid, pid);
  assert.equal((await place.instance('job')).state, 'EXITED');
  assert.equal(linesOf(ledger), 1);
});

test('F19: one start after the other on busy processors, all services run each time, and none starts twice', async (t) => {
  const place = newPlace(t);
  const services = Array.from(
    { length: 8 },
    (_, index) => `  s${index}: {run: sleep 1000, upAfter: 50ms${index > 0 ? `, after: [s${index - 1}]` : ''}}`,
  );
  place.write('steward.yaml', `services:\n${services.join('\n')}\n`);
  const busy = [1, 2].map(() => spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }));
  t.after(() => {
    for (const child of busy) child.kill('SIGKILL');
  });
  for (let boot = 0; boot < 2; boot++) {
    await place.ok('up', '-d');
    const instances = await place.ps();
    assert.deepEqual(
      instances.map(({ state, restarts }) => `${state} ${restarts}`),
      services.map(() => 'RUNNING 0'),
    );
    await place.ok('down');
    assert.deepEqual(place.processes(), []);
  }
});

test('what a command prints is whole, however long it is and however late its reader', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  many: {run: sleep 1000, instances: 500, autostart: false}\n');
  await place.ok('up', '-d');
  const child = spawn(launcher, ['ps', '--json', '--state', place.state], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await wait(1_000); // nobody reads meanwhile
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  assert.equal(await ended, 0);
  assert.equal((JSON.parse(text) as { instances: unknown[] }).instances.length, 500);
});
