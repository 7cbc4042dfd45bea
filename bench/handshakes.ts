/** TLS handshakes: a new connection for each request, without and with resumption of a session. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AbResult, ab, abVersion } from './ab.ts';
import { makeCertificate } from './certificate.ts';
import { type Column, comparison } from './comparison.ts';
import { type Entrant, gateways, sameWorkers, startGateways, withCost } from './entrants.ts';
import { installed, type Measurement } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { outputOf } from './program.ts';
import { takeTurns } from './rounds.ts';
import { tempFolder } from './temp-folder.ts';
import { type Load, load, wrkVersion } from './wrk.ts';

const path = '/file.txt';
/** One ab is one thread, and its half of a handshake costs more than the server's: two get more out of a server. */
const clients = 2;
const connections = 16;

type Handshakes = { perSecond: number; count: number; p99Ms: number; errors: number; processorMs: number };

const columns: readonly Column<Handshakes>[] = [
  { head: 'handshakes/s', of: (turn) => turn.perSecond, compared: true },
  { head: 'min-max', of: (turn) => turn.perSecond, as: 'range' },
  { head: 'p99 ms', of: (turn) => turn.p99Ms, compared: true },
  { head: 'cpu us/handshake', of: (turn) => (turn.processorMs * 1_000) / turn.count, compared: true },
  { head: 'errors', of: (turn) => turn.errors, as: 'sum' },
];

/** ab makes a new session for each connection: a whole handshake each. */
const full = ({ address, workers }: Entrant, seconds: number, signal: AbortSignal): Promise<Handshakes> =>
  withCost(workers, async () => {
    const args = ['-f', 'TLS1.3', '-c', String(connections), '-t', String(seconds), '-n', '1000000'];
    const all = await Promise.all(Array.from({ length: clients }, () => ab(args, address + path, signal)));
    const sum = (figure: keyof AbResult): number => all.reduce((total, one) => total + one[figure], 0);
    return { perSecond: sum('perSecond'), count: sum('requests'), p99Ms: Math.max(...all.map((one) => one.p99Ms)), errors: sum('failed') };
  });

/** wrk reuses the session of a connection for the one after it. */
const resumed = ({ address, workers }: Entrant, seconds: number, signal: AbortSignal): Promise<Handshakes> =>
  withCost(workers, async () => {
    const found: Load = await load(address + path, seconds, signal, connections * clients, ['-H', 'Connection: close']);
    return { perSecond: found.perSecond, count: found.requests, p99Ms: found.p99Ms, errors: found.errors };
  });

/** What OpenSSL signs with P-256 on one processor: no server gets beyond that with one worker. */
async function signatures(): Promise<string> {
  const text = await outputOf('openssl', ['speed', '-seconds', '1', '-mr', 'ecdsap256']);
  const perSignature = Number(/\+F4:\d+:256:([\d.]+)/.exec(text)?.[1]);
  return Number.isNaN(perSignature) ? 'unknown' : (perSignature > 1 ? perSignature : 1 / perSignature).toFixed(0);
}

export const handshakes: Measurement = {
  name: 'handshakes',
  about: `TLS 1.3, a P-256 certificate, a new connection for each request of a few bytes, ${clients * connections} at a time`,
  pace: { rounds: 4, seconds: 5, workers: [1, 2] },
  async run(signal, print, { rounds, seconds, workers }) {
    const [abIs, wrkIs] = await Promise.all([abVersion(), wrkVersion()]);
    print(`load: ab ${abIs ?? 'is missing here'}, wrk ${wrkIs ?? 'is missing here'}`);
    const present = await installed(gateways, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const files = join(folder.path, 'files');
    await mkdir(files, { mode: 0o755 });
    await writeFile(join(files, path), 'Hello.\n');
    const tls = await makeCertificate(folder.path);
    print(`limit: one processor signs ${await signatures()} times a second (openssl speed ecdsap256)`);
    const entrants = await startGateways(present, workers, { files, tls }, folder.path, stack, path);
    const measure = async (what: string, turn: typeof full): Promise<void> => {
      const figures = await takeTurns(
        entrants.map((entrant) => ({ name: entrant.name, turn: () => turn(entrant, seconds, signal) })),
        rounds,
        signal,
      );
      print(comparison(what, nginx.name, columns, figures, sameWorkers(nginx)));
    };
    if (abIs) await measure('whole handshakes', full);
    if (wrkIs) await measure('resumed sessions', resumed);
  },
};
