import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, utimesSync } from 'node:fs';
import { test } from 'node:test';
import type { ZoneSpec } from '../../config/model.ts';
import { mapSharedMemory } from '../../kernel/shared-memory.ts';
import { requestOf } from '../testing-request.ts';
import { compileConnections, compileRates, createLimits, limitsFile, openLimits, removeAbandoned } from './limits.ts';
import { createLimitsMemory, limitsMemoryBytes } from './limits-memory.ts';
import { plainScope } from './variables.ts';

const zones: Record<string, ZoneSpec> = {
  ten: { kind: 'rate', key: '$remote_addr', perSecond: 10 },
  slow: { kind: 'rate', key: '$http_x_key', perSecond: 1 / 6 },
  under: { kind: 'connections', key: '$remote_addr' },
  site: { kind: 'connections', key: '$server_name' },
};

function limited(share = 1) {
  const clock = { ms: 1_000_000 };
  const limits = createLimits(createLimitsMemory(new ArrayBuffer(limitsMemoryBytes)), share, () => clock.ms);
  return { limits, clock };
}

const rate = (burst: number, undelayed: number | 'all', zone = 'ten') => ({ zone, burst, undelayed, status: 429 });

/** What happens to requests at these milliseconds: `go`, how long it waits, or the status. */
function told(specs: readonly ReturnType<typeof rate>[], times: readonly number[], header = 'k'): (string | number)[] {
  const { limits, clock } = limited();
  const compiled = compileRates(specs, zones, plainScope);
  const request = requestOf({ headers: { 'x-key': header } });
  return times.map((ms) => {
    clock.ms = 1_000_000 + ms;
    const outcome = limits.rate(compiled, request);
    return outcome.kind === 'go' ? 'go' : outcome.kind === 'wait' ? outcome.ms : `no ${outcome.status}`;
  });
}

test("requests go, wait or are refused as nginx's leaky bucket has it", () => {
  assert.deepEqual(told([rate(0, 'all')], [0, 0, 99, 100, 100, 300]), ['go', 'no 429', 'no 429', 'go', 'no 429', 'go']);
  assert.deepEqual(told([rate(2, 'all')], [0, 0, 0, 0, 100, 100]), ['go', 'go', 'go', 'no 429', 'go', 'no 429']);
  assert.deepEqual(told([rate(2, 0)], [0, 0, 0, 0, 50]), ['go', 100, 200, 'no 429', 'no 429']);
  assert.deepEqual(told([rate(3, 1)], [0, 0, 0, 0, 0]), ['go', 'go', 100, 200, 'no 429']);
  assert.deepEqual(told([rate(0, 'all', 'slow')], [0, 5999, 6050, 6100]), ['go', 'no 429', 'go', 'no 429']);
});

test('of several limits the longest wait counts, and a refused request is counted by none', () => {
  assert.deepEqual(told([rate(5, 0), rate(5, 0, 'slow')], [0, 0]), ['go', 6024]);
  assert.deepEqual(told([rate(5, 'all'), rate(0, 'all', 'slow')], [0, 0, 0, 0, 0, 0, 0, 0, 7000, 7000]).at(8), 'go');
  assert.deepEqual(told([rate(0, 'all', 'slow'), rate(5, 'all')], [0, 0, 0]), ['go', 'no 429', 'no 429']);
});

test('an empty key is not counted, and a zone that is missing or of the other kind limits nothing', () => {
  assert.deepEqual(told([rate(0, 'all', 'slow')], [0, 0, 0], ''), ['go', 'go', 'go']);
  assert.deepEqual(told([rate(0, 'all', 'none'), rate(0, 'all', 'under')], [0, 0]), ['go', 'go']);
});

test('requests under way are counted, given back once, and refused by the first limit that is full', () => {
  const { limits } = limited();
  const request = requestOf({});
  const two = compileConnections([{ zone: 'under', most: 2, status: 503 }], zones, plainScope);
  const first = limits.connections(two, request);
  assert.equal(limits.connections(two, request).kind, 'go');
  assert.deepEqual(limits.connections(two, request), { kind: 'refuse', status: 503 });
  assert.ok(first.kind === 'go');
  first.leave();
  first.leave();
  assert.equal(limits.connections(two, request).kind, 'go');
  assert.equal(limits.connections(two, request).kind, 'refuse');
  const both = compileConnections(
    [
      { zone: 'site', most: 9, status: 500 },
      { zone: 'under', most: 2, status: 503 },
    ],
    zones,
    plainScope,
  );
  for (let n = 0; n < 20; n++) assert.deepEqual(limits.connections(both, request), { kind: 'refuse', status: 503 });
  assert.equal(limits.connections(both, requestOf({ remoteAddress: '10.9.9.9' })).kind, 'go');
});

