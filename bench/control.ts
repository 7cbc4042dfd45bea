/** How long people and programs wait for an answer of a supervisor that has 1,000 services. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { installed, type Measurement } from './measurement.ts';
import { pm2Fleet } from './peers/pm2-fleet.ts';
import { stewardFleet } from './peers/steward-fleet.ts';
import { supervisordFleet } from './peers/supervisord-fleet.ts';
import type { FleetPeer, Service, Way } from './supervised.ts';
import { table } from './table.ts';
import { tempFolder } from './temp-folder.ts';

const peers: readonly FleetPeer[] = [stewardFleet, pm2Fleet, supervisordFleet];
const count = 1_000;
/** Calls of one kind in a turn, whatever time is left. */
const mostCalls = 200;
const patienceMs = 600_000;

const services = Array.from(
  { length: count },
  (_, index): Service => ({ name: `s${index + 1}`, command: ['/bin/sleep', '100000'], upAtOnce: true }),
);

/** The value that so many percent of the numbers do not exceed. NaN of none. */
export function percentile(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? Number.NaN;
}

const kinds = ['status', 'stop', 'start'] as const;
type Times = Record<(typeof kinds)[number], number[]>;

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begunAt = performance.now();
  await work();
  return performance.now() - begunAt;
}

/** Until a service is down or has a process, as its supervisor says: the next call must not find it in between. */
async function untilIt(way: Way, service: string, isUp: boolean): Promise<void> {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; await wait(20)) {
    const found = (await way.status()).find(({ name }) => name === service);
    if (found !== undefined && found.pid > 0 === isUp) return;
  }
  throw new Error(`${way.name}: ${service} is not ${isUp ? 'up' : 'down'} after 30 s`);
}

/** Calls of each kind for `seconds`; `look` is the nearest way of the same supervisor. */
async function turn(way: Way, look: Way, times: Times, seconds: number, signal: AbortSignal): Promise<void> {
  const due = (): (() => boolean) => {
    const deadline = performance.now() + seconds * 1000;
    return () => performance.now() < deadline && !signal.aborted;
  };
  let isDue = due();
  for (let call = 0; call === 0 || (call < mostCalls && isDue()); call++) times.status.push(await timed(way.status));
  isDue = due();
  for (let call = 0; call === 0 || (call < mostCalls && isDue()); call++) {
    const { name } = services[(call * 37) % count] as Service;
    times.stop.push(await timed(() => way.act('stop', name)));
    await untilIt(look, name, false);
    times.start.push(await timed(() => way.act('start', name)));
    await untilIt(look, name, true);
  }
  signal.throwIfAborted();
}

/** Resolves when all services run. */
async function untilAllRun({ name, status }: Way, signal: AbortSignal): Promise<void> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await wait(500, undefined, { signal }))
    if ((await status()).filter(({ pid }) => pid > 0).length === count) return;
  throw new Error(`${name}: not all ${count} services run`);
}

const cells = (numbers: readonly number[]): string[] => [
  percentile(numbers, 50).toFixed(1),
  percentile(numbers, 99).toFixed(1),
  String(numbers.length),
];

export const control: Measurement = {
  name: 'control',
  about: `milliseconds until the state of all of ${count} services is told, and until one is stopped and started, by socket and by command`,
  pace: { rounds: 2, seconds: 4, workers: [] },
  async run(signal, print, { rounds, seconds }) {
    const present = await installed(peers, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const found = new Map<Way, { look: Way; times: Times }>();
    for (const [index, peer] of present.entries()) {
      const own = join(folder.path, String(index));
      await mkdir(own);
      const { ways } = stack.use(await peer.start({ services, folder: own }));
      await untilAllRun(ways[0], signal);
      for (const way of ways) found.set(way, { look: ways[0], times: { status: [], stop: [], start: [] } });
    }
    for (let round = 0; round < rounds; round++) for (const [way, { look, times }] of found) await turn(way, look, times, seconds, signal);
    const head = kinds.flatMap((kind) => [`${kind} p50`, 'p99', 'calls']);
    print(
      table(
        ['by', ...head],
        [...found].map(([{ name }, { times }]) => [name, ...kinds.flatMap((kind) => cells(times[kind]))]),
      ),
    );
  },
};
