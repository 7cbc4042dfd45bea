import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Address, CheckSpec, ServerSpec } from '../../config/model.ts';
import { type Balance, createBalance, type Server } from './balance.ts';
import { type CheckedUpstream, createHealthChecks, type HealthChecks } from './health-checks.ts';

const check: CheckSpec = { path: '/health', everyMs: 10, timeoutMs: 1000, passes: 2, failures: 3, statuses: [200, 299] };

const at = (address: Address): ServerSpec => ({
  address,
  weight: 1,
  maxConnections: 0,
  maxFails: 0,
  failTimeoutMs: 0,
  backup: false,
  down: false,
  drain: false,
});

const balanceOf = (addresses: readonly Address[], more: Partial<CheckSpec> = {}, previous?: Balance): Balance =>
  createBalance(
    {
      policy: { kind: 'round-robin' },
      servers: addresses.map(at),
      service: false,
      slowStartMs: 0,
      keepIdle: 0,
      keepIdleMs: 0,
      check: { ...check, ...more },
    },
    0,
    previous,
  );

const checked = (balance: Balance): CheckedUpstream => ({ name: 'app', balance, check: balance.entry.check ?? check, scheme: 'http' });

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; performance.now() < end; await new Promise((resolve) => setTimeout(resolve, 5))) {
    if (condition()) return;
  }
  assert.fail(`waited in vain for ${what}`);
}

async function start(t: TestContext, handler: http.RequestListener, socketPath?: string): Promise<Address> {
  const server = http.createServer(handler);
  await new Promise<void>((resolve) =>
    socketPath === undefined ? server.listen(0, '127.0.0.1', resolve) : server.listen(socketPath, resolve),
  );
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  if (socketPath !== undefined) return { kind: 'unix', path: socketPath };
  return { kind: 'tcp', host: '127.0.0.1', port: (server.address() as net.AddressInfo).port };
}

function checksOf(t: TestContext, atOnce?: number): { checks: HealthChecks; lines: string[] } {
  const lines: string[] = [];
  const checks = createHealthChecks({ log: (line) => lines.push(line), random: () => 0.5, atOnce });
  t.after(() => checks.stop());
  return { checks, lines };
}

const only = (balance: Balance): Server => {
  const [server] = balance.servers;
  assert.ok(server);
  return server;
};

test('a server is out after failures in a row and back after passes in a row, with one line each', async (t) => {
  let status = 200;
  let asked = 0;
  let single = false;
  const address = await start(t, (req, res) => {
    asked++;
    assert.equal(req.url, '/health');
    res.statusCode = status;
    if (single) status = 200;
    res.end();
  });
  const balance = balanceOf([address]);
  const { checks, lines } = checksOf(t);
  checks.apply([checked(balance)]);
  const server = only(balance);
  await until('checks', () => asked >= 3);
  single = true;
  status = 503;
  const before = asked;
  await until('more checks', () => asked >= before + 4);
  assert.deepEqual([server.unhealthy, lines], [false, []]);
  single = false;
  status = 503;
  await until('the server to be out', () => server.unhealthy);
  status = 204;
  await until('the server to be back', () => !server.unhealthy);
  assert.deepEqual(lines, [
    `upstream app: ${server.name} is out: it failed 3 checks in a row of /health: answered 503`,
    `upstream app: ${server.name} is back: it passed 2 checks in a row of /health: answered 204`,
  ]);
});

test('checks go to unix sockets, with the host they are told, and look for a part of the body', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'checks-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  let body = 'all is well';
  const hosts = new Set<string | undefined>();
  const handler: http.RequestListener = (req, res) => {
    hosts.add(req.headers.host);
    res.write(body.slice(0, 6));
    setImmediate(() => res.end(body.slice(6)));
  };
  const address = await start(t, handler, path.join(folder, 'a.sock'));
  const balance = balanceOf([address], { host: 'inner.example', body: 'is well', passes: 1, failures: 1 });
  const { checks, lines } = checksOf(t);
  checks.apply([checked(balance)]);
  await until('a check', () => hosts.size > 0);
  assert.deepEqual([...hosts], ['inner.example']);
  assert.equal(only(balance).unhealthy, false);
  body = `${'x'.repeat(70_000)}is well`;
  await until('the server to be out', () => only(balance).unhealthy);
  assert.match(lines[0] ?? '', /it failed a check of \/health: answered 200 without the expected text$/);
  body = 'it is well';
  await until('the server to be back', () => !only(balance).unhealthy);
});

test('a server that refuses connections or says nothing in time is out, with the reason', async (t) => {
  const silent = net.createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as net.AddressInfo;
  t.after(() => silent.close());
  const closed: Address = { kind: 'unix', path: '/nonexistent/health.sock' };
  const balance = balanceOf([{ kind: 'tcp', host: '127.0.0.1', port }, closed], { timeoutMs: 50, failures: 1 });
  const { checks, lines } = checksOf(t);
  checks.apply([checked(balance)]);
  await until('both to be out', () => balance.servers.every(({ unhealthy }) => unhealthy));
  assert.ok(lines.some((line) => line.endsWith(': timed out')));
  assert.ok(lines.some((line) => line.endsWith(': no such socket')));
});

test('no more checks than allowed are under way at once, and every server is looked at', async (t) => {
  let under = 0;
  let most = 0;
  const answered = new Set<string | undefined>();
  const handler: http.RequestListener = (req, res) => {
    most = Math.max(most, ++under);
    setTimeout(() => {
      under--;
      answered.add(req.headers.host);
      res.end();
    }, 5);
  };
  const addresses = await Promise.all(Array.from({ length: 30 }, () => start(t, handler)));
  const { checks } = checksOf(t, 4);
  checks.apply([checked(balanceOf(addresses, { everyMs: 1 }))]);
  await until('all to be looked at', () => answered.size === addresses.length);
  assert.equal(most, 4);
});

test('a new table keeps what checks found; servers that left and a stop end them', async (t) => {
  let asked = 0;
  const bad = await start(t, (_req, res) => {
    asked++;
    res.writeHead(500).end();
  });
  const good = await start(t, (_req, res) => res.end());
  const first = balanceOf([bad]);
  const { checks, lines } = checksOf(t);
  checks.apply([checked(first)]);
  await until('the server to be out', () => only(first).unhealthy);
  const second = balanceOf([bad, good], { everyMs: 5 }, first);
  checks.apply([checked(second)]);
  assert.deepEqual(
    second.servers.map(({ unhealthy }) => unhealthy),
    [true, false],
  );
  const before = asked;
  await until('further checks', () => asked > before + 2);
  assert.equal(lines.length, 1);
  checks.apply([checked(balanceOf([good], {}, second))]);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const left = asked;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(asked, left);
  checks.stop();
  checks.stop();
});
