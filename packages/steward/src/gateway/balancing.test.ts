/** Which server gets a request, in a live worker: policies, health, retries, cookies. */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Address, BalanceSpec, ProxyAction, RetrySpec, ServerSpec } from '../config/model.ts';
import { plainBalance, plainGateway } from '../config/model.ts';
import {
  type AskOptions,
  ask,
  freePort,
  proxyTo,
  proxyToService,
  route,
  serverAt,
  site,
  startGateway,
  temporaryFolder,
  until,
} from './testing.ts';

interface Backend {
  readonly address: Address;
  /** Requests it was given, checks left out. */
  requests: number;
  /** Answers from now on. */
  answer: http.RequestListener;
}

/** A server that answers with its name. */
async function startBackend(t: TestContext, name: string, at: string | 0 = 0): Promise<Backend> {
  const server = http.createServer((req, res) => {
    if (req.url !== '/health') backend.requests++;
    backend.answer(req, res);
  });
  await new Promise<void>((resolve) => (at === 0 ? server.listen(0, '127.0.0.1', resolve) : server.listen(at, resolve)));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  const address: Address =
    typeof bound === 'object' && bound !== null ? { kind: 'tcp', host: '127.0.0.1', port: bound.port } : { kind: 'unix', path: String(at) };
  const backend: Backend = { address, requests: 0, answer: (_req, res) => res.end(name) };
  return backend;
}

const startBackends = (t: TestContext, ...names: string[]): Promise<Backend[]> => Promise.all(names.map((name) => startBackend(t, name)));

const balanced = (servers: readonly ServerSpec[], balance: Partial<BalanceSpec>, more: Partial<ProxyAction> = {}): ProxyAction => ({
  ...proxyToService('unused'),
  target: { ...plainBalance, ...balance, kind: 'servers', name: 'backend', servers },
  ...more,
});

/** A gateway with one route for all; asks it. */
async function serve(t: TestContext, action: ProxyAction) {
  const port = await freePort();
  const sites = [site(port, [route('/', action)])];
  const running = await startGateway(t, sites);
  const get = (target = '/', options: AskOptions = {}) => ask(port, target, options);
  const bodies = async (count: number, options?: AskOptions, target = '/') => {
    const seen: Record<string, number> = {};
    for (let n = 0; n < count; n++) {
      const { body } = await get(target, options);
      seen[body] = (seen[body] ?? 0) + 1;
    }
    return seen;
  };
  return { ...running, port, sites, get, bodies };
}

const withCookie = (cookie: string): AskOptions => ({ headers: { cookie } });
const cookieOf = ({ headers }: { readonly headers: http.IncomingHttpHeaders }, name: string): string =>
  headers['set-cookie']?.find((one) => one.startsWith(`${name}=`))?.split(';')[0] ?? '';

test('a hash goes by variables of the configuration too', async (t) => {
  const backends = await startBackends(t, 'a', 'b', 'c');
  const port = await freePort();
  const policy = { kind: 'hash', key: '$shard', consistent: false } as const;
  const servers = backends.map(({ address }) => serverAt(address));
  const action = { ...proxyToService('unused'), target: { ...plainBalance, kind: 'servers' as const, name: 'shards', servers, policy } };
  const shard = { name: 'shard', from: '$arg_user', hostnames: false, cases: [], byDefault: 'of $arg_user' };
  await startGateway(t, [site(port, [route('/', action)])], { gateway: { ...plainGateway, variables: [shard] } });
  const names = new Set<string>();
  for (let n = 0; n < 20; n++) names.add((await ask(port, `/?user=${n}`)).body);
  assert.ok(names.size > 1, 'users of different shards are spread');
});

