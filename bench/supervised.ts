/** Peers as supervisors of many services: what `fleet`, `control` and `faults` ask of each of them. */
import { readFile } from 'node:fs/promises';
import type { Peer } from './measurement.ts';

/** A program to be kept running, with each peer's own defaults for what is not said. */
export type Service = {
  name: string;
  command: readonly string[];
  /** It counts as running from its first moment on: supervisord's startsecs=0. PM2 counts so by itself. */
  upAtOnce?: boolean;
  /** Not started again when it ends. */
  once?: boolean;
  /** Not started with the supervisor, where that can be said. */
  later?: boolean;
  /** Its log rotates at this size, with up to 10,000 older files. Ignored by a peer that cannot rotate by itself. */
  rotateBytes?: number;
  /** Restarts wait longer each time, beginning with 100 ms. Ignored by a peer that cannot. */
  patient?: boolean;
};

/** What is to be supervised, and an empty folder for the peer's own files. */
export type Fleet = { services: readonly Service[]; folder: string };

/** A service as its supervisor tells it; `pid` is 0 while it has none. */
export type Seen = { name: string; pid: number; state: string };

export type Action = 'start' | 'stop' | 'restart';

/** A way to speak with a supervisor. Each call resolves when the supervisor has answered. */
export type Way = {
  name: string;
  status: () => Promise<Seen[]>;
  act: (action: Action, service: string) => Promise<void>;
};

/** A supervisor at work. Disposing of it stops it and its services. */
export type Supervised = AsyncDisposable & {
  /** Its own processes, the one that decides first. */
  processes: () => Promise<number[]>;
  /** From the nearest to the farthest: a library or socket, then the command line. */
  ways: readonly [Way, Way];
  /** What its users do so that all comes back after a crash or a reboot. */
  save: () => Promise<void>;
  /** Starts it again after its death, as its users do. */
  again: () => Promise<void>;
  /** The files that hold what a service wrote to stdout, oldest first. */
  logs: (service: string) => Promise<string[]>;
};

export type FleetPeer = Peer<Fleet, Supervised>;

/** Resident memory of processes, in MB. */
export async function residentMb(pids: readonly number[]): Promise<number> {
  const texts = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/status`, 'latin1')));
  return texts.reduce((sum, text) => sum + Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024, 0);
}

/** Whether a process is there, and no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return text !== '' && !/\) [ZX] /.test(text);
}
