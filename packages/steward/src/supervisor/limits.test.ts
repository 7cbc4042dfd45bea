import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { limitWords, needsRoot, needsWatch, notHeld, overHigh, overLimit } from './limits.ts';

const mb = 1024 * 1024;
const nothing = { memory: false, cpu: false, tasks: false };
const usage = { cpuSeconds: 1, memoryBytes: 412 * mb, tasks: 12 };

test('a service that asks for nothing gets no words', () => assert.deepEqual(limitWords({}), []));

test('the words in front of a command set what they say, and it is inherited', () => {
  const words = limitWords({
    processLimits: { openFiles: 123, coreSize: 0, stack: 4 * mb },
    nice: 7,
    io: { class: 'best-effort', priority: 6 },
    oomScore: 321,
  }).flat();
  const script = 'ulimit -n; ulimit -c; ulimit -s; nice; ionice; cat /proc/self/oom_score_adj';
  const [tool = '', ...rest] = [...words, 'sh', '-c', script];
  const said = execFileSync(tool, rest, { encoding: 'utf8', timeout: 20_000 }).trim().split('\n');
  assert.deepEqual(said, ['123', '0', '4096', '7', 'best-effort: prio 6', '321']);
});

test('idle has no priority, and what only root may ask for is known', () => {
  assert.deepEqual(limitWords({ io: { class: 'idle' } }), [['ionice', '-c', '3']]);
  assert.equal(needsRoot({ nice: 5, io: { class: 'idle' } }), undefined);
  assert.equal(needsRoot({ nice: -5 }), 'nice: -5');
  assert.equal(needsRoot({ oomScore: -5 }), 'oomScore: -5');
  assert.equal(needsRoot({ io: { class: 'realtime', priority: 0 } }), 'ioClass: realtime');
});

test('over its memory or its tasks a run is told why, unless the system holds that itself', () => {
  assert.equal(overLimit({ memory: 400 * mb }, usage, nothing), 'its 412 MB are over its limit of 400 MB');
  assert.equal(overLimit({ tasks: 11 }, usage, nothing), 'its 12 tasks are over its limit of 11');
  assert.equal(overLimit({ memory: 412 * mb, tasks: 12 }, usage, nothing), undefined);
  assert.equal(overLimit({ memory: 1, tasks: 1 }, usage, { memory: true, cpu: true, tasks: true }), undefined);
  assert.equal(overHigh({ memoryHigh: 100 * mb }, usage, nothing), 'its 412 MB are over memoryHigh, 100 MB');
  assert.equal(overHigh({ memoryHigh: 100 * mb }, usage, { ...nothing, memory: true }), undefined);
});

test('only what the system does not hold is watched, and what nobody can hold is told', () => {
  assert.equal(needsWatch({ memory: 1 }, nothing), true);
  assert.equal(needsWatch({ cpu: 1 }, nothing), false);
  assert.equal(needsWatch({ memory: 1, tasks: 1 }, { memory: true, cpu: false, tasks: true }), false);
  assert.match(notHeld({ cpu: 0.5 }, nothing) ?? '', /^limits\.cpu: 0\.5 cannot be held/);
  assert.equal(notHeld({ memory: 1 }, nothing), undefined);
});
