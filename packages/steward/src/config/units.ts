/** Durations and sizes as people write them (`30s`, `1h30m`, `512MB`) to numbers and back. Pure. */

const msOf: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const bytesOf: Readonly<Record<string, number>> = { '': 1, B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3, TB: 1024 ** 4 };

/** Durations: one or more of `<number><ms|s|m|h|d>`; a plain `0` is allowed. */
export const durationPattern = '^(0|(\\d+(\\.\\d+)?(ms|s|m|h|d))+)$';
/** Sizes: `<number>` with B, KB, MB, GB or TB (powers of 1024, any case); no unit means bytes. */
export const sizePattern = '^\\d+(\\.\\d+)?\\s*([kKmMgGtT]?[bB]|[kKmMgGtT])?$';

/** Milliseconds, or undefined when `text` is no duration. */
export function parseDuration(given: string | number): number | undefined {
  const text = String(given);
  if (!new RegExp(durationPattern).test(text)) return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) total += Number(number) * (msOf[unit as string] as number);
  return total;
}

/** Bytes, or undefined when `text` is no size. */
export function parseSize(given: string | number): number | undefined {
  const text = String(given);
  if (!new RegExp(sizePattern).test(text)) return undefined;
  const [, number, unit = ''] = /^([\d.]+)\s*([a-zA-Z]*)$/.exec(text) as unknown as [string, string, string?];
  const name = unit.toUpperCase();
  return Math.round(Number(number) * (bytesOf[name.length === 1 && name !== 'B' ? `${name}B` : name] as number));
}

/** The shortest exact duration in one unit: 90000 → `90s`, 200 → `200ms`, 0 → `0s`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  const unit = (['d', 'h', 'm', 's'] as const).find((name) => ms % (msOf[name] as number) === 0) ?? 'ms';
  return `${ms / (msOf[unit] as number)}${unit}`;
}

/** The shortest exact size: 52428800 → `50MB`. */
export function formatSize(bytes: number): string {
  if (bytes === 0) return '0B';
  const unit = (['TB', 'GB', 'MB', 'KB'] as const).find((name) => bytes % (bytesOf[name] as number) === 0) ?? 'B';
  return `${bytes / (bytesOf[unit] as number)}${unit}`;
}

/** Milliseconds of a duration that may be left out. */
export const durationOr = (given: string | number | undefined, byDefault: number): number =>
  given === undefined ? byDefault : (parseDuration(given) ?? byDefault);

/** Bytes of a size that may be left out. */
export const sizeOr = (given: string | number | undefined, byDefault: number): number =>
  given === undefined ? byDefault : (parseSize(given) ?? byDefault);
