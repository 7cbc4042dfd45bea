import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffDelay, type InstanceEffect, type InstanceEvent, type InstanceState, initialState, type Policy, step } from './machine.ts';

const exponential = { kind: 'exponential', firstMs: 0, baseMs: 200, factor: 2, maxMs: 30_000, jitter: 0, resetAfterMs: 30_000 } as const;
const own: Policy = {
  restart: 'always',
  expectedExitCodes: [0],
  upAfterMs: 1000,
  startRetries: 'forever',
  backoff: exponential,
  stop: { signal: 'TERM', timeoutMs: 10_000, scope: 'group', killScope: 'group' },
};
/** supervisord's defaults: autorestart=unexpected, startsecs=1, startretries=3. */
const supervisord: Policy = {
  ...own,
  restart: 'on-failure',
  startRetries: 3,
  backoff: { kind: 'linear' },
  stop: { ...own.stop, scope: 'process', killScope: 'process' },
};

type Given = InstanceEvent extends infer E ? (E extends InstanceEvent ? Omit<E, 'at'> & { at?: number } : never) : never;

/** Plays events one after the other, `at` counting on from the last; the end state and all effects. */
function play(
  policy: Policy,
  events: readonly Given[],
  from: InstanceState = initialState,
): { state: InstanceState; effects: InstanceEffect[]; last: readonly InstanceEffect[] } {
  let state = from;
  let at = 0;
  let last: readonly InstanceEffect[] = [];
  const effects: InstanceEffect[] = [];
  for (const event of events) {
    at = event.at ?? at;
    ({ state, effects: last } = step(policy, state, { ...event, at } as InstanceEvent));
    effects.push(...last);
  }
  return { state, effects, last };
}

const exit = (code: number | null, signal: number | null = null, at?: number): Given => ({
  type: 'exited',
  exit: { code, signal },
  chance: 0,
  ...(at !== undefined && { at }),
});
const up: Given[] = [{ type: 'want-up' }, { type: 'spawned', pid: 7 }, { type: 'timer', timer: 'up', at: 1000 }];
const armed = (effects: readonly InstanceEffect[], timer: string): number | undefined =>
  effects.flatMap((effect) => (effect.type === 'arm' && effect.timer === timer ? [effect.ms] : [])).at(-1);
const kinds = (effects: readonly InstanceEffect[]): string[] => effects.map(({ type }) => type);
const signals = (effects: readonly InstanceEffect[]): string[] =>
  effects.flatMap((effect) => (effect.type === 'signal' ? [`${effect.signal} ${effect.scope}`] : []));

test('an instance without a probe is RUNNING once it has stayed up for upAfter', () => {
  const started = play(own, up.slice(0, 2));
  assert.equal(started.state.phase, 'STARTING');
  assert.equal(armed(started.effects, 'up'), 1000);
  assert.equal(play(own, up).state.phase, 'RUNNING');
});

test('with upAfter 0 it is RUNNING as soon as it has a pid', () => {
  assert.equal(play({ ...own, upAfterMs: 0 }, up.slice(0, 2)).state.phase, 'RUNNING');
});

test('with a probe it is RUNNING when ready, however long it is up', () => {
  const policy: Policy = { ...own, ready: { kind: 'notify', timeoutMs: 60_000 } };
  const waiting = play(policy, up);
  assert.equal(waiting.state.phase, 'STARTING');
  assert.ok(kinds(waiting.effects).includes('probe'));
  assert.equal(play(policy, [...up, { type: 'ready', at: 5000 }]).state.phase, 'RUNNING');
});

test('an instance that is not ready in time is stopped and tried again', () => {
  const policy: Policy = { ...own, ready: { kind: 'notify', timeoutMs: 60_000 } };
  const late = play(policy, [...up.slice(0, 2), { type: 'timer', timer: 'ready', at: 60_000 }]);
  assert.equal(late.state.phase, 'STOPPING');
  const gone = play(policy, [exit(0, null, 61_000), { type: 'group-gone', chance: 0 }], late.state);
  assert.equal(gone.state.phase, 'BACKOFF');
  assert.match(gone.state.reason, /not ready within 60 s/);
});

