/** What the ACME tests share: a real authority (Pebble), one that misbehaves on demand, and what answers challenges. */
// Before @peculiar/x509, which needs it when it is loaded.
import 'reflect-metadata';
import { type ChildProcess, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import * as x509 from '@peculiar/x509';
import type { Challenges } from '../../table.ts';
import { freePort, temporaryFolder, until } from '../../testing.ts';
import { openAuthority } from '../authority.ts';
import { type Keys, keyAlgorithm, makeKeys, serialNumber } from '../keys.ts';
import { type Acme, type AcmeOptions, type AcmeSpec, createAcme } from './acme.ts';
import { alpnProtocol, challengeAnswer, challengeHandshake, noChallenges } from './challenges.ts';
import type { Members } from './client.ts';

/** A name server on 127.0.0.1 for which every name is this machine; its address. */
async function startNames(t: TestContext): Promise<string> {
  const socket = dgram.createSocket('udp4');
  socket.on('message', (question, from) => socket.send(namesAnswer(question), from.port, from.address));
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  t.after(() => socket.close());
  return `127.0.0.1:${socket.address().port}`;
}

/** RFC 1035, 4: one A record of 127.0.0.1 for a question of type A, none for others. */
function namesAnswer(question: Buffer): Buffer {
  let end = 12;
  while ((question[end] ?? 0) > 0) end += (question[end] ?? 0) + 1;
  const isA = question.readUInt16BE(end + 1) === 1;
  const head = Buffer.from([...question.subarray(0, 2), 0x81, 0x80, 0, 1, 0, isA ? 1 : 0, 0, 0, 0, 0]);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
  return Buffer.concat([head, question.subarray(12, end + 5), isA ? record : Buffer.alloc(0)]);
}

export interface PebbleOptions {
  /** Where Pebble looks for http-01. */
  readonly httpPort: number;
  /** Where it looks for tls-alpn-01. */
  readonly tlsPort: number;
  readonly lifetimeSeconds?: number;
  /** Percentage of good nonces that it refuses. */
  readonly nonceReject?: number;
  /** A customer: key id and key. Only they get accounts. */
  readonly customer?: readonly [string, string];
  /** Its port, to be started again on; a free one when not given. */
  readonly port?: number;
}

export interface Pebble {
  readonly port: number;
  readonly spec: AcmeSpec;
  /** What it has written. */
  readonly log: () => string;
  /** Its root certificate, PEM. */
  readonly root: () => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** Starts Debian's Pebble. It ends after the test. */
export async function startPebble(t: TestContext, options: PebbleOptions): Promise<Pebble> {
  const dir = await temporaryFolder(t);
  const names = await startNames(t);
  const port = options.port ?? (await freePort());
  const management = await freePort();
  const authority = await openAuthority(dir, Date.now());
  const { cert, key } = await authority.issue(['localhost', '127.0.0.1'], Date.now());
  const file = (name: string): string => path.join(dir, name);
  await Promise.all([writeFile(file('cert.pem'), cert), writeFile(file('key.pem'), key), writeFile(file('ca.pem'), authority.certificate)]);
  const pebble = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: file('cert.pem'),
    privateKey: file('key.pem'),
    httpPort: options.httpPort,
    tlsPort: options.tlsPort,
    externalAccountBindingRequired: options.customer !== undefined,
    ...(options.customer && { externalAccountMACKeys: { [options.customer[0]]: options.customer[1] } }),
    ...(options.lifetimeSeconds !== undefined && { certificateValidityPeriod: options.lifetimeSeconds }),
  };
  await writeFile(file('config.json'), JSON.stringify({ pebble }));
  const env = { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_AUTHZREUSE: '0', PEBBLE_WFE_NONCEREJECT: String(options.nonceReject ?? 5) };
  const child = spawn('pebble', ['-config', file('config.json'), '-dnsserver', names], { env });
  const log = await follow(t, child);
  await until(`pebble: ${log()}`, () => /ACME directory available/.test(log()) || child.exitCode !== null);
  const ca = authority.certificate;
  return {
    port,
    spec: { directory: `https://localhost:${port}/dir`, directoryCa: file('ca.pem'), email: 'ops@shop.example' },
    log,
    root: () => read(`https://localhost:${management}/roots/0`, ca),
    stop: () => end(child),
  };
}

/** What a child process writes; it is killed after the test. Rejects with what to install when there is no such program. */
async function follow(t: TestContext, child: ChildProcess): Promise<() => string> {
  let written = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => {
      written += text;
    });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => reject(new Error('these tests need Pebble: apt-get install pebble', { cause: error })));
  });
  t.after(() => end(child));
  return () => written;
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', () => resolve());
    child.kill('SIGKILL');
  });
}

