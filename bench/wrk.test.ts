import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWrk } from './wrk.ts';

const printed = `Running 5s test @ http://127.0.0.1:18080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.80ms    1.86ms  25.04ms   91.92%
    Req/Sec    23.99k     3.59k   29.02k    74.00%
  Latency Distribution
     50%  812.00us
     75%    2.90ms
     90%    4.36ms
     99%    1.20s
  119371 requests in 5.00s, 24.59MB read
`;

test('figures come in their own units and are all given in ms', () => {
  const found = parseWrk(`${printed}Requests/sec:  23873.62\n`);
  assert.deepEqual(found, { requests: 119371, perSecond: 23873.62, p50Ms: 0.812, p99Ms: 1200, errors: 0 });
});

test('answers that are no success and broken connections are errors', () => {
  const lines = '  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 100\nRequests/sec:  23873.62\n';
  assert.equal(parseWrk(printed + lines).errors, 110);
});

test('a run without a figure is no result', () => {
  assert.throws(() => parseWrk(printed), /printed no .*Requests/);
});
