/** The boot list as a table: events in, state and effects out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootSpec, BootStepSpec } from '../config/model.ts';
import {
  type BootEffect,
  type BootEvent,
  type BootMove,
  type BootState,
  gateOf,
  idle,
  listFor,
  type StepPhase,
  type StepPolicy,
  step,
  stepOf,
} from './plan.ts';

const policy = (name: string, change: Partial<StepPolicy> = {}): StepPolicy => ({
  name,
  retries: 0,
  retryEveryMs: 5000,
  onFailure: 'stop',
  background: false,
  ...change,
});

const ok = (name: string): BootEvent => ({ type: 'tried', step: name, ok: true, why: 'ready', tookMs: 100 });
const bad = (name: string, why = 'refused'): BootEvent => ({ type: 'tried', step: name, ok: false, why, tookMs: 100 });
const timer = (name: string): BootEvent => ({ type: 'timer', step: name });
const again: BootEvent = { type: 'again' };

function short(effect: BootEffect): string {
  if (effect.type === 'try') return `try ${effect.step}${effect.patient ? '' : ' once'}`;
  if (effect.type === 'arm') return `arm ${effect.step} ${effect.ms}`;
  return effect.type === 'fact' ? effect.fact : effect.type;
}

/** The effects of each event in short, and the last state. */
function play(
  list: readonly StepPolicy[],
  events: readonly BootEvent[],
  first: BootState = idle,
): { state: BootState; effects: string[][] } {
  let state = first;
  const effects = events.map((event) => {
    const move: BootMove = step(list, state, event);
    state = move.state;
    return move.effects.map(short);
  });
  return { state, effects };
}

const phases = (list: readonly StepPolicy[], state: BootState): string => list.map(({ name }) => stepOf(state, name).phase).join(' ');

test('steps run one after the other, and the list is done when all are', () => {
  const list = [policy('a'), policy('b')];
  const { state, effects } = play(list, [again, ok('a'), ok('b')]);
  assert.deepEqual(effects, [
    ['drop', 'boot.started', 'try a'],
    ['boot.step', 'try b'],
    ['boot.step', 'boot.done'],
  ]);
  assert.equal(state.phase, 'done');
});

test('a step that fails stops the list, and nothing after it is tried', () => {
  const list = [policy('a'), policy('b')];
  const { state, effects } = play(list, [again, bad('a')]);
  assert.deepEqual(effects[1], ['boot.failed']);
  assert.deepEqual([state.phase, phases(list, state), stepOf(state, 'a').why], ['failed', 'failed pending', 'refused']);
});

test('a step is tried as often as it says, and its time counts the pauses', () => {
  const list = [policy('a', { retries: 2 })];
  const { state, effects } = play(list, [again, bad('a'), timer('a'), bad('a'), timer('a'), bad('a'), timer('a')]);
  assert.deepEqual(effects.slice(1), [['boot.waiting', 'arm a 5000'], ['try a'], ['arm a 5000'], ['try a'], ['boot.failed'], []]);
  assert.deepEqual([stepOf(state, 'a').tries, stepOf(state, 'a').tookMs], [3, 10_300]);
});

test('a failure that is passed leaves the boot degraded; alert says so', () => {
  for (const [onFailure, fact] of [
    ['continue', 'boot.failed'],
    ['alert', 'boot.alert'],
  ] as const) {
    const list = [policy('a', { onFailure }), policy('b')];
    const { state, effects } = play(list, [again, bad('a'), ok('b')]);
    assert.deepEqual(effects.slice(1), [
      [fact, 'try b'],
      ['boot.step', 'boot.degraded'],
    ]);
    assert.equal(state.phase, 'degraded');
  }
});

test('a step in the background holds the list for its first try only, and a later success makes the boot done', () => {
  const list = [policy('peer', { background: true, retries: 'forever' }), policy('b')];
  const { state, effects } = play(list, [again, bad('peer'), ok('b'), timer('peer'), bad('peer'), timer('peer'), ok('peer')]);
  assert.deepEqual(effects, [
    ['drop', 'boot.started', 'try peer once'],
    ['boot.waiting', 'arm peer 5000', 'try b'],
    ['boot.step', 'boot.degraded'],
    ['try peer once'],
    ['arm peer 5000'],
    ['try peer once'],
    ['boot.step', 'boot.done'],
  ]);
  assert.equal(state.phase, 'done');
});

test('a step in the background never stops the list, whatever onFailure says', () => {
  const list = [policy('peer', { background: true, retries: 0 }), policy('b')];
  const { state } = play(list, [again, bad('peer'), ok('b')]);
  assert.equal(state.phase, 'degraded');
});

test('a list that stopped stays so when a step behind it is done', () => {
  const list = [policy('peer', { background: true, retries: 'forever' }), policy('b'), policy('c')];
  const { state, effects } = play(list, [again, bad('peer'), bad('b'), timer('peer'), ok('peer')]);
  assert.deepEqual(effects.at(-1), ['boot.step']);
  assert.deepEqual([state.phase, phases(list, state)], ['failed', 'done failed pending']);
});

