/** What all files may use by its name: upstreams, and counters of requests. Pure. */
import type { UpstreamSpec, ZoneSpec } from './model.ts';
import { pointerStep } from './problem.ts';
import { resolveLimit } from './resolve-limits.ts';
import type { Pair } from './resolve-services.ts';
import { resolveUpstream } from './resolve-upstream.ts';
import type { Scope } from './scope.ts';

/** What was found so far, in the order of the files. */
export interface Named extends Pick<Scope, 'upstreams' | 'upstream' | 'limits' | 'limit' | 'addZone'> {
  addUpstream(name: string, spec: UpstreamSpec): void;
  addLimit(name: string, zone: ZoneSpec): void;
  /** Those of `limits:`, and those that stand in one place alone. */
  zones(): Readonly<Record<string, ZoneSpec>>;
}

const wordsOf = (zone: ZoneSpec): string => (zone.kind === 'rate' ? `${zone.perSecond}/s by ${zone.key}` : `connections by ${zone.key}`);

/** Nothing named yet. */
export function createNamed(): Named {
  const upstreams = new Map<string, UpstreamSpec>();
  const limits = new Map<string, ZoneSpec>();
  const zones = new Map<string, ZoneSpec>();
  return {
    upstreams: () => [...upstreams.keys()],
    upstream: (name) => upstreams.get(name),
    limits: () => [...limits.keys()],
    limit: (name) => limits.get(name),
    addUpstream: (name, spec) => void upstreams.set(name, spec),
    addLimit: (name, zone) => {
      limits.set(name, zone);
      zones.set(name, zone);
    },
    addZone: (zone) => {
      const words = wordsOf(zone);
      let name = words;
      for (let number = 2; zones.has(name); number++) name = `${words} (${number})`;
      zones.set(name, zone);
      return name;
    },
    zones: () => Object.fromEntries(zones),
  };
}

/** Puts `upstreams:` and `limits:` of all files into `named`; a name that stands twice is told, and its first one counts. */
export function resolveNamed(pairs: readonly Pair[], named: Named): void {
  for (const { reading, scope } of pairs) {
    const isNew = (section: string, word: string, name: string, isTaken: boolean): boolean => {
      if (isTaken)
        scope.tell(
          `/${section}${pointerStep(name)}#key`,
          'config/name-twice',
          `${word} "${name}" is defined twice`,
          'Give one of them another name.',
        );
      return !isTaken;
    };
    for (const [name, source] of Object.entries(reading.config.upstreams ?? {}))
      if (isNew('upstreams', 'upstream', name, named.upstream(name) !== undefined))
        named.addUpstream(name, resolveUpstream(scope, name, source));
    for (const [name, source] of Object.entries(reading.config.limits ?? {}))
      if (isNew('limits', 'limit', name, named.limit(name) !== undefined)) named.addLimit(name, resolveLimit(scope, name, source));
  }
}
