import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceSpec } from './model.ts';
import { type Change, planChanges, withoutSecrets } from './plan.ts';

const spec = (more: Partial<InstanceSpec> = {}): InstanceSpec => ({
  id: 'web',
  service: 'web',
  group: 'web',
  name: 'web',
  number: 1,
  priority: 999,
  autostart: true,
  after: [],
  command: ['node', 'server.ts'],
  cwd: '/srv',
  env: { MODE: 'live' },
  secretEnv: [],
  inheritEnv: false,
  restart: 'always',
  expectedExitCodes: [0],
  upAfterMs: 1000,
  startRetries: 'forever',
  backoff: { kind: 'linear' },
  stop: { signal: 'TERM', timeoutMs: 10_000, scope: 'group', killScope: 'group' },
  stdout: { maxBytes: 1000, keep: 10 },
  stderr: { maxBytes: 1000, keep: 10 },
  ...more,
});

const byId = (...specs: readonly InstanceSpec[]): Map<string, InstanceSpec> => new Map(specs.map((each) => [each.id, each]));

/** What becomes of an instance that changes from one spec to another. */
function change(before: Partial<InstanceSpec>, after: Partial<InstanceSpec>): Change {
  const [only] = planChanges(byId(spec(before)), byId(spec(after)), new Set());
  assert.ok(only);
  return only;
}

test('what is the same stays', () => {
  assert.deepEqual(change({}, {}), { kind: 'stay', id: 'web', reasons: [] });
});

test('what a process only takes at its start restarts it, and the plan says what differs', () => {
  const cases: readonly (readonly [Partial<InstanceSpec>, RegExp])[] = [
    [{ command: ['node', 'other.ts'] }, /^run: node server.ts → node other.ts$/],
    [{ cwd: '/other' }, /^cwd: \/srv → \/other$/],
    [{ user: 'app' }, /^user: not set → app$/],
    [{ umask: 18 }, /^umask: not set → /],
    [{ inheritEnv: true }, /^inheritEnv: false → true$/],
    [{ endpoint: { kind: 'tcp', host: '127.0.0.1', port: 80 } }, /^endpoint: not set → /],
    [{ stdout: { file: 'none', maxBytes: 1000, keep: 10 } }, /^its output goes elsewhere$/],
    [{ stderr: 'stdout' }, /^its output goes elsewhere$/],
  ];
  for (const [after, reason] of cases) {
    const { kind, reasons } = change({}, after);
    assert.equal(kind, 'restart', String(reason));
    assert.match(reasons[0] ?? '', reason);
  }
});

test('what the supervisor alone decides takes effect without a restart', () => {
  const cases: readonly Partial<InstanceSpec>[] = [
    { restart: 'never' },
    { upAfterMs: 5000 },
    { startRetries: 3 },
    { stop: { signal: 'INT', timeoutMs: 1, scope: 'group', killScope: 'group' } },
    { stdout: { file: '/var/log/web.log', maxBytes: 1000, keep: 10 } },
    { after: ['db'] },
    { priority: 1 },
  ];
  for (const after of cases) assert.equal(change({}, after).kind, 'update', JSON.stringify(after));
});

test('variables are named, their values are not shown', () => {
  const { kind, reasons } = change({ env: { A: 'x', B: 'old', C: 'z' } }, { env: { B: 'new', C: 'z', D: 'y' } });
  assert.equal(kind, 'restart');
  assert.deepEqual(reasons, ['env.A is gone', 'env.B changed', 'env.D is new']);
});

test('variables in another order are the same', () => {
  assert.equal(change({ env: { A: '1', B: '2' } }, { env: { B: '2', A: '1' } }).kind, 'stay');
});

test('a command whose words are parted otherwise shows the difference', () => {
  assert.deepEqual(change({ command: ['a b'] }, { command: ['a', 'b'] }).reasons, ["run: 'a b' → a b"]);
});

test('a long value is cut', () => {
  const { reasons } = change({}, { command: ['x'.repeat(500)] });
  assert.ok((reasons[0] ?? '').length < 200);
});

test('what is new starts, what is gone stops, in the order of the files, stops last', () => {
  const [a, b, c] = ['a', 'b', 'c'].map((id) => spec({ id })) as [InstanceSpec, InstanceSpec, InstanceSpec];
  assert.deepEqual(
    planChanges(byId(a, b), byId(c, b), new Set()).map(({ kind, id }) => `${kind} ${id}`),
    ['start c', 'stay b', 'stop a'],
  );
});

test('what is new and is not started says why', () => {
  assert.deepEqual(planChanges(new Map(), byId(spec({ autostart: false })), new Set())[0]?.reasons, ['not started: autostart is false']);
  assert.deepEqual(planChanges(new Map(), byId(spec()), new Set(['web']))[0]?.reasons, ['not started: it was stopped by hand']);
});

test('a secret is kept as a hash that tells a change and nothing else', () => {
  const secret = spec({ env: { TOKEN: 'hunter2', MODE: 'live' }, secretEnv: ['TOKEN'] });
  const plain = withoutSecrets(secret, 'key');
  assert.equal(plain.env.MODE, 'live');
  assert.doesNotMatch(JSON.stringify(plain), /hunter2/);
  assert.deepEqual(withoutSecrets(secret, 'key'), plain);
  assert.notDeepEqual(withoutSecrets(secret, 'another key').env, plain.env);
  const next = withoutSecrets({ ...secret, env: { ...secret.env, TOKEN: 'hunter3' } }, 'key');
  assert.deepEqual(planChanges(byId(plain), byId(next), new Set())[0]?.reasons, ['env.TOKEN changed']);
});

test('limits of the whole tree change without a restart, those of each process with one', () => {
  assert.equal(change({ limits: { memory: 1 } }, { limits: { memory: 2, cpu: 1 } }).kind, 'update');
  assert.deepEqual(change({}, { processLimits: { openFiles: 9 } }), {
    kind: 'restart',
    id: 'web',
    reasons: ['limits: not set → {"openFiles":9}'],
  });
  for (const fields of [{ nice: 5 }, { io: { class: 'idle' } }, { oomScore: 5 }] as const) assert.equal(change({}, fields).kind, 'restart');
});
