/** Which instances a person means by a name. Pure. */
import { didYouMean } from '../config/near.ts';
import { bootService } from '../config/resolve-boot-step.ts';
import { StewardError } from '../errors.ts';

interface Named {
  readonly id: string;
  readonly service: string;
  readonly group: string;
  readonly name: string;
}

function matches(name: string, { id, service, group, name: own }: Named): boolean {
  if (name === 'all') return service !== bootService; // commands of boot steps run when somebody means them
  if (name.endsWith(':*')) return group === name.slice(0, -2);
  return id === name || service === name || own === name;
}

/**
 * Ids meant by `all`, `group:*`, an id, a service or an instance name, in the order of `known`.
 * @throws StewardError naming every name that means nothing.
 */
export function resolveNames(names: readonly string[], known: readonly Named[]): string[] {
  const unknown = names.filter((name) => name !== 'all' && !known.some((instance) => matches(name, instance)));
  if (unknown.length > 0) {
    const words = [...new Set(known.flatMap(({ id, service, group }) => [id, service, `${group}:*`]))];
    const quoted = unknown.map((name) => `"${name}"`).join(', ');
    const near = unknown.map((name) => didYouMean(name, words)).find((text) => text !== '') ?? '';
    const services = [...new Set(known.map(({ service }) => service))];
    throw new StewardError('api/unknown-name', `there is no service or instance ${quoted}`, {
      status: 404,
      hint: `There is: ${services.slice(0, 20).join(', ') || 'nothing'}.${near}`,
    });
  }
  return known.filter((instance) => names.some((name) => matches(name, instance))).map(({ id }) => id);
}
