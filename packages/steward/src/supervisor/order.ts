/** Who starts before whom, and who stops before whom. Pure. */
import type { InstanceSpec } from '../config/model.ts';

type Ordered = Pick<InstanceSpec, 'id' | 'service' | 'after' | 'priority'>;

/** How many services deep each service waits: 0 for one that waits for none. A cycle (refused by config) counts as 0. */
function depths(specs: readonly Ordered[]): Map<string, number> {
  const after = new Map(specs.map((spec) => [spec.service, spec.after]));
  const known = new Map<string, number>();
  const depthOf = (service: string, path: readonly string[]): number => {
    const cached = known.get(service);
    if (cached !== undefined || path.includes(service)) return cached ?? 0;
    const waits = (after.get(service) ?? []).filter((name) => after.has(name));
    const depth = waits.length === 0 ? 0 : 1 + Math.max(...waits.map((name) => depthOf(name, [...path, service])));
    known.set(service, depth);
    return depth;
  };
  for (const service of after.keys()) depthOf(service, []);
  return known;
}

/** Ids in the order of their start: by what they wait for, then by priority, then as written. */
export function startOrder(specs: readonly Ordered[]): string[] {
  const depth = depths(specs);
  return specs
    .toSorted((a, b) => (depth.get(a.service) ?? 0) - (depth.get(b.service) ?? 0) || a.priority - b.priority)
    .map((spec) => spec.id);
}

/** Sets of ids to stop one after the other, each when the one before it is gone: the start in reverse. */
export function stopWaves(specs: readonly Ordered[]): string[][] {
  const depth = depths(specs);
  const waves = Map.groupBy(specs, (spec) => `${depth.get(spec.service) ?? 0} ${spec.priority}`);
  const rank = ([first]: readonly Ordered[]): [number, number] => [depth.get(first?.service ?? '') ?? 0, first?.priority ?? 0];
  return [...waves.values()]
    .toSorted((a, b) => rank(b)[0] - rank(a)[0] || rank(b)[1] - rank(a)[1])
    .map((wave) => wave.map((spec) => spec.id).toReversed());
}
