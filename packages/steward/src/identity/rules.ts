/** What holds for people and their roles. Pure: each rule says why not, or nothing. */
import { type Right, type Role, roles } from '@steward/sdk/contract/rights';
import type { Grant } from './may.ts';
import type { Person } from './records.ts';

/** Names that stand for something else in the audit trail. */
const reserved = new Set(['local', 'nobody', 'root', 'steward', 'supervisorctl']);

export const isReserved = (name: string): boolean => reserved.has(name);

const has = (grants: readonly Grant[], role: Role): boolean => grants.some((grant) => grant.role === role);

/** Who looks after what others do does nothing that is looked after. */
export function grantsProblem(grants: readonly Grant[]): string | undefined {
  const operates = (['super', 'operator'] as const).find((role) => has(grants, role));
  if (has(grants, 'audit') && operates !== undefined)
    return `one person cannot have both the role audit and the role ${operates}: who operates is not the one to look it over`;
  if (grants.some(({ role, on }) => role === 'audit' && on !== undefined))
    return 'the role audit is for everything: there is one trail for all';
  return undefined;
}

const isSuper = ({ grants }: Person): boolean => grants.some(({ role, on }) => role === 'super' && on === undefined);

/** A super admin who can log in. */
export const isActingSuper = (person: Person): boolean => isSuper(person) && !person.disabled && person.password !== undefined;

/** Whether `next` (nobody: undefined) in place of `person` would leave no super admin who can log in, and there is one now. */
export function leavesNoSuper(people: Iterable<Person>, person: Person, next: Person | undefined): boolean {
  if (!isActingSuper(person) || (next !== undefined && isActingSuper(next))) return false;
  return ![...people].some((other) => other.name !== person.name && isActingSuper(other));
}

const rightsOf = (grants: readonly Grant[]): Set<Right> => new Set(grants.flatMap(({ role }) => [...(roles[role] as readonly Right[])]));

/** A role in `wanted` that gives what none of `grants` does. What each is for is compared at every use, where groups are known. */
export function beyond(wanted: readonly Grant[], grants: readonly Grant[]): Role | undefined {
  const held = rightsOf(grants);
  return wanted.find(({ role }) => (roles[role] as readonly Right[]).some((right) => !held.has(right)))?.role;
}
