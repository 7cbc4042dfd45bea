/** `listen: shared`: a socket that outlives whoever serves it, so that nobody who connects is refused. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort, get, isRunning, kill, newPlace, type Place, run, until } from './harness.ts';

const server = `import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, VERSION = '1' } = process.env;
createServer((_request, response) =>
  response.end(JSON.stringify({ pid: process.pid, uid: process.getuid(), LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES, VERSION })),
).listen({ fd: 3 });
`;

interface Said {
  readonly pid: number;
  readonly uid: number;
  readonly LISTEN_PID: string;
  readonly LISTEN_FDS: string;
  readonly LISTEN_FDNAMES: string;
  readonly VERSION: string;
}

type Target = { readonly port: number } | { readonly socketPath: string };

/** One request on a connection of its own. */
function ask(target: Target): Promise<Said> {
  return new Promise((resolve, reject) => {
    const made = request({ ...target, host: '127.0.0.1', agent: false, timeout: 25_000 }, (response) => {
      let body = '';
      response.on('data', (chunk) => (body += chunk));
      response.once('end', () => resolve(JSON.parse(body) as Said));
      response.once('error', reject);
    });
    made.once('timeout', () => made.destroy(new Error('no answer in 25 s')));
    made.once('error', reject);
    made.end();
  });
}

interface Load {
  /** What was counted, by outcome: `answered`, or the system's code: ECONNRESET is a connection that a killed process had accepted. */
  stop(): Promise<Map<string, number>>;
}

/** Eight clients that connect anew for every request, until told to stop. */
function startLoad(target: Target): Load {
  const counts = new Map<string, number>();
  let asking = true;
  const count = (outcome: string): void => void counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const client = async (): Promise<void> => {
    while (asking) {
      await ask(target).then(
        () => count('answered'),
        (error: NodeJS.ErrnoException) => count(error.code ?? error.message),
      );
      await wait(2);
    }
  };
  const clients = Array.from({ length: 8 }, client);
  return {
    async stop() {
      asking = false;
      await Promise.all(clients);
      return counts;
    },
  };
}

/** Resets are told, not asserted: which connections a killed process had accepted is chance. */
function assertNoneRefused(t: TestContext, counts: ReadonlyMap<string, number>): void {
  t.diagnostic([...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', '));
  const others = [...counts.keys()].filter((outcome) => outcome !== 'answered' && outcome !== 'ECONNRESET');
  assert.deepEqual(others, []);
  assert.ok((counts.get('answered') ?? 0) > 50, 'requests were answered');
}

function newServer(t: TestContext, service: string): Place {
  const place = newPlace(t);
  place.write('server.mjs', server);
  place.write('steward.yaml', `services:\n  web: {run: node server.mjs, upAfter: 100ms, ${service}}\n`);
  return place;
}

const pidsOf = async (place: Place): Promise<number[]> =>
  (await place.ps()).flatMap(({ service, pid }) => (service === 'web' && pid !== undefined ? [pid] : []));

const keeperOf = (place: Place): number =>
  place.processes().find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('keeper.ts')) ?? assert.fail('no keeper');

/** Kills what lives of these. */
function killAll(pids: readonly number[]): void {
  for (const pid of pids) if (isRunning(pid)) kill(pid);
}

