/** The servers behind the routes: their health and the connections kept open to them, across changes of the table. */

import net, { isIP, type Socket } from 'node:net';
import tls, { type SecureContext } from 'node:tls';
import { addressName, bracketed } from '../../config/address.ts';
import type { Address } from '../../config/model.ts';
import type { Deadlines } from '../connection/deadlines.ts';
import { type Keeper, UpstreamConnection, type UpstreamFault } from '../connection/http1/upstream-connection.ts';
import { compileTemplate, plainScope, type Scope, type Template } from '../rules/variables.ts';
import type { RouteEntry, RouteTable, StepEntry, TargetEntry } from '../table.ts';
import { type Balance, createBalance, type Server, type UpstreamEntry } from './balance.ts';
import { Connecting } from './connecting.ts';
import type { CheckedUpstream } from './health-checks.ts';
import { type Held, Holding } from './holding.ts';
import { ReadSlot } from './read-slot.ts';
import { createRetryBudget, type RetryBudget } from './retry.ts';

/** What makes one way to a server differ from another. */
export interface LinkKind {
  readonly scheme: 'http' | 'https';
  /** Undefined: an upstream's certificate is not checked, since inner certificates are mostly self-signed (as nginx). */
  readonly verify: { readonly ca: string | undefined; readonly name: string | undefined } | undefined;
}

/** Where requests go. */
export interface Destination {
  /** In the table. */
  readonly name: string;
  /** What $proxy_host stands for. */
  readonly proxyHost: string;
  readonly entry: UpstreamEntry;
  /** What `hash` goes by, with the variables of the table. */
  readonly hashKey: Template | undefined;
  /** Of all requests to it. */
  readonly budget: RetryBudget;
  /** Set-Cookie of a canary. */
  readonly cookie: string | undefined;
  /** Of a target that came out as a URL: they win over those of the route. An empty path leaves the route's. */
  readonly scheme?: 'http' | 'https';
  readonly path?: string;
}

/** Who waits for a connection. One of the two is called, later or at once; neither once `cancel` has been called. */
export interface Waiter {
  onConnected(connection: UpstreamConnection, tookMs: number): void;
  onUnreachable(fault: UpstreamFault, why: string): void;
}

/** The Host header that names the address itself. */
export function authorityOf(address: Address, scheme: 'http' | 'https'): string {
  if (address.kind === 'unix') return 'localhost';
  const usual = scheme === 'https' ? 443 : 80;
  return address.port === usual ? bracketed(address.host) : `${bracketed(address.host)}:${address.port}`;
}

/** The way to one server: connections that wait for the next request, and how new ones are made. */
export class Link implements Keeper {
  readonly label: string;
  readonly authority: string;
  readonly #address: Address;
  readonly #kind: LinkKind;
  readonly #deadlines: Deadlines;
  readonly #context: SecureContext | undefined;
  readonly #idle: UpstreamConnection[] = [];
  readonly #all = new Set<UpstreamConnection>();
  /** Connections being made for a request. */
  #begun = 0;
  #onEmpty: (() => void) | undefined;
  #session: Buffer | undefined;
  #keepIdle: number;
  #keepIdleMs: number;

  constructor(address: Address, kind: LinkKind, { keepIdle, keepIdleMs }: UpstreamEntry, deadlines: Deadlines) {
    this.label = addressName(address);
    this.authority = authorityOf(address, kind.scheme);
    this.#address = address;
    this.#kind = kind;
    this.#deadlines = deadlines;
    this.#keepIdle = keepIdle;
    this.#keepIdleMs = keepIdleMs;
    this.#context =
      kind.scheme === 'https' ? tls.createSecureContext(kind.verify?.ca === undefined ? {} : { ca: kind.verify.ca }) : undefined;
  }

