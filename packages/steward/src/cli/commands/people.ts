/** admin, user, token, session: who uses Steward. No password is taken from a command line: everybody on a machine can read those. */
import type { GrantInfo, Invitation, PersonInfo, SessionInfo, TokenInfo } from '@steward/sdk/contract/people';
import { type Role, roleNames } from '@steward/sdk/contract/rights';
import { didYouMean } from '../../config/near.ts';
import { harmless } from '../../config/terminal.ts';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { askAllHidden, readInput } from '../hidden-input.ts';
import { clock, count, table } from '../print.ts';

const usage = (message: string, hint: string): StewardError => new StewardError('cli/usage', message, { status: 400, hint });

/** `operator`, or `operator@service:web,group:shop`. */
function parseGrant(text: string): GrantInfo {
  const [role = '', on, ...more] = text.split('@');
  if (!roleNames.includes(role as Role))
    throw usage(`there is no role "${role}"`, `Use one of: ${roleNames.join(', ')}.${didYouMean(role, roleNames)}`);
  if (on === undefined) return { role: role as Role };
  const things = on.split(',');
  if (more.length > 0 || things.some((thing) => !/^(service|group|site):\S+$/.test(thing)))
    throw usage(`"${text}" is no role for some things`, 'Write operator@service:web or viewer@group:shop,site:example.com.');
  return { role: role as Role, on: things };
}

const grantText = ({ role, on }: GrantInfo): string => (on === undefined ? role : `${role}@${on.join(',')}`);
const grantsText = (grants: readonly GrantInfo[]): string => grants.map(grantText).join(' ');

function oneName(words: readonly string[], command: string): string {
  const [name, ...more] = words;
  if (name === undefined || more.length > 0) throw usage(`${command} needs one name`, `steward ${command} NAME`);
  return name;
}

/** All pages of a list. */
async function all<T>(load: (after: string | undefined) => Promise<{ items: T[]; next?: string | undefined }>): Promise<T[]> {
  const found: T[] = [];
  for (let after: string | undefined; ; ) {
    const { items, next } = await load(after);
    found.push(...items);
    if (next === undefined) return found;
    after = next;
  }
}

function say({ io, values }: Call, answer: unknown, text: string): number {
  io.out(values.json ? JSON.stringify(answer, undefined, 2) : text);
  return 0;
}

function sayInvitation(call: Call, invitation: Invitation, what: string): number {
  const { person, code, expiresAt } = invitation;
  return say(
    call,
    invitation,
    [
      `${person.name} ${what}: ${grantsText(person.grants)}`,
      `one-time code, good until ${clock(expiresAt, new Date())}, shown here alone:`,
      '',
      `  ${code}`,
      '',
      `${person.name} sets a password with it: here with \`steward user redeem\`, or elsewhere by redeemInvitation of the API.`,
    ].join('\n'),
  );
}

export const admin: Command = {
  name: 'admin',
  usage: 'create NAME [--json]',
  details: `  create NAME   adds a super admin and prints a one-time code, by which they set their password within a day
Done on the machine itself: whoever may use the control socket owns this installation.`,
  options: jsonOption,
  takes: 'some',
  here: true,
  async run(call) {
    const [action, ...words] = call.positionals;
    if (action !== 'create') throw usage('admin knows create NAME', 'steward admin create NAME');
    return sayInvitation(call, await call.client.createAdmin({ body: { name: oneName(words, 'admin create') } }), 'is added');
  },
};

const stateOf = ({ disabled, hasPassword, invitedUntil }: PersonInfo): string =>
  disabled ? 'disabled' : hasPassword ? 'active' : invitedUntil === null ? 'no password' : 'invited';

async function listUsers(call: Call): Promise<number> {
  const { client, io } = call;
  const people = await all(async (after) => {
    const { people: items, next } = await client.listPeople({ query: { limit: 1000, ...(after && { after }) } });
    return { items, next };
  });
  if (people.length === 0) return say(call, { people }, 'nobody is here yet: steward admin create NAME');
  const now = new Date();
  const text = table(
    people,
    [
      { title: 'NAME', value: ({ name }) => name },
      { title: 'STATE', value: stateOf, color: (person) => (stateOf(person) === 'active' ? 'green' : 'yellow') },
      { title: '2ND FACTOR', value: ({ hasSecondFactor }) => (hasSecondFactor ? 'yes' : '-') },
      { title: 'LAST LOGIN', value: ({ loggedInAt }) => (loggedInAt === null ? '-' : clock(loggedInAt, now)) },
      { title: 'SESSIONS', value: ({ sessions }) => String(sessions), align: 'right' },
      { title: 'TOKENS', value: ({ tokens }) => String(tokens), align: 'right' },
      { title: 'ROLES', value: ({ grants }) => grantsText(grants) },
    ],
    io.columns,
    io.isTerminal,
  );
  return say(call, { people }, text);
}

