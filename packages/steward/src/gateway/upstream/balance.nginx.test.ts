/** The same servers as a real nginx: each of them says which upstream server it is, and every key has to go to the same one here. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { BalancePolicy, ServerSpec } from '../../config/model.ts';
import { createBalance, noteFailure, pickServer, releaseServer, type Server } from './balance.ts';

/** Of the servers below. Nobody listens on it: only socket names are in use. */
const port = 80;

const server = (host: string, more: Partial<ServerSpec> = {}): ServerSpec => ({
  address: { kind: 'tcp', host, port },
  weight: 1,
  maxConnections: 0,
  maxFails: 1,
  failTimeoutMs: 3_600_000,
  backup: false,
  down: false,
  drain: false,
  ...more,
});

/** Loopback addresses, so that a real server can stand behind each. */
const hosts = ['127.0.1.1', '127.0.1.2', '127.0.1.3', '127.0.1.4', '127.0.1.5'];
const weights = [1, 3, 2, 5, 1];

interface Setting {
  readonly name: string;
  readonly policy: BalancePolicy;
  /** nginx's directive; none for round robin. */
  readonly directive: string;
  readonly servers: (port: number) => ServerSpec[];
}

const evenly = (at: number) => hosts.map((host) => server(host, { address: { kind: 'tcp', host, port: at } }));
const weighted = (at: number) => evenly(at).map((spec, index) => ({ ...spec, weight: weights[index] ?? 1 }));
const oneDown = (at: number) => weighted(at).map((spec, index) => ({ ...spec, down: index === 3 }));

const policies: readonly { directive: string; policy: BalancePolicy }[] = [
  { directive: '', policy: { kind: 'round-robin' } },
  { directive: 'least_conn;', policy: { kind: 'least-connections' } },
  { directive: 'hash $arg_key;', policy: { kind: 'hash', key: '$arg_key', consistent: false } },
  { directive: 'hash $arg_key consistent;', policy: { kind: 'hash', key: '$arg_key', consistent: true } },
  { directive: 'ip_hash;', policy: { kind: 'client-address' } },
];

const settings: readonly Setting[] = policies.flatMap(({ directive, policy }) =>
  Object.entries({ evenly, weighted, oneDown }).map(([name, servers]) => ({
    name: `${directive || 'round robin'} ${name}`,
    policy,
    directive,
    servers,
  })),
);

const binary = '/usr/sbin/nginx';
let folder = '';
let nginx: ChildProcess | undefined;
let upstreamPort = 0;
const upstreams: http.Server[] = [];

const listen = (listener: http.Server, at: number, host: string): Promise<number> =>
  new Promise((resolve, reject) => {
    listener.once('error', reject).listen(at, host, () => {
      const bound = listener.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : 0);
    });
  });

function serverLine({ address, weight, down, written, maxFails }: ServerSpec): string {
  const name = written ?? (address.kind === 'tcp' ? `${address.host}:${address.port}` : `unix:${address.path}`);
  return `server ${name} weight=${weight} max_fails=${maxFails} fail_timeout=1h${down ? ' down' : ''};`;
}

const socketOf = (index: number): string => path.join(folder, `${index}.sock`);

function configuration(): string {
  const blocks = settings.map(
    ({ directive, servers }, index) => `
    upstream u${index} { ${directive} ${servers(upstreamPort).map(serverLine).join(' ')} }
    server {
      listen unix:${socketOf(index)};
      set_real_ip_from unix:;
      real_ip_header X-Real-IP;
      location / { proxy_pass http://u${index}; }
    }`,
  );
  return `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
    events { worker_connections 256; }
    http {
      access_log off;
      client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c;
      uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
      ${blocks.join('\n')}
      upstream written { hash $arg_key consistent; ${writtenServers().map(serverLine).join(' ')} }
      upstream failing { ${failingServers(upstreamPort).map(serverLine).join(' ')} }
      server { listen unix:${folder}/failing.sock; add_header x-chosen $upstream_addr always; location / { proxy_pass http://failing; } }
      server { listen unix:${folder}/written.sock; add_header x-chosen $upstream_addr always;
        location / { proxy_pass http://written; proxy_connect_timeout 1s; proxy_next_upstream off; } }
    }`;
}

/** Without a port nginx means 80, but its ring is made of the text. Nothing listens there; $upstream_addr tells. */
const writtenServers = (): ServerSpec[] =>
  hosts.map((host) => server(host, { address: { kind: 'tcp', host, port: 80 }, written: host, maxFails: 0 }));

/** Nobody listens at the first. */
const failingServers = (at: number): ServerSpec[] =>
  ['127.0.1.9', '127.0.1.1', '127.0.1.2'].map((host, index) =>
    server(host, { address: { kind: 'tcp', host, port: at }, weight: [7, 2, 1][index] ?? 1, maxFails: 3 }),
  );

before(async () => {
  assert.ok(existsSync(binary), `these tests compare with ${binary}: apt-get install nginx`);
  folder = await mkdtemp(path.join(tmpdir(), 'balance-'));
  for (const host of hosts) {
    const upstream = http.createServer((_req, res) => res.end(host));
    upstreams.push(upstream);
    upstreamPort = await listen(upstream, upstreamPort, host);
  }
  await writeFile(path.join(folder, 'nginx.conf'), configuration());
  nginx = spawn(binary, ['-p', folder, '-c', path.join(folder, 'nginx.conf')], { stdio: 'inherit' });
  while (!existsSync(path.join(folder, 'written.sock')) && nginx.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10));
});

after(async () => {
  const ended = new Promise((resolve) => nginx?.once('exit', resolve));
  nginx?.kill('SIGQUIT');
  await ended;
  for (const upstream of upstreams) upstream.close();
  await rm(folder, { recursive: true, force: true });
});

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
after(() => agent.destroy());