test('weights share out requests, a hash keeps a key and an address keeps a client on its server', async (t) => {
  const [a, b, c] = (await startBackends(t, 'a', 'b', 'c')) as [Backend, Backend, Backend];
  const servers = [serverAt(a.address, { weight: 5 }), serverAt(b.address), serverAt(c.address)];
  const port = await freePort();
  const by = (pathText: string, name: string, policy: BalanceSpec['policy']) =>
    route(pathText, { ...proxyToService('unused'), target: { ...plainBalance, kind: 'servers', name, servers, policy } });
  await startGateway(t, [
    site(port, [
      by('/turns', 'turns', { kind: 'round-robin' }),
      by('/hash', 'hash', { kind: 'hash', key: '$arg_user', consistent: false }),
      by('/ring', 'ring', { kind: 'hash', key: '$arg_user', consistent: true }),
      by('/client', 'client', { kind: 'client-address' }),
    ]),
  ]);
  const seen: Record<string, number> = {};
  for (let n = 0; n < 70; n++) {
    const { body } = await ask(port, '/turns');
    seen[body] = (seen[body] ?? 0) + 1;
  }
  assert.deepEqual(seen, { a: 50, b: 10, c: 10 });
  for (const kind of ['hash', 'ring']) {
    const of = new Map<string, Set<string>>();
    for (let n = 0; n < 40; n++) {
      const user = `user${n % 10}`;
      of.set(user, (of.get(user) ?? new Set()).add((await ask(port, `/${kind}?user=${user}`)).body));
    }
    assert.ok(
      [...of.values()].every((names) => names.size === 1),
      kind,
    );
    assert.ok(new Set([...of.values()].flatMap((names) => [...names])).size > 1, `${kind} uses more than one server`);
  }
  const clients = await Promise.all(Array.from({ length: 10 }, () => ask(port, '/client')));
  assert.equal(new Set(clients.map(({ body }) => body)).size, 1);
});

test('the server with the fewest requests under way gets the next one, and none gets more than it may have', async (t) => {
  const [a, b] = (await startBackends(t, 'a', 'b')) as [Backend, Backend];
  const waiting: http.ServerResponse[] = [];
  a.answer = (_req, res) => void waiting.push(res);
  const { port, bodies, apply } = await serve(
    t,
    balanced(
      [a, b].map(({ address }) => serverAt(address)),
      { policy: { kind: 'least-connections' } },
    ),
  );
  const slow = ask(port, '/');
  await until('a slow request', () => waiting.length === 1);
  assert.deepEqual(await bodies(8), { b: 8 });
  waiting[0]?.end('slow');
  assert.equal((await slow).body, 'slow');

  const one = [serverAt(a.address, { maxConnections: 2 })];
  await apply([site(port, [route('/now', balanced(one, {})), route('/later', balanced(one, {}, { holdMs: 5_000 }))])]);
  const two = [ask(port, '/now'), ask(port, '/now')];
  await until('two more', () => waiting.length === 3);
  assert.equal((await ask(port, '/now')).status, 502);
  const held = [ask(port, '/later'), ask(port, '/later', { method: 'POST', body: 'kept' })];
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(waiting.length, 3, 'it has two at once, and no more');
  waiting[1]?.end('1');
  waiting[2]?.end('2');
  await until('those who waited', () => waiting.length === 5);
  for (const res of waiting.slice(3)) res.end('waited');
  assert.deepEqual((await Promise.all([...two, ...held])).map(({ body }) => body).sort(), ['1', '2', 'waited', 'waited']);
});

