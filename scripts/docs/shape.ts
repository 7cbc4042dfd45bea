/** What the reference says about a shape: its type in words, its default, and what its description is without them. Pure. */
import type { TSchema } from 'typebox';
import type { Shape } from '../../packages/steward/src/config/check-shape.ts';
import { code } from './markdown.ts';

export type { Shape };

export const shapeOf = (schema: TSchema): Shape => schema as Shape;

/** The shape of the values of a mapping by name; undefined when its keys are fixed. */
export const valuesOf = (shape: Shape): Shape | undefined => Object.values(shape.patternProperties ?? {})[0];

const plainTypes: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'number',
  integer: 'whole number',
  null: 'null',
  array: 'list',
  object: 'mapping',
};

function rangeOf({ minimum, maximum }: Shape): string {
  if (minimum !== undefined && maximum !== undefined) return ` from ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `, at least ${minimum}`;
  return maximum === undefined ? '' : `, at most ${maximum}`;
}

/** The type of a value in words: `duration`, `whole number from 1 to 65535`, `list of text`. */
export function typeOf(shape: Shape): string {
  const { anyOf, items } = shape;
  if (shape.$ref) return 'mapping';
  const known = [shape, ...(anyOf ?? [])].find(({ format }) => format?.startsWith('steward-'))?.format;
  if (known !== undefined) return known.slice('steward-'.length);
  if (anyOf || shape.type === 'boolean') return alternatives(shape, typeOf);
  if (shape.enum) return shape.enum.map((value) => code(String(value))).join(', ');
  if (shape.const !== undefined) return code(String(shape.const));
  if (items) return `list of ${plural(items)}`;
  const values = valuesOf(shape);
  if (values) return `mapping of ${plural(values)} by name`;
  if (shape.format === 'date-time') return 'time (ISO 8601, UTC)';
  return `${plainTypes[shape.type ?? ''] ?? 'anything'}${rangeOf(shape)}`;
}

/** `text, true or false`. */
function alternatives(shape: Shape, nameOf: (branch: Shape) => string): string {
  const branches = shape.anyOf ?? [shape];
  const wordsOf = (branch: Shape): string | string[] => {
    if (branch.type !== 'boolean') return nameOf(branch);
    return branch.const === undefined ? ['true', 'false'] : String(branch.const);
  };
  const names = [...new Set(branches.flatMap(wordsOf))];
  return names.length < 2 ? (names[0] ?? '') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}

const plural = (shape: Shape): string => {
  if (shape.anyOf) return alternatives(shape, plural);
  const type = typeOf(shape);
  if (['text', 'mapping', 'number'].includes(type)) return `${type}s`;
  return type.startsWith('whole number') ? type.replace('whole number', 'whole numbers') : type;
};

/** Both as the tables of the configuration show them; a default is '' when the description names none. */
export function explain(description = ''): { readonly meaning: string; readonly byDefault: string } {
  const unit = /\s*\((?:duration|size) such as [^;]*; default (.*)\)$/.exec(description);
  if (unit) return { meaning: description.slice(0, unit.index), byDefault: unit[1] ?? '' };
  const said = /\s*Default: (.*?)\.$/s.exec(description);
  return said ? { meaning: description.slice(0, said.index), byDefault: said[1] ?? '' } : { meaning: description, byDefault: '' };
}
