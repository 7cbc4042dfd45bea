/** What stands outside of servers and holds for all of them: variables of maps, zones of limits, times and sizes of connections. */
import type { GatewaySource, LimitSource, VariableSource } from '../sections/site.ts';
import { formatDuration } from '../units.ts';
import { given, type MapBlock, type Scene, type SharedTime } from './scene.ts';
import { resolveText } from './variables.ts';

const own = (key: string, value: unknown) => [key, { value, enumerable: true, configurable: true, writable: true }] as const;

/** An object with these entries, whatever their names. */
function withEntries<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.defineProperties({}, Object.fromEntries(entries.map(([key, value]) => own(key, value)))) as Record<string, T>;
}

function variableOf(map: MapBlock, scene: Scene): VariableSource {
  const where = `map $${map.name}`;
  const cases: [string, string][] = map.cases.map(({ when, to }) => [when, resolveText(scene, to.value, { at: to.at, where })]);
  const variable: VariableSource = {
    from: resolveText(scene, map.from.value, { at: map.from.at, where, decides: true }),
    cases: withEntries(cases),
  };
  for (const { when, at } of map.cases) scene.draft.place(variable.cases, when, at);
  if (map.byDefault !== undefined) variable.default = resolveText(scene, map.byDefault.value, { at: map.byDefault.at, where });
  if (map.hostnames) variable.hostnames = true;
  scene.draft.place(variable, undefined, map.at);
  return variable;
}

/**
 * `variables:` of the maps. Reading texts of sites before tells which are used: a map of $http_upgrade that only chose the
 * Connection header is not, since Steward sets that itself.
 */
export function buildVariables(scene: Scene): Record<string, VariableSource> {
  const forUpgrade = ({ from, name }: MapBlock): boolean => from.value === '$http_upgrade' && !scene.used.has(name);
  return withEntries(scene.maps.filter((map) => !forUpgrade(map)).map((map) => [map.name, variableOf(map, scene)]));
}

/** `limits:` of the zones. */
export function buildLimits(scene: Scene): Record<string, LimitSource> {
  return withEntries(
    [...scene.zones].map(([name, { by, rate, at }]) => {
      const limit = { by: resolveText(scene, by, { at, where: `zone ${name}`, decides: true }), ...(rate === undefined ? {} : { rate }) };
      scene.draft.place(limit, undefined, at);
      return [name, limit];
    }),
  );
}

/** nginx takes 4 times 8 KB of headers. */
const nginxMaxHeaders = '32KB';

function setTime(gateway: GatewaySource, key: SharedTime, scene: Scene): void {
  const [first, ...others] = [...scene.times[key]].sort((one, other) => other.ms - one.ms);
  if (first === undefined) return;
  // Nothing keeps a connection for no time at all.
  const text = formatDuration(key === 'idleTimeout' && first.ms === 0 ? 1000 : first.ms);
  scene.draft.set(gateway, key, given(text, first.word));
  for (const { ms, word, directive } of others) {
    if (ms === first.ms) continue;
    const hint = `Steward has one such time for all sites and takes the largest, ${text}.`;
    scene.instead(`${key} ${ms}`, word.at, hint, `${directive} ${word.text}`);
  }
}

/** `gateway:`, complete once all servers are read. */
export function buildGateway(scene: Scene): GatewaySource {
  const { gateway } = scene;
  for (const key of ['headerTimeout', 'stallTimeout', 'idleTimeout'] as const) setTime(gateway, key, scene);
  if (scene.servers.length > 0) gateway.maxHeaders ??= nginxMaxHeaders;
  return gateway;
}
