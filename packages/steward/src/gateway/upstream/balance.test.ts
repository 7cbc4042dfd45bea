import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import type { BalancePolicy, ServerSpec } from '../../config/model.ts';
import { plainServer } from '../../config/model.ts';
import {
  type Balance,
  createBalance,
  isUsable,
  markUnhealthy,
  nextChangeMs,
  noteAnswer,
  noteFailure,
  type PickRequest,
  pickServer,
  releaseServer,
  type Server,
  serverCount,
  type UpstreamEntry,
} from './balance.ts';
import { beginAddressHash, keyCrc, nextAddressHash } from './server-hash.ts';

const at = (path: string, more: Partial<ServerSpec> = {}): ServerSpec => ({ ...plainServer, address: { kind: 'unix', path }, ...more });

const turns: BalancePolicy = { kind: 'round-robin' };
const byKey: BalancePolicy = { kind: 'hash', key: '$uri', consistent: true };
const entryOf = (servers: readonly ServerSpec[], more: Partial<UpstreamEntry> = {}): UpstreamEntry => ({
  policy: turns,
  slowStartMs: 0,
  keepIdle: 0,
  keepIdleMs: 0,
  service: false,
  servers,
  ...more,
});
const balanceOf = (servers: readonly ServerSpec[], more: Partial<UpstreamEntry> = {}, random?: () => number): Balance =>
  createBalance(entryOf(servers, more), 0, undefined, random);

const nobody: PickRequest = { key: undefined, address: '192.0.2.1', sticky: undefined };
const nameOf = (server: Server | undefined): string => server?.name.replace('unix:', '') ?? 'none';

/** A request that is answered at once. */
function visit(balance: Balance, nowMs = 0, request: Partial<PickRequest> = {}, tried?: ReadonlySet<Server>): string {
  const server = pickServer(balance, { ...nobody, ...request }, nowMs, tried);
  if (server !== undefined) releaseServer(server);
  return nameOf(server);
}
const visits = (balance: Balance, count: number, nowMs = 0): string => Array.from({ length: count }, () => visit(balance, nowMs)).join('');

function countsOf(names: Iterable<string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

function serverNamed(balance: Balance, name: string): Server {
  const server = balance.servers.find((one) => nameOf(one) === name);
  assert.ok(server);
  return server;
}

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `/s${n}`);

test('servers take turns by weight, smoothly', () => {
  assert.equal(visits(balanceOf([at('a'), at('b'), at('c')]), 6), 'abcabc');
  assert.equal(visits(balanceOf([at('a', { weight: 5 }), at('b'), at('c')]), 7), 'aabacaa');
});

test('each round of turns gives every server exactly its weight, whatever the weights', () => {
  const chance = seeded(1);
  for (let round = 0; round < 30; round++) {
    const specs = names(1 + Math.floor(chance() * 40)).map((name) => at(name, { weight: 1 + Math.floor(chance() * 20) }));
    const total = specs.reduce((sum, { weight }) => sum + weight, 0);
    const balance = balanceOf(specs);
    const wanted = Object.fromEntries(specs.map(({ address, weight }) => [address.kind === 'unix' ? address.path : '', weight]));
    for (let again = 0; again < 2; again++) assert.deepEqual(countsOf(Array.from({ length: total }, () => visit(balance))), wanted);
  }
});

/** nginx's rules as they are told: all servers are gone through for each request. */
class PlainNginx {
  readonly peers: {
    spec: ServerSpec;
    effective: number;
    current: number;
    conns: number;
    fails: number;
    accessed: number;
    checked: number;
  }[];
  readonly byLoad: boolean;
  constructor(specs: readonly ServerSpec[], byLoad: boolean) {
    this.byLoad = byLoad;
    this.peers = specs.map((spec) => ({
      spec,
      effective: spec.weight,
      current: 0,
      conns: 0,
      fails: 0,
      accessed: -Infinity,
      checked: -Infinity,
    }));
  }

