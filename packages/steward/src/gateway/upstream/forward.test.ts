import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  ask,
  askRaw,
  freePort,
  proxyTo,
  proxyToService,
  readAnswer,
  route,
  serverAt,
  site,
  startGateway,
  startUpstream,
  temporaryFolder,
  until,
} from '../testing.ts';

const echo: http.RequestListener = (req, res) => {
  const chunks: Buffer[] = [];
  req.on('data', (chunk: Buffer) => chunks.push(chunk));
  req.on('end', () => {
    const body = Buffer.concat(chunks).toString();
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ method: req.method, url: req.url, headers: req.headers, body }));
  });
};

const missing = (dir: string) => ({ kind: 'unix' as const, path: path.join(dir, 'nobody.sock') });

test('requests over four unix sockets are spread evenly', async (t) => {
  const dir = await temporaryFolder(t);
  const counts = [0, 0, 0, 0];
  const upstreams = await Promise.all(
    counts.map((_, n) =>
      startUpstream(t, path.join(dir, `${n}.sock`), (_req, res) => {
        counts[n] = (counts[n] ?? 0) + 1;
        res.end('ok');
      }),
    ),
  );
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo(upstreams.map(({ address }) => address)))])]);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  await Promise.all(Array.from({ length: 400 }, () => ask(port, '/', { agent })));
  agent.destroy();
  for (const count of counts) assert.ok(Math.abs(count - 100) <= 5, `spread ${counts}`);
});

test('a dead server among four costs no GET', async (t) => {
  const dir = await temporaryFolder(t);
  const living = await Promise.all([1, 2, 3].map((n) => startUpstream(t, path.join(dir, `${n}.sock`), echo)));
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([missing(dir), ...living.map(({ address }) => address)]))])]);
  const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => ask(port, `/${n}`)));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
});

test('a POST with a body goes to the next server when the first cannot be reached', async (t) => {
  const dir = await temporaryFolder(t);
  const { address } = await startUpstream(t, 0, echo);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([missing(dir), address]))])]);
  for (let n = 0; n < 4; n++) {
    const answer = await ask(port, '/', { method: 'POST', body: 'hello' });
    assert.equal(answer.status, 200);
    assert.equal(JSON.parse(answer.body).body, 'hello');
  }
});

test('a GET is repeated elsewhere when a server hangs up without an answer, a POST is not', async (t) => {
  const dir = await temporaryFolder(t);
  const rude = await startUpstream(t, path.join(dir, 'rude.sock'), (req) => void req.socket.destroy());
  const kind = await startUpstream(t, path.join(dir, 'kind.sock'), echo);
  const port = await freePort();
  await startGateway(t, [
    site(port, [route('/', proxyTo([serverAt(rude.address, { maxFails: 0 }), serverAt(kind.address, { backup: true })]))]),
  ]);
  assert.equal((await ask(port, '/')).status, 200);
  assert.equal((await ask(port, '/', { method: 'POST', body: 'once' })).status, 502);
  assert.equal((await ask(port, '/', { method: 'POST' })).status, 502);
});

test('a service without a ready instance answers 503 and asks to come back in a second', async (t) => {
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyToService('web'))])]);
  const answer = await ask(port, '/', { headers: { accept: 'text/html' } });
  assert.equal(answer.status, 503);
  assert.equal(answer.headers['retry-after'], '1');
  assert.match(answer.headers['content-type'] ?? '', /text\/html/);
  assert.match(answer.body, /503 Service Unavailable/);
  assert.doesNotMatch(answer.body + JSON.stringify(answer.headers), /steward|node/i);
});

test('502 when every server is unreachable, 504 when the answer takes too long', async (t) => {
  const dir = await temporaryFolder(t);
  const silent = await startUpstream(t, 0, () => {});
  const port = await freePort();
  const routes = [route('/dead', proxyTo([missing(dir)])), route('/slow', proxyTo([silent.address], { readTimeoutMs: 200 }))];
  await startGateway(t, [site(port, routes)]);
  assert.equal((await ask(port, '/dead')).status, 502);
  assert.equal((await ask(port, '/slow')).status, 504);
});