function read(url: string, ca: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { ca, agent: false }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      answer.on('end', () => resolve(body));
    });
    request.on('error', reject);
  });
}

export interface Responder {
  readonly httpPort: number;
  readonly tlsPort: number;
  readonly publish: (challenges: Challenges) => Promise<void>;
  readonly current: () => Challenges;
  /** Ways and hosts that were looked at, each once, sorted: authorities look from several places. */
  readonly seen: () => string[];
}

/** What a gateway worker does about challenges, and nothing else. Without `http` its plain port is a closed one. */
export async function startResponder(t: TestContext, { http: hasHttp = true } = {}): Promise<Responder> {
  let current = noChallenges;
  const seen = new Set<string>();
  const plain = http.createServer((request, response) => {
    const answer = challengeAnswer(current, request.url ?? '');
    if (answer !== undefined) seen.add(`http ${request.headers.host?.replace(/:\d+$/, '')}`);
    response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/octet-stream' }).end(answer);
  });
  const dir = await temporaryFolder(t);
  const usual = await (await openAuthority(dir, Date.now())).issue(['localhost'], Date.now());
  const secure = tls.createServer({
    ...usual,
    ...challengeHandshake(() => current, {
      certificate: (_host, done) => setImmediate(() => done(null, tls.createSecureContext(usual))),
      protocol: (protocols) => protocols.find((protocol) => protocol === 'http/1.1'),
    }),
  });
  secure.on('secureConnection', (socket) => {
    if (socket.alpnProtocol === alpnProtocol) seen.add(`alpn ${socket.servername}`);
    socket.end();
  });
  secure.on('tlsClientError', () => {});
  const httpPort = hasHttp ? await listen(t, plain) : await freePort();
  const publish = async (challenges: Challenges): Promise<void> => {
    current = challenges;
  };
  return { httpPort, tlsPort: await listen(t, secure), publish, current: () => current, seen: () => [...seen].sort() };
}

