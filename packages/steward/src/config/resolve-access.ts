/** Who may come in: rules by address, names with passwords, and what another place of the site says. Pure. */
import { parseRange } from './address-range.ts';
import type { AccessSpec, BasicSpec } from './model.ts';
import { pointerStep } from './problem.ts';
import { checkPlace, pathText } from './resolve-text.ts';
import type { Scope, SiteScope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';
import { isFreeName } from './text-variables.ts';

/** What a site, a route or accessExcept says of access. */
export type AccessSource = Pick<RouteSource, 'access' | 'basicAuth' | 'authRequest' | 'satisfy'>;

/** Addresses and ranges of a list; tells those that are none. */
export function checkRanges(scope: Scope, pointer: string, texts: readonly string[]): readonly string[] {
  texts.forEach((text, index) => void checkRange(scope, `${pointer}/${index}`, text));
  return texts;
}

function checkRange(scope: Scope, pointer: string, text: string): void {
  if (parseRange(text) === undefined)
    scope.tell(
      pointer,
      'config/address-range',
      `"${text}" is no address and no range of addresses`,
      'Write an address such as 192.0.2.7, a range such as 10.0.0.0/8 or 2001:db8::/32, unix: or all.',
    );
}

function ruleOf(scope: Scope, pointer: string, text: string): AccessSpec['rules'][number] {
  const [verb, who = ''] = text.split(/\s+/);
  checkRange(scope, pointer, who);
  return { allow: verb === 'allow', who };
}

const basicOf = (scope: Scope, pointer: string, { realm, users }: Exclude<NonNullable<RouteSource['basicAuth']>, false>): BasicSpec => ({
  realm: scope.text(`${pointer}/realm`, realm ?? 'Restricted'),
  users: pathText(scope, `${pointer}/users`, users),
});

function requestOf(
  scope: SiteScope,
  pointer: string,
  given: Exclude<RouteSource['authRequest'], false | undefined>,
): AccessSpec['request'] {
  const { uri, set = {} } = typeof given === 'string' ? { uri: given } : given;
  const at = typeof given === 'string' ? pointer : `${pointer}/uri`;
  checkPlace(scope, at, uri);
  for (const [name, value] of Object.entries(set)) {
    checkVariableName(scope, `${pointer}/set${pointerStep(name)}#key`, name);
    scope.text(`${pointer}/set${pointerStep(name)}`, value);
  }
  const lower = Object.fromEntries(Object.entries(set).map(([name, value]) => [name.toLowerCase(), value]));
  return { uri: scope.text(at, uri), set: lower };
}

/** Tells a name that a file cannot give to a variable. */
export function checkVariableName(scope: Scope, pointer: string, name: string): void {
  if (!/^[A-Za-z_]\w*$/.test(name))
    scope.tell(
      pointer,
      'config/own-variable',
      `"${name}" cannot be the name of a variable`,
      name.startsWith('$') ? `Write it without $: ${name.slice(1)}.` : 'Use letters, digits and _.',
    );
  else if (!isFreeName(name.toLowerCase()))
    scope.tell(pointer, 'config/own-variable', `$${name} is a variable of the gateway's own`, 'Give it another name.');
}

/** What `source` says of access, on top of what holds `around` it: each of the four takes the place of its like. */
export function resolveAccess(scope: SiteScope, pointer: string, source: AccessSource, around: AccessSpec): AccessSpec {
  const { access, basicAuth, authRequest, satisfy } = source;
  const basic =
    basicAuth === undefined ? around.basic : basicAuth === false ? undefined : basicOf(scope, `${pointer}/basicAuth`, basicAuth);
  const request =
    authRequest === undefined
      ? around.request
      : authRequest === false
        ? undefined
        : requestOf(scope, `${pointer}/authRequest`, authRequest);
  return {
    satisfy: satisfy ?? around.satisfy,
    rules: access?.map((text, index) => ruleOf(scope, `${pointer}/access/${index}`, text)) ?? around.rules,
    ...(basic && { basic }),
    ...(request && { request }),
  };
}

/** Rules for all methods but some. They stand in place of the route's own `access`, and take over what they do not say. */
export function resolveAccessExcept(
  scope: SiteScope,
  pointer: string,
  given: NonNullable<RouteSource['accessExcept']>,
  around: AccessSpec,
): { methods: readonly string[]; access: AccessSpec } {
  given.methods.forEach((method, index) => {
    if (!/^[A-Z][A-Z-]*$/.test(method))
      scope.tell(`${pointer}/methods/${index}`, 'config/method', `"${method}" is no method`, 'Write it in capitals, such as GET or POST.');
  });
  return { methods: given.methods, access: resolveAccess(scope, pointer, given, around) };
}
