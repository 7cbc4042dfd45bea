/** What routes do to answers and write down of them, and what a worker counts: in live workers and in this process. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gunzipSync } from 'node:zlib';
import type { AccessLogSpec, CompressSpec, RouteAction, RouteSpec, SiteSpec } from '../config/model.ts';
import { openAuthority } from './certificates/authority.ts';
import { Deadlines } from './connection/deadlines.ts';
import { createListeners } from './connection/listeners.ts';
import { createAccessLog } from './logs/access-log.ts';
import { compileTable } from './match.ts';
import { openLimits } from './rules/limits.ts';
import { createPasswordCheck } from './rules/password-check.ts';
import { Serve } from './serve.ts';
import {
  ask,
  askRaw,
  filesIn,
  freePort,
  proxyTo,
  proxyToService,
  route,
  site,
  startGateway,
  startUpstream,
  tableOf,
  temporaryFolder,
  until,
} from './testing.ts';
import { Upstreams } from './upstream/upstreams.ts';

const respond = (body: string, status = 200): RouteAction => ({ kind: 'answer', answer: { status, body } });
const compress: CompressSpec = { encodings: ['gzip'], types: ['text/plain', 'text/html', 'text/event-stream'], leastBytes: 100, level: 4 };
const gzip = { headers: { 'accept-encoding': 'gzip' } };

async function serve(t: TestContext, routes: readonly RouteSpec[], more: Partial<SiteSpec> = {}) {
  const port = await freePort();
  const running = await startGateway(t, [site(port, routes, more)]);
  return { ...running, port };
}

/** Status, headers, and the bytes as they came. */
function getBytes(
  port: number,
  target: string,
  options: http.RequestOptions = {},
): Promise<{ status: number; headers: http.IncomingHttpHeaders; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, agent: false, ...options }, async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part as Buffer);
      resolve({ status: answer.statusCode ?? 0, headers: answer.headers, bytes: Buffer.concat(parts) });
    });
    request.on('error', reject).end();
  });
}