function ask(socketPath: string, key: string, address: string): Promise<{ body: string; chosen: string }> {
  return new Promise((resolve, reject) => {
    http
      .get({ socketPath, agent, path: `/?key=${key}`, headers: { 'x-real-ip': address } }, (res) => {
        let body = '';
        res.setEncoding('utf8');
        res.on('data', (part: string) => {
          body += part;
        });
        res.on('end', () => resolve({ body, chosen: String(res.headers['x-chosen']) }));
      })
      .on('error', reject);
  });
}

const hostOf = (chosen: Server | undefined): string => (chosen?.spec.address.kind === 'tcp' ? chosen.spec.address.host : 'none');

/** Keys of all lengths, one of them empty, and addresses of both kinds. */
const requests = Array.from({ length: 150 }, (_, n) => ({
  key: n === 0 ? '' : `${'item-'.repeat(n % 4)}${(n * 2_654_435_761) % 1_000_003}`,
  address:
    n % 3 === 0 ? `2001:db8:${(n * 77).toString(16)}::${n.toString(16)}` : `${(n * 7) % 223}.${(n * 13) % 256}.${(n * 29) % 256}.${n}`,
}));

for (const [index, { name, policy, servers }] of settings.entries()) {
  test(`every request goes to the server nginx gives it: ${name}`, async () => {
    const entry = { policy, servers: servers(upstreamPort), service: false, slowStartMs: 0, keepIdle: 0, keepIdleMs: 0 };
    const balance = createBalance(entry, 0);
    const ours: string[] = [];
    const theirs: string[] = [];
    for (const { key, address } of requests) {
      theirs.push((await ask(socketOf(index), key, address)).body);
      const chosen = pickServer(balance, { key, address, sticky: undefined }, 0);
      ours.push(hostOf(chosen));
      if (chosen !== undefined) releaseServer(chosen);
    }
    assert.deepEqual(ours, theirs);
  });
}

test('a server written without its port has the place on the ring that nginx gives it', async () => {
  const policy: BalancePolicy = { kind: 'hash', key: '$arg_key', consistent: true };
  const balance = createBalance({ policy, servers: writtenServers(), service: false, slowStartMs: 0, keepIdle: 0, keepIdleMs: 0 }, 0);
  for (const { key, address } of requests.slice(1, 60)) {
    const { chosen } = await ask(path.join(folder, 'written.sock'), key, address);
    assert.equal(`${hostOf(pickServer(balance, { key, address, sticky: undefined }, 0))}:80`, chosen);
  }
});

test('a failing server gets less and less, then nothing, as in nginx', async () => {
  const policy: BalancePolicy = { kind: 'round-robin' };
  const servers = failingServers(upstreamPort);
  const balance = createBalance({ policy, servers, service: false, slowStartMs: 0, keepIdle: 0, keepIdleMs: 0 }, 0);
  const pick = (tried?: ReadonlySet<Server>) => pickServer(balance, { key: undefined, address: '', sticky: undefined }, 0, tried);
  for (let n = 0; n < 40; n++) {
    const tried = new Set<Server>();
    let chosen = pick();
    while (chosen !== undefined) {
      tried.add(chosen);
      releaseServer(chosen);
      if (hostOf(chosen) !== '127.0.1.9') break;
      noteFailure(chosen, 0);
      chosen = pick(tried);
    }
    const theirs = await ask(path.join(folder, 'failing.sock'), '', '');
    assert.equal([...tried].map(({ name }) => name).join(', '), theirs.chosen, `request ${n}`);
  }
});

test('least connections chooses as nginx while answers are held back', async () => {
  const at = settings.findIndex(({ name }) => name === 'least_conn; weighted');
  const held: (() => void)[] = [];
  const seen: string[] = [];
  for (const [index, upstream] of upstreams.entries()) {
    upstream.removeAllListeners('request');
    upstream.on('request', (_req, res) => {
      const host = hosts[index] ?? '';
      seen.push(host);
      held.push(() => res.end(host));
    });
  }
  const balance = createBalance(
    { policy: { kind: 'least-connections' }, servers: weighted(upstreamPort), service: false, slowStartMs: 0, keepIdle: 0, keepIdleMs: 0 },
    0,
  );
  // What the test before this one has left in nginx is even again after each whole round of 12.
  const warm = 150 % 12;
  for (let n = 0; n < warm; n++) {
    const chosen = pickServer(balance, { key: undefined, address: '', sticky: undefined }, 0);
    if (chosen !== undefined) releaseServer(chosen);
  }
  const under: Server[] = [];
  const answers: Promise<unknown>[] = [];
  for (let n = 0; n < 60; n++) {
    const own = new http.Agent();
    answers.push(
      new Promise((resolve, reject) => {
        http.get({ socketPath: socketOf(at), agent: own }, (res) => res.resume().on('end', resolve)).on('error', reject);
      }),
    );
    while (seen.length <= n) await new Promise((resolve) => setImmediate(resolve));
    const chosen = pickServer(balance, { key: undefined, address: '', sticky: undefined }, 0);
    assert.equal(hostOf(chosen), seen[n], `request ${n}`);
    if (chosen !== undefined) under.push(chosen);
    if (n % 3 !== 2) continue;
    // Ends one of those under way, and waits until nginx knows.
    const which = (n * 7) % under.length;
    held.splice(which, 1)[0]?.();
    for (const one of under.splice(which, 1)) releaseServer(one);
    await answers.splice(which, 1)[0];
  }
  for (const end of held) end();
  await Promise.all(answers);
});
