import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readFile, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createGateway } from './gateway.ts';
import type { VersionedTable } from './protocol.ts';
import {
  ask,
  askRaw,
  canConnect,
  filesIn,
  freePort,
  gatewaySpec,
  proxyTo,
  proxyToService,
  readAnswer,
  route,
  site,
  startGateway,
  startUpstream,
  startWorker,
  tableOf,
  temporaryFolder,
  until,
} from './testing.ts';

const answerWith = (body: string) => route('/', { kind: 'answer', answer: { status: 200, body } });

/** Requests back to back on a few connections until stopped; every status seen with its count. */
function startLoad(port: number, target: string, connections: number): { stop: () => Promise<Map<string, number>> } {
  const seen = new Map<string, number>();
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  let running = true;
  const client = async (): Promise<void> => {
    while (running) {
      const result = await ask(port, target, { agent }).then(
        ({ status }) => String(status),
        (error: NodeJS.ErrnoException) => error.code ?? error.message,
      );
      seen.set(result, (seen.get(result) ?? 0) + 1);
    }
  };
  const clients = Array.from({ length: connections }, client);
  const stop = async (): Promise<Map<string, number>> => {
    running = false;
    await Promise.all(clients);
    agent.destroy();
    return seen;
  };
  return { stop };
}

test('a hundred table changes under load lose no request, and a stopped instance leaves without one', async (t) => {
  const dir = await temporaryFolder(t);
  const upstreams = await Promise.all(
    [0, 1, 2, 3].map((n) => startUpstream(t, path.join(dir, `${n}.sock`), (_req, res) => void setTimeout(() => res.end(String(n)), n))),
  );
  const addresses = upstreams.map(({ address }) => address);
  const port = await freePort();
  const sites = [site(port, [route('/', proxyToService('web'))])];
  const { apply } = await startGateway(t, sites, { endpoints: new Map([['web', addresses]]) });
  const load = startLoad(port, '/', 8);
  for (let n = 0; n < 100; n++) {
    const ready = addresses.filter((_, at) => at !== n % 4);
    assert.deepEqual(
      await apply([...sites, site(port, [answerWith(String(n))], { hosts: [`${n}.example`] })], { endpoints: new Map([['web', ready]]) }),
      [],
    );
  }
  const seen = await load.stop();
  assert.deepEqual([...seen.keys()], ['200']);
});

test('a removed port finishes what it has, a new one opens, and streams elsewhere do not notice', async (t) => {
  let slow: http.ServerResponse | undefined;
  const upstream = await startUpstream(t, 0, (_req, res) => {
    res.write('a');
    slow = res;
  });
  const [first, second] = [await freePort(), await freePort()];
  const routes = [route('/', proxyTo([upstream.address]))];
  const { apply } = await startGateway(t, [site(first, routes)]);
  const request = http.get({ port: first, host: '127.0.0.1', agent: false });
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  const whole = readAnswer(answer);
  await until('the upstream to be asked', () => slow);
  await apply([site(second, [answerWith('new')])]);
  assert.equal((await ask(second, '/')).body, 'new');
  await until('the first port to close', async () => !(await canConnect(first)));
  slow?.end('b');
  assert.equal((await whole).body, 'ab');
});

test('a worker serves on without its daemon, starts without it, and takes a new table when it is back', async (t) => {
  const port = await freePort();
  const { dir, gateway, worker } = await startGateway(t, [site(port, [answerWith('one')])]);
  await gateway.stop();
  await rm(path.join(dir, 'control.sock'), { force: true });
  assert.equal((await ask(port, '/')).body, 'one');
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  const { pid } = startWorker(t, dir).worker;
  await until('the second worker to listen', () => canConnect(port));
  assert.equal((await ask(port, '/')).body, 'one');
  const back = await createGateway({ dir, log: () => {} });
  t.after(() => back.stop());
  await back.setTable(tableOf([site(port, [answerWith('two')])]));
  await until('the new table', async () => (await ask(port, '/')).body === 'two');
  await until('counters of the worker', () => back.counters().get(pid)?.requests);
});