test('resume goes on at the failed step and does nothing twice', () => {
  const list = [policy('a'), policy('b'), policy('c')];
  const { state, effects } = play(list, [again, ok('a'), bad('b'), { type: 'resume' }, ok('b'), ok('c')]);
  assert.deepEqual(effects.slice(3), [
    ['drop', 'boot.started', 'try b'],
    ['boot.step', 'try c'],
    ['boot.step', 'boot.done'],
  ]);
  assert.equal(state.phase, 'done');
});

test('from begins at a step; what is done before it stays done, the rest is left out', () => {
  const list = [policy('a'), policy('b'), policy('c')];
  const { state } = play(list, [again, ok('a'), bad('b'), { type: 'from', step: 'c' }]);
  assert.equal(phases(list, state), 'done skipped trying');
  assert.equal(phases(list, play(list, [ok('c')], state).state), 'done skipped done');
  assert.equal(play(list, [ok('c')], state).state.phase, 'done');
});

test('after the death of the daemon what is done is not done again, and what was under way is', () => {
  const list = [policy('a'), policy('peer', { background: true, retries: 'forever' }), policy('b', { retries: 1 }), policy('c')];
  const before = play(list, [again, ok('a'), bad('peer')]).state;
  assert.equal(phases(list, before), 'done waiting trying pending');
  const { state, effects } = play(list, [{ type: 'continue' }, ok('peer'), ok('b'), ok('c')], before);
  assert.deepEqual(effects, [
    ['boot.started', 'try peer once', 'try b'],
    ['boot.step'],
    ['boot.step', 'try c'],
    ['boot.step', 'boot.done'],
  ]);
  assert.equal(stepOf(state, 'b').tries, 1, 'the try that was cut off counts as not begun');
});

test('a list that is done, has stopped or never ran is not touched by the start of a daemon', () => {
  const list = [policy('a')];
  for (const before of [idle, play(list, [again, ok('a')]).state, play(list, [again, bad('a')]).state])
    assert.deepEqual(play(list, [{ type: 'continue' }], before), { state: before, effects: [[]] });
});

test('a step that the files lose while it is under way does not hold the list', () => {
  const { state } = play([policy('a'), policy('b')], [again]);
  const without = [policy('b')];
  assert.deepEqual(play(without, [ok('a')], state).effects, [['try b']]);
});

test('no event in any phase throws or leaves a list that runs without anything under way', () => {
  const list = [policy('a', { retries: 1 }), policy('b', { background: true, retries: 1 }), policy('c', { onFailure: 'alert' })];
  const all: readonly StepPhase[] = ['pending', 'trying', 'waiting', 'done', 'failed', 'skipped'];
  const events: readonly BootEvent[] = [again, { type: 'resume' }, { type: 'from', step: 'b' }, { type: 'continue' }];
  const own = ['a', 'b', 'c'].flatMap((name) => [ok(name), bad(name), timer(name)]);
  for (const phase of ['idle', 'running', 'done', 'degraded', 'failed'] as const)
    for (const a of all)
      for (const b of all)
        for (const c of all)
          for (const event of [...events, ...own]) {
            const one = (name: StepPhase) => ({ phase: name, tries: 1, tookMs: 0, why: '', behind: false });
            const before: BootState = { phase, steps: { a: one(a), b: one(b), c: one(c) } };
            const { state, effects } = step(list, before, event);
            const isBegun = events.includes(event) && event.type !== 'continue';
            if (isBegun)
              assert.ok(state.phase !== 'running' || effects.some(({ type }) => type === 'try'), JSON.stringify([before, event]));
          }
});

const bootStep = (name: string, services?: readonly string[]): BootStepSpec => ({
  ...policy(name),
  timeoutMs: 1000,
  action: services === undefined ? { kind: 'wait', wait: { kind: 'path', path: '/x' } } : { kind: 'service', services },
});

test('services wait for the first step that names them, while the list runs or has stopped', () => {
  const list = [bootStep('cache', ['redis']), bootStep('apps', ['web', 'redis'])];
  const running = play(list, [again]).state;
  assert.deepEqual(
    ['redis', 'web', 'other'].map((service) => gateOf(list, running, service)),
    [undefined, 'apps', undefined],
  );
  assert.equal(gateOf(list, play(list, [bad('cache')], running).state, 'web'), 'apps');
  assert.equal(gateOf(list, play(list, [ok('cache')], running).state, 'web'), undefined);
  assert.equal(gateOf(list, idle, 'web'), undefined);
});

test('a host finds its list by its name, its short name, a pattern, then default', () => {
  const spec: BootSpec = {
    steps: [bootStep('a'), bootStep('b')],
    lists: [
      { host: 'web*', steps: ['b'] },
      { host: 'default', steps: [] },
      { host: 'web1', steps: ['b', 'a'] },
    ],
  };
  const titleFor = (host: string) => listFor(spec, host)?.title;
  assert.deepEqual(['web1', 'web1.example.com', 'web2', 'web2.example.com', 'db'].map(titleFor), [
    'web1',
    'web1',
    'web*',
    'web*',
    'default',
  ]);
  assert.deepEqual(
    listFor(spec, 'web1')?.steps.map(({ name }) => name),
    ['b', 'a'],
  );
  assert.equal(listFor({ ...spec, lists: spec.lists.slice(0, 1) }, 'db'), undefined);
  assert.deepEqual(listFor({ ...spec, lists: [] }, 'db'), { title: '*', steps: spec.steps });
});
