import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import type { Address } from '../../config/model.ts';
import {
  ask,
  askRaw,
  freePort,
  proxyTo,
  proxyToService,
  route,
  site,
  startGateway,
  startUpstream,
  temporaryFolder,
  until,
} from '../testing.ts';

/** An upstream whose websockets say what they are told; it refuses `/refused` with 403. */
async function startEcho(t: TestContext, at: string | 0): Promise<{ address: Address; sockets: WebSocketServer }> {
  const { address, server } = await startUpstream(t, at, (_req, res) => res.end('plain'));
  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (req, socket, head) => {
    if (req.url === '/refused') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-Why: test\r\n\r\nno');
    sockets.handleUpgrade(req, socket, head, (opened) =>
      opened.on('message', (data, binary) => opened.send(binary ? data : `${req.headers['x-forwarded-for']} ${data}`, { binary })),
    );
  });
  t.after(() => sockets.clients.forEach((client) => void client.terminate()));
  return { address, sockets };
}

async function open(t: TestContext, url: string): Promise<WebSocket> {
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

test('websockets carry text and megabytes both ways, and close cleanly', async (t) => {
  const dir = await temporaryFolder(t);
  const { address } = await startEcho(t, path.join(dir, 'ws.sock'));
  const port = await freePort();
  const { access } = await startGateway(t, [
    site(port, [route('/', proxyTo([{ kind: 'unix', path: path.join(dir, 'dead.sock') }, address]))]),
  ]);
  const socket = await open(t, `ws://127.0.0.1:${port}/chat`);
  socket.send('hello');
  assert.equal(String((await once(socket, 'message'))[0]), '127.0.0.1 hello');
  const large = Buffer.alloc(5_000_000, 7);
  socket.send(large);
  assert.ok(large.equals((await once(socket, 'message'))[0]));
  socket.close(4001, 'bye');
  assert.equal((await once(socket, 'close'))[0], 4001);
  await until('the access log line', () => / "GET \/chat HTTP\/1\.1" 101 /.test(access()));
});

test('an upstream that says no is heard, one that is away is 502 or 503', async (t) => {
  const dir = await temporaryFolder(t);
  const { address } = await startEcho(t, path.join(dir, 'ws.sock'));
  const port = await freePort();
  const routes = [
    route('/', proxyTo([address])),
    route('/dead', proxyTo([{ kind: 'unix', path: path.join(dir, 'dead.sock') }], {})),
    route('/none', proxyToService('web')),
    route('/text', { kind: 'answer', answer: { status: 200, body: 'just text' } }),
  ];
  await startGateway(t, [site(port, routes)]);
  const statusOf = (target: string) =>
    askRaw(port, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n`);
  assert.match(await statusOf('/refused'), /^HTTP\/1\.1 403 Forbidden\r\n[\s\S]*x-why: test[\s\S]*no$/i);
  assert.match(await statusOf('/dead'), /^HTTP\/1\.1 502 /);
  assert.match(await statusOf('/none'), /^HTTP\/1\.1 503 /);
  assert.match(await statusOf('/text'), /^HTTP\/1\.1 200 [\s\S]*just text$/);
});

test('h2c is not passed on: the request is an ordinary one', async (t) => {
  const { address } = await startEcho(t, 0);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const answer = await ask(port, '/', {
    headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' },
  });
  assert.deepEqual([answer.status, answer.body], [200, 'plain']);
});

test('a websocket that is silent in both directions is closed after readTimeout', async (t) => {
  const { address } = await startEcho(t, 0);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address], { readTimeoutMs: 200 }))])]);
  const socket = await open(t, `ws://127.0.0.1:${port}/`);
  assert.equal((await once(socket, 'close'))[0], 1006);
});

test('when either side drops the connection the other one notices', async (t) => {
  const { address, sockets } = await startEcho(t, 0);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const first = await open(t, `ws://127.0.0.1:${port}/`);
  await until('the upstream side', () => sockets.clients.size === 1);
  for (const client of sockets.clients) client.terminate();
  await once(first, 'close');
  const second = await open(t, `ws://127.0.0.1:${port}/`);
  await until('the upstream side', () => sockets.clients.size === 1);
  second.terminate();
  await until('the upstream to notice', () => sockets.clients.size === 0);
});

test('fifty websockets outlive fifty changes of the table', async (t) => {
  const { address } = await startEcho(t, 0);
  const port = await freePort();
  const sites = [site(port, [route('/', proxyTo([address]))])];
  const { apply } = await startGateway(t, sites);
  const opened = await Promise.all(Array.from({ length: 50 }, () => open(t, `ws://127.0.0.1:${port}/`)));
  for (let n = 0; n < 50; n++) await apply([...sites, site(port, [], { hosts: [`${n}.example`] })]);
  await apply([site(port, [])]);
  for (const socket of opened) {
    socket.send('still here');
    assert.equal(String((await once(socket, 'message'))[0]), '127.0.0.1 still here');
  }
});

test('any protocol may be upgraded to, with the first bytes of both sides kept', async (t) => {
  const server = http.createServer();
  server.on('upgrade', (_req, socket, head) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nwelcome ');
    if (head.length > 0) socket.write(head);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port: inner } = server.address() as net.AddressInfo;
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([{ kind: 'tcp', host: '127.0.0.1', port: inner }]))])]);
  const socket = net.connect(port, '127.0.0.1', () =>
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly'),
  );
  let received = '';
  socket.on('data', (data) => {
    received += data;
  });
  await until('the first bytes', () => received.includes('early'));
  socket.end(' last');
  await once(socket, 'close');
  assert.match(received, /^HTTP\/1\.1 101 [\s\S]*\r\n\r\nwelcome early last$/);
});
