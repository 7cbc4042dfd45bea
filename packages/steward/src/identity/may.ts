/**
 * The one place that decides who may do what: for the command line, the API, the console and supervisorctl alike. Pure.
 *
 *   subject (grants: a role, and on what) × right × resource → yes or no
 */
import type { GrantInfo } from '@steward/sdk/contract/people';
import { type Right, type Role, roles } from '@steward/sdk/contract/rights';

/** A role, for everything or for some services, groups and sites: `service:web`, `group:shop`, `site:example.com`. */
export interface Grant {
  readonly role: Role;
  readonly on?: readonly string[] | undefined;
}

/** As they are told to others: a copy that nobody holds. */
export const copyGrants = (grants: readonly Grant[]): GrantInfo[] => grants.map(({ role, on }) => ({ role, ...(on && { on: [...on] }) }));

/** Who asks. */
export interface Subject {
  /** `local`: somebody at the control socket, who owns this installation. */
  readonly kind: 'local' | 'person' | 'token' | 'supervisorctl' | 'nobody';
  /** As it stands in the audit trail. */
  readonly name: string;
  readonly grants: readonly Grant[];
  /** A token may no more than the person who made it. */
  readonly within?: readonly Grant[] | undefined;
}

/** What it is about. */
export type Resource =
  | { readonly kind: 'whole' }
  | { readonly kind: 'service'; readonly service: string; readonly group: string }
  | { readonly kind: 'site'; readonly hosts: readonly string[] };

export const whole: Resource = { kind: 'whole' };
export const nobody: Subject = { kind: 'nobody', name: '', grants: [] };

const gives = (role: Role, right: Right): boolean => (roles[role] as readonly Right[] | undefined)?.includes(right) === true;

/** The names by which a grant can mean it. */
function namesOf(resource: Resource): readonly string[] {
  if (resource.kind === 'service') return [`service:${resource.service}`, `group:${resource.group}`];
  return resource.kind === 'site' ? resource.hosts.map((host) => `site:${host}`) : [];
}

/** A grant for some things gives nothing over the whole, but for what is one's own. */
const covers = ({ on }: Grant, right: Right, resource: Resource): boolean =>
  on === undefined || right === 'self' || namesOf(resource).some((name) => on.includes(name));

const allow = (grants: readonly Grant[], right: Right, resource: Resource): boolean =>
  grants.some((grant) => gives(grant.role, right) && covers(grant, right, resource));

/** Whether `subject` has a right over `resource`. */
export const may = ({ grants, within }: Subject, right: Right, resource: Resource): boolean =>
  allow(grants, right, resource) && (within === undefined || allow(within, right, resource));

/** Whether there is anything that `subject` has a right over. */
export const mayAnywhere = ({ grants, within }: Subject, right: Right): boolean =>
  [grants, within ?? grants].every((some) => some.some(({ role }) => gives(role, right)));
