/** The shapes that sections share. Each says unit and default in its description: docs and editors show it. */
import { type TObject, type TProperties, type TUnsafe, Type } from 'typebox';
import { durationPattern, sizePattern } from '../units.ts';

/** An object that refuses keys it does not know. */
export const closed = <T extends TProperties>(properties: T, description: string): TObject<T> =>
  Type.Object(properties, { additionalProperties: false, description });

const durationForms = [Type.String({ pattern: durationPattern, format: 'steward-duration' }), Type.Literal(0)];
const sizeForms = [Type.String({ pattern: sizePattern, format: 'steward-size' }), Type.Integer({ minimum: 0 })];

/** A text such as 30s, or a plain 0. */
export const duration = (description: string, byDefault: string): TUnsafe<string | number> =>
  Type.Unsafe<string | number>({
    anyOf: durationForms,
    description: `${description} (duration such as 200ms, 30s, 5m; default ${byDefault})`,
  });

/** A text such as 50MB, or a number of bytes. */
export const size = (description: string, byDefault: string): TUnsafe<string | number> =>
  Type.Unsafe<string | number>({ anyOf: sizeForms, description: `${description} (size such as 64KB, 50MB, 4GB; default ${byDefault})` });

/** One of a list of words. */
export const words = <const T extends readonly string[]>(list: T, description: string): TUnsafe<T[number]> =>
  Type.Unsafe<T[number]>({ enum: [...list], description });

/** A shape that stands under `$defs` of the file's shape: how shapes hold themselves. */
export const refersTo = <T>(name: string, description: string): TUnsafe<T> => Type.Unsafe<T>({ $ref: `#/$defs/${name}`, description });

export const listOf = <T>(name: string, description: string): TUnsafe<T[]> =>
  Type.Unsafe<T[]>({ type: 'array', items: { $ref: `#/$defs/${name}` }, description });
