/** Steward, started as its users start it: a steward.yaml and `steward up -d`. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesPath, type Gateway, type KeepRunning, type Peer, type Serve } from '../measurement.ts';
import { outputOf, versionOf } from '../program.ts';

export const launcher = fileURLToPath(new URL('../../packages/steward/bin/steward', import.meta.url));
export const version = (): Promise<string | undefined> => versionOf(launcher, ['version']);

/** A daemon with a state directory of its own. */
export type Steward = AsyncDisposable & {
  /** What a command prints. @throws when it fails. */
  command: (...words: readonly string[]) => Promise<string>;
  /** Applies `file`, an object in the shape of steward.yaml. @throws when it is refused. */
  apply: (file: object) => Promise<void>;
  /** What runs, the gateway's workers among them. */
  instances: () => Promise<readonly Instance[]>;
};

export type Instance = { name: string; service: string; state: string; pid: number };

/** Passes over exit code 1: Steward works, and something that it was told to run does not. @throws on every other failure. */
export async function someMayFail(work: Promise<unknown>): Promise<void> {
  await work.catch((error: { code?: unknown }) => {
    if (error.code !== 1) throw error;
  });
}

/** Runs `file` (JSON is YAML too) with a state directory in `folder`. @throws when something does not run, unless it may fail. */
export async function startSteward(file: object, folder: string, may: 'run' | 'fail' = 'run'): Promise<Steward> {
  const path = join(folder, 'steward.yaml');
  const command = (...words: readonly string[]): Promise<string> => outputOf(launcher, [...words, '--state', join(folder, 'state')]);
  const write = (next: object): Promise<void> => writeFile(path, JSON.stringify(next, undefined, 2));
  const down = async (): Promise<void> => void (await command('down'));
  await write(file);
  try {
    const up = command('up', '-d', path);
    await (may === 'fail' ? someMayFail(up) : up);
  } catch (error) {
    await down();
    throw error;
  }
  return {
    command,
    apply: async (next) => {
      await write(next);
      await command('apply', path);
    },
    instances: async () => (JSON.parse(await command('ps', '--json')) as { instances: Instance[] }).instances,
    [Symbol.asyncDispose]: down,
  };
}

/** The pids of the gateway's workers. */
export const workerPids = async (steward: Steward): Promise<number[]> =>
  (await steward.instances()).filter(({ service }) => service === 'gateway').map(({ pid }) => pid);

/** A service that restarts with no delay however often it dies. */
export const stewardSupervisor: Peer<KeepRunning> = {
  name: 'Steward',
  version,
  start: ({ command, folder }) => startSteward({ services: { program: { run: command, backoff: { first: '0s', base: '0s' } } } }, folder),
};

/** The site of a task. */
export function site(task: Serve): object {
  const { port, proxy, files, tls } = task;
  const routes = [...(proxy ? [{ upstream: 'back' }] : []), ...(files ? [{ path: filesPath(task), files }] : [])];
  return { listen: [`127.0.0.1:${port}`], routes, ...(tls && { tls }) };
}

/** A site over the upstreams or the folder. */
export const stewardGateway: Peer<Serve, Gateway> = {
  name: 'Steward',
  version,
  async start(task) {
    const running = await startSteward(
      {
        ...(task.proxy && { upstreams: { back: { servers: task.proxy } } }),
        sites: [site(task)],
        gateway: { workers: task.workers, accessLog: false },
      },
      task.folder,
    );
    return { ...running, workers: await workerPids(running) };
  },
};
