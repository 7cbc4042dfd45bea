/** The boot list as a user has it: after a reboot, by hand, over the death of the daemon, on two hosts that need each other. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createClient, Unreachable } from '@steward/sdk/client';
import type { BootInfo } from '@steward/sdk/contract/boot';
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import { freePort, isRunning, kill, newPlace, type Place, repository, until } from './harness.ts';

const clientOf = ({ state }: Place) => createClient({ socketPath: join(state, 'control.sock') });

const bootOf = (place: Place): Promise<BootInfo> => clientOf(place).getBoot();

/** The boot once it fits; also while the daemon is being started. */
const untilBoot = (place: Place, what: string, fits: (info: BootInfo) => boolean): Promise<BootInfo> =>
  until(what, async () => {
    const info = await bootOf(place).catch((error: Error) => (error instanceof Unreachable ? undefined : Promise.reject(error)));
    return info !== undefined && fits(info) && info;
  });

async function instanceOf(place: Place, id: string): Promise<InstanceInfo> {
  const { instances } = await clientOf(place).listInstances({ query: { brief: true } });
  return instances.find((instance) => instance.id === id) ?? assert.fail(`there is no instance ${id}`);
}

const stateOf = ({ state, steps }: BootInfo): string => [`${state}:`, ...steps.map((step) => `${step.name} ${step.state}`)].join(' ');

const untilState = (place: Place, state: BootInfo['state']): Promise<BootInfo> =>
  untilBoot(place, `the boot is ${state}`, (info) => info.state === state);

/** The words that steps wrote into `done`, in order. */
const doneIn = (place: Place): string[] => {
  const file = join(place.folder, 'done');
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').filter(Boolean) : [];
};

/** A step that writes a word into `done`. */
const says = (word: string): string => `{run: "echo ${word} >> done", shell: true}`;

/** As if the machine had booted since: only the kernel can change its boot id, so the one on record is another. */
function forgetBoot(place: Place): void {
  const db = new DatabaseSync(join(place.state, 'state.db'));
  const { value } = db.prepare("select value from setting where name = 'boot'").get() as { value: string };
  const record = { ...(JSON.parse(value) as object), bootId: 'of an earlier boot' };
  db.prepare("update setting set value = ? where name = 'boot'").run(JSON.stringify(record));
  db.close();
}

