import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { promisify } from 'node:util';
import type { SiteSpec } from '../../config/model.ts';
import { openAuthority } from '../certificates/authority.ts';
import { loadCertificates } from '../certificates/certs.ts';
import {
  type Answer,
  freePort,
  gatewaySpec,
  type Inputs,
  type Running,
  readAnswer,
  route,
  site,
  startGateway,
  startWorker,
  temporaryFolder,
  until,
} from '../testing.ts';

const run = promisify(execFile);
const says = (body: string) => route('/', { kind: 'answer', answer: { status: 200, body } });
const text = '$ssl_protocol $ssl_client_verify $ssl_session_reused $ssl_server_name';

interface Secure extends Running {
  readonly dir: string;
  readonly inputs: Inputs;
}

async function startSecure(t: TestContext, sites: readonly SiteSpec[], more: Inputs = {}): Promise<Secure> {
  const dir = await temporaryFolder(t);
  const { certificates } = await loadCertificates(sites, dir, Date.now());
  const inputs = { certificates, ...more };
  return { ...(await startGateway(t, sites, inputs)), inputs };
}

const askTls = (port: number, options: https.RequestOptions = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = https.get({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false, ...options }, (answer) =>
      readAnswer(answer).then(resolve, reject),
    );
    request.on('error', reject);
  });

/** An authority and a certificate of a client by it, made with openssl. */
async function makeClient(dir: string, name: string): Promise<{ caFile: string; ca: string; cert: string; key: string }> {
  const at = (file: string) => path.join(dir, `${name}-${file}`);
  const make = (out: string, subject: string, more: string[]) =>
    run('openssl', [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-keyout',
      at(`${out}.key`),
      '-out',
      at(`${out}.crt`),
      '-subj',
      subject,
      ...more,
    ]);
  await make('ca', `/CN=${name} authority`, []);
  await make('client', `/C=DE/O=${name}, Inc/CN=client of ${name}`, [
    '-CA',
    at('ca.crt'),
    '-CAkey',
    at('ca.key'),
    '-addext',
    'basicConstraints=CA:FALSE',
  ]);
  const [ca, cert, key] = await Promise.all([at('ca.crt'), at('client.crt'), at('client.key')].map((file) => readFile(file, 'utf8')));
  return { caFile: at('ca.crt'), ca: String(ca), cert: String(cert), key: String(key) };
}

test('sslscan finds only TLS 1.2 and 1.3 with strong ciphers, no compression and no renegotiation', async (t) => {
  const port = await freePort();
  await startSecure(t, [site(port, [says('ok')], { hosts: ['a.example'], isDefault: true, tls: 'internal' })]);
  const { stdout } = await run('sslscan', ['--no-colour', '--no-heartbleed', `127.0.0.1:${port}`], { timeout: 60_000 });
  for (const version of ['SSLv2', 'SSLv3', 'TLSv1.0', 'TLSv1.1']) assert.match(stdout, new RegExp(`${version} +disabled`));
  for (const version of ['TLSv1.2', 'TLSv1.3']) assert.match(stdout, new RegExp(`${version} +enabled`));
  assert.match(stdout, /Compression disabled|does not support compression/);
  assert.doesNotMatch(stdout, /1[01]\d bits/);
  assert.match(stdout, /renegotiation not supported/i);
  const ciphers = [...stdout.matchAll(/^(?:Preferred|Accepted) +TLSv\S+ +(\d+) bits +(\S+)/gm)];
  assert.ok(ciphers.length >= 5, stdout);
  for (const [line, bits, cipher] of ciphers)
    assert.ok(Number(bits) >= 128 && /^TLS_|^ECDHE-\w+-(?:AES\d+-GCM|CHACHA20)/.test(cipher ?? ''), line);
});

test('certificates are swapped under load without a failed connection', async (t) => {
  const port = await freePort();
  const sites = [site(port, [says('ok')], { hosts: ['a.example'], isDefault: true, tls: 'internal' })];
  const { apply, inputs, dir } = await startSecure(t, sites);
  let running = true;
  let asked = 0;
  const clients = Array.from({ length: 4 }, async () => {
    while (running) {
      assert.equal((await askTls(port, { servername: asked++ % 2 === 0 ? 'a.example' : '' })).body, 'ok');
    }
  });
  const other = await loadCertificates(sites, `${dir}/other`, Date.now());
  for (let n = 0; n < 30; n++)
    assert.deepEqual(await apply(sites, n % 2 === 0 ? { ...inputs, certificates: other.certificates } : inputs), []);
  running = false;
  await Promise.all(clients);
  assert.ok(asked > 20);
});

