/** How many requests a client may send: the counters of `limits:`, and the limits of sites and routes. Pure. */
import type { ConnectionsSpec, RateSpec, ZoneSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { pointerStep } from './problem.ts';
import type { Scope } from './scope.ts';
import type { LimitSource } from './sections/site.ts';
import type { RouteSource } from './sections/step.ts';

type RateEntry = Exclude<NonNullable<RouteSource['rate']>, string>[number];
type RateSource = Exclude<RateEntry, string>;
type ConnectionsEntry = Exclude<NonNullable<RouteSource['connections']>, number>[number];
type ConnectionsSource = Exclude<ConnectionsEntry, number>;

const byClient = '$remote_addr';

/** Requests per second of `10/s`, `300/m`, `10r/s`; undefined when it is none of them, or zero. */
export function parseRate(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*r?\/([sm])$/.exec(text) ?? [];
  const perSecond = Number(number) / (unit === 'm' ? 60 : 1);
  return perSecond > 0 ? perSecond : undefined;
}

function rateOf(scope: Scope, pointer: string, text: string): number {
  const perSecond = parseRate(text);
  if (perSecond === undefined) scope.tell(pointer, 'config/rate', `"${text}" is no rate of requests`, 'Write 10/s or 300/m.');
  return perSecond ?? 1;
}

/** An entry of `limits:`. */
export function resolveLimit(scope: Scope, name: string, { by = byClient, rate }: LimitSource): ZoneSpec {
  const pointer = `/limits${pointerStep(name)}`;
  const key = scope.text(`${pointer}/by`, by);
  return rate === undefined ? { kind: 'connections', key } : { kind: 'rate', key, perSecond: rateOf(scope, `${pointer}/rate`, rate) };
}

const counts: Readonly<Record<ZoneSpec['kind'], string>> = { rate: 'requests by a rate', connections: 'requests under way' };

/** Tells an entry of `limits:` that is not there, or counts something else. */
function checkZone(scope: Scope, pointer: string, name: string, kind: ZoneSpec['kind']): void {
  const zone = scope.limit(name);
  if (zone === undefined)
    scope.tell(
      pointer,
      'config/unknown-limit',
      `there is no limit "${name}"`,
      `Declare it under limits:.${didYouMean(name, scope.limits())}`,
    );
  else if (zone.kind !== kind)
    scope.tell(
      pointer,
      'config/limit-kind',
      `limit "${name}" counts ${counts[zone.kind]}, not ${counts[kind]}`,
      kind === 'rate'
        ? 'Give it rate: 10/s under limits:, or use it for connections.'
        : 'Take its rate away under limits:, or use it for rate.',
    );
}

/** Whether an entry names its counter in one way: a zone, or what is counted here alone. */
function checkOneCounter(scope: Scope, pointer: string, given: { zone?: string; by?: string; rate?: string }, needsRate: boolean): void {
  const own = (['rate', 'by'] as const).filter((key) => given[key] !== undefined);
  if (given.zone !== undefined && own.length > 0)
    scope.tell(
      pointer,
      'config/one-of',
      `zone and ${own.join(' and ')} are given together`,
      'What is counted is said under limits: for a zone.',
    );
  else if (needsRate && given.zone === undefined && given.rate === undefined)
    scope.tell(pointer, 'config/one-of', 'the limit says neither zone nor rate', 'Write rate: 10/s, or zone: NAME of an entry of limits:.');
}

function rateSpecOf(scope: Scope, pointer: string, entry: RateEntry): RateSpec {
  const given: RateSource = typeof entry === 'string' ? { rate: entry } : entry;
  const at = typeof entry === 'string' ? pointer : `${pointer}/rate`;
  checkOneCounter(scope, pointer, given, true);
  if (given.zone !== undefined) checkZone(scope, `${pointer}/zone`, given.zone, 'rate');
  const perSecond = given.rate === undefined ? 1 : rateOf(scope, at, given.rate);
  const key = scope.text(`${pointer}/by`, given.by ?? byClient);
  return {
    zone: given.zone ?? scope.addZone({ kind: 'rate', key, perSecond }),
    burst: given.burst ?? 0,
    undelayed: given.undelayed ?? 'all',
    status: given.status ?? 429,
  };
}

/** `rate` of a site or a route. */
export function resolveRates(scope: Scope, pointer: string, given: NonNullable<RouteSource['rate']>): RateSpec[] {
  return typeof given === 'string'
    ? [rateSpecOf(scope, pointer, given)]
    : given.map((entry, index) => rateSpecOf(scope, `${pointer}/${index}`, entry));
}

function connectionsSpecOf(scope: Scope, pointer: string, entry: ConnectionsEntry): ConnectionsSpec[] {
  const given: ConnectionsSource = typeof entry === 'number' ? { most: entry } : entry;
  checkOneCounter(scope, pointer, given, false);
  if (given.zone !== undefined) checkZone(scope, `${pointer}/zone`, given.zone, 'connections');
  if (given.most === 0) return [];
  const key = scope.text(`${pointer}/by`, given.by ?? byClient);
  return [{ zone: given.zone ?? scope.addZone({ kind: 'connections', key }), most: given.most, status: given.status ?? 503 }];
}

/** `connections` of a site or a route; 0 sets no limit. */
export function resolveConnections(scope: Scope, pointer: string, given: NonNullable<RouteSource['connections']>): ConnectionsSpec[] {
  return typeof given === 'number'
    ? connectionsSpecOf(scope, pointer, given)
    : given.flatMap((entry, index) => connectionsSpecOf(scope, `${pointer}/${index}`, entry));
}
