/** Media types of files by their names. */
import path from 'node:path';
import { contentType } from 'mime-types';

export interface TypeRules {
  /** By extension, lowercase and without dot; sent as they are written. */
  readonly types: Readonly<Record<string, string>>;
  /** For extensions nobody knows, and files without one. */
  readonly defaultType: string;
}

/** The Content-Type of a file of this name. Texts of built-in types say that they are UTF-8; those of `types` say what `types` says. */
export function mediaType(name: string, { types, defaultType }: TypeRules): string {
  const extension = path.posix.extname(name).slice(1).toLowerCase();
  if (extension === '') return defaultType;
  if (Object.hasOwn(types, extension)) return types[extension] ?? defaultType;
  return contentType(`.${extension}`) || defaultType;
}

/** A media type without its parameters, lowercase: `text/html` of `text/html; charset=utf-8`. */
export function bareType(type: string): string {
  const end = type.indexOf(';');
  return (end < 0 ? type : type.slice(0, end)).trim().toLowerCase();
}
