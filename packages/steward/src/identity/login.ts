/** Logging in, and what one does with one's own password and second factor. */
import type { LoggedIn } from '@steward/sdk/contract/people';
import { StewardError } from '../errors.ts';
import { type Attempts, mostKnown } from './attempts.ts';
import { copyGrants } from './may.ts';
import type { Passwords } from './password.ts';
import { isOutdated, passwordProblem } from './password.ts';
import type { People } from './people.ts';
import type { Memory, Person } from './records.ts';
import type { SecondFactors } from './second-factor.ts';
import type { Origin, Sessions } from './sessions.ts';
import { addressKey } from './throttle.ts';

export interface Login {
  /** @throws StewardError in the same words, and after the same time, for an unknown name and a wrong password. */
  login(given: { readonly name: string; readonly password: string; readonly totp?: string | undefined }, origin: Origin): Promise<LoggedIn>;
  redeem(given: { readonly code: string; readonly password: string }, origin: Origin): Promise<LoggedIn>;
  changePassword(name: string, given: { readonly password: string; readonly newPassword: string }, origin: Origin): Promise<LoggedIn>;
  beginSecondFactor(name: string, password: string, origin: Origin): Promise<{ secret: string; uri: string }>;
  confirmSecondFactor(name: string, totp: string): { recoveryCodes: string[] };
  removeSecondFactor(name: string, given: { readonly password: string; readonly totp: string }, origin: Origin): Promise<void>;
}

export interface LoginParts {
  readonly memory: Memory;
  readonly people: People;
  readonly sessions: Sessions;
  readonly attempts: Attempts;
  readonly passwords: Passwords;
  readonly secondFactors: SecondFactors;
  readonly now: () => number;
}

const wrong = (): StewardError =>
  new StewardError('identity/wrong', 'name or password is wrong', {
    status: 401,
    hint: 'Who forgot it asks a super admin for a new one-time code.',
  });

function refusePassword(password: string, name: string): void {
  const problem = passwordProblem(password, name);
  if (problem !== undefined)
    throw new StewardError('identity/password', problem, { status: 422, hint: 'A few unrelated words are long and easy.' });
}

export function createLogin({ memory, people, sessions, attempts, passwords, secondFactors, now }: LoginParts): Login {
  /** What is only remembered may be lost on a full disk: nobody is kept out for it. */
  const remember = (person: Person): Person => {
    memory.people.set(person.name, person);
    return person;
  };

  /** By the person as they are now: what changed while a password was hashed counts. */
  function begin(name: string, origin: Origin): LoggedIn {
    const person = memory.people.get(name);
    if (person === undefined || person.disabled) throw wrong();
    const address = addressKey(origin.address);
    const knownFrom = [{ address, atMs: now() }, ...person.knownFrom.filter((known) => known.address !== address)].slice(0, mostKnown);
    const { grants } = remember({ ...person, loggedInMs: now(), knownFrom });
    const { id, session } = sessions.begin(person.name, origin);
    return {
      session: id,
      csrf: sessions.csrfOf(session),
      name: person.name,
      grants: copyGrants(grants),
      endsAt: sessions.info(session).endsAt,
    };
  }

  /** The person as they are after the hashing, which others may have changed meanwhile. */
  function afterPassword(name: string, password: string | undefined): Person {
    const person = memory.people.get(name);
    if (person === undefined || person.disabled || person.password === undefined || person.password !== password) throw wrong();
    return person;
  }

  async function checked(name: string, password: string, origin: Origin) {
    const person = memory.people.get(name);
    const attempt = attempts.begin(name, person, origin.address);
    let isRight: boolean;
    try {
      isRight = await passwords.verify(person?.disabled ? undefined : person?.password, password);
    } catch (error) {
      attempt.takeBack(); // nobody looked at it
      throw error;
    }
    if (!isRight) throw wrong();
    return { person: afterPassword(name, person?.password), attempt };
  }

  /** Hashes it anew when that has become dearer. */
  async function renew(person: Person, password: string): Promise<void> {
    if (person.password === undefined || !isOutdated(person.password)) return;
    try {
      const hash = await passwords.hash(password);
      remember({ ...afterPassword(person.name, person.password), password: hash });
    } catch (error) {
      if (!(error instanceof StewardError && error.code === 'identity/busy')) throw error; // at the next login then
    }
  }

  function takeCode(person: Person, totp: string | undefined): Person {
    if (person.secondFactor === undefined) return person;
    const next = secondFactors.take(person, totp ?? '');
    if (next === undefined)
      throw new StewardError('identity/wrong-code', 'the code is wrong, or was used before', {
        status: 401,
        hint: 'Wait for the next one, or use a recovery code.',
      });
    return remember(next);
  }

  async function setPassword(person: Person, password: string, origin: Origin): Promise<LoggedIn> {
    refusePassword(password, person.name);
    const hash = await passwords.hash(password);
    const latest = memory.people.get(person.name);
    const isSame = latest?.password === person.password && latest?.invitation?.hash === person.invitation?.hash;
    if (latest === undefined || latest.disabled || !isSame) throw wrong();
    const { invitation: _invitation, ...rest } = latest;
    sessions.endAll(person.name);
    people.keep({ ...rest, password: hash });
    return begin(person.name, origin);
  }

  return {
    async login({ name, password, totp }, origin) {
      const { person, attempt } = await checked(name.trim().toLowerCase(), password, origin);
      if (person.secondFactor !== undefined && totp === undefined) {
        attempt.takeBack();
        throw new StewardError('identity/second-factor', 'a code of the second factor is needed', {
          status: 401,
          hint: 'Send `totp`: the six digits of the authenticator, or a recovery code.',
        });
      }
      takeCode(person, totp);
      attempt.succeeded();
      await renew(person, password);
      return begin(person.name, origin);
    },
    async redeem({ code, password }, origin) {
      const attempt = attempts.begin(`a code from ${origin.address}`, undefined, origin.address); // no name that others can make wait
      const person = people.invited(code);
      if (person === undefined)
        throw new StewardError('identity/wrong-code', 'the one-time code is wrong, was used before, or is older than a day', {
          status: 401,
          hint: 'Ask a super admin for a new one.',
        });
      attempt.succeeded();
      return setPassword(person, password, origin);
    },
    async changePassword(name, { password, newPassword }, origin) {
      refusePassword(newPassword, name);
      const { person, attempt } = await checked(name, password, origin);
      attempt.succeeded();
      return setPassword(person, newPassword, origin);
    },
    async beginSecondFactor(name, password, origin) {
      const { person, attempt } = await checked(name, password, origin);
      attempt.succeeded();
      if (person.secondFactor !== undefined)
        throw new StewardError('identity/exists', 'there is a second factor already', { status: 409, hint: 'Remove it first.' });
      return secondFactors.begin(person);
    },
    confirmSecondFactor(name, totp) {
      const person = people.get(name);
      if (person.secondFactor !== undefined)
        throw new StewardError('identity/exists', 'there is a second factor already', { status: 409, hint: 'Remove it first.' });
      const { person: next, recoveryCodes } = secondFactors.confirm(person, totp.trim());
      people.keep(next);
      return { recoveryCodes };
    },
    async removeSecondFactor(name, { password, totp }, origin) {
      const { person, attempt } = await checked(name, password, origin);
      const { secondFactor: _secondFactor, ...rest } = takeCode(person, totp);
      attempt.succeeded();
      people.keep(rest);
    },
  };
}
