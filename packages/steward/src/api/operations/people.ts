/** Logging in, one's own password, second factor, sessions and tokens, and the people themselves. */
import { StewardError } from '../../errors.ts';
import {
  copyGrants,
  type Identity,
  may,
  type Origin,
  personOf,
  publicId,
  refuseUnwritten,
  type Session,
  type Token,
  whole,
} from '../../identity/identity.ts';
import type { Caller, Handlers, Rooms } from '../handlers.ts';
import { pageOf } from '../page.ts';

const standardPage = 100;

const originOf = ({ from, agent = '' }: Caller): Origin => ({ address: from, agent });

/** Who may look after what others have. */
const looksAfterOthers = ({ subject }: Caller): boolean => may(subject, 'people', whole);

function needsPerson(why: string, hint: string): StewardError {
  return new StewardError('identity/needs-person', why, { status: 403, hint });
}

/** The person that asks, with a session: what is about their own password must not be done with a token that was lost. */
function self({ subject }: Caller): string {
  if (subject.kind === 'person') return subject.name;
  if (subject.kind === 'token') throw needsPerson('a token cannot do that: it is about the person who made it', 'Log in.');
  throw needsPerson('the control socket is no person', 'Log in, or say for whom: --for NAME.');
}

/** Whose sessions or tokens are meant; undefined: those of all. */
function ownerOf(caller: Caller, asked: string | undefined): string | undefined {
  const own = personOf(caller.subject);
  if (asked !== undefined && asked !== own && !looksAfterOthers(caller))
    throw new StewardError('api/forbidden', `you may not do that: what others have needs the right "people"`, {
      status: 403,
      hint: 'Leave out whose it is, for your own.',
    });
  return asked ?? (looksAfterOthers(caller) ? undefined : own);
}

function unknown(what: string, id: string): StewardError {
  return new StewardError('identity/unknown', `there is no ${what} "${id}"`, {
    status: 404,
    hint: `List the ${what}s for those that are good.`,
  });
}

/** A token that was lost must not end what else its maker has: it is itself alone. */
const isTheirs = ({ subject }: Caller, found: Session | Token): boolean =>
  subject.kind === 'token' ? 'name' in found && subject.name === `${found.person}/${found.name}` : found.person === personOf(subject);

/** One that the caller may end: of others it is not even told that it is there. */
function theirs<T extends Session | Token>(caller: Caller, found: T | undefined, what: string, id: string): T {
  if (found === undefined || !(isTheirs(caller, found) || looksAfterOthers(caller))) throw unknown(what, id);
  return found;
}

const own = ({
  identity,
  audit,
}: Pick<Rooms, 'identity' | 'audit'>): Pick<
  Handlers,
  | 'login'
  | 'logout'
  | 'redeemInvitation'
  | 'getSelf'
  | 'changePassword'
  | 'beginSecondFactor'
  | 'confirmSecondFactor'
  | 'removeSecondFactor'
> => ({
  login: ({ body }, caller) => identity.login(body, originOf(caller)),
  logout(_input, caller) {
    const session = caller.session === undefined ? undefined : identity.sessions.find(caller.session);
    if (session === undefined) throw needsPerson('there is no session to end', 'A token is taken back with revokeToken.');
    refuseUnwritten(identity.sessions.end(session));
    return { done: true };
  },
  async redeemInvitation({ body }, caller) {
    const answer = await identity.redeem(body, originOf(caller));
    const { via, from } = caller;
    const who = answer.name; // who asked was not known until now: the trail says whose code it was
    audit.note({ as: 'person', who, via, from, action: 'redeemInvitation', object: who, details: {}, result: 'done' });
    return answer;
  },
  getSelf(_input, { subject, session: id }) {
    const name = personOf(subject);
    const { secondFactor } = name === undefined ? {} : identity.people.get(name);
    const session = id === undefined ? undefined : identity.sessions.find(id);
    return {
      kind: subject.kind as 'local' | 'person' | 'token',
      name: subject.name,
      grants: copyGrants(subject.grants),
      ...(subject.within && { within: copyGrants(subject.within) }),
      hasSecondFactor: secondFactor !== undefined,
      recoveryCodes: secondFactor?.recovery.length ?? 0,
      ...(session && { csrf: identity.sessions.csrfOf(session), endsAt: identity.sessions.info(session).endsAt }),
    };
  },
  changePassword: ({ body }, caller) => identity.changePassword(self(caller), body, originOf(caller)),
  beginSecondFactor: ({ body }, caller) => identity.beginSecondFactor(self(caller), body.password, originOf(caller)),
  confirmSecondFactor: ({ body }, caller) => identity.confirmSecondFactor(self(caller), body.totp),
  async removeSecondFactor({ body }, caller) {
    await identity.removeSecondFactor(self(caller), body, originOf(caller));
    return { done: true };
  },
});