  pick(nowMs: number, tried: ReadonlySet<number>): number {
    const able = [...this.peers.keys()].filter((index) => {
      const peer = this.peers[index] as (typeof this.peers)[number];
      const { maxFails, failTimeoutMs, maxConnections, down } = peer.spec;
      if (tried.has(index) || down || (maxConnections > 0 && peer.conns >= maxConnections)) return false;
      return !(maxFails > 0 && peer.fails >= maxFails && nowMs - peer.checked < failTimeoutMs);
    });
    const load = (index: number) => (this.peers[index]?.conns ?? 0) / (this.peers[index]?.spec.weight ?? 1);
    const least = Math.min(...able.map(load));
    let best = -1;
    let total = 0;
    for (const index of able) {
      const peer = this.peers[index] as (typeof this.peers)[number];
      if (this.byLoad && load(index) !== least) continue;
      peer.current += peer.effective;
      total += peer.effective;
      if (peer.effective < peer.spec.weight) peer.effective++;
      if (best < 0 || peer.current > (this.peers[best]?.current ?? 0)) best = index;
    }
    const chosen = this.peers[best];
    if (chosen === undefined) return -1;
    chosen.current -= total;
    chosen.conns++;
    if (nowMs - chosen.checked >= chosen.spec.failTimeoutMs) chosen.checked = nowMs;
    return best;
  }

  end(index: number, failed: boolean, nowMs: number): void {
    const peer = this.peers[index] as (typeof this.peers)[number];
    peer.conns--;
    if (!failed) {
      if (peer.accessed < peer.checked) peer.fails = 0;
      return;
    }
    peer.fails++;
    peer.accessed = nowMs;
    peer.checked = nowMs;
    if (peer.spec.maxFails > 0) peer.effective = Math.max(0, peer.effective - Math.floor(peer.spec.weight / peer.spec.maxFails));
  }
}

for (const kind of ['round-robin', 'least-connections'] as const) {
  test(`${kind}: the lines of servers choose as going through all of them does, through failures, limits and retries`, () => {
    for (let seed = 1; seed <= 40; seed++) {
      const chance = seeded(seed);
      const below = (most: number) => Math.floor(chance() * most);
      const specs = names(2 + below(12)).map((name) =>
        at(name, {
          weight: [1, 1, 2, 4, 8][below(5)] ?? 1,
          maxFails: below(4),
          failTimeoutMs: 50 + below(100),
          maxConnections: below(3) === 0 ? 1 + below(4) : 0,
          down: below(10) === 0,
        }),
      );
      const balance = balanceOf(specs, { policy: { kind } });
      const plain = new PlainNginx(specs, kind === 'least-connections');
      const under: number[] = [];
      let nowMs = 0;
      for (let step = 0; step < 600; step++) {
        nowMs += below(12);
        const tried = new Set(Array.from({ length: below(4) === 0 ? 1 + below(2) : 0 }, () => below(specs.length)));
        const wanted = plain.pick(nowMs, tried);
        const triedServers = tried.size === 0 ? undefined : new Set([...tried].map((index) => balance.servers[index] as Server));
        const got = pickServer(balance, nobody, nowMs, triedServers);
        assert.equal(got === undefined ? -1 : balance.servers.indexOf(got), wanted, `seed ${seed}, step ${step}`);
        if (wanted >= 0) under.push(wanted);
        while (under.length > 0 && chance() < (under.length > 12 ? 0.9 : 0.45)) {
          const [index = 0] = under.splice(below(under.length), 1);
          const failed = chance() < 0.3;
          plain.end(index, failed, nowMs);
          const server = balance.servers[index] as Server;
          releaseServer(server);
          if (failed) noteFailure(server, nowMs);
          else noteAnswer(server, nowMs);
        }
      }
    }
  });
}

test('a server is out after maxFails failures within failTimeout, then gets one trial request', () => {
  const balance = balanceOf([at('a', { maxFails: 2, failTimeoutMs: 100 }), at('b')]);
  const a = serverNamed(balance, 'a');
  visit(balance);
  assert.equal(noteFailure(a, 0), false);
  assert.equal(visits(balance, 2, 50), 'ba');
  assert.equal(noteFailure(a, 60), true);
  assert.equal(visits(balance, 3, 70), 'bbb');
  assert.equal(countsOf(visits(balance, 6, 161)).a, 1);
  assert.equal(visits(balance, 3, 200), 'bbb');
  noteAnswer(a, 200);
  assert.equal(countsOf(visits(balance, 4, 201)).a, 2);
});