test('the table on disk is for its owner alone, and its version grows over restarts', async (t) => {
  const dir = await temporaryFolder(t);
  const file = path.join(dir, 'table.json');
  for (const expected of [1, 2, 3]) {
    const gateway = await createGateway({ dir, log: () => {} });
    await Promise.all([gateway.setTable(tableOf([]))]);
    const stored = JSON.parse(await readFile(file, 'utf8')) as VersionedTable;
    assert.equal(stored.version, expected);
    await gateway.stop();
    await gateway.stop();
  }
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('two workers share a port, and both report what they did', async (t) => {
  const port = await freePort();
  const { dir, gateway, worker } = await startGateway(t, [site(port, [answerWith('ok')])]);
  const second = startWorker(t, dir);
  await until('both workers', () => gateway.counters().size === 2);
  await until('requests at both', async () => {
    await Promise.all(Array.from({ length: 20 }, () => ask(port, '/')));
    return [worker.pid, second.worker.pid].every((pid) => (gateway.counters().get(pid)?.requests ?? 0) > 0);
  });
  assert.deepEqual(await gateway.setTable(tableOf([site(port, [answerWith('new')])])), []);
  for (let n = 0; n < 20; n++) assert.equal((await ask(port, '/')).body, 'new');
});

test('a taken port is told in words while the others serve, and opens when it is free', async (t) => {
  const blocker = net.createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const { port: taken } = blocker.address() as net.AddressInfo;
  const port = await freePort();
  const { apply, errors, gateway } = await startGateway(t, [site(port, [answerWith('ok')])]);
  const problems = await apply([site(port, [answerWith('ok')]), site(taken, [answerWith('late')])]);
  assert.deepEqual(
    problems.map(({ code, message }) => [code, message]),
    [['gateway/listen-in-use', `cannot listen on 127.0.0.1:${taken}: another program has the port`]],
  );
  assert.equal((await ask(port, '/')).status, 200);
  await new Promise((resolve) => blocker.close(resolve));
  await until('the port to open', async () => (await canConnect(taken)) && errors().includes(`listening on 127.0.0.1:${taken} now`));
  assert.equal((await ask(taken, '/')).body, 'late');
  await until('the problem to be gone', () => gateway.problems().length === 0);
});

test('what is no proper request gets its status and the end of the connection', async (t) => {
  const upstream = await startUpstream(t, 0, (req, res) => void req.on('data', () => {}).on('end', () => res.end('ok')));
  const port = await freePort();
  const { worker } = await startGateway(t, [site(port, [route('/', proxyTo([upstream.address]))])]);
  const post = 'POST / HTTP/1.1\r\nHost: a\r\n';
  const table: [string, number][] = [
    ['nonsense\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', 400],
    ['GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\nHost: a\r\n${Array.from({ length: 250 }, (_, n) => `X-${n}: 1\r\n`).join('')}\r\n`, 431],
    [`${post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 400],
    [`${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    [`${post}Content-Length: -5\r\n\r\nhello`, 400],
    [`${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501],
    [`${post}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`, 400],
    ['CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n', 405],
  ];
  for (const [text, status] of table) {
    const answer = await askRaw(port, text.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), JSON.stringify(text.slice(0, 90)));
    assert.doesNotMatch(answer, /node|steward/i);
  }
  assert.equal((await ask(port, '/')).status, 200);
  assert.equal(worker.exitCode, null);
});

test('a connection that sends no whole request in time, or sits idle, is closed', async (t) => {
  const port = await freePort();
  await startGateway(t, [site(port, [answerWith('ok')])], { gateway: { ...gatewaySpec, headerTimeoutMs: 300, idleTimeoutMs: 100 } });
  assert.match(await askRaw(port, 'GET / HTTP/1.1\r\nHost'), /^HTTP\/1\.1 408 /);
  assert.match(await askRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'), /^HTTP\/1\.1 200 [\s\S]*ok$/);
});

test('a client that falls silent in its body gets 408, one that takes nothing is cut off, and a slow upstream is waited for', async (t) => {
  const port = await freePort();
  const { address } = await startUpstream(t, 0, (req, res) => {
    req.resume();
    if (req.url === '/large') res.end(Buffer.alloc(64 * 1024 * 1024));
    else setTimeout(() => res.end('in the end'), 1200);
  });
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])], { gateway: { ...gatewaySpec, stallTimeoutMs: 300 } });
  assert.match(await askRaw(port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc'), /^HTTP\/1\.1 408 /);
  assert.equal((await ask(port, '/')).body, 'in the end');
  const lazy = net.connect(port, '127.0.0.1', () => lazy.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n'));
  lazy.on('error', () => {});
  let taken = 0;
  await once(lazy, 'readable'); // the answer has begun; from now on nothing is taken
  await new Promise((resolve) => setTimeout(resolve, 1500));
  lazy.on('data', (chunk) => {
    taken += chunk.length;
  });
  await once(lazy, 'close');
  assert.ok(taken < 64 * 1024 * 1024, `${taken} bytes came through`);
});

test('an absolute request target wins over the Host header', async (t) => {
  const port = await freePort();
  await startGateway(t, [site(port, [answerWith('a')], { hosts: ['a.example'] }), site(port, [answerWith('b')], { hosts: ['b.example'] })]);
  assert.match(await askRaw(port, 'GET http://b.example/x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n'), /\r\n\r\nb$/);
});

test('SIGTERM finishes requests under way, accepts none, and exits 0', async (t) => {
  let slow: http.ServerResponse | undefined;
  const upstream = await startUpstream(t, 0, (_req, res) => {
    slow = res;
  });
  const port = await freePort();
  const { worker } = await startGateway(t, [
    site(port, [route('/', proxyTo([upstream.address])), route('/ping', { kind: 'answer', answer: { status: 200, body: 'pong' } })]),
  ]);
  const agent = new http.Agent({ keepAlive: true });
  await ask(port, '/ping', { agent });
  const pending = ask(port, '/', { agent });
  await until('the request to arrive', () => slow);
  const exit = once(worker, 'exit');
  worker.kill('SIGTERM');
  await until('the port to close', async () => !(await canConnect(port)));
  slow?.end('done');
  const answer = await pending;
  assert.deepEqual([answer.body, answer.headers.connection], ['done', 'close']);
  assert.deepEqual(await exit, [0, null]);
  agent.destroy();
});

test('each request leaves one line in the access log, which nobody can forge', async (t) => {
  const upstream = await startUpstream(t, 0, (_req, res) => res.end('hello'));
  const port = await freePort();
  const { access } = await startGateway(t, [site(port, [route('/', proxyTo([upstream.address]))])]);
  await askRaw(
    port,
    'GET /a?b="c HTTP/1.1\r\nHost: a.example\r\nUser-Agent: x" 200 \\\xe9\tz\r\nReferer: http://r/\r\nConnection: close\r\n\r\n',
  );
  await until('the line', () => access().includes('a.example'));
  const line =
    access()
      .split('\n')
      .find((one) => one.includes('a.example')) ?? '';
  const label = upstream.address.kind === 'tcp' ? `127\\.0\\.0\\.1:${upstream.address.port}` : '';
  assert.match(
    line,
    new RegExp(
      `^127\\.0\\.0\\.1 \\[\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z\\] "GET /a\\?b=\\\\x22c HTTP/1\\.1" 200 5 "http://r/" "x\\\\x22 200 \\\\x5C\\\\xE9\\\\x09z" a\\.example [\\d.]+ ${label}$`,
    ),
  );
});

test('a worker whose log nobody reads serves on, and tells how many lines it dropped', async (t) => {
  const port = await freePort();
  const { worker, errors } = await startGateway(t, [site(port, [answerWith('ok')])]);
  worker.stdout?.pause();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const long = `/${'x'.repeat(14_000)}`;
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 100 }, () => ask(port, long, { agent })));
  assert.equal((await ask(port, '/', { agent })).status, 200);
  await until('the count of dropped lines', () => /\d+ access log lines dropped/.test(errors()));
  agent.destroy();
});

/** Resident memory of a process in bytes, now and at its highest. */
function memoryOf(pid: number): { now: number; peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kb = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
  return { now: kb('VmRSS'), peak: kb('VmHWM') };
}

const uploadBytes = Number(process.env.GATEWAY_UPLOAD_GB ?? 1) * 1024 ** 3;

for (const framing of ['content-length', 'chunked'] as const) {
  test(`an upload of a gigabyte (${framing}) passes through in constant memory`, async (t) => {
    const dir = await temporaryFolder(t);
    const upstream = await startUpstream(t, path.join(dir, 'up.sock'), (req, res) => {
      let bytes = 0;
      req.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      req.on('end', () => res.end(String(bytes)));
    });
    const port = await freePort();
    const { worker } = await startGateway(t, [site(port, [route('/', proxyTo([upstream.address]), { maxBodyBytes: uploadBytes })])]);
    await ask(port, '/');
    const before = memoryOf(worker.pid).now;
    const zeros = Buffer.alloc(256 * 1024);
    const headers: http.OutgoingHttpHeaders =
      framing === 'chunked' ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': uploadBytes };
    const request = http.request({ port, host: '127.0.0.1', method: 'PUT', agent: false, headers });
    const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
    for (let sent = 0; sent < uploadBytes; sent += zeros.length) if (!request.write(zeros)) await once(request, 'drain');
    request.end();
    const [answer] = await answered;
    assert.equal((await readAnswer(answer)).body, String(uploadBytes));
    const { peak } = memoryOf(worker.pid);
    t.diagnostic(`resident before ${Math.round(before / 2 ** 20)} MB, peak ${Math.round(peak / 2 ** 20)} MB`);
    assert.ok(peak < before + 150 * 2 ** 20, `resident memory rose from ${before} to ${peak}`);
  });
}

test('a large download to a slow client passes through in constant memory', async (t) => {
  const chunk = Buffer.alloc(1024 * 1024);
  const upstream = await startUpstream(t, 0, (_req, res) => {
    let left = 300;
    const more = (): void => {
      while (left-- > 0) if (!res.write(chunk)) return void res.once('drain', more);
      res.end();
    };
    more();
  });
  const port = await freePort();
  const { worker } = await startGateway(t, [
    site(port, [route('/', proxyTo([upstream.address])), route('/files/', filesIn('/nonexistent'))]),
  ]);
  const before = memoryOf(worker.pid).now;
  const request = http.get({ port, host: '127.0.0.1', agent: false });
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  let bytes = 0;
  for await (const part of answer) {
    bytes += (part as Buffer).length;
    if (bytes % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(bytes, 300 * chunk.length);
  assert.ok(memoryOf(worker.pid).peak < before + 150 * 2 ** 20);
});

/** A program of its own that answers on a unix socket, so that it can be killed. */
async function startProgram(t: TestContext, socketPath: string): Promise<ChildProcess> {
  const code = `require('node:http').createServer((q, s) => setTimeout(() => s.end('ok'), 2)).listen(${JSON.stringify(socketPath)}, () => process.stdout.write('up'))`;
  await rm(socketPath, { force: true });
  const program = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => program.kill('SIGKILL'));
  assert.ok(program.stdout);
  await once(program.stdout, 'data');
  return program;
}

test('killing each of four programs in turn under load fails no GET', async (t) => {
  const dir = await temporaryFolder(t);
  const paths = [0, 1, 2, 3].map((n) => path.join(dir, `${n}.sock`));
  const programs = await Promise.all(paths.map((one) => startProgram(t, one)));
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo(paths.map((one) => ({ kind: 'unix', path: one }))))])]);
  const load = startLoad(port, '/', 16);
  for (const [n, one] of paths.entries()) {
    const program = programs[n];
    program?.kill('SIGKILL');
    if (program?.exitCode === null) await once(program, 'exit');
    await startProgram(t, one);
  }
  const seen = await load.stop();
  assert.deepEqual([...seen.keys()], ['200']);
});
