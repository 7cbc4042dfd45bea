/** Five thousand clients at once: ab without and with kept connections, and wrk. Not one request may fail. */
import { readFile } from 'node:fs/promises';
import { type AbResult, ab, abVersion } from '../ab.ts';
import { startJson } from '../back-ends.ts';
import { startGateways } from '../entrants.ts';
import { stewardGateway } from '../peers/steward.ts';
import { table } from '../table.ts';
import { tempFolder } from '../temp-folder.ts';
import { type Load, load, wrkVersion } from '../wrk.ts';
import { type Conditions, scaled, type Trial } from './trial.ts';

const connections = 5_000;
const requests = 500_000;
const wrkSeconds = 30;
/** ab's own patience with one answer; wrk is given the same. */
const patienceSeconds = 30;
const hourMs = 3_600_000;

type Outcome = { what: string; found?: AbResult | Load; fault?: string; worstMemoryMb: number };

/** Runs one load; what makes it give up is its fault. */
async function endure(
  what: string,
  workers: readonly number[],
  signal: AbortSignal,
  run: () => Promise<AbResult | Load>,
): Promise<Outcome> {
  try {
    const found = await run();
    const failed = 'failed' in found ? found.failed : found.errors;
    return { what, found, worstMemoryMb: await worstMemory(workers), ...(failed > 0 && { fault: `${what}: ${failed} failed` }) };
  } catch (error) {
    signal.throwIfAborted();
    return { what, fault: `${what}: ${lastLine((error as Error).message)}`, worstMemoryMb: await worstMemory(workers) };
  }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

/** The most memory that one of the workers ever had, in MB; 0 when one is gone. */
async function worstMemory(workers: readonly number[]): Promise<number> {
  const texts = await Promise.all(workers.map((pid) => readFile(`/proc/${pid}/status`, 'latin1').catch(() => '')));
  const all = texts.map((text) => Number(/^VmHWM:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024);
  return all.includes(0) ? 0 : Math.max(...all);
}

const row = ({ what, found, worstMemoryMb }: Outcome): string[] =>
  found === undefined
    ? [what, '-', '-', '-', '-', worstMemoryMb.toFixed(0)]
    : [what, String(found.requests), found.perSecond.toFixed(0), found.p50Ms.toFixed(0), found.p99Ms.toFixed(0), worstMemoryMb.toFixed(0)];

export const flood: Trial = {
  name: 'flood',
  about: `${connections} clients at once, small JSON over 4 unix sockets: 0 failed`,
  async run(conditions: Conditions) {
    const { signal, print } = conditions;
    const [abIs, wrkIs] = await Promise.all([abVersion(), wrkVersion()]);
    if (!abIs || !wrkIs) return [`ab ${abIs ?? 'is missing here'}, wrk ${wrkIs ?? 'is missing here'}`];
    await using folder = await tempFolder();
    await using stack = new AsyncDisposableStack();
    const backEnd = await startJson(folder.path, 4, stack);
    const [steward] = await startGateways([stewardGateway], [2], { proxy: backEnd.sockets }, folder.path, stack);
    if (steward === undefined) throw new Error('Steward did not start');
    const url = `${steward.address}/`;
    const count = String(scaled(requests, conditions));
    const abOptions = ['-s', String(patienceSeconds), '-c', String(connections), '-n', count];
    const seconds = scaled(wrkSeconds, conditions);
    const outcomes = [
      await endure('ab', steward.workers, signal, () => ab(abOptions, url, signal, hourMs)),
      await endure('ab -k', steward.workers, signal, () => ab(['-k', ...abOptions], url, signal, hourMs)),
      await endure('wrk', steward.workers, signal, () => load(url, seconds, signal, connections, ['--timeout', `${patienceSeconds}s`])),
    ];
    print(table([`${connections} clients`, 'requests', 'req/s', 'p50 ms', 'p99 ms', 'most MB'], outcomes.map(row)));
    const died = (await worstMemory(steward.workers)) === 0 ? ['a worker of the gateway died'] : [];
    return [...outcomes.flatMap(({ fault }) => fault ?? []), ...died];
  },
};
