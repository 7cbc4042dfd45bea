/** HTTP/1.1 between a client and an upstream, both of them bytes on a socket. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { type TestContext, test } from 'node:test';
import type { ProxyAction, RouteSpec } from '../config/model.ts';
import { ask, freePort, gatewaySpec, proxyTo, type Running, route, site, startGateway, startUpstream, until } from './testing.ts';
import { connectRaw, okAnswer, type RawUpstream, startRawUpstream, statusesOf } from './testing-raw.ts';

const get = (path: string, lines = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

interface Setting {
  readonly port: number;
  readonly upstream: RawUpstream;
  readonly running: Running;
}

/** A gateway in front of a raw upstream, with what `more` says of the proxying. */
async function startBetween(
  t: TestContext,
  answer: Parameters<typeof startRawUpstream>[1],
  more: Partial<ProxyAction> = {},
  {
    gateway = gatewaySpec,
    onBytes,
    routed,
  }: { gateway?: typeof gatewaySpec; onBytes?: Parameters<typeof startRawUpstream>[2]; routed?: Partial<RouteSpec> } = {},
): Promise<Setting> {
  const upstream = await startRawUpstream(t, answer, onBytes);
  const port = await freePort();
  const action = proxyTo([upstream.address], { forwardedHeaders: 'off', ...more });
  const running = await startGateway(t, [site(port, [route('/', action, routed)])], { gateway });
  return { port, upstream, running };
}

const withoutDate = (text: string) => text.replaceAll(/Date: [^\r]*\r\n/g, '');

/** What an upstream answers, to which request, and what becomes of it: the bytes for the client, or `broken`. */
const answers: [name: string, answer: string, expected: string | RegExp, request?: string][] = [
  ['counted', okAnswer, 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  [
    'chunked',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    /^HTTP\/1\.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n$/,
  ],
  [
    'chunked with trailers',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n',
  ],
  [
    'hop-by-hop headers',
    'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ],
  ['its own words', 'HTTP/1.1 200 Sehr sch\xf6n\r\nContent-Length: 0\r\n\r\n', 'HTTP/1.1 200 Sehr sch\xf6n\r\nContent-Length: 0\r\n\r\n'],
  [
    'interim answers',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${okAnswer}`,
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  ],
  ['204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['204 with a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello', 'HTTP/1.1 204 No Content\r\n\r\n'],
  [
    '304 with a body',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: "a"\r\n\r\nhello',
    /^HTTP\/1\.1 304 Not Modified\r\n(?:Content-Length: 5\r\n)?ETag: "a"\r\n\r\n$/,
  ],
  [
    'HEAD',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'HEAD with a body',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n',
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  [
    'HEAD of chunks',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\n\r\n',
    'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
  ],
  ['extra bytes', `${okAnswer}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`, 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
  [
    'a length and chunks',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    /^HTTP\/1\.1 502 /,
  ],
  ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok', /^HTTP\/1\.1 502 /],
  ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok', /^HTTP\/1\.1 502 /],
  ['another coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', /^HTTP\/1\.1 502 /],
  ['bare line feeds', 'HTTP/1.1 200 OK\nContent-Length: 2\n\r\n\r\nok', /^HTTP\/1\.1 502 /],
  ['a folded line', 'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok', /^HTTP\/1\.1 502 /],
  ['a NUL', 'HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok', /^HTTP\/1\.1 502 /],
  ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 502 /],
  ['101 unasked', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n', /^HTTP\/1\.1 502 /],
  ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`, /^HTTP\/1\.1 502 /],
];

test('answers are read as strictly as requests, and passed on byte for byte', async (t) => {
  let answer = '';
  const { port, upstream } = await startBetween(t, (socket) => void socket.write(answer, 'latin1'));
  for (const [name, text, expected, request = get('/')] of answers) {
    answer = text;
    const client = await connectRaw(t, port);
    const before = upstream.requests.length;
    client.send(request);
    const matches = () => {
      const received = withoutDate(client.received());
      return typeof expected === 'string' ? received === expected : expected.test(received);
    };
    await until(`the answer to ${name}, got ${JSON.stringify(client.received())}`, matches).catch(() =>
      assert.fail(`${name}: ${JSON.stringify(withoutDate(client.received()))}`),
    );
    // The connection is in step: the next request gets the next answer, and nothing left over from this one.
    answer = okAnswer;
    const sofar = client.received().length;
    client.send(get('/next'));
    await until(`an answer behind ${name}`, () => /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nok$/.test(client.received().slice(sofar)));
    assert.equal(upstream.requests.length, before + 2, name);
    client.socket.destroy();
  }
});

test('an answer that breaks off breaks off for the client, too', async (t) => {
  let answer = '';
  const { port } = await startBetween(t, (socket) => {
    socket.write(answer, 'latin1');
    setTimeout(() => socket.destroy(), 20);
  });
  const broken: [string, RegExp][] = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello', /hello$/],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n', /5\r\nhello\r\n$/],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXX\r\n', /5\r\nhello\r\n$/],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n', /5\r\nhello\r\n$/],
  ];
  for (const [text, expected] of broken) {
    answer = text;
    const client = await connectRaw(t, port);
    client.send(get('/'));
    await client.closed;
    assert.match(client.received(), expected, text);
    assert.doesNotMatch(client.received(), /\r\n0\r\n\r\n$/);
  }
  // One that ends with its connection is whole once that has ended.
  answer = 'HTTP/1.0 200 OK\r\n\r\nhello';
  const whole = await connectRaw(t, port);
  whole.send(get('/'));
  await until('the end', () => whole.received().endsWith('5\r\nhello\r\n0\r\n\r\n'));
  const old = await connectRaw(t, port);
  old.send('GET / HTTP/1.0\r\n\r\n');
  await old.closed;
  assert.match(old.received(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*Connection: close\r\n\r\nhello$/);
});

