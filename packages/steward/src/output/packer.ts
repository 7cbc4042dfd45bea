/**
 * Packs one rotated file of a log beside it, at the lowest priority: `node packer.ts JOB`, a job as JSON. Ends with 0 when the
 * packed copy and its table are whole; the plain file is not touched, whoever kills this process and when.
 */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { setPriority } from 'node:os';
import { frameBytes, type Packing, packFrame, tableOf } from './segments.ts';

export interface PackJob {
  readonly path: string;
  /** The file may have another name by now: then there is nothing to do. */
  readonly inode: number;
  readonly packing: Packing;
  readonly temporary: string;
  readonly table: string;
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
}

/** Packs a file frame by frame; where each begins in the one and in the other, and where both end. */
function packFile(from: number, to: number, packing: Packing): [number, number][] {
  const frames: [number, number][] = [];
  const buffer = Buffer.alloc(frameBytes);
  let packedAt = 0;
  for (let at = 0; ; ) {
    frames.push([at, packedAt]);
    const count = readSync(from, buffer, 0, frameBytes, at);
    if (count === 0) return frames;
    const frame = packFrame(buffer.subarray(0, count), packing);
    writeAll(to, frame);
    at += count;
    packedAt += frame.length;
  }
}

function pack({ path, inode, packing, temporary, table }: PackJob): number {
  const from = openSync(path, 'r');
  const stat = fstatSync(from);
  if (stat.ino !== inode) return 1;
  rmSync(temporary, { force: true });
  const to = openSync(temporary, 'wx', 0o600);
  try {
    writeFileSync(table, tableOf(inode, packFile(from, to, packing)), { mode: 0o600 });
    fchmodSync(to, stat.mode & 0o7777);
    fchownSync(to, stat.uid, stat.gid);
    futimesSync(to, stat.atime, stat.mtime);
    fsyncSync(to); // the plain file is deleted next
    closeSync(to);
    return 0;
  } catch (error) {
    rmSync(temporary, { force: true });
    rmSync(table, { force: true });
    throw error;
  }
}

setPriority(19);
process.exitCode = pack(JSON.parse(process.argv[2] ?? '') as PackJob);
