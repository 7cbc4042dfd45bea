/** Operations on who uses Steward: logging in, one's own password, second factor, sessions and tokens, and the people themselves. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';
import { type Role, roleNames } from './rights.ts';

const time = (description: string) => Type.String({ format: 'date-time', description });
const text = (description: string, maxLength = 256) => Type.String({ maxLength, description });

/** Names are safe in file names, addresses and logs. */
export const personNamePattern = '^[a-z][a-z0-9._-]{0,31}$';
const personName = Type.String({
  pattern: personNamePattern,
  description: '1 to 32 of a-z 0-9 . _ -, beginning with a letter',
});
const tokenName = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', description: '1 to 64 of A-Z a-z 0-9 . _ -' });
const whose = Type.Optional(Type.String({ maxLength: 32, description: 'whose, instead of those of the caller' }));

export const grantShape = Type.Object(
  {
    role: Type.Unsafe<Role>({ type: 'string', enum: [...roleNames] }),
    on: Type.Optional(
      Type.Array(Type.String({ pattern: '^(service|group|site):\\S{1,253}$' }), {
        minItems: 1,
        maxItems: 200,
        description: 'for these alone: `service:web`, `group:shop`, `site:example.com`. Absent: for everything.',
      }),
    ),
  },
  { additionalProperties: false, description: 'A role, for everything or for some things.' },
);
export type GrantInfo = Static<typeof grantShape>;

const grants = Type.Array(grantShape, { minItems: 1, maxItems: 50 });

export const sessionShape = Type.Object(
  {
    id: Type.String({ description: 'names it in other operations; it is not what a browser sends' }),
    person: Type.String(),
    createdAt: time('the login'),
    usedAt: time('the last request, to a minute'),
    endsAt: time('when it ends, if it is used until then'),
    from: Type.String({ description: 'address of the login' }),
    agent: Type.String({ description: 'what the browser calls itself' }),
    current: Type.Boolean({ description: 'the one that asks' }),
  },
  { description: 'Somebody who is logged in.' },
);
export type SessionInfo = Static<typeof sessionShape>;

export const tokenShape = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    person: Type.String({ description: 'who made it; it may no more than this person' }),
    grants,
    createdAt: time('when it was made'),
    expiresAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'null: it does not expire' }),
    usedAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'the last use, to a minute; null: never' }),
  },
  { description: 'A token of a program.' },
);
export type TokenInfo = Static<typeof tokenShape>;

export const personShape = Type.Object(
  {
    name: Type.String(),
    grants,
    disabled: Type.Boolean({ description: 'can neither log in nor use tokens' }),
    hasPassword: Type.Boolean(),
    hasSecondFactor: Type.Boolean(),
    invitedUntil: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], {
      description: 'until when a one-time code sets the password; null: there is none',
    }),
    madeBy: Type.String(),
    createdAt: time('when it was made'),
    loggedInAt: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'the last login; null: never' }),
    sessions: Type.Integer({ description: 'that are open' }),
    tokens: Type.Integer({ description: 'that are good' }),
  },
  { description: 'Somebody who may log in.' },
);
export type PersonInfo = Static<typeof personShape>;

const loggedInShape = Type.Object(
  {
    session: Type.String({ description: 'what the browser sends from now on; shown here alone' }),
    csrf: Type.String({ description: 'what a page sends with everything that changes something' }),
    name: Type.String(),
    grants,
    endsAt: time('when the session ends'),
  },
  { description: 'A new session.' },
);
export type LoggedIn = Static<typeof loggedInShape>;

const invitationShape = Type.Object(
  {
    person: personShape,
    code: Type.String({ description: 'sets the password, once; shown here alone' }),
    expiresAt: time('until when it does'),
  },
  { description: 'A person and the one-time code for the password.' },
);
export type Invitation = Static<typeof invitationShape>;

const password = text('at least 12 characters, at most 256 bytes, not the name', 1024);
const done = Type.Object({ done: Type.Literal(true) });