test('HTTP/1.0 clients keep their connection when they ask for it and the end is known', async (t) => {
  const { port } = await startBetween(t, okAnswer);
  const client = await connectRaw(t, port);
  for (let n = 1; n <= 3; n++) {
    client.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    await until('an answer', () => statusesOf(client.received()).length === n);
  }
  assert.match(client.received(), /\r\nConnection: keep-alive\r\n\r\nok/);
});

test('a hundred requests in one write are answered in order', async (t) => {
  const { port, upstream } = await startBetween(t, (socket, request) => {
    const path = request.split(' ')[1] ?? '';
    setTimeout(() => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`), Math.random() * 3);
  });
  const client = await connectRaw(t, port);
  client.send(
    Array.from({ length: 100 }, (_, n) =>
      n % 3 === 0 ? `POST /${n} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc` : get(`/${n}`),
    ).join(''),
  );
  await until('all answers', () => client.received().endsWith('/99'));
  assert.deepEqual(
    [...client.received().matchAll(/\r\n\r\n(\/\d+)/g)].map(([, path]) => path),
    Array.from({ length: 100 }, (_, n) => `/${n}`),
  );
  assert.equal(upstream.requests.length, 100);
});

test('100 (Continue) comes once the body is wanted, and never for a request that is refused', async (t) => {
  const { port, upstream } = await startBetween(t, okAnswer, {}, { routed: { maxBodyBytes: 100 } });
  const client = await connectRaw(t, port);
  const head = (length: number) => `POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`;
  client.send(head(5));
  await until('100', () => client.received() === 'HTTP/1.1 100 Continue\r\n\r\n');
  assert.equal(upstream.received(), '', 'a small body is waited for');
  client.send('hello');
  await until('the request at the upstream', () => upstream.received() === 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
  await until('200', () => client.received().endsWith('ok'));
  client.send(`${head(5)}hello`); // does not wait
  await until('a second 200', () => statusesOf(client.received()).filter((status) => status === 200).length === 2);
  const refused = await connectRaw(t, port);
  const begun = performance.now();
  refused.send(head(101));
  await until('413', () => refused.ended());
  assert.ok(performance.now() - begun < 3_000, 'the client is told at once that nothing more comes');
  assert.deepEqual(statusesOf(refused.received()), [413]);
  assert.match(refused.received(), /\r\nConnection: close\r\n/);
});

test('a body over the limit is 413, counted or not, and the upstream hears no end of it', async (t) => {
  const { port, upstream } = await startBetween(t, okAnswer, {}, { routed: { maxBodyBytes: 100 } });
  const client = await connectRaw(t, port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${`40\r\n${'x'.repeat(64)}\r\n`.repeat(2)}`);
  await until('413', () => statusesOf(client.received())[0] === 413);
  client.send(`0\r\n\r\n${get('/next')}`);
  await until('the end, or the next answer', () => client.ended() || client.received().endsWith('ok'));
  assert.ok(upstream.requests.every((one) => one.startsWith('GET /next')));
  await until('the upstream to be left', () => upstream.open.size <= 1);
});

test('an upstream may answer before it has the whole body', async (t) => {
  const early = 'HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig';
  const { port, upstream } = await startBetween(
    t,
    okAnswer,
    {},
    {
      onBytes: (socket, all) =>
        void (all.length < 2_000 && all.startsWith('POST') && !socket.destroyed && socket.write(all.includes('\r\n\r\nx') ? '' : early)),
    },
  );
  const client = await connectRaw(t, port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n');
  await until('the early answer', () => client.received().endsWith('big'));
  client.send('x'.repeat(100_000) + get('/next'));
  await until('the next answer', () => client.received().endsWith('ok'));
  assert.deepEqual(upstream.requests, [get('/next')]);
});

test('an upstream whose connections live a second is never met closing', async (t) => {
  let resets = 0;
  const { port } = await startBetween(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok');
    setTimeout(() => socket.destroy(), 1_000);
    socket.on('error', () => resets++);
  });
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      for (let n = 0; n < 3; n++) {
        assert.equal((await ask(port, '/', { method: 'POST', body: 'x' })).status, 200);
        if (n < 2) await pause(1_050);
      }
    }),
  );
  assert.equal(resets, 0);
});

