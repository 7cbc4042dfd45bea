/** ApacheBench: the load, and what its output says. */
import { outputOf, versionOf } from './program.ts';

/** What one run of ab found. `failed`: answers of another length or status, and connections that failed. */
export type AbResult = { requests: number; failed: number; perSecond: number; p50Ms: number; p99Ms: number };

/** @throws when ab gives up, as it does at the first connection reset. */
export async function ab(args: readonly string[], url: string, signal: AbortSignal, timeoutMs = 60_000): Promise<AbResult> {
  return parseAb(await outputOf('ab', ['-q', ...args, url], {}, signal, timeoutMs));
}

/** Its version; undefined when it is not installed. */
export const abVersion = (): Promise<string | undefined> => versionOf('ab', ['-V']);

/** Reads what ab prints. @throws when a figure is not there. */
export function parseAb(text: string): AbResult {
  const number = (pattern: RegExp, missing?: number): number => {
    const found = pattern.exec(text)?.[1] ?? missing;
    if (found === undefined) throw new Error(`ab printed no ${pattern}:\n${text}`);
    return Number(found);
  };
  return {
    requests: number(/Complete requests:\s+(\d+)/),
    failed: number(/Failed requests:\s+(\d+)/) + number(/Non-2xx responses:\s+(\d+)/, 0) + number(/Write errors:\s+(\d+)/, 0),
    perSecond: number(/Requests per second:\s+([\d.]+)/),
    p50Ms: number(/^\s+50%\s+(\d+)/m),
    p99Ms: number(/^\s+99%\s+(\d+)/m),
  };
}