test('a killed instance starts again at once, the second time in a row after 200 ms, then twice as long each time up to the cap', () => {
  const waits: number[] = [];
  let state = play(own, up).state;
  for (let n = 0; n < 12; n++) {
    const end = play(own, [exit(null, 9, 1500)], { ...state, startedAt: 0 });
    waits.push(armed(end.effects, 'retry') ?? 0);
    const again: Given[] = end.state.phase === 'BACKOFF' ? [{ type: 'timer', timer: 'retry' }] : [];
    state = play(own, [...again, { type: 'spawned', pid: 8 }, { type: 'timer', timer: 'up' }], end.state).state;
  }
  assert.deepEqual(waits, [0, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
  assert.equal(state.restarts, 12);
});

test('after 30 s of health the waiting begins anew', () => {
  const tired = { ...play(own, up).state, ends: 9, startedAt: 0 };
  assert.equal(play(own, [exit(1, null, 30_000)], tired).state.phase, 'STARTING');
  assert.equal(play(own, [exit(1, null, 29_999)], tired).state.phase, 'BACKOFF');
});

test('jitter adds at most its share and never passes the cap', () => {
  assert.equal(backoffDelay({ ...exponential, jitter: 0.5 }, 3, 0, 0), 400);
  assert.equal(backoffDelay({ ...exponential, jitter: 0.5 }, 3, 0, 1), 600);
  assert.equal(backoffDelay({ ...exponential, jitter: 0.5 }, 500, 0, 1), 30_000);
});

test("by supervisord's rules failed starts wait 1, 2, 3 s and the fourth is FATAL", () => {
  const waits: (number | undefined)[] = [];
  let state = initialState;
  for (let n = 0; n < 4; n++) {
    const begin: Given[] = n === 0 ? [{ type: 'want-up' }] : [{ type: 'timer', timer: 'retry' }];
    const end = play(supervisord, [...begin, { type: 'spawned', pid: 7 }, exit(0)], state);
    waits.push(armed(end.last, 'retry'));
    state = end.state;
  }
  assert.deepEqual(waits, [1000, 2000, 3000, undefined]);
  assert.equal(state.phase, 'FATAL');
  assert.match(state.reason, /exited with code 0 .* before it was up; gave up after 4 failed starts/);
});

test("by supervisord's rules an expected exit is EXITED, an unexpected one starts again at once", () => {
  assert.equal(play(supervisord, [...up, exit(0, null, 9000)]).state.phase, 'EXITED');
  assert.equal(play(supervisord, [...up, exit(3, null, 9000)]).state.phase, 'STARTING');
  assert.equal(play(supervisord, [...up, exit(null, 9, 9000)]).state.phase, 'STARTING');
  assert.equal(play({ ...supervisord, restart: 'always' }, [...up, exit(0, null, 9000)]).state.phase, 'STARTING');
  assert.equal(play({ ...supervisord, restart: 'never' }, [...up, exit(3, null, 9000)]).state.phase, 'EXITED');
});

test('a program with startsecs=0 that ends at once does not start in a storm', () => {
  const policy: Policy = { ...supervisord, upAfterMs: 0, restart: 'always' };
  const end = play(policy, [{ type: 'want-up' }, { type: 'spawned', pid: 7 }, exit(0, null, 3)]);
  assert.equal(end.state.phase, 'BACKOFF');
  assert.equal(armed(end.effects, 'retry'), 1000);
});

test('stop sends the signal to the group, waits for the group, and KILLs what is left', () => {
  const stopping = play(own, [...up, { type: 'want-down', at: 5000 }]);
  assert.equal(stopping.state.phase, 'STOPPING');
  assert.deepEqual(signals(stopping.last), ['TERM group']);
  assert.equal(armed(stopping.last, 'kill'), 10_000);
  const leader = play(own, [exit(0)], stopping.state);
  assert.equal(leader.state.phase, 'STOPPING', 'children of the group may still work');
  assert.deepEqual(kinds(leader.last), ['await-group']);
  const late = play(own, [{ type: 'timer', timer: 'kill', at: 15_000 }], leader.state);
  assert.deepEqual(signals(late.last), ['KILL group']);
  assert.equal(play(own, [{ type: 'group-gone', chance: 0 }], late.state).state.phase, 'STOPPED');
});

test('a supervisord program is stopped alone, as stopasgroup=false says', () => {
  const stopping = play(supervisord, [...up, { type: 'want-down', at: 5000 }]);
  assert.deepEqual(signals(stopping.last), ['TERM process']);
  assert.equal(play(supervisord, [exit(0)], stopping.state).state.phase, 'STOPPED');
});

test('KILL is repeated while the process does not go', () => {
  let { state } = play(own, [...up, { type: 'want-down', at: 5000 }]);
  for (let n = 0; n < 5; n++) {
    const again = play(own, [{ type: 'timer', timer: 'kill' }], state);
    assert.deepEqual(signals(again.last), ['KILL group']);
    assert.ok(armed(again.last, 'kill'));
    state = again.state;
  }
  assert.equal(state.phase, 'STOPPING');
  assert.match(state.reason, /KILL/);
});

test('a restart starts again when the old one is gone, and a stop in between wins', () => {
  const restarting = play(own, [...up, { type: 'restart', at: 5000 }, exit(0)]).state;
  assert.equal(play(own, [{ type: 'group-gone', chance: 0 }], restarting).state.phase, 'STARTING');
  assert.equal(play(own, [{ type: 'want-down' }, { type: 'group-gone', chance: 0 }], restarting).state.phase, 'STOPPED');
  assert.equal(
    play(own, [{ type: 'want-down' }, { type: 'want-up' }, { type: 'group-gone', chance: 0 }], restarting).state.phase,
    'STARTING',
  );
});

test('a stop while waiting for the next try ends the waiting', () => {
  const waiting = play(own, [{ type: 'want-up' }, { type: 'spawn-failed', reason: 'no such file', chance: 0 }]);
  assert.equal(waiting.state.phase, 'BACKOFF');
  const stopped = play(own, [{ type: 'want-down' }], waiting.state);
  assert.equal(stopped.state.phase, 'STOPPED');
  assert.ok(stopped.last.some((effect) => effect.type === 'disarm' && effect.timer === 'retry'));
});

test('what a crash leaves in the process group is killed', () => {
  assert.deepEqual(signals(play(own, [...up, exit(1, null, 9000)]).last), ['KILL group']);
  assert.deepEqual(signals(play(supervisord, [...up, exit(1, null, 9000)]).last), []);
});

test('an adopted instance that was running is RUNNING, and its end without a known status is a failure', () => {
  const adopted = play(supervisord, [{ type: 'adopted', pid: 9, startedAt: -50_000, running: true, restarts: 4 }]);
  assert.equal(adopted.state.phase, 'RUNNING');
  assert.equal(adopted.state.pid, 9);
  const ended = play(supervisord, [exit(null, null, 10)], adopted.state);
  assert.equal(ended.state.phase, 'STARTING');
  assert.equal(ended.state.restarts, 5);
});

test('one that is over a limit is stopped and started again with the reason, soon after its start with a wait', () => {
  const reason = 'its 412 MB are over its limit of 400 MB';
  const steady = play(own, [...up, { type: 'restart', reason, at: 60_000 }]);
  assert.equal(steady.state.reason, `restarts: ${reason}`);
  assert.deepEqual(signals(steady.last), ['TERM group']);
  const again = play(own, [exit(0), { type: 'group-gone', chance: 0 }], steady.state);
  assert.equal(again.state.phase, 'STARTING');
  assert.equal(again.state.restarts, 1);
  const early = play(own, [...up, { type: 'restart', reason, at: 2000 }, exit(0), { type: 'group-gone', chance: 0 }]);
  assert.equal(early.state.phase, 'BACKOFF');
  assert.match(early.state.reason, /over its limit of 400 MB/);
  const down = play(own, [{ type: 'restart', reason }]);
  assert.equal(down.state.phase, 'STOPPED', 'what does not run is not started by it');
});

test('what KILL does not end is told once, and KILL goes on', () => {
  const killed = play(own, [...up, { type: 'want-down', at: 5000 }, { type: 'timer', timer: 'kill', at: 15_000 }]);
  const stuck = play(own, [{ type: 'stuck', reason: 'asleep in D' }], killed.state);
  assert.deepEqual([stuck.state.phase, stuck.state.stuck, stuck.state.reason], ['STOPPING', true, 'asleep in D']);
  const again = play(
    own,
    [
      { type: 'timer', timer: 'kill', at: 20_000 },
      { type: 'stuck', reason: 'asleep in D' },
    ],
    stuck.state,
  );
  assert.deepEqual(kinds(again.effects), ['signal', 'arm']);
  assert.equal(again.state.reason, 'asleep in D');
  const gone = play(own, [exit(null, 9), { type: 'group-gone', chance: 0 }], again.state);
  assert.deepEqual([gone.state.phase, gone.state.stuck, gone.state.reason], ['STOPPED', undefined, '']);
  assert.equal(play(own, [{ type: 'stuck', reason: 'x' }], play(own, up).state).state.stuck, undefined);
});

test('why it ended is added to the reason while it waits, and only told once it runs again', () => {
  const waits = play(own, [...up, exit(1, null, 2000), { type: 'spawned', pid: 8 }, exit(1, null, 2100)]);
  assert.equal(waits.state.phase, 'BACKOFF');
  const told = play(own, [{ type: 'explained', text: 'port 80 is taken', isNews: true }], waits.state);
  assert.match(told.state.reason, /exited with code 1 .*; port 80 is taken$/);
  assert.deepEqual(kinds(told.last), ['fact']);
  assert.deepEqual(play(own, [{ type: 'explained', text: 'x', isNews: false }], waits.state).effects, []);
  assert.equal(play(own, [...up, { type: 'explained', text: 'x', isNews: true }]).state.reason, '');
});

test('no event in any phase throws, leaves a timer that means nothing, or spawns twice', () => {
  const events: Given[] = [
    { type: 'want-up' },
    { type: 'want-down' },
    { type: 'restart' },
    { type: 'restart', reason: 'x' },
    { type: 'stuck', reason: 'x' },
    { type: 'explained', text: 'x', isNews: true },
    { type: 'spawned', pid: 3 },
    { type: 'ready' },
    { type: 'group-gone', chance: 0.5 },
    { type: 'spawn-failed', reason: 'x', chance: 0.5 },
    exit(0),
    exit(1),
    exit(null, 9),
    exit(null, null),
    { type: 'timer', timer: 'up' },
    { type: 'timer', timer: 'ready' },
    { type: 'timer', timer: 'retry' },
    { type: 'timer', timer: 'kill' },
  ];
  const policies: Policy[] = [
    own,
    supervisord,
    { ...own, ready: { kind: 'notify', timeoutMs: 5 } },
    { ...own, upAfterMs: 0, restart: 'never', startRetries: 0 },
  ];
  let seed = 7;
  const next = (n: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % n;
  };
  for (const policy of policies) {
    for (let walk = 0; walk < 300; walk++) {
      let state = initialState;
      let alive = false;
      for (let n = 0; n < 60; n++) {
        const event = events[next(events.length)] as Given;
        // Only what the shell could say: a process starts after a spawn and ends while it is there.
        if (event.type === 'spawned' && (alive || state.phase !== 'STARTING' || state.pid !== undefined)) continue;
        if (event.type === 'exited' && !alive) continue;
        if (event.type === 'spawn-failed' && (alive || (state.phase !== 'STARTING' && state.phase !== 'STOPPING'))) continue;
        if (event.type === 'group-gone' && (alive || state.phase !== 'STOPPING')) continue;
        if (event.type === 'spawned') alive = true;
        if (event.type === 'exited') alive = false;
        const after = step(policy, state, { ...event, at: n * 700 } as InstanceEvent);
        assert.ok(after.effects.filter(({ type }) => type === 'spawn').length <= 1);
        if (after.effects.some(({ type }) => type === 'spawn'))
          assert.ok(!alive, `spawned beside a living process: ${state.phase} ${event.type}`);
        if (after.state.phase === 'BACKOFF' && state.phase !== 'BACKOFF')
          assert.ok(armed(after.effects, 'retry'), 'BACKOFF without a timer would wait for ever');
        if (after.state.phase === 'STOPPING' && state.phase !== 'STOPPING')
          assert.ok(armed(after.effects, 'kill'), 'STOPPING without a timer would wait for ever');
        state = after.state;
      }
    }
  }
});

test('with requests to drain, or a beforeStop, the first signal waits for the leave', () => {
  const policies: Policy[] = [
    { ...own, stop: { ...own.stop, drainMs: 5_000 } },
    { ...own, hooks: { beforeStop: ['true'], timeoutMs: 5_000 } },
  ];
  for (const policy of policies) {
    const leaving = play(policy, [...up, { type: 'want-down', at: 2000 }]);
    assert.equal(leaving.state.phase, 'STOPPING');
    assert.deepEqual(signals(leaving.last), []);
    assert.ok(kinds(leaving.last).includes('take-leave'));
    assert.equal(armed(leaving.last, 'leave'), 5_000);
    for (const event of [{ type: 'left' }, { type: 'timer', timer: 'leave' }] as const) {
      const told = play(policy, [event], leaving.state);
      assert.deepEqual(signals(told.last), ['TERM group']);
      assert.equal(armed(told.last, 'kill'), 10_000);
      assert.deepEqual(play(policy, [event], told.state).last, [], 'once');
    }
  }
});

test('one that ends while it takes its leave is done, and one that never ran takes none', () => {
  const policy: Policy = { ...own, stop: { ...own.stop, drainMs: 5_000 } };
  const leaving = play(policy, [...up, { type: 'restart', at: 2000 }]);
  const ended = play(policy, [exit(0, null, 2100), { type: 'group-gone', chance: 0 }], leaving.state);
  assert.equal(ended.state.phase, 'STARTING');
  assert.ok(ended.effects.some((effect) => effect.type === 'disarm' && effect.timer === 'leave'));
  assert.deepEqual(play(policy, [{ type: 'left' }], ended.state).last, [], 'a leave that comes late means nothing');
  assert.deepEqual(signals(play(policy, [...up.slice(0, 2), { type: 'want-down' }]).last), ['TERM group']);
});
