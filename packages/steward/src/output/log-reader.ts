/**
 * Reading logs back: the last lines, the lines since a time, and what came after a place read before, over rotated files
 * as well. A place is an inode and an offset, so it stays right when the file is renamed.
 */
import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { readIndex } from './index-file.ts';

export interface LogLine {
  /** When it arrived, epoch milliseconds; 0 when unknown. */
  readonly timeMs: number;
  readonly text: string;
}

/** Where reading goes on. */
export interface Place {
  readonly inode: number;
  readonly offset: number;
}

interface Segment {
  readonly path: string;
  readonly inode: number;
  readonly size: number;
}

const chunkBytes = 256 * 1024;
const newline = 10;
/** A line longer than this is cut into pieces, so that no reader's memory depends on what a program writes. */
const longestLine = 64 * 1024;

/** A log that cannot be looked at, for whatever reason, reads as none: one bad path must not hide the others. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** The files of a log, oldest first. */
export function segmentsOf(file: string): Segment[] {
  const found: Segment[] = [];
  for (let number = 0; ; number++) {
    const path = number === 0 ? file : `${file}.${number}`;
    const stat = statOf(path);
    if (stat?.isFile()) found.unshift({ path, inode: stat.ino, size: stat.size });
    else if (number > 0) return found;
  }
}

/** `length` bytes at `offset`, fewer at the end; none when the file is gone or is another one by now. */
function readAt(segment: Segment, offset: number, length: number): Buffer {
  let fd: number;
  try {
    fd = openSync(segment.path, 'r');
  } catch {
    return Buffer.alloc(0);
  }
  try {
    if (fstatSync(fd).ino !== segment.inode) return Buffer.alloc(0);
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
  } finally {
    closeSync(fd);
  }
}

/** Splits at newlines; what follows the last one is a line only when `final` or too long to wait for. */
function splitLines(bytes: Buffer, offset: number, timeAt: (offset: number) => number, final: boolean): { lines: LogLine[]; used: number } {
  const lines: LogLine[] = [];
  let start = 0;
  const push = (end: number, next: number): void => {
    const text = bytes.toString('utf8', start, end > start && bytes[end - 1] === 13 ? end - 1 : end);
    lines.push({ timeMs: timeAt(offset + start), text });
    start = next;
  };
  for (;;) {
    const end = bytes.indexOf(newline, start);
    if (end !== -1 && end - start <= longestLine) push(end, end + 1);
    else if ((end === -1 ? bytes.length : end) - start > longestLine) push(start + longestLine, start + longestLine);
    else break;
  }
  if (final && start < bytes.length) push(bytes.length, bytes.length);
  return { lines, used: start };
}

/** The offset at which the last `count` lines of a segment begin, and how many lines that really is. */
function tailOffset(segment: Segment, count: number): { offset: number; lines: number } {
  let lines = 0;
  let end = segment.size;
  while (end > 0) {
    const from = Math.max(0, end - chunkBytes);
    const bytes = readAt(segment, from, end - from);
    for (let at = bytes.length - 1; at >= 0; at--) {
      if (bytes[at] !== newline || from + at === segment.size - 1) continue;
      lines += 1;
      if (lines === count) return { offset: from + at + 1, lines };
    }
    end = from;
  }
  return { offset: 0, lines: segment.size === 0 ? 0 : lines + 1 };
}

function tailPlace(segments: readonly Segment[], count: number): Place | undefined {
  let missing = count;
  let place: Place | undefined;
  for (const segment of segments.toReversed()) {
    if (missing <= 0) break;
    const { offset, lines } = tailOffset(segment, missing);
    place = { inode: segment.inode, offset };
    missing -= lines;
  }
  return place;
}

function sincePlace(segments: readonly Segment[], folder: string, sinceMs: number): Place | undefined {
  for (const segment of segments) {
    const offset = readIndex(folder, segment.inode).offsetAt(sinceMs);
    if (offset < segment.size) return { inode: segment.inode, offset };
  }
  const last = segments.at(-1);
  return last && { inode: last.inode, offset: last.size };
}

/** Where to begin for the last `lines` lines, or for what arrived since `sinceMs`; undefined when there is no log yet. */
export function placeFor(file: string, indexFolder: string, wanted: { lines: number } | { sinceMs: number }): Place | undefined {
  const segments = segmentsOf(file);
  if ('sinceMs' in wanted) return sincePlace(segments, indexFolder, wanted.sinceMs);
  const last = segments.at(-1);
  return wanted.lines === 0 ? last && { inode: last.inode, offset: last.size } : tailPlace(segments, wanted.lines);
}

export interface Stretch {
  readonly lines: readonly LogLine[];
  /** Where to go on. */
  readonly place: Place | undefined;
  /** More is there already. */
  readonly more: boolean;
}

/**
 * The lines from `place` on (from the oldest when undefined or when that file is gone), at most about 256 KB of them.
 * `final` also gives back a last line that has no newline yet.
 */
export function readFrom(file: string, indexFolder: string, place: Place | undefined, final: boolean): Stretch {
  const segments = segmentsOf(file);
  const known = segments.findIndex((segment) => segment.inode === place?.inode);
  const at = known === -1 ? 0 : known;
  const segment = segments[at];
  if (segment === undefined) return { lines: [], place, more: false };
  const offset = known === -1 || place === undefined || place.offset > segment.size ? 0 : place.offset;
  const bytes = readAt(segment, offset, Math.min(chunkBytes, segment.size - offset));
  const isLast = at === segments.length - 1;
  const reachesEnd = offset + bytes.length >= segment.size;
  const { lines, used } = splitLines(
    bytes,
    offset,
    readIndex(indexFolder, segment.inode).between(offset, offset + bytes.length),
    reachesEnd && (final || !isLast),
  );
  const next = offset + used;
  if (!isLast && next >= segment.size) {
    const following = segments[at + 1] as Segment;
    return { lines, place: { inode: following.inode, offset: 0 }, more: true };
  }
  return { lines, place: { inode: segment.inode, offset: next }, more: !reachesEnd && used > 0 };
}