test('the first up after a boot runs the list in order; its services wait for their step, others do not', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:
  web: {run: sleep 1000, upAfter: 0}
  other: {run: sleep 1000, upAfter: 0}
boot:
  steps:
    first: ${says('first')}
    gate: {waitFor: {path: open}}
    second: ${says('second')}
    web: {service: web}
  lists: {default: [first, gate, second, web]}
`,
  );
  const up = place.steward('up', '-d');
  await untilBoot(place, 'the list stands at its gate', ({ steps }) => steps[1]?.state === 'trying');
  const held = await instanceOf(place, 'web');
  assert.deepEqual([held.state, held.reason], ['STOPPED', 'waits for boot step web']);
  await until('what no step names runs', async () => (await instanceOf(place, 'other')).state === 'RUNNING');
  assert.deepEqual(doneIn(place), ['first']);
  place.write('open', '');
  const { code, out, err } = await up;
  assert.equal(code, 0, out + err);
  assert.equal(stateOf(await untilState(place, 'done')), 'done: first done gate done second done web done');
  assert.deepEqual(doneIn(place), ['first', 'second']);
  assert.equal((await instanceOf(place, 'web')).state, 'RUNNING');

  await clientOf(place).restartInstances({ body: { names: ['all'] } });
  await place.ok('down');
  await place.ok('up', '-d');
  assert.equal((await bootOf(place)).state, 'done');
  assert.deepEqual(doneIn(place), ['first', 'second'], 'neither restart all nor the next up of this boot runs it again');

  await place.ok('down');
  forgetBoot(place);
  await place.ok('up', '-d');
  await untilState(place, 'done');
  assert.deepEqual(doneIn(place), ['first', 'second', 'first', 'second'], 'a reboot does');
});

test('a list stops at a step that fails, says why, and goes on there', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `boot:
  steps:
    one: ${says('one')}
    two: {run: "test -e fixed || { echo no fuel; echo no wheel >&2; exit 7; }", shell: true}
    three: ${says('three')}
  lists: {'${hostname()}': [one, two, three]}
`,
  );
  await place.steward('up', '-d');
  await untilState(place, 'failed');
  const shown = await place.steward('boot');
  assert.equal(shown.code, 1);
  assert.match(shown.err, /--resume goes on at the step that failed/);
  assert.match(shown.out, /two +failed .* exited with code 7/);
  assert.match(shown.out, /three +pending/);
  assert.match(shown.out, /last lines of two:\n {2}no fuel\n {2}no wheel/);
  assert.match(await place.ok('events'), /boot:two boot\.failed {2}the boot list stops at two: exited with code 7/);
  assert.match(await place.ok('logs', 'boot'), /no fuel/);

  const again = await place.steward('boot', '--resume');
  assert.equal(again.code, 1);
  place.write('fixed', '');
  const { code, out, err } = await place.steward('boot', '--resume');
  assert.equal(code, 0, out + err);
  assert.match(err, /done two/);
  assert.deepEqual(doneIn(place), ['one', 'three']);

  assert.match((await place.steward('boot')).err, /it has run since this machine booted; --again runs it again/);
  assert.deepEqual(doneIn(place), ['one', 'three']);
  await place.ok('boot', '--from', 'three');
  assert.deepEqual(doneIn(place), ['one', 'three', 'three']);
  await place.ok('boot', '--again');
  assert.deepEqual(doneIn(place), ['one', 'three', 'three', 'one', 'three']);
  const wrong = await place.steward('boot', '--from', 'tree');
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /there is no step "tree".*\n.*Did you mean "three"\?/);
});

test('failures are retried, passed, or ended in their time, as each step says', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `boot:
  steps:
    third: {run: "echo x >> tries; test $(wc -l < tries) -eq 3", shell: true, retry: {times: 5, every: 10ms}}
    quiet: {run: "false", onFailure: continue}
    loud: {run: steward-has-no-such-program, onFailure: alert}
    slow: {run: "sh -c 'echo $$ > pid; sleep 1000'", timeout: 500ms, onFailure: continue}
    vain: {waitFor: {path: never}, timeout: 300ms, onFailure: continue}
    last: ${says('last')}
`,
  );
  await place.steward('up', '-d');
  const { steps } = await untilState(place, 'degraded');
  assert.deepEqual(
    steps.map(({ name, state, tries }) => `${name} ${state} ${tries}`),
    ['third done 3', 'quiet failed 1', 'loud failed 1', 'slow failed 1', 'vain failed 1', 'last done 1'],
  );
  const why = new Map(steps.map((step) => [step.name, step.why]));
  assert.match(why.get('quiet') ?? '', /exited with code 1/);
  assert.match(why.get('loud') ?? '', /command not found/);
  assert.match(why.get('slow') ?? '', /^not done within 0\.5 s/);
  assert.match(why.get('vain') ?? '', /^not done within 0\.3 s.*No such file/);
  const pid = Number(readFileSync(join(place.folder, 'pid'), 'utf8'));
  await until('the command that took too long is gone', () => !isRunning(pid));
  assert.match(await place.ok('events'), /boot:loud boot\.alert /);
  assert.deepEqual(doneIn(place), ['last']);
});

test('a daemon that a command leaves running stays', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `boot:\n  steps:\n    left: {run: "setsid sleep 1000 & echo $! > left", shell: true}\n    last: ${says('last')}\n`,
  );
  await place.ok('up', '-d');
  await untilState(place, 'done');
  const pid = Number(readFileSync(join(place.folder, 'left'), 'utf8'));
  t.after(() => isRunning(pid) && kill(pid));
  await place.ok('boot', '--from', 'last');
  assert.ok(isRunning(pid));
  kill(pid);
});

test('a service that a person stopped is left as it is, and the list goes on', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:
  web: {run: sleep 1000, upAfter: 0}
  broken: {run: "test -e fixed && exec sleep 1000", shell: true, upAfter: 200ms, startRetries: 0, autostart: false}
boot:
  steps: {web: {service: web}, broken: {service: broken}}
`,
  );
  await place.steward('up', '-d');
  await untilState(place, 'failed');
  await place.ok('stop', 'web');
  await place.steward('boot', '--again');
  const { steps } = await bootOf(place);
  assert.match(steps[0]?.why ?? '', /web was stopped by hand/);
  assert.match(steps[1]?.why ?? '', /^broken: exited with code 1/);
  assert.equal((await instanceOf(place, 'web')).state, 'STOPPED');
  place.write('fixed', '');
  await place.ok('boot', '--resume');
  assert.equal((await instanceOf(place, 'broken')).state, 'RUNNING', 'one that had failed is started again');
});

