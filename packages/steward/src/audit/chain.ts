/**
 * The chain that shows whether the audit trail is whole. Pure.
 *
 *   hash = SHA-256(hash of the entry before, 64 hexadecimal digits, then the text of the entry, UTF-8)
 *
 * The text is the entry as JSON, byte by byte as it is kept and exported, so that nobody needs to agree on how JSON is written. The
 * first entry follows 64 zeros. An anchor is the place that entries older than the retention were removed up to.
 */
import { createHash } from 'node:crypto';

export interface Place {
  readonly seq: number;
  readonly hash: string;
}

/** An entry as it is kept. */
export interface Link extends Place {
  readonly text: string;
}

export const beginning: Place = { seq: 0, hash: '0'.repeat(64) };

export const hashOf = (previous: string, text: string): string => createHash('sha256').update(previous).update(text).digest('hex');

export const linkAfter = ({ hash }: Place, seq: number, text: string): Link => ({ seq, text, hash: hashOf(hash, text) });

export type Verdict =
  | { readonly whole: true; readonly entries: number; readonly head: Place }
  | { readonly whole: false; readonly entries: number; readonly head: Place; readonly brokenAt: number; readonly why: string };

/** Follows a chain entry by entry, in whatever portions it comes. */
export interface Checker {
  /** Why it is broken, once it is; later entries are not looked at. */
  next(link: Link): void;
  verdict(): Verdict;
}

/** The seq that a text says of itself. */
function seqIn(text: string): unknown {
  try {
    return (JSON.parse(text) as { seq?: unknown }).seq;
  } catch {
    return undefined;
  }
}

function whyBroken(before: Place, { seq, text, hash }: Link): string | undefined {
  if (seq !== before.seq + 1)
    return seq > before.seq ? `entries ${before.seq + 1} to ${seq - 1} are missing` : `entry ${seq} stands after ${before.seq}`;
  if (hashOf(before.hash, text) !== hash) return `entry ${seq}, or its hash, was altered`;
  return seqIn(text) === seq ? undefined : `the text of entry ${seq} is that of another`;
}

/** `anchor`: what the first entry follows. */
export function createChecker(anchor: Place): Checker {
  let head = anchor;
  let entries = 0;
  let broken: { brokenAt: number; why: string } | undefined;
  return {
    next(link) {
      if (broken !== undefined) return;
      const why = whyBroken(head, link);
      if (why !== undefined) {
        broken = { brokenAt: link.seq > head.seq + 1 ? head.seq + 1 : link.seq, why };
        return;
      }
      head = { seq: link.seq, hash: link.hash };
      entries++;
    },
    verdict: () => (broken === undefined ? { whole: true, entries, head } : { whole: false, entries, head, ...broken }),
  };
}

/** Whether entries follow the anchor without a gap, each as it was written. */
export function verify(links: Iterable<Link>, anchor: Place): Verdict {
  const checker = createChecker(anchor);
  for (const link of links) checker.next(link);
  return checker.verdict();
}

/** Head as people note it: `SEQ:HASH`, or the hash alone. */
export function parseHead(text: string): { readonly seq?: number; readonly hash: string } | undefined {
  const [, seq, hash] = /^(?:(\d{1,15}):)?([0-9a-f]{64})$/.exec(text.trim()) ?? [];
  return hash === undefined ? undefined : { hash, ...(seq !== undefined && { seq: Number(seq) }) };
}

export const formatHead = ({ seq, hash }: Place): string => `${seq}:${hash}`;
