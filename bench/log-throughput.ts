/** How fast what programs write gets into their logs, whether all of it does, and what the supervisor takes for it. */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Column, comparison } from './comparison.ts';
import { installed, type Measurement } from './measurement.ts';
import { pm2Fleet } from './peers/pm2-fleet.ts';
import { stewardFleet } from './peers/steward-fleet.ts';
import { supervisordFleet } from './peers/supervisord-fleet.ts';
import { processorMs } from './processor-time.ts';
import { type Contestant, takeTurns } from './rounds.ts';
import type { FleetPeer, Service, Supervised } from './supervised.ts';
import { tempFolder } from './temp-folder.ts';

const peers: readonly FleetPeer[] = [stewardFleet, pm2Fleet, supervisordFleet];
const lineBytes = 100;
/** A piece that a writer writes again and again, in writes of 128 KB as cat(1) makes them. */
const pieceBytes = 16_000_000;
const rotateBytes = 50_000_000;
/** Whoever needs longer has lost something. */
const patienceMs = 300_000;

const cases = [
  { writers: 1, pieces: 32 },
  { writers: 20, pieces: 2 },
] as const;

/** Waits for a file, writes pieces, and stays. */
const writerScript = 'while [ ! -e "$1" ]; do sleep 0.02; done; for n in $(seq "$3"); do cat "$2"; done; exec sleep 100000\n';

interface Figures {
  readonly seconds: number;
  readonly megabytes: number;
  readonly lostBytes: number;
  readonly cpuMs: number;
}

async function loggedBytes(running: Supervised, services: readonly Service[]): Promise<number> {
  const files = (await Promise.all(services.map(({ name }) => running.logs(name)))).flat();
  const sizes = await Promise.all(
    files.map((file) =>
      stat(file)
        .then(({ size }) => size)
        .catch(() => 0),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Until the logs hold `wanted` bytes, or no more for ten seconds: what they hold, and when that was reached. */
async function untilLogged(running: Supervised, services: readonly Service[], wanted: number, signal: AbortSignal) {
  let bytes = 0;
  let grownAt = performance.now();
  for (const deadline = grownAt + patienceMs; performance.now() < deadline; await wait(20, undefined, { signal })) {
    const found = await loggedBytes(running, services);
    if (found !== bytes) grownAt = performance.now();
    bytes = found;
    if (bytes >= wanted || performance.now() - grownAt > 10_000) break;
  }
  return { bytes, grownAt };
}

async function once(peer: FleetPeer, writers: number, pieces: number, signal: AbortSignal): Promise<Figures> {
  await using folder = await tempFolder();
  const [own, go, piece, script] = ['own', 'go', 'piece', 'writer.sh'].map((name) => join(folder.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  await mkdir(own);
  await writeFile(piece, `${'x'.repeat(lineBytes - 1)}\n`.repeat(pieceBytes / lineBytes));
  await writeFile(script, writerScript);
  const command = ['/bin/sh', script, go, piece, String(pieces)];
  const services = Array.from(
    { length: writers },
    (_, index): Service => ({ name: `w${index + 1}`, command, upAtOnce: true, rotateBytes }),
  );
  const running = await peer.start({ services, folder: own });
  try {
    const pids = await running.processes();
    const before = processorMs(pids);
    const begunAt = performance.now();
    await writeFile(go, '');
    const wanted = writers * pieces * pieceBytes;
    const { bytes, grownAt } = await untilLogged(running, services, wanted, signal);
    return {
      seconds: (grownAt - begunAt) / 1000,
      megabytes: bytes / 1e6,
      lostBytes: wanted - bytes,
      cpuMs: processorMs(pids) - before,
    };
  } finally {
    await running[Symbol.asyncDispose]();
  }
}

const columns: readonly Column<Figures>[] = [
  { head: 'MB/s', of: ({ megabytes, seconds }) => megabytes / seconds, compared: true },
  { head: 'lost bytes', of: ({ lostBytes }) => lostBytes, as: 'sum' },
  { head: 'cpu s per GB', of: ({ cpuMs, megabytes }) => cpuMs / megabytes, digits: 2, compared: true },
];

export const logThroughput: Measurement = {
  name: 'log-throughput',
  about: 'MB/s from 1 and from 20 writers into their logs, which rotate at 50 MB where the supervisor can',
  pace: { rounds: 3, seconds: 0, workers: [] },
  async run(signal, print, { rounds }) {
    const present = await installed(peers, print);
    for (const { writers, pieces } of cases) {
      const turn = (peer: FleetPeer) => (): Promise<Figures> => once(peer, writers, pieces, signal);
      const contestants = present.map((peer): Contestant<Figures> => ({ name: peer.name, turn: turn(peer) }));
      const figures = await takeTurns(contestants, rounds, signal);
      print(comparison(`${writers} writer${writers === 1 ? '' : 's'}`, 'supervisord', columns, figures, () => supervisordFleet.name));
    }
  },
};
