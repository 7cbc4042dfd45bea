/**
 * Which server of an upstream gets the next request. No clock and no I/O: times come in as milliseconds of a monotonic
 * clock, chance as a function. The state is changed in place, because it changes with every request; a pick allocates nothing.
 *
 *   in ──maxFails failures within failTimeout──► out ──failTimeout passed──► one trial request ──answer──► in, slowly
 *                                                 ▲                                 └──failure──┐
 *                                                 └───────────────────────────────────────────┘
 *
 * As in nginx (ngx_http_upstream_module, "server"): a server with maxFails 0 or failTimeout 0 is never out for failures, nor is
 * the only server of an upstream; when all are out, requests are refused until one has its trial. A server that active checks
 * call unhealthy is not picked either, be it the only one. Backups serve while no other server can.
 *
 * Hash and random policies look at 21 candidates at most, then the servers take turns; so it is in nginx.
 */
import { addressName } from '../../config/address.ts';
import type { BalanceSpec, ServerSpec } from '../../config/model.ts';
import { beginAddressHash, createRing, firstAtLeast, keyCrc, nextAddressHash, type Ring, roundHash } from './server-hash.ts';
import { stickyValue } from './sticky.ts';
import { createTurns, join, leave, type Runner, shareOf, type Turns, takeTurn } from './turns.ts';

/** An upstream as the table has it. */
export interface UpstreamEntry extends BalanceSpec {
  readonly servers: readonly ServerSpec[];
  /** The servers are instances of a service: the supervisor says which are ready, and failures never take one out. */
  readonly service: boolean;
}

/** What is known of a server. It stays the same object while its address is in the upstream, whatever else changes. */
export interface Server extends Runner {
  spec: ServerSpec;
  /** `unix:/path` or `host:port`. */
  readonly name: string;
  /** What a sticky cookie says for it. */
  readonly cookieValue: string;
  /** Since the worker started: requests it was given, and those it did not answer. */
  requests: number;
  failures: number;
  /** Active checks say that it does not work. */
  unhealthy: boolean;
  /** The following belong to this file. */
  fails: number;
  failedMs: number;
  /** The last failure, or the begin of a trial. */
  checkedMs: number;
  /** 0 while it is in. */
  outUntilMs: number;
  /** Left out of the pick under way. */
  aside: boolean;
  /** It takes turns. */
  playing: boolean;
  /** Undefined once it has left the upstream. */
  tier: Tier | undefined;
}

/** The servers, or the backups, of an upstream. */
interface Tier {
  readonly servers: readonly Server[];
  readonly turns: Turns<Server>;
  /** Weights of the servers up to each. */
  readonly ends: Uint32Array;
  readonly weight: number;
  /** It holds the only server there is. */
  readonly single: boolean;
  readonly service: boolean;
  readonly slowStartMs: number;
  playing: number;
  readonly out: Server[];
  /** When the next of `out` may be tried. */
  wakeMs: number;
}

export interface Balance {
  readonly entry: UpstreamEntry;
  /** In the order of the configuration. */
  readonly servers: readonly Server[];
  readonly primary: Tier;
  readonly backup: Tier;
  readonly ring: Ring | undefined;
  readonly byCookie: ReadonlyMap<string, Server>;
  /** From 0 up to 1. */
  readonly random: () => number;
}

/** What the choice may depend on. The caller can keep one object and change it. */
export interface PickRequest {
  /** For `hash`: its key, filled in. Without one the servers take turns. */
  key: string | undefined;
  /** The client's, for `client-address`. */
  address: string;
  /** Value of the sticky cookie. */
  sticky: string | undefined;
}

/**
 * The state for `entry`. What `previous`, which must not be used any more, knew of a server that is still there by its address
 * is kept, and the server is the same object. With a `previous`, servers that are new start slowly if the entry says so.
 */
export function createBalance(entry: UpstreamEntry, nowMs: number, previous?: Balance, random: () => number = Math.random): Balance {
  const known = takeApart(previous);
  const servers = entry.servers.map((spec) => {
    const found = known.get(addressName(spec.address))?.shift();
    return found === undefined ? createServer(spec) : renewed(found, spec, entry);
  });
  const kept = new Set(previous?.servers);
  const single = servers.length === 1;
  const primary = createTier(servers, entry, false, single);
  const backup = createTier(servers, entry, true, single);
  const consistent = entry.policy.kind === 'hash' && entry.policy.consistent;
  for (const server of servers) {
    const appears = previous !== undefined && !kept.has(server);
    enter(server, server.spec.backup ? backup : primary, appears, nowMs);
  }
  return {
    entry,
    servers,
    primary,
    backup,
    ring: consistent
      ? createRing(
          primary.servers.map(({ spec }) => spec),
          previous?.ring,
        )
      : undefined,
    byCookie: new Map(entry.sticky === undefined ? [] : servers.map((server) => [server.cookieValue, server])),
    random,
  };
}

