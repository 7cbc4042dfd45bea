/** wrk: the load, and what its output says. */
import { outputOf, versionOf } from './program.ts';

/** What one run of wrk found. */
export type Load = { requests: number; perSecond: number; p50Ms: number; p99Ms: number; errors: number };

/** Connections a measurement keeps open unless it says otherwise. */
export const usualConnections = 64;

/** So many connections on one thread for so many seconds; `more` are further options of wrk. */
export async function load(
  url: string,
  seconds: number,
  signal: AbortSignal,
  connections = usualConnections,
  more: readonly string[] = [],
): Promise<Load> {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', ...more, url];
  return parseWrk(await outputOf('wrk', args, {}, signal, (seconds + 60) * 1_000));
}

/** Its version; undefined when it is not installed. */
export const wrkVersion = (): Promise<string | undefined> => versionOf('wrk', ['-v']);

const unitMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 };

/** Reads what `wrk --latency` prints. Errors: answers other than 2xx and 3xx, and connections that failed. @throws when a figure is not there. */
export function parseWrk(text: string): Load {
  const number = (pattern: RegExp): number => {
    const found = pattern.exec(text)?.[1];
    if (found === undefined) throw new Error(`wrk printed no ${pattern}:\n${text}`);
    return Number(found);
  };
  const latency = (share: string): number => {
    const [, value, unit = ''] = new RegExp(`^\\s+${share}%\\s+([\\d.]+)([a-z]+)`, 'm').exec(text) ?? [];
    const factor = unitMs[unit];
    if (value === undefined || factor === undefined) throw new Error(`wrk printed no ${share}% latency:\n${text}`);
    return Number(value) * factor;
  };
  const socketErrors = /Socket errors: (.*)/.exec(text)?.[1]?.match(/\d+/g) ?? [];
  const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0;
  return {
    requests: number(/(\d+) requests in/),
    perSecond: number(/Requests\/sec:\s+([\d.]+)/),
    p50Ms: latency('50'),
    p99Ms: latency('99'),
    errors: socketErrors.reduce((sum, count) => sum + Number(count), Number(refused)),
  };
}