test('a sticky cookie brings clients back, and gets a new value when its server is gone', async (t) => {
  const dir = await temporaryFolder(t);
  const [a, b] = (await startBackends(t, 'a', 'b')) as [Backend, Backend];
  const sticky = { cookie: 'srv', path: '/app', maxAgeSeconds: 60, secure: true, sameSite: 'strict' } as const;
  const servers = [serverAt(a.address), serverAt(b.address)];
  const { get, bodies, apply, port } = await serve(t, balanced(servers, { sticky }));
  const first = await get();
  assert.match(first.headers['set-cookie']?.[0] ?? '', /^srv=[\w-]{16}; Path=\/app; Max-Age=60; Secure; HttpOnly; SameSite=Strict$/);
  const cookie = cookieOf(first, 'srv');
  assert.deepEqual(await bodies(6, withCookie(`x=1; ${cookie}`)), { [first.body]: 6 });
  assert.equal((await get('/', withCookie(cookie))).headers['set-cookie'], undefined);
  const unknown = await get('/', withCookie('srv=nonsense'));
  assert.match(cookieOf(unknown, 'srv'), /^srv=[\w-]{16}$/);

  const gone = serverAt({ kind: 'unix', path: path.join(dir, 'gone.sock') });
  const other = first.body === 'a' ? b : a;
  const dead = first.body === 'a' ? a : b;
  dead.answer = (req) => void req.socket.destroy();
  const moved = await get('/', withCookie(cookie));
  assert.equal(moved.status, 200);
  assert.notEqual(cookieOf(moved, 'srv'), cookie);

  const drained = [serverAt(other.address, { drain: true }), serverAt(dead.address, { maxFails: 0 }), gone];
  dead.answer = (_req, res) => res.end('new');
  await apply([site(port, [route('/', balanced(drained, { sticky }))])]);
  assert.deepEqual(await bodies(6), { new: 6 });
  assert.deepEqual(await bodies(3, withCookie(cookieOf(moved, 'srv'))), { [moved.body]: 3 });
});

test('a server that fails is left alone for failTimeout, a reload does not forget it, and it is tried once then', async (t) => {
  const [good, bad] = (await startBackends(t, 'good', 'bad')) as [Backend, Backend];
  bad.answer = (req) => void req.socket.destroy();
  const servers = [serverAt(bad.address, { failTimeoutMs: 1_500 }), serverAt(good.address, { failTimeoutMs: 1_500 })];
  const { port, bodies, apply, sites, gateway } = await serve(t, balanced(servers, {}));
  const begun = performance.now();
  assert.deepEqual(await bodies(20), { good: 20 });
  assert.equal(bad.requests, 1);
  await apply([...sites, site(port, [route('/', proxyTo([good.address]))], { hosts: ['other.example'] })]);
  assert.deepEqual(await bodies(20), { good: 20 });
  if (performance.now() - begun < 1_500) assert.equal(bad.requests, 1, 'a reload gives it no request');
  await new Promise((resolve) => setTimeout(resolve, 1_600));
  assert.deepEqual(await bodies(10), { good: 10 });
  assert.equal(bad.requests, 2, 'one trial');
  bad.answer = (_req, res) => res.end('bad');
  await until('it to come back', async () => (await bodies(2)).bad === 1);
  const counted = await until('counters', () => [...gateway.counters().values()][0]?.upstreams['servers:backend']);
  assert.equal(Object.values(counted).length, 2);
});

test('active checks take servers and instances out and in again', async (t) => {
  const [a, b] = (await startBackends(t, 'a', 'b')) as [Backend, Backend];
  const check = { path: '/health', everyMs: 50, timeoutMs: 500, passes: 2, failures: 2, statuses: [200, 299] as const, body: 'fine' };
  let sick = true;
  const answers = (name: string, isSick: () => boolean): http.RequestListener => {
    return (req, res) => res.end(req.url === '/health' ? (isSick() ? 'ill' : 'all is fine') : name);
  };
  a.answer = answers('a', () => sick);
  b.answer = answers('b', () => false);
  const port = await freePort();
  const target = { ...plainBalance, check };
  const sites = [
    site(port, [
      route('/servers', {
        ...proxyToService('x'),
        target: { ...target, kind: 'servers', name: 'backend', servers: [serverAt(a.address), serverAt(b.address)] },
      }),
      route('/service', { ...proxyToService('x'), target: { ...target, kind: 'service', service: 'web' } }),
    ]),
  ];
  const { errors } = await startGateway(t, sites, { endpoints: new Map([['web', [a.address, b.address]]]) });
  await until('both to be out', () => errors().match(/upstream \S+: \S+ is out: it failed 2 checks in a row of \/health/g)?.length === 2);
  for (const target of ['/servers', '/service']) {
    const bodies = await Promise.all(Array.from({ length: 8 }, () => ask(port, target)));
    assert.deepEqual(new Set(bodies.map(({ body }) => body)), new Set(['b']), target);
  }
  sick = false;
  await until('both to be back', () => errors().match(/is back: it passed/g)?.length === 2);
  for (const target of ['/servers', '/service']) {
    const bodies = await Promise.all(Array.from({ length: 8 }, () => ask(port, target)));
    assert.deepEqual(new Set(bodies.map(({ body }) => body)), new Set(['a', 'b']), target);
  }
});

