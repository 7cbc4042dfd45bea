/** From SIGKILL of a supervised process until the next copy of it runs. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { installed, type KeepRunning, type Measurement, type Peer } from './measurement.ts';
import { bareNode, shellLoop } from './peers/floor.ts';
import { pm2 } from './peers/pm2.ts';
import { stewardSupervisor } from './peers/steward.ts';
import { supervisord } from './peers/supervisord.ts';
import { type Contestant, median, takeTurns } from './rounds.ts';
import { bellScript, StartBell } from './start-bell.ts';
import { ratio, table } from './table.ts';
import { tempFolder } from './temp-folder.ts';

const peers: readonly Peer<KeepRunning>[] = [stewardSupervisor, pm2, supervisord, bareNode, shellLoop];
/** supervisord (startsecs) and PM2 (min_uptime) take an earlier death for a failed start, and wait longer: nobody is measured on that. */
const upBeforeKillMs = 1_500;

/** Kills the program behind `bell`, and waits for the next: milliseconds between the two. */
async function killOnce(bell: StartBell, signal: AbortSignal): Promise<number> {
  await wait(Math.max(0, bell.last.at + upBeforeKillMs - performance.now()), undefined, { signal });
  const killedAt = performance.now();
  process.kill(bell.last.pid, 'SIGKILL');
  return (await bell.next(signal)).at - killedAt;
}

/** Starts a peer over a program of its own, and gives its turn; what it started goes into `stack`. */
async function enter(
  peer: Peer<KeepRunning>,
  folder: string,
  stack: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<Contestant<number>> {
  await mkdir(folder);
  const bell = stack.use(await StartBell.create(join(folder, 'bell')));
  const script = join(folder, 'program.sh');
  await writeFile(script, bellScript);
  const first = bell.next(signal);
  first.catch(() => {}); // when the peer does not start, that is the error
  stack.use(await peer.start({ command: ['/bin/sh', script, bell.path], folder }));
  await first;
  return { name: peer.name, turn: () => killOnce(bell, signal) };
}

function report(figures: ReadonlyMap<string, readonly number[]>): string {
  const yardstick = median(figures.get(pm2.name) ?? []);
  const ms = (value: number): string => value.toFixed(2);
  const row = (name: string, times: readonly number[]): string[] => [
    name,
    ms(median(times)),
    ms(Math.min(...times)),
    ms(Math.max(...times)),
    ratio(median(times), yardstick),
  ];
  return table(
    ['supervisor', 'median ms', 'min', 'max', 'to PM2'],
    [...figures].map(([name, times]) => row(name, times)),
  );
}

export const restartLatency: Measurement = {
  name: 'restart-latency',
  about: 'milliseconds from SIGKILL until the next copy runs, restart policies that ask for no delay',
  pace: { rounds: 24, seconds: 0, workers: [] },
  async run(signal, print, { rounds }) {
    const present = await installed(peers, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const contestants: Contestant<number>[] = [];
    for (const [index, peer] of present.entries()) contestants.push(await enter(peer, join(folder.path, String(index)), stack, signal));
    print(report(await takeTurns(contestants, rounds, signal)));
  },
};
