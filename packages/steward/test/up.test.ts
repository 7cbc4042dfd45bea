import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort, get, isRunning, kill, launcher, newPlace, run, until } from './harness.ts';

const counting = `sh -c 'i=0; while true; do i=$((i+1)); echo line $i; sleep 0.1; done'`;

test('up -d runs services, ps shows them, down stops them in reverse order', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:\n  base: {run: "${counting}"}\n  top: {run: "${counting}", after: [base], instances: 2, upAfter: 200ms}\n`,
  );
  const out = await place.ok('up', '-d');
  assert.match(out, /\+ base starts\n\+ top:top_1 starts\n\+ top:top_2 starts/);
  const instances = await place.ps();
  assert.deepEqual(
    instances.map(({ id, state }) => `${id} ${state}`),
    ['base RUNNING', 'top:top_1 RUNNING', 'top:top_2 RUNNING'],
  );
  for (const { pid, restarts, lastLine, memoryBytes } of instances) {
    assert.ok(pid !== undefined && isRunning(pid));
    assert.equal(restarts, 0);
    assert.match(lastLine ?? '', /^line \d+$/);
    assert.ok((memoryBytes ?? 0) > 100_000);
  }
  const [base, top] = instances as [(typeof instances)[0], (typeof instances)[0]];
  assert.ok(
    Date.parse(top.startedAt as string) >= Date.parse(base.startedAt as string) + 1000,
    'top waits until base has been up for a second',
  );
  assert.equal(await place.ok('down'), 'stopped\n');
  for (const { pid } of instances) assert.ok(!isRunning(pid as number));
  assert.deepEqual(place.processes(), []);
  await place.ok('up', '-d');
  const order = (await place.ok('events', '-n', '1000'))
    .split('\n')
    .filter((line) => line.includes('instance.stopped'))
    .map((line) => line.split(' ')[1]);
  assert.deepEqual(order.slice(-1), ['base']);
});

test('up in the foreground shows the lines of all services, and Ctrl-C stops in order', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', `services:\n  one: {run: "${counting}"}\n  two: {run: "sh -c 'echo oops >&2; exec sleep 1000'"}\n`);
  const up = place.foreground('up');
  await until(
    'live lines',
    () => /one +\| line 3/.test(up.text()) && /two +! oops/.test(up.text()) && /two instance.running/.test(up.text()),
  );
  const pids = (await place.ps()).map(({ pid }) => pid as number);
  up.kill('SIGINT');
  const code = await new Promise((resolve) => up.once('exit', resolve));
  assert.equal(code, 0, up.text());
  assert.match(up.text(), /stopping all services in order[\s\S]*stopped\n$/);
  assert.ok(pids.every((pid) => !isRunning(pid)));
});

test('a terminal that goes away stops what runs in the foreground, in order', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', `services:\n  one: {run: "${counting}"}\n`);
  const up = place.foreground('up');
  await until('it runs', () => /one +\| line 3/.test(up.text()));
  const [{ pid } = {}] = await place.ps();
  up.stdout?.destroy();
  up.stderr?.destroy();
  await new Promise((resolve) => up.once('exit', resolve));
  assert.ok(!isRunning(pid as number));
  assert.equal((await place.steward('ps')).code, 3);
});

test('logs are merged by time, chosen by name, and followed', async (t) => {
  const place = newPlace(t);
  // Each waits for the other's line before its next, so that the order is known however slow the machine is.
  // What comes before the keeper is there has one time.
  const kept = 'until [ -e state/logs/a.log -a -e state/logs/b.log ]; do sleep 0.02; done; ';
  place.write(
    'a.sh',
    `${kept}for i in 1 2 3; do echo a$i; sleep 0.1; : > a$i; until [ -e b$i ]; do sleep 0.02; done; done; exec sleep 1000\n`,
  );
  place.write('b.sh', 'for i in 1 2 3; do until [ -e a$i ]; do sleep 0.02; done; echo b$i; sleep 0.1; : > b$i; done; exec sleep 1000\n');
  place.write('steward.yaml', 'services:\n  a: {run: sh a.sh}\n  b: {run: sh b.sh}\n');
  await place.ok('up', '-d');
  const texts = (out: string): string[] =>
    out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text);
  await until('all lines', async () => texts(await place.ok('logs', '--json')).length === 6);
  assert.deepEqual(texts(await place.ok('logs', '--json')), ['a1', 'b1', 'a2', 'b2', 'a3', 'b3']);
  assert.deepEqual(texts(await place.ok('logs', '--json', '-n', '1', 'b')), ['b3']);
  assert.match(await place.ok('logs', 'a', '-n', '1'), /^\d\d:\d\d:\d\d\.\d{3} a +\| a3\n$/);
  const since = (JSON.parse((await place.ok('logs', '--json', 'a', '-n', '1')).trim()) as { at: string }).at;
  assert.deepEqual(texts(await place.ok('logs', '--json', '--since', since)), ['a3', 'b3']);
  const follower = place.foreground('logs', '-f', '-n', '0', 'a');
  await until('follower', async () => {
    await place.ok('restart', 'a');
    return /a3/.test(follower.text());
  });
});

test('a killed service runs again at once with another pid, and the journal says why', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  web: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const before = (await place.instance('web')).pid as number;
  kill(before);
  const after = await until('another pid', async () => {
    const { pid } = await place.instance('web');
    return pid !== before && pid;
  });
  assert.ok(isRunning(after));
  assert.equal((await place.instance('web')).restarts, 1);
  assert.match(await place.ok('events'), /web instance\.exited {2}was killed by signal 9 after/);
});

test('stop and crash leave nothing of a process group behind', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:\n  tree: {run: "sh -c 'sleep 1001 & (trap \\"\\" TERM; sleep 1002; sleep 1003) & wait'", stop: {timeout: 500ms}}\n`,
  );
  await place.ok('up', '-d');
  const group = async (): Promise<number[]> => {
    const { pid } = await place.instance('tree');
    const out = (await run('ps', ['-eo', 'pid=,pgid='])).out
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    return out.filter(([, leader]) => leader === pid).map(([member]) => member as number);
  };
  const first = await until('the whole tree', async () => {
    const members = await group();
    return members.length >= 4 && members;
  });
  kill((await place.instance('tree')).pid as number);
  await until('the orphans of the crash are gone', () => first.every((pid) => !isRunning(pid)));
  const second = await until('a new tree', async () => {
    const members = await group();
    return members.length >= 4 && members;
  });
  await place.ok('stop', 'tree');
  assert.ok(second.every((pid) => !isRunning(pid)));
});

