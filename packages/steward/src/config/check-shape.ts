/**
 * Holds a value against its TypeBox shape and tells every difference in the words of the file. Our own walk rather than
 * a validator's, because a validator says "must match a schema in anyOf" where a person needs the line and the word.
 */
import type { TSchema } from 'typebox';
import type { ConfigCode } from './codes.ts';
import { didYouMean } from './near.ts';
import { type Origins, originOf, type Position, type Problem, pointerStep } from './problem.ts';

/** The JSON Schema keywords our shapes use. */
export interface Shape {
  /** `#/$defs/NAME` of the root: how shapes hold themselves. */
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Shape>>;
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly additionalProperties?: boolean | Shape;
  readonly required?: readonly string[];
  readonly items?: Shape;
  readonly anyOf?: readonly Shape[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly description?: string;
}

/** The shape that `shape` refers to under `$defs` of `root`, else itself. Throws when there is no such definition. */
export function referredBy(shape: Shape, root: Shape): Shape {
  if (shape.$ref === undefined) return shape;
  const found = root.$defs?.[shape.$ref.slice('#/$defs/'.length)];
  if (found === undefined) throw new Error(`${shape.$ref} is not defined`);
  return found;
}

const kindOf = (value: unknown): string =>
  value === null
    ? 'nothing'
    : Array.isArray(value)
      ? 'a list'
      : typeof value === 'object'
        ? 'a mapping'
        : typeof value === 'number'
          ? `the number ${value}`
          : typeof value === 'boolean'
            ? String(value)
            : `"${value}"`;

const typeWords: Readonly<Record<string, string>> = {
  object: 'a mapping',
  array: 'a list',
  string: 'a text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
};

function choices(shape: Shape): unknown[] {
  if (shape.const !== undefined) return [shape.const];
  return shape.enum ? [...shape.enum] : [];
}

/** Durations and sizes are known by their text form; that they may be plain numbers too need not be said. */
const expectedOf = (branches: readonly Shape[]): string => {
  const known = branches.find(({ format }) => format !== undefined);
  return known === undefined ? branches.map(expected).join(' or ') : expected(known);
};

function expected(shape: Shape): string {
  if (shape.format === 'steward-duration') return 'a duration such as 30s, 5m or 1h30m';
  if (shape.format === 'steward-size') return 'a size such as 64KB, 50MB or 4GB';
  const listed = choices(shape);
  if (listed.length > 0) return listed.map((choice) => `${choice}`).join(', ');
  if (shape.anyOf) return expectedOf(shape.anyOf);
  const range = shape.minimum !== undefined ? ` from ${shape.minimum}${shape.maximum !== undefined ? ` to ${shape.maximum}` : ''}` : '';
  return `${typeWords[shape.type ?? ''] ?? 'something else'}${range}`;
}

/** `services.web.restart` for `/services/web/restart`. */
export const dotted = (pointer: string): string =>
  pointer
    .slice(1)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .join('.');

function hasType(type: string | undefined, value: unknown): boolean {
  switch (type) {
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case undefined:
      return true;
    default:
      return typeof value === type;
  }
}

/** The shape of a key; keys such as `constructor`, which every object inherits, are none. */
const propertyOf = ({ properties = {} }: Shape, key: string): Shape | undefined =>
  Object.hasOwn(properties, key) ? properties[key] : undefined;

/** Whether `value` was meant for this branch of a choice: same type, so that its inside is worth telling about. */
const isMeantFor = (shape: Shape, value: unknown): boolean => choices(shape).length === 0 && hasType(shape.type, value);

/** All differences between `value` and the shape `schema`, whose `$defs` its `$ref`s name; with positions from `origins`. */
export function checkShape(schema: TSchema, value: unknown, origins: Origins): Problem<ConfigCode>[] {
  const root = schema as Shape;
  const problems: Problem<ConfigCode>[] = [];
  const tell = (pointer: string, code: ConfigCode, message: string, hint: string, at?: Position): void => {
    problems.push({ severity: 'error', code, message, hint, at: at ?? originOf(origins, pointer) });
  };

  function visit(place: Shape, given: unknown, pointer: string): void {
    const shape = referredBy(place, root);
    if (shape.anyOf) visitChoice(shape, shape.anyOf, given, pointer);
    else visitPlain(shape, given, pointer);
  }

  function visitPlain(shape: Shape, given: unknown, pointer: string): void {
    const listed = choices(shape);
    if (listed.length > 0) {
      if (!listed.includes(given))
        tell(
          pointer,
          'config/unknown-value',
          `${dotted(pointer)}: ${kindOf(given)} is not one of its values`,
          `Use one of: ${expected(shape)}.${typeof given === 'string' ? didYouMean(given, listed.map(String)) : ''}`,
        );
      return;
    }
    if (!hasType(shape.type, given)) tellWrongType(shape, given, pointer);
    else if (typeof given === 'string') visitText(shape, given, pointer);
    else if (typeof given === 'number') visitNumber(shape, given, pointer);
    else if (Array.isArray(given)) visitList(shape, given, pointer);
    else if (typeof given === 'object' && given !== null) visitMapping(shape, given as Record<string, unknown>, pointer);
  }

  function visitChoice(shape: Shape, branches: readonly Shape[], given: unknown, pointer: string): void {
    const before = problems.length;
    const meant = branches.filter((branch) => isMeantFor(branch, given));
    if (branches.some((branch) => choices(branch).includes(given))) return;
    for (const branch of meant) {
      problems.length = before;
      visit(branch, given, pointer);
      if (problems.length === before) return;
    }
    if (meant.length === 0) tellWrongType(shape, given, pointer);
  }

  function tellWrongType(shape: Shape, given: unknown, pointer: string): void {
    const message = `${dotted(pointer) || 'the file'}: ${kindOf(given)} stands where ${expected(shape)} is expected`;
    const words = (shape.anyOf ?? []).flatMap(choices).map(String);
    tell(pointer, 'config/wrong-type', message, `Write ${expected(shape)}.${typeof given === 'string' ? didYouMean(given, words) : ''}`);
  }

  function visitText(shape: Shape, given: string, pointer: string): void {
    if (shape.pattern === undefined || new RegExp(shape.pattern).test(given)) return;
    tell(
      pointer,
      'config/wrong-form',
      `${dotted(pointer)}: "${given}" is not ${shape.format ? expected(shape) : 'of the right form'}`,
      shape.format ? `Write ${expected(shape)}.` : `It must match ${shape.pattern}.`,
    );
  }

  function visitNumber(shape: Shape, given: number, pointer: string): void {
    if (given >= (shape.minimum ?? -Infinity) && given <= (shape.maximum ?? Infinity)) return;
    tell(pointer, 'config/out-of-range', `${dotted(pointer)}: ${given} is out of range`, `Write ${expected(shape)}.`);
  }

  function visitList(shape: Shape, given: readonly unknown[], pointer: string): void {
    if (given.length < (shape.minItems ?? 0))
      tell(pointer, 'config/empty-list', `${dotted(pointer)}: the list is empty`, 'Write at least one entry.');
    const { items } = shape;
    if (items) given.forEach((item, index) => void visit(items, item, pointer + pointerStep(index)));
  }

  function visitMapping(shape: Shape, given: Record<string, unknown>, pointer: string): void {
    const values = shape.patternProperties ? Object.values(shape.patternProperties)[0] : undefined;
    for (const [key, item] of Object.entries(given)) {
      const at = pointer + pointerStep(key);
      const inner = propertyOf(shape, key) ?? values;
      if (inner) visit(inner, item, at);
      else unknownKey(shape, key, at, pointer);
    }
    for (const key of shape.required ?? []) {
      if (!Object.hasOwn(given, key))
        tell(
          pointer,
          'config/missing-key',
          `${dotted(pointer) || 'the file'}: "${key}" is missing`,
          `Add ${key}: ${expected(shape.properties?.[key] ?? {})}.`,
          origins.get(`${pointer}#key`),
        );
    }
  }

  function unknownKey(shape: Shape, key: string, at: string, pointer: string): void {
    const known = Object.keys(shape.properties ?? {}).filter((name) => name !== '$schema');
    const meant = didYouMean(key, known);
    tell(
      at,
      'config/unknown-key',
      `${dotted(at)}: there is no "${key}" in ${dotted(pointer) || 'this file'}`,
      `Use one of: ${known.join(', ')}.${meant}`,
      origins.get(`${at}#key`),
    );
  }

  visit(root, value, '');
  return problems;
}