test('failures that are followed by an answer in the next window do not add up', () => {
  const balance = balanceOf([at('a', { maxFails: 2, failTimeoutMs: 100 }), at('b')]);
  const a = serverNamed(balance, 'a');
  noteFailure(a, 0);
  visits(balance, 2, 150);
  noteAnswer(a, 151);
  noteFailure(a, 160);
  assert.ok(isUsable(a, 161));
});

test('an answer to a request from before the failures does not bring a server back', () => {
  const balance = balanceOf([at('a'), at('b')]);
  const a = serverNamed(balance, 'a');
  noteFailure(a, 10);
  noteAnswer(a, 20);
  assert.equal(isUsable(a, 30), false);
});

test('a trial that fails keeps the server out for another failTimeout', () => {
  const balance = balanceOf([at('a', { failTimeoutMs: 100 }), at('b')]);
  const a = serverNamed(balance, 'a');
  noteFailure(a, 0);
  assert.match(visits(balance, 2, 101), /a/);
  noteFailure(a, 150);
  assert.equal(visits(balance, 3, 240), 'bbb');
  assert.match(visits(balance, 4, 250), /a/);
});

test('maxFails 0, failTimeout 0, being the only server or an instance of a service: failures take no server out', () => {
  const free = { maxFails: 0 };
  for (const [servers, service] of [
    [[at('a', free), at('b')], false],
    [[at('a', { failTimeoutMs: 0 }), at('b')], false],
    [[at('a')], false],
    [[at('a'), at('b')], true],
  ] as const) {
    const balance = balanceOf(servers, { service });
    const a = serverNamed(balance, 'a');
    for (let n = 0; n < 10; n++) noteFailure(a, n);
    assert.match(visits(balance, 2, 11), /a/);
  }
});

test('when every server is out requests are refused until the first may be tried', () => {
  const balance = balanceOf([at('a', { failTimeoutMs: 300 }), at('b', { failTimeoutMs: 200 })]);
  for (const server of balance.servers) noteFailure(server, 100);
  assert.equal(visit(balance, 101), 'none');
  assert.equal(nextChangeMs(balance, 101), 300);
  assert.equal(visits(balance, 2, 300), 'bnone');
  assert.equal(nextChangeMs(balance, 301), 400);
  assert.equal(nextChangeMs(balance, 400), 400);
});

test('backups serve only while no other server can, servers marked down never', () => {
  const balance = balanceOf([
    at('a', { down: true }),
    at('b', { maxConnections: 1 }),
    at('c', { backup: true }),
    at('d', { backup: true }),
  ]);
  assert.equal(visits(balance, 3), 'bbb');
  const b = pickServer(balance, nobody, 0);
  assert.equal(visits(balance, 3), 'cdc');
  assert.ok(b);
  releaseServer(b);
  assert.equal(visit(balance), 'b');
  assert.equal(serverCount(balance), 3);
});

test('no server gets more requests at once than maxConnections', () => {
  for (const policy of [
    turns,
    { kind: 'least-connections' },
    { kind: 'random', two: true },
    { kind: 'random', two: false },
    byKey,
  ] as const) {
    const balance = balanceOf([at('a', { maxConnections: 2 }), at('b', { maxConnections: 3 })], { policy }, seeded(3));
    const got = Array.from({ length: 7 }, () => nameOf(pickServer(balance, { ...nobody, key: 'same' }, 0)));
    assert.deepEqual(countsOf(got), { a: 2, b: 3, none: 2 }, policy.kind);
  }
});