test('a service that ignores TERM is killed after its timeout', async (t) => {
  const place = newPlace(t);
  place.write('stubborn.sh', 'trap "" TERM\nwhile true; do sleep 0.1; done\n');
  place.write('steward.yaml', 'services:\n  stubborn: {run: sh stubborn.sh, stop: {timeout: 300ms}}\n');
  await place.ok('up', '-d');
  const { pid } = await place.instance('stubborn');
  await place.ok('stop', 'stubborn');
  assert.ok(!isRunning(pid as number));
  assert.match(await place.ok('events'), /stubborn instance\.killed {2}still there 0\.3 s after TERM: gets KILL/);
});

test('what is stopped by hand stays stopped over a new daemon, until it is started', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n  b: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  await place.ok('stop', 'a');
  await place.ok('down');
  await place.ok('up', '-d');
  assert.deepEqual(
    (await place.ps()).map(({ id, state }) => `${id} ${state}`),
    ['a STOPPED', 'b RUNNING'],
  );
  assert.match(await place.ok('ps'), /a +STOPPED .*\(stopped by hand\)/);
  await place.ok('start', 'a');
  assert.equal((await place.instance('a')).state, 'RUNNING');
});

test('groups, all, and signals reach the instances they name; an unknown name is told with a guess', async (t) => {
  const place = newPlace(t);
  place.write('hup.sh', 'trap "echo got hup" HUP\nwhile true; do sleep 0.05; done\n');
  place.write('steward.yaml', 'services:\n  web: {run: sh hup.sh, instances: 2, group: front}\n  db: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  await place.ok('signal', 'HUP', 'front:*');
  await until('both traps', async () => (await place.ok('logs', 'web')).match(/got hup/g)?.length === 2);
  await place.ok('stop', 'front:web_1');
  assert.deepEqual(
    (await place.ps()).map(({ state }) => state),
    ['STOPPED', 'RUNNING', 'RUNNING'],
  );
  await place.ok('stop', 'all');
  assert.deepEqual(
    (await place.ps()).map(({ state }) => state),
    ['STOPPED', 'STOPPED', 'STOPPED'],
  );
  const unknown = await place.steward('start', 'wbe');
  assert.equal(unknown.code, 2);
  assert.match(unknown.err, /there is no service or instance "wbe" {2}\[api\/unknown-name\]\n.*Did you mean "web"\?/);
  assert.equal((await place.steward('signal', 'NOPE', 'web')).code, 2);
});

test('readiness by log line, http, unix socket and sd_notify is waited for', async (t) => {
  const place = newPlace(t);
  const port = await freePort();
  place.write(
    'web.py',
    `import http.server, sys, time
time.sleep(0.5)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
`,
  );
  place.write(
    'sock.py',
    `import socket, sys, time
time.sleep(0.3)
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(8)
while True: s.accept()[0].close()
`,
  );
  place.write(
    'notify.py',
    `import os, socket, time
time.sleep(0.4)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
`,
  );
  place.write(
    'steward.yaml',
    `services:
  log: {run: "sh -c 'sleep 0.4; echo server is ready; exec sleep 1000'", ready: {log: 'is ready$'}}
  web: {run: "python3 web.py {{port}}", port: ${port}, ready: {http: "http://{{endpoint}}/"}}
  sock: {run: "python3 sock.py {{socket}}", socket: true, after: [log]}
  notify: {run: python3 notify.py, ready: {notify: true}}
  never: {run: sleep 1000, ready: {log: nothing, timeout: 1s}, startRetries: 0}
`,
  );
  const up = await place.steward('up', '-d');
  assert.equal(up.code, 1, 'one service never becomes ready');
  const facts = await place.ok('events', '-n', '200');
  for (const name of ['log', 'web', 'sock', 'notify'])
    assert.match(facts, new RegExp(`${name} instance\\.running {2}ready [0-9.]+ s after its start`));
  assert.match(facts, /never instance\.fatal {2}not ready within 1\.0 s; gave up after 1 failed starts/);
  const [log, sock] = await Promise.all([place.instance('log'), place.instance('sock')]);
  assert.ok(Date.parse(sock.startedAt as string) >= Date.parse(log.startedAt as string) + 400);
  assert.ok(existsSync((sock.endpoint as string).replace('unix:', '')));
  await place.ok('stop', 'sock');
  assert.ok(!existsSync((sock.endpoint as string).replace('unix:', '')), 'stop removes the socket');
});

test('user, groups, umask, folder, HOME and USER are what the file says', { skip: process.getuid?.() !== 0 && 'needs root' }, async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:
  who: {run: "sh -c 'echo [$SECRET] [$STEWARD_STATE]; id -un; id -gn; id -Gn; umask; pwd; echo $HOME $USER; exec sleep 1000'", user: www-data, groups: [www-data, adm], umask: '027', cwd: /usr, env: {SECRET: "{{secret.key}}"}}
secrets:
  key: {file: key.txt}
`,
  );
  place.write('key.txt', 'hunter2\n');
  await place.ok('up', '-d');
  const lines = await until('seven lines', async () => {
    const found = (await place.ok('logs', '--json', 'who'))
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { text: string }).text);
    return found.length >= 7 && found;
  });
  assert.deepEqual(lines, ['[hunter2] []', 'www-data', 'www-data', 'www-data adm', '0027', '/usr', '/var/www www-data']);
  for (const file of ['state.db', 'state.db-wal', 'daemon.log'])
    assert.ok(!readFileSync(join(place.state, file)).includes('hunter2'), `${file} holds the secret`);
  assert.ok(!(await place.ok('ps', '--json')).includes('hunter2'));
});

test('what cannot start is told in words, and the rest runs', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    'services:\n  typo: {run: pyhton3 app.py, startRetries: 0}\n  folder: {run: sleep 1, cwd: /nowhere, startRetries: 0}\n  good: {run: sleep 1000}\n',
  );
  const { code, out } = await place.steward('up', '-d');
  assert.equal(code, 1);
  assert.match(out, /typo +FATAL .*cannot start: command not found: "pyhton3" is in none of/);
  assert.match(out, /folder +FATAL .*its working directory \/nowhere does not exist/);
  assert.match(out, /good +RUNNING/);
});

test('the control socket and the state are private', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const mode = (name: string): string => (statSync(join(place.state, name)).mode & 0o777).toString(8);
  assert.deepEqual(['control.sock', 'state.db', 'secret.key', 'io', 'gateway', 'authority', 'logs'].map(mode), [
    '600',
    '600',
    '600',
    '700',
    '700',
    '700',
    '750',
  ]);
});

test('without a daemon the other commands say so and end with 3', async (t) => {
  const place = newPlace(t);
  for (const words of [['ps'], ['logs'], ['stop', 'x'], ['events'], ['plan', '/dev/null'], ['apply', '/dev/null']]) {
    const { code, err } = await place.steward(...words);
    assert.equal(code, 3, `${words}: ${err}`);
    assert.match(err, /no Steward daemon answers: start one with `steward up`/);
  }
});

test('wrong words end with 2 and say what is right', async (t) => {
  const place = newPlace(t);
  const wrong: [string[], RegExp][] = [
    [['strat', 'x'], /there is no command "strat".*\n.*Did you mean "start"\?/],
    [['ps', '--jsn'], /unknown option '--jsn'/i],
    [['start'], /start needs at least one name/],
    [['events', 'x'], /events takes no names, and got "x"/],
    [['up'], /there is no steward\.yaml in/],
    [['logs', '--since', 'yesterday'], /"yesterday" is neither a duration nor a time/],
    [['up', 'missing.yaml'], /cannot read missing\.yaml: there is no such file/],
    [['ps', '--state', `/tmp/${'x'.repeat(120)}`], /no Steward daemon answers|longer than 107 bytes/],
  ];
  for (const [words, message] of wrong) {
    const { code, err } = await place.steward(...words);
    assert.match(err, message);
    assert.ok(code === 2 || code === 3, `${words} ended with ${code}`);
    assert.doesNotMatch(err, /at file:|at async/, 'a stack trace is not for a user');
  }
});

test('the launcher works through a symlink, from anywhere, without Node on PATH', async (t) => {
  const place = newPlace(t);
  const link = join(place.folder, 'my-steward');
  symlinkSync(launcher, link);
  const { code, out } = await run(link, ['version'], { cwd: '/', env: { PATH: '/usr/bin:/bin', STEWARD_STATE: place.state } });
  assert.equal(code, 0);
  assert.match(out, /^steward \d+\.\d+\.\d+ on node v26\./);
});

test('a second daemon on the same state directory is refused', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const { code, err } = await place.steward('daemon');
  assert.equal(code, 2);
  assert.match(err, /a Steward daemon \(pid \d+\) already uses/);
});

test('the gateway runs as the user the file names, and reaches the sockets of services of other users', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const place = newPlace(t);
  const port = await freePort();
  place.write(
    'app.py',
    `import http.server, socketserver, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def address_string(self): return "gateway"
    def log_message(self, *a): pass
socketserver.ThreadingUnixStreamServer(sys.argv[1], H).serve_forever()
`,
  );
  place.write(
    'steward.yaml',
    `gateway: {user: games}
services:
  app: {run: "/usr/bin/python3 app.py {{socket}}", socket: true, user: nobody}
sites:
  - {listen: ["127.0.0.1:${port}"], routes: [{service: app}]}
`,
  );
  await place.ok('up', '-d');
  const { pid } = await place.instance('gateway:gateway_1');
  assert.equal((await run('ps', ['-o', 'user=', '-p', String(pid)])).out.trim(), 'games');
  assert.deepEqual(await get(`http://127.0.0.1:${port}/`).then(({ status, body }) => [status, body]), [200, 'ok']);
});

