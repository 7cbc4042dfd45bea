/** Requests that wait for a server of their upstream, in a live worker. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Address } from '../config/model.ts';
import { Deadlines } from './connection/deadlines.ts';
import {
  ask,
  freePort,
  proxyTo,
  proxyToService,
  route,
  serverAt,
  site,
  startGateway,
  startUpstream,
  temporaryFolder,
  until,
} from './testing.ts';
import { type Held, Holding } from './upstream/holding.ts';

const echo: http.RequestListener = (req, res) => {
  let body = '';
  req.setEncoding('utf8').on('data', (part: string) => {
    body += part;
  });
  req.on('end', () => res.end(`${req.method} ${body.length}`));
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers on a unix socket until it is stopped, with what it has under way, as a program that is killed. */
async function startAt(file: string, handler: http.RequestListener = echo): Promise<{ stop: () => Promise<void> }> {
  rmSync(file, { force: true });
  const server = http.createServer(handler);
  await new Promise<void>((resolve) => server.listen(file, resolve));
  return {
    stop: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function serve(t: TestContext, holdMs: number, endpoints: readonly Address[] = []) {
  const port = await freePort();
  // Ten thousand connections to one program take a loaded machine longer than the two seconds the tests allow otherwise.
  const sites = [site(port, [route('/', { ...proxyToService('web'), holdMs, connectTimeoutMs: 60_000 })])];
  const running = await startGateway(t, sites, { endpoints: new Map([['web', endpoints]]) });
  return { ...running, port, publish: (next: readonly Address[]) => running.apply(sites, { endpoints: new Map([['web', next]]) }) };
}

const counts = ({ gateway }: Awaited<ReturnType<typeof serve>>) => [...gateway.counters().values()][0];

test('requests wait for the instances of a service, bodies and all, and get 503 when none comes in time', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const running = await serve(t, 1_500);
  const { port, publish } = running;
  const body = 'x'.repeat(300_000);
  const begun = performance.now();
  const waiting = [
    ask(port, '/'),
    ask(port, '/', { method: 'POST', body }),
    ask(port, '/', { method: 'POST', body, headers: { 'transfer-encoding': 'chunked' } }),
  ];
  await pause(200);
  await publish([address]);
  assert.deepEqual(
    (await Promise.all(waiting)).map((answer) => [answer.status, answer.body]),
    [
      [200, 'GET 0'],
      [200, 'POST 300000'],
      [200, 'POST 300000'],
    ],
  );
  assert.ok(performance.now() - begun < 1_400, 'as soon as there is one');
  await publish([]);
  const late = performance.now();
  const refused = await Promise.all([ask(port, '/'), ask(port, '/', { method: 'POST', body: 'hello' })]);
  const tookMs = performance.now() - late;
  assert.deepEqual(
    refused.map(({ status, headers }) => [status, headers['retry-after']]),
    [
      [503, '1'],
      [503, '1'],
    ],
  );
  assert.ok(tookMs > 1_400 && tookMs < 2_500, `${tookMs} ms`);
  assert.equal(running.errors().match(/ECONNREFUSED|ENOENT/), null);
});

test('a service whose socket is missing, refuses, or hangs up is waited for too', async (t) => {
  const dir = await temporaryFolder(t);
  const file = path.join(dir, 'web.sock');
  const { port, errors } = await serve(t, 3_000, [{ kind: 'unix', path: file }]);
  const missing = [ask(port, '/missing'), ask(port, '/missing', { method: 'POST', body: 'abc' })];
  await pause(300);
  const first = await startAt(file);
  assert.deepEqual(
    (await Promise.all(missing)).map(({ body }) => body),
    ['GET 0', 'POST 3'],
  );
  await first.stop();

  // A crash leaves the file, and nobody accepts.
  const left = net.createServer();
  await new Promise<void>((resolve) => left.listen(`${file}.x`, resolve));
  const refusing = [ask(port, '/refusing'), ask(port, '/refusing', { method: 'POST', body: 'abc' })];
  await pause(200);
  left.close();
  const rude = net.createServer((socket) => socket.on('error', () => {}).once('data', () => socket.destroy()));
  rmSync(file, { force: true });
  await new Promise<void>((resolve) => rude.listen(file, resolve));
  // One that accepts and falls over: a GET may be repeated.
  const [get, post] = await Promise.all([
    (async () => {
      await pause(200);
      await new Promise((resolve) => rude.close(resolve));
      const second = await startAt(file);
      t.after(() => second.stop());
      return (await refusing[0])?.body;
    })(),
    refusing[1]?.then(({ status, body }) => `${status} ${body.slice(0, 6)}`),
  ]);
  assert.equal(get, 'GET 0');
  assert.match(post ?? '', /^(200 POST 3|502 502 Ba)$/, 'a POST that may have been taken is not sent again');
  assert.ok((errors().match(/ENOENT|ECONNREFUSED|closed the connection/g)?.length ?? 0) < 12, 'each is told once, not at every look');
});

test('servers outside are waited for when the route says so, and give 502 after that', async (t) => {
  const nobody = await freePort();
  const port = await freePort();
  const servers = [serverAt({ kind: 'tcp', host: '127.0.0.1', port: nobody })];
  await startGateway(t, [site(port, [route('/held', proxyTo(servers, { holdMs: 700 })), route('/not', proxyTo(servers))])]);
  const begun = performance.now();
  assert.equal((await ask(port, '/not')).status, 502);
  assert.ok(performance.now() - begun < 500);
  const held = ask(port, '/held');
  assert.equal((await held).status, 502);
  assert.ok(performance.now() - begun > 650);
  const other = ask(port, '/held');
  await pause(100);
  const server = http.createServer(echo);
  await new Promise<void>((resolve) => server.listen(nobody, '127.0.0.1', resolve));
  t.after(() => server.close());
  assert.equal((await other).body, 'GET 0');
});

test('clients that leave while they wait are forgotten', async (t) => {
  let requests = 0;
  const { address } = await startUpstream(t, 0, (_req, res) => {
    requests++;
    res.end();
  });
  const running = await serve(t, 10_000);
  const clients = Array.from({ length: 20 }, (_, n) => {
    const request = http.request({ port: running.port, host: '127.0.0.1', agent: false, method: n % 2 === 0 ? 'GET' : 'POST' });
    request.on('error', () => {});
    request.end(n % 2 === 0 ? undefined : 'body');
    return request;
  });
  await until('all to wait', () => counts(running)?.active === 20);
  for (const client of clients) client.destroy();
  await until('all to be gone', () => counts(running)?.active === 0 && counts(running)?.connections === 0);
  await running.publish([address]);
  assert.equal((await ask(running.port, '/')).status, 200);
  assert.equal(requests, 1);
  assert.equal(running.access().match(/ 499 /g)?.length, 20);
});

test('ten thousand wait at once, all are answered when a server comes, and one more is refused', async (t) => {
  const dir = await temporaryFolder(t);
  const file = path.join(dir, 'web.sock');
  const running = await serve(t, 60_000, [{ kind: 'unix', path: file }]);
  const { port } = running;
  const statuses = new Map<string, number>();
  const sockets = await Promise.all(
    Array.from({ length: 10_000 }, async (_, n) => {
      const socket = net.connect(port, '127.0.0.1');
      socket.setEncoding('latin1').on('error', () => {});
      socket.once('data', (text) => {
        const status = String(text).slice(9, 12);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        socket.destroy();
      });
      await once(socket, 'connect');
      socket.write(`GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`);
      return socket;
    }),
  );
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  await until('all to wait', () => counts(running)?.active === 10_000);
  const before = Number(counts(running)?.upstreams['service:web']?.[`unix:${file}`]?.requests);
  const refused = await ask(port, '/one-more');
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1']);
  await pause(1_100);
  const after = Number(counts(running)?.upstreams['service:web']?.[`unix:${file}`]?.requests);
  assert.ok(after - before < 200, `${after - before} attempts in a second for all who wait`);
  const begun = performance.now();
  const server = await startAt(file, (_req, res) => void setTimeout(() => res.end('ok'), 20));
  t.after(() => server.stop());
  await until(`all to be answered, ${[...statuses]}`, () => statuses.get('200') === 10_000);
  t.diagnostic(`10,000 answered within ${Math.round(performance.now() - begun)} ms`);
  await until('nothing to be left', () => counts(running)?.active === 0);
});

test('a program restarted under load costs no GET', async (t) => {
  const dir = await temporaryFolder(t);
  const file = path.join(dir, 'web.sock');
  const { port } = await serve(t, 5_000, [{ kind: 'unix', path: file }]);
  let program = await startAt(file, (_req, res) => void setTimeout(() => res.end('ok'), 3));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  const seen = new Map<string, number>();
  let running = true;
  const clients = Array.from({ length: 16 }, async () => {
    while (running) {
      const result = await ask(port, '/', { agent }).then(
        ({ status }) => String(status),
        (error: Error) => error.message,
      );
      seen.set(result, (seen.get(result) ?? 0) + 1);
    }
  });
  for (let n = 0; n < 5; n++) {
    await pause(200);
    await program.stop();
    rmSync(file, { force: true });
    await pause(100);
    program = await startAt(file, (_req, res) => void setTimeout(() => res.end('ok'), 3));
  }
  await pause(100);
  running = false;
  await Promise.all(clients);
  agent.destroy();
  await program.stop();
  assert.deepEqual([...seen.keys()], ['200'], JSON.stringify([...seen]));
});

test('those who wait for one upstream look in turn, and bring others along', () => {
  const deadlines = new Deadlines();
  const holding = new Holding(deadlines);
  const looks: number[] = [];
  const waiting = Array.from({ length: 5 }, (_, n): Held & { notBeforeMs: number } => ({
    deadlineMs: Number.POSITIVE_INFINITY,
    notBeforeMs: n === 1 ? Number.POSITIVE_INFINITY : 0,
    onDeadline: () => {},
    look: () => void looks.push(n),
  }));
  for (const held of waiting) holding.enter('a', held);
  assert.deepEqual([holding.size, deadlines.size], [5, 5]);
  holding.wake('other', 3);
  holding.wake('a', 2);
  assert.deepEqual(looks, [0, 2], 'the one that has just looked is passed over');
  holding.leave('a', waiting[3] as Held);
  holding.leave('a', waiting[3] as Held);
  assert.deepEqual([holding.size, deadlines.size], [2, 2]);
  holding.wakeAll();
  assert.deepEqual(looks, [0, 2, 1, 4], 'a new table is for all');
  assert.deepEqual([holding.size, deadlines.size], [0, 0]);
});
