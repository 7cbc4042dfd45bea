/** Servers under a name: who answers what a route hands on, and by which rule. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { parseAddress } from './address.ts';
import {
  type BalancePolicy,
  type BalanceSpec,
  type CheckSpec,
  plainBalance,
  plainServer,
  type ServerSpec,
  type StickySpec,
  type UpstreamSpec,
} from './model.ts';
import { didYouMean } from './near.ts';
import { pointerStep } from './problem.ts';
import { isHeaderName } from './resolve-headers.ts';
import type { Scope } from './scope.ts';
import type { ServerSource, UpstreamSource } from './sections/upstream.ts';
import { durationOr } from './units.ts';

function serverOf(scope: Scope, pointer: string, given: string | ServerSource): ServerSpec[] {
  const source: ServerSource = typeof given === 'string' ? { to: given } : given;
  const address = parseAddress(source.to);
  if (address === undefined) {
    scope.tell(pointer, 'config/address', `"${source.to}" is no address of a server`, 'Write host:port or unix:/path/to.sock.');
    return [];
  }
  const placed = address.kind === 'unix' && !isAbsolute(address.path) ? { ...address, path: resolve(scope.folder, address.path) } : address;
  return [
    {
      address: placed,
      weight: source.weight ?? plainServer.weight,
      maxConnections: source.maxConnections ?? plainServer.maxConnections,
      maxFails: source.maxFails ?? plainServer.maxFails,
      failTimeoutMs: durationOr(source.failTimeout, plainServer.failTimeoutMs),
      backup: source.backup ?? plainServer.backup,
      down: source.down ?? plainServer.down,
      drain: source.drain ?? plainServer.drain,
    },
  ];
}

function policyOf(scope: Scope, pointer: string, balance: UpstreamSource['balance']): BalancePolicy {
  if (typeof balance === 'object')
    return { kind: 'hash', key: scope.text(`${pointer}/hash`, balance.hash), consistent: balance.consistent ?? true };
  if (balance === 'random' || balance === 'random-two') return { kind: 'random', two: balance === 'random-two' };
  return { kind: balance ?? 'round-robin' };
}

function stickyOf(scope: Scope, pointer: string, sticky: UpstreamSource['sticky']): StickySpec | undefined {
  if (sticky === undefined || sticky === false) return undefined;
  const given = sticky === true ? {} : sticky;
  checkCookieName(scope, `${pointer}/cookie`, given.cookie);
  if (given.sameSite === 'none' && given.secure !== true)
    scope.tell(
      `${pointer}/sameSite`,
      'config/insecure-cookie',
      'browsers drop a cookie with sameSite: none that is not secure',
      'Add secure: true, or take sameSite away.',
      'warning',
    );
  return {
    cookie: given.cookie ?? 'steward_server',
    path: given.path ?? '/',
    ...(given.maxAge !== undefined && { maxAgeSeconds: Math.round(durationOr(given.maxAge, 0) / 1000) }),
    secure: given.secure ?? false,
    ...(given.sameSite && { sameSite: given.sameSite }),
  };
}

/** Names of cookies are written as those of headers are (RFC 6265 section 4.1.1). */
export function checkCookieName(scope: Scope, pointer: string, name: string | undefined): void {
  if (name !== undefined && !isHeaderName(name))
    scope.tell(pointer, 'config/cookie-name', `"${name}" cannot be the name of a cookie`, 'Use letters, digits, _ and -.');
}

