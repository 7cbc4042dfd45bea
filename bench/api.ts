/** The API under load with 1,000 services, and how soon events reach those who follow them. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Client, createClient } from '@steward/sdk/client';
import { percentile } from './control.ts';
import { freePort } from './free-port.ts';
import { installed, type Measurement } from './measurement.ts';
import { pm2Fleet } from './peers/pm2-fleet.ts';
import { startSteward } from './peers/steward.ts';
import { fleetFile, stewardFleet } from './peers/steward-fleet.ts';
import { supervisordFleet } from './peers/supervisord-fleet.ts';
import type { FleetPeer, Service } from './supervised.ts';
import { table } from './table.ts';
import { tempFolder } from './temp-folder.ts';

const count = 1_000;
/** Callers at the same time, each asking anew as soon as it is answered. */
const callers = 8;
const followers = [1, 50] as const;
/** Restarts that events are told of; each is four facts. */
const restarts = 25;
const patienceMs = 600_000;

const services = Array.from(
  { length: count },
  (_, index): Service => ({ name: `s${index + 1}`, command: ['/bin/sleep', '100000'], upAtOnce: true }),
);

/** A way to be told the state of all services: resolves with how many of them run. */
type Ask = { name: string; all: () => Promise<number> };

const running = (answer: { instances: readonly { pid?: number | undefined }[] }): number =>
  answer.instances.filter(({ pid }) => pid !== undefined).length;

/** The token of a person who may look at everything. */
async function makeToken(client: Client): Promise<string> {
  await client.createAdmin({ body: { name: 'bench' } });
  return (await client.createToken({ body: { name: 'bench', for: 'bench', grants: [{ role: 'viewer' }] } })).secret;
}

/** Steward with its API on an address; ways over the control socket and over HTTPS, whole and brief. */
async function enterSteward(folder: string, stack: AsyncDisposableStack): Promise<{ asks: Ask[]; client: Client }> {
  const port = await freePort();
  const file = { ...fleetFile({ services, folder }), api: { listen: `127.0.0.1:${port}`, requestsPerMinute: 1_000_000 } };
  stack.use(await startSteward(file, folder));
  const socketPath = join(folder, 'state', 'control.sock');
  const client = createClient({ socketPath });
  const token = await makeToken(client);
  const { certificate: ca } = await client.getAuthority();
  const remote = createClient({ url: `https://127.0.0.1:${port}`, token, ca });
  const all = (over: Client, brief: boolean) => async (): Promise<number> => running(await over.listInstances({ query: { brief } }));
  return {
    client,
    asks: [
      { name: 'Steward, its socket', all: all(client, false) },
      { name: 'Steward, its socket, brief', all: all(client, true) },
      { name: 'Steward, HTTPS with a token', all: all(remote, false) },
      { name: 'Steward, HTTPS, brief', all: all(remote, true) },
    ],
  };
}

async function enterPeer(peer: FleetPeer, folder: string, stack: AsyncDisposableStack): Promise<Ask[]> {
  const { ways } = stack.use(await peer.start({ services, folder }));
  return ways.map(({ name, status }) => ({ name, all: async () => (await status()).filter(({ pid }) => pid > 0).length }));
}

async function untilAllRun({ name, all }: Ask, signal: AbortSignal): Promise<void> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await wait(500, undefined, { signal }))
    if ((await all()) === count) return;
  throw new Error(`${name}: not all ${count} services run`);
}

/** Times of the answers that several callers at once get for `seconds`; each gets one at least. @throws when an answer is not whole. */
async function load({ name, all }: Ask, seconds: number, signal: AbortSignal): Promise<number[]> {
  const times: number[] = [];
  const deadline = performance.now() + seconds * 1000;
  const caller = async (): Promise<void> => {
    do {
      const begunAt = performance.now();
      const told = await all();
      times.push(performance.now() - begunAt);
      if (told !== count) throw new Error(`${name}: told of ${told} services`);
    } while (performance.now() < deadline && !signal.aborted);
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return times;
}

/** From the statement of a fact until each of `many` followers has it, in milliseconds; both by the same clock. */
async function delivery(client: Client, many: number, signal: AbortSignal): Promise<number[]> {
  const times: number[] = [];
  const end = new AbortController();
  const follow = async (): Promise<void> => {
    for await (const { data } of client.listFacts({ query: { follow: true, count: 0 } }, end.signal))
      times.push(Date.now() - Date.parse(data.at));
  };
  const all = Array.from({ length: many }, follow);
  await wait(1000, undefined, { signal }); // until all follow
  for (let turn = 0; turn < restarts; turn++) {
    await client.restartInstances({ body: { names: [`s${turn + 1}`] } });
    await wait(40, undefined, { signal });
  }
  await wait(1000, undefined, { signal });
  end.abort();
  await Promise.all(all);
  return times;
}

const ms = (times: readonly number[], percent: number): string => percentile(times, percent).toFixed(1);

export const api: Measurement = {
  name: 'api',
  about: `the state of all of ${count} services told to ${callers} callers at once, and facts to those who follow them`,
  pace: { rounds: 2, seconds: 8, workers: [] },
  async run(signal, print, { rounds, seconds }) {
    const peers = await installed([stewardFleet, supervisordFleet, pm2Fleet], print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const own = join(folder.path, 'steward');
    await mkdir(own);
    const { asks, client } = await enterSteward(own, stack);
    for (const peer of peers.filter(({ name }) => name !== stewardFleet.name)) {
      const place = join(folder.path, peer.name);
      await mkdir(place);
      const ways = await enterPeer(peer, place, stack);
      for (const way of ways.filter(({ name }) => name !== 'supervisorctl')) asks.push(way);
    }
    for (const ask of asks) await untilAllRun(ask, signal);
    const times = new Map<Ask, number[]>(asks.map((ask) => [ask, []]));
    for (let round = 0; round < rounds; round++) for (const [ask, all] of times) all.push(...(await load(ask, seconds, signal)));
    print(
      table(
        [`${callers} callers at once`, 'answers/s', 'p50 ms', 'p99 ms', 'answers'],
        [...times].map(([{ name }, all]) => [
          name,
          (callers / (all.reduce((sum, time) => sum + time, 0) / all.length / 1000)).toFixed(1),
          ms(all, 50),
          ms(all, 99),
          String(all.length),
        ]),
      ),
    );
    const rows: string[][] = [];
    for (const many of followers) {
      const all = await delivery(client, many, signal);
      rows.push([String(many), ms(all, 50), ms(all, 99), ms(all, 100), String(all.length)]);
    }
    print(table(['followers of facts', 'p50 ms', 'p99 ms', 'max ms', 'events'], rows));
  },
};
