/**
 * The audit trail: who did what, when, from where, to what, and what came of it. It only grows.
 *
 *   begin ──▶ entry `begun` in state.db ── it is done ──▶ entry `done`, `refused` or `failed`, which names the first
 *
 * Each entry carries the hash of all before it (chain.ts). The database refuses to alter or remove entries; only those older than the
 * retention go, after the place they are removed up to was itself entered and became the anchor. On a full disk entries wait in memory
 * and are written in order when there is room again.
 */
import type { AuditEntry, AuditResult, ListedAuditEntry } from '@steward/sdk/contract/audit';
import type { Store, Value } from '../store/store.ts';
import { beginning, type Link, linkAfter, type Place } from './chain.ts';
import { type Deed, entryOf } from './entry.ts';
import { createFlood } from './flood.ts';
import { csvHead, csvLine, headLine, lineOf } from './format.ts';
import { type Source, type Told, toldOf, verifyRows, wantedOf } from './verify.ts';

export { formatHead } from './chain.ts';
export type { Deed } from './entry.ts';
export { longestEntry } from './entry.ts';
export { type Told, verifyDatabase, verifyExport } from './verify.ts';

export type Outcome = 'done' | 'refused' | 'failed';

export interface Filter {
  readonly who?: string | undefined;
  readonly action?: string | undefined;
  /** A part of it. */
  readonly object?: string | undefined;
  readonly result?: AuditResult | undefined;
  /** Milliseconds since 1970. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  /** Leaves out what was begun when its outcome is there. */
  readonly brief?: boolean | undefined;
  readonly limit: number;
  /** Only entries before this one. */
  readonly before?: number | undefined;
}