test('what a step does behind the list ends before the list begins again', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `boot:
  steps:
    flaky: {run: "test -e marker && exec sleep 1000; touch marker; exit 1", shell: true, background: true, retry: {every: 10ms}, timeout: 5m}
    last: ${says('last')}
`,
  );
  await place.steward('up', '-d');
  const { pid } = await until('its second try hangs', async () => {
    const { steps } = await bootOf(place).catch(() => ({ steps: [] }));
    const instance = steps[0]?.tries === 2 ? await instanceOf(place, 'boot:flaky') : undefined;
    return instance?.pid !== undefined && instance;
  });
  rmSync(join(place.folder, 'marker'));
  await place.ok('boot', '--again');
  assert.ok(!isRunning(pid ?? 0));
  assert.deepEqual(doneIn(place), ['last', 'last']);
});

test('the example says what each host would do, and its default list runs', async (t) => {
  const place = newPlace(t);
  const [cache, api] = [await freePort(), await freePort()];
  const text = readFileSync(join(repository, 'examples/boot/steward.yaml'), 'utf8');
  place.write(
    'steward.yaml',
    text
      .replaceAll('8711', String(cache))
      .replaceAll('8712', String(api))
      .replaceAll('/tmp/steward-boot-example', join(place.folder, 'scratch')),
  );
  const namesFor = async (host: string): Promise<string[]> =>
    (JSON.parse(await place.ok('boot', '--dry-run', '--host', host, '--json', 'steward.yaml')) as BootInfo).steps.map(({ name }) => name);
  assert.deepEqual(await namesFor('xavatar-a'), ['cache', 'rpcbind', 'nfs', 'exported', 'photos', 'time', 'apps']);
  assert.deepEqual(await namesFor('xavatar-b.example.com'), ['rpcbind', 'nfs', 'exported', 'files', 'time', 'apps']);
  const imported = await place.ok('import', 'steward.yaml');
  place.write('imported.yaml', imported);
  assert.equal(await place.ok('import', 'imported.yaml'), imported, 'what was imported imports as itself');
  await place.ok('up', '-d', 'imported.yaml');
  assert.equal(stateOf(await untilState(place, 'done')), 'done: scratch done cache done apps done');
  assert.ok(existsSync(join(place.folder, 'scratch')));
});

test('after a kill -9 of the daemon the list goes on: what is done is not done again, a command under way is waited for', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `boot:
  steps:
    one: ${says('one')}
    long: {run: "echo long >> done; echo $$ > pid; while ! test -e open; do sleep 0.05; done", shell: true, timeout: 5m}
    three: ${says('three')}
`,
  );
  await place.steward('up', '-d');
  const pidFile = join(place.folder, 'pid');
  const pid = await until('the command runs', () => existsSync(pidFile) && Number(readFileSync(pidFile, 'utf8')));
  kill((await clientOf(place).getStatus()).pid);
  await place.steward('up', '-d');
  await untilBoot(place, 'the command is waited for again', ({ steps }) => steps[1]?.state === 'trying');
  assert.ok(isRunning(pid));
  assert.deepEqual(doneIn(place), ['one', 'long'], 'it is not started beside itself');

  kill((await clientOf(place).getStatus()).pid);
  kill(-pid);
  await until('the command is gone', () => !isRunning(pid));
  place.write('open', '');
  await place.steward('up', '-d');
  await untilState(place, 'done');
  assert.deepEqual(doneIn(place), ['one', 'long', 'long', 'three'], 'one that nobody saw end is run again');
});