/** Code and password: asked for on a terminal, else the first two lines of what is piped in. */
async function readRedeem(): Promise<{ code: string; password: string }> {
  if (process.stdin.isTTY) {
    const [code = '', password = '', again] = await askAllHidden([
      'one-time code (not shown): ',
      'new password (not shown, 12 characters at least): ',
      'the same again: ',
    ]);
    if (password !== again) throw usage('the two passwords differ; nothing was changed', 'Try again.');
    return { code: code.trim(), password };
  }
  const [code, password] = ((await readInput(4096))?.toString() ?? '').split(/\r?\n/);
  if (code === undefined || code === '' || password === undefined || password === '')
    throw usage('redeem reads two lines: the one-time code and the new password', 'Run it on a terminal, which asks for them.');
  return { code: code.trim(), password };
}

async function redeem(call: Call): Promise<number> {
  const { name, endsAt: _endsAt } = await call.client.redeemInvitation({ body: await readRedeem() });
  await call.client.revokeSessions({ body: { for: name } }); // the one that this began, and nobody has
  return say(call, { name, done: true }, `${name} has a password now`);
}

type UserAction = (call: Call, words: readonly string[]) => Promise<number>;

const setDisabled =
  (disabled: boolean): UserAction =>
  async (call, words) => {
    const name = oneName(words, `user ${disabled ? 'disable' : 'enable'}`);
    const person = await call.client.updatePerson({ params: { name }, body: { disabled } });
    return say(call, person, `${name} is ${disabled ? 'disabled: sessions have ended, tokens are refused' : 'enabled'}`);
  };

const userActions: Readonly<Record<string, UserAction>> = {
  list: (call) => listUsers(call),
  async add(call, [name, ...roles]) {
    if (name === undefined || roles.length === 0) throw usage('user add needs a name and a role', 'steward user add alice operator');
    return sayInvitation(call, await call.client.createPerson({ body: { name, grants: roles.map(parseGrant) } }), 'is added');
  },
  async roles(call, [name, ...roles]) {
    if (name === undefined || roles.length === 0)
      throw usage('user roles needs a name and roles', 'steward user roles alice operator@group:shop viewer');
    const person = await call.client.updatePerson({ params: { name }, body: { grants: roles.map(parseGrant) } });
    return say(call, person, `${name} has: ${grantsText(person.grants)}`);
  },
  disable: setDisabled(true),
  enable: setDisabled(false),
  async reset(call, words) {
    const name = oneName(words, 'user reset');
    return sayInvitation(call, await call.client.resetPerson({ params: { name } }), 'has neither password nor second factor any more');
  },
  async rm(call, words) {
    const name = oneName(words, 'user rm');
    return say(call, await call.client.removePerson({ params: { name } }), `${name} is removed`);
  },
  redeem: (call) => redeem(call),
};

export const user: Command = {
  name: 'user',
  usage: 'list | add NAME ROLE... | roles NAME ROLE... | disable NAME | enable NAME | reset NAME | rm NAME | redeem',
  details: `  list                  who may log in
  add NAME ROLE...      adds a person and prints the one-time code by which they set their password
  roles NAME ROLE...    gives other roles, in place of those until now
  disable, enable NAME  without sessions and tokens, and with them again
  reset NAME            takes password, second factor and sessions away, for a new one-time code
  rm NAME               removes a person; what they did stays in the audit trail
  redeem                sets a password by a one-time code; both are asked for, or read as two lines
      --json            with all of these
A role is super, audit, operator or viewer, for everything, or for some things: operator@service:web,group:shop`,
  options: jsonOption,
  takes: 'some',
  async run(call) {
    const [action = '', ...words] = call.positionals;
    const act = Object.hasOwn(userActions, action) ? userActions[action] : undefined;
    if (act === undefined) throw usage(`user knows ${Object.keys(userActions).join(', ')}`, 'steward user --help');
    return act(call, words);
  },
};

const forOption = { for: { type: 'string' } } as const;
const whose = ({ values }: Call): { for?: string } => (typeof values.for === 'string' ? { for: values.for } : {});

function daysOf({ values }: Call): { expiresInDays?: number | null } {
  if (values['no-expiry']) {
    if (values.days !== undefined) throw usage('--days and --no-expiry exclude each other', 'Keep one of them.');
    return { expiresInDays: null };
  }
  if (values.days === undefined) return {};
  const days = Number(values.days);
  if (!Number.isInteger(days) || days < 1 || days > 365)
    throw usage(`"${values.days}" is no number of days`, 'Write --days 1 to 365, or --no-expiry.');
  return { expiresInDays: days };
}

