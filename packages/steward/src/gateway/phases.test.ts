/** What happens to a request on its way through a route, in a live worker: steps, try, error pages, requests within. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ErrorPageSpec, RouteAction, RouteSpec, SiteSpec, StepSpec } from '../config/model.ts';
import { ask, filesIn, freePort, proxyTo, route, site, startGateway, startUpstream, temporaryFolder, until } from './testing.ts';

const respond = (body: string, status = 200): RouteAction => ({ kind: 'answer', answer: { status, body } });
const returns = (status: number): RouteAction => ({ kind: 'answer', answer: { status } });
const regex = (pattern: string) => ({ kind: 'regex' as const, pattern, anyCase: false });
const named = (name: string, action: RouteAction, more: Partial<RouteSpec> = {}) =>
  route('', action, { match: { kind: 'named', name }, ...more });
const page = (statuses: number[], to: string, status?: ErrorPageSpec['status']): ErrorPageSpec => ({
  statuses,
  to,
  ...(status && { status }),
});

/** Tells what it was asked. `?status=` and `?say=NAME:value` make its answer. */
const echo: http.RequestListener = (req, res) => {
  const url = new URL(req.url ?? '/', 'http://a');
  let body = '';
  req.setEncoding('utf8').on('data', (part: string) => {
    body += part;
  });
  req.on('end', () => {
    for (const one of url.searchParams.getAll('say')) res.appendHeader(one.slice(0, one.indexOf(':')), one.slice(one.indexOf(':') + 1));
    res.statusCode = Number(url.searchParams.get('status') ?? 200);
    res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, body }));
  });
};

async function serve(t: TestContext, routes: readonly RouteSpec[], more: Partial<SiteSpec> = {}) {
  const port = await freePort();
  const running = await startGateway(t, [site(port, routes, more)]);
  const text = async (target: string, options = {}) => {
    const { status, body } = await ask(port, target, options);
    return `${status} ${body}`;
  };
  return { ...running, port, text };
}

test('steps of a site and a route rewrite, set, answer, and choose another route', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const siteSteps: StepSpec[] = [
    { kind: 'set', variable: 'kind', value: 'plain' },
    {
      kind: 'if',
      test: { kind: 'matches', left: '$http_user_agent', pattern: regex('Bot'), not: false },
      steps: [{ kind: 'set', variable: 'kind', value: 'bot' }],
    },
    { kind: 'rewrite', pattern: regex('^/old/(.*)$'), to: '/new/$1', flag: 'last' },
  ];
  const routes = [
    route('/new/', respond('new $uri $kind')),
    route('/a/', returns(500), { steps: [{ kind: 'rewrite', pattern: regex('^/a/(.*)'), to: '/new/$1?from=a', flag: 'last' }] }),
    route('/loop', returns(500), { steps: [{ kind: 'rewrite', pattern: regex('^(.*)$'), to: '$1', flag: 'last' }] }),
    route('/gone', respond('never'), { steps: [{ kind: 'return', answer: { status: 410, body: 'gone $arg_x' } }] }),
    route('/if', respond('around'), {
      steps: [
        {
          kind: 'if',
          test: { kind: 'truth', text: '$arg_up' },
          steps: [],
          route: route('', proxyTo([address]), { addHeaders: [{ name: 'X-If', value: 'yes', always: true }] }),
        },
      ],
    }),
    route('/hidden', respond('hidden'), { internal: true }),
    route('/show', returns(500), { steps: [{ kind: 'rewrite', pattern: regex('^/show'), to: '/hidden', flag: 'last' }] }),
    route('/deep', respond('outer'), {
      routes: [route('/deep/in', respond('inner'), { routes: [route('', respond('regex $1'), { match: regex('(\\d+)$') })] })],
    }),
    named('only', respond('by name')),
    route('/hang', returns(444)),
  ];
  const { text, port, access } = await serve(t, routes, { steps: siteSteps });
  assert.equal(await text('/old/x%20y?q=1'), '200 new /new/x y plain');
  assert.equal(await text('/a/b', { headers: { 'user-agent': 'Bot' } }), '200 new /new/b bot');
  assert.match(await text('/loop'), /^500/);
  assert.equal(await text('/gone?x=1'), '410 gone 1');
  assert.equal(await text('/if'), '200 around');
  const other = await ask(port, '/if?up=1');
  assert.deepEqual([JSON.parse(other.body).url, other.headers['x-if']], ['/if?up=1', 'yes']);
  assert.match(await text('/hidden'), /^404/);
  assert.equal(await text('/show'), '200 hidden');
  assert.deepEqual([await text('/deep'), await text('/deep/in/x'), await text('/deep/in/7')], ['200 outer', '200 inner', '200 regex 7']);
  assert.match(await text('/only'), /^404/);
  await assert.rejects(ask(port, '/hang'));
  await until('the log', () => / 444 /.test(access()) && /"GET \/old\/x%20y\?q=1 HTTP\/1.1" 200/.test(access()));
});

