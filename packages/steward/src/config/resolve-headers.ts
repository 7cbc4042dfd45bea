/** Headers set on requests and added to answers, and what says how long an answer keeps. Pure. */
import { parseExpires } from './expires.ts';
import type { AddedHeader, ExpiresSpec, Text } from './model.ts';
import { pointerStep } from './problem.ts';
import type { Scope } from './scope.ts';
import type { SiteSource } from './sections/site.ts';
import type { RouteSource } from './sections/step.ts';
import { hasVariable } from './text-variables.ts';
import { durationOr } from './units.ts';

/** A token of RFC 9110 section 5.6.2. */
export const isHeaderName = (text: string): boolean => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);

interface GivenHeader {
  readonly name: string;
  readonly value: string;
  readonly always?: boolean;
}

/** Both ways to write headers as one, each with the places of its name and its value. */
function* headersOf(
  pointer: string,
  given: Readonly<Record<string, string>> | readonly GivenHeader[],
): Generator<{ header: GivenHeader; nameAt: string; valueAt: string }> {
  if (Array.isArray(given))
    for (const [index, header] of (given as readonly GivenHeader[]).entries())
      yield { header, nameAt: `${pointer}/${index}/name`, valueAt: `${pointer}/${index}/value` };
  else
    for (const [name, value] of Object.entries(given as Readonly<Record<string, string>>)) {
      const at = pointer + pointerStep(name);
      yield { header: { name, value }, nameAt: `${at}#key`, valueAt: at };
    }
}

/** Tells a text that cannot be the name of a header. */
export function checkHeaderName(scope: Scope, pointer: string, name: string): void {
  if (!isHeaderName(name))
    scope.tell(pointer, 'config/header-name', `"${name}" cannot be the name of a header`, 'Use letters, digits and -.');
}

function checkedHeaders(scope: Scope, pointer: string, given: RouteSource['setHeaders'] | RouteSource['addHeaders']): GivenHeader[] {
  return [...headersOf(pointer, given ?? {})].map(({ header, nameAt, valueAt }) => {
    checkHeaderName(scope, nameAt, header.name);
    if (/[\r\n\0]/.test(header.value))
      scope.tell(valueAt, 'config/header-value', `the value of ${header.name} holds a line break`, 'Headers are one line each.');
    scope.text(valueAt, header.value);
    return header;
  });
}

/** `setHeaders` of a route. */
export const resolveSetHeaders = (scope: Scope, pointer: string, given: RouteSource['setHeaders']): { name: string; value: Text }[] =>
  checkedHeaders(scope, pointer, given).map(({ name, value }) => ({ name, value }));

/** `addHeaders` of a route or a site. */
export const resolveAddedHeaders = (scope: Scope, pointer: string, given: RouteSource['addHeaders']): AddedHeader[] =>
  checkedHeaders(scope, pointer, given).map(({ name, value, always }) => ({ name, value, always: always ?? true }));

/** Strict-Transport-Security of RFC 6797, as a list of one header or none. */
export function resolveHsts(hsts: SiteSource['hsts']): AddedHeader[] {
  if (hsts === undefined || hsts === false) return [];
  const { maxAge, subdomains = false, preload = false } = hsts === true ? {} : hsts;
  const seconds = Math.round(durationOr(maxAge, 365 * 86_400_000) / 1000);
  const value = `max-age=${seconds}${subdomains ? '; includeSubDomains' : ''}${preload ? '; preload' : ''}`;
  return [{ name: 'Strict-Transport-Security', value, always: true }];
}

/** `own`, and what of `shared` it does not name itself. */
export function withShared(own: readonly AddedHeader[], shared: readonly AddedHeader[]): readonly AddedHeader[] {
  const has = ({ name }: AddedHeader): boolean => own.some((header) => header.name.toLowerCase() === name.toLowerCase());
  return [...shared.filter((header) => !has(header)), ...own];
}

/** `expires` of a route. */
export function resolveExpires(scope: Scope, pointer: string, given: string | undefined): ExpiresSpec {
  if (given === undefined) return { kind: 'off' };
  if (hasVariable(given)) return { kind: 'text', text: scope.text(pointer, given) };
  const expires = parseExpires(given);
  if (expires === undefined)
    scope.tell(
      pointer,
      'config/expires',
      `"${given}" does not say how long an answer keeps`,
      'Write 30d, -1, modified+1h, @15h30m, epoch, max, off, or a variable.',
    );
  return expires ?? { kind: 'off' };
}
