/**
 * A log file that is written to: where its end is, when it rotates, and what happens when somebody else moves, truncates
 * or deletes it. Bytes come straight out of a pipe, so a file never holds a half of what left the pipe.
 */
import { closeSync, constants, fstatSync, ftruncateSync, mkdirSync, readSync, rmdirSync, statSync, writeSync } from 'node:fs';
import { constants as os } from 'node:os';
import { dirname } from 'node:path';
import { copyPipe, EINVAL, moveToFile } from '../kernel/kernel.ts';
import { openTrusted, trustedPath } from '../kernel/trusted-open.ts';
import { type IndexWriter, openIndex, readIndex } from './index-file.ts';
import { isOver, type Rotation } from './period.ts';
import { openRuns, type RunRecord, type RunsWriter } from './runs-file.ts';
import { dropSegment, indexFolderOf, removeCopies, type Segment, segmentsOf, shiftSegments, sweepIndexes } from './segments.ts';

export interface SinkSpec {
  readonly file: string;
  /** Rotate at the first line end past this; 0 never. */
  readonly maxBytes: number;
  readonly keep: number;
  /** Rotate at the first line end of a new hour, day or week too. */
  readonly rotate?: Rotation;
  /** The most that all rotated files may take on the disk; the oldest go first. */
  readonly totalBytes?: number;
  /** Logs that have one cap for the rotated files of all of them. */
  readonly pool?: { readonly name: string; readonly bytes: number };
}

/** Who writes: a run and its process. */
export interface Writer {
  readonly run: string;
  readonly pid: number;
}

export interface Sink {
  readonly spec: SinkSpec;
  readonly size: number;
  /** What the rotated files take on the disk, as far as was seen at the last look. */
  readonly rotatedBytes: number;
  /** When the oldest rotated file was last written, epoch ms; Infinity when there is none. */
  readonly oldestMs: number;
  /** Moves what is in `pipe`, at most `maxBytes`. Bytes moved; -errno when the file cannot be written (nothing is lost then). */
  take(pipe: number, maxBytes: number, nowMs: number, writer: Writer | undefined): number;
  /** Writes down that a run has started: where its first byte is, or here. */
  started(writer: Writer, timeMs: number): void;
  /** Writes down that a run has ended here. */
  ended(exit: Pick<RunRecord, 'run' | 'pid' | 'code' | 'signal'>, nowMs: number): void;
  /** Who wrote last, also before this keeper. */
  readonly lastWriter: Writer | undefined;
  /** Looks at the rotated files again, and deletes what is over the cap of this log. */
  look(): void;
  dropOldest(): void;
  /** Adds a line of Steward's own. */
  note(text: string, nowMs: number): void;
  retune(spec: SinkSpec): void;
  close(): void;
}

/** The pipe that a look ahead goes through; one is enough, since a process does one thing at a time. */
export interface Scratch {
  readonly pipe: number;
  readonly buffer: Buffer;
}

const newline = 10;
/** Records of runs a log may have although it is smaller itself: 16,000 starts and ends. */
const mostRunsBytes = 1024 * 1024;

/** How many of the bytes waiting in `pipe` belong to the line that has begun: up to and with the first newline. */
function restOfLine(pipe: number, scratch: Scratch): number {
  const copied = copyPipe(pipe, scratch.pipe, scratch.buffer.length);
  if (copied <= 0) return copied;
  readWhole(scratch.pipe, scratch.buffer, copied);
  const at = scratch.buffer.subarray(0, copied).indexOf(newline);
  return at === -1 ? copied : at + 1;
}

/**
 * Moves bytes inside the kernel. Where that is not to be had (some network and FUSE file systems, devices such as /dev/full)
 * they are copied, and taken out of the pipe once they are written: a kill of this very process in between repeats them.
 */
function move(pipe: number, file: number, offset: number, maxBytes: number, scratch: Scratch): number {
  const moved = moveToFile(pipe, file, offset, maxBytes);
  return moved === -EINVAL ? copyToFile(pipe, file, offset, maxBytes, scratch) : moved;
}