/** The servers of a balance that ends, by name, in no tier any more. */
function takeApart(previous: Balance | undefined): Map<string, Server[]> {
  const known = new Map<string, Server[]>();
  for (const server of previous?.servers ?? []) {
    if (server.playing && server.tier !== undefined) leave(server.tier.turns, server);
    server.playing = false;
    server.tier = undefined;
    const same = known.get(server.name);
    if (same === undefined) known.set(server.name, [server]);
    else same.push(server);
  }
  return known;
}

const createServer = (spec: ServerSpec): Server => ({
  spec,
  name: addressName(spec.address),
  cookieValue: stickyValue(spec.address),
  order: 0,
  weight: spec.weight,
  effective: spec.weight,
  current: 0,
  active: 0,
  slowSinceMs: -1,
  line: undefined,
  seat: 0,
  requests: 0,
  failures: 0,
  unhealthy: false,
  fails: 0,
  failedMs: Number.NEGATIVE_INFINITY,
  checkedMs: Number.NEGATIVE_INFINITY,
  outUntilMs: 0,
  aside: false,
  playing: false,
  tier: undefined,
});

function renewed(server: Server, spec: ServerSpec, entry: UpstreamEntry): Server {
  if (server.effective === server.weight || spec.weight < server.effective) server.effective = spec.weight;
  server.spec = spec;
  server.weight = spec.weight;
  if (entry.check === undefined) server.unhealthy = false;
  return server;
}

/** Hashes tell where a key belongs; a share of it would be no share. */
const startsSlowly = ({ policy, slowStartMs }: BalanceSpec): boolean =>
  slowStartMs > 0 && policy.kind !== 'hash' && policy.kind !== 'client-address';

function createTier(all: readonly Server[], entry: UpstreamEntry, backup: boolean, single: boolean): Tier {
  const servers = all.filter(({ spec }) => spec.backup === backup);
  const slowStartMs = startsSlowly(entry) ? entry.slowStartMs : 0;
  const ends = new Uint32Array(servers.length);
  let weight = 0;
  for (const [order, server] of servers.entries()) {
    server.order = order;
    weight += server.weight;
    ends[order] = weight;
  }
  centre(servers);
  const turns = createTurns<Server>(entry.policy.kind === 'least-connections', slowStartMs);
  return {
    servers,
    turns,
    ends,
    weight,
    single,
    service: entry.service,
    slowStartMs,
    playing: 0,
    out: [],
    wakeMs: Number.POSITIVE_INFINITY,
  };
}

/** Those who left took their part of the sum, which is otherwise always 0: a new server, at 0, must not wait for the rest. */
function centre(servers: readonly Server[]): void {
  const sum = servers.reduce((all, { current }) => all + current, 0);
  const mean = Math.round(sum / Math.max(1, servers.length));
  if (mean !== 0) for (const server of servers) server.current -= mean;
}

function enter(server: Server, tier: Tier, appears: boolean, nowMs: number): void {
  server.tier = tier;
  if (!countsFailures(server)) {
    server.fails = 0;
    server.outUntilMs = 0;
    server.effective = server.weight;
  }
  if (tier.slowStartMs === 0) server.slowSinceMs = -1;
  else if (appears) server.slowSinceMs = nowMs;
  if (server.outUntilMs > 0) waitOutside(tier, server);
  settle(server);
}

const isFull = ({ spec, active }: Server): boolean => spec.maxConnections > 0 && active >= spec.maxConnections;

/** It may be given a request, at least of a client that comes back to it. */
const works = (server: Server): boolean =>
  !server.spec.down && !server.unhealthy && !server.aside && server.outUntilMs === 0 && !isFull(server);

/** Brings a server in or out of the turns after something about it has changed. */
function settle(server: Server): void {
  const { tier } = server;
  const plays = works(server) && !server.spec.drain;
  if (tier === undefined || plays === server.playing) return;
  server.playing = plays;
  if (plays) join(tier.turns, server);
  else leave(tier.turns, server);
  tier.playing += plays ? 1 : -1;
}

/** Takes out a server for a while. Its last failure, or its trial, began at `nowMs`. */
function putOut(server: Server, tier: Tier, nowMs: number): void {
  const waits = server.outUntilMs > 0;
  server.outUntilMs = nowMs + server.spec.failTimeoutMs;
  if (!waits) waitOutside(tier, server);
  settle(server);
}

function waitOutside(tier: Tier, server: Server): void {
  tier.out.push(server);
  tier.wakeMs = Math.min(tier.wakeMs, server.outUntilMs);
}