test('a list that is cut off by down goes on with the next up', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', `boot:\n  steps:\n    one: ${says('one')}\n    gate: {waitFor: {path: open}}\n    two: ${says('two')}\n`);
  await place.steward('up', '-d');
  await untilBoot(place, 'the list stands', ({ steps }) => steps[1]?.state === 'trying');
  await place.ok('down');
  place.write('open', '');
  await place.steward('up', '-d');
  await untilState(place, 'done');
  assert.deepEqual(doneIn(place), ['one', 'two']);
});

test('two hosts that need each other do not wait for each other forever', async (t) => {
  const [a, b] = [newPlace(t), newPlace(t)];
  const [portA, portB] = [await freePort(), await freePort()];
  // One file for both, as it would lie on both hosts.
  const text = `services:
  exportA: {run: "python3 -m http.server --bind 127.0.0.1 ${portA}", autostart: false, ready: {tcp: "127.0.0.1:${portA}"}}
  exportB: {run: "python3 -m http.server --bind 127.0.0.1 ${portB}", autostart: false, ready: {tcp: "127.0.0.1:${portB}"}}
boot:
  steps:
    fromB: {waitFor: {tcp: "127.0.0.1:${portB}"}, background: true, retry: {every: 100ms}}
    fromA: {waitFor: {tcp: "127.0.0.1:${portA}"}, background: true, retry: {every: 100ms}}
    toB: {service: exportA}
    toA: {service: exportB}
  lists:
    host-a: [fromB, toB]
    host-b: [fromA, toA]
`;
  for (const place of [a, b]) {
    place.write('steward.yaml', text);
    await place.ok('up', '-d');
    assert.equal((await bootOf(place)).list, null, 'this machine is neither of them');
  }
  const first = JSON.parse(await a.ok('boot', '--host', 'host-a', '--json')) as BootInfo;
  assert.equal(stateOf(first), 'degraded: fromB waiting toB done', 'a is up without b, and still wants it');
  await b.ok('boot', '--host', 'host-b');
  for (const place of [a, b]) await untilState(place, 'done');
  assert.match(await a.ok('events'), /boot\.waiting .*the list goes on without it[\s\S]*boot\.degraded[\s\S]*boot\.done/);

  kill((await clientOf(a).getStatus()).pid);
  await a.ok('up', '-d');
  assert.equal(stateOf(await bootOf(a)), 'done: fromB done toB done', 'the host that was asked for is remembered');
  const wrong = await a.steward('boot', '--host', 'hots-a');
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /there is no boot list for host "hots-a".*\n.*Did you mean "host-a"\?/);
});

test('two hosts that mount each other boot at the same time', { skip: mayMount() }, async (t) => {
  const [a, b] = [newPlace(t), newPlace(t)];
  const folder = mkdtempSync(join(tmpdir(), 'steward-boot-'));
  t.after(() => {
    for (const name of ['onA', 'onB']) execFileSync('umount', ['--', join(folder, name)]);
    rmSync(folder, { recursive: true });
  });
  // What a host exports is there once its own list has come so far.
  const text = `boot:
  steps:
    fromB: {mount: {source: ${folder}/ofB, at: ${folder}/onA, options: [bind]}, background: true, retry: {every: 50ms}}
    fromA: {mount: {source: ${folder}/ofA, at: ${folder}/onB, options: [bind]}, background: true, retry: {every: 50ms}}
    exportA: {run: "mkdir -p ${folder}/ofA && echo a > ${folder}/ofA/who", shell: true}
    exportB: {run: "mkdir -p ${folder}/ofB && echo b > ${folder}/ofB/who", shell: true}
  lists: {host-a: [fromB, exportA], host-b: [fromA, exportB]}
`;
  for (const place of [a, b]) {
    place.write('steward.yaml', text);
    await place.ok('up', '-d');
  }
  await Promise.all([clientOf(a).runBoot({ body: { host: 'host-a' } }), clientOf(b).runBoot({ body: { host: 'host-b' } })]);
  for (const place of [a, b]) await untilState(place, 'done');
  assert.deepEqual(
    ['onA', 'onB'].map((name) => readFileSync(join(folder, name, 'who'), 'utf8')),
    ['b\n', 'a\n'],
  );
});