export const login = operation({
  name: 'login',
  method: 'POST',
  path: '/v1/login',
  summary: 'Begins a session with name and password, and the code of the second factor when there is one.',
  needs: 'nothing',
  shownOnce: true,
  masked: ['password', 'totp'],
  body: Type.Object({
    name: text('of the person', 64),
    password: text('of the person', 1024),
    totp: Type.Optional(text('the six digits of the second factor now, or one of the recovery codes', 64)),
  }),
  answer: loggedInShape,
});
export const logout = operation({
  name: 'logout',
  method: 'POST',
  path: '/v1/logout',
  summary: 'Ends the session that asks.',
  needs: 'self',
  answer: done,
});
export const redeemInvitation = operation({
  name: 'redeemInvitation',
  method: 'POST',
  path: '/v1/invitations/redeem',
  summary: 'Sets the password by a one-time code, and begins a session.',
  needs: 'nothing',
  shownOnce: true,
  masked: ['code', 'password'],
  body: Type.Object({ code: text('the one-time code'), password }),
  answer: loggedInShape,
});
export const getSelf = operation({
  name: 'getSelf',
  method: 'GET',
  path: '/v1/self',
  summary: 'Who asks, and what they may.',
  needs: 'self',
  answer: Type.Object({
    kind: Type.Unsafe<'local' | 'person' | 'token'>({ enum: ['local', 'person', 'token'] }),
    name: Type.String({ description: 'as it stands in the audit trail' }),
    grants,
    within: Type.Optional(Type.Array(grantShape, { description: 'of a token: what the person who made it may' })),
    hasSecondFactor: Type.Boolean(),
    recoveryCodes: Type.Integer({ description: 'that are left' }),
    csrf: Type.Optional(Type.String({ description: 'of a session: what a page sends with everything that changes something' })),
    endsAt: Type.Optional(time('of a session')),
  }),
});
export const changePassword = operation({
  name: 'changePassword',
  method: 'POST',
  path: '/v1/self/password',
  summary: "Changes one's own password; all sessions end, and a new one begins.",
  needs: 'self',
  shownOnce: true,
  masked: ['password', 'newPassword'],
  body: Type.Object({ password: text('the one until now', 1024), newPassword: password }),
  answer: loggedInShape,
});
export const beginSecondFactor = operation({
  name: 'beginSecondFactor',
  method: 'POST',
  path: '/v1/self/second-factor/begin',
  summary: 'Makes the secret of a second factor (TOTP). It counts once a code of it was confirmed, within ten minutes.',
  needs: 'self',
  shownOnce: true,
  masked: ['password'],
  body: Type.Object({ password: text('of the person', 1024) }),
  answer: Type.Object({
    secret: Type.String({ description: 'base32, for an authenticator; shown here alone' }),
    uri: Type.String({ description: 'the same as otpauth://, for a QR code' }),
  }),
});
export const confirmSecondFactor = operation({
  name: 'confirmSecondFactor',
  method: 'POST',
  path: '/v1/self/second-factor/confirm',
  summary: 'Turns the second factor on. Answers with recovery codes, each of which stands in for one code.',
  needs: 'self',
  shownOnce: true,
  masked: ['totp'],
  body: Type.Object({ totp: text('the six digits now', 64) }),
  answer: Type.Object({ recoveryCodes: Type.Array(Type.String(), { description: 'shown here alone' }) }),
});
export const removeSecondFactor = operation({
  name: 'removeSecondFactor',
  method: 'POST',
  path: '/v1/self/second-factor/remove',
  summary: 'Turns the second factor off.',
  needs: 'self',
  masked: ['password', 'totp'],
  body: Type.Object({ password: text('of the person', 1024), totp: text('the six digits now, or a recovery code', 64) }),
  answer: done,
});

const page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'Default: 100.' })),
  after: Type.Optional(text('the `next` of the page before')),
};
const next = Type.Optional(Type.String({ description: 'what to give as `after` for more; absent: that is all' }));

