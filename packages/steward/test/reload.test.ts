/** Replacing what runs without a gap, other numbers of instances, commands at moments, and commands in a service's environment. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, isRunning, kill, newPlace, type Place, until } from './harness.ts';

/** Answers with its version, which it reads at its start, and ends at once when it gets TERM: what it was answering breaks off. */
const program = `import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
const version = readFileSync('version', 'utf8').trim();
if (version === 'bad') process.exit(3);
if (version === 'v2') await new Promise((resolve) => setTimeout(resolve, 500));
const where = process.argv[2];
createServer((request, response) => {
  setTimeout(() => response.end(version + ' ' + process.pid), request.url === '/slow' ? 700 : 1);
}).listen(/^\\d+$/.test(where) ? { port: Number(where), host: '127.0.0.1' } : where === 'fd' ? { fd: 3 } : where);
`;

interface Load {
  /** How often each answer came, by what it begins with, and each failure. */
  stop(): Promise<Map<string, number>>;
}

/** Clients on kept connections: POST, which nobody may send twice, so that one lost request shows. */
function ask(port: number, clients = 6): Load {
  const seen = new Map<string, number>();
  const agent = new http.Agent({ keepAlive: true, maxSockets: clients });
  let going = true;
  const note = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
  const once = (path: string): Promise<void> =>
    new Promise((resolve) => {
      const request = http.request({ port, host: '127.0.0.1', path, method: 'POST', agent, timeout: 30_000 }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (part) => (body += part));
        response.once('end', () =>
          resolve(note(response.statusCode === 200 ? (body.split(' ')[0] ?? '') : `status ${response.statusCode}`)),
        );
        response.once('error', (error) => resolve(note(error.message)));
      });
      request.once('error', (error) => resolve(note(error.message)));
      request.end('x');
    });
  const all = Array.from({ length: clients }, async (_, n) => {
    while (going) await once(n === 0 ? '/slow' : '/');
  });
  return {
    async stop() {
      going = false;
      await Promise.all(all);
      agent.destroy();
      return seen;
    },
  };
}

const faults = (seen: ReadonlyMap<string, number>): string[] =>
  [...seen].filter(([what]) => !/^v\d$/.test(what)).map(([what, count]) => `${count} ${what}`);

async function serve(
  t: TestContext,
  service: string,
  instances = 1,
): Promise<{ place: Place; port: number; release(version: string): void }> {
  const place = newPlace(t);
  const port = await freePort();
  const release = (version: string): void => void place.write('version', version);
  release('v1');
  place.write('program.mjs', program);
  place.write(
    'steward.yaml',
    `services:\n  web:\n    instances: ${instances}\n${service.replace(/^/gm, '    ')}\nsites:\n  - listen: ["127.0.0.1:${port}"]\n    routes: [{ service: web }]\ngateway: { workers: 1 }\n`,
  );
  await place.ok('up', '-d', 'steward.yaml');
  return { place, port, release };
}

const pidOf = async (place: Place, id = 'web'): Promise<number> => (await place.instance(id)).pid ?? assert.fail(`${id} does not run`);

const endpoints = {
  'a socket of its own': 'run: node program.mjs {{socket}}\nsocket: true\ninheritEnv: true',
  'a port': 'run: node program.mjs {{port}}\nport: PORT\ninheritEnv: true',
} as const;

for (const [kind, written] of Object.entries(endpoints))
  test(`an only instance with ${kind} is replaced under load, and no request is lost`, async (t) => {
    const { place, port, release } = await serve(t, written.replace('PORT', String(await freePort())));
    const before = await pidOf(place);
    const load = ask(port);
    await wait(300);
    release('v2');
    assert.match(await place.ok('reload', 'web'), /^web: replaced web$/m);
    await until('the new version', async () => (await place.ps()).every(({ id }) => !id.includes('stand-in')));
    const seen = await load.stop();
    assert.deepEqual(faults(seen), []);
    assert.ok((seen.get('v1') ?? 0) > 0 && (seen.get('v2') ?? 0) > 0, JSON.stringify([...seen]));
    assert.notEqual(await pidOf(place), before);
    assert.ok(!isRunning(before));
  });