export interface Span {
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** A part of an export; the last one has the head. */
export interface Part {
  readonly text: string;
  readonly head?: Place;
}

export interface Audit {
  /** Written when it returns. The function given back writes what came of it, once. Never throws. */
  begin(deed: Deed): (result: Outcome, reason?: string) => void;
  /** A single entry, for what has no beginning of its own. Never throws. */
  note(deed: Deed & { readonly result: Outcome; readonly reason?: string }): void;
  /** Newest first; with `brief` an outcome has the details of what was begun. `next`: where to go on, even when fewer than the limit were found. */
  list(filter: Filter): Promise<{ readonly entries: ListedAuditEntry[]; readonly next?: number }>;
  /** Whether all of it is whole, and ends in what this daemon wrote last; `head`: and holds what was noted earlier. */
  verify(head?: string): Promise<Told>;
  /** Whole lines, oldest first. Entries of a span of time stand in one piece, so that they can be verified too. */
  export(format: 'ndjson' | 'csv', span?: Span): AsyncGenerator<Part>;
  /** How long entries are kept, in milliseconds; 0: for ever. Removes those that are older, now and every day. */
  keep(ageMs: number): void;
  /** Entries that are not on the disk yet, and those there was no room for in memory. */
  waiting(): { readonly entries: number; readonly lost: number };
  stop(): void;
}

export interface AuditOptions {
  readonly store: Store;
  readonly now: () => number;
  /** Takes values of secrets out of a text. */
  readonly mask?: (text: string) => string;
  /** Hears when entries cannot be written, and when they are again. */
  readonly onTrouble?: (message: string) => void;
}

/** Entries of about 500 bytes in memory while the disk is full. */
const mostWaiting = 10_000;
const retryMs = 1000;
/** Rows at once: what the daemon does nothing else for, some milliseconds. */
const rowsAtOnce = 1000;
/** Rows that one request for a list looks at. */
const mostLookedAt = 500_000;
const dayMs = 24 * 60 * 60 * 1000;

interface Row extends Link {
  readonly outcome: number;
  /** The entry whose outcome this is. */
  readonly begun: string | null;
}

/** Lets others have a turn. */
const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const own: Omit<Deed, 'action' | 'object' | 'details'> = { as: 'steward', who: 'steward', via: 'daemon', from: '' };

function conditionsOf({ who, action, object, result, sinceMs, untilMs, brief }: Filter): { sql: string; values: Value[] } {
  const given: [string, Value | undefined][] = [
    ['who = ?', who],
    ['action = ?', action],
    ['instr(object, ?) > 0', object],
    ['result = ?', result],
    ['at >= ?', sinceMs === undefined ? undefined : new Date(sinceMs).toISOString()],
    ['at <= ?', untilMs === undefined ? undefined : new Date(untilMs).toISOString()],
  ];
  const asked = given.filter((pair): pair is [string, Value] => pair[1] !== undefined);
  const outcome = "not (result = 'begun' and exists (select 1 from audit as later where later.of = audit.seq))";
  return {
    sql: [...asked.map(([text]) => text), ...(brief ? [outcome] : [])].map((text) => ` and ${text}`).join(''),
    values: asked.map(([, value]) => value),
  };
}

/** An outcome is kept without what was given; who reads it alone wants to see that too. */
const listed = ({ text, hash, outcome, begun }: Row): ListedAuditEntry => {
  const { details: own, ...entry } = JSON.parse(text) as AuditEntry;
  const details = begun === null ? own : (JSON.parse(begun) as AuditEntry).details;
  return { ...entry, details, hash, ...(entry.result === 'begun' && { hasOutcome: outcome === 1 }) };
};

export function createAudit({ store, now, mask = (text) => text, onTrouble = () => {} }: AuditOptions): Audit {
  const anchorNow = (): Place => store.all<Place>('select seq, hash from audit_anchor')[0] ?? beginning;
  const lastRow = (): Place | undefined => store.all<Place>('select seq, hash from audit order by seq desc limit 1')[0];
  const flood = createFlood();
  const waiting: Link[] = [];
  let head: Place = lastRow() ?? anchorNow();
  /** The last one that is on the disk. */
  let written = head;
  let lost = 0;
  let retry: NodeJS.Timeout | undefined;
  let daily: NodeJS.Timeout | undefined;
  /** Who reads all of it; nothing is removed meanwhile. */
  let readers = 0;
  let keepMs = 0;

  function write({ seq, text, hash }: Link): boolean {
    if (!store.run('insert into audit (seq, text, hash) values (?, ?, ?)', seq, text, hash)) return false;
    written = { seq, hash };
    return true;
  }

  /** Writes what waits, in order; how much is left. */
  function flush(): number {
    let done = 0;
    while (done < waiting.length && write(waiting[done] as Link)) done++;
    waiting.splice(0, done);
    return waiting.length;
  }

  function catchUp(): void {
    if (flush() > 0) return;
    clearInterval(retry);
    retry = undefined;
    const missing = lost;
    lost = 0;
    if (missing > 0)
      append({ ...own, action: 'loseEntries', object: '', details: { entries: missing } }, 'failed', 'no room on the disk, nor in memory');
    onTrouble(`the audit trail is written again${missing > 0 ? `; ${missing} entries are lost` : ''}`);
  }

  function wait(link: Link): void {
    if (retry === undefined) {
      onTrouble('the audit trail cannot be written; entries wait in memory');
      retry = setInterval(catchUp, retryMs).unref();
    }
    waiting.push(link);
  }

  /** The seq it got; undefined when it is lost. */
  function append(deed: Deed, result: AuditResult, reason?: string, of?: number): number | undefined {
    if (waiting.length >= mostWaiting) {
      lost++;
      return undefined;
    }
    const seq = head.seq + 1;
    const link = linkAfter(head, seq, JSON.stringify(entryOf({ ...deed, seq, atMs: now(), result, reason, of }, mask)));
    if (waiting.length > 0 || !write(link)) wait(link);
    head = { seq, hash: link.hash };
    return seq;
  }

  /** Of too many by callers that nobody knows, how many they were. */
  function tellExcess(nowMs: number): void {
    const excess = flood.over(nowMs);
    if (excess !== undefined)
      append({ ...own, action: 'skipEntries', object: excess.from.join(' '), details: { entries: excess.entries } }, 'done');
  }

  /** The seq it got; undefined when it is lost, or one of too many. */
  function enter(deed: Deed, result: AuditResult, reason?: string): number | undefined {
    tellExcess(now());
    if (deed.as === 'nobody' && result !== 'done' && !flood.admits(deed.from, now())) return undefined;
    return append(deed, result, reason);
  }

  /** Rows of the disk in order, from after `seq` to `to`, some at a time. */
  async function* rowsAfter(seq: number, to: number): AsyncGenerator<readonly Link[]> {
    readers++;
    try {
      for (let last = seq; last < to; ) {
        const rows = store.all<Link>(
          'select seq, text, hash from audit where seq > ? and seq <= ? order by seq limit ?',
          last,
          to,
          rowsAtOnce,
        );
        if (rows.length === 0) return;
        yield rows;
        last = rows.at(-1)?.seq ?? to;
        await pause();
      }
    } finally {
      readers--;
    }
  }

  function prune(): void {
    if (keepMs === 0 || readers > 0 || waiting.length > 0) return;
    const from = anchorNow();
    const limit = new Date(now() - keepMs).toISOString();
    // In order of seq, up to the first that is young: a clock that was wrong for a while makes no gap.
    const [young] = store.all<{ seq: number }>('select seq from audit where at >= ? order by seq limit 1', limit);
    const [to] = store.all<Place>('select seq, hash from audit where seq = ?', (young?.seq ?? head.seq + 1) - 1);
    if (to === undefined || to.seq <= from.seq) return;
    const details = { seq: to.seq, hash: to.hash, entries: to.seq - from.seq, olderThan: limit };
    append({ ...own, action: 'removeOldEntries', object: `up to ${to.seq}`, details }, 'done');
    if (waiting.length > 0) return; // not on the disk: at the next turn
    if (store.run('update audit_anchor set seq = ?, hash = ?', to.seq, to.hash)) store.run('delete from audit where seq <= ?', to.seq);
  }

  const source: Source = { anchor: anchorNow, rows: (after, to) => rowsAfter(after, to) };

  return {
    begin(deed) {
      const of = enter(deed, 'begun');
      let isOver = false;
      return (result, reason) => {
        if (isOver) return;
        isOver = true;
        // What was one of too many is counted already; that somebody got in is always told.
        if (of !== undefined || deed.as !== 'nobody' || result === 'done') append({ ...deed, details: {} }, result, reason, of);
      };
    },
    note: ({ result, reason, ...deed }) => void enter(deed, result, reason),
    async list(filter) {
      tellExcess(now());
      const { sql, values } = conditionsOf(filter);
      const entries: ListedAuditEntry[] = [];
      const first = anchorNow().seq;
      let before = Math.min(filter.before ?? Number.POSITIVE_INFINITY, head.seq + 1);
      for (let looked = 0; before > first + 1 && looked < mostLookedAt; looked += rowsAtOnce) {
        const from = Math.max(first + 1, before - rowsAtOnce);
        const rows = store.all<Row>(
          `select seq, text, hash, exists (select 1 from audit as later where later.of = audit.seq) as outcome,
             ${filter.brief ? '(select earlier.text from audit as earlier where earlier.seq = audit.of)' : 'null'} as begun
           from audit where seq >= ? and seq < ?${sql} order by seq desc limit ?`,
          from,
          before,
          ...values,
          filter.limit - entries.length,
        );
        entries.push(...rows.map(listed));
        const isFull = entries.length >= filter.limit;
        before = isFull ? (rows.at(-1)?.seq ?? from) : from;
        if (isFull) break;
        await pause();
      }
      return { entries, ...(before > first + 1 && { next: before }) };
    },
    async verify(noted) {
      const wanted = wantedOf(noted);
      const last = written;
      return toldOf(await verifyRows(source, last.seq, wanted), last);
    },
    async *export(format, { sinceMs, untilMs } = {}) {
      const at = (ms: number): string => new Date(ms).toISOString();
      const [first] =
        sinceMs === undefined ? [] : store.all<{ seq: number | null }>('select min(seq) as seq from audit where at >= ?', at(sinceMs));
      const [last] =
        untilMs === undefined ? [] : store.all<{ seq: number | null }>('select max(seq) as seq from audit where at <= ?', at(untilMs));
      const anchor = anchorNow();
      const from = sinceMs === undefined ? anchor.seq : (first?.seq ?? written.seq + 1) - 1;
      const to = untilMs === undefined ? written.seq : (last?.seq ?? from);
      const [start = anchor] = from === anchor.seq ? [anchor] : store.all<Place>('select seq, hash from audit where seq = ?', from);
      let end: Place = start;
      yield { text: format === 'csv' ? csvHead : `${headLine(start)}\n` };
      for await (const rows of rowsAfter(from, to)) {
        end = rows.at(-1) ?? end;
        yield { text: rows.map(format === 'csv' ? csvLine : (row) => `${lineOf(row)}\n`).join('') };
      }
      yield { text: '', head: { seq: end.seq, hash: end.hash } };
    },
    keep(ageMs) {
      keepMs = ageMs;
      prune();
      daily ??= setInterval(prune, dayMs).unref();
    },
    waiting: () => ({ entries: waiting.length, lost }),
    stop() {
      tellExcess(Number.POSITIVE_INFINITY);
      if (waiting.length > 0) catchUp();
      clearInterval(retry);
      clearInterval(daily);
    },
  };
}