test('events arrive as they are written', async (t) => {
  const { address } = await startUpstream(t, 0, (_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.flushHeaders();
    const timer = setInterval(() => res.write(`data: ${performance.timeOrigin + performance.now()}\n\n`), 30);
    res.on('close', () => clearInterval(timer));
  });
  const port = await freePort();
  const compress = { encodings: ['gzip' as const], types: ['*'], leastBytes: 0, level: 1 };
  await startGateway(t, [
    site(port, [
      route('/', proxyTo([address])),
      route('/buffered', proxyTo([address], { buffering: true })),
      route('/none', proxyTo([address]), { compress }),
    ]),
  ]);
  for (const path of ['/', '/buffered', '/none']) {
    const late: number[] = [];
    const request = http.get({ host: '127.0.0.1', port, path, agent: false });
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
    for await (const part of answer) {
      const now = performance.timeOrigin + performance.now();
      for (const [, at] of String(part).matchAll(/data: ([\d.]+)\n\n/g)) late.push(now - Number(at));
      if (late.length >= 8) break;
    }
    late.sort((a, b) => a - b);
    assert.ok((late[4] ?? 99) < 50, `${path}: ${late.map(Math.round).join(' ')}`);
  }
});

test('a client that leaves in the middle of an answer frees the upstream', async (t) => {
  const { port, upstream } = await startBetween(
    t,
    (socket) => void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n'),
  );
  for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
    const client = await connectRaw(t, port);
    client.send(get('/'));
    await until('the beginning', () => client.received().includes('ok'));
    assert.equal(upstream.open.size, 1);
    client.socket[leave]();
    await until(`the upstream to be left after ${leave}`, () => upstream.open.size === 0);
  }
  // The same before a byte of the answer, and in the middle of an upload.
  for (const text of [
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
  ]) {
    const client = await connectRaw(t, port);
    client.send(text);
    await until('the upload', () => upstream.received().endsWith('half') || upstream.received().endsWith('half\r\n'));
    client.socket.destroy();
    await until('the upstream to be left', () => upstream.open.size === 0);
  }
});

test('half-closed clients get an answer that the gateway has of its own', async (t) => {
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', { kind: 'answer', answer: { status: 200, body: 'ok' } })])]);
  const client = await connectRaw(t, port);
  client.socket.end(get('/'));
  await client.closed;
  assert.match(client.received(), /^HTTP\/1\.1 200 [\s\S]*ok$/);
});

const memoryNow = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;

test('a slow client or a slow upstream holds back the other side, not memory', async (t) => {
  const bytes = 100 * 2 ** 20;
  const slow: http.IncomingMessage[] = [];
  const { address } = await startUpstream(t, 0, (req, res) => {
    if (req.method === 'GET') res.end(Buffer.alloc(bytes));
    else {
      slow.push(req);
      let count = 0;
      req.on('data', (part: Buffer) => {
        count += part.length;
      });
      req.on('end', () => res.end(String(count)));
      req.pause();
    }
  });
  const port = await freePort();
  const { worker } = await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const before = memoryNow(worker.pid);
  const request = http.get({ host: '127.0.0.1', port, agent: false });
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  answer.pause();
  const upload = http.request({ host: '127.0.0.1', port, method: 'POST', agent: false, headers: { 'Content-Length': bytes } });
  const answered = once(upload, 'response') as Promise<[http.IncomingMessage]>;
  upload.end(Buffer.alloc(bytes));
  await pause(700);
  const held = memoryNow(worker.pid) - before;
  assert.ok(held < 40, `${held} MB are held`);
  let received = 0;
  for (const one of slow) one.resume();
  for await (const part of answer) received += (part as Buffer).length;
  assert.equal(received, bytes);
  const [done] = await answered;
  assert.equal(String((await once(done, 'data'))[0]), String(bytes));
});

