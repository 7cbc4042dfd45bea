import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import http2, { type ClientHttp2Session, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import https from 'node:https';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import type { RouteSpec, SiteSpec } from '../config/model.ts';
import { loadCertificates } from './certificates/certs.ts';
import {
  freePort,
  gatewaySpec,
  type Inputs,
  proxyTo,
  type Running,
  route,
  site,
  startGateway,
  startUpstream,
  temporaryFolder,
  until,
} from './testing.ts';
import { connectFrames, endHeaders, endStream, frame, frameTypes, hpack } from './testing-http2.ts';
import { startRawUpstream } from './testing-raw.ts';

interface Secure extends Running {
  readonly port: number;
  readonly sites: readonly SiteSpec[];
  readonly inputs: Inputs;
}

async function startSecure(t: TestContext, routes: readonly RouteSpec[], more: Inputs = {}): Promise<Secure> {
  const dir = await temporaryFolder(t);
  const port = await freePort();
  const sites = [site(port, routes, { hosts: ['a.example'], isDefault: true, tls: 'internal' })];
  const { certificates } = await loadCertificates(sites, dir, Date.now());
  const inputs = { certificates, ...more };
  return { ...(await startGateway(t, sites, inputs)), port, sites, inputs };
}

function connect(t: TestContext, port: number, options: http2.SecureClientSessionOptions = {}): ClientHttp2Session {
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false, maxSessionMemory: 100, ...options });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return session;
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly trailers: IncomingHttpHeaders;
}

/** One request; rejects when its stream is reset. */
function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':authority': 'a.example', ...headers }, { endStream: body === undefined });
    let answered: IncomingHttpHeaders = {};
    let trailers: IncomingHttpHeaders = {};
    const parts: Buffer[] = [];
    stream.on('response', (received) => {
      answered = received;
    });
    stream.on('trailers', (received) => {
      trailers = received;
    });
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('error', reject);
    stream.on('close', () => {
      if (stream.rstCode !== 0) reject(new Error(`reset with ${stream.rstCode}`));
      else resolve({ status: Number(answered[':status']), headers: answered, body: Buffer.concat(parts), trailers });
    });
    if (body !== undefined) stream.end(body);
  });
}

/** An upstream that tells what it got, and answers some paths in ways of their own. */
async function startEcho(t: TestContext): Promise<Awaited<ReturnType<typeof startUpstream>>> {
  return startUpstream(t, 0, (req, res) => {
    if (req.url === '/twice') res.setHeader('X-Content-Type-Options', ['nosniff', 'nosniff']);
    if (req.url === '/twice') res.setHeader('ETag', ['"a"', '"b"']);
    if (req.url === '/twice') res.setHeader('Set-Cookie', ['a=1', 'b=2']);
    if (req.url === '/empty') return void res.writeHead(204).end();
    if (req.url === '/breaks') {
      res.write('part');
      return void setTimeout(() => res.destroy(), 30);
    }
    if (req.url === '/trailers') {
      res.setHeader('Trailer', 'X-Sum');
      res.write('body');
      res.addTrailers({ 'X-Sum': '1' });
      return void res.end();
    }
    if (req.url === '/early') return void res.writeHead(413, { 'Content-Length': 3 }).end('big');
    const size = Number(/^\/size\/(\d+)/.exec(req.url ?? '')?.[1] ?? -1);
    if (size >= 0) return void res.writeHead(200, { 'Content-Length': size }).end(Buffer.alloc(size, 'x'));
    let bytes = 0;
    const parts: Buffer[] = [];
    req.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes < 1000) parts.push(part);
    });
    req.on('end', () =>
      res.end(
        JSON.stringify({
          method: req.method,
          url: req.url,
          raw: req.rawHeaders,
          bytes,
          body: Buffer.concat(parts).toString(),
          trailers: req.trailers,
        }),
      ),
    );
  });
}