test('memory stays bounded: a million keys are counted, and the busy one keeps its count', () => {
  const memory = createLimitsMemory(new ArrayBuffer(limitsMemoryBytes));
  memory.use('busy');
  assert.equal(memory.rate(1000, 0, 5000), 0);
  for (let n = 0; n < 1_000_000; n++) {
    memory.use(`key ${n}`);
    memory.rate(1000, Math.floor(n / 1000), 5000);
    if (n % 1000 !== 0) continue;
    memory.use('busy');
    memory.rate(1_000_000, Math.floor(n / 1000), 5000);
  }
  memory.use('busy');
  assert.equal(memory.rate(1000, 1000, undefined), 1999);
});

test('without shared memory each worker takes its share', () => {
  const lines: string[] = [];
  const limits = openLimits({ file: '/nonexistent/limits', workers: 4, log: (line) => lines.push(line) });
  assert.deepEqual(lines, []);
  const compiled = compileConnections([{ zone: 'under', most: 8, status: 503 }], zones, plainScope);
  const kinds = Array.from({ length: 3 }, () => limits.connections(compiled, requestOf({})).kind);
  assert.deepEqual(kinds, ['go', 'go', 'refuse']);
  assert.match(lines.join(), /each worker alone, 4 workers.*ENOENT/);
});

const worker = (file: string) => `
  import { createLimitsMemory, limitsMemoryBytes } from ${JSON.stringify(new URL('./limits-memory.ts', import.meta.url).href)};
  import { mapSharedMemory } from ${JSON.stringify(new URL('../../kernel/shared-memory.ts', import.meta.url).href)};
  const memory = createLimitsMemory(mapSharedMemory(${JSON.stringify(file)}, limitsMemoryBytes));
  process.on('message', ([what, key, most]) => {
    memory.use(key);
    if (what === 'enter') process.send(memory.enter(most, performance.now() + 1e6));
    else if (what === 'many') {
      let counted = 0;
      for (let n = 0; n < 20_000; n++) if (memory.rate(0, 5, most) <= most) counted++;
      process.send(counted);
    }
  });
`;

const ask = async (child: ChildProcess, ...message: unknown[]): Promise<number> => {
  child.send(message);
  const [answer] = await once(child, 'message');
  return answer as number;
};

test('what gateways that are no more left in /dev/shm is removed, and nothing else', { skip: !existsSync('/dev/shm') }, (t) => {
  const place = (digit: string): string => `/dev/shm/steward-limits-0-${digit.repeat(16)}`;
  const [own, dead, young, used] = [place('0'), place('1'), place('2'), place('3')] as [string, string, string, string];
  t.after(() => {
    for (const file of [own, dead, young, used]) rmSync(file, { force: true });
  });
  for (const file of [own, dead, young, used]) mapSharedMemory(file, limitsMemoryBytes);
  createLimitsMemory(mapSharedMemory(used, limitsMemoryBytes));
  for (const file of [own, dead, used]) utimesSync(file, 1, Date.now() / 1000 - 61);
  removeAbandoned(own);
  assert.deepEqual(
    [own, dead, young, used].map((file) => existsSync(file)),
    [true, false, true, true],
  );
});

test('workers share their counters, and what a killed one held is free again', async (t) => {
  const file = `${limitsFile('/tmp')}-test-${process.pid}`;
  const children: ChildProcess[] = [];
  t.after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(file, { force: true });
  });
  const start = (): ChildProcess => {
    const child = spawn(process.execPath, ['--no-warnings', '--input-type=module', '-e', worker(file)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    children.push(child);
    return child;
  };
  const [one, two] = [start(), start()];
  const counted = await Promise.all([ask(one, 'many', 'k', 29_999_000), ask(two, 'many', 'k', 29_999_000)]);
  assert.equal(counted[0] + counted[1], 30_000);
  assert.ok((await ask(one, 'enter', 'c', 2)) >= 0);
  assert.ok((await ask(two, 'enter', 'c', 2)) >= 0);
  assert.equal(await ask(one, 'enter', 'c', 2), -1);
  two.kill('SIGKILL');
  await once(two, 'exit');
  // A dead worker is looked for once a second at most.
  await new Promise((resolve) => setTimeout(resolve, 1100));
  assert.ok((await ask(one, 'enter', 'c', 2)) >= 0);
  assert.equal(await ask(one, 'enter', 'c', 2), -1);
  const three = start();
  assert.equal(await ask(three, 'enter', 'c', 2), -1);
  assert.ok((await ask(three, 'enter', 'c', 3)) >= 0);
});