test('a certificate that cannot be used is told, and the one before it goes on', async (t) => {
  const port = await freePort();
  const sites = [site(port, [says('ok')], { hosts: ['a.example'], isDefault: true, tls: 'internal' })];
  const { apply, inputs } = await startSecure(t, sites);
  const [[name = '', good] = []] = [...(inputs.certificates ?? [])];
  const problems = await apply(sites, { ...inputs, certificates: new Map([[name, { cert: good?.cert ?? '', key: 'nonsense' }]]) });
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['gateway/certificate-refused'],
  );
  assert.equal((await askTls(port)).body, 'ok');
});

test('sessions are resumed by other workers, and by the same key after a change of certificates', async (t) => {
  const port = await freePort();
  const sites = [site(port, [says(text)], { hosts: ['a.example'], isDefault: true, tls: 'internal' })];
  const ticketKeys = Buffer.alloc(48, 7).toString('base64');
  const { dir, gateway, worker } = await startSecure(t, sites, { ticketKeys });
  const second = startWorker(t, dir);
  await until('both workers', () => gateway.counters().size === 2);
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    let session: Buffer | undefined;
    const before = [worker.pid, second.worker.pid].map((pid) => gateway.counters().get(pid)?.requests ?? 0);
    for (let n = 0; n < 40; n++) {
      const socket = tls.connect({ port, host: '127.0.0.1', servername: 'a.example', rejectUnauthorized: false, maxVersion, session });
      socket.on('session', (made) => {
        session = made;
      });
      await once(socket, 'secureConnect');
      socket.write('GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n');
      let body = '';
      for await (const part of socket.setEncoding('utf8')) body += String(part);
      assert.match(body, new RegExp(`${maxVersion.replace('.', '\\.')} NONE ${n === 0 ? '\\.' : 'r'} `), `connection ${n}`);
    }
    await until('both to have served', () =>
      [worker.pid, second.worker.pid].every((pid, at) => (gateway.counters().get(pid)?.requests ?? 0) > (before[at] ?? 0)),
    );
  }
});

test('clients are asked for certificates where a site wants them, and each site judges by its own authorities', async (t) => {
  const dir = await temporaryFolder(t);
  const [ours, theirs] = await Promise.all([makeClient(dir, 'ours'), makeClient(dir, 'theirs')]);
  const [port, other] = [await freePort(), await freePort()];
  const facts = '$ssl_client_verify|$ssl_client_s_dn|$ssl_client_i_dn|$ssl_session_reused|$ssl_client_fingerprint|$ssl_client_serial';
  const host = (name: string, more: Partial<SiteSpec>) => site(port, [says(facts)], { hosts: [name], tls: 'internal', ...more });
  const sites = [
    host('open.example', { isDefault: true }),
    host('must.example', { clientCertificates: { ca: ours.caFile, mode: 'require' } }),
    host('may.example', { clientCertificates: { ca: ours.caFile, mode: 'optional' } }),
    host('theirs.example', { clientCertificates: { ca: theirs.caFile, mode: 'require' } }),
    site(other, [says(facts)], { hosts: ['open.example'], isDefault: true, tls: 'internal' }),
  ];
  await startSecure(t, sites, {
    files: new Map([
      [ours.caFile, ours.ca],
      [theirs.caFile, theirs.ca],
    ]),
    ticketKeys: Buffer.alloc(48, 1).toString('base64'),
  });
  const to = async (name: string, shown?: { cert: string; key: string }, hostHeader = name) => {
    const { status, body } = await askTls(port, {
      servername: name,
      headers: { host: hostHeader },
      ...(shown && { cert: shown.cert, key: shown.key }),
    });
    return status === 200 ? body : String(status);
  };
  assert.match(await to('open.example'), /^NONE\|\|/);
  assert.equal(await to('must.example'), '400');
  assert.match(
    await to('must.example', ours),
    /^SUCCESS\|CN=client of ours,O=ours\\, Inc,C=DE\|CN=ours authority\|\.\|[0-9a-f]{40}\|[0-9A-F]+$/,
  );
  assert.equal(await to('must.example', theirs), '400');
  assert.match(await to('may.example'), /^NONE\|/);
  assert.match(await to('may.example', ours), /^SUCCESS\|/);
  assert.match(await to('theirs.example', theirs), /^SUCCESS\|/);
  // Shown to one site, a certificate opens no other: not by the Host header ...
  assert.equal(await to('theirs.example', theirs, 'must.example'), '421');
  assert.equal(await to('open.example', ours, 'must.example'), '421');
  assert.match(await to('may.example', ours, 'must.example'), /^SUCCESS\|/); // the same authorities
  // ... nor by a session that is resumed.
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const talk = async (name: string, session: Buffer | undefined, shown = {}): Promise<{ body: string; session: Buffer | undefined }> => {
      let made: Buffer | undefined;
      const socket = tls.connect({ port, host: '127.0.0.1', servername: name, rejectUnauthorized: false, maxVersion, session, ...shown });
      socket.on('session', (one) => {
        made = one;
      });
      await once(socket, 'secureConnect');
      socket.write(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
      let body = '';
      for await (const part of socket.setEncoding('utf8')) body += String(part);
      return { body, session: made };
    };
    const first = await talk('theirs.example', undefined, { cert: theirs.cert, key: theirs.key });
    assert.match(first.body, /SUCCESS/);
    const second = await talk('must.example', first.session);
    assert.match(second.body, /^HTTP\/1\.1 400 /, maxVersion);
  }
  // Nobody is asked on a port where no site wants to know.
  const asks = async (at: number): Promise<string> =>
    (await run('sh', ['-c', `openssl s_client -connect 127.0.0.1:${at} -servername open.example </dev/null 2>&1`])).stdout;
  assert.match(await asks(other), /No client certificate CA names sent/);
  assert.doesNotMatch(await asks(other), /Requested Signature Algorithms/);
  assert.match(await asks(port), /Requested Signature Algorithms/);
});