test('servers that were tried are not offered again, and take turns again afterwards', () => {
  for (const policy of [turns, { kind: 'least-connections' }, { kind: 'client-address' }, byKey] as const) {
    const balance = balanceOf([at('a'), at('b'), at('c')], { policy });
    const tried = new Set<Server>();
    for (let n = 0; n < 3; n++) tried.add(pickServer(balance, { ...nobody, key: 'k' }, 0, tried) as Server);
    assert.equal(tried.size, 3);
    assert.equal(visit(balance, 0, { key: 'k' }, tried), 'none');
    for (const server of tried) releaseServer(server);
    assert.notEqual(visit(balance, 0, { key: 'k' }), 'none');
  }
});

test('least connections counts requests under way against weights', () => {
  const balance = balanceOf([at('a', { weight: 2 }), at('b')], { policy: { kind: 'least-connections' } });
  const under = Array.from({ length: 9 }, () => pickServer(balance, nobody, 0));
  assert.deepEqual(countsOf(under.map(nameOf)), { a: 6, b: 3 });
  for (const server of under.filter((one) => nameOf(one) === 'b')) if (server !== undefined) releaseServer(server);
  assert.equal(visits(balance, 3), 'bbb');
});

test('chance gives each server its weight, and of two the one with fewer requests under way', () => {
  const weights = [1, 2, 3, 4];
  const specs = names(4).map((name, index) => at(name, { weight: weights[index] ?? 1 }));
  const balance = balanceOf(specs, { policy: { kind: 'random', two: false } }, seeded(7));
  const counts = countsOf(Array.from({ length: 20_000 }, () => visit(balance)));
  for (const [index, name] of names(4).entries()) {
    assert.ok(Math.abs((counts[name] ?? 0) / 2000 - (weights[index] ?? 0)) < 0.15, `${name}: ${counts[name]}`);
  }
  const spread = (two: boolean) => {
    const even = balanceOf(
      names(50).map((name) => at(name)),
      { policy: { kind: 'random', two } },
      seeded(7),
    );
    for (let n = 0; n < 1000; n++) pickServer(even, nobody, 0);
    return Math.max(...even.servers.map(({ active }) => active));
  };
  assert.ok(spread(true) <= 24, `${spread(true)}`);
  assert.ok(spread(false) > 28, `${spread(false)}`);
});

test('without a key to hash the servers take turns', () => {
  const balance = balanceOf([at('a'), at('b')], { policy: byKey });
  assert.equal(visits(balance, 4), 'abab');
  assert.equal(visit(balance, 0, { key: '' }), 'a');
});

test('when a server leaves, consistent hashing moves its keys and no others; plain hashing moves most', () => {
  const specs = names(20).map((name) => at(name));
  const keys = Array.from({ length: 4000 }, (_, n) => `/item/${n}`);
  const moved = (consistent: boolean) => {
    const policy = { kind: 'hash', key: '$uri', consistent } as const;
    const full = balanceOf(specs, { policy });
    const before = keys.map((key) => visit(full, 0, { key }));
    const fewer = createBalance(entryOf(specs.toSpliced(7, 1), { policy }), 0, full);
    const after = keys.map((key) => visit(fewer, 0, { key }));
    return { before, after, share: before.filter((name, index) => name !== after[index]).length / keys.length };
  };
  const { before, after, share } = moved(true);
  assert.ok(share > 0.03 && share < 0.07, `${share}`);
  for (const [index, name] of before.entries()) assert.ok(name === '/s7' || name === after[index]);
  assert.ok(moved(false).share > 0.8);
});

test('a server that is out lends its keys and gets the same ones back', () => {
  for (const consistent of [true, false]) {
    const balance = balanceOf(
      names(10).map((name) => at(name)),
      { policy: { kind: 'hash', key: '$uri', consistent } },
    );
    const keys = Array.from({ length: 500 }, (_, n) => `/item/${n}`);
    const first = keys.map((key) => visit(balance, 0, { key }));
    markUnhealthy(serverNamed(balance, '/s3'), true, 0);
    const without = keys.map((key) => visit(balance, 0, { key }));
    for (const [index, name] of first.entries()) assert.equal(without[index] === name, name !== '/s3');
    markUnhealthy(serverNamed(balance, '/s3'), false, 0);
    assert.deepEqual(
      keys.map((key) => visit(balance, 0, { key })),
      first,
    );
  }
});

