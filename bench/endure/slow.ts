/**
 * slowhttptest's four attacks while normal clients go on: before and during, against Steward and, for what the machine itself makes of it,
 * against nginx.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { ownFolder } from '../entrants.ts';
import { freePort } from '../free-port.ts';
import { type Gateway, installed, type Peer, type Serve } from '../measurement.ts';
import { nginx } from '../peers/nginx.ts';
import { stewardGateway } from '../peers/steward.ts';
import { processorMs } from '../processor-time.ts';
import { outputOf, untilServed, versionOf } from '../program.ts';
import { table } from '../table.ts';
import { tempFolder } from '../temp-folder.ts';
import { faults, startClients } from './children.ts';
import type { ClientsReport } from './clients.ts';
import { makeFiles, startBackEnds } from './stage.ts';
import { type Conditions, scaled, type Trial } from './trial.ts';

const perSecond = 200;
const attackSeconds = 30;
const beforeSeconds = 10;
const attackers = 3_000;
/** New attackers a second: all are there within the first third. */
const attackRate = 500;
const bigBytes = 10_000_000;

/** An attack: slowhttptest's options, and what it asks for. */
type Attack = { name: string; options: readonly string[]; path: string };

const attacks: readonly Attack[] = [
  { name: 'slow headers (slowloris)', options: ['-H', '-i', '5', '-x', '24'], path: '/' },
  { name: 'slow body', options: ['-B', '-i', '5', '-s', '8192', '-x', '10'], path: '/post' },
  { name: 'slow read', options: ['-X', '-w', '512', '-y', '1024', '-n', '5', '-z', '32', '-k', '3'], path: '/files/big.bin' },
  { name: 'ranges (Apache killer)', options: ['-R', '-a', '10', '-b', '3000', '-t', 'HEAD'], path: '/files/big.bin' },
];

/** The last state of the connections that slowhttptest printed. */
function connectionStates(text: string): string {
  const plain = text.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '');
  return ['connected', 'error', 'closed']
    .map((state) => `${[...plain.matchAll(new RegExp(`^${state}:\\s+(\\d+)`, 'gm'))].at(-1)?.[1] ?? '?'} ${state}`)
    .join(', ');
}

async function attack({ options, path }: Attack, port: number, seconds: number, signal: AbortSignal): Promise<string> {
  const size = ['-c', String(attackers), '-r', String(attackRate), '-l', String(seconds), '-p', '5'];
  const args = [...options, ...size, '-u', `http://127.0.0.1:${port}${path}`];
  // It ends with 1 when the server does not answer its own probe: the clients here judge that.
  const text = await outputOf('slowhttptest', args, {}, signal, (seconds + 60) * 1_000).catch((error: Error) => {
    if (signal.aborted) throw error;
    return error.message;
  });
  return connectionStates(text);
}

/** The shares are of one processor, by all workers together. */
type Round = {
  attack: Attack;
  peer: string;
  before: ClientsReport;
  during: ClientsReport;
  states: string;
  idleShare: number;
  attackShare: number;
};

const percent = (share: number): string => `${(share * 100).toFixed(0)}%`;

/** How busy processes were while something went on. */
async function shareOf<T>(workers: readonly number[], something: () => Promise<T>): Promise<{ share: number; value: T }> {
  const [ms, startedAt] = [processorMs(workers), performance.now()];
  const value = await something();
  return { share: (processorMs(workers) - ms) / (performance.now() - startedAt), value };
}

async function round(one: Attack, peer: string, port: number, workers: readonly number[], conditions: Conditions): Promise<Round> {
  const { signal } = conditions;
  const url = `http://127.0.0.1:${port}`;
  const targets = [{ url: `${url}/` }, { url: `${url}/files/small.bin` }];
  await using clients = startClients({ targets, perSecond, connections: 20 });
  await wait(1_000, undefined, { signal });
  await clients.report();
  const beforeMs = scaled(beforeSeconds, conditions) * 1_000;
  const idle = await shareOf(workers, () => wait(beforeMs, undefined, { signal }));
  const before = await clients.report();
  const attacked = await shareOf(workers, () => attack(one, port, scaled(attackSeconds, conditions), signal));
  const during = await clients.finish();
  return { attack: one, peer, before, during, states: attacked.value, idleShare: idle.share, attackShare: attacked.share };
}

const row = ({ attack: { name }, peer, before, during, states, idleShare, attackShare }: Round): string[] => [
  `${name}, ${peer}`,
  before.p99Ms.toFixed(2),
  during.p99Ms.toFixed(2),
  `${(during.p99Ms / before.p99Ms).toFixed(2)}x`,
  during.maxMs.toFixed(0),
  String(Object.values(during.failures).reduce((sum, count) => sum + count, 0)),
  `${percent(idleShare)} ${percent(attackShare)}`,
  states,
];

/** What is wrong about a round: a normal client that got no answer, or waited twice as long. */
const judge = ({ attack: { name }, before, during }: Round): string[] => [
  ...faults({ ...before.failures, ...during.failures }).map((fault) => `${name}: ${fault}`),
  ...(during.p99Ms < 2 * before.p99Ms ? [] : [`${name}: p99 ${before.p99Ms.toFixed(2)} ms before, ${during.p99Ms.toFixed(2)} ms during`]),
];

const peers: readonly Peer<Serve, Gateway>[] = [stewardGateway, nginx];

export const slow: Trial = {
  name: 'slow',
  about: `slowhttptest's four attacks with ${attackers} connections, while normal clients ask ${perSecond} times a second: p99 < 2x, 0 failed`,
  async run(conditions) {
    const { print } = conditions;
    const version = await versionOf('slowhttptest', ['-h']);
    if (version === undefined) return ['slowhttptest is missing here'];
    const present = await installed(peers, print);
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const proxy = await startBackEnds(folder.path, stack);
    const files = await makeFiles(folder.path, { 'small.bin': 10_240, 'big.bin': bigBytes });
    const rounds: Round[] = [];
    for (const one of attacks) {
      for (const peer of present) {
        await using running = new AsyncDisposableStack();
        const port = await freePort();
        const { workers } = running.use(
          await peer.start({ port, workers: 2, proxy, files, folder: await ownFolder(folder.path, peer.name) }),
        );
        await untilServed(`http://127.0.0.1:${port}/`);
        rounds.push(await round(one, peer.name, port, workers, conditions));
      }
    }
    print(
      table(['attack', 'p99 ms before', 'during', 'ratio', 'longest', 'failed', 'workers cpu', 'attackers at the end'], rounds.map(row)),
    );
    return rounds.filter(({ peer }) => peer === stewardGateway.name).flatMap(judge);
  },
};
