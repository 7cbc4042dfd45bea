/** Downloads of 100 MB: from disk (the page cache) and from an upstream, over HTTP and over HTTPS. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startDownloads } from './back-ends.ts';
import { makeCertificate } from './certificate.ts';
import { type Column, comparison } from './comparison.ts';
import { downloadBytes } from './download-size.ts';
import { type Entrant, gateways, sameWorkers, startGateways, withCost } from './entrants.ts';
import { installed, type Measurement, type Pace, type Serve } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { outputOf, versionOf } from './program.ts';
import { takeTurns } from './rounds.ts';
import { tempFolder } from './temp-folder.ts';

const path = '/file.bin';
/** By one curl, one after another on one connection: its own start does not count for much. */
const downloadsPerCurl = 10;

type Downloads = { bytes: number; seconds: number; errors: number; processorMs: number };

const columns: readonly Column<Downloads>[] = [
  { head: 'MB/s', of: (turn) => turn.bytes / 1e6 / turn.seconds, compared: true },
  { head: 'min-max', of: (turn) => turn.bytes / 1e6 / turn.seconds, as: 'range' },
  { head: 'cpu s/GB', of: (turn) => turn.processorMs / 1_000 / (turn.bytes / 1e9), digits: 3, compared: true },
  { head: 'errors', of: (turn) => turn.errors, as: 'sum' },
];

/** Downloads one after another for `seconds`, and to the end of the last. */
const turn = ({ address, workers }: Entrant, seconds: number, signal: AbortSignal): Promise<Downloads> =>
  withCost(workers, async () => {
    const startedAt = performance.now();
    const done = { bytes: 0, seconds: 0, errors: 0 };
    while (done.seconds < seconds) {
      const args = ['-sk', '-o', '/dev/null', '-w', '%{http_code} %{size_download}\n', `${address + path}?[1-${downloadsPerCurl}]`];
      const lines = (await outputOf('curl', args, {}, signal, 300_000)).trim().split('\n');
      done.errors += downloadsPerCurl - lines.filter((line) => line === `200 ${downloadBytes}`).length;
      done.bytes += lines.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
      done.seconds = (performance.now() - startedAt) / 1_000;
    }
    return done;
  });

export const download: Measurement = {
  name: 'download',
  about: `${downloadBytes / 1e6} MB, one client (curl) at a time`,
  pace: { rounds: 4, seconds: 3, workers: [1] },
  async run(signal, print, pace) {
    const curl = await versionOf('curl', ['--version']);
    print(`load: curl ${curl ?? 'is missing here: nothing is measured'}`);
    if (curl === undefined) return;
    const present = await installed(gateways, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const files = join(folder.path, 'files');
    await mkdir(files, { mode: 0o755 });
    await writeFile(join(files, path), Buffer.alloc(downloadBytes, 'x'));
    const tls = await makeCertificate(folder.path);
    const backEnd = await startDownloads(folder.path, stack);
    const direct: Entrant = { name: 'no gateway', address: backEnd.address, port: backEnd.port, workers: [] };

    const measure = async (what: string, task: Partial<Serve>, more: readonly Entrant[] = []): Promise<void> => {
      await using running = new AsyncDisposableStack();
      const entrants = [...more, ...(await startGateways(present, pace.workers, task, folder.path, running, path))];
      print(await turns(what, entrants, pace, signal));
    };
    await measure('file, HTTP', { files });
    await measure('file, HTTPS', { files, tls });
    await measure('proxied, HTTP', { proxy: backEnd.sockets }, [direct]);
    await measure('proxied, HTTPS', { proxy: backEnd.sockets, tls });
  },
};

async function turns(what: string, entrants: readonly Entrant[], { rounds, seconds }: Pace, signal: AbortSignal): Promise<string> {
  const contestants = entrants.map((entrant) => ({ name: entrant.name, turn: () => turn(entrant, seconds, signal) }));
  return comparison(what, nginx.name, columns, await takeTurns(contestants, rounds, signal), sameWorkers(nginx));
}