test('requests of HTTP/2 reach an upstream of HTTP/1.1 as requests of its own', async (t) => {
  const { address } = await startEcho(t);
  const { port } = await startSecure(t, [route('/', proxyTo([address], { forwardedHeaders: 'off' }))]);
  const session = connect(t, port);
  const seen = async (headers: OutgoingHttpHeaders, body?: string) => JSON.parse(String((await ask(session, headers, body)).body));
  assert.deepEqual(await seen({ ':path': '/a//b?c=%20' }), {
    method: 'GET',
    url: '/a//b?c=%20',
    raw: ['Host', 'a.example'],
    bytes: 0,
    body: '',
    trailers: {},
  });
  assert.deepEqual((await seen({ cookie: ['a=1', 'b=2', 'c=3'], te: 'trailers' })).raw, ['Host', 'a.example', 'cookie', 'a=1; b=2; c=3']);
  assert.deepEqual((await seen({ ':method': 'POST', 'content-length': '5' }, 'hello')).raw, ['Host', 'a.example', 'Content-Length', '5']);
  const chunked = await seen({ ':method': 'POST' }, 'hello');
  assert.deepEqual([chunked.raw, chunked.body], [['Host', 'a.example', 'Transfer-Encoding', 'chunked'], 'hello']);
  assert.equal((await seen({ ':method': 'PUT', 'content-length': '0' })).method, 'PUT');
  const head = await ask(session, { ':method': 'HEAD', ':path': '/size/1000' });
  assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, '1000', 0]);
  assert.equal((await ask(session, { ':path': '/empty' })).status, 204);
  const twice = await ask(session, { ':path': '/twice' });
  assert.deepEqual(twice.headers['set-cookie'], ['a=1', 'b=2']);
  const trailers = await ask(session, { ':path': '/trailers' });
  assert.deepEqual([String(trailers.body), trailers.trailers['x-sum']], ['body', '1']);
  const early = await ask(session, { ':path': '/early', ':method': 'POST' }, 'x'.repeat(10));
  assert.deepEqual([early.status, String(early.body)], [413, 'big']);
});

test('trailers of a request go on to the upstream, but for those that have no business there', async (t) => {
  const { address } = await startEcho(t);
  const { port } = await startSecure(t, [route('/', proxyTo([address]))]);
  const stream = connect(t, port).request({ ':method': 'POST', ':path': '/' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '1', authorization: 'x', 'set-cookie': 'a' }));
  stream.end('body');
  let text = '';
  for await (const part of stream.setEncoding('utf8')) text += String(part);
  assert.deepEqual(JSON.parse(text).trailers, { 'x-sum': '1' });
});

test('an answer that breaks off resets its stream, and no other', async (t) => {
  const { address } = await startEcho(t);
  const { port } = await startSecure(t, [route('/', proxyTo([address])), route('/hangup', { kind: 'answer', answer: { status: 444 } })]);
  const session = connect(t, port);
  const others = Array.from({ length: 20 }, () => ask(session, { ':path': '/size/300000' }));
  await assert.rejects(ask(session, { ':path': '/breaks' }), /INTERNAL_ERROR|reset/);
  await assert.rejects(ask(session, { ':path': '/hangup' }), /INTERNAL_ERROR|reset/);
  for (const { body } of await Promise.all(others)) assert.equal(body.length, 300_000);
  assert.equal((await ask(session, { ':path': '/empty' })).status, 204);
});

test('a body waits until a server is found for it', async (t) => {
  const { address } = await startEcho(t);
  const dead = { kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const;
  const { port } = await startSecure(t, [route('/', proxyTo([dead, address]))]);
  const session = connect(t, port);
  for (let n = 0; n < 6; n++) {
    const answer = await ask(session, { ':method': 'PUT', ':path': '/' }, 'x'.repeat(100_000));
    assert.equal(JSON.parse(String(answer.body)).bytes, 100_000);
  }
});

test('a hundred streams at once, and large bodies both ways', async (t) => {
  const { address } = await startEcho(t);
  const { port } = await startSecure(t, [route('/', proxyTo([address]))]);
  const session = connect(t, port);
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => ask(session, { ':path': `/size/${n * 1000}` })));
  assert.deepEqual(
    answers.map(({ body }) => body.length),
    Array.from({ length: 100 }, (_, n) => n * 1000),
  );
  const large = Buffer.alloc(20 * 2 ** 20);
  const [up, down] = await Promise.all([
    ask(session, { ':method': 'POST', ':path': '/' }, large),
    ask(session, { ':path': `/size/${large.length}` }),
  ]);
  assert.equal(JSON.parse(String(up.body)).bytes, large.length);
  assert.equal(down.body.length, large.length);
});

