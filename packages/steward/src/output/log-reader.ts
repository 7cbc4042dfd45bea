/**
 * Reading logs back: the last lines, the lines since a time or of a run, and what came after a place read before, over
 * rotated and packed files as well. A place is an inode and an offset, and when that file began: so it stays right when the
 * file is renamed or packed, and is not taken for a new file that got the same inode.
 */
import { readIndex } from './index-file.ts';
import { type RunRecord, readRuns } from './runs-file.ts';
import { indexFolderOf, readSegment, type Segment, segmentsOf } from './segments.ts';

export interface LogLine {
  /** When it arrived, epoch milliseconds; 0 when unknown. */
  readonly timeMs: number;
  readonly text: string;
  /** The run that wrote it and its process; empty and 0 when unknown. */
  readonly run: string;
  readonly pid: number;
}

/** A run started or ended before line number `before` of a stretch. */
export interface RunMark extends Omit<RunRecord, 'offset' | 'kind'> {
  readonly kind: 'started' | 'exited';
  readonly before: number;
}

/** Where reading goes on. */
export interface Place {
  readonly inode: number;
  readonly offset: number;
  /** When the file began, epoch ms; 0 when unknown. */
  readonly bornMs: number;
  /** How many of its records of runs are behind. */
  readonly runs: number;
}

/** Where to begin: the last lines (that came by `untilMs`), what came since a time, or the lines of a run. */
export type Beginning =
  | { readonly lines: number; readonly untilMs?: number | undefined }
  | { readonly sinceMs: number }
  | { readonly run: string };

/** What one look at a log reads at most. */
export const stretchBytes = 256 * 1024;
const newline = 10;
/** A line longer than this is cut into pieces, so that no reader's memory depends on what a program writes. */
const longestLine = 64 * 1024;
/** The least that a stretch may be: a longest line and its end. */
export const leastStretchBytes = 80 * 1024;
const mostRecords = 4096;
/** A file may be renamed, packed or deleted between the look for it and its opening. */
const tries = 4;

interface Cut {
  /** Where a line begins, whether there is a newline or not: what one run left unfinished is not the beginning of the next run's line. */
  readonly offset: number;
  readonly run: string;
  readonly pid: number;
}

interface Split {
  readonly lines: LogLine[];
  /** Where each of them begins. */
  readonly starts: number[];
  readonly used: number;
}

/** Splits at newlines and cuts; what follows the last one is a line only when `final` or too long to wait for. */
function splitLines(bytes: Buffer, offset: number, timeAt: (offset: number) => number, cuts: readonly Cut[], final: boolean): Split {
  const lines: LogLine[] = [];
  const starts: number[] = [];
  let start = 0;
  let cut = 0;
  const push = (end: number, next: number): void => {
    while ((cuts[cut + 1]?.offset ?? Number.POSITIVE_INFINITY) <= offset + start) cut += 1;
    const { run = '', pid = 0 } = cuts[cut] ?? {};
    const text = bytes.toString('utf8', start, end > start && bytes[end - 1] === 13 ? end - 1 : end);
    lines.push({ timeMs: timeAt(offset + start), text, run, pid });
    starts.push(offset + start);
    start = next;
  };
  const nextCut = (): number => {
    let at = cut;
    while (at < cuts.length && (cuts[at] as Cut).offset <= offset + start) at += 1;
    return (cuts[at]?.offset ?? Number.POSITIVE_INFINITY) - offset;
  };
  for (;;) {
    const found = bytes.indexOf(newline, start);
    const stop = Math.min(found === -1 ? Number.POSITIVE_INFINITY : found, nextCut());
    if (stop <= bytes.length && stop - start <= longestLine) push(stop, stop === found ? stop + 1 : stop);
    else if (Math.min(stop, bytes.length) - start > longestLine) push(start + longestLine, start + longestLine);
    else break;
  }
  if (final && start < bytes.length) push(bytes.length, bytes.length);
  return { lines, starts, used: start };
}

/** The offset at which the last `count` lines before `end` begin, and how many lines that really is. */
function tailOffset(segment: Segment, indexFolder: string, count: number, end: number): { offset: number; lines: number } {
  let lines = 0;
  for (let to = end; to > 0; ) {
    const from = Math.max(0, to - stretchBytes);
    const bytes = readSegment(segment, indexFolder, from, to - from) ?? Buffer.alloc(0);
    for (let at = bytes.lastIndexOf(newline); at >= 0; at = at === 0 ? -1 : bytes.lastIndexOf(newline, at - 1)) {
      if (from + at === end - 1) continue;
      lines += 1;
      if (lines === count) return { offset: from + at + 1, lines };
    }
    to = from;
  }
  return { offset: 0, lines: end === 0 ? 0 : lines + 1 };
}

