/** PM2 over many programs, spoken to by its own module and by its command line. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { outputOf } from '../program.ts';
import type { FleetPeer, Service, Supervised, Way } from '../supervised.ts';
import { launcher, pm2 } from './pm2.ts';
import type { Reply, Request } from './pm2-client.ts';

/** PM2 starts two programs at a time unless it is told otherwise, and waits for each: a thousand take minutes. */
const patienceMs = 600_000;

const app = ({ name, command: [script, ...args], once: isOnce, later, patient }: Service, folder: string): object => ({
  name,
  script,
  args,
  interpreter: 'none',
  autorestart: !isOnce,
  ...(later && { autostart: false }),
  ...(patient ? { exp_backoff_restart_delay: 100 } : { restart_delay: 0 }),
  out_file: join(folder, `${name}.log`),
  error_file: join(folder, `${name}.err.log`),
  merge_logs: true,
});

/** Its module, in a process of its own: connected when this resolves. */
async function connected(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('pm2-client.ts', import.meta.url));
  const child = fork(program, [], { env: { ...process.env, ...env }, detached: true, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  await once(child, 'message');
  return child;
}

/** Asks it things, any number at once. */
function asker(child: ChildProcess): (wish: Request['wish']) => Promise<Extract<Reply['outcome'], { told: unknown }>> {
  const waiting = new Map<number, (outcome: Reply['outcome']) => void>();
  let last = 0;
  child.once('exit', () => {
    for (const answer of waiting.values()) answer({ error: 'its client ended' });
  });
  child.on('message', (message) => {
    const { id, outcome } = message as Reply;
    waiting.get(id)?.(outcome);
    waiting.delete(id);
  });
  return async (wish) => {
    const id = ++last;
    const outcome = await new Promise<Reply['outcome']>((resolve) => {
      waiting.set(id, resolve);
      child.send({ id, wish } satisfies Request);
    });
    if ('error' in outcome) throw new Error(`pm2 ${wish.action}: ${outcome.error}`);
    return outcome;
  };
}

const byModule = (child: ChildProcess): Way => {
  const ask = asker(child);
  return {
    name: 'PM2, its module',
    status: async () => (await ask({ action: 'list' })).told,
    act: async (action, name) => void (await ask({ action, name })),
  };
};

const byCommand = (command: (...words: readonly string[]) => Promise<string>): Way => ({
  name: 'pm2',
  status: async () => {
    const text = await command('jlist');
    // What it says of itself (a version that differs, a daemon just started) stands on lines before.
    const told = JSON.parse(text.slice(text.search(/^\[(\{|\])/m))) as { name: string; pid: number; pm2_env: { status: string } }[];
    return told.map(({ name, pid, pm2_env: { status } }) => ({ name, pid, state: status }));
  },
  act: async (action, name) => void (await command(action, name)),
});

export const pm2Fleet: FleetPeer = {
  name: 'PM2',
  version: pm2.version,
  async start({ services, folder }) {
    const home = join(folder, 'pm2');
    const env = { PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true' };
    const command = (...words: readonly string[]): Promise<string> => outputOf(launcher, words, env, undefined, patienceMs);
    const file = join(folder, 'fleet.json');
    await writeFile(file, JSON.stringify({ apps: services.map((service) => app(service, folder)) }));
    let client: ChildProcess | undefined;
    const stop = async (): Promise<void> => {
      if (client?.connected) client.disconnect();
      await command('kill');
    };
    const supervised = async (): Promise<Supervised> => {
      await command('start', file);
      client = await connected(env);
      return {
        processes: async () => [Number(await readFile(join(home, 'pm2.pid'), 'utf8'))],
        ways: [byModule(client), byCommand(command)],
        save: async () => void (await command('save')),
        again: async () => void (await command('resurrect')),
        logs: async (service) => [join(folder, `${service}.log`)],
        [Symbol.asyncDispose]: stop,
      };
    };
    return supervised().catch(async (error: Error) => {
      await stop();
      throw error;
    });
  },
};
