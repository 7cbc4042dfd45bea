import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { loadCertificates } from '../certificates/certs.ts';
import { ask, freePort, gatewaySpec, proxyTo, route, site, startGateway, startUpstream, temporaryFolder, until } from '../testing.ts';
import { connectRaw } from '../testing-raw.ts';

const says = (body: string) => route('/', { kind: 'answer', answer: { status: 200, body } });
const get = 'GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n';

test('a PROXY header tells who the client is, in both versions, in pieces, and in front of TLS', async (t) => {
  const dir = await temporaryFolder(t);
  const [plain, secure, untrusting] = [await freePort(), await freePort(), await freePort()];
  const believed = { realAddress: { from: ['127.0.0.1'], header: 'proxy-protocol', recursive: false } };
  const listen = (port: number) => [{ host: '127.0.0.1', port, proxyProtocol: true }];
  const text = '$remote_addr $remote_port $proxy_protocol_addr';
  const sites = [
    site(plain, [says(text)], { listen: listen(plain), ...believed }),
    site(secure, [says(text)], { listen: listen(secure), hosts: ['a.example'], isDefault: true, tls: 'internal', ...believed }),
    site(untrusting, [says(text)], { listen: listen(untrusting) }),
  ];
  const { certificates } = await loadCertificates(sites, dir, Date.now());
  const { worker, errors } = await startGateway(t, sites, { certificates, gateway: { ...gatewaySpec, headerTimeoutMs: 500 } });
  const v1 = 'PROXY TCP4 10.1.2.3 10.0.0.2 50000 443\r\n';
  const v2 = Buffer.from(
    '0d0a0d0a000d0a515549540a2121002420010db80000000000000000000000010000000000000000000000000000000000010002',
    'hex',
  ).toString('latin1');
  const say = async (port: number, ...parts: string[]): Promise<string> => {
    const client = await connectRaw(t, port);
    for (const part of parts) {
      client.send(part);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await until('the end', () => client.ended() || client.socket.destroyed);
    client.socket.destroy();
    return client.received().split('\r\n\r\n')[1] ?? '';
  };
  assert.equal(await say(plain, v1 + get), '10.1.2.3 50000 10.1.2.3');
  assert.equal(await say(plain, ...v1, get), '10.1.2.3 50000 10.1.2.3');
  assert.equal(await say(plain, v2 + get), '2001:db8::1 1 2001:db8::1');
  assert.match(await say(plain, `PROXY UNKNOWN\r\n${get}`), /^127\.0\.0\.1 \d+ $/);
  assert.match(await say(untrusting, v1 + get), /^127\.0\.0\.1 \d+ 10\.1\.2\.3$/);
  for (const bad of [
    get,
    `PROXY TCP4 evil 1 2 3\r\n${get}`,
    '\x16\x03\x01',
    'PROXY TCP4 ',
    '',
    `${'PROXY TCP4 '.padEnd(200, '1')}\r\n${get}`,
  ])
    assert.equal(await say(plain, bad), '', bad);
  const raw = net.connect(secure, '127.0.0.1');
  t.after(() => raw.destroy());
  raw.write(v1);
  const client = tls.connect({ socket: raw, servername: 'a.example', rejectUnauthorized: false });
  await once(client, 'secureConnect');
  client.write(get);
  let received = '';
  for await (const part of client.setEncoding('utf8')) received += String(part);
  assert.match(received, /10\.1\.2\.3 50000 10\.1\.2\.3$/);
  assert.equal(worker.exitCode, null);
  assert.doesNotMatch(errors(), /bug:/);
});

test('two hundred changes of ports, protocols and certificates leave no descriptor behind', async (t) => {
  const dir = await temporaryFolder(t);
  const { address } = await startUpstream(t, 0, (_req, res) => res.end('ok'));
  const [stays, one, two] = [await freePort(), await freePort(), await freePort()];
  const routes = [route('/', proxyTo([address]))];
  const make = (n: number) => [
    site(stays, routes),
    site(n % 2 === 0 ? one : two, routes, { hosts: ['a.example'], isDefault: true, ...(n % 3 === 0 && { tls: 'internal' as const }) }),
  ];
  const certificates = new Map(
    (await Promise.all([0, 1, 2, 3, 4, 5].map((n) => loadCertificates(make(n), dir, Date.now())))).flatMap((one) => [...one.certificates]),
  );
  const { apply, worker, errors } = await startGateway(t, make(0), { certificates });
  const open = () => readdirSync(`/proc/${worker.pid}/fd`).length;
  await ask(stays, '/');
  let before = 0;
  for (let n = 1; n <= 200; n++) {
    assert.deepEqual(await apply(make(n), { certificates }), []);
    if (n % 10 === 0) assert.equal((await ask(stays, '/')).body, 'ok');
    if (n % 20 === 0) await connectRaw(t, n % 2 === 0 ? one : two).then(({ socket }) => socket.destroy());
    if (n === 20) before = open();
  }
  await until(`descriptors to be closed: ${before} before, ${open()} now`, () => open() <= before + 3);
  assert.doesNotMatch(errors(), /bug:/);
});

test('a thousand connections in all states leave nothing behind', async (t) => {
  const { address } = await startUpstream(t, 0, (req, res) => void req.resume().on('end', () => res.end('ok')));
  const port = await freePort();
  const { worker, errors, gateway } = await startGateway(t, [site(port, [route('/', proxyTo([address]))])]);
  const open = () => readdirSync(`/proc/${worker.pid}/fd`).length;
  await ask(port, '/');
  const before = open();
  const states = [
    '',
    'GET / HT',
    'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf',
    'nonsense\r\n\r\n',
    '\x16\x03',
  ];
  for (let round = 0; round < 10; round++) {
    const clients = await Promise.all(Array.from({ length: 100 }, () => connectRaw(t, port)));
    clients.forEach(({ send }, n) => void send(states[n % states.length] ?? ''));
    await new Promise((resolve) => setTimeout(resolve, 20));
    clients.forEach(({ socket }, n) => void (n % 2 === 0 ? socket.destroy() : socket.resetAndDestroy()));
  }
  await until('the connections to be gone', () => open() <= before + 64); // those kept to the upstream
  await until('the counters', () => [...gateway.counters().values()].every(({ active, connections }) => active === 0 && connections <= 1));
  assert.equal((await ask(port, '/')).body, 'ok');
  assert.doesNotMatch(errors(), /bug:/);
});

test('a port whose program left is taken over while requests go on elsewhere', async (t) => {
  const blocker = net.createServer();
  await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve));
  const { port: taken } = blocker.address() as net.AddressInfo;
  const port = await freePort();
  const { apply } = await startGateway(t, [site(port, [says('here')])]);
  const problems = await apply([site(port, [says('here')]), site(taken, [says('there')])]);
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['gateway/listen-in-use'],
  );
  // Given up before it was ever open: it must not open later.
  assert.deepEqual(await apply([site(port, [says('here')])]), []);
  await new Promise((resolve) => blocker.close(resolve));
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  await assert.rejects(ask(taken, '/'), /ECONNREFUSED/);
  assert.equal((await ask(port, '/')).body, 'here');
});