/** Brings in those whose time out is over, or who have answered since: the next request of each is its trial. */
function wake(tier: Tier, nowMs: number): void {
  tier.wakeMs = Number.POSITIVE_INFINITY;
  for (const server of tier.out.splice(0)) {
    if (server.outUntilMs > nowMs) {
      waitOutside(tier, server);
      continue;
    }
    server.outUntilMs = 0;
    settle(server);
  }
}

function wakeBoth({ primary, backup }: Balance, nowMs: number): void {
  if (nowMs >= primary.wakeMs) wake(primary, nowMs);
  if (nowMs >= backup.wakeMs) wake(backup, nowMs);
}

/**
 * The server for the next request, or undefined when none can be asked: servers in `tried` are not offered again. The request
 * counts as under way until `releaseServer`. A sticky cookie wins over the policy.
 */
export function pickServer(balance: Balance, request: PickRequest, nowMs: number, tried?: ReadonlySet<Server>): Server | undefined {
  wakeBoth(balance, nowMs);
  if (tried !== undefined) for (const server of tried) putAside(server, true);
  const server = returning(balance, request.sticky) ?? choose(balance, request, nowMs);
  if (tried !== undefined) for (const other of tried) putAside(other, false);
  if (server !== undefined) begin(server, nowMs);
  return server;
}

function putAside(server: Server, aside: boolean): void {
  server.aside = aside;
  settle(server);
}

/** The server a cookie names, if it works; a backup only while it is needed, or else nobody would leave it again. */
function returning({ byCookie, primary }: Balance, cookie: string | undefined): Server | undefined {
  if (cookie === undefined) return undefined;
  const server = byCookie.get(cookie);
  if (server === undefined || !works(server)) return undefined;
  return server.spec.backup && primary.playing > 0 ? undefined : server;
}

function choose(balance: Balance, request: PickRequest, nowMs: number): Server | undefined {
  const { primary, backup } = balance;
  if (primary.playing > 0) return byPolicy(balance, request, nowMs) ?? takeTurn(primary.turns, nowMs);
  return backup.playing > 0 ? takeTurn(backup.turns, nowMs) : undefined;
}

/** Undefined: the servers take turns. */
function byPolicy(balance: Balance, request: PickRequest, nowMs: number): Server | undefined {
  const { primary, entry, ring } = balance;
  const { policy } = entry;
  if (primary.single) return primary.servers[0];
  if (policy.kind === 'random') return policy.two ? lighterOfTwo(balance, nowMs) : anyone(balance, nowMs, undefined);
  if (policy.kind === 'client-address') return byAddress(primary, request.address);
  if (policy.kind !== 'hash' || request.key === undefined || request.key === '') return undefined;
  return ring === undefined ? byKey(primary, request.key) : onRing(primary, ring, request.key);
}

/** How many are looked at before the servers take turns instead. */
const candidates = 21;

/** The server of the `place`-th unit of weight, from 0. */
const serverAtWeight = ({ servers, ends }: Tier, place: number): Server => servers[firstAtLeast(ends, place + 1)] as Server;

function byKey(tier: Tier, key: string): Server | undefined {
  let hash = 0;
  for (let round = 0; round < candidates; round++) {
    hash += roundHash(key, round);
    const server = serverAtWeight(tier, hash % tier.weight);
    if (server.playing) return server;
  }
  return undefined;
}

function onRing(tier: Tier, { points, owners }: Ring, key: string): Server | undefined {
  const first = firstAtLeast(points, keyCrc(key));
  for (let step = 0; step < candidates; step++) {
    const server = tier.servers[owners[(first + step) % points.length] as number];
    if (server?.playing === true) return server;
  }
  return undefined;
}

function byAddress(tier: Tier, address: string): Server | undefined {
  let hash = beginAddressHash(address);
  for (let round = 0; round < candidates; round++) {
    hash = nextAddressHash(hash);
    const server = serverAtWeight(tier, hash % tier.weight);
    if (server.playing) return server;
  }
  return undefined;
}

/** A server by chance and weight. One in its slow start is passed over as often as its share is small. */
function anyone({ primary, random }: Balance, nowMs: number, but: Server | undefined): Server | undefined {
  for (let round = 0; round < candidates; round++) {
    const server = serverAtWeight(primary, Math.floor(random() * primary.weight));
    if (!server.playing || server === but) continue;
    const share = shareOf(server, primary.slowStartMs, nowMs);
    if (share === 1 || random() < share) return server;
  }
  return undefined;
}

function lighterOfTwo(balance: Balance, nowMs: number): Server | undefined {
  const one = anyone(balance, nowMs, undefined);
  const other = one === undefined ? undefined : anyone(balance, nowMs, one);
  if (one === undefined || other === undefined) return one;
  return other.active * one.weight > one.active * other.weight ? one : other;
}

