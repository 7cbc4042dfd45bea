/** What Require, Order and AuthType amount to, in the words of a route. */
import { isInRange, parseIp, parseRange } from '../address-range.ts';
import type { RouteSource, StepSource } from '../sections/step.ts';
import type { OldRules, Permit, Scene, Settings } from './scene.ts';

export type Guards = Pick<RouteSource, 'access' | 'basicAuth' | 'satisfy'>;

/** Rules in turn; `users`: who must give a password, none is any of the file. */
interface Wanted {
  readonly rules: readonly string[];
  readonly users?: readonly string[];
  readonly satisfy: 'all' | 'any';
}

const everybody: Wanted = { rules: [], satisfy: 'all' };
const nobody: Wanted = { rules: ['deny all'], satisfy: 'all' };

const allowOnly = (who: readonly string[]): readonly string[] => [...who.map((one) => `allow ${one}`), 'deny all'];
const isOpen = ({ rules, users }: Wanted): boolean => rules.length === 0 && users === undefined;
const isClosed = ({ rules, satisfy, users }: Wanted): boolean => rules[0] === 'deny all' && (satisfy === 'all' || users === undefined);

/** One permit turned round, for <RequireNone>. */
function negated(permit: Permit): Permit | undefined {
  if (permit.kind === 'everybody' || permit.kind === 'addresses') return { ...permit, not: !permit.not };
  return undefined;
}

function anyOf(all: readonly Wanted[]): Wanted | undefined {
  if (all.some(isOpen)) return everybody;
  const left = all.filter((one) => !isClosed(one));
  const [first, ...more] = left;
  if (first === undefined) return nobody;
  if (more.length === 0) return first;
  const isPlain = (one: Wanted): boolean => one.users === undefined || one.rules.length === 0;
  const isList = (one: Wanted): boolean => one.rules.every((rule) => rule.startsWith('allow') || rule === 'deny all');
  if (!left.every((one) => isPlain(one) && isList(one))) return undefined;
  const who = left.flatMap(({ rules }) => rules.filter((rule) => rule !== 'deny all'));
  const asked = left.flatMap(({ users }) => (users === undefined ? [] : [users]));
  const users = asked.length === 0 ? undefined : asked.some((names) => names.length === 0) ? [] : asked.flat();
  if (who.length > 0 && users !== undefined && users.length > 0) return undefined;
  return {
    rules: who.length === 0 ? [] : [...who, 'deny all'],
    ...(users && { users }),
    satisfy: who.length > 0 && users !== undefined ? 'any' : 'all',
  };
}

/** The addresses that two lists of nothing but allowed ones have in common. */
function commonRules(one: readonly string[], other: readonly string[]): readonly string[] | undefined {
  const whoOf = (rules: readonly string[]): readonly string[] | undefined => {
    const allowed = rules.slice(0, -1);
    return rules.at(-1) === 'deny all' && allowed.every((rule) => rule.startsWith('allow '))
      ? allowed.map((rule) => rule.slice(6))
      : undefined;
  };
  const [left, right] = [whoOf(one), whoOf(other)];
  if (left === undefined || right === undefined) return undefined;
  const both = left.flatMap((a) => right.flatMap((b) => (contains(a, b) ? b : contains(b, a) ? a : [])));
  return allowOnly([...new Set(both)]);
}

/** Whether all of `inner` lies in `outer`. */
function contains(outer: string, inner: string): boolean {
  const [ranges, address] = [parseRange(outer), parseIp(inner.replace(/\/.*$/, ''))];
  const bits = (text: string): number => Number(/\/(\d+)$/.exec(text)?.[1] ?? 128);
  return outer === inner || (ranges !== undefined && address !== undefined && bits(outer) <= bits(inner) && isInRange(ranges, address));
}

/** Rules that must both let somebody in: one list may be of refusals only. */
function bothRules(one: readonly string[], other: readonly string[]): readonly string[] | undefined {
  if (one.length === 0) return other;
  if (other.length === 0 || one.join() === other.join()) return one;
  const refuses = (rules: readonly string[]): boolean => rules.every((rule) => rule.startsWith('deny'));
  if (refuses(one)) return [...one, ...other];
  if (refuses(other)) return [...other, ...one];
  return commonRules(one, other);
}

function allOf(all: readonly Wanted[]): Wanted | undefined {
  let found = everybody;
  for (const one of all) {
    if (isClosed(one) || isClosed(found)) return nobody;
    if (isOpen(one)) continue;
    if (isOpen(found)) {
      found = one;
      continue;
    }
    const rules = bothRules(found.rules, one.rules);
    if (rules === undefined || found.satisfy === 'any' || one.satisfy === 'any') return undefined;
    const both = found.users !== undefined && one.users !== undefined;
    if (both && (found.users?.length ?? 0) > 0 && (one.users?.length ?? 0) > 0) return undefined;
    const users = both ? [...(found.users ?? []), ...(one.users ?? [])] : (found.users ?? one.users);
    found = { rules, ...(users && { users }), satisfy: 'all' };
  }
  return found;
}

