/** The trail as text: NDJSON, which can be verified by anybody, and CSV for tables. Pure. */
import type { AuditEntry } from '@steward/sdk/contract/audit';
import type { Link, Place } from './chain.ts';

/** The first line of an export: what its first entry follows. */
export const headLine = (anchor: Place): string => `{"trail":"steward","anchor":{"seq":${anchor.seq},"hash":"${anchor.hash}"}}`;

const before = '{"hash":"';
const between = '","entry":';
const textAt = before.length + 64 + between.length;

/** The text of the entry stands in it byte by byte, from character 84 to the one before the last. */
export const lineOf = ({ hash, text }: Link): string => `${before}${hash}${between}${text}}`;

/** The entry of a line; undefined when it is none. */
export function readLine(line: string): Link | undefined {
  if (!line.startsWith(before) || line.slice(before.length + 64, textAt) !== between || !line.endsWith('}')) return undefined;
  const hash = line.slice(before.length, before.length + 64);
  const text = line.slice(textAt, -1);
  try {
    const { seq } = JSON.parse(text) as { seq?: unknown };
    return /^[0-9a-f]{64}$/.test(hash) && typeof seq === 'number' ? { seq, hash, text } : undefined;
  } catch {
    return undefined;
  }
}

/** The anchor that the first line of an export tells. */
export function readHeadLine(line: string): Place | undefined {
  const [, seq, hash] = /^\{"trail":"steward","anchor":\{"seq":(\d{1,15}),"hash":"([0-9a-f]{64})"\}\}$/.exec(line) ?? [];
  return hash === undefined ? undefined : { seq: Number(seq), hash };
}

const columns = ['seq', 'at', 'as', 'who', 'via', 'from', 'action', 'object', 'result', 'reason', 'of', 'details'] as const;

/**
 * RFC 4180. A table program must not take what somebody wrote for a formula (OWASP, CSV injection): such a text gets an apostrophe
 * before it.
 */
function cell(value: unknown): string {
  const text = value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  const isFormula = typeof value !== 'number' && /^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/.test(text);
  return `"${(isFormula ? `'${text}` : text).replaceAll('"', '""')}"`;
}

export const csvHead = `${[...columns, 'hash'].join(',')}\r\n`;

export function csvLine({ text, hash }: Link): string {
  const entry = JSON.parse(text) as AuditEntry;
  return `${[...columns.map((name) => cell(entry[name])), cell(hash)].join(',')}\r\n`;
}
