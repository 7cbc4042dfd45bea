/**
 * Identity: who asks, and what they may do.
 *
 *   a session's id, or a token ── identify ──▶ Subject ── may ──▶ yes or no
 *
 * People are added with a one-time code, by which they set their password; nobody else ever knows it. There is no first password
 * and none by default: the first super admin is made at the control socket. Of passwords an argon2id hash is kept, of sessions,
 * tokens and codes a SHA-256. Everything is in memory; state.db remembers it.
 */
import { hkdfSync } from 'node:crypto';
import type { Store } from '../store/store.ts';
import { createAttempts } from './attempts.ts';
import { createLogin, type Login } from './login.ts';
import type { Subject } from './may.ts';
import { createPasswords } from './password.ts';
import { createPeople, type People, refuseUnwritten } from './people.ts';
import { openMemory } from './records.ts';
import { createSecondFactors } from './second-factor.ts';
import { createSessions, publicId, type Sessions } from './sessions.ts';
import { createTokens, type Tokens } from './tokens.ts';

export { copyGrants, type Grant, may, mayAnywhere, nobody, type Resource, type Subject, whole } from './may.ts';
export type { Person, Session, Token } from './records.ts';
export { type Origin, publicId } from './sessions.ts';
export { refuseUnwritten };

/** What a request shows of who sends it. */
export interface Credentials {
  /** What a browser sends. */
  readonly sessionId?: string | undefined;
  readonly token?: string | undefined;
}

export interface Identified {
  readonly subject: Subject;
  /** Names the session in lists. What changes something with a session needs its CSRF token too. */
  readonly session?: string;
}

export interface Identity extends Login {
  /** Undefined for what is not, or no longer, good. A token counts when there are both. Costs no look at the disk. */
  identify(credentials: Credentials): Identified | undefined;
  /** Whether the session of this name in lists is good still; it is not used by asking. */
  lasts(session: string): boolean;
  /** Whether `csrf` was given out with this session. */
  csrfFits(sessionId: string, csrf: string): boolean;
  readonly people: People;
  readonly sessions: Sessions;
  readonly tokens: Tokens;
}

export interface IdentityOptions {
  readonly store: Store;
  /** Of this installation; what is sealed opens with no other. */
  readonly secretKey: string;
  /** What an authenticator calls it: the name of the machine. */
  readonly issuer: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The person a subject stands for; undefined for those at the control socket and for nobody. */
export function personOf({ kind, name }: Subject): string | undefined {
  if (kind === 'person') return name;
  return kind === 'token' ? name.slice(0, name.indexOf('/')) : undefined;
}

export function createIdentity({ store, secretKey, issuer, now }: IdentityOptions): Identity {
  const keyFor = (purpose: string): Buffer => Buffer.from(hkdfSync('sha256', secretKey, '', `steward identity: ${purpose}`, 32));
  const memory = openMemory(store);
  const sessions = createSessions(memory, keyFor('csrf'), now);
  const tokens = createTokens(memory, now);
  const people = createPeople(memory, sessions, tokens, now);
  const login = createLogin({
    memory,
    people,
    sessions,
    attempts: createAttempts(memory, now),
    passwords: createPasswords(),
    secondFactors: createSecondFactors(keyFor('second factor'), issuer, now),
    now,
  });

  function byToken(secret: string): Identified | undefined {
    const token = tokens.use(secret);
    const maker = token && memory.people.get(token.person);
    if (token === undefined || maker === undefined || maker.disabled) return undefined;
    return { subject: { kind: 'token', name: `${maker.name}/${token.name}`, grants: token.grants, within: maker.grants } };
  }

  function bySession(id: string): Identified | undefined {
    const session = sessions.use(id);
    const person = session && memory.people.get(session.person);
    if (session === undefined || person === undefined || person.disabled) return undefined;
    return { subject: { kind: 'person', name: person.name, grants: person.grants }, session: publicId(session) };
  }

  return {
    ...login,
    identify({ sessionId, token }) {
      if (token !== undefined) return byToken(token);
      return sessionId === undefined ? undefined : bySession(sessionId);
    },
    lasts: (session) => sessions.find(session) !== undefined,
    csrfFits(sessionId, csrf) {
      const session = sessions.use(sessionId);
      return session !== undefined && sessions.isCsrf(session, csrf);
    },
    people,
    sessions,
    tokens,
  };
}