test('a site may insist on TLS 1.3 beside one that does not', async (t) => {
  const port = await freePort();
  const host = (name: string, more: Partial<SiteSpec>) => site(port, [says(text)], { hosts: [name], tls: 'internal', ...more });
  await startSecure(t, [host('new.example', { isDefault: true, tlsVersions: { least: 'TLSv1.3' } }), host('old.example', {})]);
  const to = (servername: string, maxVersion: 'TLSv1.2' | 'TLSv1.3') =>
    askTls(port, { servername, maxVersion, headers: { host: servername } });
  assert.match((await to('old.example', 'TLSv1.2')).body, /^TLSv1\.2 /);
  assert.match((await to('old.example', 'TLSv1.3')).body, /^TLSv1\.3 /);
  assert.match((await to('new.example', 'TLSv1.3')).body, /^TLSv1\.3 /);
  await assert.rejects(to('new.example', 'TLSv1.2'));
});

test('an authority that asks for acme-tls/1 sees the challenge, everybody else the site', async (t) => {
  const dir = await temporaryFolder(t);
  const authority = await openAuthority(dir, Date.now());
  const proof = await authority.issue(['proof.example'], Date.now());
  const port = await freePort();
  const sites = [site(port, [says('ok')], { hosts: ['a.example'], isDefault: true, tls: 'internal' })];
  await startSecure(t, sites, { challenges: { http: {}, alpn: { 'a.example': proof } } });
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const shown = async (servername: string, protocols: string[]): Promise<[string | false | null, string]> => {
      const socket = tls.connect({ port, host: '127.0.0.1', servername, ALPNProtocols: protocols, rejectUnauthorized: false, maxVersion });
      await once(socket, 'secureConnect');
      const names = String(socket.getPeerCertificate().subjectaltname);
      socket.destroy();
      return [socket.alpnProtocol, names];
    };
    assert.deepEqual(await shown('a.example', ['acme-tls/1']), ['acme-tls/1', 'DNS:proof.example']);
    const [protocol, names] = await shown('a.example', ['http/1.1']);
    assert.ok(protocol === 'http/1.1' && names.includes('a.example') && !names.includes('proof'));
    await assert.rejects(shown('b.example', ['acme-tls/1']), maxVersion);
  }
});

test('garbage, plain HTTP and silence on a TLS port end the connection and nothing else', async (t) => {
  const port = await freePort();
  const sites = [site(port, [says('ok')], { hosts: ['a.example'], isDefault: true, tls: 'internal' })];
  const { worker, errors } = await startSecure(t, sites, { gateway: { ...gatewaySpec, headerTimeoutMs: 500 } });
  const hello = Buffer.from('16030100c8010000c40303', 'hex');
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'),
    Buffer.alloc(5_000, 0xff),
    Buffer.from('\x16\x03\x01\xff\xff', 'latin1'),
    hello,
    Buffer.alloc(0),
  ]) {
    const socket = net.connect(port, '127.0.0.1');
    let received = '';
    socket
      .on('error', () => {})
      .on('data', (part) => {
        received += part.toString('latin1');
      });
    socket.write(bytes);
    await until(`the end of ${bytes.subarray(0, 10).toString('hex')}`, () => socket.readableEnded || socket.destroyed);
    assert.doesNotMatch(received, /ok|200/);
    socket.destroy();
  }
  // Leaving in the middle of a handshake.
  for (let n = 0; n < 50; n++) {
    const socket = net.connect(port, '127.0.0.1', () => {
      socket.write(hello);
      socket.resetAndDestroy();
    });
    socket.on('error', () => {});
    await once(socket, 'close');
  }
  assert.equal((await askTls(port)).body, 'ok');
  assert.equal(worker.exitCode, null);
  assert.doesNotMatch(errors(), /bug:/);
});
