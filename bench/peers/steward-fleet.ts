/** Steward over many services. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient } from '@steward/sdk/client';
import { outputOf } from '../program.ts';
import type { Action, Fleet, FleetPeer, Seen, Service, Way } from '../supervised.ts';
import { launcher, someMayFail, startSteward, version } from './steward.ts';

const stanza = ({ command, upAtOnce, once, later, rotateBytes, patient }: Service): object => ({
  run: command,
  ...(upAtOnce && { upAfter: '0s' }),
  ...(once && { restart: 'never' }),
  ...(later && { autostart: false }),
  ...(rotateBytes && { stdout: { maxSize: rotateBytes, keep: 10_000, compress: 'none' } }),
  ...(patient && { backoff: { first: '100ms', base: '100ms' } }),
});

/** The file of a fleet, in the shape of steward.yaml. */
export const fleetFile = ({ services }: Fleet): object => ({
  services: Object.fromEntries(services.map((service) => [service.name, stanza(service)])),
});

/** The keeper of a state directory; none while there is nothing to keep. */
export async function keeperOf(state: string): Promise<number[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(names.map((name) => readFile(`/proc/${name}/cmdline`, 'latin1').catch(() => '')));
  return names.filter((_, index) => /keeper\.[jt]s/.test(commands[index] ?? '') && commands[index]?.includes(state)).map(Number);
}

/** The pid in the lock file; the daemon may be dead. */
export const daemonOf = async (state: string): Promise<number> => Number(await readFile(join(state, 'daemon.lock'), 'utf8'));

function overSocket(state: string): Way {
  const client = createClient({ socketPath: join(state, 'control.sock') });
  const acts = { start: client.startInstances, stop: client.stopInstances, restart: client.restartInstances };
  return {
    name: 'Steward, its socket',
    status: async () =>
      (await client.listInstances({ query: {} })).instances.map(({ id, pid, state: phase }) => ({ name: id, pid: pid ?? 0, state: phase })),
    act: async (action, service) => void (await acts[action]({ body: { names: [service] } })),
  };
}

const byCommand = (command: (...words: readonly string[]) => Promise<string>): Way => ({
  name: 'steward',
  status: async () =>
    (JSON.parse(await command('ps', '--json')) as { instances: { id: string; pid?: number; state: string }[] }).instances.map(
      ({ id, pid, state }): Seen => ({ name: id, pid: pid ?? 0, state }),
    ),
  act: async (action: Action, service) => void (await command(action, service)),
});

export const stewardFleet: FleetPeer = {
  name: 'Steward',
  version,
  async start(fleet) {
    const state = join(fleet.folder, 'state');
    const path = join(fleet.folder, 'steward.yaml');
    const steward = await startSteward(fleetFile(fleet), fleet.folder, 'fail');
    return {
      processes: async () => [await daemonOf(state), ...(await keeperOf(state))],
      ways: [overSocket(state), byCommand(steward.command)],
      save: async () => {},
      again: () => someMayFail(outputOf(launcher, ['up', '-d', path, '--state', state])),
      logs: async (service) => {
        const number = (file: string): number => Number(/\.log\.(\d+)$/.exec(file)?.[1] ?? 0);
        const files = (await readdir(join(state, 'logs'))).filter((file) => file.replace(/\.\d+$/, '') === `${service}.log`);
        return files.toSorted((a, b) => number(b) - number(a)).map((file) => join(state, 'logs', file));
      },
      [Symbol.asyncDispose]: async () => steward[Symbol.asyncDispose](),
    };
  },
};