test('a name that makes a path too long for the system is told, and the rest runs', async (t) => {
  const place = newPlace(t);
  const [long, longer] = ['n'.repeat(120), 'm'.repeat(260)];
  place.write(
    'steward.yaml',
    `services:
  ${long}: {run: sleep 1000, ready: {notify: true}, startRetries: 0}
  ${longer}: {run: sleep 1000, startRetries: 0}
  good: {run: sleep 1000}
`,
  );
  const { code, out } = await place.steward('up', '-d');
  assert.equal(code, 1);
  assert.match(out, /n{120} +FATAL .*the path of its notify socket, .*, is longer than 107 bytes/);
  assert.match(out, /m{260} +FATAL .*cannot make the named pipe .*ENAMETOOLONG/);
  assert.match(out, /good +RUNNING/);
});

test('a daemon that is started with --resume takes over and applies the files of the last apply', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const { pid } = await place.instance('a');
  kill(await place.daemonPid());
  const daemon = place.foreground('daemon', '--resume');
  await until('it has taken over', async () => (await place.steward('ps')).out.includes('RUNNING'));
  assert.equal((await place.instance('a')).pid, pid);
  daemon.kill('SIGTERM');
  await new Promise((resolve) => daemon.once('exit', resolve));
  assert.ok(!isRunning(pid as number));
});

