/** What a fault is done to: a peer with services in a folder of its own, and what is looked at while it happens. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { mentioning, pidsOfAll } from '../chaos/processes.ts';
import { outputOf } from '../program.ts';
import { type FleetPeer, isAlive, type Service, type Supervised } from '../supervised.ts';
import { tempFolder } from '../temp-folder.ts';

/** A fault of the table in docs/faults.md. */
export type Fault = {
  id: string;
  /** One line: what is done. */
  about: string;
  /** It needs a disk that can be filled, and so the right to mount one. */
  needsDisk?: boolean;
  /** Gives in words what became of it, with figures. @throws when the peer cannot be brought that far. */
  run: (trial: Trial) => Promise<string>;
};

export type Trial = {
  /** For programs and what they tell; the peer's own files are elsewhere. */
  readonly folder: string;
  readonly peer: string;
  readonly signal: AbortSignal;
  /** Starts the peer over these services; it is stopped after the trial. */
  start: (services: readonly Service[]) => Promise<Supervised>;
  /** How many lines a file in `folder` has. */
  lines: (file: string) => Promise<number>;
  /** Fills the disk of the peer's files to the last byte; the function given back makes room again. */
  fill: () => Promise<() => Promise<void>>;
};

const patienceMs = 30_000;

export const program = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Looks until `look` gives something; undefined after half a minute. */
export async function eventually<T>(look: () => Promise<T | undefined | false>): Promise<T | undefined> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await wait(50)) {
    const found = await look().catch(() => undefined);
    if (found !== undefined && found !== false) return found;
  }
  return undefined;
}

/** Living processes whose command line names a text. */
export async function namedProcesses(text: string): Promise<number[]> {
  const found = await Promise.all(
    (await pidsOfAll()).map(async (pid) => {
      const command = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
      return command.includes(text) && (await isAlive(pid)) ? [pid] : [];
    }),
  );
  return found.flat();
}

/** Does a fault to a peer: what became of it, in words. */
export async function suffer(fault: Fault, peer: FleetPeer, signal: AbortSignal): Promise<string> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const own = join(folder, 'own');
  await mkdir(own, { mode: 0o711 });
  if (fault.needsDisk) {
    await outputOf('mount', ['-t', 'tmpfs', '-o', 'size=24m,mode=0711', 'steward-faults', own]);
    stack.defer(async () => void (await outputOf('umount', ['-l', own])));
  }
  // Whatever a peer left behind names the folder in its command line or in its environment.
  stack.defer(async () => {
    for (const pid of await mentioning(folder)) process.kill(pid, 'SIGKILL');
  });
  return await fault.run({
    folder,
    peer: peer.name,
    signal,
    start: async (services) => stack.use(await peer.start({ services, folder: own })),
    lines: async (file) => (await readFile(join(folder, file), 'latin1').catch(() => '')).split('\n').length - 1,
    fill: async () => {
      const file = join(own, 'filler');
      await writeFile(file, Buffer.alloc(64 * 2 ** 20)).catch(() => {}); // ENOSPC is what is wanted
      return () => rm(file, { force: true });
    },
  });
}