export const listSessions = operation({
  name: 'listSessions',
  method: 'GET',
  path: '/v1/sessions',
  summary: "One's own sessions, or with the right people those of others or, without `for`, of all.",
  needs: 'self',
  query: Type.Object({ for: whose, ...page }),
  answer: Type.Object({ sessions: Type.Array(sessionShape), next }),
});
export const revokeSession = operation({
  name: 'revokeSession',
  method: 'POST',
  path: '/v1/sessions/:id/revoke',
  summary: "Ends a session: one's own, or with the right people any.",
  needs: 'self',
  params: Type.Object({ id: text('of the session', 64) }),
  answer: Type.Object({ revoked: Type.Integer() }),
});
export const revokeSessions = operation({
  name: 'revokeSessions',
  method: 'POST',
  path: '/v1/sessions/revoke',
  summary: "Ends all sessions: one's own but the one that asks, or with the right people those of another.",
  needs: 'self',
  body: Type.Object({ for: whose }),
  answer: Type.Object({ revoked: Type.Integer() }),
});
export const createToken = operation({
  name: 'createToken',
  method: 'POST',
  path: '/v1/tokens',
  summary: 'Makes a token for a program. It may no more than its maker, at any time. Only at the control socket for another person.',
  needs: 'self',
  shownOnce: true,
  body: Type.Object({
    name: tokenName,
    grants: Type.Optional(Type.Array(grantShape, { minItems: 1, maxItems: 50, description: 'Default: those of its maker.' })),
    expiresInDays: Type.Optional(
      Type.Union([Type.Null(), Type.Integer({ minimum: 1, maximum: 365 })], { description: 'Default: 90. Null: it does not expire.' }),
    ),
    for: whose,
  }),
  answer: Type.Object({ token: tokenShape, secret: Type.String({ description: 'the token itself; shown here alone' }) }),
});
export const listTokens = operation({
  name: 'listTokens',
  method: 'GET',
  path: '/v1/tokens',
  summary: "One's own tokens, or with the right people those of others or, without `for`, of all.",
  needs: 'self',
  query: Type.Object({ for: whose, ...page }),
  answer: Type.Object({ tokens: Type.Array(tokenShape), next }),
});
export const revokeToken = operation({
  name: 'revokeToken',
  method: 'POST',
  path: '/v1/tokens/:id/revoke',
  summary: "Takes a token back: one's own, or with the right people any. A token may take back itself.",
  needs: 'self',
  params: Type.Object({ id: text('of the token', 64) }),
  answer: Type.Object({ revoked: Type.Integer() }),
});

export const listPeople = operation({
  name: 'listPeople',
  method: 'GET',
  path: '/v1/people',
  summary: 'Everybody who may log in, by name.',
  needs: 'people',
  query: Type.Object(page),
  answer: Type.Object({ people: Type.Array(personShape), next }),
});
export const createPerson = operation({
  name: 'createPerson',
  method: 'POST',
  path: '/v1/people',
  summary: 'Adds a person. The answer holds a one-time code, good for a day, by which they set their password.',
  needs: 'people',
  shownOnce: true,
  body: Type.Object({ name: personName, grants }),
  answer: invitationShape,
});
export const createAdmin = operation({
  name: 'createAdmin',
  method: 'POST',
  path: '/v1/admins',
  summary: 'Adds a super admin. The answer holds a one-time code, good for a day, by which they set their password.',
  needs: 'people',
  shownOnce: true,
  local: true,
  body: Type.Object({ name: personName }),
  answer: invitationShape,
});
export const updatePerson = operation({
  name: 'updatePerson',
  method: 'POST',
  path: '/v1/people/:name',
  summary: 'Gives a person other roles, or disables or enables them. Disabling ends their sessions at once.',
  needs: 'people',
  params: Type.Object({ name: text('of the person', 64) }),
  body: Type.Object({ grants: Type.Optional(grants), disabled: Type.Optional(Type.Boolean()) }),
  answer: personShape,
});
export const resetPerson = operation({
  name: 'resetPerson',
  method: 'POST',
  path: '/v1/people/:name/reset',
  summary: 'Takes away password and second factor, ends all sessions, and answers with a new one-time code.',
  needs: 'people',
  shownOnce: true,
  params: Type.Object({ name: text('of the person', 64) }),
  answer: invitationShape,
});
export const removePerson = operation({
  name: 'removePerson',
  method: 'DELETE',
  path: '/v1/people/:name',
  summary: 'Removes a person with their sessions and tokens. What they did stays in the audit trail.',
  needs: 'people',
  params: Type.Object({ name: text('of the person', 64) }),
  answer: done,
});