test('answers are compressed for those who take it: small and large, proxied and from files, but no parts', async (t) => {
  const dir = await temporaryFolder(t);
  const text = 'all work and no play '.repeat(1_000);
  writeFileSync(path.join(dir, 'a.txt'), text);
  const { address } = await startUpstream(t, 0, (req, res) => {
    if (req.url === '/app/events') {
      res.writeHead(200, { 'content-type': 'text/plain' });
      return void setTimeout(() => res.end(text), 20);
    }
    const type = 'text/plain; charset=utf-8';
    if (req.url === '/app/large') res.writeHead(200, { 'content-type': type, etag: '"1"' }).end(text.repeat(20));
    else res.writeHead(200, { 'content-type': type, 'content-length': text.length, etag: '"1"' }).end(text);
  });
  const { port } = await serve(t, [
    route('/', filesIn(dir), { compress }),
    route('/app', proxyTo([address]), { compress }),
    route('/short', respond('short'), { compress }),
  ]);
  for (const [target, times] of [
    ['/a.txt', 1],
    ['/app', 1],
    ['/app/large', 20],
    ['/app/events', 1],
  ] as const) {
    const { headers, bytes } = await getBytes(port, target, gzip);
    assert.deepEqual([headers['content-encoding'], headers.vary], ['gzip', 'Accept-Encoding'], target);
    assert.equal(gunzipSync(bytes).toString(), text.repeat(times), target);
    if (headers.etag !== undefined) assert.match(headers.etag, /^W\//, target);
    const plain = await getBytes(port, target);
    assert.deepEqual(
      [plain.headers['content-encoding'], plain.headers.vary, plain.bytes.toString()],
      [undefined, 'Accept-Encoding', text.repeat(times)],
    );
  }
  const head = await getBytes(port, '/a.txt', { ...gzip, method: 'HEAD' });
  assert.deepEqual([head.headers['content-encoding'], head.headers['content-length'], head.bytes.length], ['gzip', undefined, 0]);
  const whole = await getBytes(port, '/a.txt', { headers: { ...gzip.headers, range: 'bytes=0-299' } });
  assert.deepEqual(
    [whole.status, whole.headers['content-encoding'], whole.headers['accept-ranges']],
    [200, 'gzip', undefined],
    'no parts of what is made on the way',
  );
  const part = await getBytes(port, '/a.txt', { headers: { range: 'bytes=0-299' } });
  assert.deepEqual([part.status, part.headers['content-encoding'], part.bytes.length], [206, undefined, 300]);
  assert.equal((await getBytes(port, '/short', gzip)).headers['content-encoding'], undefined);
});

test('headers are added, hidden and rewritten; methods, headers and bodies are passed on or not', async (t) => {
  const { address } = await startUpstream(t, 0, (req, res) => {
    let body = '';
    req.on('data', (part) => (body += part));
    req.on('end', () => {
      if (req.url === '/bad') res.statusCode = 418;
      res.writeHead(res.statusCode, {
        'X-Secret': 'inner',
        'Set-Cookie': ['a=1; Domain=inner.example; Path=/in/x; HttpOnly', 'b=2; path=/other'],
        Location: 'http://inner.example/in/page',
      });
      res.end(`${req.method} ${req.url} ${req.headers['x-from'] ?? '-'} ${body}`);
    });
  });
  const action = proxyTo([address], {
    hideHeaders: ['x-secret'],
    rewriteCookies: [
      { attribute: 'domain', from: 'inner.example', to: '$host' },
      { attribute: 'path', from: '/in/', to: '/' },
    ],
    rewriteLocation: [{ from: { kind: 'regex', pattern: '^http://inner\\.example/in/(.*)$', anyCase: false }, to: '/$1' }],
  });
  const always = (value: string, name: string, isAlways: boolean) => ({ name, value, always: isAlways });
  const addHeaders = [
    always('$upstream_status', 'X-Always', true),
    always('yes', 'X-Good', false),
    always('$arg_none', 'X-None', true),
    always('价 €', 'X-Far', true),
  ];
  const routes = [
    route('/', action, { addHeaders, expires: { kind: 'seconds', seconds: 60, from: 'now' } }),
    route('/bare', proxyTo([address], { passHeaders: false, passBody: false, method: 'PUT' })),
    route('/whole', proxyTo([address], { path: { kind: 'whole', to: '/got/$arg_x?was=$uri' } })),
    route('/swap/', proxyTo([address], { path: { kind: 'replace', to: '/$http_x_from/' } })),
  ];
  const { port } = await serve(t, routes);
  const good = await ask(port, '/', { headers: { host: 'outer.example' } });
  assert.deepEqual(good.headers['set-cookie'], ['a=1; Domain=outer.example; Path=/x; HttpOnly', 'b=2; path=/other']);
  assert.deepEqual(
    [
      good.headers['x-secret'],
      good.headers.location,
      good.headers['x-always'],
      good.headers['x-good'],
      good.headers['x-none'],
      good.headers['cache-control'],
      Buffer.from(String(good.headers['x-far']), 'latin1').toString(),
    ],
    [undefined, 'http://outer.example/page', '200', 'yes', undefined, 'max-age=60', '价 €'],
  );
  const bad = await ask(port, '/bad');
  assert.deepEqual(
    [bad.status, bad.headers['x-always'], bad.headers['x-good'], bad.headers['cache-control']],
    [418, '418', undefined, undefined],
  );
  const bodied = { method: 'POST', body: 'secret', headers: { 'x-from': 'here' } };
  assert.equal((await ask(port, '/bare', bodied)).body, 'PUT /bare - ');
  assert.equal((await ask(port, '/whole/path?x=1', bodied)).body, 'POST /got/1?was=/whole/path here secret');
  assert.equal((await ask(port, '/swap/a%20b?c', bodied)).body, 'POST /here/a%20b?c here secret');
});

test('an upstream behind TLS is checked against its authority and name when the route says so', async (t) => {
  const dir = await temporaryFolder(t);
  const authority = await openAuthority(dir, Date.now());
  const { cert, key } = await authority.issue(['inner.example'], Date.now());
  const server = https.createServer({ cert, key }, (_req, res) => res.end('over tls'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const address = { kind: 'tcp' as const, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port };
  const port = await freePort();
  const ca = path.join(dir, 'ca.pem');
  const to = (pathText: string, verify?: { ca?: string; name?: string }) =>
    route(pathText, proxyTo([address], { scheme: 'https', ...(verify && { verify }) }));
  const routes = [to('/any'), to('/good', { ca, name: '$arg_name' }), to('/address', { ca }), to('/system', { name: 'inner.example' })];
  const { errors } = await startGateway(t, [site(port, routes)], { files: new Map([[ca, authority.certificate]]) });
  assert.equal((await ask(port, '/any')).body, 'over tls');
  assert.equal((await ask(port, '/good?name=inner.example')).body, 'over tls');
  for (const target of ['/good?name=other.example', '/address', '/system']) assert.equal((await ask(port, target)).status, 502, target);
  assert.match(errors(), /Host: other\.example\. is not in the cert's altnames/);
});

test('access logs: forms, files, conditions; clients that left, bodies that did not come, bytes that were no request', async (t) => {
  const dir = await temporaryFolder(t);
  const file = (name: string): string => path.join(dir, name);
  const log = (name: string, format: AccessLogSpec['format'], when?: string): AccessLogSpec => ({
    file: file(name),
    format,
    maxBytes: 0,
    keep: 0,
    ...(when && { when }),
  });
  const { address } = await startUpstream(
    t,
    0,
    (req, res) => void (req.url === '/wait' ? req.resume() : res.writeHead(200, { 'x-app': 'yes' }).end('hello')),
  );
  const own: AccessLogSpec = { format: { kind: 'steward' }, maxBytes: 0, keep: 0 };
  const text = '$status $body_bytes_sent $upstream_status $upstream_http_x_app $arg_x $request_method';
  const logs = [
    own,
    log('combined.log', { kind: 'combined' }),
    log('json.log', { kind: 'json' }),
    log('text.log', { kind: 'text', text, escape: 'default' }),
    log('bad.log', { kind: 'combined' }, '$arg_bad'),
  ];
  const rest = route('/', respond('rest'), { logs });
  const { port, access } = await serve(t, [route('/', proxyTo([address]), { logs, maxBodyBytes: 10 })], { rest });
  const read = (name: string): string[] => readFileSync(file(name), 'utf8').trim().split('\n');
  await ask(port, '/a?x=%22q', { headers: { 'user-agent': 'test "agent"' } });
  await ask(port, '/b?bad=1');
  assert.equal((await ask(port, '/c', { method: 'POST', body: 'x'.repeat(20) })).status, 413);
  const leaving = http.get({ port, host: '127.0.0.1', path: '/wait', agent: false }).on('error', () => {});
  await new Promise((resolve) => setTimeout(resolve, 100));
  leaving.destroy();
  assert.match(await askRaw(port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await askRaw(port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /);
  await until('all lines', () => read('text.log').length === 6);
  assert.deepEqual(
    read('text.log')
      .map((line) => line.replace(/\d+ (- )?(?=- - - )/, '# '))
      .slice(0, 2),
    ['200 5 200 yes %22q GET', '200 5 200 yes - GET'],
  );
  assert.deepEqual(
    read('text.log').map((line) => line.slice(0, 3)),
    ['200', '200', '413', '499', '400', '400'],
  );
  assert.match(read('text.log')[3] ?? '', /^499 0 - - - GET$/);
  assert.match(
    read('combined.log')[0] ?? '',
    /^127\.0\.0\.1 - - \[[^\]]+\] "GET \/a\?x=%22q HTTP\/1\.1" 200 5 "-" "test \\x22agent\\x22"$/,
  );
  const json = JSON.parse(read('json.log')[0] ?? '');
  assert.deepEqual([json.path, json.query, json.status, json.bytes, json.route], ['/a', 'x=%22q', 200, 5, '/']);
  assert.equal(read('bad.log').length, 1);
  await until('the own log', () => access().trim().split('\n').length === 6);
});

test('a worker counts by site and route; hosts that nobody knows make no new counters', async (t) => {
  const port = await freePort();
  const many = Array.from({ length: 10_000 }, (_, n) => `h${n}.example`);
  const sites = [
    site(port, [route('/a', respond('a')), route('/b', respond('b', 404))], { hosts: many, serverName: 'many' }),
    site(port, [route('/', respond('any'))], { serverName: 'any', isDefault: true }),
  ];
  const { gateway } = await startGateway(t, sites);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const from = (host: string, target: string) => ask(port, target, { agent, headers: { host } });
  await Promise.all(Array.from({ length: 300 }, (_, n) => from(`h${n}.example`, n % 3 === 0 ? '/b' : '/a')));
  await Promise.all(Array.from({ length: 300 }, (_, n) => from(`${n}.random.example`, '/')));
  agent.destroy();
  const counters = await until('the counters', () => {
    const found = [...gateway.counters().values()][0];
    return found?.requests === 600 && found.connections === 0 && found;
  });
  assert.deepEqual(
    counters.sites.map(({ site: name, routes }) => [name, routes.map(({ route: at, requests }) => `${at} ${requests}`).sort()]),
    [
      ['many', ['/a 200', '/b 100']],
      ['any', ['/ 300']],
    ],
  );
  assert.deepEqual(counters.answers, [0, 500, 0, 100, 0]);
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** A gateway in this process, whose insides can be looked at. */
async function serveHere(t: TestContext, sites: readonly SiteSpec[]) {
  const deadlines = new Deadlines();
  const upstreams = new Upstreams(deadlines);
  const log = (): void => {};
  const lines: string[] = [];
  const bugs: string[] = [];
  const writer = { write: (line: string) => void lines.push(line), dropped: 0, flush: async () => {} };
  const access = createAccessLog(writer as never, log);
  const note = (line: string): void => void (line.includes('bug:') && bugs.push(line));
  const service = new Serve({
    upstreams,
    access,
    limits: openLimits({ file: undefined, workers: 1, log }),
    passwords: createPasswordCheck({ log }),
    log: note,
  });
  const listeners = createListeners({ receiver: service, deadlines, log, onChange: () => {} });
  const { compiled } = compileTable(tableOf(sites));
  service.setTable(compiled);
  await listeners.apply(compiled);
  t.after(() => listeners.close(0));
  return { deadlines, upstreams, counting: service.counting, bugs };
}

test('after thousands of requests of all kinds nothing is left of them', async (t) => {
  const dir = await temporaryFolder(t);
  writeFileSync(path.join(dir, 'file.txt'), 'x'.repeat(200_000));
  const server = http.createServer((req, res) => {
    req.on('error', () => {});
    if (req.url === '/app/never') return void req.resume();
    if (req.url === '/app/hang-up') return void req.socket.destroy();
    req.resume().on('end', () => res.end('x'.repeat(50_000)));
  });
  server.on('upgrade', (_req, socket) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n');
    socket.once('data', () => socket.end('bye'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = { kind: 'tcp' as const, host: '127.0.0.1', port: (server.address() as net.AddressInfo).port };
  const port = await freePort();
  const logs: RouteSpec['logs'] = [];
  const routes = [
    route('/app', proxyTo([address], { retry: { on: [], tries: 0, timeoutMs: 0 } }), { logs }),
    route('/held', { ...proxyToService('nobody'), holdMs: 60 }, { logs }),
    route('/files/', filesIn(dir, { mapping: 'strip' }), { logs, compress: { ...compress, encodings: ['gzip'] } }),
    route('/asked', respond('ok'), { logs, access: { satisfy: 'all', rules: [], request: { uri: '/app/x', set: {} } } }),
    route('/paged', proxyTo([address]), { logs, maxBodyBytes: 5, errorPages: [{ statuses: [413], to: '/files/file.txt' }] }),
  ];
  const { deadlines, upstreams, counting, bugs } = await serveHere(t, [site(port, routes)]);
  const raw = (text: string, leaveAfterMs?: number): Promise<void> =>
    new Promise((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => socket.write(text));
      socket.on('error', () => {}).on('close', () => resolve());
      if (leaveAfterMs === undefined) socket.on('data', () => {}).on('end', () => socket.end());
      else setTimeout(() => socket.destroy(), leaveAfterMs);
    });
  const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${more}\r\n`;
  const kinds: (() => Promise<void>)[] = [
    () => raw(get('/app/ok')),
    () => raw(get('/app/never'), 5),
    () => raw(get('/app/hang-up')),
    () => raw(get('/app/ok'), 1),
    () => raw(get('/held/x')),
    () => raw(get('/held/x'), 10),
    () => raw(get('/files/file.txt')),
    () => raw(get('/files/file.txt', 'Accept-Encoding: gzip\r\n'), 3),
    () => raw(get('/asked')),
    () => raw(get('/asked'), 1),
    () => raw('POST /app/up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nonly a part', 5),
    () => raw('POST /app/up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n'),
    () => raw('POST /paged HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9\r\n\r\n123456789'),
    () => raw('GET /app/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nhi'),
    () => raw('GET /app/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n', 5),
    () => raw('no request\r\n\r\n'),
    () => raw(''.padEnd(20, 'G'), 1),
  ];
  const round = async (count: number): Promise<number> => {
    let next = 0;
    const client = async (): Promise<void> => {
      while (next < count) await kinds[next++ % kinds.length]?.();
    };
    await Promise.all(Array.from({ length: 40 }, client));
    const open = (): string => JSON.stringify([counting.active, counting.connections, upstreams.held]);
    await until(`nothing to be under way: ${open()}`, () => open() === '[0,0,0]');
    await new Promise((resolve) => setTimeout(resolve, 1_200)); // what upgrades leave for their last words
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  await round(1_700);
  const before = await round(1_700);
  const after = await round(5_100);
  t.diagnostic(`heap ${Math.round(before / 1e6)} MB, then ${Math.round(after / 1e6)} MB`);
  const [balance] = [...upstreams.balances.values()].filter(({ servers }) => servers.length > 0);
  await until('no server to have a request under way', () => balance?.servers.every(({ active }) => active === 0));
  assert.ok(after < before + 8e6, 'the heap does not grow');
  upstreams.close();
  await until(`deadlines to be gone: ${deadlines.size}`, () => deadlines.size === 0);
  assert.deepEqual(bugs, []);
});