  /** A connection that waits for a request, or undefined. */
  take(): UpstreamConnection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (!connection.gone) return connection;
    }
    return undefined;
  }

  /** Opens a new connection for `waiter`; one that is `detachable` can change its protocol. Gives back how to change one's mind. */
  connect(connectTimeoutMs: number, detachable: boolean, waiter: Waiter): () => void {
    const ready = this.#context === undefined ? 'connect' : 'secureConnect';
    let slot: ReadSlot | undefined;
    const open = (): Socket => {
      slot = detachable || this.#context !== undefined ? undefined : new ReadSlot();
      return this.#open(slot);
    };
    this.#begun++;
    const connecting = new Connecting(open, ready, connectTimeoutMs, this.#deadlines, {
      onSocket: (socket, tookMs) => {
        const connection = new UpstreamConnection(socket, this.#deadlines, this, slot);
        this.#all.add(connection);
        this.#begun--;
        waiter.onConnected(connection, tookMs);
      },
      onUnreachable: (fault, why) => {
        this.#begun--;
        this.#noteEnd();
        waiter.onUnreachable(fault, why);
      },
    });
    return () => {
      if (!connecting.cancel()) return;
      this.#begun--;
      this.#noteEnd();
    };
  }

  #noteEnd(): void {
    if (this.isFree) this.#onEmpty?.();
  }

  /** No request is under way on it. */
  get isFree(): boolean {
    return this.#all.size === 0 && this.#begun === 0;
  }

  #open(slot: ReadSlot | undefined): Socket {
    const address = this.#address;
    const where = address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port };
    if (this.#context === undefined) return net.connect({ ...where, noDelay: true, ...(slot && { onread: slot.options }) });
    const { verify } = this.#kind;
    const name = verify?.name ?? (address.kind === 'tcp' && isIP(address.host) === 0 ? address.host : undefined);
    const socket = tls.connect({
      ...where,
      secureContext: this.#context,
      rejectUnauthorized: verify !== undefined,
      ALPNProtocols: ['http/1.1'],
      ...(name !== undefined && { servername: name }),
      ...(this.#session !== undefined && { session: this.#session }),
    });
    socket.setNoDelay(true);
    socket.on('session', (session) => {
      this.#session = session;
    });
    return socket;
  }

  onIdle(connection: UpstreamConnection): void {
    const keepMs = Math.min(this.#keepIdleMs, connection.keepIdleMs ?? Number.POSITIVE_INFINITY);
    if (this.#idle.length >= this.#keepIdle || keepMs <= 0) return connection.destroy();
    connection.deadlineMs = performance.now() + keepMs;
    this.#idle.push(connection);
  }

  onGone(connection: UpstreamConnection): void {
    this.#all.delete(connection);
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#noteEnd();
  }

  /** Follows a changed table. */
  keep({ keepIdle, keepIdleMs }: UpstreamEntry): void {
    this.#keepIdle = keepIdle;
    this.#keepIdleMs = keepIdleMs;
  }

  /** Closes what waits for requests; what is busy finishes and is not kept, and then `onEmpty` is called. */
  close(onEmpty?: () => void): void {
    this.#keepIdle = 0;
    for (const connection of [...this.#idle]) connection.destroy();
    this.#onEmpty = onEmpty;
  }
}

/** Upstreams worked out from variables that are kept at once. */
const maxMade = 256;

export interface UpstreamCounts {
  readonly requests: number;
  readonly failures: number;
  readonly active: number;
}

export class Upstreams {
  readonly #deadlines: Deadlines;
  #destinations = new Map<string, Destination>();
  #scope: Scope = plainScope;
  #balances = new Map<string, Balance>();
  #files: Readonly<Record<string, string>> = {};
  /** How requests go to an upstream, for its checks. */
  #schemes = new Map<string, 'http' | 'https'>();
  /** Upstreams that no table names: made from variables of requests. The oldest leave first. */
  readonly #made = new Map<string, Destination>();
  readonly #budgets = new Map<string, RetryBudget>();
  readonly #links = new Map<Server, Map<string, Link>>();
  readonly #holding: Holding;
  /** Of servers that no table names any more: requests are under way on them. */
  readonly #leaving = new Set<Link>();
  readonly #onLeft: () => void;

  /** `onLeft` is called when the last request to a server that is gone from the table has ended. */
  constructor(deadlines: Deadlines, onLeft: () => void = () => {}) {
    this.#deadlines = deadlines;
    this.#onLeft = onLeft;
    this.#holding = new Holding(deadlines);
  }

  /** Takes the upstreams of a new table: servers that stay keep their health and connections, others finish what they have. */
  apply(table: RouteTable, scope: Scope): void {
    const previous = this.#balances;
    const nowMs = performance.now();
    this.#files = table.files;
    this.#schemes = schemesOf(table);
    this.#destinations = new Map();
    this.#scope = scope;
    for (const name of this.#budgets.keys()) {
      if (!Object.hasOwn(table.upstreams, name) && !this.#made.has(name)) this.#budgets.delete(name);
    }
    this.#balances = new Map(
      Object.entries(table.upstreams).map(([name, entry]) => [name, createBalance(entry, nowMs, previous.get(name))]),
    );
    for (const name of this.#made.keys()) {
      const balance = previous.get(name);
      if (balance !== undefined) this.#balances.set(name, balance);
    }
    this.#dropLinks();
    this.#holding.wakeAll();
  }

  /** Where a route's target leads; undefined when the table has no such upstream. */
  destination({ name, proxyHost }: Extract<TargetEntry, { kind: 'upstream' }>): Destination | undefined {
    const found = this.#destinations.get(name);
    if (found !== undefined) return found;
    const entry = this.#balances.get(name)?.entry;
    if (entry === undefined) return undefined;
    const made: Destination = { name, proxyHost, entry, hashKey: this.#hashKey(entry), budget: this.#budget(name), cookie: undefined };
    this.#destinations.set(name, made);
    return made;
  }

  /** An upstream for `entry`, which a request has worked out; the same one as long as it is asked for. */
  made(name: string, proxyHost: string, entry: UpstreamEntry): Destination {
    const key = `made:${name}`;
    const found = this.#made.get(key);
    if (found !== undefined) return found;
    const [oldest] = this.#made.keys();
    if (this.#made.size >= maxMade && oldest !== undefined) {
      this.#made.delete(oldest);
      this.#balances.delete(oldest);
      this.#budgets.delete(oldest);
      this.#dropLinks();
    }
    const destination: Destination = {
      name: key,
      proxyHost,
      entry,
      hashKey: this.#hashKey(entry),
      budget: this.#budget(key),
      cookie: undefined,
    };
    this.#made.set(key, destination);
    this.#balances.set(key, createBalance(entry, performance.now()));
    return destination;
  }

  #hashKey({ policy }: UpstreamEntry): Template | undefined {
    return policy.kind === 'hash' ? compileTemplate(policy.key, this.#scope) : undefined;
  }

  #budget(name: string): RetryBudget {
    const known = this.#budgets.get(name) ?? createRetryBudget();
    this.#budgets.set(name, known);
    return known;
  }

  /** Contents of a file that the table brought. */
  file(path: string | undefined): string | undefined {
    return path === undefined ? undefined : this.#files[path];
  }

  #dropLinks(): void {
    const kept = new Set([...this.#balances.values()].flatMap(({ servers }) => servers));
    for (const [server, links] of this.#links) {
      if (kept.has(server)) continue;
      this.#links.delete(server);
      for (const link of links.values()) this.#seeOff(link);
    }
  }

  #seeOff(link: Link): void {
    const onEmpty = (): void => {
      this.#leaving.delete(link);
      this.#onLeft();
    };
    link.close(onEmpty);
    if (!link.isFree) this.#leaving.add(link);
  }

  /** Addresses of servers that are gone from the table and still answer requests. */
  leaving(): string[] {
    return [...new Set([...this.#leaving].map(({ label }) => label))];
  }

  balance(name: string): Balance | undefined {
    return this.#balances.get(name);
  }

  get balances(): ReadonlyMap<string, Balance> {
    return this.#balances;
  }

  /** The way to `server`, made at the first request. */
  link(server: Server, entry: UpstreamEntry, kind: LinkKind): Link {
    let links = this.#links.get(server);
    if (links === undefined) {
      links = new Map();
      this.#links.set(server, links);
    }
    const name =
      kind.scheme === 'http' ? 'http' : `https ${kind.verify?.name ?? ''} ${kind.verify === undefined ? '' : (kind.verify.ca ?? 'system')}`;
    const found = links.get(name);
    if (found !== undefined) return found;
    const link = new Link(server.spec.address, kind, entry, this.#deadlines);
    links.set(name, link);
    return link;
  }

  /** Those that are to be looked at whatever requests find. */
  checked(): CheckedUpstream[] {
    return [...this.#balances].flatMap(([name, balance]) => {
      const { check } = balance.entry;
      return check === undefined ? [] : [{ name, balance, check, scheme: this.#schemes.get(name) ?? 'http' }];
    });
  }

  /** Requests that wait for a server. */
  get held(): number {
    return this.#holding.size;
  }

  /** `held` waits for a server of the upstream `name`. */
  hold(name: string, held: Held): void {
    this.#holding.enter(name, held);
  }

  /** `held` waits no more. */
  letGo(name: string, held: Held): void {
    this.#holding.leave(name, held);
  }

  /** A server of the upstream `name` is there, or has room again: up to `count` of those who wait look. */
  wake(name: string, count: number): void {
    this.#holding.wake(name, count);
  }

  /** Requests and failures for each server since the worker started, by upstream and address. */
  counts(): Record<string, Record<string, UpstreamCounts>> {
    return Object.fromEntries(
      [...this.#balances].map(([name, { servers }]) => [
        name,
        Object.fromEntries(
          servers.map(({ spec, requests, failures, active }) => [addressName(spec.address), { requests, failures, active }]),
        ),
      ]),
    );
  }

  /** Closes the connections that are kept open; requests under way finish. */
  close(): void {
    for (const links of this.#links.values()) for (const link of links.values()) link.close();
    this.#links.clear();
  }
}

/** The protocol that the routes to each upstream speak; the first that names it decides. */
function schemesOf(table: RouteTable): Map<string, 'http' | 'https'> {
  const schemes = new Map<string, 'http' | 'https'>();
  const look = (route: RouteEntry): void => {
    const { action, routes, steps } = route;
    if (action.kind === 'proxy') {
      for (const target of [action.target, action.canary?.target])
        if (target?.kind === 'upstream' && !schemes.has(target.name)) schemes.set(target.name, action.scheme);
    }
    routes.forEach(look);
    lookIn(steps);
  };
  const lookIn = (steps: readonly StepEntry[]): void => {
    for (const step of steps) {
      if (step.kind !== 'if') continue;
      lookIn(step.steps);
      if (step.route !== undefined) look(step.route);
    }
  };
  for (const { routes, rest, steps } of table.sites) {
    lookIn(steps);
    [...routes, rest].forEach(look);
  }
  return schemes;
}
