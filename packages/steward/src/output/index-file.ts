/**
 * When the lines of a log arrived. The log itself holds exactly the bytes the program wrote; beside it, in Steward's own
 * folder, records say "what starts at this offset came at this time". A record is written before its bytes are moved, so
 * every byte has one; records less than a millisecond apart share one.
 *
 * The index is found by the inode of the log, so rotation renames one file only and can be interrupted anywhere.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** offset and epoch milliseconds, both as doubles: exact to 2^53. */
const recordBytes = 16;

export const indexPath = (folder: string, inode: number): string => join(folder, `${inode}.idx`);

export interface IndexWriter {
  /** Says that what comes at `offset` arrives at `timeMs` (epoch). */
  mark(offset: number, timeMs: number): void;
  close(): void;
}

/** `fresh` empties what an earlier file with the same inode may have left. */
export function openIndex(folder: string, inode: number, fresh: boolean): IndexWriter {
  const fd = openSync(indexPath(folder, inode), fresh ? 'w' : 'a', 0o600);
  const record = Buffer.alloc(recordBytes);
  let last = 0;
  return {
    mark(offset, timeMs) {
      if (Math.abs(timeMs - last) < 1) return; // a clock may also be set back
      last = timeMs;
      record.writeDoubleLE(offset, 0);
      record.writeDoubleLE(timeMs, 8);
      writeSync(fd, record);
    },
    close: () => closeSync(fd),
  };
}

/** The times of one log, read as far as they are asked for: an index may be long, a question is about a few lines of it. */
export interface TimeIndex {
  /** When what stands at an offset between `from` and `to` arrived, epoch milliseconds; 0 when unknown. */
  between(from: number, to: number): (offset: number) => number;
  /** Where what arrived at or after `timeMs` begins; Infinity when nothing did. */
  offsetAt(timeMs: number): number;
}

const offsetField = 0;
const timeField = 8;

/** The number of leading records, in order, for which `isBefore` holds. */
function countWhile(count: number, isBefore: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Opens the index at `path` for one question; what it says when there is none is `otherwise`. */
function ask<T>(path: string, otherwise: T, question: (count: number, read: (index: number, records: number) => Buffer) => T): T {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return otherwise;
  }
  try {
    const count = Math.floor(fstatSync(fd).size / recordBytes);
    return question(count, (index, records) => {
      const buffer = Buffer.alloc(records * recordBytes);
      return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, index * recordBytes));
    });
  } finally {
    closeSync(fd);
  }
}

/** The index of the log with this inode; a log without one has no times and is read whole. */
export function readIndex(folder: string, inode: number): TimeIndex {
  const path = indexPath(folder, inode);
  return {
    between(from, to) {
      const records = ask(path, Buffer.alloc(0), (count, read) => {
        const field = (index: number): number => read(index, 1).readDoubleLE(offsetField);
        const first = Math.max(0, countWhile(count, (index) => field(index) <= from) - 1);
        return read(first, countWhile(count, (index) => field(index) <= to) - first);
      });
      const count = Math.floor(records.length / recordBytes);
      return (offset) => {
        const found = countWhile(count, (index) => records.readDoubleLE(index * recordBytes + offsetField) <= offset);
        return found === 0 ? 0 : records.readDoubleLE((found - 1) * recordBytes + timeField);
      };
    },
    offsetAt: (timeMs) =>
      ask(path, 0, (count, read) => {
        const found = countWhile(count, (index) => read(index, 1).readDoubleLE(timeField) < timeMs);
        return found === count ? Number.POSITIVE_INFINITY : read(found, 1).readDoubleLE(offsetField);
      }),
  };
}
