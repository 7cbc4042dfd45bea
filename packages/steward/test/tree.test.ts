/** Whole trees: what a service starts ends with it, is limited and counted with it, and what goes wrong is told in words. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { isRunning, kill, newPlace, type Place, until } from './harness.ts';

/**
 * Starts children of every kind, and writes down their pids: in its group, in a session of its own, forked twice, without
 * any environment, stopped, and one that hears no signal.
 */
const family = String.raw`
use POSIX qw(setsid);
$| = 1;
my $file = shift;
sub note { open(my $out, '>>', $file) or die; print $out "$_[0]\n"; close $out }
sub forever { sleep 1 while 1 }
sub child { my $work = shift; my $pid = fork; return $pid if $pid; $work->(); exit 0 }
child(sub { note("group $$"); forever });
child(sub { setsid; note("session $$"); forever });
child(sub { setsid; child(sub { note("twice $$"); forever }) });
child(sub { setsid; note("bare $$"); exec 'env', '-i', 'sleep', '1000' });
child(sub { setsid; note("stopped $$"); kill 'STOP', $$; forever });
child(sub { setsid; $SIG{$_} = 'IGNORE' for qw(TERM INT HUP QUIT); note("deaf $$"); forever });
forever;
`;
const kinds = ['group', 'session', 'twice', 'bare', 'stopped', 'deaf'];

const pidsIn = (file: string): number[] =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .flatMap((line) => (line === '' ? [] : Number(line.split(' ')[1])))
    : [];

/** A service that starts the family; `fields` are lines of its YAML. */
function writeFamily(place: Place, fields: string): { file: string; pids: string } {
  const script = place.write('family.pl', family);
  const pids = join(place.folder, 'pids');
  const file = place.write('steward.yaml', `services:\n  web:\n    run: perl ${script} ${pids}\n    upAfter: 0s\n${fields}`);
  return { file, pids };
}

const whole = (pids: string, count = kinds.length): Promise<number[]> =>
  until('the whole family', () => {
    const found = pidsIn(pids);
    return found.length === count && found;
  });

test('after a stop nothing of a tree lives: other sessions, twice forked, stopped, deaf, without environment', async (t) => {
  const place = newPlace(t);
  const { file, pids } = writeFamily(place, '    stop: { timeout: 500ms }\n');
  await place.ok('up', '-d', file);
  const all = await whole(pids);
  const usage = await place.instance('web');
  assert.ok((usage.tasks ?? 0) >= kinds.length + 1, `tasks ${usage.tasks}`);
  assert.ok((usage.openFiles ?? 0) >= 3 * (kinds.length + 1), `openFiles ${usage.openFiles}`);
  await place.ok('stop', 'web');
  assert.deepEqual(all.filter(isRunning), []);
});

test('after a crash nothing of the old tree lives', async (t) => {
  const place = newPlace(t);
  const { file, pids } = writeFamily(place, '    backoff: { first: 20s, base: 20s }\n');
  await place.ok('up', '-d', file);
  const all = await whole(pids);
  kill((await place.instance('web')).pid as number);
  await until('the whole tree to be gone', () => !all.some(isRunning));
});

test('what a daemon that was killed knew of a tree, the next one finds again', async (t) => {
  const place = newPlace(t);
  const { file, pids } = writeFamily(place, '    stop: { timeout: 500ms }\n');
  await place.ok('up', '-d', file);
  const all = await whole(pids);
  kill(await place.daemonPid());
  await place.ok('up', '-d', file);
  assert.ok(all.every(isRunning));
  await place.ok('stop', 'web');
  assert.deepEqual(all.filter(isRunning), []);
});

test('with killScope process only the process itself is stopped', async (t) => {
  const place = newPlace(t);
  const { file, pids } = writeFamily(place, '    stop: { scope: process, killScope: process }\n');
  await place.ok('up', '-d', file);
  const all = await whole(pids);
  t.after(() => {
    for (const left of all.filter(isRunning)) kill(left);
  });
  const { pid } = await place.instance('web');
  await place.ok('stop', 'web');
  assert.ok(!isRunning(pid as number));
  assert.deepEqual(all.filter(isRunning), all);
  for (const left of all) kill(left);
});

const freezer = '/sys/fs/cgroup/freezer';
const canFreeze = process.getuid?.() === 0 && existsSync(join(freezer, 'cgroup.procs'));

test('a process that the kernel lets not go is told, and holds up neither the others nor the end', {
  skip: !canFreeze && 'needs root and the freezer of control groups, version 1, to have a process in uninterruptible sleep',
}, async (t) => {
  const place = newPlace(t);
  const ice = join(freezer, `steward-${process.pid}`);
  mkdirSync(ice);
  t.after(() => rmdirSync(ice));
  const file = place.write(
    'steward.yaml',
    `services:
  stuck: { run: sleep 1000, upAfter: 0s, stop: { timeout: 100ms } }
  other: { run: sleep 1000, upAfter: 0s }
`,
  );
  await place.ok('up', '-d', file);
  const pid = (await place.instance('stuck')).pid as number;
  const daemon = await place.daemonPid();
  const thaw = (): void => writeFileSync(join(ice, 'freezer.state'), 'THAWED');
  writeFileSync(join(ice, 'cgroup.procs'), String(pid));
  writeFileSync(join(ice, 'freezer.state'), 'FROZEN');
  try {
    await until('it to be frozen', () => readFileSync(join(ice, 'freezer.state'), 'utf8').trim() === 'FROZEN');
    const stop = place.steward('stop', 'stuck');
    const { state, reason } = await until('its state in words', async () => {
      const found = await place.instance('stuck');
      return found.reason.includes('uninterruptible') && found;
    });
    assert.equal(state, 'STOPPING');
    assert.match(reason, new RegExp(`^KILL was sent; the kernel does not let pid ${pid} go: uninterruptible sleep( in \\w+)?$`));
    assert.match(await place.ok('events'), /instance\.stuck .*KILL was sent/);
    await place.ok('stop', 'other');
    await place.ok('down');
    await stop;
    assert.ok(!isRunning(daemon));
    assert.ok(isRunning(pid));
  } finally {
    thaw();
  }
  await until('it to be gone', () => !isRunning(pid));
});

