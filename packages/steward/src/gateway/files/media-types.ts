/** Media types of files by their names. */
import path from 'node:path';
import { contentType, lookup } from 'mime-types';
import type { MediaTypes } from '../../config/model.ts';

/** By extension, lowercase and without dot. */
export type TypeRules = MediaTypes;

/** The Content-Type of a file of this name. Texts of built-in types name their charset; those of `types` say what `types` says. */
export function mediaType(name: string, { types, defaultType, builtInTypes = true, charset = 'utf-8' }: TypeRules): string {
  const extension = path.posix.extname(name).slice(1).toLowerCase();
  if (extension === '') return defaultType;
  if (Object.hasOwn(types, extension)) return types[extension] ?? defaultType;
  if (!builtInTypes) return defaultType;
  if (charset === false) return lookup(extension) || defaultType;
  const type = contentType(`.${extension}`) || defaultType;
  return charset === 'utf-8' ? type : type.replace(/=utf-8$/, `=${charset}`);
}

/** A media type without its parameters, lowercase: `text/html` of `text/html; charset=utf-8`. */
export function bareType(type: string): string {
  const end = type.indexOf(';');
  return (end < 0 ? type : type.slice(0, end)).trim().toLowerCase();
}