test('two that start Steward at the same moment end with one daemon and one copy of each service', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000, upAfter: 100ms}\n');
  const outcomes = await Promise.all([place.steward('up', '-d'), place.steward('up', '-d'), place.steward('up', '-d')]);
  assert.deepEqual(
    outcomes.map(({ code }) => code),
    [0, 0, 0],
    outcomes.map(({ err }) => err).join('\n'),
  );
  assert.equal((await place.ps()).length, 1);
  assert.equal((await place.instance('a')).restarts, 0);
});

test('a port that is taken is told, and the gateway serves it once it is free', async (t) => {
  const place = newPlace(t);
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const { port } = blocker.address() as { port: number };
  place.write('steward.yaml', `sites:\n  - {listen: ["127.0.0.1:${port}"], routes: [{respond: free at last}]}\n`);
  const { code, err } = await place.steward('up', '-d');
  assert.equal(code, 1);
  assert.match(err, new RegExp(`gateway: .*${port}`));
  await new Promise((resolve) => blocker.close(resolve));
  await until('it serves', async () => (await get(`http://127.0.0.1:${port}/`).catch(() => undefined))?.body === 'free at last');
});

test('sites are served over HTTPS by the local authority, and a dead instance is skipped', async (t) => {
  const place = newPlace(t);
  const [port, tls, plain] = [await freePort(), await freePort(), await freePort()];
  place.write(
    'app.py',
    `import http.server, sys, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["STEWARD_INSTANCE"].encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`,
  );
  place.write('hello.txt', 'a file');
  place.write(
    'steward.yaml',
    `services:
  app: {run: "python3 app.py {{port}}", port: ${port}, instances: 2}
sites:
  - listen: ["127.0.0.1:${tls}"]
    redirectFrom: ["127.0.0.1:${plain}"]
    tls: internal
    routes:
      - {path: /, service: app}
      - {path: /files/, files: .}
`,
  );
  await place.ok('up', '-d');
  const ca = await place.ok('ca');
  const url = `https://localhost:${tls}`;
  const seen = new Set<string>();
  for (let n = 0; n < 6; n++) seen.add((await get(url, { ca })).body);
  assert.deepEqual([...seen].toSorted(), ['app:app_1', 'app:app_2']);
  assert.equal((await get(`${url}/files/hello.txt`, { ca })).body, 'a file');
  const redirect = await get(`http://localhost:${plain}/x?y=1`);
  assert.deepEqual([redirect.status, redirect.headers.location], [308, `https://localhost:${tls}/x?y=1`]);
  await place.ok('stop', 'app:app_1');
  for (let n = 0; n < 4; n++) assert.equal((await get(url, { ca })).body, 'app:app_2');
  await place.ok('stop', 'app');
  const none = await get(url, { ca });
  assert.deepEqual([none.status, none.headers['retry-after']], [503, '1']);
});

test('logs rotate by size, and a log of its own is written where the file says', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:\n  chatty: {run: "sh -c 'seq 1 20000; exec sleep 1000'", stdout: {file: out/chatty.log, maxSize: 20KB, keep: 2}}\n  silent: {run: "sh -c 'echo x; exec sleep 1000'", stdout: {file: none}}\n`,
  );
  await place.ok('up', '-d');
  const log = join(place.folder, 'out/chatty.log');
  await until('the last line', () => existsSync(log) && readFileSync(log, 'utf8').endsWith('20000\n'));
  assert.ok(existsSync(`${log}.1`) && existsSync(`${log}.2`) && !existsSync(`${log}.3`));
  assert.ok(readFileSync(`${log}.1`, 'utf8').endsWith('\n'));
  assert.equal(await place.ok('logs', '--no-marks', 'silent'), '');
});

test('a file that is changed under a running daemon is applied by SIGHUP', async (t) => {
  const place = newPlace(t);
  const file = place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  writeFileSync(file, 'services:\n  a: {run: sleep 1000}\n  b: {run: sleep 1000}\n');
  kill(await place.daemonPid(), 'SIGHUP');
  await until('b', async () => (await place.ps()).some(({ id, state }) => id === 'b' && state === 'RUNNING'));
});
