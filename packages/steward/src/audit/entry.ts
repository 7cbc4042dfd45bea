/** An entry of the audit trail: what is written of a request, and what is left out or cut. Pure. */
import type { AuditEntry, AuditResult } from '@steward/sdk/contract/audit';

/** What is known of a request before it is done. */
export interface Deed {
  /** The kind of caller: person, token, local, ... */
  readonly as: string;
  readonly who: string;
  /** The way they came, and their address. */
  readonly via: string;
  readonly from: string;
  readonly action: string;
  readonly object: string;
  /** Values of secrets are left out by who states them. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Numbered extends Deed {
  readonly seq: number;
  readonly atMs: number;
  readonly result: AuditResult;
  readonly reason?: string | undefined;
  readonly of?: number | undefined;
}

/** UTF-8 bytes of an entry; a body may have a thousand times as many. */
export const longestEntry = 8 * 1024;
const longest = { who: 100, as: 20, via: 40, from: 100, action: 64, object: 200, reason: 300, text: 500 } as const;
/** Of who is not known: they choose what they send. */
const longestOfStrangers = 500;
const mostItems = 50;
const deepest = 5;

/** The beginning of a text, and how much is missing. Cuts no character in two. */
export function cutText(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const kept = text.slice(0, characters).replace(/[\ud800-\udbff]$/, '');
  return `${kept}… (${text.length - kept.length} more)`;
}

type Mask = (text: string) => string;

function cutValue(value: unknown, mask: Mask, depth = 0): unknown {
  if (typeof value === 'string') return cutText(mask(value), longest.text);
  if (typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= deepest) return '…';
  if (Array.isArray(value)) {
    const kept = value.slice(0, mostItems).map((item) => cutValue(item, mask, depth + 1));
    return value.length > mostItems ? [...kept, `… (${value.length - mostItems} more)`] : kept;
  }
  const fields = Object.entries(value);
  const kept = fields.slice(0, mostItems).map(([name, item]) => [cutText(name, longest.who), cutValue(item, mask, depth + 1)]);
  return Object.fromEntries(fields.length > mostItems ? [...kept, ['…', `${fields.length - mostItems} more`]] : kept);
}

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value) ?? '');

/** Fields in order, as far as they fit into so many bytes; those that do not are named as cut. */
function fit(details: Record<string, unknown>, bytes: number): Record<string, unknown> {
  if (bytesOf(details) <= bytes) return details;
  const kept: Record<string, unknown> = {};
  let left = bytes - 20;
  for (const [name, value] of Object.entries(details)) {
    const short = [value, '…'].find((candidate) => bytesOf({ [name]: candidate }) <= left);
    if (short === undefined) return { ...kept, '…': 'more' };
    kept[name] = short;
    left -= bytesOf({ [name]: short });
  }
  return kept;
}

/** What stands in the trail: fields in this order, without what is not there. `mask` takes values of secrets out of a text. */
export function entryOf(given: Numbered, mask: Mask = (text) => text): AuditEntry {
  const { seq, atMs, as, who, via, from, action, object, result, reason, of, details } = given;
  const entry = {
    seq,
    at: new Date(atMs).toISOString(),
    as: cutText(as, longest.as),
    who: cutText(who, longest.who),
    via: cutText(via, longest.via),
    from: cutText(from, longest.from),
    action: cutText(action, longest.action),
    object: cutText(mask(object), longest.object),
    result,
    ...(reason !== undefined && { reason: cutText(mask(reason), longest.reason) }),
    ...(of !== undefined && { of }),
    details: {},
  };
  const room = as === 'nobody' ? longestOfStrangers : longestEntry - bytesOf(entry);
  return { ...entry, details: fit(cutValue(details, mask) as Record<string, unknown>, room) };
}
