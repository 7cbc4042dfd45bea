/** The `variables:` of all files: each made from others, none of itself. Pure. */
import type { ValueMatch, VariableSpec } from './model.ts';
import { pointerStep } from './problem.ts';
import { checkVariableName } from './resolve-access.ts';
import { type Pair, tellTwice } from './resolve-services.ts';
import { checkRegex } from './resolve-text.ts';
import type { Scope } from './scope.ts';
import type { VariableSource } from './sections/site.ts';
import { expressionOf, variablesIn } from './text-variables.ts';

interface Entry {
  readonly scope: Scope;
  readonly pointer: string;
  readonly spec: VariableSpec;
}

/** `~regex`, `~*regex`, or an exact text; a backslash in front makes any text an exact one. */
function matchOf(scope: Scope, pointer: string, text: string): ValueMatch {
  const pattern = expressionOf(text);
  if (pattern === undefined) return { kind: 'exact', text: text.replace(/^\\/, '') };
  const anyCase = text.startsWith('~*');
  checkRegex(scope, pointer, pattern, anyCase);
  return { kind: 'regex', pattern, anyCase };
}

function entryOf(scope: Scope, name: string, source: VariableSource): Entry {
  const pointer = `/variables${pointerStep(name)}`;
  checkVariableName(scope, `${pointer}#key`, name);
  const cases = Object.entries(source.cases).map(([when, to]) => {
    const at = `${pointer}/cases${pointerStep(when)}`;
    return { when: matchOf(scope, `${at}#key`, when), to: scope.text(at, to) };
  });
  const spec: VariableSpec = {
    name: name.toLowerCase(),
    from: scope.text(`${pointer}/from`, source.from),
    hostnames: source.hostnames ?? false,
    cases,
    byDefault: scope.text(`${pointer}/default`, source.default ?? ''),
  };
  return { scope, pointer, spec };
}

const usedBy = ({ from, cases, byDefault }: VariableSpec): string[] => [from, byDefault, ...cases.map(({ to }) => to)].flatMap(variablesIn);

/** A variable that is made of itself, by way of others, would never have a value. */
function tellCircle(entries: readonly Entry[]): void {
  const used = new Map(entries.map(({ spec }) => [spec.name, usedBy(spec)]));
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of used.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const { scope, pointer, spec } of entries) {
    const circle = visit(spec.name, []);
    if (circle === undefined) continue;
    const words = circle.map((name) => `$${name}`).join(' → ');
    return scope.tell(
      pointer,
      'config/variable-circle',
      `variables are made of each other in a circle: ${words}`,
      'Take one of them out of a text.',
    );
  }
}

/** All entries, in the order of the files. */
export function resolveVariables(pairs: readonly Pair[]): VariableSpec[] {
  const entries = pairs.flatMap(({ reading, scope }) =>
    Object.entries(reading.config.variables ?? {}).map(([name, source]) => entryOf(scope, name, source)),
  );
  const unique = tellTwice(
    entries,
    ({ spec }) => spec.name,
    ({ scope, pointer, spec }) =>
      scope.tell(`${pointer}#key`, 'config/name-twice', `variable "${spec.name}" is defined twice`, 'Give one of them another name.'),
  );
  tellCircle(unique);
  return unique.map(({ spec }) => spec);
}
