/** Small JSON over HTTP/2 and TLS, from four unix sockets that speak HTTP/1.1. */
import { once } from 'node:events';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { startJson } from './back-ends.ts';
import { makeCertificate } from './certificate.ts';
import { comparison } from './comparison.ts';
import { type Entrant, gateways, sameWorkers, startGateways, withCost } from './entrants.ts';
import { type Requests, requestColumns } from './gateway.ts';
import { h2load, h2loadVersion } from './h2load.ts';
import { installed, type Measurement } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { type Contestant, takeTurns } from './rounds.ts';
import { tempFolder } from './temp-folder.ts';

const connections = 16;
const streams = 8;

/** Whether a server chooses HTTP/2 when it may. */
async function speaksHttp2(port: number): Promise<boolean> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] });
  await once(socket, 'secureConnect');
  socket.destroy();
  return socket.alpnProtocol === 'h2';
}

export const http2: Measurement = {
  name: 'http2',
  about: `small JSON over HTTP/2 and TLS, h2load with ${connections} connections of ${streams} streams`,
  pace: { rounds: 4, seconds: 5, workers: [1, 2] },
  async run(signal, print, { rounds, seconds, workers }) {
    const version = await h2loadVersion();
    print(`load: h2load ${version ?? 'is missing here: nothing is measured'}`);
    if (version === undefined) return;
    const present = await installed(gateways, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const tls = await makeCertificate(folder.path);
    const backEnd = await startJson(folder.path, 4, stack);
    const task = { proxy: backEnd.sockets, tls, http2: true };
    const turn = ({ address, workers: pids }: Entrant, length: number): Promise<Requests> =>
      withCost(pids, () => h2load(`${address}/`, length, connections, streams, join(folder.path, 'h2load.log'), signal));
    const contestants: Contestant<Requests>[] = [];
    for (const entrant of await startGateways(present, workers, task, folder.path, stack)) {
      if (!(await speaksHttp2(entrant.port))) {
        print(`${entrant.name}: does not speak it`);
        continue;
      }
      await turn(entrant, Math.min(2, seconds));
      contestants.push({ name: entrant.name, turn: () => turn(entrant, seconds) });
    }
    print(comparison('gateway', nginx.name, requestColumns, await takeTurns(contestants, rounds, signal), sameWorkers(nginx)));
  },
};
