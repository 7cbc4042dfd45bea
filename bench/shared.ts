/** `listen: shared`: the instances of a service hold the listening socket themselves. Against a gateway in front of as many of the same processes. */
import { join } from 'node:path';
import { jsonProgram } from './back-ends.ts';
import { comparison, goal } from './comparison.ts';
import { type Entrant, gateways, ownFolder, startGateways } from './entrants.ts';
import { freePort } from './free-port.ts';
import { hasWrk, perSecond, type Requests, requestColumns, requestsTo } from './gateway.ts';
import { type Gateway, installed, type Measurement, type Peer, type Serve } from './measurement.ts';
import { nginx } from './peers/nginx.ts';
import { startSteward } from './peers/steward.ts';
import { startProgram, untilServed } from './program.ts';
import { type Contestant, takeTurns } from './rounds.ts';
import { tempFolder } from './temp-folder.ts';
import { usualConnections } from './wrk.ts';

const plain = 'processes alone';
const shared = 'Steward, listen: shared';
const named = (what: string, processes: number): string => `${what}, ${processes} process${processes === 1 ? '' : 'es'}`;

/** Copies of the program, each with its own words: their pids. */
async function startCopies(places: readonly string[], stack: AsyncDisposableStack): Promise<number[]> {
  const pids: number[] = [];
  for (const place of places) pids.push(stack.use(await startProgram(process.execPath, [jsonProgram, place])).pid);
  return pids;
}

/** As many copies of the program, each listening on one port by SO_REUSEPORT: nothing is between them and their clients. */
async function startPlain(processes: number, stack: AsyncDisposableStack): Promise<Entrant> {
  const port = await freePort();
  return entrant(plain, port, await startCopies(Array(processes).fill(String(port)), stack));
}

/** The same under Steward, which hands each copy the same listening socket as descriptor 3. */
async function startShared(processes: number, folder: string, stack: AsyncDisposableStack): Promise<Entrant> {
  const port = await freePort();
  const run = [process.execPath, jsonProgram, 'fd:3'];
  const services = { json: { run, instances: processes, port, listen: 'shared' } };
  const steward = stack.use(await startSteward({ services }, await ownFolder(folder, shared)));
  const instances = (await steward.instances()).filter(({ service }) => service === 'json');
  return entrant(
    shared,
    port,
    instances.map(({ pid }) => pid),
  );
}

/** Each gateway with as many workers as there are processes behind it, each on a unix socket. */
async function startProxied(
  present: readonly Peer<Serve, Gateway>[],
  processes: number,
  folder: string,
  stack: AsyncDisposableStack,
): Promise<Entrant[]> {
  const sockets = Array.from({ length: processes }, (_, index) => join(folder, `${index + 1}.sock`));
  const pids = await startCopies(sockets, stack);
  const task = { proxy: sockets.map((socket) => `unix:${socket}`) };
  const entrants = await startGateways(present, [processes], task, folder, stack);
  return entrants.map((one) => ({
    ...one,
    name: named(`${one.name.split(',')[0]} proxying`, processes),
    workers: [...one.workers, ...pids],
  }));
}

/** `pids`: all processes that work for an answer, gateway and program. */
async function entrant(what: string, port: number, pids: readonly number[]): Promise<Entrant> {
  const address = `http://127.0.0.1:${port}`;
  await untilServed(`${address}/`);
  return { name: named(what, pids.length), address, port, workers: pids };
}

/** The line of an error that says why Steward refused the file. */
const refusal = (error: unknown): string | undefined =>
  String(error)
    .split('\n')
    .find((line) => /\blisten\b/.test(line) && !line.includes('Command failed'));

export const sharedSocket: Measurement = {
  name: 'shared',
  about: `small JSON by processes that hold the listening socket, wrk with ${usualConnections} connections`,
  pace: { rounds: 4, seconds: 5, workers: [1, 2] },
  async run(signal, print, { rounds, seconds, workers }) {
    if (!(await hasWrk(print))) return;
    const present = await installed(gateways, print);
    for (const processes of workers) {
      await using folder = await tempFolder();
      await using stack = new AsyncDisposableStack();
      const entrants = [await startPlain(processes, stack), ...(await startProxied(present, processes, folder.path, stack))];
      try {
        entrants.push(await startShared(processes, folder.path, stack));
      } catch (error) {
        const why = refusal(error);
        if (why === undefined) throw error;
        print(`Steward does not know \`listen: shared\`: ${why}`);
      }
      const contestants: Contestant<Requests>[] = [];
      for (const one of entrants) contestants.push(await requestsTo(one, '/', seconds, signal));
      const figures = await takeTurns(contestants, rounds, signal);
      const yardstick = named('nginx proxying', processes);
      print(comparison('who answers', nginx.name, requestColumns, figures, () => yardstick));
      const text = `req/s of listen: shared at least 1.50x nginx proxying, ${named('', processes).slice(2)}`;
      print(goal(text, perSecond, figures.get(named(shared, processes)), figures.get(yardstick), { atLeast: 1.5 }));
    }
  },
};