test('a daemon killed at any moment of the list is followed by one that leaves no step out and goes back by none', async (t) => {
  const place = newPlace(t);
  const names = ['one', 'two', 'three', 'four', 'five', 'six'];
  const steps = names.map((name) => `    ${name}: {run: "sleep 0.5; echo ${name} >> done", shell: true}\n`).join('');
  place.write('steward.yaml', `boot:\n  steps:\n${steps}`);
  for (let n = 0; n < 4; n++) {
    await place.steward('up', '-d');
    const { pid } = await clientOf(place).getStatus();
    await wait(Math.random() * 600);
    kill(pid);
  }
  await place.steward('up', '-d');
  await untilState(place, 'done');
  const done = doneIn(place);
  assert.deepEqual(
    done.filter((name, index) => name !== done[index - 1]),
    names,
    'only a step that was under way is done twice',
  );
});

test('a dry run says what would be done and does nothing', async (t) => {
  const place = newPlace(t);
  const file = place.write(
    'steward.yaml',
    `boot:
  steps:
    disk: {mount: {source: "10.0.0.3:/data", at: data, type: nfs}, background: true}
    one: ${says('one')}
    peer: {waitFor: {tcp: "10.0.0.3:2049"}, timeout: 2m, retry: {times: 2}, onFailure: alert}
  lists: {xavatar-a: [disk, peer, one], default: []}
`,
  );
  const out = await place.ok('boot', '--dry-run', '--host', 'xavatar-a', file);
  assert.match(out, /^boot of xavatar-a would do, in this order:\nSTEP +NOW +DOES/);
  assert.match(out, /disk +pending +mount 10\.0\.0\.3:\/data at .*data +at most 1m 0s a try, tried again until it is done/);
  assert.match(out, /peer +pending +wait for tcp 10\.0\.0\.3:2049 +at most 2m 0s a try, tried again 2 times; .*with an alert\none/);
  await place.ok('up', '-d');
  const info = JSON.parse(await place.ok('boot', '--dry-run', '--host', 'xavatar-a', '--json')) as BootInfo;
  assert.equal(stateOf(info), 'idle: disk pending peer pending one pending');
  assert.deepEqual(doneIn(place), []);
  assert.equal((await place.steward('boot', '--resume', '--again')).code, 2);
});

test('a list mounts, and mounting again changes nothing', { skip: mayMount() }, async (t) => {
  const place = newPlace(t);
  const folder = mkdtempSync(join(tmpdir(), 'steward-boot-'));
  t.after(() => {
    execFileSync('umount', ['--', join(folder, 'disk')]);
    rmSync(folder, { recursive: true });
  });
  place.write(
    'steward.yaml',
    `boot:
  steps:
    disk: {mount: {source: steward-test, at: ${folder}/disk, type: tmpfs, options: [size=1m]}}
    there: {waitFor: {mount: ${folder}/disk}}
`,
  );
  await place.ok('up', '-d');
  await untilState(place, 'done');
  writeFileSync(join(folder, 'disk/kept'), '');
  const again = JSON.parse(await place.ok('boot', '--again', '--json')) as BootInfo;
  assert.match(again.steps[0]?.why ?? '', /was mounted at .* already/);
  assert.match(again.steps[1]?.why ?? '', /steward-test is mounted at/);
  assert.ok(existsSync(join(folder, 'disk/kept')));
});

/** Whether this process may mount; root in a container often may not. */
function mayMount(): string | false {
  const folder = mkdtempSync(join(tmpdir(), 'steward-boot-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'steward-test', folder], { stdio: 'ignore' });
    execFileSync('umount', ['--', folder]);
    return false;
  } catch {
    return 'this user may not mount here';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
