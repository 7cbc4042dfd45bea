/** A file of 10 KB from disk (the page cache), plain HTTP. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { comparison } from './comparison.ts';
import { gateways, sameWorkers, startGateways } from './entrants.ts';
import { hasWrk, type Requests, requestColumns, requestsTo } from './gateway.ts';
import { installed, type Measurement } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { type Contestant, takeTurns } from './rounds.ts';
import { tempFolder } from './temp-folder.ts';
import { usualConnections } from './wrk.ts';

const path = '/file.bin';

export const staticFile: Measurement = {
  name: 'static',
  about: `a file of 10 KB, plain HTTP, wrk with ${usualConnections} connections`,
  pace: { rounds: 4, seconds: 5, workers: [1, 2] },
  async run(signal, print, { rounds, seconds, workers }) {
    if (!(await hasWrk(print))) return;
    const present = await installed(gateways, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const files = join(folder.path, 'files');
    await mkdir(files, { mode: 0o755 });
    await writeFile(join(files, path), Buffer.alloc(10 * 1024, 'x'));
    const contestants: Contestant<Requests>[] = [];
    for (const entrant of await startGateways(present, workers, { files }, folder.path, stack, path))
      contestants.push(await requestsTo(entrant, path, seconds, signal));
    print(comparison('gateway', nginx.name, requestColumns, await takeTurns(contestants, rounds, signal), sameWorkers(nginx)));
  },
};
