import assert from 'node:assert/strict';
import { test } from 'node:test';
import { initialState, type Phase } from '../../supervisor/machine.ts';
import type { InstanceView } from '../../supervisor/supervisor.ts';
import { type Beside, processInfo, shortDate, stateCodes, uptimeText } from './describe.ts';

const nowMs = Date.UTC(2026, 10, 21, 18, 0, 0);
const beside: Beside = { nowMs, lifetime: {}, commandFault: undefined };

function viewOf(phase: Phase, state: Partial<InstanceView['state']> = {}, rest: Partial<InstanceView> = {}): InstanceView {
  const spec = { name: 'web', group: 'shop', expectedExitCodes: [0] };
  const view = { spec, state: { ...initialState, phase, ...state }, waitsFor: [], streams: [], ...rest };
  return view as unknown as InstanceView;
}

test('uptimes read as those of supervisord', () => {
  const cases = { 0: '0:00:00', 3: '0:00:03', 3661: '1:01:01', 86399: '23:59:59', 93784: '1 day, 2:03:04', 172800: '2 days, 0:00:00' };
  for (const [seconds, text] of Object.entries(cases)) assert.equal(uptimeText(Number(seconds)), text);
  assert.equal(uptimeText(-5), '0:00:00', 'somebody set the clock back');
});

test('dates read as those of supervisord, noon and midnight too', () => {
  assert.equal(shortDate(new Date(2026, 10, 1, 0, 5).getTime()), 'Nov 01 12:05 AM');
  assert.equal(shortDate(new Date(2026, 0, 21, 12, 0).getTime()), 'Jan 21 12:00 PM');
  assert.equal(shortDate(new Date(2026, 11, 31, 23, 59).getTime()), 'Dec 31 11:59 PM');
});

test('every phase has its state', () => {
  for (const phase of ['STOPPED', 'STARTING', 'RUNNING', 'BACKOFF', 'STOPPING', 'EXITED', 'FATAL'] as const) {
    const { state, statename } = processInfo(viewOf(phase), beside);
    assert.deepEqual([state, statename], [stateCodes[phase], phase]);
  }
});

test('one that waits for another is on its way, and says for what', () => {
  const info = processInfo(viewOf('STOPPED', {}, { waitsFor: ['db', 'cache'] }), beside);
  assert.deepEqual([info.statename, info.description], ['STARTING', 'waits for db, cache']);
});

test('the description tells what supervisord tells', () => {
  const described = (...given: Parameters<typeof viewOf>): string => processInfo(viewOf(...given), beside).description;
  assert.equal(described('RUNNING', { pid: 12 }, { pid: 12, startedMs: nowMs - 3000 }), 'pid 12, uptime 0:00:03');
  assert.equal(described('STOPPED'), 'Not started');
  assert.equal(described('STARTING'), '');
  const early = { exit: { code: 1, signal: null }, failedStarts: 1 };
  assert.equal(described('FATAL', early), 'Exited too quickly (process log may have details)');
  assert.equal(described('BACKOFF', early), 'Exited too quickly (process log may have details)');
  assert.equal(described('FATAL', { reason: 'not ready within 60 s' }), 'not ready within 60 s');
  assert.equal(described('FATAL'), 'unknown error (try "tail web")');
  const missing = { ...beside, commandFault: "can't find command '/x'" };
  assert.equal(processInfo(viewOf('FATAL', { reason: 'cannot start' }), missing).description, "can't find command '/x'");
  const ended = { ...beside, lifetime: { startMs: nowMs - 9000, stopMs: nowMs } };
  assert.equal(processInfo(viewOf('EXITED', { exit: { code: 0, signal: null } }), ended).description, shortDate(nowMs));
});

test('exit codes are those of the last end, -1 for a signal', () => {
  const status = (...given: Parameters<typeof viewOf>): unknown => processInfo(viewOf(...given), beside).exitstatus;
  assert.equal(status('EXITED', { exit: { code: 3, signal: null } }), 3);
  assert.equal(status('STOPPED', { exit: { code: null, signal: 15 } }), -1);
  assert.equal(status('RUNNING'), 0);
  assert.equal(status('FATAL', { exit: { code: 3, signal: null }, failedStarts: 2 }), 0);
  assert.equal(processInfo(viewOf('EXITED', { exit: { code: 3, signal: null } }), beside).spawnerr, 'Bad exit code 3');
});