test('everything that waits has its time', async (t) => {
  const gateway = { ...gatewaySpec, headerTimeoutMs: 1_000, stallTimeoutMs: 1_000, idleTimeoutMs: 1_000 };
  const times = { readTimeoutMs: 1_500, sendTimeoutMs: 1_500 };
  const { port } = await startBetween(
    t,
    (socket, request) => {
      if (request.includes('/stalls')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe');
      else if (!request.includes('/silent')) socket.write(okAnswer);
    },
    times,
    { gateway, onBytes: (socket, all) => void (all.startsWith('PUT') && socket.pause()) },
  );
  const tookUntilEnd = async (text: string, later = ''): Promise<[string, number]> => {
    const client = await connectRaw(t, port);
    const begun = performance.now();
    client.send(text);
    if (later !== '') setTimeout(() => client.send(later), 450);
    await until(`the end of ${text}`, () => client.ended() || client.socket.destroyed);
    client.socket.destroy();
    return [client.received(), performance.now() - begun];
  };
  const [nothing, header, trickled, body, chunk, idle, silent, stalls, slow, upload] = await Promise.all([
    tookUntilEnd(''),
    tookUntilEnd('GET / HTTP/1.1\r\nHo'),
    tookUntilEnd(`${get('/')}GET / HTTP/1.1\r\n`),
    tookUntilEnd('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe'),
    tookUntilEnd('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe'),
    tookUntilEnd(get('/')),
    tookUntilEnd(get('/silent', 'Connection: close\r\n')),
    tookUntilEnd(get('/stalls')),
    // A client that takes its time is no fault of the upstream.
    tookUntilEnd('POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhe'),
    tookUntilEnd(`PUT /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30000000\r\n\r\n${'x'.repeat(30_000_000)}`),
  ]);
  assert.equal(nothing[0], '');
  assert.match(header[0], /^HTTP\/1\.1 408 /);
  assert.deepEqual(statusesOf(trickled[0]), [200, 408]);
  assert.deepEqual(statusesOf(body[0]), [408]);
  assert.deepEqual(statusesOf(chunk[0]), [408]);
  assert.deepEqual(statusesOf(idle[0]), [200]);
  assert.deepEqual(statusesOf(silent[0]), [504]);
  assert.match(stalls[0], /\r\n\r\nhe$/);
  assert.deepEqual(statusesOf(slow[0]), [408]);
  assert.deepEqual(statusesOf(upload[0]), [504]);
  for (const [, took] of [nothing, header, body, idle]) assert.ok(took > 900 && took < 6_000, String(took));
});

test('a slow upload outlives the time an upstream has for its answer', async (t) => {
  const { port } = await startBetween(t, okAnswer, { readTimeoutMs: 200 });
  const client = await connectRaw(t, port);
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n');
  for (const byte of 'slow') {
    await pause(250);
    client.send(byte);
  }
  await until('the answer', () => client.received().endsWith('ok'));
  assert.deepEqual(statusesOf(client.received()), [200]);
});

test('the last of an answer reaches a slow client though the connection is to end', async (t) => {
  const body = 'x'.repeat(8 * 2 ** 20);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', { kind: 'answer', answer: { status: 200, body } })])]);
  const client = await connectRaw(t, port);
  client.socket.pause();
  client.send(get('/', 'Connection: close\r\n'));
  await pause(5_600); // longer than a connection lingers
  client.socket.resume();
  await client.closed;
  assert.ok(client.received().length > body.length, `${client.received().length} bytes came`);
});

test('an upstream out of reach is 502 or 504, and the connection goes on', async (t) => {
  const free = await freePort();
  const silent = await startRawUpstream(t, '');
  const port = await freePort();
  await startGateway(t, [
    site(port, [
      route('/refused', proxyTo([{ kind: 'tcp', host: '127.0.0.1', port: free }])),
      route('/far', proxyTo([silent.address], { scheme: 'https', connectTimeoutMs: 200 })),
    ]),
  ]);
  const client = await connectRaw(t, port);
  client.send(get('/refused') + get('/far') + get('/refused'));
  await until('three answers', () => statusesOf(client.received()).length === 3);
  assert.deepEqual(statusesOf(client.received()), [502, 504, 502]);
});

test('what comes for a body while the next server is looked for is not lost', async (t) => {
  const closing = await startRawUpstream(t, '', (socket) => void setTimeout(() => socket.destroy(), 10));
  const good = await startRawUpstream(t);
  const port = await freePort();
  const action = proxyTo([closing.address, good.address], { forwardedHeaders: 'off', retry: { on: ['error'], tries: 0, timeoutMs: 0 } });
  await startGateway(t, [site(port, [route('/', action)])]);
  for (let n = 0; n < 20; n++) {
    const client = await connectRaw(t, port);
    client.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n');
    await pause(n);
    client.send('hello');
    await until('an answer', () => statusesOf(client.received()).length === 1);
    client.socket.destroy();
  }
  for (const one of good.requests) assert.equal(one, 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
  assert.ok(good.requests.length >= 10);
});
