import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceSpec } from '../config/model.ts';
import { type InstanceState, initialState } from './machine.ts';
import { type Fleet, roll, startOutcome } from './rolling.ts';

const spec = (id: string, run = 'old'): InstanceSpec => ({
  id,
  service: 'web',
  group: 'web',
  name: id,
  number: 1,
  priority: 999,
  autostart: true,
  after: [],
  command: [run],
  cwd: '/',
  env: {},
  secretEnv: [],
  inheritEnv: false,
  restart: 'always',
  expectedExitCodes: [0],
  upAfterMs: 0,
  startRetries: 'forever',
  backoff: { kind: 'linear' },
  stop: { signal: 'TERM', timeoutMs: 1000, scope: 'group', killScope: 'group' },
  stdout: { maxBytes: 0, keep: 0 },
  stderr: 'stdout',
});

const running = (pid: number): InstanceState => ({ ...initialState, phase: 'RUNNING', wanted: 'up', pid });
const failed = (reason: string): InstanceState => ({ ...initialState, phase: 'BACKOFF', wanted: 'up', reason });

/** Instances whose starts end at once: well, unless their command is one of `bad`. */
function fleetOf(ids: readonly string[], bad: readonly string[]): { fleet: Fleet; did: string[]; states: Map<string, InstanceState> } {
  const specs = new Map(ids.map((id) => [id, spec(id)]));
  const states = new Map(ids.map((id, index) => [id, running(index + 1)]));
  const did: string[] = [];
  let pid = 100;
  const begin = (next: InstanceSpec): void => {
    specs.set(next.id, next);
    states.set(next.id, bad.includes(next.command[0]) ? failed('it crashed') : running(++pid));
  };
  const fleet: Fleet = {
    spec: (id) => specs.get(id),
    state: (id) => states.get(id),
    add(next) {
      did.push(`add ${next.id}`);
      begin(next);
    },
    dismiss(id) {
      did.push(`dismiss ${id}`);
      states.delete(id);
    },
    restart(id, next) {
      did.push(`restart ${id} ${next.command[0]}`);
      begin(next);
    },
    async until(look) {
      const found = look();
      return found ?? assert.fail('nothing would ever change');
    },
    record: (type) => void did.push(type),
  };
  return { fleet, did, states };
}

const standIn = (run: string): InstanceSpec => ({ ...spec('web~stand-in', run), temporary: 'stand-in' });

test('a copy comes first, then each in turn', async () => {
  const { fleet, did } = fleetOf(['a', 'b'], []);
  const report = await roll(fleet, { service: 'web', ids: ['a', 'b'], standIn: standIn('old'), next: new Map() });
  assert.deepEqual(did, ['service.reloading', 'add web~stand-in', 'restart a old', 'restart b old', 'service.reloaded']);
  assert.deepEqual([report.done, report.replaced], [true, ['a', 'b']]);
});

test('a copy that does not come up leaves, and nothing else was touched', async () => {
  const { fleet, did } = fleetOf(['a'], ['new']);
  const report = await roll(fleet, { service: 'web', ids: ['a'], standIn: standIn('new'), next: new Map([['a', spec('a', 'new')]]) });
  assert.deepEqual(did, ['service.reloading', 'add web~stand-in', 'dismiss web~stand-in', 'service.reload-failed']);
  assert.equal(report.done, false);
  assert.match(report.message, /does not come up: it crashed; nothing else was touched/);
});

test('what is new and does not come up is taken back, and the rest is not touched', async () => {
  const { fleet, did } = fleetOf(['a', 'b'], ['new']);
  const next = new Map([
    ['a', spec('a', 'new')],
    ['b', spec('b', 'new')],
  ]);
  const report = await roll(fleet, { service: 'web', ids: ['a', 'b'], standIn: undefined, next });
  assert.deepEqual(did, ['service.reloading', 'restart a new', 'restart a old', 'service.reload-failed']);
  assert.match(report.message, /a does not come up with what is new: it crashed; it runs again as it was/);
});

test('what somebody stopped is passed over', async () => {
  const { fleet, did, states } = fleetOf(['a', 'b'], []);
  states.set('a', { ...initialState, wanted: 'down' });
  const report = await roll(fleet, { service: 'web', ids: ['a', 'b'], standIn: undefined, next: new Map() });
  assert.deepEqual(did, ['service.reloading', 'restart b old', 'service.reloaded']);
  assert.equal(report.done, true);
});

test('a start is over when it runs with another process, or has failed, or cannot happen', () => {
  assert.deepEqual(startOutcome(running(2), 1), { up: true, why: '' });
  assert.equal(startOutcome(running(1), 1), undefined, 'the one before');
  assert.equal(startOutcome({ ...initialState, phase: 'STARTING', wanted: 'up' }, 1), undefined);
  assert.deepEqual(startOutcome(failed('no'), 1), { up: false, why: 'no' });
  assert.equal(startOutcome({ ...initialState, phase: 'STOPPED', wanted: 'down' }, 1)?.up, false);
  assert.equal(startOutcome({ ...running(1), phase: 'STOPPING', stuck: true, reason: 'D' }, 1)?.why, 'D');
  assert.equal(startOutcome(undefined, 1)?.up, false);
});
