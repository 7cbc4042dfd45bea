/** The people who may log in: added with a one-time code, given roles, disabled, reset, removed. */
import { type Invitation, type PersonInfo, personNamePattern } from '@steward/sdk/contract/people';
import { StewardError } from '../errors.ts';
import { hashOf, newCode } from './codes.ts';
import { copyGrants, type Grant } from './may.ts';
import type { Memory, Person } from './records.ts';
import { grantsProblem, isReserved, leavesNoSuper } from './rules.ts';
import type { Sessions } from './sessions.ts';
import type { Tokens } from './tokens.ts';

const invitationMs = 24 * 60 * 60 * 1000;
const mostPeople = 10_000;

export interface People {
  /** @throws StewardError when there is none of this name. */
  get(name: string): Person;
  /** By name. */
  list(): Person[];
  info(person: Person): PersonInfo;
  create(name: string, grants: readonly Grant[], madeBy: string): Invitation;
  update(name: string, change: { readonly grants?: readonly Grant[]; readonly disabled?: boolean }): Person;
  /** Takes password, second factor and sessions away, for a new one-time code. */
  reset(name: string): Invitation;
  remove(name: string): void;
  /** Whose one-time code this is, if it is good still. */
  invited(code: string): Person | undefined;
  /** Keeps a person as they are now. @throws StewardError when it holds, and cannot be written. */
  keep(person: Person): Person;
}

const isoOr = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());

/** What was done holds until the daemon ends: who did it must know that it may come back. */
export function refuseUnwritten(written: boolean): void {
  if (written) return;
  throw new StewardError('identity/not-kept', 'it is done, and cannot be written to state.db: it may be undone when the daemon ends', {
    status: 507,
    hint: 'Look whether the disk is full (df). It is written as soon as it can be.',
  });
}

function refuseGrants(grants: readonly Grant[]): void {
  const problem = grantsProblem(grants);
  if (problem !== undefined)
    throw new StewardError('identity/roles', problem, { status: 422, hint: 'Give the other role to another person.' });
}

function refuseName(name: string): void {
  if (isReserved(name))
    throw new StewardError('identity/name', `"${name}" stands for something else in the audit trail`, {
      status: 422,
      hint: 'Choose another name.',
    });
  if (!new RegExp(personNamePattern).test(name))
    throw new StewardError('identity/name', `"${name}" cannot be a name`, {
      status: 422,
      hint: 'Use 1 to 32 of a-z 0-9 . _ -, beginning with a letter.',
    });
}

export function createPeople(memory: Memory, sessions: Sessions, tokens: Tokens, now: () => number): People {
  const { people, failures } = memory;

  function get(name: string): Person {
    const person = people.get(name);
    if (person === undefined)
      throw new StewardError('identity/unknown', `there is no person "${name}"`, { status: 404, hint: '`steward user list` shows them.' });
    return person;
  }

  function refuseLastSuper(person: Person, next: Person | undefined): void {
    if (!leavesNoSuper(people.values(), person, next)) return;
    throw new StewardError('identity/last-super', `${person.name} is the last super admin who can log in`, {
      status: 409,
      hint: 'Make another one first, and let them set their password: steward admin create NAME',
    });
  }

  const info = (person: Person): PersonInfo => ({
    name: person.name,
    grants: copyGrants(person.grants),
    disabled: person.disabled,
    hasPassword: person.password !== undefined,
    hasSecondFactor: person.secondFactor !== undefined,
    invitedUntil: person.invitation !== undefined && now() < person.invitation.untilMs ? isoOr(person.invitation.untilMs) : null,
    madeBy: person.madeBy,
    createdAt: new Date(person.createdMs).toISOString(),
    loggedInAt: isoOr(person.loggedInMs),
    sessions: sessions.list(person.name).length,
    tokens: tokens.list(person.name).length,
  });

  /** The code is shown, and its hash kept. */
  function invite(person: Person): { next: Person; answer: (kept: Person) => Invitation } {
    const code = newCode();
    const untilMs = now() + invitationMs;
    return {
      next: { ...person, invitation: { hash: hashOf(code), untilMs } },
      answer: (kept) => ({ person: info(kept), code, expiresAt: new Date(untilMs).toISOString() }),
    };
  }

  function keep(person: Person): Person {
    refuseUnwritten(people.set(person.name, person));
    return person;
  }

  return {
    get,
    list: () => [...people.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    info,
    create(name, grants, madeBy) {
      refuseName(name);
      refuseGrants(grants);
      if (people.get(name) !== undefined)
        throw new StewardError('identity/exists', `there is a person "${name}" already`, {
          status: 409,
          hint: `\`steward user reset ${name}\` gives them a new one-time code.`,
        });
      if (people.size >= mostPeople) throw new StewardError('identity/too-many', `there are ${mostPeople} people already`, { status: 409 });
      const { next, answer } = invite({ name, grants, disabled: false, madeBy, createdMs: now(), knownFrom: [] });
      if (!people.set(name, next)) {
        people.delete(name);
        throw new StewardError('identity/not-kept', `${name} was not added: state.db cannot be written`, {
          status: 507,
          hint: 'Look whether the disk is full (df).',
        });
      }
      return answer(next);
    },
    update(name, { grants, disabled }) {
      const person = get(name);
      if (grants !== undefined) refuseGrants(grants);
      const next = { ...person, ...(grants && { grants }), ...(disabled !== undefined && { disabled }) };
      refuseLastSuper(person, next);
      const { written } = next.disabled ? sessions.endAll(name) : { written: true };
      keep(next);
      refuseUnwritten(written);
      return next;
    },
    reset(name) {
      const { password: _password, secondFactor: _secondFactor, ...rest } = get(name);
      sessions.endAll(name);
      failures.delete(name);
      const { next, answer } = invite(rest);
      return answer(keep(next));
    },
    remove(name) {
      const person = get(name);
      refuseLastSuper(person, undefined);
      const gone = [people.delete(name), sessions.endAll(name).written, ...tokens.list(name).map(tokens.revoke)];
      failures.delete(name);
      refuseUnwritten(gone.every(Boolean));
    },
    invited(code) {
      const hash = hashOf(code);
      return [...people.values()].find(({ invitation, disabled }) => !disabled && invitation?.hash === hash && now() < invitation.untilMs);
    },
    keep,
  };
}
