/** The boot steps of all files, and which host runs which of them. Pure. */
import type { BootList, BootSpec, BootStepSpec, InstanceSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { pointerStep } from './problem.ts';
import { bootService, type NamedService, resolveBootStep } from './resolve-boot-step.ts';
import { type Pair, tellTwice } from './resolve-services.ts';
import type { Scope } from './scope.ts';
import type { BootStepSource } from './sections/boot.ts';

interface Written<T> {
  readonly scope: Scope;
  readonly name: string;
  readonly value: T;
}

const written = <T>(pairs: readonly Pair[], part: (pair: Pair) => Readonly<Record<string, T>> | undefined): Written<T>[] =>
  pairs.flatMap((pair) => Object.entries(part(pair) ?? {}).map(([name, value]) => ({ scope: pair.scope, name, value })));

function onlyOnce<T>(items: readonly Written<T>[], section: 'steps' | 'lists', noun: string): Written<T>[] {
  return tellTwice(
    items,
    ({ name }) => name,
    ({ scope, name }) =>
      scope.tell(
        `/boot/${section}${pointerStep(name)}#key`,
        'config/name-twice',
        `boot.${section}: ${noun} "${name}" is in another file already`,
        'Keep one of them.',
      ),
  );
}

/** Instances of commands are called boot:STEP. */
function checkReserved(pairs: readonly Pair[]): void {
  for (const { scope, name, value } of written(pairs, ({ reading }) => reading.config.services)) {
    if (name !== bootService && value.group !== bootService) continue;
    scope.tell(
      `/services${pointerStep(name)}#key`,
      'config/name',
      `"${bootService}" is the name of Steward's own boot steps`,
      'Call it otherwise.',
    );
  }
}

function checkList({ scope, name: host, value }: Written<string[]>, steps: readonly string[]): void {
  value.forEach((step, index) => {
    const pointer = `/boot/lists${pointerStep(host)}/${index}`;
    if (!steps.includes(step))
      scope.tell(
        pointer,
        'config/unknown-step',
        `boot.lists.${host}: there is no step "${step}"`,
        steps.length === 0 ? 'Write it under boot.steps.' : `Use one of: ${steps.join(', ')}.${didYouMean(step, steps)}`,
      );
    else if (value.indexOf(step) !== index)
      scope.tell(pointer, 'config/name-twice', `boot.lists.${host}: step "${step}" stands in this list already`, 'Take it away here.');
  });
}

/** Services that `service` waits for, over others too. */
function needsOf(service: string, after: ReadonlyMap<string, readonly string[]>, seen = new Set<string>()): ReadonlySet<string> {
  for (const needed of after.get(service) ?? []) {
    if (seen.has(needed)) continue;
    seen.add(needed);
    needsOf(needed, after, seen);
  }
  return seen;
}

interface Deadlock {
  readonly index: number;
  readonly service: string;
  readonly needed: string;
  readonly later: string;
}

/** The first step that waits for a service which itself needs one of a later step. */
function findDeadlock(steps: readonly BootStepSpec[], after: ReadonlyMap<string, readonly string[]>): Deadlock | undefined {
  const first = new Map<string, number>();
  steps.forEach(({ action }, index) => {
    for (const service of action.kind === 'service' ? action.services : []) if (!first.has(service)) first.set(service, index);
  });
  for (const [index, { action, background }] of steps.entries()) {
    if (action.kind !== 'service' || background) continue;
    for (const service of action.services) {
      const needed = [...needsOf(service, after)].find((name) => (first.get(name) ?? -1) > index);
      if (needed !== undefined) return { index, service, needed, later: steps[first.get(needed) ?? 0]?.name ?? '' };
    }
  }
  return undefined;
}

function tellDeadlock(scope: Scope, pointer: string, step: string, { service, needed, later }: Deadlock): void {
  scope.tell(
    pointer,
    'config/boot-order',
    `step "${step}" waits for service "${service}", which needs "${needed}", which starts with the later step "${later}"`,
    `Put step "${later}" before "${step}".`,
  );
}

/** What all files say about booting; undefined when none does. */
export function resolveBoot(pairs: readonly Pair[], instances: readonly InstanceSpec[]): BootSpec | undefined {
  if (!pairs.some(({ reading }) => reading.config.boot !== undefined)) return undefined;
  checkReserved(pairs);
  const sources = onlyOnce<BootStepSource>(
    written(pairs, ({ reading }) => reading.config.boot?.steps),
    'steps',
    'step',
  );
  const known: NamedService[] = [...instances, ...(pairs[0]?.scope.services().map((service) => ({ service, group: service })) ?? [])];
  const steps = sources.flatMap(({ scope, name, value }) => resolveBootStep(scope, name, value, known) ?? []);
  const lists = onlyOnce(
    written(pairs, ({ reading }) => reading.config.boot?.lists),
    'lists',
    'the list of',
  );
  const after = new Map(instances.map((spec) => [spec.service, spec.after]));
  const stepOf = new Map(steps.map((step) => [step.name, step]));
  for (const list of lists) {
    checkList(
      list,
      sources.map(({ name }) => name),
    );
    const own = list.value.map((name) => stepOf.get(name));
    if (own.some((step) => step === undefined)) continue;
    const found = findDeadlock(own as BootStepSpec[], after);
    if (found !== undefined)
      tellDeadlock(list.scope, `/boot/lists${pointerStep(list.name)}/${found.index}`, list.value[found.index] ?? '', found);
  }
  const whole = lists.length === 0 ? findDeadlock(steps, after) : undefined;
  const place = whole && sources.find(({ name }) => name === steps[whole.index]?.name);
  if (whole && place) tellDeadlock(place.scope, `/boot/steps${pointerStep(place.name)}/service`, place.name, whole);
  return { steps, lists: lists.map(({ name, value }): BootList => ({ host: name, steps: value })) };
}
