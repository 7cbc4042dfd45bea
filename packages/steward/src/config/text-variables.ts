/** The variables that a text names, and those that a file makes: which of them there are. Pure. */
import { groupNames } from './regular-expression.ts';
import type { SiteSource, VariableSource } from './sections/site.ts';
import type { RouteSource, StepSource } from './sections/step.ts';
import { isBuiltInVariable } from './variable-names.ts';

export const hasVariable = (text: string): boolean => /\$(?:\{|[1-9A-Za-z_])/.test(text);

/** Whether a `${` is not closed by the brace that belongs to it. */
export const hasOpenVariable = (text: string): boolean => /\$\{(?!\w+\})/.test(text);

/**
 * Names in `text`, lowercase and without `$`, as often as they stand there. A group has one digit, as in nginx: `$10` is `$1`
 * and a 0. A `$` before anything else stands for itself.
 */
export const variablesIn = (text: string): string[] =>
  [...text.matchAll(/\$(?:\{(\w+)\}|([1-9])|([A-Za-z_]\w*))/g)].map(([, braced, group, plain]) =>
    (braced ?? group ?? plain ?? '').toLowerCase(),
  );

/** `$1` to `$9`: groups of the last regular expression that fitted. */
export const isGroupNumber = (name: string): boolean => /^[1-9]$/.test(name);

/** Names of nginx's variables that a `set` may change. */
const changeable: ReadonlySet<string> = new Set(['args', 'limit_rate']);

/** Whether a file may give this name (lowercase) to a variable of its own. */
export const isFreeName = (name: string): boolean => !isGroupNumber(name) && (changeable.has(name) || !isBuiltInVariable(name));

/** The expression of `~ regex` or `~* regex`; undefined for other texts. */
export const expressionOf = (text: string): string | undefined => /^~\*?\s*(.*)$/s.exec(text)?.[1];

const named = (texts: readonly (string | undefined)[]): string[] =>
  texts.flatMap((text) => (text === undefined ? [] : groupNames(text).map((name) => name.toLowerCase())));

const namedBy = (text: string | undefined): string[] => named([text === undefined ? undefined : expressionOf(text)]);

function setByAccess({ authRequest }: Pick<RouteSource, 'authRequest'>): string[] {
  return typeof authRequest === 'object' ? Object.keys(authRequest.set ?? {}).map((name) => name.toLowerCase()) : [];
}

function setByStep({ set, rewrite, if: test, steps, route }: StepSource): string[] {
  return [
    ...Object.keys(set ?? {}).map((name) => name.toLowerCase()),
    ...named([rewrite, test?.matches, test?.matchesAnyCase, test?.notMatches, test?.notMatchesAnyCase]),
    ...(steps ?? []).flatMap(setByStep),
    ...(route === undefined ? [] : setByRoute(route)),
  ];
}

function setByRoute(route: RouteSource): string[] {
  return [
    ...namedBy(route.path),
    ...setByAccess(route),
    ...(route.accessExcept === undefined ? [] : setByAccess(route.accessExcept)),
    ...[...(route.rewriteLocation ?? []), ...(route.rewriteCookies ?? [])].flatMap(({ from }) => namedBy(from)),
    ...(route.steps ?? []).flatMap(setByStep),
    ...(route.routes ?? []).flatMap(setByRoute),
  ];
}

/** Names of the variables that a site makes: by `set`, by authRequest, and by named groups of its regular expressions. */
export function variablesOfSite(site: SiteSource): Set<string> {
  return new Set([
    ...(site.hosts ?? []).flatMap(namedBy),
    ...setByAccess(site),
    ...(site.steps ?? []).flatMap(setByStep),
    ...site.routes.flatMap(setByRoute),
  ]);
}

/** Names that an entry of `variables:` makes: its own, and the named groups of its cases. */
export const variablesOfEntry = (name: string, { cases }: VariableSource): string[] => [
  name.toLowerCase(),
  ...Object.keys(cases).flatMap(namedBy),
];
