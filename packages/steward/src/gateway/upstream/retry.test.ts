import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RetrySpec } from '../../config/model.ts';
import {
  createRetryBudget,
  type FailedTry,
  failedStatus,
  isRetryStatus,
  isServerFailure,
  mayRetry,
  noteRequest,
  returnRetry,
  spendRetry,
} from './retry.ts';

const byDefault: RetrySpec = { on: ['error', 'timeout'], tries: 0, timeoutMs: 0 };
const unsent: FailedTry = { cause: 'error', method: 'GET', sent: false, bodyGone: false, tries: 1, elapsedMs: 5 };

test('what goes to the next server', () => {
  const cases: readonly [Partial<FailedTry>, Partial<RetrySpec>, boolean, string][] = [
    [{}, {}, true, 'a connection that failed'],
    [{ sent: true }, {}, true, 'a GET that was cut off'],
    [{ method: 'POST' }, {}, true, 'a POST that never left'],
    [{ method: 'POST', sent: true }, {}, false, 'a POST that did'],
    [{ method: 'PATCH', sent: true }, {}, false, 'a PATCH that did'],
    [{ method: 'LOCK', sent: true }, {}, false, 'a LOCK that did'],
    [{ method: 'PUT', sent: true }, {}, true, 'a PUT that did'],
    [{ method: 'POST', sent: true }, { on: ['error', 'non-idempotent'] }, true, 'a POST where that is wanted'],
    [{ bodyGone: true }, {}, false, 'a body that cannot be had again'],
    [{ cause: 'timeout', sent: true }, {}, true, 'a timeout'],
    [{ cause: 'timeout', sent: true }, { on: ['error'] }, false, 'a timeout where errors only are wanted'],
    [{ cause: 'invalid-header', sent: true }, {}, false, 'a bad answer'],
    [{ cause: 503, sent: true }, {}, false, 'a 503'],
    [{ cause: 503, sent: true }, { on: [503] }, true, 'a 503 where that is wanted'],
    [{}, { on: [] }, false, 'nothing'],
    [{ tries: 1 }, { tries: 2 }, true, 'the second try of two'],
    [{ tries: 2 }, { tries: 2 }, false, 'a third'],
    [{ tries: 50 }, {}, true, 'any number without a limit'],
    [{ elapsedMs: 99 }, { timeoutMs: 100 }, true, 'in time'],
    [{ elapsedMs: 100 }, { timeoutMs: 100 }, false, 'too late'],
  ];
  for (const [failed, spec, wanted, what] of cases)
    assert.equal(mayRetry({ ...unsent, ...failed }, { ...byDefault, ...spec }), wanted, what);
});

test('which answers are worth another server, and which count against the one that gave them', () => {
  const spec: RetrySpec = { ...byDefault, on: ['error', 502, 404] };
  assert.deepEqual(
    [200, 404, 502, 503].map((status) => isRetryStatus(status, spec)),
    [false, true, true, false],
  );
  assert.deepEqual(
    (['error', 'timeout', 'invalid-header', 502, 503, 404] as const).map((cause) => isServerFailure(cause, spec)),
    [true, true, true, true, false, false],
  );
});

test('the status a client gets tells what went wrong', () => {
  const statuses = (['error', 'timeout', 'invalid-header', 503, 429, 'no-instance', 'no-server'] as const).map(failedStatus);
  assert.deepEqual(statuses, [502, 504, 502, 503, 429, 503, 502]);
});

test('fruitless retries end at a hundred in ten seconds, or a fifth of the requests', () => {
  const budget = createRetryBudget();
  const spend = (nowMs: number) => {
    let count = 0;
    while (count < 10_000 && spendRetry(budget, nowMs)) count++;
    return count;
  };
  assert.equal(spend(1000), 100);
  assert.equal(spend(10_999), 0);
  assert.equal(spend(11_000), 100);
  for (let n = 0; n < 2000; n++) noteRequest(budget, 12_000);
  assert.equal(spend(12_500), 300);
  assert.equal(spend(21_500), 100);
  assert.equal(spend(500_000), 100);
});

test('retries that were answered cost nothing, be it in a later second', () => {
  const budget = createRetryBudget();
  for (let n = 0; n < 5000; n++) {
    noteRequest(budget, n * 3);
    assert.ok(spendRetry(budget, n * 3));
    returnRetry(budget, n * 3 + 1500);
  }
  assert.equal(budget.retrySum, 0);
  returnRetry(budget, 20_000);
  assert.equal(budget.retrySum, 0);
});
