/** Steward, started as its users start it: a steward.yaml and `steward up -d`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Gateway, KeepRunning, Peer, Serve } from '../measurement.ts';
import { outputOf, versionOf } from '../program.ts';

const launcher = fileURLToPath(new URL('../../packages/steward/bin/steward', import.meta.url));
const version = (): Promise<string | undefined> => versionOf(launcher, ['version']);

/** Runs `file` (JSON is YAML too) with a state directory in `folder`. */
async function up(file: object, folder: string): Promise<AsyncDisposable & { state: string }> {
  const path = join(folder, 'steward.yaml');
  const state = join(folder, 'state');
  await writeFile(path, JSON.stringify(file, undefined, 2));
  const down = (): Promise<string> => outputOf(launcher, ['down', '--state', state]);
  try {
    await outputOf(launcher, ['up', '-d', path, '--state', state]);
  } catch (error) {
    await down();
    throw error;
  }
  return { state, [Symbol.asyncDispose]: async () => void (await down()) };
}

/** A service that restarts with no delay however often it dies. */
export const stewardSupervisor: Peer<KeepRunning> = {
  name: 'Steward',
  version,
  start: ({ command, folder }) => up({ services: { program: { run: command, backoff: { first: '0s', base: '0s' } } } }, folder),
};

/** A site over the sockets. */
export const stewardGateway: Peer<Serve, Gateway> = {
  name: 'Steward',
  version,
  async start({ port, workers, sockets, folder }) {
    const running = await up(
      {
        upstreams: { back: { servers: sockets.map((socket) => `unix:${socket}`) } },
        sites: [{ listen: [`127.0.0.1:${port}`], routes: [{ upstream: 'back' }] }],
        gateway: { workers, accessLog: false },
      },
      folder,
    );
    return { ...running, workers: await workerPids(running.state) };
  },
};

async function workerPids(state: string): Promise<number[]> {
  const { instances } = JSON.parse(await outputOf(launcher, ['ps', '--json', '--state', state])) as {
    instances: { service: string; pid: number }[];
  };
  return instances.filter(({ service }) => service === 'gateway').map(({ pid }) => pid);
}
