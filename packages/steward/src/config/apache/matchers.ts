/**
 * Which paths a directive or section of Apache holds for. Apache's paths end at a slash: `/api` is not `/apidocs`; a path with a
 * slash at its end leaves out the path without it. Regular expressions are asked wherever they stand in the path. Pure.
 */
import { compileRegex } from '../regular-expression.ts';

export type Matcher =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'regex'; readonly pattern: string; readonly anyCase?: boolean }
  /** A folder on disk; the aliases and DocumentRoot of a server say which paths it has. */
  | { readonly kind: 'folder'; readonly folder: string }
  /** Of the address that requests are handed on to; '' is any. */
  | { readonly kind: 'target'; readonly url: string };

export type RegexMatcher = Extract<Matcher, { kind: 'regex' }>;

/** Paths that are answered alike: one, or all below a path that ends in a slash and has no point of its own below it. */
export interface Point {
  readonly path: string;
  readonly isExact: boolean;
}

/** Whether a path of Apache holds for all of a point. */
export function covers(path: string, point: Point): boolean {
  if (point.path === path) return true;
  return point.path.startsWith(path.endsWith('/') ? path : `${path}/`);
}

/** The two points of a path: itself, and what is below it. `/` has one. */
export function pointsOf(path: string): readonly Point[] {
  const plain = path.replace(/\/+$/, '');
  const below = { path: `${plain}/`, isExact: false };
  return plain === '' ? [below] : [{ path: plain, isExact: true }, below];
}

/** Whether the expression fits a path. One that is none fits nothing. */
export function fitsPath({ pattern, anyCase = false }: RegexMatcher, path: string): boolean {
  try {
    return compileRegex(pattern, anyCase).test(path);
  } catch {
    return false;
  }
}

export const escapeRegex = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** `*`, `?` and `[...]` as an expression; with `crossing` they stand for slashes too. */
export function globRegex(glob: string, crossing = false): string {
  const any = crossing ? '.' : '[^/]';
  return glob.replace(/\[!?[^\]/]+\]|[*?]|[\\^$.+()[\]{}|]/g, (part) => {
    if (part === '*') return `${any}*`;
    if (part === '?') return any;
    return part.length > 2 ? part.replace(/^\[!/, '[^') : `\\${part}`;
  });
}

export const isGlob = (text: string): boolean => /[*?]|\[[^\]]+\]/.test(text);

/** The parts of an expression between its outermost `|`. */
export function alternatives(pattern: string): readonly string[] {
  const found = [''];
  let depth = 0;
  for (const [part] of pattern.matchAll(/\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[\s\S]/g)) {
    if (part === '(') depth++;
    else if (part === ')') depth--;
    if (part === '|' && depth === 0) found.push('');
    else found[found.length - 1] += part;
  }
  return found;
}

/** An expression for what comes behind `front` (a literal) as one for the whole path. */
export const behind = (front: string, pattern: string): string =>
  alternatives(pattern)
    .map((one) => (one.startsWith('^') ? `^${escapeRegex(front)}${one.slice(1)}` : `^${escapeRegex(front)}.*?${one === '' ? '' : one}`))
    .join('|');

/** An expression for the name of a file as one for a path. */
export const nameRegex = (pattern: string): string =>
  `/(?=[^/]*$)(?:${alternatives(pattern)
    .map((one) => (one.startsWith('^') ? one.slice(1) : `[^/]*?${one}`))
    .join('|')})`;

/** One expression that fits where all of them do; groups count from those of the first. */
export const bothRegex = (all: readonly RegexMatcher[]): string => {
  const [only] = all;
  if (only !== undefined && all.length === 1) return `${only.anyCase === true ? '(?i)' : ''}${only.pattern}`;
  return `^${all.map(({ pattern, anyCase }) => `(?=[\\s\\S]*?(?${anyCase === true ? 'i' : ''}:${pattern}))`).join('')}`;
};
