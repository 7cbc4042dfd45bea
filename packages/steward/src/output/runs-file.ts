/**
 * Which run of a program wrote what. Beside a log, records say "what starts at this offset is of this run", and where a run
 * started and ended. A run that goes on in a new file (after a rotation) has a record at its beginning.
 */
import { askRecords, countWhile, openRecords } from './index-file.ts';
import { runsPath } from './segments.ts';

export interface RunRecord {
  /** `continues` says whose the text is from here on; the others also that a process started or ended. */
  readonly kind: 'continues' | 'started' | 'exited';
  readonly offset: number;
  /** Epoch ms. */
  readonly timeMs: number;
  /** At most 24 bytes of ASCII. */
  readonly run: string;
  readonly pid: number;
  /** How it ended; both null when nobody can know, and for the other kinds. */
  readonly code: number | null;
  readonly signal: number | null;
}

const kinds = ['continues', 'started', 'exited'] as const;
const runBytes = 24;
/** Offset, time, pid, code, signal (-1 for none), kind, length of the run and the run. */
export const runRecordBytes = 64;
const field = { offset: 0, time: 8, pid: 16, code: 20, signal: 24, kind: 28, length: 29, run: 32 } as const;

export function encodeRun({ kind, offset, timeMs, run, pid, code, signal }: RunRecord): Buffer {
  const bytes = Buffer.alloc(runRecordBytes);
  bytes.writeDoubleLE(offset, field.offset);
  bytes.writeDoubleLE(timeMs, field.time);
  bytes.writeInt32LE(pid, field.pid);
  bytes.writeInt32LE(code ?? -1, field.code);
  bytes.writeInt32LE(signal ?? -1, field.signal);
  bytes.writeUInt8(kinds.indexOf(kind), field.kind);
  bytes.writeUInt8(bytes.write(run, field.run, runBytes, 'latin1'), field.length);
  return bytes;
}

export function decodeRun(bytes: Buffer, at = 0): RunRecord {
  const given = (where: number): number | null => {
    const value = bytes.readInt32LE(at + where);
    return value === -1 ? null : value;
  };
  return {
    kind: kinds[bytes.readUInt8(at + field.kind)] ?? 'continues',
    offset: bytes.readDoubleLE(at + field.offset),
    timeMs: bytes.readDoubleLE(at + field.time),
    run: bytes.toString('latin1', at + field.run, at + field.run + Math.min(runBytes, bytes.readUInt8(at + field.length))),
    pid: bytes.readInt32LE(at + field.pid),
    code: given(field.code),
    signal: given(field.signal),
  };
}

export interface RunsWriter {
  /** Bytes on the disk. */
  readonly size: number;
  /** The last record, also of an earlier keeper. */
  readonly last: RunRecord | undefined;
  write(record: RunRecord): void;
  /** Writes over the last one. */
  rewrite(record: RunRecord): void;
  close(): void;
}

export function openRuns(indexFolder: string, inode: number, fresh: boolean): RunsWriter {
  const records = openRecords(runsPath(indexFolder, inode), runRecordBytes, fresh);
  const found = records.last();
  let last = found && decodeRun(found);
  return {
    get size() {
      return records.count * runRecordBytes;
    },
    get last() {
      return last;
    },
    write(record) {
      records.write(encodeRun(record));
      last = record;
    },
    rewrite(record) {
      records.write(encodeRun(record), records.count - 1);
      last = record;
    },
    close: () => records.close(),
  };
}

/** The records of one file of a log, read as far as they are asked for. Their numbers begin at 0. */
export interface RunIndex {
  /** Records with a number of at least `first` whose offset is at most `offset`; at most `most` of them. */
  between(first: number, offset: number, most: number): RunRecord[];
  record(number: number): RunRecord | undefined;
  /** How many records lie before `offset`, or at it and before `timeMs`. */
  countBefore(offset: number, timeMs: number): number;
  count(): number;
}

export function readRuns(indexFolder: string, inode: number): RunIndex {
  const path = runsPath(indexFolder, inode);
  const ask = <T>(otherwise: T, question: Parameters<typeof askRecords<T>>[3]): T => askRecords(path, runRecordBytes, otherwise, question);
  return {
    between: (first, offset, most) =>
      ask<RunRecord[]>([], (count, read) => {
        const bytes = read(first, Math.max(0, Math.min(most, count - first)));
        return Array.from({ length: Math.floor(bytes.length / runRecordBytes) }, (_, at) => decodeRun(bytes, at * runRecordBytes)).filter(
          (record) => record.offset <= offset,
        );
      }),
    record: (number) =>
      ask<RunRecord | undefined>(undefined, (count, read) => (number < 0 || number >= count ? undefined : decodeRun(read(number, 1)))),
    countBefore: (offset, timeMs) =>
      ask(0, (count, read) =>
        countWhile(count, (at) => {
          const record = decodeRun(read(at, 1));
          return record.offset < offset || (record.offset === offset && record.timeMs < timeMs);
        }),
      ),
    count: () => ask(0, (count) => count),
  };
}
