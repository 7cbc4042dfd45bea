import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Role, rights } from '@steward/sdk/contract/rights';
import { type Grant, may, type Subject } from '../../identity/identity.ts';
import { initialState } from '../../supervisor/machine.ts';
import type { Rooms } from '../handlers.ts';
import { Fault } from './faults.ts';
import { mostBytes } from './log-file.ts';
import type { Call } from './method.ts';
import { dispatch, methods } from './methods.ts';
import type { Value } from './xml.ts';

/** What a call did to the rooms. */
interface Seen {
  readonly done: string[];
  readonly told: string[];
}

/** Rooms with two services that run, and a caller with these grants. */
function callBy(grants: readonly Grant[]): Call & Seen {
  const done: string[] = [];
  const told: string[] = [];
  const view = (name: string) => ({
    spec: { id: name, name, group: name, service: name, command: ['/bin/true'], cwd: '/', env: {}, priority: 1 },
    state: { ...initialState, phase: 'RUNNING' },
    pid: 7,
    waitsFor: [],
    streams: [],
  });
  const views = [view('web'), view('db')];
  const act =
    (what: string) =>
    (...given: unknown[]): unknown => {
      done.push(`${what} ${JSON.stringify(given)}`);
      return Promise.resolve('added');
    };
  const supervisor = {
    views: () => views,
    view: () => views[0],
    start: act('start'),
    stop: act('stop'),
    signal: act('signal'),
    output: { settle: async () => {} },
  };
  const groups = {
    mood: () => 'running',
    known: () => [],
    reread: act('reread'),
    add: act('add'),
    remove: act('remove'),
    restart: act('restart'),
  };
  const subject: Subject = { kind: 'supervisorctl', name: 'x', grants };
  return {
    done,
    told,
    caller: { subject, from: 'here', via: 'supervisorctl', may: () => false },
    signal: new AbortController().signal,
    rooms: { supervisor, system: { groups, status: () => ({ name: '' }), shutDown: act('shutDown') } } as unknown as Rooms,
    lifetimes: { of: () => ({}), forget: () => {}, stop: () => {} },
    mainLog: () => undefined,
    begin: (_caller, method, names) => (result) => void told.push([method, ...names, result].join(' ')),
    budget: 2 * mostBytes,
  };
}

const as = (role: Role, ...on: string[]): readonly Grant[] => [{ role, ...(on.length > 0 && { on }) }];

/** Parameters that fit. */
function fitting(name: string): Value[] {
  const byName: Record<string, Value> = {
    name: 'web',
    group: 'web',
    signal: 'HUP',
    offset: 0,
    length: 0,
    chars: 'x',
    type: 'a',
    data: 'b',
    calls: [],
  };
  return (methods[name]?.parameters ?? []).filter(({ optional }) => !optional).map((parameter) => byName[parameter.name] ?? '');
}

const faultOf = async (work: Promise<unknown>): Promise<Fault | undefined> => {
  try {
    await work;
    return undefined;
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
};

test('every method names a right that exists', () => {
  for (const [name, { needs }] of Object.entries(methods)) assert.ok(Object.hasOwn(rights, needs), name);
});

test('who has no right to a method gets nothing done, whatever the method', async () => {
  for (const [name, { needs }] of Object.entries(methods)) {
    for (const role of ['viewer', 'operator', 'audit'] as const) {
      if (may({ kind: 'person', name: '', grants: as(role) }, needs, { kind: 'whole' })) continue;
      const call = callBy(as(role));
      const fault = await faultOf(dispatch(name, fitting(name), call));
      assert.ok(fault?.message.startsWith('FAILED: you may not'), `${name} as ${role}: ${fault?.message}`);
      assert.deepEqual(call.done, [], `${name} as ${role}`);
    }
    assert.ok(await faultOf(dispatch(name, fitting(name), callBy([]))), `${name} as nobody`);
  }
});

test('a role for one service says nothing over another, which is not even there for it', async () => {
  const call = callBy(as('operator', 'service:web'));
  const infos = (await dispatch('supervisor.getAllProcessInfo', [], call)) as { name: string }[];
  assert.deepEqual(
    infos.map(({ name }) => name),
    ['web'],
  );
  await dispatch('supervisor.signalProcess', ['web', 'HUP'], call);
  for (const method of ['supervisor.stopProcess', 'supervisor.startProcessGroup', 'supervisor.clearProcessLogs'])
    assert.equal((await faultOf(dispatch(method, ['db'], call)))?.fault, 'BAD_NAME', method);
  assert.equal((await faultOf(dispatch('supervisor.reloadConfig', [], call)))?.fault, 'FAILED');
  assert.deepEqual(call.done, ['signal [["web"],"HUP"]']);
  const viewer = callBy([...as('viewer'), ...as('operator', 'service:web')]);
  assert.match(
    (await faultOf(dispatch('supervisor.signalAllProcesses', ['HUP'], viewer)))?.message ?? '',
    /needs the right "operate" over db/,
  );
  assert.deepEqual(viewer.done, []);
});

test('what changes something is told before and after, what only asks is not', async () => {
  const call = callBy(as('super'));
  await dispatch('supervisor.signalProcess', ['web', 'HUP'], call);
  await faultOf(dispatch('supervisor.signalProcess', ['web', 'NONSENSE'], call));
  await dispatch('system.multicall', [[{ methodName: 'supervisor.shutdown', params: [] }]], call);
  await dispatch('supervisor.getAllProcessInfo', [], call);
  assert.deepEqual(call.told, ['supervisor.signalProcess web done', 'supervisor.signalProcess web refused', 'supervisor.shutdown done']);
});

test('too few, too many and wrong parameters are refused', async () => {
  const call = callBy(as('super'));
  for (const [name, { parameters }] of Object.entries(methods)) {
    const needed = parameters.filter(({ optional }) => !optional).length;
    if (needed > 0) assert.equal((await faultOf(dispatch(name, [], call)))?.fault, 'INCORRECT_PARAMETERS', name);
    const many = Array(parameters.length + 1).fill('web');
    assert.equal((await faultOf(dispatch(name, many, call)))?.fault, 'INCORRECT_PARAMETERS', name);
    const wrong = parameters.map(() => ({}));
    if (needed > 0 && !name.endsWith('AllProcesses')) assert.ok(await faultOf(dispatch(name, wrong, call)), name);
  }
  assert.deepEqual(call.done, []);
});

test('one request cannot hold any number of calls', async () => {
  const call = callBy(as('super'));
  const many = Array(1001).fill({ methodName: 'supervisor.getPID' });
  assert.equal((await faultOf(dispatch('system.multicall', [many], call)))?.fault, 'INCORRECT_PARAMETERS');
  const within = (await dispatch('system.multicall', [[{ methodName: 'system.multicall', params: [[]] }, 'x', {}]], call)) as {
    faultCode: number;
  }[];
  assert.deepEqual(
    within.map(({ faultCode }) => faultCode),
    [2, 2, 2],
  );
});

test('methods that do not exist are unknown, also such as every object has', async () => {
  for (const name of ['nothing', 'supervisor.nothing', 'constructor', '__proto__', 'supervisor._update', 'a.b.c'])
    assert.equal((await faultOf(dispatch(name, [], callBy(as('super')))))?.fault, 'UNKNOWN_METHOD', name);
});
