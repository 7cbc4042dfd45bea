/**
 * The files of one log: the live one, and what it was before, `web.log.1` (plain) or `web.log.2.gz` (packed), the highest
 * number oldest. A packed file is made of frames that are packed one by one (gzip members, zstd frames: any gunzip or zstd
 * reads the whole), and a table beside the indexes says where each begins, so that reading a few lines unpacks a few frames.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { indexPath } from './index-file.ts';

export const packings = ['gzip', 'zstd'] as const;
export type Packing = (typeof packings)[number];

const endings: Readonly<Record<Packing, string>> = { gzip: '.gz', zstd: '.zst' };

/** How much of a log becomes one frame: what is unpacked to read a line. */
export const frameBytes = 512 * 1024;

/** Fast settings: they take a third of the time of the usual ones, and what they make of a log is a tenth larger. */
export const packFrame = (bytes: Buffer, packing: Packing): Buffer =>
  packing === 'gzip' ? gzipSync(bytes, { level: 3 }) : zstdCompressSync(bytes);

const unpackFrame = (bytes: Buffer, packing: Packing): Buffer => {
  const options = { maxOutputLength: 2 * frameBytes };
  return packing === 'gzip' ? gunzipSync(bytes, options) : zstdDecompressSync(bytes, options);
};

/** Steward's own folder for one log: when its lines came, which runs wrote them, and the tables of packed files. */
export const indexFolderOf = (folder: string, file: string): string =>
  join(folder, 'index', createHash('sha256').update(file).digest('hex').slice(0, 24));

export interface Segment {
  readonly path: string;
  /** 0 is the live file. */
  readonly number: number;
  readonly inode: number;
  /** What was in it before it was packed; the inode of a plain file is its own. */
  readonly origin: number;
  /** Bytes of the log in it. */
  readonly size: number;
  /** Bytes on the disk. */
  readonly stored: number;
  /** Epoch ms of the last change. */
  readonly changedMs: number;
  readonly packing?: Packing;
}

/** A log that cannot be looked at, for whatever reason, reads as none: one bad path must not hide the others. */
function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** The table of a packed file: pairs of doubles, where a frame begins in the log and in the file; the last pair is the end, and before all the inode the log had. */
const pairBytes = 16;

export function tableOf(origin: number, frames: readonly (readonly [number, number])[]): Buffer {
  const bytes = Buffer.alloc((frames.length + 1) * pairBytes);
  for (const [index, [a, b]] of [[origin, 0] as const, ...frames].entries()) {
    bytes.writeDoubleLE(a, index * pairBytes);
    bytes.writeDoubleLE(b, index * pairBytes + 8);
  }
  return bytes;
}

export const tablePath = (indexFolder: string, inode: number): string => join(indexFolder, `${inode}.pack`);

function readTable(indexFolder: string, inode: number): Buffer | undefined {
  try {
    const bytes = readFileSync(tablePath(indexFolder, inode));
    return bytes.length >= 2 * pairBytes ? bytes : undefined;
  } catch {
    return undefined;
  }
}

function plainSegment(path: string, number: number): Segment | undefined {
  const stat = statOf(path);
  if (!stat?.isFile()) return undefined;
  return { path, number, inode: stat.ino, origin: stat.ino, size: stat.size, stored: stat.size, changedMs: stat.mtimeMs };
}

function packedSegment(base: string, number: number, packing: Packing, indexFolder: string): Segment | undefined {
  const path = base + endings[packing];
  const stat = statOf(path);
  if (!stat?.isFile()) return undefined;
  const table = readTable(indexFolder, stat.ino);
  const size = table?.readDoubleLE(table.length - pairBytes) ?? 0; // without its table it counts, but is not read
  const origin = table?.readDoubleLE(0) ?? stat.ino;
  return { path, number, inode: stat.ino, origin, size, stored: stat.size, changedMs: stat.mtimeMs, packing };
}

/** The files of a log, oldest first. One that is packed and plain at once was being packed when that was broken off: the plain one counts. */
export function segmentsOf(file: string, folder: string): Segment[] {
  const indexFolder = indexFolderOf(folder, file);
  const found: Segment[] = [];
  for (let number = 0; ; number++) {
    const base = number === 0 ? file : `${file}.${number}`;
    const segment =
      plainSegment(base, number) ??
      (number === 0 ? undefined : packings.map((packing) => packedSegment(base, number, packing, indexFolder)).find(Boolean));
    if (segment !== undefined) found.unshift(segment);
    else if (number > 0) return found;
  }
}

export const runsPath = (indexFolder: string, inode: number): string => join(indexFolder, `${inode}.runs`);

/** What is known of a log beside it goes with it. */
function forgetIndex(indexFolder: string, inode: number): void {
  for (const path of [indexPath(indexFolder, inode), runsPath(indexFolder, inode), tablePath(indexFolder, inode)])
    rmSync(path, { force: true });
}

/** Deletes a file of a log, with what is known of it. */
export function dropSegment(segment: Segment, folder: string, file: string): void {
  rmSync(segment.path, { force: true });
  forgetIndex(indexFolderOf(folder, file), segment.inode);
}