test('statuses are retried elsewhere when the route says so: what may be repeated, so often, and so long', async (t) => {
  const [a, b, c] = (await startBackends(t, 'a', 'b', 'c')) as [Backend, Backend, Backend];
  const fail: http.RequestListener = (req, res) => {
    req.resume();
    req.on('end', () => setTimeout(() => res.writeHead(503, { 'x-from': 'a' }).end('busy'), 30));
  };
  for (const backend of [a, b]) backend.answer = fail;
  const servers = [
    serverAt(a.address, { maxFails: 0 }),
    serverAt(b.address, { maxFails: 0 }),
    serverAt(c.address, { maxFails: 0, backup: true }),
  ];
  const port = await freePort();
  const retrying = (pathText: string, retry: Partial<RetrySpec>) =>
    route(pathText, balanced(servers, {}, { retry: { on: ['error', 503], tries: 0, timeoutMs: 0, ...retry } }));
  await startGateway(t, [
    site(port, [
      retrying('/all', {}),
      retrying('/two', { tries: 2 }),
      retrying('/short', { timeoutMs: 10 }),
      retrying('/post', { on: ['error', 503, 'non-idempotent'] }),
      retrying('/never', { on: [] }),
    ]),
  ]);
  assert.equal((await ask(port, '/all')).body, 'c');
  assert.equal((await ask(port, '/all', { method: 'PUT', headers: { 'content-length': 0 } })).body, 'c', 'PUT may be repeated');
  assert.equal((await ask(port, '/all', { method: 'POST', headers: { 'content-length': 0 } })).status, 503, 'POST may not');
  assert.equal((await ask(port, '/post', { method: 'POST', headers: { 'content-length': 0 } })).body, 'c');
  assert.equal((await ask(port, '/post', { method: 'POST', body: 'x'.repeat(500_000) })).status, 503, 'a large body is gone once sent');
  const before = a.requests + b.requests;
  assert.equal((await ask(port, '/two')).status, 503);
  assert.equal(a.requests + b.requests, before + 2);
  assert.equal((await ask(port, '/short')).status, 503);
  assert.equal((await ask(port, '/never')).status, 503);
  assert.equal(a.requests + b.requests, before + 4);
});

test('when every server fails, retries stop multiplying the load', async (t) => {
  const backends = await startBackends(t, 'a', 'b', 'c');
  for (const backend of backends) backend.answer = (_req, res) => res.writeHead(503).end();
  const servers = backends.map(({ address }) => serverAt(address, { maxFails: 0 }));
  const { port } = await serve(t, balanced(servers, {}, { retry: { on: ['error', 503], tries: 0, timeoutMs: 0 } }));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  await Promise.all(Array.from({ length: 600 }, () => ask(port, '/', { agent })));
  agent.destroy();
  const asked = backends.reduce((sum, { requests }) => sum + requests, 0);
  assert.ok(asked >= 650 && asked <= 600 + 130, `${asked} requests for 600`);
});

