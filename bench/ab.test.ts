import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAb } from './ab.ts';

const printed = `Concurrency Level:      100
Time taken for tests:   3.001 seconds
Complete requests:      6203
Failed requests:        2
   (Connect: 0, Receive: 0, Length: 2, Exceptions: 0)
Non-2xx responses:      3
Requests per second:    2067.00 [#/sec] (mean)

Percentage of the requests served within a certain time (ms)
  50%      7
  99%     21
 100%     35 (longest request)
`;

test('answers of another status count as failed in ab too', () => {
  assert.deepEqual(parseAb(printed), { requests: 6203, failed: 5, perSecond: 2067, p50Ms: 7, p99Ms: 21 });
});

test('an ab that printed no figure is no result', () => {
  assert.throws(() => parseAb('apr_socket_recv: Connection reset by peer (104)\n'), /printed no .*Complete/);
});
