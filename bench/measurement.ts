/** What a measurement is, and what a peer in one is. */

/** One comparison of Steward with its peers. */
export type Measurement = {
  name: string;
  /** One line: what is measured. */
  about: string;
  /** Measures, and prints its table. @throws when `signal` aborts, or when something does not run; all it started is stopped by then. */
  run: (signal: AbortSignal, print: (text: string) => void) => Promise<void>;
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

/** What a gateway is to serve, and an empty folder for its own files; no access log, connections to the sockets are kept. */
export type Serve = { port: number; workers: number; sockets: readonly string[]; folder: string };

/** A gateway that answers. */
export type Gateway = AsyncDisposable & { /** The processes that carry the requests. */ workers: readonly number[] };

/** Those of `peers` that are installed; says versions, and who is missing. */
export async function installed<P extends Peer<never>>(peers: readonly P[], print: (text: string) => void): Promise<P[]> {
  const versions = await Promise.all(peers.map((peer) => peer.version()));
  print(`peers: ${peers.map(({ name }, index) => `${name} ${versions[index] ?? 'is missing here'}`).join(', ')}`);
  return peers.filter((_, index) => versions[index] !== undefined);
}