test('clients of one network go to one server, and an IPv4 client is the same however it is written', () => {
  const balance = balanceOf(
    names(9).map((name) => at(name)),
    { policy: { kind: 'client-address' } },
  );
  const of = (address: string) => visit(balance, 0, { address });
  assert.equal(of('192.0.2.1'), of('192.0.2.254'));
  assert.equal(of('::ffff:192.0.2.7'), of('192.0.2.1'));
  assert.equal(of('2001:db8::1'), of('2001:0db8:0:0:0:0:0:1'));
  assert.equal(of('::192.0.2.1'), of('::c000:201'));
  assert.equal(of('fe80::1%eth0'), of('fe80::1'));
  assert.equal(of('unix:'), of('0.0.0.0'));
  assert.ok(new Set(Array.from({ length: 200 }, (_, n) => of(`10.${n}.3.4`))).size === 9);
  assert.equal(nextAddressHash(beginAddressHash('10.20.30.40')), (((((89 * 113 + 10) % 6271) * 113 + 20) % 6271) * 113 + 30) % 6271);
});

test('the CRC of a key is that of zlib, for bytes and for UTF-8', () => {
  for (const key of ['', 'a', '/item?x=1', 'caf\u00e9']) assert.equal(keyCrc(key), crc32(Buffer.from(key, 'latin1')));
  assert.equal(keyCrc('\u4f60\u597d'), crc32('\u4f60\u597d'));
});

test('a sticky cookie brings a client back, also to a draining server, until that does not work', () => {
  const sticky = { cookie: 'route', path: '/', secure: false };
  const balance = balanceOf([at('a', { drain: true }), at('b'), at('c'), at('d', { backup: true })], { sticky });
  const of = (name: string) => ({ sticky: serverNamed(balance, name).cookieValue });
  assert.equal(visits(balance, 4), 'bcbc');
  for (let n = 0; n < 3; n++) assert.equal(visit(balance, 0, of('a')), 'a');
  for (let n = 0; n < 3; n++) assert.equal(visit(balance, 0, of('c')), 'c');
  assert.equal(visit(balance, 0, { sticky: 'unknown' }), 'b');
  assert.notEqual(visit(balance, 0, of('d')), 'd');
  markUnhealthy(serverNamed(balance, 'c'), true, 0);
  assert.equal(visit(balance, 0, of('c')), 'b');
  assert.equal(visit(balance, 0, of('a'), new Set([serverNamed(balance, 'a')])), 'b');
  markUnhealthy(serverNamed(balance, 'b'), true, 0);
  assert.equal(visit(balance, 0, of('d')), 'd');
});

test('unhealthy servers are not asked, not even when there are no others', () => {
  for (const specs of [[at('a')], [at('a'), at('b')]]) {
    const balance = balanceOf(specs);
    for (const server of balance.servers) markUnhealthy(server, true, 5);
    assert.equal(visit(balance, 6), 'none');
    assert.equal(nextChangeMs(balance, 6), Number.POSITIVE_INFINITY);
    markUnhealthy(serverNamed(balance, 'a'), false, 7);
    assert.equal(visit(balance, 8), 'a');
  }
});

test('the share of a server that comes back grows evenly over its slow start', () => {
  for (const policy of [turns, { kind: 'random', two: false }] as const) {
    const balance = balanceOf([at('a'), at('b')], { policy, slowStartMs: 10_000 }, seeded(11));
    const a = serverNamed(balance, 'a');
    markUnhealthy(a, true, 0);
    markUnhealthy(a, false, 1000);
    const shares = [0, 2500, 5000, 7500, 10_000].map((sinceMs) => {
      const counts = countsOf(Array.from({ length: 2000 }, () => visit(balance, 1000 + sinceMs)));
      return (counts.a ?? 0) / (counts.b ?? 1);
    });
    for (const [index, share] of shares.entries()) assert.ok(Math.abs(share - index / 4) < 0.09, `${policy.kind}: ${shares}`);
  }
});