function checkOf(scope: Scope, pointer: string, check: UpstreamSource['check']): CheckSpec | undefined {
  if (check === undefined) return undefined;
  const given = typeof check === 'string' ? { path: check } : check;
  if (!given.path.startsWith('/'))
    scope.tell(
      typeof check === 'string' ? pointer : `${pointer}/path`,
      'config/path',
      `the path "${given.path}" does not begin with /`,
      'Write a path such as /health.',
    );
  const [least, most] = (given.status ?? '200-399').split('-').map(Number);
  const statuses = [least ?? 200, most ?? least ?? 399] as const;
  if (statuses[0] > statuses[1])
    scope.tell(
      `${pointer}/status`,
      'config/out-of-range',
      `no status is in ${given.status}`,
      `Write the smaller one first: ${statuses[1]}-${statuses[0]}.`,
    );
  return {
    path: given.path,
    ...(given.host !== undefined && { host: given.host }),
    everyMs: durationOr(given.every, 5000),
    timeoutMs: durationOr(given.timeout, 2000),
    passes: given.passes ?? 2,
    failures: given.failures ?? 3,
    statuses,
    ...(given.body !== undefined && { body: given.body }),
  };
}

function balanceOf(scope: Scope, pointer: string, source: UpstreamSource): BalanceSpec {
  const sticky = stickyOf(scope, `${pointer}/sticky`, source.sticky);
  const check = checkOf(scope, `${pointer}/check`, source.check);
  return {
    policy: policyOf(scope, `${pointer}/balance`, source.balance),
    ...(sticky && { sticky }),
    ...(check && { check }),
    slowStartMs: durationOr(source.slowStart, plainBalance.slowStartMs),
    keepIdle: source.keepIdle ?? plainBalance.keepIdle,
    keepIdleMs: durationOr(source.keepIdleTimeout, plainBalance.keepIdleMs),
  };
}

/** An entry of `upstreams:`. */
export function resolveUpstream(scope: Scope, name: string, source: UpstreamSource): UpstreamSpec {
  const pointer = `/upstreams${pointerStep(name)}`;
  const { servers, service } = source;
  if ((servers === undefined) === (service === undefined))
    scope.tell(
      pointer,
      'config/one-of',
      `upstream "${name}" needs exactly one of servers and service`,
      'Write servers: [HOST:PORT] or service: NAME.',
    );
  const balance = balanceOf(scope, pointer, source);
  if (service !== undefined) {
    checkService(scope, `${pointer}/service`, service);
    return { ...balance, kind: 'service', service, name };
  }
  const specs = (servers ?? []).flatMap((server, index) => serverOf(scope, `${pointer}/servers/${index}`, server));
  return { ...balance, kind: 'servers', name, servers: specs };
}

function checkService(scope: Scope, pointer: string, service: string): void {
  const known = scope.services();
  if (!known.includes(service))
    scope.tell(
      pointer,
      'config/unknown-service',
      `there is no service "${service}"`,
      `Use one of: ${known.join(', ') || '(none is defined)'}.${didYouMean(service, known)}`,
    );
  else if (!scope.hasEndpoint(service))
    scope.tell(
      pointer,
      'config/no-endpoint',
      `service "${service}" has no port and no socket to send requests to`,
      'Give it port: NUMBER or socket: true.',
    );
}

/** The service that a route names, with plain rules. */
export function serviceTarget(scope: Scope, pointer: string, service: string): UpstreamSpec {
  checkService(scope, pointer, service);
  return { ...plainBalance, kind: 'service', service };
}

/** What a route names as its upstream: an entry of `upstreams:`, or one address with plain rules. */
export function upstreamTarget(scope: Scope, pointer: string, name: string): UpstreamSpec {
  const known = scope.upstream(name);
  if (known !== undefined) return known;
  const isAddress = parseAddress(name) !== undefined;
  if (!isAddress)
    scope.tell(
      pointer,
      'config/unknown-upstream',
      `there is no upstream "${name}", and it is no address`,
      scope.services().includes(name)
        ? `It is a service: write service: ${name}.`
        : `Declare it under upstreams:, or write host:port or unix:/path.${didYouMean(name, scope.upstreams())}`,
    );
  return { ...plainBalance, kind: 'servers', name, servers: isAddress ? serverOf(scope, pointer, name) : [] };
}