test('a server that closes a kept connection costs no GET, and a POST is never sent twice', async (t) => {
  const seen: string[] = [];
  const server = net.createServer((socket) => {
    let requests = 0;
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      const [line = ''] = String(bytes).split('\r\n');
      seen.push(line);
      // As a server that closes idle connections does just as a request arrives.
      if (++requests > 1) socket.destroy();
      else socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const { get } = await serve(t, proxyTo([{ kind: 'tcp', host: '127.0.0.1', port }], { retry: { on: [], tries: 0, timeoutMs: 0 } }));
  for (let n = 0; n < 4; n++) assert.equal((await get(`/${n}`)).status, 200, `GET ${n}`);
  assert.equal((await get('/post', { method: 'POST', body: 'once' })).status, 502);
  assert.equal(seen.filter((line) => line.startsWith('POST')).length, 1);
});

test('a body that has begun to flow is never sent to a second server', async (t) => {
  const [a, b] = (await startBackends(t, 'a', 'b')) as [Backend, Backend];
  const cut: http.RequestListener = (req) => void req.once('data', () => req.socket.destroy());
  for (const backend of [a, b]) backend.answer = cut;
  const servers = [a, b].map(({ address }) => serverAt(address, { maxFails: 0 }));
  const retry = { on: ['error', 'timeout', 'non-idempotent', 502] as const, tries: 0, timeoutMs: 0 };
  const { get } = await serve(t, balanced(servers, {}, { retry, holdMs: 1_000 }));
  for (const method of ['POST', 'PUT']) {
    const begun = performance.now();
    assert.equal((await get('/', { method, body: 'x'.repeat(200_000) })).status, 502);
    assert.ok(performance.now() - begun < 800, 'nor held');
  }
  assert.equal(a.requests + b.requests, 2);
});

test('a server that comes in starts with a small share', async (t) => {
  const [a, b] = (await startBackends(t, 'a', 'b')) as [Backend, Backend];
  const slow = { slowStartMs: 3_000 };
  const { bodies, apply, port } = await serve(t, balanced([serverAt(a.address)], slow));
  await bodies(2);
  await apply([site(port, [route('/', balanced([serverAt(a.address), serverAt(b.address)], slow))])]);
  const first = await bodies(60);
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const later = await bodies(60);
  assert.ok((first.b ?? 0) < 20, `at first ${JSON.stringify(first)}`);
  assert.ok((later.b ?? 0) >= 28, `then ${JSON.stringify(later)}`);
});

test('a canary gets its share of the clients, and each stays on its side', async (t) => {
  const [main, canary] = (await startBackends(t, 'main', 'canary')) as [Backend, Backend];
  const target = (name: string, { address }: Backend) => ({
    ...plainBalance,
    kind: 'servers' as const,
    name,
    servers: [serverAt(address)],
  });
  const at = (percent: number): ProxyAction => ({
    ...proxyToService('unused'),
    target: target('main', main),
    canary: { target: target('canary', canary), percent, cookie: 'side' },
  });
  const { get, bodies, apply, port } = await serve(t, at(30));
  const sides = { main: 0, canary: 0 };
  for (let n = 0; n < 200; n++) {
    const answer = await get();
    assert.equal(cookieOf(answer, 'side'), `side=${answer.body}`);
    sides[answer.body as 'main' | 'canary']++;
  }
  assert.ok(sides.canary > 30 && sides.canary < 95, JSON.stringify(sides));
  for (const side of ['main', 'canary']) assert.deepEqual(await bodies(10, withCookie(`side=${side}`)), { [side]: 10 });
  assert.equal((await get('/', withCookie('side=canary'))).headers['set-cookie'], undefined);
  await apply([site(port, [route('/', at(0))])]);
  const back = await get('/', withCookie('side=canary'));
  assert.deepEqual([back.body, cookieOf(back, 'side')], ['main', 'side=main']);
});

test('an upstream worked out for each request: an address, the name of an upstream, or nothing that is one', async (t) => {
  const [a, b] = (await startBackends(t, 'a', 'b')) as [Backend, Backend];
  const port = await freePort();
  const action: ProxyAction = { ...proxyToService('unused'), target: { kind: 'text', text: '$arg_to' } };
  const named = route('/named', balanced([serverAt(b.address)], {}));
  const sites = [site(port, [route('/', action), named])];
  const { apply } = await startGateway(t, sites);
  const to = a.address.kind === 'tcp' ? `127.0.0.1:${a.address.port}` : '';
  assert.equal((await ask(port, `/?to=${to}`)).body, 'a');
  assert.equal((await ask(port, '/?to=backend')).body, 'b');
  await apply([...sites, site(port, [named], { hosts: ['more.example'] })]);
  assert.equal((await ask(port, `/?to=${to}`)).body, 'a');
  assert.equal((await ask(port, '/?to=')).status, 500);
  assert.equal((await ask(port, '/?to=%20;x')).status, 502);
});
