import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseH2load } from './h2load.ts';

const printed = `finished in 2.00s, 32000.00 req/s, 316.68MB/s
requests: 64244 total, 64448 started, 64244 done, 64000 succeeded, 254 failed, 244 errored, 0 timeout
status codes: 64000 2xx, 0 3xx, 10 4xx, 0 5xx
`;

const log = ['1795262794146635\t200\t1000', '1795262794146636\t200\t9000', '1795262794146637\t200\t2000', '1795262794146638\t-1\t1'].join(
  '\n',
);

test('requests that were broken off count as errors of h2load, and have no latency', () => {
  assert.deepEqual(parseH2load(printed, log), { requests: 64000, perSecond: 32000, p50Ms: 2, p99Ms: 9, errors: 254 });
});