/**
 * Renames file → file.1 → file.2 …, up to the first gap, so that an interrupted rotation loses no file. What would be
 * number keep+1 is deleted with its index.
 */
export function shiftSegments(file: string, keep: number, folder: string): void {
  const segments = segmentsOf(file, folder);
  if (segments.at(-1)?.number !== 0) return; // it is rotated already, and the new one could not be opened
  for (const segment of segments) if (segment.number >= keep) dropSegment(segment, folder, file);
  for (const { path, number, packing } of segments.filter((segment) => segment.number < keep)) {
    const ending = packing === undefined ? '' : endings[packing];
    renameSync(path, `${file}.${number + 1}${ending}`);
  }
}

/** Removes packed copies of files that are there plain: a keeper was killed as it put one in the place of the other. */
export function removeCopies(file: string, folder: string): void {
  for (const { path, number, packing } of segmentsOf(file, folder)) {
    if (number === 0 || packing !== undefined) continue;
    for (const ending of Object.values(endings)) rmSync(path + ending, { force: true });
  }
}

/** Puts a packed copy in the place of the plain file it was made of, wherever that is by now. False when it is gone. */
export function adoptPacked(file: string, folder: string, origin: number, packing: Packing, temporary: string): boolean {
  const indexFolder = indexFolderOf(folder, file);
  const segment = segmentsOf(file, folder).find(({ inode, number, packing: packed }) => inode === origin && number > 0 && !packed);
  const inode = statOf(temporary)?.ino;
  if (segment === undefined || inode === undefined) {
    rmSync(temporary, { force: true });
    rmSync(tablePath(indexFolder, origin), { force: true });
    return false;
  }
  // In this order a kill in between leaves a plain file whose index is whole.
  for (const pathOf of [indexPath, runsPath]) copyOver(pathOf(indexFolder, origin), pathOf(indexFolder, inode));
  copyOver(tablePath(indexFolder, origin), tablePath(indexFolder, inode));
  renameSync(temporary, segment.path + endings[packing]);
  dropSegment(segment, folder, file);
  return true;
}

function copyOver(from: string, to: string): void {
  if (existsSync(from)) copyFileSync(from, to);
}

/** Removes what is known of files that are no longer there, such as a log that somebody moved away or deleted. */
export function sweepIndexes(file: string, folder: string): void {
  const present = new Set(segmentsOf(file, folder).flatMap(({ inode, origin }) => [inode, origin]));
  const indexFolder = indexFolderOf(folder, file);
  for (const name of readdirSync(indexFolder))
    if (!present.has(Number.parseInt(name, 10))) rmSync(join(indexFolder, name), { force: true });
}

/** The frame unpacked last: readers go through a file from one end to the other. */
let lastFrame: { readonly key: string; readonly bytes: Buffer } | undefined;

function frameAt(fd: number, segment: Segment, table: Buffer, offset: number): { readonly from: number; readonly bytes: Buffer } {
  let low = 1;
  for (let high = table.length / pairBytes - 1; high - low > 1; ) {
    const middle = (low + high) >>> 1;
    if (table.readDoubleLE(middle * pairBytes) <= offset) low = middle;
    else high = middle;
  }
  const from = table.readDoubleLE(low * pairBytes);
  const key = `${segment.path} ${segment.inode} ${segment.changedMs} ${from}`;
  if (lastFrame?.key === key) return { from, bytes: lastFrame.bytes };
  const start = table.readDoubleLE(low * pairBytes + 8);
  const packed = Buffer.alloc(table.readDoubleLE((low + 1) * pairBytes + 8) - start);
  readSync(fd, packed, 0, packed.length, start);
  const bytes = unpackFrame(packed, segment.packing as Packing);
  lastFrame = { key, bytes };
  return { from, bytes };
}

function readPacked(fd: number, segment: Segment, table: Buffer, offset: number, length: number): Buffer {
  const end = Math.min(offset + length, segment.size);
  const parts: Buffer[] = [];
  for (let at = offset; at < end; ) {
    const { from, bytes } = frameAt(fd, segment, table, at);
    const part = bytes.subarray(at - from, end - from);
    if (part.length === 0) break;
    parts.push(part);
    at += part.length;
  }
  return Buffer.concat(parts);
}

/** `length` bytes of the log at `offset`, fewer at the end; undefined when the file is gone, is another one by now, or is damaged. */
export function readSegment(segment: Segment, indexFolder: string, offset: number, length: number): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(segment.path, 'r');
  } catch {
    return undefined;
  }
  try {
    if (fstatSync(fd).ino !== segment.inode) return undefined;
    if (segment.packing !== undefined) {
      const table = readTable(indexFolder, segment.inode);
      return table && readPacked(fd, segment, table, offset, length);
    }
    const buffer = Buffer.alloc(length);
    return buffer.subarray(0, readSync(fd, buffer, 0, length, offset));
  } catch {
    return undefined;
  } finally {
    closeSync(fd);
  }
}