test('events arrive as they are written, and one that left frees the upstream', async (t) => {
  const open = new Set<http.ServerResponse>();
  const { address } = await startUpstream(t, 0, (_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.flushHeaders();
    open.add(res);
    const timer = setInterval(() => res.write(`data: ${performance.timeOrigin + performance.now()}\n\n`), 20);
    res.on('close', () => {
      clearInterval(timer);
      open.delete(res);
    });
  });
  const { port } = await startSecure(t, [route('/', proxyTo([address]))]);
  for (const version of ['h2', 'h1']) {
    const late: number[] = [];
    const note = (part: unknown): void => {
      const now = performance.timeOrigin + performance.now();
      for (const [, at] of String(part).matchAll(/data: ([\d.]+)\n\n/g)) late.push(now - Number(at));
    };
    const stream =
      version === 'h2'
        ? connect(t, port).request({ ':path': '/' })
        : https.get({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false });
    if (stream instanceof http.ClientRequest) stream.on('response', (answer) => answer.on('data', note)).on('error', () => {});
    else stream.on('data', note);
    await until('events', () => late.length >= 10);
    late.sort((a, b) => a - b);
    assert.ok((late[5] ?? 99) < 50, `${version}: ${late.map(Math.round).join(' ')}`);
    assert.equal(open.size, 1);
    if (stream instanceof http.ClientRequest) stream.destroy();
    else stream.close(http2.constants.NGHTTP2_CANCEL);
    await until('the upstream to be left', () => open.size === 0);
  }
});

const pseudo = (path: string, more: readonly (readonly [string, string])[] = [], method = 'GET') =>
  hpack([[':method', method], [':scheme', 'https'], [':authority', 'a.example'], [':path', path], ...more]);

test('nothing that HTTP/1.1 could read in another way gets through from HTTP/2', async (t) => {
  const upstream = await startRawUpstream(t);
  const { port, errors } = await startSecure(t, [route('/', proxyTo([upstream.address], { forwardedHeaders: 'off' }))]);
  const clean = 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n';
  const heads: [string, Buffer][] = [
    ['CRLF in a value', pseudo('/', [['x', 'a\r\nX-Evil: y']])],
    ['CR in a value', pseudo('/', [['x', 'a\rb']])],
    ['LF in a value', pseudo('/', [['x', 'a\nb']])],
    ['NUL in a value', pseudo('/', [['x', 'a\0b']])],
    ['CRLF in a name', pseudo('/', [['x: y\r\nx-evil', 'a']])],
    ['colon in a name', pseudo('/', [['x:y', 'a']])],
    ['space in a name', pseudo('/', [['x y', 'a']])],
    ['uppercase', pseudo('/', [['X-Upper', 'a']])],
    ['empty name', pseudo('/', [['', 'a']])],
    ['connection', pseudo('/', [['connection', 'close']])],
    ['transfer-encoding', pseudo('/', [['transfer-encoding', 'chunked']], 'POST')],
    ['keep-alive', pseudo('/', [['keep-alive', '1']])],
    ['proxy-connection', pseudo('/', [['proxy-connection', 'close']])],
    ['upgrade', pseudo('/', [['upgrade', 'websocket']])],
    [
      'two content-lengths',
      pseudo('/', [
        ['content-length', '0'],
        ['content-length', '0'],
      ]),
    ],
    ['content-length of a list', pseudo('/', [['content-length', '0, 0']])],
    ['content-length with a sign', pseudo('/', [['content-length', '+0']])],
    ['content-length of a GET without a body', pseudo('/', [['content-length', '5']])],
    [
      'two hosts',
      pseudo('/', [
        ['host', 'a.example'],
        ['host', 'b.example'],
      ]),
    ],
    ['another host', pseudo('/', [['host', 'b.example']])],
    [
      'two paths',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'a'],
        [':path', '/'],
        [':path', '/b'],
      ]),
    ],
    [
      'no path',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'a'],
      ]),
    ],
    ['empty path', pseudo('')],
    ['path without slash', pseudo('x')],
    ['absolute path', pseudo('http://b.example/')],
    ['path with CRLF', pseudo('/ HTTP/1.1\r\nX: y\r\n\r\nGET /evil')],
    ['path with a space', pseudo('/ HTTP/1.1')],
    ['path with a fragment', pseudo('/a#b')],
    ['path with a tab', pseudo('/a\tb')],
    ['star', pseudo('*', [], 'OPTIONS')],
    ['method with a space', pseudo('/', [], 'GET /evil HTTP/1.1')],
    ['method with CRLF', pseudo('/', [], 'GET\r\n')],
    ['long method', pseudo('/', [], 'X'.repeat(65))],
    [
      'no method',
      hpack([
        [':scheme', 'https'],
        [':authority', 'a'],
        [':path', '/'],
      ]),
    ],
    [
      'no scheme',
      hpack([
        [':method', 'GET'],
        [':authority', 'a'],
        [':path', '/'],
      ]),
    ],
    [
      'no host',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':path', '/'],
      ]),
    ],
    [
      'authority with CRLF',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'a\r\nx: y'],
        [':path', '/'],
      ]),
    ],
    [
      'authority with a path',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'a/evil'],
        [':path', '/'],
      ]),
    ],
    [
      'authority with a user',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        [':authority', 'u@a'],
        [':path', '/'],
      ]),
    ],
    [
      'pseudo behind others',
      hpack([
        [':method', 'GET'],
        [':scheme', 'https'],
        ['x', 'y'],
        [':authority', 'a'],
        [':path', '/'],
      ]),
    ],
    ['unknown pseudo', pseudo('/', [[':evil', 'y']])],
    ['status', pseudo('/', [[':status', '200']])],
    [
      'CONNECT',
      hpack([
        [':method', 'CONNECT'],
        [':authority', 'a:80'],
      ]),
    ],
    ['extended CONNECT', pseudo('/', [[':protocol', 'websocket']], 'CONNECT')],
    [
      'too many headers',
      pseudo(
        '/',
        Array.from({ length: 250 }, (_, n) => [`x-${n}`, '1'] as const),
      ),
    ],
  ];
  for (const [name, block] of heads) {
    const client = await connectFrames(t, port);
    client.send(frame(frameTypes.headers, endStream | endHeaders, 1, block));
    const outcome = await client.outcome(1);
    // A field that nobody may send is left out, or the request is refused.
    if (upstream.requests.length > 0) assert.equal(upstream.requests.pop(), clean, name);
    else assert.match(outcome, /^(?:reset|goaway|closed|400|other)/, `${name}: ${outcome}`);
    client.socket.destroy();
  }
  // Bodies longer and shorter than they were said to be.
  for (const [length, body] of [
    ['3', 'hello'],
    ['7', 'hello'],
  ] as const) {
    const client = await connectFrames(t, port);
    client.send(
      frame(frameTypes.headers, endHeaders, 1, pseudo('/', [['content-length', length]], 'POST')),
      frame(frameTypes.data, endStream, 1, Buffer.from(body)),
    );
    const outcome = await client.outcome(1);
    assert.match(outcome, /^(?:reset|goaway|closed|400)/, `${length}: ${outcome}`);
    assert.deepEqual(upstream.requests, [], upstream.received());
    client.socket.destroy();
  }
  assert.doesNotMatch(upstream.received(), /evil/i);
  const good = await connectFrames(t, port);
  good.send(frame(frameTypes.headers, endStream | endHeaders, 1, pseudo('/good', [['x', ' y\t']])));
  assert.match(await good.outcome(1), /^(?:200 ok|reset 1)$/);
  assert.doesNotMatch(errors(), /bug:/);
});

