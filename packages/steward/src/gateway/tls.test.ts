import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import https from 'node:https';
import path from 'node:path';
import { test } from 'node:test';
import tls from 'node:tls';
import { openAuthority } from './certificates/authority.ts';
import { loadCertificates } from './certificates/certs.ts';
import {
  type Answer,
  ask,
  askRaw,
  freePort,
  proxyTo,
  readAnswer,
  route,
  site,
  startGateway,
  startUpstream,
  temporaryFolder,
} from './testing.ts';

const pong = (body = 'pong') => route('/', { kind: 'answer', answer: { status: 200, body } });

function askTls(port: number, target: string, options: https.RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = https.get({ host: '127.0.0.1', port, path: target, agent: false, ...options }, (answer) =>
      readAnswer(answer).then(resolve, reject),
    );
    request.on('error', reject);
  });
}

/** The certificate that a port shows to a client asking for `servername`. */
function certificateOf(port: number, servername?: string): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, servername: servername ?? '', rejectUnauthorized: false }, () => {
      resolve(new X509Certificate(socket.getPeerCertificate().raw));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

test('a client that trusts only the local authority gets through, by name and by address', async (t) => {
  const dir = await temporaryFolder(t);
  const port = await freePort();
  const sites = [site(port, [pong()], { hosts: ['shop.example', '*.shop.example'], isDefault: true, tls: 'internal' })];
  const { certificates, problems } = await loadCertificates(sites, dir, Date.now());
  assert.deepEqual(problems, []);
  await startGateway(t, sites, { certificates });
  const { certificate: ca } = await openAuthority(dir, Date.now());
  assert.equal((await askTls(port, '/', { ca, servername: 'shop.example' })).body, 'pong');
  assert.equal((await askTls(port, '/', { ca, servername: 'a.shop.example' })).body, 'pong');
  assert.equal((await askTls(port, '/', { ca, host: 'localhost', family: 4 })).body, 'pong');
  assert.equal((await askTls(port, '/', { ca, host: '127.0.0.1', servername: '' })).body, 'pong');
  await assert.rejects(askTls(port, '/', { servername: 'shop.example' }), /unable to verify|self-signed|local issuer/);
  await assert.rejects(askTls(port, '/', { ca, servername: 'shop.example', maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }));
});

test('the authority is made once, its key is for the owner alone, and a site keeps its certificate until a third is left', async (t) => {
  const dir = await temporaryFolder(t);
  const day = 24 * 60 * 60 * 1000;
  const now = Date.now();
  const first = await openAuthority(dir, now);
  const leaf = await first.issue(['a.example', '10.0.0.1'], now);
  const again = await openAuthority(dir, now);
  assert.equal(again.certificate, first.certificate);
  assert.equal((await stat(path.join(dir, 'authority.key'))).mode & 0o777, 0o600);
  assert.deepEqual(await again.issue(['10.0.0.1', 'a.example'], now + 200 * day), leaf);
  const renewed = await again.issue(['a.example', '10.0.0.1'], now + 280 * day);
  assert.notEqual(renewed.cert, leaf.cert);
  const x509 = new X509Certificate(leaf.cert);
  assert.ok(x509.validToDate.getTime() - x509.validFromDate.getTime() <= 397 * day);
  assert.ok(x509.checkIP('10.0.0.1') && x509.checkHost('a.example') && !x509.ca);
  assert.ok(new X509Certificate(first.certificate).ca);
});

test('each host shows its own certificate, unknown hosts that of the default site', async (t) => {
  const dir = await temporaryFolder(t);
  const port = await freePort();
  const sites = [
    site(port, [pong('a')], { hosts: ['a.example'], tls: 'internal' }),
    site(port, [pong('b')], { hosts: ['b.example'], isDefault: true, tls: 'internal' }),
    site(port, [pong('c')], { hosts: ['*.c.example'], tls: 'internal' }),
  ];
  const { certificates } = await loadCertificates(sites, dir, Date.now());
  await startGateway(t, sites, { certificates });
  assert.ok((await certificateOf(port, 'a.example')).checkHost('a.example'));
  assert.ok((await certificateOf(port, 'x.c.example')).checkHost('y.c.example'));
  assert.ok((await certificateOf(port, 'unknown.example')).checkHost('b.example'));
  assert.ok((await certificateOf(port)).checkHost('b.example'));
  assert.equal((await askTls(port, '/', { rejectUnauthorized: false, headers: { host: 'a.example' }, servername: 'a.example' })).body, 'a');
});

test('certificate, key and chain may stand in three files, in any order', async (t) => {
  const dir = await temporaryFolder(t);
  const authority = await openAuthority(dir, Date.now());
  const leaf = await authority.issue(['three.example'], Date.now());
  const [cert, key, chain] = ['2_three.crt', '3_three.key', '1_root_bundle.crt'].map((name) => path.join(dir, name));
  await Promise.all([
    writeFile(String(cert), leaf.cert),
    writeFile(String(key), leaf.key),
    writeFile(String(chain), authority.certificate),
  ]);
  const port = await freePort();
  const sites = [site(port, [pong()], { hosts: ['three.example'], tls: { cert: String(cert), key: String(key), chain: String(chain) } })];
  const { certificates, problems } = await loadCertificates(sites, path.join(dir, 'none'), Date.now());
  assert.deepEqual(problems, []);
  await startGateway(t, sites, { certificates });
  assert.equal((await askTls(port, '/', { ca: authority.certificate, servername: 'three.example' })).body, 'pong');
});

test('what is wrong with a certificate is said in words', async (t) => {
  const dir = await temporaryFolder(t);
  const authority = await openAuthority(dir, Date.now());
  const a = await authority.issue(['a.example'], Date.now());
  const b = await authority.issue(['b.example'], Date.now());
  const file = async (name: string, text: string) => {
    await writeFile(path.join(dir, name), text);
    return path.join(dir, name);
  };
  const [certA, keyA, keyB, text] = [
    await file('a.crt', a.cert),
    await file('a.key', a.key),
    await file('b.key', b.key),
    await file('notes.txt', 'hello'),
  ];
  const codes = async (cert: string, key: string, nowMs = Date.now(), host = 'a.example') => {
    const { problems, certificates } = await loadCertificates([site(1, [], { hosts: [host], tls: { cert, key } })], dir, nowMs);
    return [...problems.map(({ code }) => code), certificates.size];
  };
  const day = 24 * 60 * 60 * 1000;
  assert.deepEqual(await codes(certA, keyA), [1]);
  assert.deepEqual(await codes(certA, keyB), ['gateway/certificate-key', 0]);
  assert.deepEqual(await codes(path.join(dir, 'nothing.crt'), keyA), ['gateway/certificate-unreadable', 0]);
  assert.deepEqual(await codes(text, keyA), ['gateway/certificate-invalid', 0]);
  assert.deepEqual(await codes(certA, text), ['gateway/certificate-invalid', 0]);
  assert.deepEqual(await codes(certA, keyA, Date.now() + 400 * day), ['gateway/certificate-expired', 0]);
  assert.deepEqual(await codes(certA, keyA, Date.now() + 380 * day), ['gateway/certificate-expires', 1]);
  assert.deepEqual(await codes(certA, keyA, Date.now(), 'other.example'), ['gateway/certificate-host', 1]);
  const { problems } = await loadCertificates([site(1, [], { tls: { cert: certA, key: keyB } })], dir, Date.now());
  assert.equal(problems[0]?.message, `the key "${keyB}" does not belong to the certificate "${certA}"`);
});

test('a renewed certificate is shown to new connections while old ones go on', async (t) => {
  const dir = await temporaryFolder(t);
  const port = await freePort();
  const sites = [site(port, [pong()], { hosts: ['a.example'], tls: 'internal' })];
  const now = Date.now();
  const { certificates } = await loadCertificates(sites, dir, now);
  const { apply } = await startGateway(t, sites, { certificates });
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  await askTls(port, '/', { agent, servername: 'a.example' });
  const before = await certificateOf(port, 'a.example');
  const renewed = await loadCertificates(sites, dir, now + 300 * 24 * 60 * 60 * 1000);
  assert.deepEqual(await apply(sites, { certificates: renewed.certificates }), []);
  for (const name of ['a.example', undefined]) assert.notEqual((await certificateOf(port, name)).serialNumber, before.serialNumber);
  const reused = await new Promise<boolean>((resolve, reject) => {
    const request = https.get({ host: '127.0.0.1', port, agent, servername: 'a.example' }, (answer) =>
      readAnswer(answer).then(() => resolve(request.reusedSocket), reject),
    );
    request.on('error', reject);
  });
  assert.equal(reused, true);
  agent.destroy();
});

test('plain HTTP on a TLS port gets 400, and plain ports redirect to HTTPS with 308', async (t) => {
  const dir = await temporaryFolder(t);
  const [port, plain] = [await freePort(), await freePort()];
  const sites = [site(port, [pong()], { hosts: ['a.example'], tls: 'internal', redirectFrom: [{ host: '127.0.0.1', port: plain }] })];
  const { certificates } = await loadCertificates(sites, dir, Date.now());
  await startGateway(t, sites, { certificates });
  assert.match(await askRaw(port, 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'), /^HTTP\/1\.1 400 [\s\S]*\r\nConnection: close\r\n/);
  const redirect = await ask(plain, '/x?y=%20z', { headers: { host: 'a.example:80' } });
  assert.deepEqual([redirect.status, redirect.headers.location], [308, `https://a.example:${port}/x?y=%20z`]);
});

test('upstreams may speak HTTPS with a certificate of their own, and see the scheme of the client', async (t) => {
  const dir = await temporaryFolder(t);
  const authority = await openAuthority(dir, Date.now());
  const { key, cert } = await authority.issue(['inner'], Date.now());
  const inner = https.createServer({ key, cert }, (req, res) => res.end(`${req.headers['x-forwarded-proto']} ${req.url}`));
  await new Promise<void>((resolve) => inner.listen(0, '127.0.0.1', resolve));
  t.after(() => inner.close());
  const plain = await startUpstream(t, 0, (req, res) => res.end(String(req.headers['x-forwarded-proto'])));
  const port = await freePort();
  const { port: innerPort } = inner.address() as import('node:net').AddressInfo;
  const sites = [
    site(
      port,
      [
        route('/', proxyTo([{ kind: 'tcp', host: '127.0.0.1', port: innerPort }], { scheme: 'https' })),
        route('/plain', proxyTo([plain.address])),
      ],
      { tls: 'internal' },
    ),
  ];
  const { certificates } = await loadCertificates(sites, dir, Date.now());
  await startGateway(t, sites, { certificates });
  for (const host of ['one.example', 'two.example'])
    assert.equal((await askTls(port, '/deep', { rejectUnauthorized: false, headers: { host } })).body, 'https /deep');
  assert.equal((await askTls(port, '/plain', { rejectUnauthorized: false })).body, 'https');
  assert.match(await readFile(path.join(dir, 'authority.crt'), 'utf8'), /BEGIN CERTIFICATE/);
});
