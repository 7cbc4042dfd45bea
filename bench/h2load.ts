/** h2load: HTTP/2 load, and what its output says. */
import { readFile, rm } from 'node:fs/promises';
import { outputOf, versionOf } from './program.ts';
import type { Load } from './wrk.ts';

/** So many connections with so many streams each, on one thread. `log` is a file of its own, removed afterwards. */
export async function h2load(
  url: string,
  seconds: number,
  connections: number,
  streams: number,
  log: string,
  signal: AbortSignal,
): Promise<Load> {
  const args = ['-t1', `-c${connections}`, `-m${streams}`, '-D', String(seconds), `--log-file=${log}`, url];
  const text = await outputOf('h2load', args, {}, signal, (seconds + 60) * 1_000);
  const lines = await readFile(log, 'latin1');
  await rm(log);
  return parseH2load(text, lines);
}

/** Its version; undefined when it is not installed. */
export const h2loadVersion = (): Promise<string | undefined> => versionOf('h2load', ['--version']);

/**
 * Reads what h2load prints, and the lines of its log: start in microseconds, status, duration in microseconds. Errors: answers of another
 * status and requests that were broken off; what is under way when the time is over is neither. @throws when there is no result.
 */
export function parseH2load(text: string, log: string): Load {
  const [, perSecond] = /finished in [^,]+, ([\d.]+) req\/s/.exec(text) ?? [];
  const [, succeeded, failed] = /(\d+) succeeded, (\d+) failed/.exec(text) ?? [];
  if (perSecond === undefined || succeeded === undefined) throw new Error(`h2load printed no result:\n${text}`);
  const micros = log
    .split('\n')
    .flatMap((line) => {
      const [, status, duration] = line.split('\t');
      return status === '200' ? [Number(duration)] : [];
    })
    .sort((a, b) => a - b);
  const percentile = (share: number): number => (micros[Math.floor(micros.length * share)] ?? Number.NaN) / 1_000;
  return {
    requests: Number(succeeded),
    perSecond: Number(perSecond),
    p50Ms: percentile(0.5),
    p99Ms: percentile(0.99),
    errors: Number(failed),
  };
}