test('all instances killed again and again refuse nobody', async (t) => {
  const port = await freePort();
  const place = newServer(t, `instances: 3, listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  const said = await ask({ port });
  assert.deepEqual([said.LISTEN_PID, said.LISTEN_FDS, said.LISTEN_FDNAMES], [String(said.pid), '1', 'web']);
  const load = startLoad({ port });
  for (let n = 0; n < 5; n++) {
    await wait(200);
    killAll(await pidsOf(place));
  }
  await until('all run again', async () => (await place.ps()).every(({ state }) => state === 'RUNNING'));
  assertNoneRefused(t, await load.stop());
  assert.match(await get(`http://[::1]:${port}/`).then(({ body }) => body), /LISTEN_PID/, 'IPv6 reaches it too');
});

test('a restart, more instances, fewer, and a new program refuse nobody', async (t) => {
  const port = await freePort();
  const place = newServer(t, `instances: 2, listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  const load = startLoad({ port });
  await place.ok('restart', 'web');
  for (const changed of ['instances: 4', 'instances: 1', 'instances: 2, env: {VERSION: 2}']) {
    place.write('steward.yaml', `services:\n  web: {run: node server.mjs, upAfter: 100ms, listen: shared, port: ${port}, ${changed}}\n`);
    await place.ok('up', '-d');
  }
  assertNoneRefused(t, await load.stop());
  assert.equal((await ask({ port })).VERSION, '2');
});

test('the daemon killed, then all instances too: who connects meanwhile waits, and is served by the next ones', async (t) => {
  const port = await freePort();
  const place = newServer(t, `instances: 2, listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  const load = startLoad({ port });
  kill(await place.daemonPid());
  await wait(200);
  await place.ok('up', '-d');
  const before = await pidsOf(place);
  killAll(before);
  await until('the new daemon started others on the same socket', async () => {
    const now = await pidsOf(place);
    return now.length === 2 && now.every((pid) => !before.includes(pid));
  });
  const victims = await pidsOf(place);
  kill(await place.daemonPid());
  killAll(victims);
  await wait(500);
  const waiting = ask({ port });
  await place.ok('up', '-d');
  assert.ok(!victims.includes((await waiting).pid));
  assertNoneRefused(t, await load.stop());
});

test('a killed keeper loses nothing: the next one gets the socket from the daemon', async (t) => {
  const port = await freePort();
  const place = newServer(t, `instances: 2, listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  const load = startLoad({ port });
  const first = keeperOf(place);
  kill(first);
  await until('another keeper', () => place.processes().some((pid) => pid !== first && commandOf(pid).includes('keeper.ts')));
  await wait(500);
  const victims = await pidsOf(place);
  kill(await place.daemonPid());
  killAll(victims);
  await place.ok('up', '-d');
  assertNoneRefused(t, await load.stop());
});

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
};

test('daemon and keeper killed together: the next daemon has the socket from a running instance', {
  skip: process.getuid?.() !== 0 && 'other users may be kept from it by Yama',
}, async (t) => {
  const port = await freePort();
  const place = newServer(t, `instances: 2, listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  const load = startLoad({ port });
  const keeper = keeperOf(place);
  kill(await place.daemonPid());
  kill(keeper);
  const before = await pidsAfterUp(place);
  killAll(before);
  await until('other instances', async () => {
    const now = await pidsOf(place);
    return now.length === 2 && now.every((pid) => !before.includes(pid));
  });
  assertNoneRefused(t, await load.stop());
});

async function pidsAfterUp(place: Place): Promise<number[]> {
  await place.ok('up', '-d');
  return pidsOf(place);
}

test('another port is listened on after an apply, and the old one is free; down frees it too', async (t) => {
  const [port, next] = [await freePort(), await freePort()];
  const place = newServer(t, `instances: 2, listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  place.write('steward.yaml', `services:\n  web: {run: node server.mjs, upAfter: 100ms, instances: 2, listen: shared, port: ${next}}\n`);
  assert.match(await place.ok('up', '-d'), /~ web:web_1 restarts\n {4}endpoint: /);
  await ask({ port: next });
  await assert.rejects(ask({ port }), { code: 'ECONNREFUSED' });
  await place.ok('stop', 'web');
  await assert.rejects(ask({ port: next }), { code: 'ECONNREFUSED' }, 'a service that was stopped refuses');
  await place.ok('start', 'web');
  await ask({ port: next });
  await place.ok('down');
  await assert.rejects(ask({ port: next }), { code: 'ECONNREFUSED' });
});

test('a service that listens itself gets the port that it shared before', async (t) => {
  const port = await freePort();
  const place = newServer(t, `listen: shared, port: ${port}`);
  await place.ok('up', '-d');
  place.write(
    'own.mjs',
    `import { createServer } from 'node:http';\ncreateServer((_, response) => response.end('{}')).listen(Number(process.argv[2]));\n`,
  );
  place.write('steward.yaml', `services:\n  web: {run: "node own.mjs {{port}}", port: ${port}}\n`);
  await place.ok('up', '-d');
  assert.equal((await place.instance('web')).restarts, 0, 'it found the port free at its first start');
  place.write('steward.yaml', `services:\n  web: {run: node server.mjs, upAfter: 100ms, listen: shared, port: ${port}}\n`);
  await place.ok('up', '-d');
  assert.equal((await ask({ port })).LISTEN_FDS, '1');
});

test('a port in use is told with its place and who has it, the rest runs, and it is taken once it is free', async (t) => {
  const port = await freePort();
  const place = newPlace(t);
  place.write('server.mjs', server);
  const file = place.write(
    'steward.yaml',
    `services:\n  web: {run: node server.mjs, upAfter: 100ms, startRetries: 0, listen: shared, port: ${port}}\n  other: {run: sleep 1000}\n`,
  );
  const stranger = createServer();
  await new Promise<void>((resolve) => stranger.listen(port, '127.0.0.1', resolve));
  t.after(() => stranger.close());
  const column = readFileSync(file, 'utf8').split('\n')[1]?.indexOf(String(port)) ?? -1;
  const { code, out } = await place.steward('up', '-d');
  assert.equal(code, 1);
  assert.match(
    out,
    new RegExp(
      `port ${port} is taken: .+ \\(pid ${process.pid}\\) listens there \\(services\\.web\\.port, steward\\.yaml:2:${column + 1}\\)`,
    ),
  );
  assert.equal((await place.instance('other')).state, 'RUNNING');
  const { err } = await place.steward('check');
  assert.match(
    err,
    new RegExp(`steward\\.yaml:2:${column + 1} {2}warning: services\\.web: port ${port} is taken[^]*\\[config/port-taken\\]`),
  );
  await new Promise((resolve) => stranger.close(resolve));
  await place.ok('start', 'web');
  await ask({ port });
  assert.doesNotMatch((await place.steward('check')).err, /port-taken/, 'what Steward itself has is no problem');
});

test('unix sockets, handed out and named, live through kills and go with their service', async (t) => {
  const place = newPlace(t);
  place.write('server.mjs', server);
  const services = (more: string): string =>
    `services:\n  web: {run: node server.mjs, upAfter: 100ms, instances: 2, listen: shared, socket: true}\n${more}`;
  place.write('steward.yaml', services('  named: {run: node server.mjs, upAfter: 100ms, listen: shared, socket: run/named.sock}\n'));
  mkdirSync(join(place.folder, 'run'));
  await place.ok('up', '-d');
  const socketPath = (await place.instance('web:web_1')).endpoint?.replace('unix:', '') as string;
  assert.equal(statSync(socketPath).mode & 0o777, 0o660);
  const load = startLoad({ socketPath });
  for (let n = 0; n < 3; n++) {
    await wait(200);
    killAll(await pidsOf(place));
  }
  kill(await place.daemonPid());
  killAll(
    await place
      .ps()
      .catch(() => [])
      .then((all) => all.flatMap(({ pid }) => pid ?? [])),
  );
  await place.ok('up', '-d');
  assertNoneRefused(t, await load.stop());
  const named = join(place.folder, 'run/named.sock');
  assert.equal((await ask({ socketPath: named })).LISTEN_FDNAMES, 'named');
  rmSync(named);
  await place.ok('restart', 'named');
  await ask({ socketPath: named }); // a file that was removed is made again
  place.write('steward.yaml', services(''));
  await place.ok('up', '-d');
  await assert.rejects(ask({ socketPath: named }), { code: 'ENOENT' });
});

test('another user gets a socket on a port that only root may open, and no other service gets it', {
  skip: process.getuid?.() !== 0 && 'needs root',
}, async (t) => {
  const place = newPlace(t);
  const port = 1000 + Math.floor(Math.random() * 23);
  place.write(
    'server.py',
    `import json, os, socket
s = socket.socket(fileno=3)
while True:
    c, _ = s.accept()
    c.recv(65536)
    body = json.dumps({"pid": os.getpid(), "uid": os.getuid(), "LISTEN_PID": os.environ["LISTEN_PID"], "path": os.environ["MY_PATH"]})
    c.sendall(("HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body)).encode())
    c.close()
`,
  );
  place.write(
    'steward.yaml',
    `services:
  web: {run: /usr/bin/python3 server.py, user: www-data, listen: {kind: shared, host: 127.0.0.1}, port: ${port}, env: {MY_PATH: "a b"}}
  other: {run: sleep 1000, after: [web]}
  late: {run: sleep 1000, user: www-data, after: [other]}
`,
  );
  await place.ok('up', '-d');
  const said = await ask({ port });
  const { uid } = statSync('/proc/self');
  assert.notEqual(said.uid, uid);
  assert.equal(said.LISTEN_PID, String(said.pid));
  for (const { id, pid } of await place.ps()) {
    const sockets = readdirSync(`/proc/${pid}/fd`).filter((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:'));
    assert.deepEqual(sockets, id === 'web' ? ['3'] : [], `sockets of ${id}`);
  }
});

test('the backlog is what the file says, whatever the program asks for', async (t) => {
  const port = await freePort();
  const place = newServer(t, `listen: {kind: shared, backlog: 77}, port: ${port}`);
  await place.ok('up', '-d');
  const backlog = async (): Promise<string | undefined> => (await run('ss', ['-Hltn', `sport = :${port}`])).out.trim().split(/\s+/)[2];
  assert.equal(await backlog(), '77', "not Node's 511");
  killAll(await pidsOf(place));
  await ask({ port });
  await until('the same again', async () => (await backlog()) === '77');
});

test('the gateway reaches a service by its shared socket, as one server', async (t) => {
  const [port, site] = [await freePort(), await freePort()];
  const place = newServer(t, `instances: 2, listen: shared, port: ${port}`);
  place.write(
    'steward.yaml',
    `services:\n  web: {run: node server.mjs, upAfter: 100ms, instances: 2, listen: shared, port: ${port}}
gateway: {workers: 1}
sites:\n  - {listen: ["127.0.0.1:${site}"], routes: [{path: /, service: web}]}\n`,
  );
  await place.ok('up', '-d');
  const answer = await get(`http://127.0.0.1:${site}/`);
  assert.equal(answer.status, 200);
  const [victim] = await pidsOf(place);
  kill(victim as number);
  assert.equal((await get(`http://127.0.0.1:${site}/`)).status, 200, 'the other instance serves');
});