const sessions = ({ sessions, people }: Identity): Pick<Handlers, 'listSessions' | 'revokeSession' | 'revokeSessions'> => ({
  listSessions({ query: { for: whose, limit = standardPage, after } }, caller) {
    const page = pageOf(sessions.list(ownerOf(caller, whose)), publicId, limit, after);
    return { sessions: page.items.map((session) => sessions.info(session, caller.session)), ...(page.next && { next: page.next }) };
  },
  revokeSession({ params: { id } }, caller) {
    refuseUnwritten(sessions.end(theirs(caller, sessions.find(id), 'session', id)));
    return { revoked: 1 };
  },
  revokeSessions({ body: { for: whose } }, caller) {
    const name = whose === undefined ? self(caller) : people.get(ownerOf(caller, whose) ?? whose).name;
    const { ended, written } = sessions.endAll(name, caller.session);
    refuseUnwritten(written);
    return { revoked: ended };
  },
});

const tokens = ({ tokens, people }: Identity): Pick<Handlers, 'createToken' | 'listTokens' | 'revokeToken'> => ({
  createToken({ body: { for: whose, ...request } }, caller) {
    const isLocal = caller.subject.kind === 'local';
    if (whose !== undefined && !isLocal && whose !== personOf(caller.subject))
      throw new StewardError('api/local-only', 'a token for another person is made on the machine itself, over the control socket', {
        status: 403,
        hint: 'Let them make it: nobody else can act in their name.',
      });
    const maker = people.get(isLocal && whose !== undefined ? whose : self(caller));
    const { token, secret } = tokens.create(maker, request);
    return { token: tokens.info(token), secret };
  },
  listTokens({ query: { for: whose, limit = standardPage, after } }, caller) {
    const page = pageOf(tokens.list(ownerOf(caller, whose)), ({ id }) => id, limit, after);
    return { tokens: page.items.map(tokens.info), ...(page.next && { next: page.next }) };
  },
  revokeToken({ params: { id } }, caller) {
    refuseUnwritten(tokens.revoke(theirs(caller, tokens.find(id), 'token', id)));
    return { revoked: 1 };
  },
});

const people = ({
  people,
}: Identity): Pick<Handlers, 'listPeople' | 'createPerson' | 'createAdmin' | 'updatePerson' | 'resetPerson' | 'removePerson'> => ({
  listPeople({ query: { limit = standardPage, after } }) {
    const page = pageOf(people.list(), ({ name }) => name, limit, after);
    return { people: page.items.map(people.info), ...(page.next && { next: page.next }) };
  },
  createPerson: ({ body: { name, grants } }, { subject }) => people.create(name, grants, subject.name),
  createAdmin: ({ body: { name } }, { subject }) => people.create(name, [{ role: 'super' }], subject.name),
  updatePerson: ({ params: { name }, body }) => people.info(people.update(name, body)),
  resetPerson: ({ params: { name } }) => people.reset(name),
  removePerson({ params: { name } }) {
    people.remove(name);
    return { done: true };
  },
});

export const peopleHandlers = ({ identity, audit }: Pick<Rooms, 'identity' | 'audit'>) => ({
  ...own({ identity, audit }),
  ...sessions(identity),
  ...tokens(identity),
  ...people(identity),
});
