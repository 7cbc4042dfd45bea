/** Verifying a trail wherever it is: under a daemon that runs, in a state.db, in an exported file. */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { AuditVerdict } from '@steward/sdk/contract/audit';
import { StewardError } from '../errors.ts';
import { beginning, createChecker, type Link, type Place, parseHead } from './chain.ts';
import { readHeadLine, readLine } from './format.ts';

export type Told = AuditVerdict;

/** Where rows come from. */
export interface Source {
  anchor(): Place;
  rows(after: number, to: number): AsyncIterable<readonly Link[]> | Iterable<readonly Link[]>;
}

export interface Examined {
  readonly anchor: Place | undefined;
  readonly entries: number;
  readonly head: Place;
  readonly broken?: { readonly brokenAt: number; readonly why: string };
}

interface Wanted {
  readonly hash: string;
  readonly seq?: number;
}

/** What a trail that is kept says of the last removal of old entries: the anchor must be what was entered. */
function removalIn(text: string): Place | undefined {
  if (!text.includes('"action":"removeOldEntries"')) return undefined;
  try {
    const entry = JSON.parse(text) as { as?: string; action?: string; details?: { seq?: unknown; hash?: unknown } };
    const { seq, hash } = entry.details ?? {};
    const isRemoval = entry.as === 'steward' && entry.action === 'removeOldEntries' && typeof seq === 'number' && typeof hash === 'string';
    return isRemoval ? { seq, hash } : undefined;
  } catch {
    return undefined;
  }
}

const isSame = (a: Place, b: Place): boolean => a.seq === b.seq && a.hash === b.hash;

/** A head that was noted must still be there; one from before the anchor cannot be found any more. */
function missingHead(wanted: Wanted | undefined, isFound: boolean, anchor: Place | undefined, head: Place) {
  if (wanted === undefined || isFound) return undefined;
  if (wanted.seq !== undefined && anchor !== undefined && wanted.seq < anchor.seq) return undefined;
  const last = head.seq + 1;
  return {
    brokenAt: wanted.seq === undefined ? last : Math.min(wanted.seq, last),
    why: 'the noted head is not in the trail: entries at its end were removed, or it was written anew',
  };
}

/** Looks at all rows up to `to`. The anchor must have been entered in the trail. */
export async function verifyRows({ anchor: anchorOf, rows }: Source, to: number, wanted?: Wanted): Promise<Examined> {
  const anchor = anchorOf();
  const checker = createChecker(anchor);
  let isFound = wanted !== undefined && wanted.hash === anchor.hash;
  let isAttested = anchor.seq === 0;
  for await (const some of rows(anchor.seq, to))
    for (const link of some) {
      checker.next(link);
      isFound ||= wanted !== undefined && link.hash === wanted.hash && (wanted.seq ?? link.seq) === link.seq;
      isAttested ||= isSame(removalIn(link.text) ?? beginning, anchor);
    }
  const verdict = checker.verdict();
  const unattested = { brokenAt: anchor.seq + 1, why: `entries up to ${anchor.seq} were removed, and no entry says so` };
  const broken = verdict.whole ? (isAttested ? missingHead(wanted, isFound, anchor, verdict.head) : unattested) : verdict;
  return {
    anchor,
    entries: verdict.entries,
    head: verdict.head,
    ...(broken && { broken: { brokenAt: broken.brokenAt, why: broken.why } }),
  };
}

/** As it is told; `last`: what the trail has to end in. */
export function toldOf({ anchor, entries, head, broken }: Examined, last?: Place): Told {
  const short =
    broken === undefined && last !== undefined && !isSame(last, head)
      ? { brokenAt: head.seq + 1, why: `the trail ends at ${head.seq}, and ${last.seq} was written` }
      : undefined;
  return { whole: broken === undefined && short === undefined, entries, anchor: anchor ?? null, head, ...broken, ...short };
}

/** @throws StewardError for a text that is no head. */
export function wantedOf(head: string | undefined): Wanted | undefined {
  if (head === undefined) return undefined;
  const wanted = parseHead(head);
  if (wanted === undefined)
    throw new StewardError('audit/no-trail', `"${head.slice(0, 100)}" is no head of a trail`, {
      status: 400,
      hint: 'Write SEQ:HASH, or the 64 digits of the hash, as `steward audit verify` and `export` print it.',
    });
  return wanted;
}

const rowsAtOnce = 5000;

/** Verifies the trail of a state.db without a daemon. @throws StewardError when it cannot be read. */
export async function verifyDatabase(file: string, head?: string): Promise<Told> {
  const wanted = wantedOf(head);
  if (!existsSync(file))
    throw new StewardError('audit/no-trail', `there is no file ${file}`, { status: 400, hint: 'Name a state.db or an export.' });
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(file, { readOnly: true });
    const statement = db.prepare('select seq, text, hash from audit where seq > ? order by seq limit ?');
    const anchors = db.prepare('select seq, hash from audit_anchor').all() as unknown as Place[];
    const source: Source = {
      anchor: () => anchors[0] ?? beginning,
      *rows(after) {
        for (let last = after; ; ) {
          const rows = statement.all(last, rowsAtOnce) as unknown as Link[];
          if (rows.length === 0) return;
          yield rows;
          last = (rows.at(-1) as Link).seq;
        }
      },
    };
    return toldOf(await verifyRows(source, Number.POSITIVE_INFINITY, wanted));
  } catch (error) {
    if (error instanceof StewardError) throw error;
    throw new StewardError('audit/no-trail', `${file} holds no audit trail that can be read: ${(error as Error).message}`, {
      status: 400,
      hint: 'Name a state.db or an export (NDJSON).',
      cause: error,
    });
  } finally {
    db?.close();
  }
}

/** Verifies an exported file (NDJSON), line by line. */
export async function verifyExport(lines: AsyncIterable<string> | Iterable<string>, head?: string): Promise<Told> {
  const wanted = wantedOf(head);
  let anchor: Place | undefined;
  let checker: ReturnType<typeof createChecker> | undefined;
  let isFound = false;
  let number = 0;
  for await (const line of lines) {
    number++;
    if (line === '') continue;
    if (checker === undefined) {
      anchor = readHeadLine(line);
      if (anchor === undefined)
        throw new StewardError('audit/no-trail', 'the first line is not that of an exported audit trail', { status: 400 });
      checker = createChecker(anchor);
      isFound = wanted?.hash === anchor.hash;
      continue;
    }
    const link = readLine(line);
    const { head: before, whole } = checker.verdict();
    if (link === undefined && whole)
      return {
        whole: false,
        entries: before.seq - (anchor?.seq ?? 0),
        anchor: anchor ?? null,
        head: before,
        brokenAt: before.seq + 1,
        why: `line ${number} is no entry`,
      };
    if (link === undefined) break;
    checker.next(link);
    isFound ||= wanted !== undefined && link.hash === wanted.hash && (wanted.seq ?? link.seq) === link.seq;
  }
  if (checker === undefined) throw new StewardError('audit/no-trail', 'the file is empty', { status: 400 });
  const verdict = checker.verdict();
  const broken = verdict.whole ? missingHead(wanted, isFound, anchor, verdict.head) : verdict;
  return toldOf({
    anchor,
    entries: verdict.entries,
    head: verdict.head,
    ...(broken && { broken: { brokenAt: broken.brokenAt, why: broken.why } }),
  });
}