test('try looks for files, then goes to a path, a name or a status', async (t) => {
  const dir = await temporaryFolder(t);
  const { address } = await startUpstream(t, 0, echo);
  mkdirSync(path.join(dir, 'folder'));
  writeFileSync(path.join(dir, 'a.txt'), 'file a');
  writeFileSync(path.join(dir, 'b.html'), 'page b');
  writeFileSync(path.join(dir, 'folder/index.html'), 'index');
  const tries = (paths: string[], last: NonNullable<RouteSpec['tries']>['last']): Partial<RouteSpec> => ({
    tries: { folder: dir, mapping: 'append', paths, last },
  });
  const routes = [
    route('/', filesIn(dir), tries(['$uri', '$uri.html', '$uri/'], { kind: 'named', name: 'app' })),
    named('app', proxyTo([address])),
    route('/none', filesIn(dir), tries(['$uri'], { kind: 'status', status: 404 })),
    route('/path', filesIn(dir), tries(['$uri'], { kind: 'path', to: '/landing?was=$uri' })),
    route('/landing', respond('landing $args')),
    route('/loop', filesIn(dir), tries(['$uri'], { kind: 'path', to: '/loop/x' })),
  ];
  const { text, access, gateway } = await serve(t, routes);
  assert.equal(await text('/a.txt'), '200 file a');
  assert.equal(await text('/b'), '200 page b');
  assert.equal(await text('/folder/'), '200 index');
  const app = JSON.parse((await text('/users?x=1', { method: 'POST', body: 'kept' })).slice(4));
  assert.deepEqual([app.method, app.url, app.body], ['POST', '/users?x=1', 'kept']);
  assert.match(await text('/none/x'), /^404/);
  assert.equal(await text('/path/x'), '200 landing was=/path/x');
  assert.match(await text('/loop'), /^500/);
  await until('each to be logged once', () => access().trim().split('\n').length === 7);
  await until('none to count as under way', () => [...gateway.counters().values()][0]?.active === 0);
});