async function listen(t: TestContext, server: http.Server | tls.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

const openedIn = new Map<string, Acme[]>();

/** A folder for `openAcme`, removed after the test, once nobody writes into it. */
export async function acmeFolder(t: TestContext): Promise<string> {
  const dir = path.join(await mkdtemp(path.join(tmpdir(), 'acme-')), 'state');
  t.after(async () => {
    await Promise.all((openedIn.get(dir) ?? []).map((acme) => acme.stop()));
    await rm(path.dirname(dir), { recursive: true, force: true });
  });
  return dir;
}

export interface Opened {
  readonly acme: Acme;
  readonly lines: string[];
  readonly troubles: string[];
  readonly issued: string[];
}

/** An Acme in `dir`, stopped after the test, and all it said. */
export async function openAcme(t: TestContext, options: Pick<AcmeOptions, 'dir' | 'spec'> & Partial<AcmeOptions>): Promise<Opened> {
  const lines: string[] = [];
  const troubles: string[] = [];
  const issued: string[] = [];
  const acme = await createAcme({
    log: (line) => lines.push(line),
    publish: async () => {},
    onCertificate: (name) => issued.push(name),
    onTrouble: ({ code, message }) => troubles.push(`${code}: ${message}`),
    ...options,
  });
  t.after(() => acme.stop());
  openedIn.set(options.dir, [...(openedIn.get(options.dir) ?? []), acme]);
  return { acme, lines, troubles, issued };
}

/** What a misbehaving authority does about one request: true when it has answered, false to let it be answered well. */
export type Fault = (place: string, response: http.ServerResponse) => boolean;

export interface FakeAuthority {
  readonly spec: AcmeSpec;
  /** Requests so far: `GET directory`, `POST order`. */
  readonly asked: string[];
  /** Hosts of the orders so far. */
  readonly ordered: string[][];
  /** What it does wrong from now on. */
  fail(fault: Fault): void;
  /** Begin and end of the certificates it gives, in days from `now`. */
  lifetime: readonly [number, number];
}

/** An authority over plain HTTP that believes everybody, unless a fault is set. `now` is the time of its certificates. */
export async function startFakeAuthority(t: TestContext, now: () => number): Promise<FakeAuthority> {
  const asked: string[] = [];
  const ordered: string[][] = [];
  let fault: Fault = () => false;
  const orders = new Map<string, Order>();
  const keys = await makeKeys();
  const fake: FakeAuthority = { spec: { directory: '' }, asked, ordered, fail: (next) => (fault = next), lifetime: [0, 90] };

  const answers: Readonly<Record<string, (id: string, payload: Members) => Promise<unknown> | unknown>> = {
    directory: () => Object.fromEntries(['newNonce', 'newAccount', 'newOrder'].map((name) => [name, `${base}/${name}`])),
    newNonce: () => '',
    newAccount: () => ({ status: 'valid' }),
    newOrder: (id, { identifiers }) => {
      const hosts = (identifiers as { value: string }[]).map(({ value }) => value);
      ordered.push(hosts);
      orders.set(id, { hosts, cert: undefined });
      return orderAnswer(id);
    },
    authorization: (id) => ({ status: 'valid', identifier: { type: 'dns', value: orders.get(id)?.hosts[0] } }),
    order: (id) => orderAnswer(id),
    finalize: async (id, { csr }) => {
      const order = orders.get(id) as Order;
      order.cert = await signRequest(
        String(csr),
        order.hosts,
        keys,
        fake.lifetime.map((days) => new Date(now() + days * dayMs)),
      );
      return orderAnswer(id);
    },
    certificate: (id) => orders.get(id)?.cert,
  };
  const orderAnswer = (id: string) => ({
    status: orders.get(id)?.cert === undefined ? 'ready' : 'valid',
    authorizations: [`${base}/authorization/${id}`],
    finalize: `${base}/finalize/${id}`,
    certificate: `${base}/certificate/${id}`,
  });

  const server = http.createServer(async (request, response) => {
    const [, place = '', known] = (request.url ?? '').split('/');
    const id = known ?? String(asked.length);
    asked.push(`${request.method} ${place}`);
    const body = await bodyOf(request);
    if (place !== 'directory') response.setHeader('replay-nonce', `nonce-${asked.length}`);
    response.setHeader('location', `${base}/${place === 'newOrder' ? 'order' : place}/${id}`);
    if (fault(place, response)) return;
    const answer = await answers[place]?.(id, payloadOf(body));
    response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
  });
  const base = `http://127.0.0.1:${await listen(t, server)}`;
  t.after(() => server.closeAllConnections());
  return Object.assign(fake, { spec: { directory: `${base}/directory` } });
}

interface Order {
  readonly hosts: readonly string[];
  cert: string | undefined;
}

const dayMs = 24 * 60 * 60 * 1000;

async function bodyOf(request: http.IncomingMessage): Promise<string> {
  let body = '';
  for await (const part of request.setEncoding('utf8')) body += String(part);
  return body;
}

function payloadOf(body: string): Members {
  if (body === '') return {};
  const { payload } = JSON.parse(body) as { payload: string };
  return payload === '' ? {} : (JSON.parse(Buffer.from(payload, 'base64url').toString()) as Members);
}

async function signRequest(csr: string, hosts: readonly string[], keys: Keys, [notBefore, notAfter]: readonly Date[]): Promise<string> {
  const request = new x509.Pkcs10CertificateRequest(Buffer.from(csr, 'base64url'));
  const made = await x509.X509CertificateGenerator.create({
    issuer: 'CN=fake authority',
    serialNumber: serialNumber(),
    ...(notBefore && { notBefore }),
    ...(notAfter && { notAfter }),
    publicKey: request.publicKey,
    signingKey: keys.pair.privateKey,
    signingAlgorithm: keyAlgorithm,
    extensions: [new x509.SubjectAlternativeNameExtension(hosts.map((value) => ({ type: 'dns', value })))],
  });
  return `${made.toString('pem')}\n`;
}

/** A refusal as RFC 8555 writes it. */
export function refuse(response: http.ServerResponse, status: number, type: string, detail: string, retryAfter?: string): true {
  if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
  response.statusCode = status;
  response.setHeader('content-type', 'application/problem+json');
  response.end(JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail, status }));
  return true;
}