test('a version that does not come up is told, and the one before serves on untouched', async (t) => {
  const { place, port, release } = await serve(t, endpoints['a socket of its own'], 2);
  const pids = [await pidOf(place, 'web:web_1'), await pidOf(place, 'web:web_2')];
  const load = ask(port);
  release('bad');
  const { code, err } = await place.steward('reload', 'web');
  assert.equal(code, 1);
  assert.match(err, /web: a new copy does not come up: exited with code 3 .*; nothing else was touched/);
  assert.deepEqual(faults(await load.stop()), []);
  assert.deepEqual([await pidOf(place, 'web:web_1'), await pidOf(place, 'web:web_2')], pids);
  assert.deepEqual(
    (await place.ps()).filter(({ id }) => id.includes('stand-in')),
    [],
  );
});

test('an apply with update: rolling replaces without a gap, and takes back what does not come up', async (t) => {
  const { place, port } = await serve(t, `${endpoints['a socket of its own']}\nupdate: rolling\nenv: { SETTING: first }`, 2);
  const load = ask(port);
  const file = join(place.folder, 'steward.yaml');
  const text = readFileSync(file, 'utf8');
  const before = await pidOf(place, 'web:web_1');
  place.write('steward.yaml', text.replace('SETTING: first', 'SETTING: second'));
  await place.ok('apply', 'steward.yaml');
  await until('the end of it', async () => (await place.ok('events', '--json')).includes('service.reloaded'));
  const pids = [await pidOf(place, 'web:web_1'), await pidOf(place, 'web:web_2')];
  assert.ok(!pids.includes(before));
  assert.match(await place.ok('plan', 'steward.yaml'), /3 stay untouched/);
  place.write('steward.yaml', text.replace('node program.mjs', 'node nothing.mjs'));
  await place.ok('apply', 'steward.yaml');
  await until('the refusal', async () => (await place.ok('events', '--json')).includes('service.reload-failed'));
  assert.deepEqual([await pidOf(place, 'web:web_1'), await pidOf(place, 'web:web_2')], pids);
  assert.match(await place.ok('plan', 'steward.yaml'), /restart/, 'what was not done is still to be done');
  assert.deepEqual(faults(await load.stop()), []);
});

