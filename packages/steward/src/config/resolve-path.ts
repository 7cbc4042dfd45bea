/** The path of a route: which requests it answers. Pure. */
import type { PathMatch } from './model.ts';
import { checkRegex } from './resolve-text.ts';
import type { Scope } from './scope.ts';

const forms = 'Write /prefix, = /exact, ^~ /prefix, ~ regex, ~* regex or @name.';

/** `/prefix`, `= /exact`, `^~ /prefix`, `~ regex`, `~* regex`, `@name`; undefined, once told, when it is none of them. */
export function resolvePath(scope: Scope, pointer: string, text: string): PathMatch | undefined {
  const [, sign = '', rest = ''] = /^(=|\^~|~\*|~)?\s*(.*)$/s.exec(text) ?? [];
  if (sign === '~' || sign === '~*') {
    const anyCase = sign === '~*';
    return checkRegex(scope, pointer, rest, anyCase) ? { kind: 'regex', pattern: rest, anyCase } : undefined;
  }
  if (sign === '' && /^@\S+$/.test(rest)) return { kind: 'named', name: rest.slice(1) };
  if (!rest.startsWith('/')) {
    scope.tell(pointer, 'config/path', `the path "${text}" does not begin with /`, forms);
    return undefined;
  }
  return sign === '=' ? { kind: 'exact', path: rest } : { kind: 'prefix', path: rest, stop: sign === '^~' };
}

/** A match as people write it. */
export function wordsOf(match: PathMatch): string {
  if (match.kind === 'regex') return `~${match.anyCase ? '*' : ''} ${match.pattern}`;
  if (match.kind === 'named') return `@${match.name}`;
  return match.kind === 'exact' ? `= ${match.path}` : match.path;
}

/** Why a route cannot stand within another; undefined when it can. The rules are those of nginx's nested locations. */
export function nestingMistake(inner: PathMatch, outer: PathMatch): string | undefined {
  if (inner.kind === 'named') return `${wordsOf(inner)} can only stand among the routes of the site itself`;
  if (outer.kind === 'exact' || outer.kind === 'named') return `nothing can stand within ${wordsOf(outer)}`;
  if (inner.kind === 'regex') return undefined;
  if (outer.kind === 'prefix' && inner.path.startsWith(outer.path)) return undefined;
  return `${wordsOf(inner)} is never reached within ${wordsOf(outer)}`;
}
