/** Tokens of programs. A token is shown once, and its SHA-256 kept. */
import type { TokenInfo } from '@steward/sdk/contract/people';
import { StewardError } from '../errors.ts';
import { hashOf, isTokenForm, newToken } from './codes.ts';
import { copyGrants, type Grant } from './may.ts';
import type { Memory, Person, Token } from './records.ts';
import { beyond } from './rules.ts';

const dayMs = 24 * 60 * 60 * 1000;
const standardDays = 90;
const writeEveryMs = 60_000;
/** Of one person; a program that makes one in a loop is told. */
const mostOfOne = 100;

export interface TokenRequest {
  readonly name: string;
  readonly grants?: readonly Grant[] | undefined;
  /** Null: it does not expire. */
  readonly expiresInDays?: number | null | undefined;
}

export interface Tokens {
  /** @throws StewardError for what its maker may not give, and when it cannot be written. */
  create(maker: Person, request: TokenRequest): { readonly token: Token; readonly secret: string };
  /** The token, if it is good; that it is used is remembered to the minute. */
  use(secret: string): Token | undefined;
  find(id: string): Token | undefined;
  /** Good ones, the newest first. */
  list(person?: string): Token[];
  /** False when that could not be written. */
  revoke(token: Token): boolean;
  info(token: Token): TokenInfo;
}

const isoOr = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());

function refuseGrants(maker: Person, grants: readonly Grant[]): void {
  const role = beyond(grants, maker.grants);
  if (role === undefined) return;
  throw new StewardError('identity/beyond', `a token of ${maker.name} cannot have the role ${role}: it may no more than ${maker.name}`, {
    status: 403,
    hint: `${maker.name} has: ${maker.grants.map((grant) => grant.role).join(', ')}.`,
  });
}

export function createTokens({ tokens }: Memory, now: () => number): Tokens {
  const byHash = new Map([...tokens.values()].map((token): [string, string] => [token.hash, token.id]));
  const isGood = ({ expiresMs }: Token): boolean => expiresMs === undefined || now() < expiresMs;
  const revoke = ({ id, hash }: Token): boolean => {
    byHash.delete(hash);
    return tokens.delete(id);
  };
  const list = (person?: string): Token[] =>
    [...tokens.values()]
      .filter((token) => (person === undefined || token.person === person) && isGood(token))
      .sort((a, b) => b.createdMs - a.createdMs || (a.id < b.id ? 1 : -1));

  function refuseName(person: string, name: string): void {
    const others = list(person);
    if (others.some((other) => other.name === name))
      throw new StewardError('identity/exists', `${person} has a token ${name} already`, {
        status: 409,
        hint: 'Take it back first, or choose another name.',
      });
    if (others.length >= mostOfOne)
      throw new StewardError('identity/too-many', `${person} has ${mostOfOne} tokens already`, {
        status: 409,
        hint: 'Take back those that nobody uses.',
      });
  }

  return {
    create(maker, { name, grants = maker.grants, expiresInDays = standardDays }) {
      refuseGrants(maker, grants);
      for (const old of [...tokens.values()]) if (!isGood(old)) revoke(old);
      refuseName(maker.name, name);
      const secret = newToken();
      const hash = hashOf(secret);
      const token: Token = {
        id: hash.slice(0, 12),
        hash,
        name,
        person: maker.name,
        grants,
        createdMs: now(),
        ...(expiresInDays !== null && { expiresMs: now() + expiresInDays * dayMs }),
      };
      if (!tokens.set(token.id, token)) {
        tokens.delete(token.id);
        throw new StewardError('identity/not-kept', 'the token was not made: state.db cannot be written', {
          status: 507,
          hint: 'Look whether the disk is full (df).',
        });
      }
      byHash.set(hash, token.id);
      return { token, secret };
    },
    use(secret) {
      if (!isTokenForm(secret)) return undefined;
      const token = tokens.get(byHash.get(hashOf(secret)) ?? '');
      if (token === undefined || !isGood(token)) return undefined;
      if (token.usedMs !== undefined && now() - token.usedMs < writeEveryMs) return token;
      const used = { ...token, usedMs: now() };
      tokens.set(token.id, used);
      return used;
    },
    find: (id) => tokens.get(id),
    list,
    revoke,
    info: ({ id, name, person, grants, createdMs, expiresMs, usedMs }) => ({
      id,
      name,
      person,
      grants: copyGrants(grants),
      createdAt: new Date(createdMs).toISOString(),
      expiresAt: isoOr(expiresMs),
      usedAt: isoOr(usedMs),
    }),
  };
}
