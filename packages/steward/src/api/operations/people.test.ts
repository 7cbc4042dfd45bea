import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Role } from '@steward/sdk/contract/rights';
import { createAudit } from '../../audit/audit.ts';
import { StewardError } from '../../errors.ts';
import { createIdentity, type Subject } from '../../identity/identity.ts';
import { openStore } from '../../store/store.ts';
import type { Caller } from '../handlers.ts';
import { peopleHandlers } from './people.ts';

const password = 'a long enough password';

/** Two people, each with a session and two tokens, and who asks in their name. */
async function stageOf(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'steward-people-'));
  const store = openStore(join(folder, 'state.db'), (error) => assert.fail(error.message));
  t.after(() => {
    store.close();
    rmSync(folder, { recursive: true });
  });
  const now = (): number => Date.UTC(2026, 10, 21);
  const identity = createIdentity({ store, secretKey: 'key', issuer: 'test', now });
  const handlers = peopleHandlers({ identity, audit: createAudit({ store, now }) });
  const callerOf = (subject: Subject, session?: string): Caller => ({ subject, from: '10.0.0.1', via: 'test', session, may: () => false });
  const add = async (name: string, role: Role) => {
    const { code } = identity.people.create(name, [{ role }], 'local');
    const { session: sessionId } = await identity.redeem({ code, password }, { address: '10.0.0.1', agent: '' });
    const { subject, session = '' } = identity.identify({ sessionId }) ?? assert.fail();
    const made = ['one', 'two'].map((token) => identity.tokens.create(identity.people.get(name), { name: token }));
    const byToken = callerOf(identity.identify({ token: made[0]?.secret })?.subject ?? assert.fail());
    return { caller: callerOf(subject, session), byToken, session, tokens: made.map(({ token }) => token.id) };
  };
  const local = callerOf({ kind: 'local', name: 'root', grants: [{ role: 'super' }] });
  return { handlers, local, ada: await add('ada', 'super'), bob: await add('bob', 'viewer') };
}

type Stage = Awaited<ReturnType<typeof stageOf>>;

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'done';
  } catch (error) {
    assert.ok(error instanceof StewardError, String(error));
    return error.code;
  }
};

const nothing = { query: {}, body: undefined } as const;
const revokeSession = ({ handlers }: Stage, caller: Caller, id: string) =>
  codeOf(() => handlers.revokeSession({ ...nothing, params: { id } }, caller));
const revokeToken = ({ handlers }: Stage, caller: Caller, id: string) =>
  codeOf(() => handlers.revokeToken({ ...nothing, params: { id } }, caller));
const createToken = ({ handlers }: Stage, caller: Caller, whose?: string) =>
  codeOf(() => handlers.createToken({ params: {}, query: {}, body: { name: 'new', ...(whose && { for: whose }) } }, caller));

test('people see and end what is their own; what others have is not there for them, but for who looks after people', async (t) => {
  const stage = await stageOf(t);
  const { handlers, ada, bob } = stage;
  const listed = (caller: Caller, whose?: string) => {
    const query = whose === undefined ? {} : { for: whose };
    const { tokens } = handlers.listTokens({ params: {}, query, body: undefined }, caller) as { tokens: { person: string }[] };
    return tokens.map(({ person }) => person).sort();
  };
  assert.deepEqual(listed(bob.caller), ['bob', 'bob']);
  assert.deepEqual(listed(ada.caller), ['ada', 'ada', 'bob', 'bob']);
  assert.deepEqual(listed(ada.caller, 'bob'), ['bob', 'bob']);
  assert.equal(
    codeOf(() => listed(bob.caller, 'ada')),
    'api/forbidden',
  );
  assert.equal(revokeSession(stage, bob.caller, ada.session), 'identity/unknown');
  assert.equal(revokeToken(stage, bob.caller, ada.tokens[0] as string), 'identity/unknown');
  assert.equal(revokeToken(stage, bob.caller, bob.tokens[1] as string), 'done');
  assert.equal(revokeSession(stage, ada.caller, bob.session), 'done');
  assert.equal(revokeSession(stage, ada.caller, bob.session), 'identity/unknown');
});

test('a token takes back itself, and touches nothing else of its maker', async (t) => {
  const stage = await stageOf(t);
  const { handlers, bob } = stage;
  assert.equal(revokeSession(stage, bob.byToken, bob.session), 'identity/unknown');
  assert.equal(revokeToken(stage, bob.byToken, bob.tokens[1] as string), 'identity/unknown');
  assert.equal(createToken(stage, bob.byToken), 'identity/needs-person');
  assert.equal(
    codeOf(() => handlers.revokeSessions({ params: {}, query: {}, body: {} }, bob.byToken)),
    'identity/needs-person',
  );
  assert.equal(
    codeOf(() => handlers.changePassword({ params: {}, query: {}, body: { password, newPassword: password } }, bob.byToken)),
    'identity/needs-person',
  );
  assert.equal(revokeToken(stage, bob.byToken, bob.tokens[0] as string), 'done');
});

test('nobody makes a token in the name of another but at the control socket, which says for whom', async (t) => {
  const stage = await stageOf(t);
  const { ada, bob, local } = stage;
  assert.equal(createToken(stage, ada.caller, 'bob'), 'api/local-only');
  assert.equal(createToken(stage, bob.caller, 'bob'), 'done');
  assert.equal(createToken(stage, local), 'identity/needs-person');
  assert.equal(createToken(stage, local, 'ada'), 'done');
});

test('who logs out is out', async (t) => {
  const { handlers, bob } = await stageOf(t);
  const logout = (caller: Caller) => codeOf(() => handlers.logout({ params: {}, query: {}, body: undefined }, caller));
  assert.equal(logout(bob.byToken), 'identity/needs-person');
  assert.equal(logout(bob.caller), 'done');
  assert.equal(logout(bob.caller), 'identity/needs-person');
});