test('floods end the connection of who sends them, and others are served on', async (t) => {
  const upstream = await startRawUpstream(t, () => {});
  const { port, worker, errors } = await startSecure(t, [
    route('/', proxyTo([upstream.address])),
    route('/ok', { kind: 'answer', answer: { status: 200, body: 'ok' } }),
  ]);
  const floods: Record<string, (n: number) => Buffer[]> = {
    // CVE-2023-44487
    'rapid reset': (n) => [
      frame(frameTypes.headers, endStream | endHeaders, n * 2 + 1, pseudo('/')),
      frame(frameTypes.reset, 0, n * 2 + 1, Buffer.from([0, 0, 0, 8])),
    ],
    // CVE-2024-27983, CVE-2024-28182
    continuation: (n) => [
      n === 0
        ? frame(frameTypes.headers, endStream, 1, pseudo('/'))
        : frame(frameTypes.continuation, 0, 1, hpack([[`x-${n}`, 'y'.repeat(100)]])),
    ],
    settings: () => [frame(frameTypes.settings, 0, 0, Buffer.from([0, 3, 0, 0, 0, 100]))],
    ping: () => [frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    'empty data': (n) => [n === 0 ? frame(frameTypes.headers, endHeaders, 1, pseudo('/', [], 'POST')) : frame(frameTypes.data, 0, 1)],
    'too many streams': (n) => [frame(frameTypes.headers, endStream | endHeaders, n * 2 + 1, pseudo('/'))],
  };
  for (const [name, make] of Object.entries(floods)) {
    const client = await connectFrames(t, port);
    client.socket.pause(); // takes nothing of what it is sent
    for (let n = 0; n < 20_000 && !client.closed() && !client.socket.destroyed; n++) {
      if (!client.socket.write(Buffer.concat(make(n))) && n % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const begun = performance.now();
    assert.equal(String((await ask(connect(t, port), { ':path': '/ok' })).body), 'ok', name);
    assert.ok(performance.now() - begun < 3_000, `${name}: others waited ${performance.now() - begun} ms`);
    client.socket.destroy();
  }
  await until('the upstream to be left', () => upstream.open.size === 0);
  assert.ok(upstream.connections() < 10_000, `${upstream.connections()} connections to the upstream`);
  assert.equal(worker.exitCode, null);
  assert.doesNotMatch(errors(), /bug:/);
});

test('a port that is closed lets streams under way finish and takes no new ones', async (t) => {
  let slow: http.ServerResponse | undefined;
  const { address } = await startUpstream(t, 0, (_req, res) => {
    res.write('a');
    slow = res;
  });
  const { port, apply, inputs } = await startSecure(t, [route('/', proxyTo([address]))]);
  const session = connect(t, port);
  let goaway = false;
  session.on('goaway', () => {
    goaway = true;
  });
  const whole = ask(session, { ':path': '/' });
  await until('the upstream to be asked', () => slow);
  await apply([], inputs);
  await until('GOAWAY', () => goaway);
  slow?.end('b');
  assert.equal(String((await whole).body), 'ab');
  await until('the connection to end', () => session.destroyed);
});

test('an idle connection is ended, pings or not, and a client that falls silent in a body gets 408', async (t) => {
  const { address } = await startEcho(t);
  const gateway = { ...gatewaySpec, idleTimeoutMs: 400, stallTimeoutMs: 300, headerTimeoutMs: 400 };
  const { port } = await startSecure(t, [route('/', proxyTo([address]))], { gateway });
  const idle = connect(t, port);
  await ask(idle, { ':path': '/empty' });
  const pings = setInterval(() => idle.destroyed || idle.closed || idle.ping(() => {}), 100);
  const begun = performance.now();
  await until('the end of an idle connection', () => idle.destroyed);
  clearInterval(pings);
  assert.ok(performance.now() - begun < 2_000);
  const silent = connect(t, port);
  const stream = silent.request({ ':method': 'POST', ':path': '/' }, { endStream: false });
  stream.write('half');
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  assert.equal(headers[':status'], 408);
  stream.resume();
  const preface = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  t.after(() => preface.destroy());
  preface.on('error', () => {}).resume();
  await until('a client that says nothing to be left', () => preface.readableEnded || preface.destroyed);
});

test('websockets of HTTP/1.1 share the port with HTTP/2, which a gateway can do without', async (t) => {
  const { address, server } = await startEcho(t);
  server.on('upgrade', (_req, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.pipe(socket);
  });
  const { port, apply, sites, inputs } = await startSecure(t, [route('/', proxyTo([address]))]);
  assert.equal((await ask(connect(t, port), { ':path': '/empty' })).status, 204);
  const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['http/1.1'], rejectUnauthorized: false });
  t.after(() => socket.destroy());
  let received = '';
  socket.on('data', (part) => {
    received += String(part);
  });
  socket.write('GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  await until('101', () => received.startsWith('HTTP/1.1 101 '));
  socket.write('there and back');
  await until('the echo', () => received.endsWith('there and back'));
  const agreed = async (): Promise<string | false | null> => {
    const one = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2', 'http/1.1'], rejectUnauthorized: false });
    await once(one, 'secureConnect');
    one.destroy();
    return one.alpnProtocol;
  };
  assert.equal(await agreed(), 'h2');
  await apply(sites, { ...inputs, gateway: { ...gatewaySpec, http2: false } });
  await until('HTTP/2 to be off', async () => (await agreed()) === 'http/1.1');
});

const run = promisify(execFile);

test('h2load and curl find every answer whole', async (t) => {
  const { address } = await startEcho(t);
  const { port } = await startSecure(t, [
    route('/', proxyTo([address])),
    route('/ok', { kind: 'answer', answer: { status: 200, body: 'ok' } }),
  ]);
  for (const target of ['/ok', '/size/20000', '/']) {
    const { stdout } = await run('h2load', ['-n', '1000', '-c', '4', '-m', '20', `https://127.0.0.1:${port}${target}`]);
    assert.match(stdout, /1000 succeeded, 0 failed, 0 errored, 0 timeout/, stdout);
  }
  const { stdout } = await run('curl', [
    '-sSk',
    '--http2',
    '-w',
    '%{http_version} %{http_code}',
    '-d',
    'x=1',
    `https://127.0.0.1:${port}/early`,
  ]);
  assert.equal(stdout, 'big2 413');
});