test('upstreams see who asked, and nothing that the client made up', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const forged = {
    'X-Forwarded-For': '6.6.6.6',
    X_Real_IP: '6.6.6.6',
    'X-Real-IP': '6.6.6.6',
    Forwarded: 'for=6.6.6.6',
    'X-Forwarded-Proto': 'https',
  };
  const { headers } = JSON.parse((await ask(port, '/', { headers: { ...forged, Host: `a.example:${port}` } })).body);
  assert.equal(headers['x-forwarded-for'], '127.0.0.1');
  assert.equal(headers['x-real-ip'], '127.0.0.1');
  assert.equal(headers['x-forwarded-proto'], 'http');
  assert.equal(headers['x-forwarded-host'], `a.example:${port}`);
  assert.equal(headers.host, `a.example:${port}`);
  assert.doesNotMatch(JSON.stringify(headers), /6\.6\.6\.6/);
});

test('append keeps the chain of addresses, off adds none', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const port = await freePort();
  const routes = [
    route('/append', proxyTo([address], { forwardedHeaders: 'append' })),
    route('/off', proxyTo([address], { forwardedHeaders: 'off' })),
  ];
  await startGateway(t, [site(port, routes)]);
  const headers = { 'X-Forwarded-For': '10.0.0.9' };
  assert.equal(JSON.parse((await ask(port, '/append', { headers })).body).headers['x-forwarded-for'], '10.0.0.9, 127.0.0.1');
  const off = JSON.parse((await ask(port, '/off', { headers })).body).headers;
  assert.equal(off['x-forwarded-for'], '10.0.0.9');
  assert.equal(off['x-real-ip'], undefined);
});

test('headers of one connection stay on it, in both directions', async (t) => {
  const { address } = await startUpstream(t, 0, (req, res) => {
    res.writeHead(200, {
      'X-Seen': JSON.stringify(req.headers),
      Connection: 'keep-alive, X-Inner',
      'X-Inner': 'secret',
      'Proxy-Authenticate': 'Basic',
      'X-Kept': 'yes',
    });
    res.end('ok');
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const { headers } = await ask(port, '/', {
    headers: { Connection: 'close, X-Hop', 'X-Hop': '1', TE: 'trailers', 'Keep-Alive': '5', 'Proxy-Authorization': 'x', 'X-Stay': '1' },
  });
  const seen = JSON.parse(String(headers['x-seen']));
  assert.equal(seen['x-stay'], '1');
  for (const name of ['x-hop', 'te', 'keep-alive', 'proxy-authorization']) assert.equal(seen[name], undefined, name);
  assert.equal(headers['x-kept'], 'yes');
  for (const name of ['x-inner', 'proxy-authenticate']) assert.equal(headers[name], undefined, name);
});

test('setHeaders sets, replaces and removes headers; variables are filled in', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const port = await freePort();
  const setHeaders = [
    { name: 'X-Path', value: '$uri?$args from $http_x_from' },
    { name: 'X-Forwarded-Proto', value: 'gopher' },
    { name: 'Cookie', value: '' },
    { name: 'Connection', value: 'upgrade' },
  ];
  await startGateway(t, [site(port, [route('/', proxyTo([address], { setHeaders, upstreamHost: 'inner.example' }))])]);
  const { headers } = JSON.parse((await ask(port, '/a%20b/../c%0d%0aX:1?q=1', { headers: { 'X-From': 'test', Cookie: 'a=1' } })).body);
  assert.equal(headers['x-path'], '/c%0D%0AX:1?q=1 from test');
  assert.equal(headers['x-forwarded-proto'], 'gopher');
  assert.equal(headers.cookie, undefined);
  assert.equal(headers.host, 'inner.example');
});

test('paths go through as they were sent, or with the matched prefix replaced', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const port = await freePort();
  await startGateway(t, [
    site(port, [route('/', proxyTo([address])), route('/api/', proxyTo([address], { path: { kind: 'replace', to: '/v1/' } }))]),
  ]);
  const urlOf = async (target: string) => JSON.parse((await ask(port, target)).body).url;
  assert.equal(await urlOf('/x/%2e%2e/y%2Fz//w?a=%20'), '/x/%2e%2e/y%2Fz//w?a=%20');
  assert.equal(await urlOf('/api/users/%E7%82%B9?a=1'), '/v1/users/%E7%82%B9?a=1');
  assert.equal(await urlOf('/api/%C4%E3'), '/v1/%C4%E3');
  const bare = await ask(port, '/api?x=1');
  assert.deepEqual([bare.status, bare.headers.location], [301, '/api/?x=1']);
});

