/** The gateways of one measurement, running side by side. */
import { chmod, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import type { Gateway, Peer, Serve } from './measurement.ts';
import { caddy } from './peers/caddy.ts';
import { nginx } from './peers/nginx.ts';
import { stewardGateway } from './peers/steward.ts';
import { processorMs } from './processor-time.ts';
import { untilServed } from './program.ts';

export const gateways: readonly Peer<Serve, Gateway>[] = [stewardGateway, nginx, caddy];

/** Something that answers: `address` has scheme, host and port; `workers` are the processes whose time counts, if any. */
export type Entrant = { name: string; address: string; port: number; workers: readonly number[] };

export const label = (peer: string, workers: number): string => `${peer}, ${workers} worker${workers === 1 ? '' : 's'}`;

/** The contestant with as many workers of another peer. */
export const sameWorkers =
  (peer: Peer<Serve, Gateway>) =>
  (name: string): string | undefined => {
    const workers = /, (\d+) workers?$/.exec(name)?.[1];
    return workers === undefined ? undefined : label(peer.name, Number(workers));
  };

/** Starts each peer with each count of workers, and waits until `path` answers; what runs goes into `stack`, its files below `folder`. */
export async function startGateways(
  peers: readonly Peer<Serve, Gateway>[],
  workerCounts: readonly number[],
  task: Omit<Serve, 'port' | 'workers' | 'folder'>,
  folder: string,
  stack: AsyncDisposableStack,
  path = '/',
): Promise<Entrant[]> {
  const entrants: Entrant[] = [];
  for (const workers of workerCounts) {
    for (const peer of peers) {
      const name = label(peer.name, workers);
      const own = await ownFolder(folder, name);
      const port = await freePort();
      const address = `${task.tls ? 'https' : 'http'}://127.0.0.1:${port}`;
      const running = stack.use(await peer.start({ ...task, port, workers, folder: own }));
      await untilServed(address + path);
      entrants.push({ name, address, port, workers: running.workers });
    }
  }
  return entrants;
}

/** An empty folder that other users may pass through: workers run as another one. */
export async function ownFolder(folder: string, name: string): Promise<string> {
  const own = await mkdtemp(join(folder, `${name.replaceAll(/\W+/g, '-')}-`));
  await chmod(own, 0o711);
  return own;
}

/** What `load` found, and the milliseconds of processor time the workers took meanwhile; NaN where there are none. */
export async function withCost<Figures>(
  workers: readonly number[],
  load: () => Promise<Figures>,
): Promise<Figures & { processorMs: number }> {
  const before = processorMs(workers);
  const figures = await load();
  return { ...figures, processorMs: workers.length > 0 ? processorMs(workers) - before : Number.NaN };
}
