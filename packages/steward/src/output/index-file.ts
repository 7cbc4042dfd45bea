/**
 * When the lines of a log arrived. The log itself holds exactly the bytes the program wrote; beside it, in Steward's own
 * folder, records say "what starts at this offset came at this time". A record is written before its bytes are moved, so
 * every byte has one; records less than a millisecond apart share one.
 *
 * The index is found by the inode of the log, so rotation renames one file only and can be interrupted anywhere. Records
 * are written at their place: one that a full disk cut off is written over by the next.
 */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';

/** offset and epoch milliseconds, both as doubles: exact to 2^53. */
const recordBytes = 16;

export const indexPath = (folder: string, inode: number): string => join(folder, `${inode}.idx`);

export interface IndexWriter {
  /** Says that what comes at `offset` arrives at `timeMs` (epoch). */
  mark(offset: number, timeMs: number): void;
  close(): void;
}

/** A file of records of one size, which are added at its end. */
export interface RecordFile {
  readonly count: number;
  /** Writes record number `index`, by default a new one. @throws with errno ENOSPC when it does not fit on the disk. */
  write(record: Buffer, index?: number): void;
  /** The last record, if there is one. */
  last(): Buffer | undefined;
  close(): void;
}

/** `fresh` empties what an earlier log with the same inode may have left. */
export function openRecords(path: string, bytes: number, fresh: boolean): RecordFile {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | (fresh ? constants.O_TRUNC : 0), 0o600);
  let count = Math.floor(fstatSync(fd).size / bytes);
  return {
    get count() {
      return count;
    },
    write(record, index = count) {
      if (writeSync(fd, record, 0, bytes, index * bytes) < bytes)
        throw Object.assign(new Error(`no space for ${path}`), { errno: -os.errno.ENOSPC });
      count = Math.max(count, index + 1);
    },
    last() {
      const record = Buffer.alloc(bytes);
      return count > 0 && readSync(fd, record, 0, bytes, (count - 1) * bytes) === bytes ? record : undefined;
    },
    close: () => closeSync(fd),
  };
}

/** `fresh` empties what an earlier file with the same inode may have left. */
export function openIndex(folder: string, inode: number, fresh: boolean): IndexWriter {
  const records = openRecords(indexPath(folder, inode), recordBytes, fresh);
  const record = Buffer.alloc(recordBytes);
  let lastMs = 0;
  let lastOffset = -1;
  return {
    mark(offset, timeMs) {
      if (Math.abs(timeMs - lastMs) < 1) return; // a clock may also be set back
      record.writeDoubleLE(offset, 0);
      record.writeDoubleLE(timeMs, 8);
      // Nothing came after the last one (a disk that is full): a log that stands still does not make its index grow.
      if (offset === lastOffset) records.write(record, records.count - 1);
      else records.write(record);
      lastMs = timeMs;
      lastOffset = offset;
    },
    close: () => records.close(),
  };
}

/** The times of one log, read as far as they are asked for: an index may be long, a question is about a few lines of it. */
export interface TimeIndex {
  /** When what stands at an offset between `from` and `to` arrived, epoch milliseconds; 0 when unknown. */
  between(from: number, to: number): (offset: number) => number;
  /** Where what arrived at or after `timeMs` begins; Infinity when nothing did, 0 without an index. */
  offsetAt(timeMs: number): number;
  /** When the first byte arrived; 0 when unknown. It stays with a log that is renamed or packed. */
  bornMs(): number;
}

const offsetField = 0;
const timeField = 8;

/** The number of leading records, in order, for which `isBefore` holds. */
export function countWhile(count: number, isBefore: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBefore(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Opens the records at `path` for one question; what it says when there are none is `otherwise`. */
export function askRecords<T>(
  path: string,
  recordBytes: number,
  otherwise: T,
  question: (count: number, read: (index: number, records: number) => Buffer) => T,
): T {
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
      const records = askRecords(path, recordBytes, Buffer.alloc(0), (count, read) => {
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
      askRecords(path, recordBytes, 0, (count, read) => {
        const found = countWhile(count, (index) => read(index, 1).readDoubleLE(timeField) < timeMs);
        return found === count ? Number.POSITIVE_INFINITY : read(found, 1).readDoubleLE(offsetField);
      }),
    bornMs: () => askRecords(path, recordBytes, 0, (count, read) => (count === 0 ? 0 : read(0, 1).readDoubleLE(timeField))),
  };
}
