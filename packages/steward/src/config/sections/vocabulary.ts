/** The shapes that sections share. Each says unit and default in its description: docs and editors show it. */
import { type TObject, type TProperties, type TString, type TUnsafe, Type } from 'typebox';
import { durationPattern, sizePattern } from '../units.ts';

/** An object that refuses keys it does not know. */
export const closed = <T extends TProperties>(properties: T, description: string): TObject<T> =>
  Type.Object(properties, { additionalProperties: false, description });

export const duration = (description: string, byDefault: string): TString =>
  Type.String({
    pattern: durationPattern,
    format: 'steward-duration',
    description: `${description} (duration such as 200ms, 30s, 5m; default ${byDefault})`,
  });

export const size = (description: string, byDefault: string): TString =>
  Type.String({
    pattern: sizePattern,
    format: 'steward-size',
    description: `${description} (size such as 64KB, 50MB, 4GB; default ${byDefault})`,
  });

/** One of a list of words. */
export const words = <const T extends readonly string[]>(list: T, description: string): TUnsafe<T[number]> =>
  Type.Unsafe<T[number]>({ enum: [...list], description });