async function createToken(call: Call, [name, ...roles]: readonly string[]): Promise<number> {
  if (name === undefined) throw usage('token create needs a name', 'steward token create deploy operator@service:web --for alice');
  const grants = roles.length === 0 ? {} : { grants: roles.map(parseGrant) };
  const answer = await call.client.createToken({ body: { name, ...grants, ...daysOf(call), ...whose(call) } });
  const { token, secret } = answer;
  const expiry = token.expiresAt === null ? 'does not expire' : `good until ${clock(token.expiresAt, new Date())}`;
  if (!call.values.json) call.io.err(`token ${name} of ${token.person}, ${grantsText(token.grants)}, ${expiry}; shown here alone:`);
  return say(call, answer, secret);
}

async function listTokens(call: Call): Promise<number> {
  const tokens = await all<TokenInfo>(async (after) => {
    const { tokens: items, next } = await call.client.listTokens({ query: { limit: 1000, ...whose(call), ...(after && { after }) } });
    return { items, next };
  });
  const now = new Date();
  const text = table(
    tokens,
    [
      { title: 'ID', value: ({ id }) => id },
      { title: 'NAME', value: ({ name }) => name },
      { title: 'PERSON', value: ({ person }) => person },
      { title: 'EXPIRES', value: ({ expiresAt }) => (expiresAt === null ? 'never' : clock(expiresAt, now)) },
      { title: 'LAST USE', value: ({ usedAt }) => (usedAt === null ? '-' : clock(usedAt, now)) },
      { title: 'ROLES', value: ({ grants }) => grantsText(grants) },
    ],
    call.io.columns,
    call.io.isTerminal,
  );
  return say(call, { tokens }, tokens.length === 0 ? 'there are no tokens' : text);
}

export const token: Command = {
  name: 'token',
  usage: 'create NAME [ROLE...] | list | rm ID',
  details: `  create NAME [ROLE...]   prints a token for a program; roles as for \`steward user\` (default: those of its maker)
      --days N            how long it is good, at most 365 (90)
      --no-expiry         it does not expire
  list                    tokens that are good
  rm ID                   takes one back
      --for NAME          whose, at the control socket, which is no person
      --json              with all of these`,
  options: { ...jsonOption, ...forOption, days: { type: 'string' }, 'no-expiry': { type: 'boolean' } },
  takes: 'some',
  async run(call) {
    const [action, ...words] = call.positionals;
    if (action === 'create') return createToken(call, words);
    if (action === 'list' && words.length === 0) return listTokens(call);
    if (action !== 'rm') throw usage('token knows create NAME, list and rm ID', 'steward token --help');
    const id = oneName(words, 'token rm');
    return say(call, await call.client.revokeToken({ params: { id } }), `token ${id} is taken back`);
  },
};

async function listSessions(call: Call): Promise<number> {
  const sessions = await all<SessionInfo>(async (after) => {
    const { sessions: items, next } = await call.client.listSessions({ query: { limit: 1000, ...whose(call), ...(after && { after }) } });
    return { items, next };
  });
  const now = new Date();
  const text = table(
    sessions,
    [
      { title: 'ID', value: ({ id }) => id },
      { title: 'PERSON', value: ({ person }) => person },
      { title: 'SINCE', value: ({ createdAt }) => clock(createdAt, now) },
      { title: 'LAST USE', value: ({ usedAt }) => clock(usedAt, now) },
      { title: 'FROM', value: ({ from }) => harmless(from) },
      { title: 'AGENT', value: ({ agent }) => harmless(agent) },
    ],
    call.io.columns,
    call.io.isTerminal,
  );
  return say(call, { sessions }, sessions.length === 0 ? 'nobody is logged in' : text);
}

export const session: Command = {
  name: 'session',
  usage: 'list | revoke ID | revoke --for NAME',
  details: `  list                who is logged in, since when, from where
  revoke ID           ends one
  revoke --for NAME   ends all of a person
      --for NAME      only those of this person
      --json          with all of these`,
  options: { ...jsonOption, ...forOption },
  takes: 'some',
  async run(call) {
    const [action, ...words] = call.positionals;
    if (action === 'list' && words.length === 0) return listSessions(call);
    if (action !== 'revoke') throw usage('session knows list and revoke', 'steward session --help');
    if (words.length === 0 && call.values.for === undefined)
      throw usage('revoke needs an id, or --for NAME', 'steward session list shows them.');
    const answer =
      words.length === 0
        ? await call.client.revokeSessions({ body: whose(call) })
        : await call.client.revokeSession({ params: { id: oneName(words, 'session revoke') } });
    return say(call, answer, `${count(answer.revoked, 'session')} ended`);
  },
};