test('least connections gives a server in its slow start its share of requests under way', () => {
  const balance = balanceOf([at('a'), at('b')], { policy: { kind: 'least-connections' }, slowStartMs: 1000 });
  const a = serverNamed(balance, 'a');
  markUnhealthy(a, true, 0);
  markUnhealthy(a, false, 0);
  const counts = countsOf(Array.from({ length: 30 }, () => nameOf(pickServer(balance, nobody, 499))));
  assert.deepEqual(counts, { a: 10, b: 20 });
});

test('a new server starts slowly, the first ones of a worker and those of hashes do not', () => {
  const slow = { slowStartMs: 1000 };
  const first = createBalance(entryOf([at('a'), at('b')], slow), 0);
  assert.equal(visits(first, 4), 'abab');
  const grown = createBalance(entryOf([at('a'), at('b'), at('c')], slow), 10, first);
  assert.equal(countsOf(visits(grown, 20, 10)).c ?? 0, 0);
  assert.equal(countsOf(visits(grown, 30, 1010)).c, 10);
  const hashed = createBalance(entryOf([at('a')], { ...slow, policy: byKey }), 0);
  const both = createBalance(entryOf([at('a'), at('b')], { ...slow, policy: byKey }), 10, hashed);
  assert.equal(visits(both, 4, 10), 'abab');
});

test('a new table keeps what is known of the servers that stay, and the objects that stand for them', () => {
  const before = balanceOf([at('a'), at('b'), at('c')], { policy: { kind: 'least-connections' } });
  const [a, b] = ['a', 'b'].map((name) => serverNamed(before, name)) as [Server, Server];
  const under = pickServer(before, nobody, 0);
  assert.equal(under, a);
  noteFailure(b, 5);
  const after = createBalance(entryOf([at('d'), at('b', { weight: 3 }), at('a', { weight: 2 })]), 6, before);
  assert.equal(serverNamed(after, 'a'), a);
  assert.equal(serverNamed(after, 'b'), b);
  assert.equal(a.active, 1);
  releaseServer(a);
  assert.equal(a.active, 0);
  assert.equal(isUsable(b, 7), false);
  assert.equal(countsOf(visits(after, 9, 8)).a, 6);
  assert.equal(nextChangeMs(after, 8), 8);
  noteFailure(serverNamed(before, 'c'), 9);
  releaseServer(serverNamed(before, 'c'));
});

test('what checks found counts for nothing once the upstream is not checked any more', () => {
  const check = { path: '/', everyMs: 1, timeoutMs: 1, passes: 1, failures: 1, statuses: [200, 399] as const };
  const checked = balanceOf([at('a'), at('b')], { check });
  markUnhealthy(serverNamed(checked, 'a'), true, 0);
  const still = createBalance(entryOf([at('a', { weight: 2 }), at('b')], { check }), 1, checked);
  assert.equal(visits(still, 2, 1), 'bb');
  assert.match(visits(createBalance(entryOf([at('a'), at('b')]), 2, still), 2, 2), /a/);
});

test('no server starves while servers come, go, fail and change their weights', () => {
  for (const kind of ['round-robin', 'least-connections'] as const) {
    const chance = seeded(5);
    const below = (most: number) => Math.floor(chance() * most);
    let specs = names(8).map((name) => at(name, { weight: 1 + below(5), maxFails: 0 }));
    let balance = balanceOf(specs, { policy: { kind } });
    for (let reload = 0; reload < 400; reload++) {
      specs = specs.toSpliced(below(specs.length), 1, at(`/n${reload}`, { weight: 1 + below(5), maxFails: 0 }));
      balance = createBalance(entryOf(specs, { policy: { kind } }), reload, balance);
      for (let n = 0; n < 3; n++) visit(balance, reload);
    }
    const total = specs.reduce((sum, { weight }) => sum + weight, 0);
    const counts = countsOf(Array.from({ length: 6 * total }, () => visit(balance, 1000)));
    assert.equal(Object.keys(counts).length, specs.length, kind);
    for (const { name, weight } of balance.servers) {
      assert.ok(Math.abs((counts[name.replace('unix:', '')] ?? 0) - 6 * weight) <= (2 * total) / specs.length + weight, `${kind} ${name}`);
    }
  }
});
