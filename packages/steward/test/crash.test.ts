/** Promise 1: the control plane may die at any moment. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { assertCounting, keepAsking, linesOf, numberWriter } from './continuity.ts';
import { freePort, get, isRunning, kill, newPlace, until } from './harness.ts';

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

const server = `import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
`;

test('kill -9 of the daemon, 50 times at random moments, loses no line, no request and no process', async (t) => {
  const place = newPlace(t);
  const [port, site] = [await freePort(), await freePort()];
  place.write('server.py', server);
  place.write('writer.py', numberWriter);
  place.write(
    'steward.yaml',
    `services:
  writer: {run: python3 writer.py, stdout: {maxSize: 100KB, keep: 1000}}
  web: {run: "python3 server.py {{port}}", port: ${port}}
gateway: {accessLog: false}
sites:
  - {listen: ["127.0.0.1:${site}"], routes: [{path: /, service: web}]}
`,
  );
  await place.ok('up', '-d');
  const before = new Map((await place.ps()).map(({ id, pid }) => [id, pid]));
  const client = keepAsking(`http://127.0.0.1:${site}/`);
  for (let n = 0; n < 50; n++) {
    const daemon = Number(readFileSync(join(place.state, 'daemon.lock'), 'utf8'));
    // At any moment of its life: while it works quietly, while it adopts, while it starts.
    const up = place.steward('up', '-d');
    if (n % 2 === 0) await up;
    await wait(Math.random() * (n % 2 === 0 ? 60 : 900));
    const now = Number(readFileSync(join(place.state, 'daemon.lock'), 'utf8'));
    for (const pid of new Set([daemon, now])) if (pid > 0 && isRunning(pid)) kill(pid);
    await up;
  }
  await place.ok('up', '-d');
  const failures = await client.stop();
  const after = new Map((await place.ps()).map(({ id, pid }) => [id, pid]));
  assert.deepEqual(failures, []);
  assert.ok(client.answered() > 200, `${client.answered()} requests answered`);
  assert.deepEqual(after, before, 'the same processes throughout');
  assert.ok((await place.ps()).every(({ restarts }) => restarts === 0));
  await place.ok('stop', 'writer');
  assertCounting(linesOf(place, 'writer'), 10_001);
});

test('keeper, gateway workers and daemon, killed again and again, lose no line and no process', async (t) => {
  const place = newPlace(t);
  const site = await freePort();
  place.write('writer.py', numberWriter);
  place.write(
    'steward.yaml',
    `services:
  writer: {run: python3 writer.py, stdout: {maxSize: 100KB, keep: 1000}}
gateway: {workers: 2}
sites:
  - {listen: ["127.0.0.1:${site}"], routes: [{respond: here}]}
`,
  );
  await place.ok('up', '-d');
  const { pid } = await place.instance('writer');
  const ours = (part: string): number[] => place.processes().filter((one) => commandOf(one).includes(part));
  for (let n = 0; n < 8; n++) {
    for (const victim of ours('keeper.ts')) kill(victim);
    if (n % 2 === 0) for (const victim of ours('main.ts').filter((one) => commandOf(one).includes('daemon'))) kill(victim);
    if (n % 3 === 0) for (const victim of ours('worker.ts').slice(0, 1)) kill(victim);
    await wait(Math.random() * 400);
    await place.ok('up', '-d');
  }
  await until('the gateway is whole again', async () => (await place.ps()).every(({ state }) => state === 'RUNNING'));
  assert.equal((await get(`http://127.0.0.1:${site}/`)).body, 'here');
  assert.equal((await place.instance('writer')).pid, pid);
  await place.ok('stop', 'writer');
  assertCounting(linesOf(place, 'writer'), 2001);
});

test('services go on while no daemon runs, however much they write', async (t) => {
  const place = newPlace(t);
  place.write(
    'flood.py',
    'import sys\nfor n in range(1, 300001): sys.stdout.write("%d\\n" % n)\nsys.stdout.flush()\nopen("done", "w").close()\nimport time; time.sleep(1000)\n',
  );
  place.write(
    'steward.yaml',
    'services:\n  quiet: {run: sleep 1000}\n  flood: {run: python3 flood.py, autostart: false, stdout: {maxSize: 0}}\n',
  );
  await place.ok('up', '-d');
  const started = place.steward('start', 'flood');
  await until('it runs', async () => (await place.instance('flood')).pid !== undefined);
  kill(await place.daemonPid());
  await started;
  await until('it has written 2 MB with nobody there', () => readdirSync(place.folder).includes('done'));
  await place.ok('up', '-d');
  assert.deepEqual(linesOf(place, 'flood').length, 300_000);
});

test('a service that dies while no daemon runs is started again by the next one', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    'services:\n  a: {run: sleep 1000}\n  b: {run: sleep 1000}\n  once: {run: "true", restart: never, upAfter: 0s}\n',
  );
  await place.ok('up', '-d');
  const [a, b] = [await place.instance('a'), await place.instance('b')];
  kill(await place.daemonPid());
  kill(a.pid as number);
  await until('a is dead', () => !isRunning(a.pid as number));
  await place.ok('up', '-d');
  assert.notEqual((await place.instance('a')).pid, a.pid);
  assert.equal((await place.instance('b')).pid, b.pid);
  assert.equal((await place.instance('once')).state, 'EXITED', 'what has ended as it should is not run again');
});

test('the death of an adopted service is seen at once, with its exit code, and it runs again', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', `services:\n  a: {run: "sh -c 'trap \\"exit 7\\" USR1; while true; do sleep 0.05; done'"}\n`);
  await place.ok('up', '-d');
  kill(await place.daemonPid());
  await place.ok('up', '-d');
  const { pid } = await place.instance('a');
  kill(pid as number, 'SIGUSR1');
  await until('a new one', async () => {
    const now = await place.instance('a');
    return now.pid !== undefined && now.pid !== pid;
  });
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number) as [number, number];
  const tells = release[0] > 6 || (release[0] === 6 && release[1] >= 15);
  assert.match(
    await place.ok('events'),
    tells ? /a instance\.exited {2}exited with code 7/ : /a instance\.exited {2}ended while no Steward watched/,
  );
});

test('a service that is still starting when the daemon dies becomes ready under the next one', async (t) => {
  const place = newPlace(t);
  place.write(
    'notify.py',
    `import os, socket, time
while not os.path.exists("go"): time.sleep(0.05)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
`,
  );
  const user = process.getuid?.() === 0 ? ', user: www-data' : '';
  place.write('steward.yaml', `services:\n  slow: {run: /usr/bin/python3 notify.py, ready: {notify: true}${user}}\n`);
  const first = place.foreground('up', '-d');
  const { pid } = await until('it starts', async () => {
    const outcome = await place.steward('ps', '--json');
    const found =
      outcome.code === 0 ? (JSON.parse(outcome.out) as { instances: { pid?: number; state: string }[] }).instances[0] : undefined;
    return found?.pid !== undefined && found.state === 'STARTING' && found;
  });
  kill(await place.daemonPid());
  first.kill('SIGKILL');
  const second = place.steward('up', '-d');
  await until('it is taken over', async () => (await place.steward('events')).out.includes('taken over'));
  place.write('go', '');
  const outcome = await second;
  assert.equal(outcome.code, 0, outcome.out + outcome.err + (await place.steward('events')).out);
  const now = await place.instance('slow');
  assert.deepEqual([now.state, now.pid, now.restarts], ['RUNNING', pid, 0]);
});

test('a service that is on no record, since the disk was full, gets no second copy', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n  b: {run: sleep 1000}\n');
  await place.ok('up', '-d');
  const [a, b] = [await place.instance('a'), await place.instance('b')];
  kill(await place.daemonPid());
  const db = new DatabaseSync(join(place.state, 'state.db'));
  db.exec("delete from instance where id = 'a'");
  db.close();
  assert.match(await place.ok('up', '-d'), /~ a restarts\n {4}it runs and is on no record: .*\n {2}1 stays untouched: b/);
  assert.ok(!isRunning(a.pid as number));
  assert.equal((await place.instance('b')).pid, b.pid);
  assert.equal((await place.instance('a')).state, 'RUNNING');
});

test('a killed gateway worker comes back, and the other serves on', async (t) => {
  const place = newPlace(t);
  const site = await freePort();
  place.write('steward.yaml', `gateway: {workers: 2}\nsites:\n  - {listen: ["127.0.0.1:${site}"], routes: [{path: /, respond: hello}]}\n`);
  await place.ok('up', '-d');
  const { pid } = await place.instance('gateway:gateway_1');
  kill(pid as number);
  await until('it is back', async () => {
    const now = await place.instance('gateway:gateway_1');
    return now.state === 'RUNNING' && now.pid !== pid;
  });
  assert.equal((await get(`http://127.0.0.1:${site}/`)).body, 'hello');
});

test('down ends what a killed daemon left behind', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000, instances: 3}\n');
  await place.ok('up', '-d');
  const pids = (await place.ps()).map(({ pid }) => pid as number);
  kill(await place.daemonPid());
  assert.match(await place.ok('down'), /stopped 3 instances that an earlier daemon left/);
  assert.ok(pids.every((pid) => !isRunning(pid)));
});
