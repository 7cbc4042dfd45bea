/** The services of all files together: unique names and endpoints, and an order in which they can start. Pure. */
import type { Reading } from './format.ts';
import type { InstanceSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { originOf, type Position, pointerStep } from './problem.ts';
import { resolveService } from './resolve-service.ts';
import type { Scope } from './scope.ts';
import type { ServiceSource } from './sections/service.ts';

const placeOf = (at: Position | undefined): string => (at === undefined ? 'elsewhere' : `${at.file}:${at.line}`);

/** Tells each name that stands in two files or twice in one list. */
export function tellTwice<T>(items: readonly T[], key: (item: T) => string, tell: (item: T, first: T) => void): T[] {
  const first = new Map<string, T>();
  return items.filter((item) => {
    const known = first.get(key(item));
    if (known === undefined) first.set(key(item), item);
    else tell(item, known);
    return known === undefined;
  });
}

/** A file and what it may ask while it is resolved. */
export interface Pair {
  readonly reading: Reading;
  readonly scope: Scope;
}

interface Placed<T> extends Pair {
  readonly pointer: string;
  readonly value: T;
}

/** The instances of all services of all files. */
export function resolveServices(pairs: readonly Pair[]): InstanceSpec[] {
  const services = pairs.flatMap(({ reading, scope }) =>
    Object.entries(reading.config.services ?? {}).map(
      ([name, source]): Placed<[string, ServiceSource]> => ({
        scope,
        reading,
        pointer: `/services${pointerStep(name)}`,
        value: [name, source],
      }),
    ),
  );
  const unique = tellTwice(
    services,
    ({ value }) => value[0],
    (item, first) =>
      item.scope.tell(
        `${item.pointer}#key`,
        'config/name-twice',
        `service "${item.value[0]}" is defined at ${placeOf(originOf(first.reading.origins, first.pointer))} already`,
        'Give one of them another name.',
      ),
  );
  const names = unique.map(({ value }) => value[0]);
  for (const { scope, pointer, value } of unique) checkAfter(scope, pointer, value, names);
  tellCycle(unique);
  const instances = unique.flatMap((item) => resolveService(item.scope, ...item.value).map((spec) => ({ ...item, spec })));
  tellTwice(
    instances,
    ({ spec }) => spec.id,
    (item) =>
      item.scope.tell(
        `${item.pointer}#key`,
        'config/name-twice',
        `two instances are called "${item.spec.id}"`,
        'Use {{instance}} in instanceName, or another group.',
      ),
  );
  tellTwice(
    instances.filter(({ spec }) => spec.endpoint !== undefined),
    ({ spec }) => (spec.endpoint?.kind === 'tcp' ? `port ${spec.endpoint.port}` : `socket ${spec.endpoint?.path}`),
    (item, first) => {
      if (item.spec.endpoint?.shared !== undefined && item.spec.service === first.spec.service) return;
      item.scope.tell(
        `${item.pointer}/${item.spec.endpoint?.kind === 'tcp' ? 'port' : 'socket'}`,
        'config/endpoint-twice',
        `${item.spec.id} and ${first.spec.id} have the same ${item.spec.endpoint?.kind === 'tcp' ? `port ${item.spec.endpoint.port}` : 'socket'}`,
        'Instances count up from the first port: leave room between services.',
      );
    },
  );
  return instances.map(({ spec }) => spec);
}

function checkAfter(scope: Scope, pointer: string, [, { after }]: [string, ServiceSource], names: readonly string[]): void {
  (after ?? []).forEach((needed, index) => {
    if (!names.includes(needed))
      scope.tell(
        `${pointer}/after/${index}`,
        'config/unknown-service',
        `there is no service "${needed}" to wait for`,
        `Use one of: ${names.join(', ')}.${didYouMean(needed, names)}`,
      );
  });
}

/** Services that wait for each other in a circle would never start. */
function tellCycle(services: readonly Placed<[string, ServiceSource]>[]): void {
  const after = new Map(services.map(({ value: [name, { after: list }] }) => [name, list ?? []]));
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of after.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const { scope, pointer, value } of services) {
    const circle = visit(value[0], []);
    if (circle === undefined) continue;
    scope.tell(
      `${pointer}/after`,
      'config/circle',
      `services wait for each other in a circle: ${circle.join(' → ')}`,
      'Take one `after` away.',
    );
    return;
  }
}
