/** Small JSON through a gateway, from four unix sockets: requests a second, latency, and the processor time a request costs. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';
import { type Gateway, installed, type Measurement, type Peer, type Serve } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { stewardGateway } from './peers/steward.ts';
import { processorMs } from './processor-time.ts';
import { startProgram, untilServed, versionOf } from './program.ts';
import { type Contestant, median, takeTurns } from './rounds.ts';
import { ratio, table } from './table.ts';
import { tempFolder } from './temp-folder.ts';
import { type Load, load } from './wrk.ts';

const peers: readonly Peer<Serve, Gateway>[] = [stewardGateway, nginx];
const workerCounts = [1, 2];
const rounds = 4;
const seconds = 5;
/** Long enough for the compiler of a JavaScript engine to have seen the hot path. */
const warmUpSeconds = 2;
const direct = 'no gateway';

/** `microseconds`: processor time of the workers per request; NaN where there are none. */
type Figures = Load & { workers: number; microseconds: number };

const label = (peer: string, workers: number): string => `${peer}, ${workers} worker${workers === 1 ? '' : 's'}`;

async function measure(port: number, workers: readonly number[], signal: AbortSignal): Promise<Figures> {
  const before = processorMs(workers);
  const result = await load(`http://127.0.0.1:${port}/`, seconds, signal);
  const used = processorMs(workers) - before;
  const microseconds = workers.length > 0 ? (used * 1_000) / result.requests : Number.NaN;
  return { ...result, workers: workers.length, microseconds };
}

/** Waits until `port` serves, warms it up, and gives its turn. */
async function enter(name: string, port: number, workers: readonly number[], signal: AbortSignal): Promise<Contestant<Figures>> {
  await untilServed(`http://127.0.0.1:${port}/`);
  await load(`http://127.0.0.1:${port}/`, warmUpSeconds, signal);
  return { name, turn: () => measure(port, workers, signal) };
}

function report(figures: ReadonlyMap<string, readonly Figures[]>): string {
  const middle = (all: readonly Figures[] | undefined, figure: keyof Figures): number => median((all ?? []).map((round) => round[figure]));
  const row = (name: string, all: readonly Figures[]): string[] => {
    const perSecond = all.map((round) => round.perSecond);
    const yardstick = figures.get(label(nginx.name, all[0]?.workers ?? 0));
    const figure = (which: keyof Figures, digits: number): string[] => {
      const value = middle(all, which);
      return [Number.isNaN(value) ? '-' : value.toFixed(digits), ratio(value, middle(yardstick, which))];
    };
    const [rate = '', rateToNginx = ''] = figure('perSecond', 0);
    return [
      name,
      rate,
      `${Math.min(...perSecond).toFixed(0)}-${Math.max(...perSecond).toFixed(0)}`,
      rateToNginx,
      middle(all, 'p50Ms').toFixed(2),
      ...figure('p99Ms', 2),
      ...figure('microseconds', 0),
      String(all.reduce((sum, round) => sum + round.errors, 0)),
    ];
  };
  return table(
    ['gateway', 'req/s', 'min-max', 'to nginx', 'p50 ms', 'p99 ms', 'to nginx', 'cpu us/req', 'to nginx', 'errors'],
    [...figures].map(([name, all]) => row(name, all)),
  );
}

export const gateway: Measurement = {
  name: 'gateway',
  about: `small JSON over 4 unix sockets, wrk with 64 connections, ${rounds} rounds of ${seconds} s each`,
  async run(signal, print) {
    const wrk = await versionOf('wrk', ['-v']);
    print(`load: wrk ${wrk ?? 'is missing here: nothing is measured'}`);
    if (wrk === undefined) return;
    const present = await installed(peers, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();

    const sockets = [1, 2, 3, 4].map((number) => join(folder.path, `${number}.sock`));
    const backPort = await freePort();
    stack.use(await startProgram(process.execPath, [backEnd, String(backPort), ...sockets]));
    const contestants = [await enter(direct, backPort, [], signal)];
    for (const workers of workerCounts) {
      for (const peer of present) {
        const name = label(peer.name, workers);
        const own = join(folder.path, name.replaceAll(/\W+/g, '-'));
        await mkdir(own, { mode: 0o711 });
        const port = await freePort();
        const running = stack.use(await peer.start({ port, workers, sockets, folder: own }));
        contestants.push(await enter(name, port, running.workers, signal));
      }
    }
    print(report(await takeTurns(contestants, rounds, signal)));
  },
};

const backEnd = fileURLToPath(new URL('peers/json-back-end.ts', import.meta.url));