/** What a permit asks for; undefined when a route cannot say it. */
function wantedBy(permit: Permit): Wanted | undefined {
  switch (permit.kind) {
    case 'everybody':
      return permit.not ? nobody : everybody;
    case 'addresses':
      return { rules: permit.not ? permit.who.map((one) => `deny ${one}`) : allowOnly(permit.who), satisfy: 'all' };
    case 'user':
      return { rules: [], users: permit.names, satisfy: 'all' };
    case 'any':
      return wantedByAll(permit.permits, 'any');
    case 'all':
      return wantedByAll(permit.permits, 'all');
    case 'none': {
      const turned = permit.permits.map(negated);
      return turned.every((one) => one !== undefined) ? wantedByAll(turned, 'all') : undefined;
    }
  }
}

function wantedByAll(permits: readonly Permit[], how: 'any' | 'all'): Wanted | undefined {
  const wanted = permits.map(wantedBy);
  if (!wanted.every((one) => one !== undefined)) return undefined;
  // What only refuses never lets anybody in by itself: Apache wants something beside it.
  return how === 'any' ? anyOf(wanted) : allOf(wanted);
}

/** https://httpd.apache.org/docs/2.4/mod/mod_access_compat.html#order */
function wantedByOld({ allowFirst, allow, deny }: OldRules): Wanted {
  const rules = allowFirst
    ? [...deny.map((who) => `deny ${who}`), ...allow.map((who) => `allow ${who}`), 'deny all']
    : [...allow.map((who) => `allow ${who}`), ...deny.map((who) => `deny ${who}`)];
  const end = rules.findIndex((rule) => rule.endsWith(' all'));
  const short = end < 0 ? rules : rules.slice(0, end + 1);
  const isEverybody = !short.some((rule) => rule.startsWith('deny'));
  return isEverybody ? everybody : { rules: short, satisfy: 'all' };
}

const tooMuch = 'Steward cannot say that: write one list of addresses and one Require valid-user, in <RequireAny> or <RequireAll>.';

function wantedIn(settings: Settings, scene: Scene): Wanted {
  const { permits, old, satisfy } = settings;
  const byPermits = permits === undefined ? everybody : wantedByAll(permits.value, 'any');
  const byOld = old === undefined ? everybody : wantedByOld(old);
  const any = satisfy?.value === 'any' && old !== undefined && permits !== undefined;
  const found = byPermits && (any ? anyOf([byPermits, byOld]) : allOf([byPermits, byOld]));
  if (found !== undefined) return found;
  const at = permits?.at ?? old?.at;
  if (at !== undefined)
    scene.error(
      'config/apache-not-taken-over',
      'these Require lines together are not taken over: without them the site would be open to everybody',
      at,
      tooMuch,
    );
  return nobody;
}

function basicOf(settings: Settings, wanted: Wanted, scene: Scene): RouteSource['basicAuth'] {
  const { users, realm, authType, permits } = settings;
  if (wanted.users === undefined) return undefined;
  if (users === undefined || authType?.value !== 'basic') {
    const at = users?.at ?? authType?.at ?? permits?.at;
    const lacks = users === undefined ? 'AuthUserFile' : 'AuthType Basic';
    if (at !== undefined && (authType === undefined || /^(basic|none)$/.test(authType.value)))
      scene.error('config/apache-value', `a user is required, and no ${lacks} says how to know one`, at, `Add ${lacks}.`);
    return undefined;
  }
  const found = { realm: realm?.value ?? 'Restricted', users: users.value };
  scene.draft.place(found, 'users', users.at);
  return found;
}

/** Who gets in by `settings`, and the step that turns away users of the file that are not named. */
export function guardsOf(settings: Settings, scene: Scene): { readonly guards: Guards; readonly steps: readonly StepSource[] } {
  const wanted = wantedIn(settings, scene);
  const guards: Guards = {};
  if (wanted.rules.length > 0) {
    guards.access = [...wanted.rules];
    const at = settings.permits?.at ?? settings.old?.at;
    if (at !== undefined) scene.draft.place(guards, 'access', at);
  }
  const basic = basicOf(settings, wanted, scene);
  if (basic !== undefined) guards.basicAuth = basic;
  if (wanted.satisfy === 'any') guards.satisfy = 'any';
  return { guards, steps: basic === undefined ? [] : namedUsers(wanted.users ?? [], settings) };
}

/** A password of the file is not enough when users are named: others get 401, as those without a password do. */
function namedUsers(names: readonly string[], { realm }: Settings): readonly StepSource[] {
  if (names.length === 0) return [];
  const pattern = `^(${['', ...names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))].join('|')})$`;
  const challenge = `Basic realm="${realm?.value ?? 'Restricted'}"`;
  const route: RouteSource = { status: 401, addHeaders: [{ name: 'WWW-Authenticate', value: challenge }], access: [], basicAuth: false };
  return [{ if: { value: '$remote_user', notMatches: pattern }, steps: [], route }];
}