/** Counts a request as under way, and takes the server out for the time of its trial. */
function begin(server: Server, nowMs: number): void {
  const { tier } = server;
  server.requests++;
  changeActive(server, 1);
  if (tier === undefined || nowMs - server.checkedMs < server.spec.failTimeoutMs) return;
  server.checkedMs = nowMs;
  if (hasFailed(server)) putOut(server, tier, nowMs);
}

function changeActive(server: Server, by: 1 | -1): void {
  const { tier } = server;
  if (tier === undefined || !server.playing || !tier.turns.byLoad) {
    server.active += by;
  } else {
    leave(tier.turns, server);
    server.active += by;
    join(tier.turns, server);
  }
  if (server.spec.maxConnections > 0) settle(server);
}

/** Ends what `pickServer` began: once for each server it gave, when its answer has ended, broken off or failed. */
export function releaseServer(server: Server): void {
  changeActive(server, -1);
}

const countsFailures = ({ spec, tier }: Server): boolean =>
  spec.maxFails > 0 && spec.failTimeoutMs > 0 && tier !== undefined && !tier.single && !tier.service;

const hasFailed = (server: Server): boolean => server.fails > 0 && countsFailures(server) && server.fails >= server.spec.maxFails;

/** Notes that `server` did not answer a request it was given. True when that took it out. */
export function noteFailure(server: Server, nowMs: number): boolean {
  const { tier, spec } = server;
  server.failures++;
  if (tier === undefined || !countsFailures(server)) return false;
  server.fails++;
  server.failedMs = nowMs;
  server.checkedMs = nowMs;
  lower(server, tier, Math.floor(spec.weight / spec.maxFails));
  if (!hasFailed(server)) return false;
  putOut(server, tier, nowMs);
  return true;
}

function lower(server: Server, tier: Tier, by: number): void {
  if (by === 0) return;
  if (server.playing) leave(tier.turns, server);
  server.effective = Math.max(0, server.effective - by);
  if (server.playing) join(tier.turns, server);
}

/**
 * Notes that `server` answered. Its failures are forgotten if the last is older than the request that ends its window of
 * failTimeout, which for a server that is out is its trial.
 */
export function noteAnswer(server: Server, nowMs: number): void {
  if (server.fails === 0 || server.failedMs >= server.checkedMs) return;
  const wasOut = hasFailed(server);
  server.fails = 0;
  if (wasOut) comeBack(server, nowMs);
}

function comeBack(server: Server, nowMs: number): void {
  const { tier } = server;
  if (tier === undefined) return;
  startSlowly(server, tier, nowMs);
  if (server.outUntilMs > 0) {
    server.outUntilMs = nowMs;
    wake(tier, nowMs);
  }
  settle(server);
}

function startSlowly(server: Server, tier: Tier, nowMs: number): void {
  if (tier.slowStartMs === 0) return;
  if (server.playing) leave(tier.turns, server);
  server.slowSinceMs = nowMs;
  if (server.playing) join(tier.turns, server);
}

/** What active checks found. An unhealthy server gets no requests, not even when no other can; one that recovers starts slowly. */
export function markUnhealthy(server: Server, unhealthy: boolean, nowMs: number): void {
  if (server.unhealthy === unhealthy) return;
  server.unhealthy = unhealthy;
  if (!unhealthy && server.tier !== undefined) startSlowly(server, server.tier, nowMs);
  settle(server);
}

/** Whether `server` can be picked for a client that has no cookie of it. */
export function isUsable(server: Server, nowMs: number): boolean {
  const { tier } = server;
  if (tier === undefined) return false;
  if (nowMs >= tier.wakeMs) wake(tier, nowMs);
  return server.playing;
}

/**
 * When a request that found no server may find one: `nowMs` if there is one, else the end of the first time out. Infinity when
 * time alone brings none, but a check, a new table or the end of a request under way.
 */
export function nextChangeMs(balance: Balance, nowMs: number): number {
  wakeBoth(balance, nowMs);
  if (balance.primary.playing + balance.backup.playing > 0) return nowMs;
  return Math.min(nextOf(balance.primary), nextOf(balance.backup));
}

/** Servers that are out for failures and for something else too come in by no time. */
function nextOf({ out }: Tier): number {
  let next = Number.POSITIVE_INFINITY;
  for (const { outUntilMs, unhealthy, spec } of out) {
    if (!unhealthy && !spec.down && !spec.drain) next = Math.min(next, outUntilMs);
  }
  return next;
}

/** How many servers a request could be given at most: all that are not marked down. */
export const serverCount = ({ servers }: Balance): number => servers.reduce((count, { spec }) => count + (spec.down ? 0 : 1), 0);