/** Bytes copied and taken out of `pipe`, or -errno: then they are in it still. */
function copyToFile(pipe: number, file: number, offset: number, maxBytes: number, scratch: Scratch): number {
  const copied = copyPipe(pipe, scratch.pipe, Math.min(maxBytes, scratch.buffer.length));
  if (copied <= 0) return copied;
  readWhole(scratch.pipe, scratch.buffer, copied);
  let written = 0;
  try {
    while (written < copied) written += writeSync(file, scratch.buffer, written, copied - written, offset + written);
  } catch (error) {
    if (written === 0) return (error as { errno?: number }).errno ?? -EINVAL;
  }
  readWhole(pipe, scratch.buffer, written);
  return written;
}

function readWhole(pipe: number, into: Buffer, bytes: number): void {
  for (let filled = 0; filled < bytes; ) filled += readSync(pipe, into, filled, bytes - filled, null);
}

/** When the first byte of a file came; for one without an index, when it was last written. */
const beganAt = (indexFolder: string, inode: number, changedMs: number): number => readIndex(indexFolder, inode).bornMs() || changedMs;

/** @throws when the file cannot be opened, for instance for want of a right. */
export function openSink(first: SinkSpec, folder: string, scratch: Scratch, onRotated: (sink: Sink) => void): Sink {
  const { file } = first;
  const indexFolder = indexFolderOf(folder, file);
  let spec = first;
  let fd = -1;
  let inode = 0;
  let size = 0;
  let index: IndexWriter;
  let runs: RunsWriter;
  /** When its first byte came, epoch ms; undefined while it is empty. */
  let beganMs: number | undefined;
  let lookedAt = 0;
  /** Somebody gave it another name: it gets the rest of its last line still. */
  let isMoved = false;
  let rotated: Segment[] = [];

  /** Opens the file that has the name. What was open before is as it was when this throws. */
  function open(): void {
    mkdirSync(trustedPath(dirname(file)), { recursive: true, mode: 0o755 });
    mkdirSync(indexFolder, { recursive: true, mode: 0o700 });
    const opened = openTrusted(file, constants.O_RDWR | constants.O_CREAT, 0o644);
    try {
      const stat = fstatSync(opened);
      ({ index, runs } = openIndexes(stat.ino, stat.size === 0));
      ({ ino: inode, size } = stat);
      beganMs = size === 0 ? undefined : beganAt(indexFolder, inode, stat.mtimeMs);
    } catch (error) {
      closeSync(opened);
      throw error;
    }
    fd = opened;
    isMoved = false;
    look();
  }

  function openIndexes(of: number, fresh: boolean): { index: IndexWriter; runs: RunsWriter } {
    const times = openIndex(indexFolder, of, fresh);
    try {
      return { index: times, runs: openRuns(indexFolder, of, fresh) };
    } catch (error) {
      times.close();
      throw error;
    }
  }

  function close(): void {
    closeSync(fd);
    index.close();
    runs.close();
  }

  function look(): void {
    rotated = segmentsOf(file, folder).filter(({ number }) => number > 0);
    if (spec.totalBytes !== undefined) while (rotated.length > 0 && storedIn(rotated) > spec.totalBytes) dropOldest();
  }

  function dropOldest(): void {
    const oldest = rotated.shift();
    if (oldest !== undefined) dropSegment(oldest, folder, file);
  }

  /** Follows what others did to the file: its true size and whether it was deleted always, its name once a second. */
  function follow(nowMs: number): void {
    const stat = fstatSync(fd);
    if (stat.nlink === 0) return reopen();
    if (stat.size < size) {
      startOver(openIndexes(inode, true)); // somebody emptied the file: offsets begin again
    }
    size = stat.size;
    if (!isMoved && nowMs - lookedAt >= 1000) {
      lookedAt = nowMs;
      isMoved = statSync(file, { throwIfNoEntry: false })?.ino !== inode;
    }
    if (isMoved && endsLine()) reopen();
  }

  function startOver(next: { index: IndexWriter; runs: RunsWriter }): void {
    index.close();
    runs.close();
    ({ index, runs } = next);
    beganMs = undefined;
  }

  function reopen(): void {
    const before = { fd, index, runs };
    open();
    closeSync(before.fd);
    before.index.close();
    before.runs.close();
    sweepIndexes(file, folder);
  }

  function endsLine(): boolean {
    if (size === 0) return true;
    const last = Buffer.alloc(1);
    readSync(fd, last, 0, 1, size - 1);
    return last[0] === newline;
  }

  function rotate(): void {
    shiftSegments(file, spec.keep, folder);
    reopen();
    onRotated(sink);
  }

  /** Its records of runs count too: programs that start and end a thousand times and say little shall not fill the disk. */
  const isFull = (): boolean => spec.maxBytes > 0 && (size >= spec.maxBytes || runs.size >= Math.max(spec.maxBytes, mostRunsBytes));
  const isDue = (nowMs: number): boolean =>
    isFull() || (spec.rotate !== undefined && beganMs !== undefined && isOver(spec.rotate, beganMs, nowMs));

  /** The most that may be moved at once without writing far past the limit or across a line end that rotates. */
  function room(pipe: number, maxBytes: number, due: boolean): number {
    if (isMoved || due) return restOfLine(pipe, scratch);
    return spec.maxBytes === 0 ? maxBytes : Math.min(maxBytes, Math.max(4096, spec.maxBytes - size));
  }

  /** Says whose the text from here on is, when that is another than before. */
  function attribute({ run, pid }: Writer, nowMs: number): void {
    if (runs.last?.run !== run) runs.write({ kind: 'continues', offset: size, timeMs: nowMs, run, pid, code: null, signal: null });
  }

  removeCopies(file, folder);
  open();
  const sink: Sink = {
    get spec() {
      return spec;
    },
    get size() {
      return size;
    },
    get rotatedBytes() {
      return storedIn(rotated);
    },
    get oldestMs() {
      return rotated[0]?.changedMs ?? Number.POSITIVE_INFINITY;
    },
    take(pipe, maxBytes, nowMs, writer) {
      follow(nowMs);
      if (isDue(nowMs) && endsLine()) rotate();
      const wanted = room(pipe, maxBytes, isDue(nowMs));
      if (wanted <= 0) return wanted;
      index.mark(size, nowMs);
      if (writer !== undefined) attribute(writer, nowMs);
      const moved = move(pipe, fd, size, wanted, scratch);
      if (moved > 0) {
        size += moved;
        beganMs ??= nowMs;
      }
      return moved;
    },
    get lastWriter() {
      return runs.last && { run: runs.last.run, pid: runs.last.pid };
    },
    started({ run, pid }, timeMs) {
      const record = { kind: 'started', timeMs, run, pid, code: null, signal: null } as const;
      if (runs.last?.run === run && runs.last.kind === 'continues') return runs.rewrite({ ...record, offset: runs.last.offset });
      follow(timeMs);
      runs.write({ ...record, offset: size });
    },
    ended({ run, pid, code, signal }, nowMs) {
      follow(nowMs);
      runs.write({ kind: 'exited', offset: size, timeMs: nowMs, run, pid, code, signal });
      if (isFull() && endsLine()) rotate();
    },
    look,
    dropOldest,
    note(text, nowMs) {
      size = fstatSync(fd).size;
      index.mark(size, nowMs);
      const line = Buffer.from(`${endsLine() ? '' : '\n'}${text}\n`);
      const written = writeSync(fd, line, 0, line.length, size);
      if (written < line.length) {
        ftruncateSync(fd, size); // half a note would stand in the log for ever
        throw Object.assign(new Error('no room for a note'), { errno: -os.errno.ENOSPC });
      }
      size += written;
    },
    retune(next) {
      spec = { ...next, file };
      look();
    },
    close() {
      close();
      try {
        sweepIndexes(file, folder);
        rmdirSync(indexFolder);
      } catch {} // there is a log, so that its folder is not empty
    },
  };
  return sink;
}

const storedIn = (segments: readonly Segment[]): number => segments.reduce((sum, { stored }) => sum + stored, 0);
