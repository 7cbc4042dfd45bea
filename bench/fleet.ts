/** Many services: how long until all of them run, and what the supervisor itself takes while they do nothing. */
import { constants, openSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { type Column, comparison } from './comparison.ts';
import { installed, type Measurement } from './measurement.ts';
import { pm2Fleet } from './peers/pm2-fleet.ts';
import { stewardFleet } from './peers/steward-fleet.ts';
import { supervisordFleet } from './peers/supervisord-fleet.ts';
import { processorMs } from './processor-time.ts';
import { outputOf } from './program.ts';
import { type Contestant, takeTurns } from './rounds.ts';
import { bellScript } from './start-bell.ts';
import { type FleetPeer, residentMb, type Service } from './supervised.ts';
import { tempFolder } from './temp-folder.ts';

const peers: readonly FleetPeer[] = [stewardFleet, pm2Fleet, supervisordFleet];
const sizes = [10, 100, 500, 1_000];
/** Until all run; PM2 starts two at a time. */
const patienceMs = 600_000;
/** What a start leaves to be done: states that settle after a second, timers, rows in a database. */
const quietMs = 5_000;

type Figures = { startMs: number; residentMb: number; cpuPercent: number; stopMs: number };

/** Counts the programs that ring at a named pipe. */
class Counter implements Disposable {
  readonly #socket: Socket;
  readonly #wanted: number;
  readonly #all = Promise.withResolvers<number>();
  #heard = 0;

  constructor(path: string, wanted: number) {
    this.#wanted = wanted;
    this.#socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK), readable: true, writable: false });
    this.#socket.on('data', (data: Buffer) => {
      for (const byte of data) if (byte === 10) this.#heard++;
      if (this.#heard >= this.#wanted) this.#all.resolve(performance.now());
    });
    this.#all.promise.catch(() => {});
  }

  /** When the last of them rang. @throws when they do not all ring in time. */
  async all(signal: AbortSignal): Promise<number> {
    const late = setTimeout(
      () => this.#all.reject(new Error(`${this.#heard} of ${this.#wanted} services run after ${patienceMs / 1000} s`)),
      patienceMs,
    );
    const onAbort = (): void => this.#all.reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      return await this.#all.promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', onAbort);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** Starts `count` services under a peer, lets them be for `seconds`, and stops them. */
async function once(peer: FleetPeer, count: number, seconds: number, signal: AbortSignal): Promise<Figures> {
  await using folder = await tempFolder();
  const own = join(folder.path, 'own');
  await mkdir(own);
  const bell = join(folder.path, 'bell');
  await outputOf('mkfifo', [bell]);
  using counter = new Counter(bell, count);
  const script = join(folder.path, 'program.sh');
  await writeFile(script, bellScript);
  const services = Array.from({ length: count }, (_, index): Service => ({ name: `s${index + 1}`, command: ['/bin/sh', script, bell] }));
  const begunAt = performance.now();
  const all = counter.all(signal);
  all.catch(() => {}); // when the peer does not start, that is the error
  const running = await peer.start({ services, folder: own });
  let figures: Omit<Figures, 'stopMs'>;
  try {
    const startMs = (await all) - begunAt;
    await wait(quietMs, undefined, { signal });
    const pids = await running.processes();
    const before = processorMs(pids);
    await wait(seconds * 1000, undefined, { signal });
    figures = { startMs, residentMb: await residentMb(pids), cpuPercent: (processorMs(pids) - before) / seconds / 10 };
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  }
  const stoppingAt = performance.now();
  await running[Symbol.asyncDispose]();
  return { ...figures, stopMs: performance.now() - stoppingAt };
}

const columns: readonly Column<Figures>[] = [
  { head: 'all run, s', of: ({ startMs }) => startMs / 1000, digits: 2, compared: true },
  { head: 'resident MB', of: ({ residentMb: mb }) => mb, digits: 0, compared: true },
  { head: 'idle cpu %', of: ({ cpuPercent }) => cpuPercent, digits: 2 },
  { head: 'all stopped, s', of: ({ stopMs }) => stopMs / 1000, digits: 2, compared: true },
];

export const fleet: Measurement = {
  name: 'fleet',
  about: `from the command that starts them until ${sizes.join(', ')} services run, and what the supervisor takes then`,
  pace: { rounds: 1, seconds: 5, workers: [] },
  async run(signal, print, { rounds, seconds }) {
    const present = await installed(peers, print);
    for (const count of sizes) {
      const contestants = present.map((peer): Contestant<Figures> => ({ name: peer.name, turn: () => once(peer, count, seconds, signal) }));
      const figures = await takeTurns(contestants, rounds, signal);
      print(comparison(`${count} services`, 'supervisord', columns, figures, () => supervisordFleet.name));
    }
  },
};