const placeIn = (segment: Segment, indexFolder: string, offset: number, runs: number): Place => ({
  inode: segment.inode,
  offset,
  bornMs: readIndex(indexFolder, segment.inode).bornMs(),
  runs,
});

const endOf = (segment: Segment, indexFolder: string): Place =>
  placeIn(segment, indexFolder, segment.size, readRuns(indexFolder, segment.inode).count());

function tailPlace(segments: readonly Segment[], indexFolder: string, count: number, untilMs: number | undefined): Place | undefined {
  let missing = count;
  let place: Place | undefined;
  for (const segment of segments.toReversed()) {
    if (missing <= 0) break;
    const end = untilMs === undefined ? segment.size : Math.min(segment.size, readIndex(indexFolder, segment.inode).offsetAt(untilMs + 1));
    const { offset, lines } = tailOffset(segment, indexFolder, missing, end);
    place = placeIn(segment, indexFolder, offset, readRuns(indexFolder, segment.inode).countBefore(offset, 0));
    missing -= lines;
  }
  return place;
}

function sincePlace(segments: readonly Segment[], indexFolder: string, sinceMs: number): Place | undefined {
  for (const segment of segments) {
    const offset = readIndex(indexFolder, segment.inode).offsetAt(sinceMs);
    if (offset < segment.size)
      return placeIn(segment, indexFolder, offset, readRuns(indexFolder, segment.inode).countBefore(offset, sinceMs));
  }
  const last = segments.at(-1);
  return last && placeIn(last, indexFolder, last.size, readRuns(indexFolder, last.inode).countBefore(last.size, sinceMs));
}

/** Records of all files in their order, or backwards, with the file they are of. */
function* recordsOf(segments: readonly Segment[], indexFolder: string, order: 'oldest first' | 'newest first') {
  for (const segment of order === 'oldest first' ? segments : segments.toReversed()) {
    const runs = readRuns(indexFolder, segment.inode);
    const count = runs.count();
    for (let done = 0; done < count; done += mostRecords) {
      const first = order === 'oldest first' ? done : Math.max(0, count - done - mostRecords);
      const part = runs.between(first, Number.POSITIVE_INFINITY, Math.min(mostRecords, count - done));
      const numbered = part.map((record, index) => ({ record, number: first + index, segment }));
      yield* order === 'oldest first' ? numbered : numbered.reverse();
    }
  }
}

function runPlace(segments: readonly Segment[], indexFolder: string, run: string): Place | undefined {
  for (const { record, number, segment } of recordsOf(segments, indexFolder, 'oldest first'))
    if (record.run.startsWith(run)) return placeIn(segment, indexFolder, record.offset, number);
  const last = segments.at(-1);
  return last && endOf(last, indexFolder);
}

/** Whether a log knows of a run whose id begins with `run`. */
export const hasRun = (file: string, folder: string, run: string): boolean =>
  recordsOf(segmentsOf(file, folder), indexFolderOf(folder, file), 'newest first').some(({ record }) => record.run.startsWith(run));

/** The last runs that a log knows of, newest first. */
export function lastRuns(file: string, folder: string, count: number): string[] {
  const found: string[] = [];
  for (const { record } of recordsOf(segmentsOf(file, folder), indexFolderOf(folder, file), 'newest first')) {
    if (!found.includes(record.run)) found.push(record.run);
    if (found.length === count) break;
  }
  return found;
}

/** Where to begin; undefined when there is no log yet. */
export function placeFor(file: string, folder: string, wanted: Beginning): Place | undefined {
  const segments = segmentsOf(file, folder);
  const indexFolder = indexFolderOf(folder, file);
  if ('sinceMs' in wanted) return sincePlace(segments, indexFolder, wanted.sinceMs);
  if ('run' in wanted) return runPlace(segments, indexFolder, wanted.run);
  const last = segments.at(-1);
  if (wanted.lines === 0) return last && endOf(last, indexFolder);
  return tailPlace(segments, indexFolder, wanted.lines, wanted.untilMs);
}

export interface Stretch {
  readonly lines: readonly LogLine[];
  /** Starts and ends of runs between them. */
  readonly marks: readonly RunMark[];
  /** Where to go on. */
  readonly place: Place | undefined;
  /** More is there already. */
  readonly more: boolean;
}

interface From {
  readonly at: number;
  readonly offset: number;
  readonly runs: number;
  /** The file of the place is not there any more, or holds other lines now. */
  readonly isGone?: true;
}