test('with reload: HUP the program reloads itself', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:\n  web:\n    run: [sh, -c, "trap 'echo reloaded' HUP; echo up; while :; do sleep 0.1; done"]\n    reload: HUP\n    ready: { log: up }\n`,
  );
  await place.ok('up', '-d', 'steward.yaml');
  const before = await pidOf(place);
  assert.match(await place.ok('reload', 'web'), /web: sent HUP to web/);
  await until('its word', async () => (await place.ok('logs', 'web')).includes('reloaded'));
  assert.equal(await pidOf(place), before);
});

test('a daemon killed in the middle of a reload: the next one ends it, and nobody notices', async (t) => {
  const { place, port, release } = await serve(t, endpoints['a socket of its own']);
  const load = ask(port);
  release('v2');
  const daemon = await place.daemonPid();
  const events = place.foreground('events', '-f');
  await until('the beginning of the events', () => events.text().includes('instance.running'));
  const reload = place.steward('reload', 'web');
  await until('the copy', () => /stand-in instance.running/.test(events.text()));
  kill(daemon);
  assert.notEqual((await reload).code, 0);
  await wait(300);
  await place.ok('up', '-d', 'steward.yaml');
  await until('the copy to be gone', async () => {
    const all = await place.ps();
    return all.every(({ id }) => !id.includes('stand-in')) && all.some(({ id, state }) => id === 'web' && state === 'RUNNING');
  });
  assert.deepEqual(faults(await load.stop()), []);
});

test('scale touches only what it must, holds over a new daemon, and until the file says another number', async (t) => {
  const { place } = await serve(t, endpoints['a socket of its own']);
  const first = await pidOf(place);
  assert.match(await place.ok('scale', 'web', '3'), /^web: 1 → 3; its file says 1$/m);
  const ids = (await place.ps()).filter(({ service }) => service === 'web').map(({ id }) => id);
  assert.deepEqual(ids, ['web', 'web:web_2', 'web:web_3']);
  assert.equal(await pidOf(place), first);
  const second = await pidOf(place, 'web:web_2');
  kill(await place.daemonPid());
  await place.ok('up', '-d', 'steward.yaml');
  assert.deepEqual([await pidOf(place), await pidOf(place, 'web:web_2')], [first, second]);
  assert.match(await place.ok('scale', 'web', '-1'), /3 → 2/);
  assert.deepEqual([await pidOf(place), await pidOf(place, 'web:web_2')], [first, second]);
  const text = readFileSync(join(place.folder, 'steward.yaml'), 'utf8');
  place.write('steward.yaml', text.replace('instances: 1', 'instances: 3'));
  await place.ok('apply', 'steward.yaml');
  assert.equal((await place.ps()).filter(({ service }) => service === 'web').length, 3);
  for (const words of [['web', '-9'], ['nobody', '1'], ['web', 'many'], ['web']]) {
    const { code, err } = await place.steward('scale', ...words);
    assert.deepEqual([code, /\[(api|cli)\//.test(err)], [2, true], words.join(' '));
  }
});

test('commands run at their moments, and what fails is told', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:
  web:
    run: [sh, -c, "echo up; exec sleep 1000"]
    ready: { log: up }
    stderr: stdout
    env: { WORD: from-env }
    hooks:
      beforeStart: [sh, -c, "echo beforeStart $HOOK $WORD"]
      afterReady: [sh, -c, "echo afterReady $STEWARD_PID; exit 4"]
      beforeStop: [sh, -c, "echo beforeStop $(test -d /proc/$STEWARD_PID && echo alive)"]
      afterExit: [sh, -c, "echo afterExit $EXIT_SIGNAL"]
  never:
    run: [sh, -c, "echo started; exec sleep 1000"]
    stderr: stdout
    startRetries: 0
    hooks: { beforeStart: [sh, -c, "echo no; exit 9"] }
  late:
    run: [sleep, "1000"]
    startRetries: 0
    hooks: { beforeStart: [sleep, "1000"], timeout: 300ms }
`,
  );
  await place.steward('up', '-d', 'steward.yaml');
  const pid = await pidOf(place);
  await until('the end of the others', async () => (await place.ps()).filter(({ state }) => state === 'FATAL').length === 2);
  assert.match((await place.instance('never')).reason, /its beforeStart exited with code 9/);
  assert.match((await place.instance('late')).reason, /its beforeStart was not done within 0.3 s, and was killed/);
  assert.doesNotMatch(await place.ok('logs', 'never'), /started/);
  assert.match(await place.ok('events'), /its afterReady exited with code 4/);
  await place.ok('restart', 'web');
  await until('all of them', async () => (await place.ok('logs', 'web')).includes('afterExit'));
  const log = await place.ok('logs', 'web');
  assert.match(log, /beforeStart beforeStart from-env/);
  assert.match(log, new RegExp(`afterReady ${pid}`));
  assert.match(log, /beforeStop alive/);
  assert.match(log, /afterExit 15/);
});

test('run and exec: a command in the environment of a service, with its exit code', async (t) => {
  const place = newPlace(t);
  place.write('secret', 'hush\n');
  place.write(
    'steward.yaml',
    'secrets: { key: { file: secret } }\nservices:\n  web:\n    run: sleep 1000\n    umask: "077"\n    env: { KEY: "{{secret.key}}" }\n',
  );
  await place.ok('up', '-d', 'steward.yaml');
  for (const how of ['run', 'exec']) {
    const { code, out } = await place.steward(how, 'web', '--', 'sh', '-c', 'pwd; echo "$KEY $STEWARD_SERVICE $(umask)"; exit 5');
    assert.equal(code, 5, how);
    assert.deepEqual(out.trimEnd().split('\n'), [place.folder, 'hush web 0077'], how);
    const missing = await place.steward(how, 'web', '--', 'no-such-command');
    assert.notEqual(missing.code, 0);
    assert.match(missing.err, /command not found: "no-such-command"/, how);
    assert.equal((await place.steward(how, 'web')).code, 2);
  }
  const id = (await place.ok('run', '-d', 'web', '--', 'sh', '-c', 'echo one; sleep 1000')).trim();
  await until('its line', async () => (await place.ok('logs', id)).includes('one'));
  const pid = await pidOf(place, id);
  kill(await place.daemonPid());
  await place.ok('up', '-d', 'steward.yaml');
  assert.equal(await pidOf(place, id), pid, 'it goes on over a new daemon');
  await place.ok('stop', id);
  assert.ok(!isRunning(pid));
  assert.equal((await place.ps()).filter(({ service }) => service === 'web').length, 2, 'it stays to be looked at');
});
