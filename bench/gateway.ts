/** Small JSON through a gateway, from four unix sockets: requests a second, latency, and the processor time a request costs. */
import { startJson } from './back-ends.ts';
import { type Column, comparison, goal } from './comparison.ts';
import { type Entrant, gateways, label, sameWorkers, startGateways, withCost } from './entrants.ts';
import { installed, type Measurement } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { stewardGateway } from './peers/steward.ts';
import { type Contestant, takeTurns } from './rounds.ts';
import { tempFolder } from './temp-folder.ts';
import { type Load, load, usualConnections, wrkVersion } from './wrk.ts';

export type Requests = Load & { processorMs: number };

export const perSecond: Column<Requests> = { head: 'req/s', of: (turn) => turn.perSecond, compared: true };
const p99: Column<Requests> = { head: 'p99 ms', of: (turn) => turn.p99Ms, digits: 2, compared: true };

/** What is told of requests. */
export const requestColumns: readonly Column<Requests>[] = [
  perSecond,
  { head: 'min-max', of: (turn) => turn.perSecond, as: 'range' },
  { head: 'p50 ms', of: (turn) => turn.p50Ms, digits: 2 },
  p99,
  { head: 'cpu us/req', of: (turn) => (turn.processorMs * 1_000) / turn.requests, compared: true },
  { head: 'errors', of: (turn) => turn.errors, as: 'sum' },
];

/** Long enough for the compiler of a JavaScript engine to have seen the hot path; never longer than a turn. */
const warmUpSeconds = 2;

/** Warms an entrant up, and gives its turn: wrk on `path`. */
export async function requestsTo(
  { name, address, workers }: Entrant,
  path: string,
  seconds: number,
  signal: AbortSignal,
): Promise<Contestant<Requests>> {
  await load(address + path, Math.min(warmUpSeconds, seconds), signal);
  return { name, turn: () => withCost(workers, () => load(address + path, seconds, signal)) };
}

/** Says which wrk is there; false when none is. */
export async function hasWrk(print: (text: string) => void): Promise<boolean> {
  const version = await wrkVersion();
  print(`load: wrk ${version ?? 'is missing here: nothing is measured'}`);
  return version !== undefined;
}

export const gateway: Measurement = {
  name: 'gateway',
  about: `small JSON over 4 unix sockets, wrk with ${usualConnections} connections`,
  pace: { rounds: 4, seconds: 5, workers: [1, 2] },
  async run(signal, print, { rounds, seconds, workers }) {
    if (!(await hasWrk(print))) return;
    const present = await installed(gateways, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const backEnd = await startJson(folder.path, 4, stack);
    const direct: Entrant = { name: 'no gateway', address: backEnd.address, port: backEnd.port, workers: [] };
    const entrants = [direct, ...(await startGateways(present, workers, { proxy: backEnd.sockets }, folder.path, stack))];
    const contestants: Contestant<Requests>[] = [];
    for (const entrant of entrants) contestants.push(await requestsTo(entrant, '/', seconds, signal));
    const figures = await takeTurns(contestants, rounds, signal);
    print(comparison('gateway', nginx.name, requestColumns, figures, sameWorkers(nginx)));
    for (const count of workers) {
      const [mine, other] = [figures.get(label(stewardGateway.name, count)), figures.get(label(nginx.name, count))];
      const text = label('', count).slice(2);
      print(goal(`req/s at least 0.80x nginx, ${text}`, perSecond, mine, other, { atLeast: 0.8 }));
      print(goal(`p99 at most 1.50x nginx, ${text}`, p99, mine, other, { atMost: 1.5 }));
    }
  },
};