test('redirects of the upstream are rewritten', async (t) => {
  const { address } = await startUpstream(t, 0, (_req, res) => res.writeHead(302, { Location: 'http://127.0.0.1:7878/login?x=1' }).end());
  const port = await freePort();
  const rewriteLocation = [{ from: 'http://127.0.0.1:7878/', to: '$scheme://$http_host/' }];
  await startGateway(t, [site(port, [route('/', proxyTo([address], { rewriteLocation }))])]);
  assert.equal((await ask(port, '/')).headers.location, `http://127.0.0.1:${port}/login?x=1`);
});

test('a body over the limit is refused with 413, by its length and while it streams', async (t) => {
  let requests = 0;
  const { address } = await startUpstream(t, 0, (req, res) => {
    requests++;
    echo(req, res);
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]), { maxBodyBytes: 1000 })])]);
  assert.equal((await ask(port, '/', { method: 'POST', body: 'x'.repeat(1001) })).status, 413);
  assert.equal(requests, 0);
  const chunked = await ask(port, '/', { method: 'POST', headers: { 'Transfer-Encoding': 'chunked' }, body: 'x'.repeat(100_000) });
  assert.equal(chunked.status, 413);
  assert.equal((await ask(port, '/', { method: 'POST', body: 'x'.repeat(1000) })).status, 200);
  assert.equal((await ask(port, '/', { method: 'POST', headers: { 'Transfer-Encoding': 'chunked' }, body: 'x'.repeat(1000) })).status, 200);
});

test('a client that waits for 100 Continue gets it only when its body is wanted', async (t) => {
  const { address } = await startUpstream(t, 0, echo);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]), { maxBodyBytes: 10 })])]);
  const send = (length: number) =>
    new Promise<{ continued: boolean; status: number | undefined; body: string }>((resolve, reject) => {
      let continued = false;
      const request = http.request({
        port,
        host: '127.0.0.1',
        method: 'PUT',
        agent: false,
        headers: { Expect: '100-continue', 'Content-Length': length },
      });
      request.on('continue', () => {
        continued = true;
        request.end('x'.repeat(length));
      });
      request.on('response', (answer) => readAnswer(answer).then(({ status, body }) => resolve({ continued, status, body }), reject));
      request.on('error', reject);
      request.flushHeaders();
    });
  const taken = await send(5);
  assert.deepEqual([taken.continued, taken.status, JSON.parse(taken.body).body], [true, 200, 'xxxxx']);
  const refused = await send(50);
  assert.deepEqual([refused.continued, refused.status], [false, 413]);
});

test('HEAD, 204 and 304 have no body and keep the connection in step', async (t) => {
  const { address } = await startUpstream(t, 0, (req, res) => {
    if (req.url === '/204') res.writeHead(204).end();
    else if (req.url === '/304') res.writeHead(304, { ETag: '"1"' }).end();
    else res.writeHead(200, { 'Content-Length': 5 }).end(req.method === 'HEAD' ? undefined : 'hello');
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const head = await ask(port, '/', { method: 'HEAD', agent });
  assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '5', '']);
  assert.equal((await ask(port, '/204', { agent })).status, 204);
  const unchanged = await ask(port, '/304', { agent });
  assert.deepEqual([unchanged.status, unchanged.headers.etag], [304, '"1"']);
  assert.equal((await ask(port, '/', { agent })).body, 'hello');
  agent.destroy();
});

test('compressed and binary answers pass byte for byte', async (t) => {
  const content = gzipSync(Buffer.from(Array.from({ length: 100_000 }, (_, n) => n % 251)));
  const { address } = await startUpstream(t, 0, (_req, res) =>
    res.writeHead(200, { 'Content-Encoding': 'gzip', 'Set-Cookie': ['a=1', 'b=2'] }).end(content),
  );
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers: { 'accept-encoding': 'gzip' } });
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(bytes.length, 100_000);
  assert.equal(bytes[250], 250);
  assert.deepEqual(answer.headers.getSetCookie(), ['a=1', 'b=2']);
});

