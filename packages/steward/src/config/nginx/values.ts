/** Times, sizes and addresses as nginx writes them (https://nginx.org/en/docs/syntax.html). Pure. */

const second = 1000;
/** More than anybody waits, and still exact as a number. */
const longestMs = 100 * 365 * 86_400 * second;
const unitMs: Readonly<Record<string, number>> = {
  y: 365 * 86_400 * second,
  M: 30 * 86_400 * second,
  w: 7 * 86_400 * second,
  d: 86_400 * second,
  h: 3600 * second,
  m: 60 * second,
  s: second,
  ms: 1,
  '': second,
};

/**
 * Milliseconds of `90`, `1m30s` or `1h 30m`, or undefined. Units stand from large to small, each once; only where
 * nginx counts in seconds does it know years and months, and only elsewhere ms.
 */
export function parseTime(text: string, counts: 'seconds' | 'milliseconds' = 'milliseconds'): number | undefined {
  const units = counts === 'seconds' ? 'yMwdhms' : 'wdhms';
  if (text.trim() === '' || text.replaceAll(/\d+(?:ms|[yMwdhms])? */g, '') !== '') return undefined;
  let total = 0;
  let rank = -1;
  for (const [, number, unit = ''] of text.matchAll(/(\d+)(ms|[yMwdhms])?/g)) {
    const next = unit === 'ms' ? (counts === 'seconds' ? -1 : units.length) : unit === '' ? units.length - 1 : units.indexOf(unit);
    if (next <= rank) return undefined;
    rank = next;
    total += Number(number) * (unitMs[unit] as number);
  }
  return Math.min(total, longestMs);
}

/** Bytes of `1024`, `8k`, `10m` or `4G`, or undefined. */
export function parseBytes(text: string): number | undefined {
  const [, number, unit] = /^(\d+)([kKmMgG]?)$/.exec(text) ?? [];
  if (number === undefined) return undefined;
  const bytes = Number(number) * 1024 ** ['', 'k', 'm', 'g'].indexOf((unit ?? '').toLowerCase());
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A whole number from 0 to `max`, or undefined. */
export function parseCount(text: string, max = 2 ** 31): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}

export interface HostPort {
  readonly host: string;
  /** Undefined when none is written. */
  readonly port?: number;
}

/** `host`, `host:port`, `[v6]` or `[v6]:port`; undefined when it is none of them. */
export function parseHostPort(text: string): HostPort | undefined {
  const [, host, port] = /^(\[[0-9a-fA-F:.%]+\]|[^\s:/?#[\]{}"'$]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined) return undefined;
  if (port === undefined) return { host };
  const number = Number(port);
  return number >= 1 && number <= 65535 ? { host, port: number } : undefined;
}
