/** Texts with variables, and paths that hold some: checked, and made absolute. Pure. */
import { isAbsolute, join, resolve } from 'node:path';
import { didYouMean } from './near.ts';
import { regexMistake } from './regular-expression.ts';
import type { Scope, Tell } from './scope.ts';
import { hasOpenVariable, hasVariable, isGroupNumber, variablesIn } from './text-variables.ts';
import { isBuiltInVariable, variableNames, variablePrefixes } from './variable-names.ts';

/** What a name would be in each family: `http_user` of `http_` for `htp_user`. */
function inFamilies(name: string): string[] {
  const parts = name.split('_');
  return Object.keys(variablePrefixes).flatMap((prefix) => {
    const rest = parts.slice(prefix.split('_').length - 1).join('_');
    return rest === '' ? [] : prefix + rest;
  });
}

/**
 * A checker of texts. `here` are the names that the site (or, outside of sites, any file) makes; `elsewhere` those of
 * other sites, which are empty here, as nginx has it.
 */
export function textChecker(here: ReadonlySet<string>, elsewhere: ReadonlySet<string>, tell: Tell): Scope['text'] {
  const isKnown = (name: string): boolean => isGroupNumber(name) || isBuiltInVariable(name) || here.has(name);
  const tellUnknown = (pointer: string, name: string): void => {
    if (elsewhere.has(name))
      return tell(
        pointer,
        'config/foreign-variable',
        `$${name} is set by another site alone, and empty in this one`,
        'Set it here too, or take it away.',
        'warning',
      );
    const names = [...Object.keys(variableNames), ...here, ...inFamilies(name)].map((known) => `$${known}`);
    tell(
      pointer,
      'config/unknown-variable',
      `there is no variable $${name}`,
      `Use one that docs/config.md lists, or make it with set or under variables:.${didYouMean(`$${name}`, names)}`,
    );
  };
  return (pointer, text) => {
    if (!hasVariable(text)) return text;
    if (hasOpenVariable(text))
      tell(pointer, 'config/open-variable', `"${text}" holds a \${ that no name and no } follow`, 'Write ${name}.');
    for (const name of new Set(variablesIn(text))) if (!isKnown(name)) tellUnknown(pointer, name);
    return text;
  };
}

/** An absolute path; one that begins with a variable must become one by itself. */
export function pathText(scope: Scope, pointer: string, path: string): string {
  scope.text(pointer, path);
  if (!hasVariable(path)) return resolve(scope.folder, path);
  return isAbsolute(path) || path.startsWith('$') ? path : join(scope.folder, path);
}

/** Tells what is wrong with a regular expression; whether it is one. */
export function checkRegex(scope: Scope, pointer: string, pattern: string, anyCase: boolean): boolean {
  const mistake = regexMistake(pattern, anyCase);
  if (mistake === undefined) return true;
  scope.tell(
    pointer,
    'config/regular-expression',
    `"${pattern}" is no regular expression: ${mistake}`,
    "JavaScript's regular expressions are used, and most of PCRE's notation; named groups are (?<name>...).",
  );
  return false;
}

/** Tells a text that is neither a path of the site, one of its named routes, nor `more`. */
export function checkPlace(
  scope: Scope & { readonly namedRoutes: readonly string[] },
  pointer: string,
  to: string,
  more?: { readonly fits: RegExp; readonly words: string },
): void {
  if (to.startsWith('@')) {
    if (!scope.namedRoutes.includes(to))
      scope.tell(
        pointer,
        'config/unknown-route',
        `the site has no route "${to}"`,
        `Give it a route with path: "${to}".${didYouMean(to, scope.namedRoutes)}`,
      );
  } else if (!/^[/$]/.test(to) && more?.fits.test(to) !== true)
    scope.tell(
      pointer,
      'config/place',
      `"${to}" is no place of this site`,
      `Write a path such as /error.html, ${more === undefined ? '' : `${more.words}, `}or the @name of a route.`,
    );
}