test('error pages: a path, a name, an address, other statuses, and none for their own errors', async (t) => {
  const dir = await temporaryFolder(t);
  writeFileSync(path.join(dir, '404.html'), 'nothing here');
  const { address } = await startUpstream(t, 0, echo);
  const dead = proxyTo([{ kind: 'unix', path: path.join(dir, 'nobody.sock') }]);
  const errorPages = [
    page([404], '/404.html'),
    page([403], '@why'),
    page([401], '/login?for=$uri'),
    page([410], 'https://elsewhere.example/$uri'),
    page([418], '/404.html', 200),
    page([429], '/told', 'target'),
    page([413, 502], '@up'),
    page([500], '/missing.html'),
  ];
  const more = { errorPages };
  const routes = [
    route('/', filesIn(dir), more),
    route('/404.html', filesIn(dir), {
      match: { kind: 'exact', path: '/404.html' },
      internal: true,
      addHeaders: [{ name: 'X-Page', value: 'error', always: true }],
      expires: { kind: 'epoch' },
    }),
    route('/forbidden', returns(403), more),
    named('why', respond('why: $uri $request_method', 403)),
    route('/secret', respond('secret'), {
      ...more,
      access: { satisfy: 'all', rules: [], basic: { realm: 'here', users: path.join(dir, '404.html') } },
    }),
    route('/login', respond('login $args')),
    route('/moved', returns(410), more),
    route('/tea', returns(418), more),
    route('/many', returns(429), more),
    route('/told', respond('told', 202)),
    route('/dead', dead, more),
    route('/small', proxyTo([address]), { ...more, maxBodyBytes: 10 }),
    named('up', proxyTo([address]), { maxBodyBytes: 10 }),
    route('/broken', returns(500), more),
    route('/inner', proxyTo([address], { interceptErrors: true }), more),
    route('/raw', proxyTo([address]), more),
  ];
  const { text, port, access, gateway } = await serve(t, routes);
  const missing = await ask(port, '/no', { headers: { range: 'bytes=0-3', 'if-modified-since': 'Sat, 01 Jan 2050 00:00:00 GMT' } });
  assert.deepEqual(
    [missing.status, missing.body, missing.headers['x-page'], missing.headers.expires],
    [404, 'nothing here', 'error', undefined],
  );
  const head = await ask(port, '/no', { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers['content-length'], head.body], [404, '12', '']);
  assert.match(await text('/404.html'), /^404 404 Not Found/, 'the page itself is internal');
  assert.equal(await text('/forbidden', { method: 'POST', body: 'x' }), '403 why: /forbidden POST');
  const login = await ask(port, '/secret');
  assert.deepEqual([login.status, login.body, login.headers['www-authenticate']], [401, 'login for=/secret', 'Basic realm="here"']);
  const moved = await ask(port, '/moved');
  assert.deepEqual([moved.status, moved.headers.location], [302, 'https://elsewhere.example//moved']);
  assert.equal(await text('/tea'), '200 nothing here');
  assert.equal(await text('/many'), '202 told');
  const fallen = JSON.parse((await text('/dead/x', { method: 'POST', body: 'whole body' })).slice(4));
  assert.deepEqual([fallen.method, fallen.url, fallen.body], ['POST', '/dead/x', 'whole body'], 'a body not yet sent goes to the other');
  const large = await ask(port, '/small', { method: 'POST', body: 'x'.repeat(50) });
  assert.deepEqual([large.status, JSON.parse(large.body).body], [413, '']);
  const chunked = await ask(port, '/small', { method: 'POST', body: 'x'.repeat(50), headers: { 'transfer-encoding': 'chunked' } });
  assert.equal(chunked.status, 413);
  assert.match(await text('/broken'), /^404 404 Not Found/, 'an error of an error page has no page');
  assert.equal(await text('/inner?status=404'), '404 nothing here');
  const challenge = await ask(port, '/inner?status=401&say=WWW-Authenticate:Bearer&say=X-Inner:1');
  assert.deepEqual([challenge.status, challenge.headers['www-authenticate'], challenge.headers['x-inner']], [401, 'Bearer', undefined]);
  assert.match(await text('/inner?status=503'), /^503 \{/);
  assert.match(await text('/raw?status=404'), /^404 \{/);
  await until('each to be logged once', () => access().trim().split('\n').length === 16);
  await until('none to count as under way', () => [...gateway.counters().values()][0]?.active === 0);
});

test('a request that decides lets in, refuses, or fails; its answer sets variables', async (t) => {
  const dir = await temporaryFolder(t);
  const asked: http.IncomingMessage[] = [];
  const closed: string[] = [];
  const gate = await startUpstream(t, 0, (req, res) => {
    asked.push(req);
    req.resume();
    const status = Number(req.headers['x-let'] ?? 200);
    if (status === 0) return void res.on('close', () => closed.push('closed'));
    res.writeHead(status, { 'X-User': 'anna', 'WWW-Authenticate': 'Bearer realm="a"' }).end('decided');
  });
  const app = await startUpstream(t, 0, echo);
  const deny = { allow: false, who: 'all' };
  const asks = (uri: string) => ({
    satisfy: 'all' as const,
    rules: [],
    request: { uri, set: { user: '$upstream_http_x_user', said: '$upstream_status' } },
  });
  const setHeaders = [{ name: 'X-User', value: '$user $said' }];
  const routes = [
    route('/app', proxyTo([app.address], { setHeaders, requestId: true }), { access: asks('/gate') }),
    route(
      '/gate',
      proxyTo([gate.address], { setHeaders: [{ name: 'X-Original', value: '$request_method $request_uri' }], requestId: true }),
      { internal: true, match: { kind: 'exact', path: '/gate' } },
    ),
    route('/local', respond('let in'), { access: asks('/yes') }),
    route('/yes', returns(204)),
    route('/never', respond('no'), { access: asks('/no') }),
    route('/no', returns(403)),
    route('/nested', respond('through'), { access: asks('/outer') }),
    route('/outer', returns(204), { access: asks('/yes') }),
    route('/round', returns(204), { access: asks('/round') }),
    route('/any', respond('any'), { access: { ...asks('/gate'), satisfy: 'any', rules: [deny] } }),
    route('/paged', respond('no'), { access: asks('/gate'), errorPages: [page([401], '/sign-in')] }),
    route('/sign-in', respond('sign in')),
  ];
  const { text, port, gateway, access } = await serve(t, routes);
  const passed = await ask(port, '/app/x?y=1', { method: 'POST', body: 'payload', headers: { 'if-none-match': '"x"' } });
  const seen = JSON.parse(passed.body);
  assert.deepEqual([passed.status, seen.method, seen.body, seen.headers['x-user']], [200, 'POST', 'payload', 'anna 200']);
  assert.deepEqual(
    [asked[0]?.method, asked[0]?.headers['content-length'], asked[0]?.headers['x-original']],
    ['GET', undefined, 'POST /app/x?y=1'],
  );
  assert.equal(asked[0]?.headers['x-request-id'], seen.headers['x-request-id'], 'both are parts of one request');
  const refused = await ask(port, '/app', { method: 'POST', body: 'x'.repeat(100_000), headers: { 'x-let': '401' } });
  assert.deepEqual([refused.status, refused.headers['www-authenticate']], [401, 'Bearer realm="a"']);
  assert.equal((await ask(port, '/app', { headers: { 'x-let': '403' } })).status, 403);
  assert.equal((await ask(port, '/app', { headers: { 'x-let': '302' } })).status, 500);
  assert.deepEqual([await text('/local'), await text('/nested'), await text('/any')], ['200 let in', '200 through', '200 any']);
  assert.match(await text('/never'), /^403/);
  assert.match(await text('/round'), /^500/);
  const paged = await ask(port, '/paged', { headers: { 'x-let': '401' } });
  assert.deepEqual([paged.status, paged.body], [401, 'sign in']);
  const leaving = http.get({ port, host: '127.0.0.1', path: '/app', agent: false, headers: { 'x-let': '0' } }).on('error', () => {});
  await until('the question', () => asked.length === 7);
  leaving.destroy();
  await until('the question to be dropped', () => closed.length === 1);
  await until('none to count as under way', () => [...gateway.counters().values()][0]?.active === 0);
  await until('one line for each of the clients', () => access().trim().split('\n').length === 11);
  assert.ok(dir);
});

test('X-Accel-Redirect sends a protected file, with what the app says of it', async (t) => {
  const dir = await temporaryFolder(t);
  mkdirSync(path.join(dir, 'vault'));
  writeFileSync(path.join(dir, 'vault/report.bin'), '0123456789');
  const { address } = await startUpstream(t, 0, (req, res) => {
    req.resume();
    const to = req.url === '/app/no' ? '/vault/none' : req.url === '/app/name' ? '@name' : '/vault/report.bin';
    res.writeHead(200, {
      'X-Accel-Redirect': to,
      'Content-Type': 'application/pdf',
      'Content-Disposition': 'attachment; filename="r.pdf"',
      'Set-Cookie': ['a=1', 'b=2'],
      'X-App': 'yes',
    });
    res.end('ignored');
  });
  const routes = [
    route('/app', proxyTo([address])),
    route('/vault/', filesIn(dir), {
      internal: true,
      addHeaders: [{ name: 'X-App-Said', value: '$upstream_http_x_app $upstream_status', always: true }],
    }),
    named('name', respond('named $request_method')),
  ];
  const { port, text, access } = await serve(t, routes);
  const { status, headers, body } = await ask(port, '/app/file', { method: 'POST', body: 'who am I' });
  assert.deepEqual(
    [status, body, headers['content-type'], headers['content-disposition']],
    [200, '0123456789', 'application/pdf', 'attachment; filename="r.pdf"'],
  );
  assert.deepEqual([headers['set-cookie'], headers['x-app'], headers['x-app-said']], [['a=1', 'b=2'], undefined, 'yes 200']);
  assert.equal(headers['x-accel-redirect'], undefined);
  const part = await ask(port, '/app/file', { headers: { range: 'bytes=2-4' } });
  assert.deepEqual([part.status, part.body, part.headers['content-type']], [206, '234', 'application/pdf']);
  const parts = await ask(port, '/app/file', { headers: { range: 'bytes=0-1,4-5' } });
  assert.match(`${parts.status} ${parts.headers['content-type']}`, /^(206 multipart\/byteranges|200 application\/pdf)/);
  const none = await ask(port, '/app/no');
  assert.deepEqual([none.status, none.headers['content-type']], [404, 'text/plain; charset=utf-8']);
  assert.equal(await text('/app/name'), '200 named GET');
  assert.match(await text('/vault/report.bin'), /^404/);
  await until('the log', () => /"POST \/app\/file HTTP\/1.1" 200 10 /.test(access()));
});
