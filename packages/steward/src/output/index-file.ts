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
      if (timeMs - last < 1) return;
      last = timeMs;
      record.writeDoubleLE(offset, 0);
      record.writeDoubleLE(timeMs, 8);
      writeSync(fd, record);
    },
    close: () => closeSync(fd),
  };
}

/** The times of one log. */
export interface TimeIndex {
  /** When the byte at `offset` arrived, epoch milliseconds; 0 when unknown. */
  timeAt(offset: number): number;
  /** Where what arrived at or after `timeMs` begins; Infinity when nothing did. */
  offsetAt(timeMs: number): number;
}

/** The number of records whose field at `at` (0 offset, 8 time) is below `bound`, or equal to it when `orEqual`. */
function countBelow(records: Buffer, at: number, bound: number, orEqual: boolean): number {
  let low = 0;
  let high = Math.floor(records.length / recordBytes);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const value = records.readDoubleLE(middle * recordBytes + at);
    if (value < bound || (orEqual && value === bound)) low = middle + 1;
    else high = middle;
  }
  return low;
}

const noTimes: TimeIndex = { timeAt: () => 0, offsetAt: () => 0 };

/** Reads the index of the log with this inode; a log without one has no times and is read whole. */
export function readIndex(folder: string, inode: number): TimeIndex {
  let fd: number;
  try {
    fd = openSync(indexPath(folder, inode), 'r');
  } catch {
    return noTimes;
  }
  const records = Buffer.alloc(fstatSync(fd).size);
  readSync(fd, records, 0, records.length, 0);
  closeSync(fd);
  return {
    timeAt(offset) {
      const count = countBelow(records, 0, offset, true);
      return count === 0 ? 0 : records.readDoubleLE((count - 1) * recordBytes + 8);
    },
    offsetAt(timeMs) {
      const count = countBelow(records, 8, timeMs, false);
      return (count + 1) * recordBytes > records.length ? Number.POSITIVE_INFINITY : records.readDoubleLE(count * recordBytes);
    },
  };
}
