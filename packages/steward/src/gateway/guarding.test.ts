/** Who may have what a route answers, how often, and who they are taken for: in live workers. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { AccessSpec, GatewaySpec, RouteAction, RouteSpec, SiteSpec } from '../config/model.ts';
import {
  ask,
  askRaw,
  freePort,
  gatewaySpec,
  proxyTo,
  route,
  site,
  startGateway,
  startUpstream,
  startWorker,
  temporaryFolder,
  until,
} from './testing.ts';

const respond = (body: string, status = 200): RouteAction => ({ kind: 'answer', answer: { status, body } });
const basic = (name: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` });
const told = respond('$remote_addr');

async function serve(t: TestContext, routes: readonly RouteSpec[], more: Partial<SiteSpec> = {}, gateway: GatewaySpec = gatewaySpec) {
  const port = await freePort();
  const running = await startGateway(t, [site(port, routes, more)], { gateway });
  const status = async (target: string, options = {}) => (await ask(port, target, options)).status;
  return { ...running, port, status };
}

const counts = ({ gateway }: Awaited<ReturnType<typeof serve>>) => [...gateway.counters().values()][0];

test('passwords: files that change count at once, other methods and addresses may have other rules', async (t) => {
  const dir = await temporaryFolder(t);
  const users = path.join(dir, 'users');
  writeFileSync(users, 'anna:{PLAIN}secret\n');
  const asking: AccessSpec = { satisfy: 'all', rules: [], basic: { realm: 'The "place"', users } };
  const here = { allow: true, who: '127.0.0.1' };
  const nobody = { allow: false, who: 'all' };
  const routes = [
    route('/all', respond('in $remote_user'), { access: { ...asking, rules: [here, nobody] } }),
    route('/none', respond('in'), { access: { ...asking, rules: [nobody] } }),
    route('/any', respond('in'), { access: { ...asking, satisfy: 'any', rules: [here, nobody] } }),
    route('/either', respond('in'), { access: { ...asking, satisfy: 'any', rules: [nobody] } }),
    route('/except', respond('in'), { accessExcept: { methods: ['GET'], access: { satisfy: 'all', rules: [nobody] } } }),
    route('/missing', respond('in'), { access: { ...asking, basic: { realm: 'x', users: `${users}.none` } } }),
  ];
  const { status, port } = await serve(t, routes);
  const good = { headers: basic('anna', 'secret') };
  const refused = await ask(port, '/all');
  assert.deepEqual([refused.status, refused.headers['www-authenticate']], [401, 'Basic realm="The \\"place\\""']);
  assert.equal(await status('/all', { headers: basic('anna', 'wrong') }), 401);
  assert.equal((await ask(port, '/all', good)).body, 'in anna');
  assert.deepEqual(
    [await status('/none', good), await status('/any'), await status('/either'), await status('/either', good)],
    [403, 200, 401, 200],
  );
  assert.deepEqual(
    [await status('/except'), await status('/except', { method: 'HEAD' }), await status('/except', { method: 'PUT' })],
    [200, 200, 403],
  );
  assert.equal(await status('/missing', good), 403);
  writeFileSync(users, 'berta:{PLAIN}other\n');
  await until('the new file to count', async () => (await status('/all', good)) === 401);
  assert.equal(await status('/all', { headers: basic('berta', 'other') }), 200);
});

test('a slow password keeps nobody else waiting', async (t) => {
  const dir = await temporaryFolder(t);
  // bcrypt with cost 12, of "slow".
  writeFileSync(path.join(dir, 'users'), 'a:$2y$12$' + 'abcdefghijklmnopqrstuuMhOoVxTe9d4mVY0F4oYMvNmm0LBe4mK\n');
  const access: AccessSpec = { satisfy: 'all', rules: [], basic: { realm: 'x', users: path.join(dir, 'users') } };
  const { port, status } = await serve(t, [route('/slow', respond('in'), { access }), route('/fast', respond('fast'))]);
  const slow = Promise.all([1, 2, 3].map((n) => status('/slow', { headers: basic('a', `guess${n}`) })));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const begun = performance.now();
  assert.equal((await ask(port, '/fast')).status, 200);
  assert.ok(performance.now() - begun < 150);
  assert.deepEqual(await slow, [401, 401, 401]);
});

test('only trusted proxies say who the client is, which request it is, and what it asked for', async (t) => {
  const { address } = await startUpstream(t, 0, (req, res) => res.end(JSON.stringify(req.headers)));
  const routes = [
    route('/who', told, {
      access: {
        satisfy: 'all',
        rules: [
          { allow: true, who: '10.1.0.0/16' },
          { allow: false, who: 'all' },
        ],
      },
    }),
    route('/', proxyTo([address], { requestId: true, traceparent: true })),
  ];
  const headers = {
    'x-forwarded-for': '6.6.6.6, 10.1.2.3, 127.0.0.9',
    'x-request-id': 'mine-1',
    'x-forwarded-proto': 'https',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'vendor=1',
  };
  const realAddress = { from: ['127.0.0.0/8'], header: 'x-forwarded-for', recursive: true };
  const trusting = await serve(t, routes, { realAddress });
  assert.equal((await ask(trusting.port, '/who', { headers })).body, '10.1.2.3');
  const passed = JSON.parse((await ask(trusting.port, '/', { headers })).body);
  assert.deepEqual(
    [passed['x-request-id'], passed['x-forwarded-proto'], passed['x-real-ip'], passed['x-forwarded-for']],
    ['mine-1', 'https', '10.1.2.3', '6.6.6.6, 10.1.2.3, 127.0.0.9, 127.0.0.1'],
  );
  assert.match(passed.traceparent, /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/);
  assert.equal(passed.tracestate, 'vendor=1');
  const begun = JSON.parse((await ask(trusting.port, '/', { headers: { ...headers, traceparent: 'nonsense' } })).body);
  assert.match(begun.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.equal(begun.tracestate, undefined, 'a new trace has no state of another');
  const wary = await serve(t, routes, { realAddress: { ...realAddress, from: ['192.0.2.0/24'] } });
  assert.equal(await wary.status('/who', { headers }), 403);
  const own = JSON.parse((await ask(wary.port, '/', { headers })).body);
  assert.match(own['x-request-id'], /^[0-9a-f]{32}$/);
  assert.deepEqual([own['x-forwarded-proto'], own['x-forwarded-for']], ['http', '127.0.0.1']);
});

test('a PROXY header says who the client is, on ports that have one', async (t) => {
  const port = await freePort();
  const realAddress = { from: ['127.0.0.1'], header: 'proxy-protocol', recursive: false };
  const listen = [{ host: '127.0.0.1', port, proxyProtocol: true }];
  const { access } = await startGateway(t, [
    site(port, [route('/', respond('$remote_addr:$remote_port $proxy_protocol_addr'))], { listen, realAddress }),
  ]);
  const request = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
  assert.match(await askRaw(port, `PROXY TCP4 203.0.113.7 192.0.2.1 5555 80\r\n${request}`), /203\.0\.113\.7:5555 203\.0\.113\.7$/);
  assert.equal(await askRaw(port, request), '', 'a client that says nothing is not served');
  await until('the log', () => access().startsWith('203.0.113.7 '));
});

test('rates are counted over all workers, with a burst that waits or does not', async (t) => {
  const zones = {
    each: { kind: 'rate' as const, key: '$arg_who', perSecond: 1 },
    quick: { kind: 'rate' as const, key: '$arg_who', perSecond: 10 },
  };
  const rate = (zone: string, burst: number, undelayed: number | 'all') => ({ rates: [{ zone, burst, undelayed, status: 429 }] });
  const routes = [
    route('/each', respond('ok'), rate('each', 4, 'all')),
    route('/queue', respond('ok'), { ...rate('quick', 5, 0), errorPages: [{ statuses: [429], to: '/slow-down' }] }),
    route('/slow-down', respond('slow down')),
  ];
  const running = await serve(t, routes, {}, { ...gatewaySpec, zones });
  const second = startWorker(t, running.dir);
  await until('both workers', () => running.gateway.counters().size >= 0 && /serves/.test(second.errors()));
  const statuses = await Promise.all(Array.from({ length: 20 }, () => running.status('/each?who=a')));
  assert.equal(statuses.filter((status) => status === 200).length, 5, 'one and a burst of four, whichever worker is asked');
  assert.equal(await running.status('/each?who=b'), 200);
  const begun = performance.now();
  const queued = await Promise.all(Array.from({ length: 8 }, () => ask(running.port, '/queue?who=a')));
  assert.ok(performance.now() - begun > 400, 'they wait for their turn');
  assert.equal(queued.filter(({ status }) => status === 200).length, 6);
  assert.ok(queued.filter(({ status }) => status === 429).every(({ body }) => body === 'slow down'));
});

test('requests under way are counted until their end, also an upgrade and a client that leaves', async (t) => {
  const waiting: http.ServerResponse[] = [];
  const { address, server } = await startUpstream(t, 0, (_req, res) => void waiting.push(res));
  server.on('upgrade', (_req, socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n'));
  const zones = { all: { kind: 'connections' as const, key: '$server_name' } };
  const routes = [route('/', proxyTo([address]), { connections: [{ zone: 'all', most: 2, status: 503 }] })];
  const running = await serve(t, routes, {}, { ...gatewaySpec, zones });
  const { port, status } = running;
  const leaving = http.get({ port, host: '127.0.0.1', agent: false }).on('error', () => {});
  await until('the first', () => waiting.length === 1);
  const socket = net.connect(port, '127.0.0.1').on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  assert.equal(await status('/'), 503);
  leaving.destroy();
  socket.destroy();
  await until('the upgrade to end', () => counts(running)?.active === 0);
  const later = [ask(port, '/'), ask(port, '/')];
  await until('there to be room for two', () => waiting.length === 3);
  for (const res of waiting) res.end('ok');
  for (const answer of later) assert.equal((await answer).status, 200);
  await until('all to be over', () => counts(running)?.active === 0 && counts(running)?.connections === 0);
});

test('a site that is being worked on answers 503, but for those who work on it', async (t) => {
  const maintenance = { allow: ['10.0.0.0/8'], retryAfterSeconds: 300 };
  const rest = route('/', respond('x'), { addHeaders: [{ name: 'X-Site', value: 'yes', always: true }] });
  const trust = { from: ['127.0.0.1'], header: 'x-forwarded-for', recursive: true };
  const { port, access } = await serve(t, [route('/', told)], { maintenance, realAddress: trust, rest });
  const closed = await ask(port, '/', { headers: { accept: 'text/html' } });
  assert.deepEqual([closed.status, closed.headers['retry-after'], closed.headers['x-site']], [503, '300', 'yes']);
  assert.match(closed.headers['content-type'] ?? '', /text\/html/);
  assert.equal((await ask(port, '/', { headers: { 'x-forwarded-for': '10.9.9.9' } })).body, '10.9.9.9');
  await until('both lines', () => access().trim().split('\n').length === 2);
});
