/** Every operation of the contract for every kind of caller, written out: one that has no row here fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operations } from '@steward/sdk/contract/contract';
import type { Operation } from '@steward/sdk/contract/operation';
import { StewardError } from '../errors.ts';
import { nobody, type Subject } from '../identity/identity.ts';
import { authorize, type Given } from './authorize.ts';

const person = (role: 'super' | 'audit' | 'operator' | 'viewer', on?: string[]): Subject => ({
  kind: 'person',
  name: role,
  grants: [{ role, ...(on && { on }) }],
});

/** `s a o v`: super, audit, operator, viewer, for everything; capitals: for the service `web` alone; `l` local, `n` nobody. */
const callers: Readonly<Record<string, Subject>> = {
  l: { kind: 'local', name: 'local', grants: [{ role: 'super' }] },
  s: person('super'),
  a: person('audit'),
  o: person('operator'),
  v: person('viewer'),
  S: person('super', ['service:web']),
  O: person('operator', ['service:web']),
  V: person('viewer', ['service:web']),
  n: nobody,
};

const everybody = 'lsaovSOVn';
const known = 'lsaovSOV';
const supers = 'ls';

/** Who may, with the service `web` named where an operation names services. */
const expected: Readonly<Record<string, string>> = {
  listServices: 'lsovSOV',
  listInstances: 'lsovSOV',
  getInstance: 'lsovSOV',
  startInstances: 'lsoSO',
  stopInstances: 'lsoSO',
  restartInstances: 'lsoSO',
  signalInstances: 'lsoSO',
  reloadServices: 'lsoSO',
  scaleService: 'lsoSO',
  runCommand: 'lsS',
  forgetRun: 'lsS',
  getEnvironment: 'lsS',
  readLogs: 'lsovSOV',
  listSites: 'lsovSOV',
  getTraffic: 'lsov',
  planConfig: supers,
  applyConfig: supers,
  getConfig: supers,
  putConfig: supers,
  checkConfig: supers,
  listConfigVersions: supers,
  getConfigVersion: supers,
  rollBackConfig: supers,
  listFacts: 'lsovSOV',
  pageFacts: 'lsovSOV',
  listHosts: 'lsov',
  getBoot: 'lsov',
  runBoot: 'lso',
  listSecrets: supers,
  setSecret: supers,
  removeSecret: supers,
  rekeySecrets: 'l',
  login: everybody,
  logout: known,
  redeemInvitation: everybody,
  getSelf: known,
  changePassword: known,
  beginSecondFactor: known,
  confirmSecondFactor: known,
  removeSecondFactor: known,
  listSessions: known,
  revokeSession: known,
  revokeSessions: known,
  createToken: known,
  listTokens: known,
  revokeToken: known,
  listPeople: supers,
  createPerson: supers,
  createAdmin: 'l',
  updatePerson: supers,
  resetPerson: supers,
  removePerson: supers,
  listAudit: 'lsa',
  verifyAudit: 'lsa',
  exportAudit: 'lsa',
  getStatus: 'lsovSOV',
  getAuthority: 'lsovSOV',
  shutDown: supers,
  upgradeDaemon: supers,
};

const all = Object.values(operations) as readonly Operation[];

/** What is running. */
const running = [
  { id: 'web', service: 'web', group: 'web', name: 'web' },
  { id: 'db', service: 'db', group: 'db', name: 'db' },
];

/** A request that names `service` where the operation names services. */
function naming({ about }: Operation, service: string): Given {
  const [part, field] = (about ?? 'each').split('.') as [string, string?];
  return field === undefined ? {} : { [part]: { [field]: part === 'body' && field === 'names' ? [service] : service } };
}

/** The code of the refusal; undefined when it is allowed. */
function refusalOf(operation: Operation, subject: Subject, service: string): string | undefined {
  try {
    authorize(operation, naming(operation, service), subject, () => running);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof StewardError, String(error));
    return error.code;
  }
}

test('every operation is allowed to exactly those who are written here', () => {
  const found = Object.fromEntries(
    all.map((operation) => [
      operation.name,
      Object.entries(callers)
        .filter(([, subject]) => refusalOf(operation, subject, 'web') === undefined)
        .map(([letter]) => letter)
        .join(''),
    ]),
  );
  const sorted = (text: string | undefined): string => [...(text ?? '(no row)')].sort().join('');
  const differences = Object.entries({ ...expected, ...found }).filter(([name]) => sorted(expected[name]) !== sorted(found[name]));
  assert.deepEqual(
    differences.map(([name]) => `${name}: expected ${expected[name] ?? 'a row'}, may ${found[name] ?? 'no longer be asked for'}`),
    [],
  );
});

test('who has a role for one service is refused others, whatever the operation', () => {
  const named = all.filter(({ about }) => about?.includes('.'));
  assert.ok(named.length > 5);
  for (const operation of named)
    for (const letter of ['S', 'O', 'V'])
      assert.notEqual(refusalOf(operation, callers[letter] as Subject, 'db'), undefined, `${letter} ${operation.name}`);
});

test('nobody is asked who they are, before they are told what there is', () => {
  for (const operation of all)
    if (operation.needs !== 'nothing')
      assert.equal(refusalOf(operation, nobody, 'no-such-service'), operation.local ? 'api/local-only' : 'api/who', operation.name);
});

test('nobody at all can alter the audit trail', () => {
  const about = all.filter(({ needs, path }) => needs === 'audit' || path.includes('audit'));
  assert.deepEqual(about.map(({ name }) => name).sort(), ['exportAudit', 'listAudit', 'verifyAudit']);
  assert.ok(about.every(({ method }) => method === 'GET'));
});

test('what holds passwords, codes and values of secrets is masked', () => {
  const hidden = /^(password|newPassword|totp|code|key|value|csrf|session|secret)$/;
  for (const { name, body, masked = [] } of all) {
    const fields = Object.keys((body as { properties?: object } | undefined)?.properties ?? {});
    assert.deepEqual(
      fields.filter((field) => hidden.test(field) && !masked.includes(field)),
      [],
      name,
    );
    assert.deepEqual(
      masked.filter((field) => !fields.includes(field)),
      [],
      `${name} masks what it does not have`,
    );
  }
});