test('each event of a stream arrives as soon as it is sent, and the headers before the first', async (t) => {
  let stream: http.ServerResponse | undefined;
  const { address } = await startUpstream(t, 0, (_req, res) => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' });
    res.flushHeaders();
    stream = res;
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const request = http.get({ port, host: '127.0.0.1', agent: false });
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
    stream?.write(event);
    const [chunk] = await once(answer, 'data');
    assert.equal(String(chunk), event);
  }
  request.destroy();
});

test('a client that goes away ends the request at the upstream', async (t) => {
  let gone = false;
  const { address } = await startUpstream(t, 0, (_req, res) => {
    res.write('begin');
    res.on('close', () => {
      gone = true;
    });
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const request = http.get({ port, host: '127.0.0.1', agent: false }, (answer) => {
    answer.on('error', () => {});
    answer.once('data', () => request.destroy());
  });
  request.on('error', () => {});
  await until('the upstream to see the client go', () => gone);
});

test('an answer that breaks off is never taken for a whole one', async (t) => {
  const { address } = await startUpstream(t, 0, (req, res) => {
    if (req.url === '/length') res.writeHead(200, { 'Content-Length': 1000 });
    res.write('part of it');
    setImmediate(() => res.socket?.destroy());
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  await assert.rejects(ask(port, '/length'));
  await assert.rejects(ask(port, '/chunked'));
  const reset = await new Promise<string>((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write('GET /chunked HTTP/1.0\r\nHost: a\r\n\r\n'));
    socket.on('data', () => {}).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.on('close', () => resolve('clean end'));
  });
  assert.equal(reset, 'ECONNRESET');
});

test('an upstream may answer before it has read the body, and the client sees that answer', async (t) => {
  const { address } = await startUpstream(t, 0, (_req, res) => {
    res.writeHead(401, { 'Content-Length': 2 });
    res.end('no');
  });
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const answer = await ask(port, '/', { method: 'POST', body: Buffer.alloc(3_000_000) });
  assert.deepEqual([answer.status, answer.body], [401, 'no']);
});

test('a backup server is used only when the others are out, and they come back after failTimeout', async (t) => {
  const dir = await temporaryFolder(t);
  const first = path.join(dir, 'first.sock');
  const backup = await startUpstream(t, path.join(dir, 'backup.sock'), (_req, res) => res.end('backup'));
  const port = await freePort();
  const servers = [serverAt({ kind: 'unix', path: first }, { failTimeoutMs: 300 }), serverAt(backup.address, { backup: true })];
  await startGateway(t, [site(port, [route('/', proxyTo(servers))])]);
  assert.equal((await ask(port, '/')).body, 'backup');
  await startUpstream(t, first, (_req, res) => res.end('first'));
  await until('the first server to be used again', async () => (await ask(port, '/')).body === 'first');
});

test('addHeaders, redirect and respond answer without an upstream', async (t) => {
  const port = await freePort();
  const routes = [
    route('/old', { kind: 'answer', answer: { status: 302, to: 'https://$host/new$request_uri' } }),
    route(
      '/ping',
      { kind: 'answer', answer: { status: 200, body: 'pong' } },
      { addHeaders: [{ name: 'X-From', value: '$host', always: true }] },
    ),
    route('/bye', { kind: 'answer', answer: { status: 444, body: '' } }),
  ];
  await startGateway(t, [site(port, routes)]);
  const moved = await ask(port, '/old?a=1', { headers: { host: 'Example.COM:99' } });
  assert.deepEqual([moved.status, moved.headers.location], [302, 'https://example.com/new/old?a=1']);
  const ping = await ask(port, '/ping', { headers: { host: 'a.example' } });
  assert.deepEqual(
    [ping.status, ping.body, ping.headers['x-from'], ping.headers['content-type']],
    [200, 'pong', 'a.example', 'text/plain; charset=utf-8'],
  );
  assert.equal((await ask(port, '/nothing')).status, 404);
  assert.equal(await askRaw(port, 'GET /bye HTTP/1.1\r\nHost: a\r\n\r\n'), '');
});
