/** The second factor of people: begun, confirmed, asked for, removed. */
import { StewardError } from '../errors.ts';
import { hashOf, newRecoveryCode, normalRecoveryCode } from './codes.ts';
import type { Person } from './records.ts';
import { base32, matchingStep, newSecret, otpauthUri, seal, unseal } from './totp.ts';

const pendingMs = 10 * 60_000;
const recoveryCodes = 10;

export interface SecondFactors {
  /** A secret that counts once a code of it is confirmed. */
  begin(person: Person): { readonly secret: string; readonly uri: string };
  /** The person with it, and their recovery codes. @throws StewardError when nothing was begun, or the code is wrong. */
  confirm(person: Person, code: string): { readonly person: Person; readonly recoveryCodes: string[] };
  /** The person after a code, or a recovery code, was taken; undefined when it is wrong, or was taken before. */
  take(person: Person, code: string): Person | undefined;
}

export function createSecondFactors(key: Buffer, issuer: string, now: () => number): SecondFactors {
  const pending = new Map<string, { readonly secret: Buffer; readonly untilMs: number }>();

  function takeRecovery(person: Person, code: string): Person | undefined {
    const { secondFactor } = person;
    const hash = hashOf(normalRecoveryCode(code));
    if (secondFactor === undefined || !secondFactor.recovery.includes(hash)) return undefined;
    return { ...person, secondFactor: { ...secondFactor, recovery: secondFactor.recovery.filter((other) => other !== hash) } };
  }

  return {
    begin(person) {
      const secret = newSecret();
      for (const [name, { untilMs }] of pending) if (untilMs < now()) pending.delete(name);
      pending.set(person.name, { secret, untilMs: now() + pendingMs });
      return { secret: base32(secret), uri: otpauthUri(secret, person.name, issuer) };
    },
    confirm(person, code) {
      const begun = pending.get(person.name);
      if (begun === undefined || begun.untilMs < now())
        throw new StewardError('identity/not-begun', 'no second factor was begun, or that was more than ten minutes ago', {
          status: 409,
          hint: 'Begin again.',
        });
      const lastStep = matchingStep(begun.secret, code, now(), 0);
      if (lastStep === undefined)
        throw new StewardError('identity/wrong-code', 'the code is wrong', {
          status: 422,
          hint: 'Look whether the clock of the phone is right.',
        });
      pending.delete(person.name);
      const codes = Array.from({ length: recoveryCodes }, newRecoveryCode);
      const secondFactor = { secret: seal(key, begun.secret, person.name), lastStep, recovery: codes.map(hashOf) };
      return { person: { ...person, secondFactor }, recoveryCodes: codes };
    },
    take(person, code) {
      const { secondFactor } = person;
      if (secondFactor === undefined) return undefined;
      const secret = unseal(key, secondFactor.secret, person.name);
      const step = secret && matchingStep(secret, code.trim(), now(), secondFactor.lastStep);
      if (step !== undefined) return { ...person, secondFactor: { ...secondFactor, lastStep: step } };
      return takeRecovery(person, code);
    },
  };
}