test('over its memory an instance is restarted, and the journal says why', async (t) => {
  const place = newPlace(t);
  const eats = `perl -e 'my $$x = "x" x (90 * 1024 * 1024); sleep 1 while 1'`.replaceAll('$$', '$');
  const file = place.write(
    'steward.yaml',
    `services:
  fat: { run: ${JSON.stringify(eats)}, upAfter: 0s, limits: { memory: 40MB } }
  lean: { run: sleep 1000, upAfter: 0s, limits: { memory: 40MB, memoryHigh: 30MB, tasks: 5 } }
`,
  );
  await place.steward('up', '-d', file); // it may be between two starts by then
  const { pid } = await place.instance('lean');
  await until('a restart', async () =>
    /instance\.stopping .*restarts: its \d+ MB are over its limit of 40 MB/.test(await place.ok('events')),
  );
  assert.equal((await place.instance('lean')).pid, pid);
});

test('over its tasks an instance is restarted', async (t) => {
  const place = newPlace(t);
  const file = place.write(
    'steward.yaml',
    `services:\n  many: { run: "for i in 1 2 3 4 5 6; do sleep 1000 & done; wait", shell: true, upAfter: 0s, limits: { tasks: 4 } }\n`,
  );
  await place.steward('up', '-d', file); // it may be between two starts by then
  await until('a restart', async () => /restarts: its \d+ tasks are over its limit of 4/.test(await place.ok('events')));
});

test('limits of each process hold from its first instruction, and a change of them restarts it', async (t) => {
  const place = newPlace(t);
  const yaml = (files: number): string =>
    place.write(
      'steward.yaml',
      `services:
  app:
    run: "echo $(ulimit -n) $(ulimit -c) $(nice) $(cat /proc/self/oom_score_adj); exec sleep 1000"
    shell: true
    upAfter: 0s
    nice: 6
    oomScore: 300
    limits: { openFiles: ${files}, coreSize: 0, memory: 1GB }
`,
    );
  await place.ok('up', '-d', yaml(111));
  await until('its words', async () => /111 0 6 300$/m.test(await place.ok('logs', 'app')));
  const plan = await place.steward('plan', yaml(222));
  assert.match(plan.out, /~ app restarts\n\s+limits: .*111.* → .*222/);
});

test('a command that makes itself a daemon is told with the pid that it left, and that one is ended', async (t) => {
  const place = newPlace(t);
  const pidFile = join(place.folder, 'pid');
  const script = place.write(
    'gunicorn',
    `#!/bin/sh\nsetsid sh -c 'echo $$ > ${pidFile}; exec sleep 1000' &\nwhile [ ! -s ${pidFile} ]; do :; done\n`,
  );
  const file = place.write('steward.yaml', `services:\n  web: { run: sh ${script}, upAfter: 20s, backoff: { first: 20s, base: 20s } }\n`);
  await place.steward('up', '-d', file);
  const reason = await until('its reason', async () => {
    const web = await place.instance('web');
    return /made itself a daemon/.test(web.reason) && web.reason;
  });
  const pid = Number(readFileSync(pidFile, 'utf8'));
  assert.match(reason, new RegExp(`pid ${pid} \\(.*\\) lived on without it; keep it in the foreground: take --daemon away`));
  await until('the stray to be gone', () => !isRunning(pid));
  assert.match(await place.ok('events'), /instance\.explained .*made itself a daemon/);
});

test('a port that is taken is told with who has it', async (t) => {
  const place = newPlace(t);
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const program = `require("net").createServer().listen(${port}, "127.0.0.1")`;
  const file = place.write(
    'steward.yaml',
    `services:\n  web: { run: ["${process.execPath}", "-e", ${JSON.stringify(program)}], upAfter: 20s, backoff: { base: 100ms, max: 100ms } }\n`,
  );
  await place.steward('up', '-d', file);
  const said = new RegExp(`port ${port} is taken by .* \\(pid ${process.pid}\\); it wrote: .*EADDRINUSE`);
  await until('who has the port', async () => said.test(await place.ok('events')));
});

test('a program that ends again and again is told with its last lines', async (t) => {
  const place = newPlace(t);
  const file = place.write(
    'steward.yaml',
    `services:
  web:
    run: "echo begins; echo 'ModuleNotFoundError: No module named app' >&2; exit 3"
    shell: true
    startRetries: 3
    backoff: { base: 100ms, max: 100ms }
`,
  );
  await place.steward('up', '-d', file);
  const web = await until('FATAL with its lines', async () => {
    const found = await place.instance('web');
    return found.state === 'FATAL' && /it wrote/.test(found.reason) && found;
  });
  assert.match(
    web.reason,
    /exited with code 3 .*gave up after 4 failed starts; it wrote: (begins \/ )?ModuleNotFoundError: No module named app/,
  );
  assert.match(await place.ok('events'), /instance\.explained .*ModuleNotFoundError/);
});
