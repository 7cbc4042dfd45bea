/**
 * A log file that is written to: where its end is, when it rotates, and what happens when somebody else moves, truncates
 * or deletes it. Bytes come straight out of a pipe, so a file never holds a half of what left the pipe.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { copyPipe, EINVAL, moveToFile } from '../kernel/kernel.ts';
import { type IndexWriter, indexPath, openIndex } from './index-file.ts';

export interface SinkSpec {
  readonly file: string;
  /** Rotate at the first line end past this; 0 never. */
  readonly maxBytes: number;
  readonly keep: number;
}

export interface Sink {
  readonly size: number;
  /** Moves what is in `pipe`, at most `maxBytes`. Bytes moved; -errno when the file cannot be written (nothing is lost then). */
  take(pipe: number, maxBytes: number, nowMs: number): number;
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

const exists = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

/**
 * Renames file → file.1 → file.2 …, up to the first gap, so that an interrupted rotation loses no file. What would be
 * number keep+1 is deleted with its index.
 */
function shift(file: string, keep: number, indexFolder: string): void {
  let gap = 1;
  while (gap <= keep && exists(`${file}.${gap}`)) gap += 1;
  const dropped = gap > keep ? (keep === 0 ? file : `${file}.${keep}`) : undefined;
  if (dropped !== undefined) {
    rmSync(indexPath(indexFolder, statSync(dropped).ino), { force: true });
    rmSync(dropped);
  }
  for (let to = Math.min(gap, keep); to >= 1; to -= 1) renameSync(to === 1 ? file : `${file}.${to - 1}`, `${file}.${to}`);
}

/** @throws when the file cannot be opened, for instance for want of a right. */
export function openSink(first: SinkSpec, indexFolder: string, scratch: Scratch): Sink {
  let spec = first;
  let fd = -1;
  let inode = 0;
  let size = 0;
  let index: IndexWriter;
  let lookedAt = 0;

  function open(): void {
    mkdirSync(dirname(spec.file), { recursive: true, mode: 0o755 });
    fd = openSync(spec.file, constants.O_RDWR | constants.O_CREAT, 0o644);
    const stat = fstatSync(fd);
    inode = stat.ino;
    size = stat.size;
    index = openIndex(indexFolder, inode, size === 0);
  }

  function close(): void {
    closeSync(fd);
    index.close();
  }

  /** Follows what others did to the file: its true size always, its name once a second. */
  function follow(nowMs: number): void {
    const now = fstatSync(fd).size;
    if (now < size) {
      index.close(); // somebody emptied the file: offsets begin again
      index = openIndex(indexFolder, inode, true);
    }
    size = now;
    if (nowMs - lookedAt < 1000) return;
    lookedAt = nowMs;
    if (statSync(spec.file, { throwIfNoEntry: false })?.ino === inode) return;
    close();
    open();
  }

  function endsLine(): boolean {
    if (size === 0) return true;
    const last = Buffer.alloc(1);
    readSync(fd, last, 0, 1, size - 1);
    return last[0] === newline;
  }

  function rotate(): void {
    shift(spec.file, spec.keep, indexFolder);
    close();
    open();
  }

  const isFull = (): boolean => spec.maxBytes > 0 && size >= spec.maxBytes;

  /** The most that may be moved at once without writing far past the limit or across a line end that rotates. */
  function room(pipe: number, maxBytes: number): number {
    if (spec.maxBytes === 0) return maxBytes;
    return isFull() ? restOfLine(pipe, scratch) : Math.min(maxBytes, Math.max(4096, spec.maxBytes - size));
  }

  open();
  return {
    get size() {
      return size;
    },
    take(pipe, maxBytes, nowMs) {
      follow(nowMs);
      if (isFull() && endsLine()) rotate();
      const wanted = room(pipe, maxBytes);
      if (wanted <= 0) return wanted;
      index.mark(size, nowMs);
      const moved = move(pipe, fd, size, wanted, scratch);
      if (moved > 0) size += moved;
      return moved;
    },
    note(text, nowMs) {
      size = fstatSync(fd).size;
      index.mark(size, nowMs);
      size += writeSync(fd, `${endsLine() ? '' : '\n'}${text}\n`, size);
    },
    retune: (next) => {
      spec = { ...next, file: spec.file };
    },
    close,
  };
}
