/** Whether a caller may have an operation done, decided before its handler hears of it. */
import type { Operation } from '@steward/sdk/contract/operation';
import type { InstanceSpec } from '../config/model.ts';
import { StewardError } from '../errors.ts';
import { may, mayAnywhere, type Resource, type Subject, whole } from '../identity/identity.ts';
import { resolveNames } from './names.ts';

/** What a request gives. */
export interface Given {
  readonly query?: unknown;
  readonly body?: unknown;
}

type Named = Pick<InstanceSpec, 'id' | 'service' | 'group' | 'name'>;

export const resourceOf = ({ service, group }: Pick<InstanceSpec, 'service' | 'group'>): Resource => ({ kind: 'service', service, group });

/** The names in the field that `about` tells of; undefined when it is not given. */
function namesIn(about: string, given: Given): readonly string[] | undefined {
  const [part, field] = about.split('.') as ['body' | 'query', string];
  const value = (given[part] as Record<string, unknown> | undefined)?.[field];
  if (value === undefined) return undefined;
  return part === 'query' ? String(value).split(',') : [value].flat().map(String);
}

function refuse({ name, needs }: Operation, about = ''): StewardError {
  return new StewardError('api/forbidden', `you may not do that: ${name} needs the right "${needs}"${about}`, {
    status: 403,
    hint: 'Ask a super admin for a role that gives it.',
  });
}

/**
 * @throws StewardError for what `subject` has no right to. Services that it may not even see are unknown to it: names mean only
 * those of `known` that it may.
 */
export function authorize(operation: Operation, given: Given, subject: Subject, known: () => readonly Named[]): void {
  const { needs, about, local } = operation;
  if (local && subject.kind !== 'local')
    throw new StewardError('api/local-only', `${operation.name} is done on the machine itself, over the control socket`, { status: 403 });
  if (needs === 'nothing') return;
  if (subject.kind === 'nobody')
    throw new StewardError('api/who', 'it is not known who asks', {
      status: 401,
      hint: 'Log in, or send a token: Authorization: Bearer ...',
    });
  if (about === undefined) {
    if (!may(subject, needs, whole)) throw refuse(operation);
    return;
  }
  if (!mayAnywhere(subject, needs)) throw refuse(operation);
  const names = about === 'each' ? undefined : namesIn(about, given);
  if (names === undefined) return; // the answer holds what it may see
  const visible = known().filter((spec) => may(subject, 'read', resourceOf(spec)));
  const ids = new Set(resolveNames(names, visible));
  const refused = visible.find((spec) => ids.has(spec.id) && !may(subject, needs, resourceOf(spec)));
  if (refused !== undefined) throw refuse(operation, ` over ${refused.service}`);
}