/** Where a place is now. That of a file that is gone, or was emptied, is the beginning of the first file that is newer. */
function locate(segments: readonly Segment[], indexFolder: string, place: Place | undefined): From {
  if (place === undefined) return { at: 0, offset: 0, runs: 0 };
  const { inode, offset, bornMs, runs } = place;
  const bornOf = (segment: Segment): number => readIndex(indexFolder, segment.inode).bornMs();
  const at = segments.findIndex((segment) => {
    if ((segment.inode !== inode && segment.origin !== inode) || offset > segment.size) return false;
    const born = bornOf(segment);
    return bornMs === 0 || born === 0 || born === bornMs;
  });
  if (at !== -1) return { at, offset, runs };
  const newer = segments.findIndex((segment) =>
    bornMs === 0 ? segment.inode === inode : bornOf(segment) > bornMs || (segment.number === 0 && segment.size === 0),
  );
  if (newer !== -1) return { at: newer, offset: 0, runs: 0, isGone: true };
  const last = segments.length - 1;
  return { ...(bornMs === 0 ? { at: 0, offset: 0 } : { at: last, offset: segments[last]?.size ?? 0 }), runs: 0, isGone: true };
}

export interface Backlog {
  /** Bytes of the log behind a place. */
  readonly bytes: number;
  readonly isGone: boolean;
  /** The place itself, or where reading goes on when it is gone. */
  readonly from: Place | undefined;
}

/** What a reader that stands at `place` has before it. */
export function backlogOf(file: string, folder: string, place: Place | undefined): Backlog {
  const segments = segmentsOf(file, folder);
  const indexFolder = indexFolderOf(folder, file);
  const { at, offset, runs, isGone = false } = locate(segments, indexFolder, place);
  const rest = segments.slice(at);
  const bytes = rest.reduce((sum, { size }) => sum + size, 0) - offset;
  return { bytes, isGone, from: isGone && rest[0] ? placeIn(rest[0], indexFolder, offset, runs) : place };
}

/**
 * The lines from `place` on (from the oldest when undefined), at most about `mostBytes` of them. `final` also gives back a
 * last line that has no newline yet.
 */
export function readFrom(file: string, folder: string, place: Place | undefined, final: boolean, mostBytes = stretchBytes): Stretch {
  const indexFolder = indexFolderOf(folder, file);
  for (let tried = 1; ; tried++) {
    const segments = segmentsOf(file, folder);
    const from = locate(segments, indexFolder, place);
    const segment = segments[from.at];
    if (segment === undefined) return { lines: [], marks: [], place, more: false };
    const bytes = readSegment(segment, indexFolder, from.offset, Math.min(mostBytes, segment.size - from.offset));
    if (bytes !== undefined) return stretchOf(segments, from, indexFolder, bytes, final);
    if (tried < tries) continue;
    const next = segments[from.at + 1];
    return { lines: [], marks: [], place: next ? placeIn(next, indexFolder, 0, 0) : place, more: next !== undefined };
  }
}

function stretchOf(segments: readonly Segment[], { at, offset, runs }: From, indexFolder: string, all: Buffer, final: boolean): Stretch {
  const segment = segments[at] as Segment;
  const index = readRuns(indexFolder, segment.inode);
  const records = index.between(runs, offset + all.length, mostRecords);
  const isCut = records.length === mostRecords;
  const bytes = isCut ? all.subarray(0, Math.max(0, (records.at(-1) as RunRecord).offset - offset)) : all;
  const following = segments[at + 1];
  const reachesEnd = !isCut && offset + bytes.length >= segment.size;
  const timeAt = readIndex(indexFolder, segment.inode).between(offset, offset + bytes.length);
  const before = index.record(runs - 1);
  const cuts = [...(before ? [before] : []), ...records];
  const { lines, starts, used } = splitLines(bytes, offset, timeAt, cuts, reachesEnd && (final || following !== undefined));
  const next = offset + used;
  const behind = records.filter((record) => record.offset <= next);
  const marks = behind.flatMap(({ kind, offset: where, ...rest }): RunMark[] => {
    if (kind === 'continues') return [];
    const after = starts.findIndex((start) => start >= where);
    return [{ ...rest, kind, before: after === -1 ? lines.length : after }];
  });
  if (following !== undefined && next >= segment.size && !isCut)
    return { lines, marks, place: placeIn(following, indexFolder, 0, 0), more: true };
  const goOn = placeIn(segment, indexFolder, next, runs + behind.length);
  return { lines, marks, place: goOn, more: isCut || (!reachesEnd && used > 0) };
}
