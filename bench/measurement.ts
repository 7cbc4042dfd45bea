/** What a measurement is, and what a peer in one is. */

/** How often and how long is measured, and with how many workers. */
export type Pace = { rounds: number /** Of one turn; 0 when it has no fixed length. */; seconds: number; workers: readonly number[] };

/** One comparison of Steward with its peers. */
export type Measurement = {
  name: string;
  /** One line: what is measured. */
  about: string;
  /** What a full run takes; a trial may ask for less. */
  pace: Pace;
  /** Measures, and prints its table. @throws when `signal` aborts, or when something does not run; all it started is stopped by then. */
  run: (signal: AbortSignal, print: (text: string) => void, pace: Pace) => Promise<void>;
};

/** A program under test: started with a task, stopped by disposing of what `start` gave. */
export type Peer<Task, Running extends AsyncDisposable = AsyncDisposable> = {
  name: string;
  /** Its version, undefined when it is not installed. */
  version: () => Promise<string | undefined>;
  start: (task: Task) => Promise<Running>;
};

/** A program that is to be kept running, and an empty folder for the peer's own files. */
export type KeepRunning = { command: readonly string[]; folder: string };

/** Certificate and key, as files in PEM. */
export type Certificate = { cert: string; key: string };

/**
 * What a gateway is to serve on a port of 127.0.0.1, and an empty folder for its own files. No access log, connections to upstreams are kept.
 * With both `proxy` and `files`, the files are below `/files/`.
 */
export type Serve = {
  port: number;
  workers: number;
  folder: string;
  /** Addresses of the upstreams: `unix:/path` or `host:port`, each in its turn. */
  proxy?: readonly string[];
  /** A folder whose files are served. */
  files?: string;
  tls?: Certificate;
  /** Whether HTTP/2 is offered. */
  http2?: boolean;
};

/** Where the files of a task are. */
export const filesPath = (task: Serve): string => (task.proxy ? '/files/' : '/');

/** A gateway that answers. */
export type Gateway = AsyncDisposable & { /** The processes that carry the requests. */ workers: readonly number[] };

/** Those of `peers` that are installed; says versions, and who is missing. */
export async function installed<P extends Peer<never>>(peers: readonly P[], print: (text: string) => void): Promise<P[]> {
  const versions = await Promise.all(peers.map((peer) => peer.version()));
  print(`peers: ${peers.map(({ name }, index) => `${name} ${versions[index] ?? 'is missing here'}`).join(', ')}`);
  return peers.filter((_, index) => versions[index] !== undefined);
}
