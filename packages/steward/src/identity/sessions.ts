/** Sessions of people who are logged in. Only the SHA-256 of what a browser sends is kept. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SessionInfo } from '@steward/sdk/contract/people';
import { hashOf, newCode } from './codes.ts';
import type { Memory, Session } from './records.ts';

const minute = 60_000;
/** The limits that xavatar asks for, and OWASP for what matters as much as this. */
export const idleMs = 30 * minute;
export const longestMs = 8 * 60 * minute;
/** The last use is noted this often, which makes the idle limit so much shorter at worst: a request costs no write. */
const writeEveryMs = minute;
/** More of one person end, the oldest first. */
const mostOfOne = 20;
const longestAgent = 200;

/** Where a request comes from: its address, and what the browser calls itself. */
export interface Origin {
  readonly address: string;
  readonly agent: string;
}

export interface Sessions {
  /** What the browser sends from now on. */
  begin(person: string, origin: Origin): { readonly id: string; readonly session: Session };
  /** The session, if it is good still; that it is used is remembered. */
  use(id: string): Session | undefined;
  /** By its name in lists. */
  find(id: string): Session | undefined;
  /** Good ones, the newest first. */
  list(person?: string): Session[];
  /** False when that could not be written. */
  end(session: Session): boolean;
  /** Ends all of a person but one, which is named as in lists; how many, and whether that could be written. */
  endAll(person: string, but?: string): { readonly ended: number; readonly written: boolean };
  /** What a page sends with everything that changes something; bound to the session. */
  csrfOf(session: Session): string;
  isCsrf(session: Session, text: string): boolean;
  info(session: Session, current?: string): SessionInfo;
}

/** In lists and addresses: it names a session and opens nothing. */
export const publicId = ({ hash }: Session): string => hash.slice(0, 16);

const endsAt = ({ createdMs }: Session): number => createdMs + longestMs;
const isGood = (session: Session, nowMs: number): boolean => nowMs < endsAt(session) && nowMs < session.usedMs + idleMs;
const iso = (ms: number): string => new Date(ms).toISOString();

export function createSessions({ sessions }: Memory, csrfKey: Buffer, now: () => number): Sessions {
  const end = ({ hash }: Session): boolean => sessions.delete(hash);
  function sweep(): void {
    for (const session of [...sessions.values()]) if (!isGood(session, now())) end(session);
  }
  const list = (person?: string): Session[] =>
    [...sessions.values()]
      .filter((session) => (person === undefined || session.person === person) && isGood(session, now()))
      .sort((a, b) => b.createdMs - a.createdMs || (a.hash < b.hash ? 1 : -1));
  const csrfOf = ({ hash }: Session): string => createHmac('sha256', csrfKey).update(hash).digest('base64url');

  return {
    begin(person, { address, agent }) {
      sweep();
      for (const old of list(person).slice(mostOfOne - 1)) end(old);
      const id = newCode();
      const at = now();
      const session: Session = { hash: hashOf(id), person, createdMs: at, usedMs: at, from: address, agent: agent.slice(0, longestAgent) };
      sessions.set(session.hash, session);
      return { id, session };
    },
    use(id) {
      const session = sessions.get(hashOf(id));
      if (session === undefined) return undefined;
      const at = now();
      if (!isGood(session, at)) {
        end(session);
        return undefined;
      }
      if (at - session.usedMs < writeEveryMs) return session;
      const used = { ...session, usedMs: at };
      sessions.set(session.hash, used);
      return used;
    },
    find: (id) => list().find((session) => publicId(session) === id),
    list,
    end,
    endAll(person, but) {
      const ended = [...sessions.values()].filter((session) => session.person === person && publicId(session) !== but);
      return { ended: ended.length, written: ended.map(end).every(Boolean) };
    },
    csrfOf,
    isCsrf(session, text) {
      const [expected, given] = [csrfOf(session), text].map((one) => Buffer.from(hashOf(one)));
      return timingSafeEqual(expected as Buffer, given as Buffer);
    },
    info: (session, current) => ({
      id: publicId(session),
      person: session.person,
      createdAt: iso(session.createdMs),
      usedAt: iso(session.usedMs),
      endsAt: iso(endsAt(session)),
      from: session.from,
      agent: session.agent,
      current: publicId(session) === current,
    }),
  };
}
