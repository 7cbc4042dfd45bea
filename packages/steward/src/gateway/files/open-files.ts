/**
 * Finds files below a folder and keeps small ones in memory. A path can only lead to a regular file whose real place is
 * inside its folder: what was opened is checked, not what was asked for, so nothing can be swapped in between.
 *
 * A file of up to 256 KB is kept with its bytes, 32 MB in all for each worker, and is looked at again (one stat) when it is
 * asked for after a second: a change is seen within that second, like nginx's open_file_cache_valid. What is not there is
 * not remembered, so a new file is there at once. No descriptor stays open: a deleted file takes no room on the disk.
 *
 * All of this is done without the thread pool: calls that the page cache answers take 12 µs together, as many trips to
 * the pool 100 µs. As in nginx, a disk that hangs is felt by the worker's other requests.
 */
import fs, { constants } from 'node:fs';
import { etagOf } from './conditional.ts';

/** How long a file is believed to be as it was. */
const validMs = 1_000;
const maxKeptBytes = 256 * 1024;
const maxAllBytes = 32 * 1024 * 1024;
const maxFiles = 4_096;
/**
 * Of a file changed this shortly before it was read, a second change could leave time and size as they are (file systems
 * count time in steps of milliseconds, some of seconds): it is read again rather than believed.
 */
const settledMs = 2_000;

/** Never waits for a named pipe's writer. */
const openFlags = constants.O_RDONLY | constants.O_NONBLOCK;

/** A file that was found. With `bytes` there is nothing to close; else whoever has it closes `fd`. */
export interface FoundFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly bytes: Buffer | undefined;
  readonly fd: number;
}

/** What a path turned out to be. `busy`: this process or the machine has no descriptor or memory left. */
export type Found = FoundFile | 'folder' | 'missing' | 'forbidden' | 'busy';

/** A file in memory. */
export class KeptFile implements FoundFile {
  readonly path: string;
  readonly bytes: Buffer;
  readonly fd = -1;
  /** What its real place is inside of; undefined: anywhere. */
  readonly folder: string | undefined;
  readonly #facts: fs.Stats;
  readonly #settled: boolean;
  checkedAtMs: number;
  /** Encodings that there is no precompressed form for, and until when that is believed. */
  readonly absent = new Map<string, number>();
  /** Headers as they were last sent, and the rules and encoding they were made by. */
  headers: { readonly by: unknown; readonly coding: string; readonly etag: string; readonly list: readonly string[] } | undefined;

  constructor(path: string, folder: string | undefined, facts: fs.Stats, bytes: Buffer, nowMs: number) {
    this.path = path;
    this.folder = folder;
    this.bytes = bytes;
    this.#facts = facts;
    this.checkedAtMs = nowMs;
    this.#settled = Math.abs(Date.now() - facts.mtimeMs) > settledMs;
  }

  get sizeBytes(): number {
    return this.bytes.length;
  }

  get modifiedMs(): number {
    return this.#facts.mtimeMs;
  }

  /** Looks whether the file under its name is still the one that was read. */
  holds(): boolean {
    if (!this.#settled) return false;
    const was = this.#facts;
    try {
      const is = fs.statSync(this.path, { throwIfNoEntry: false });
      return (
        is !== undefined &&
        is.ino === was.ino &&
        is.dev === was.dev &&
        is.size === was.size &&
        is.mtimeMs === was.mtimeMs &&
        is.ctimeMs === was.ctimeMs
      );
    } catch {
      return false;
    }
  }
}

/** The oldest first; a file moves to the end when it is looked at again. */
const kept = new Map<string, KeptFile>();
let keptBytes = 0;

function forget(file: KeptFile): void {
  kept.delete(file.path);
  keptBytes -= file.bytes.length;
}

function keep(file: KeptFile): void {
  const before = kept.get(file.path);
  if (before !== undefined) forget(before);
  kept.set(file.path, file);
  keptBytes += file.bytes.length;
  for (const oldest of kept.values()) {
    if (kept.size <= maxFiles && keptBytes <= maxAllBytes) break;
    forget(oldest);
  }
}

/** The file in memory, if it is still what is on the disk. */
function stillKept(path: string, folder: string | undefined, nowMs: number): KeptFile | undefined {
  const file = kept.get(path);
  if (file === undefined || file.folder !== folder) return undefined;
  if (nowMs - file.checkedAtMs < validMs) return file;
  forget(file);
  if (!file.holds()) return undefined;
  file.checkedAtMs = nowMs;
  keep(file);
  return file;
}

const realFolders = new Map<string, string>();
const maxRealFolders = 1_000;

function realFolder(folder: string): string {
  const real = fs.realpathSync.native(folder);
  if (realFolders.size >= maxRealFolders) realFolders.clear();
  realFolders.set(folder, real);
  return real;
}

/** Whether an open file is inside `folder`. A folder that is a link to a release may move: then it is looked up again. */
function isInside(fd: number, folder: string): boolean {
  const real = fs.readlinkSync(`/proc/self/fd/${fd}`);
  const inside = (base: string | undefined): boolean =>
    base !== undefined && (real === base || real.startsWith(base.endsWith('/') ? base : `${base}/`));
  return inside(realFolders.get(folder)) || inside(realFolder(folder));
}

/** The folder with its links resolved (nginx's $realpath_root); as it is when it cannot be. */
export function realPathOf(folder: string): string {
  try {
    return realFolders.get(folder) ?? realFolder(folder);
  } catch {
    return folder;
  }
}

function codeOf(error: unknown): Exclude<Found, FoundFile> {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM') return 'busy';
  return code === 'EACCES' || code === 'EPERM' ? 'forbidden' : 'missing';
}

/**
 * The file at `path`, which must really be inside `folder` (undefined: may be anywhere), by a look that is at most a second old.
 * `nowMs` is of `performance.now()`. Never throws.
 */
export function findFile(path: string, folder: string | undefined, nowMs: number): Found {
  return stillKept(path, folder, nowMs) ?? open(path, folder, nowMs);
}

/** What there is at `path`, without keeping it open. */
export function lookAt(path: string, folder: string | undefined, nowMs: number): 'file' | Exclude<Found, FoundFile> {
  const found = findFile(path, folder, nowMs);
  if (typeof found === 'string') return found;
  release(found);
  return 'file';
}

/** Closes a file that was found. */
export function release(file: FoundFile): void {
  if (file.fd >= 0) fs.closeSync(file.fd);
}

function open(path: string, folder: string | undefined, nowMs: number): Found {
  let fd: number;
  try {
    // Looked for first: an error of opening takes 20 µs to make, and most paths of `try` are not there.
    if (fs.statSync(path, { throwIfNoEntry: false }) === undefined) return 'missing';
    fd = fs.openSync(path, openFlags);
  } catch (error) {
    return codeOf(error);
  }
  let found: Found = 'missing';
  try {
    found = inspect(fd, path, folder, nowMs);
  } catch (error) {
    found = codeOf(error);
  } finally {
    if (typeof found === 'string' || found.fd < 0) fs.closeSync(fd);
  }
  return found;
}

function inspect(fd: number, path: string, folder: string | undefined, nowMs: number): Found {
  const facts = fs.fstatSync(fd);
  if (folder !== undefined && !isInside(fd, folder)) return 'missing';
  if (facts.isDirectory()) return 'folder';
  if (!facts.isFile()) return 'missing';
  const { size, mtimeMs } = facts;
  if (size > maxKeptBytes) return { path, sizeBytes: size, modifiedMs: mtimeMs, bytes: undefined, fd };
  const bytes = Buffer.allocUnsafeSlow(size);
  // Shorter than it just was: somebody is writing it. The client may ask again.
  if (fs.readSync(fd, bytes, 0, size, 0) < size) return 'busy';
  const file = new KeptFile(path, folder, facts, bytes, nowMs);
  keep(file);
  return file;
}

const extensions = { br: '.br', zstd: '.zst', gzip: '.gz' } as const;

export type Coding = keyof typeof extensions;

/** The compressed form of `file` that lies beside it, if there is one. `file` is still the caller's to release. */
export function findCompressed(file: FoundFile, coding: Coding, folder: string | undefined, nowMs: number): FoundFile | undefined {
  const absent = file instanceof KeptFile ? file.absent : undefined;
  if ((absent?.get(coding) ?? Number.NEGATIVE_INFINITY) > nowMs) return undefined;
  const found = findFile(file.path + extensions[coding], folder, nowMs);
  if (typeof found !== 'string') return found;
  absent?.set(coding, nowMs + validMs);
  return undefined;
}

/** ETag, Last-Modified and what else stays the same for a file sent by the same rules. */
export function fixedHeaders(
  file: FoundFile,
  by: unknown,
  coding: string,
  typeOf: () => string,
): { readonly etag: string; readonly list: readonly string[] } {
  const known = file instanceof KeptFile ? file.headers : undefined;
  if (known !== undefined && known.by === by && known.coding === coding) return known;
  const etag = etagOf(file.sizeBytes, file.modifiedMs, coding);
  const list = ['Content-Type', typeOf(), 'Last-Modified', new Date(file.modifiedMs).toUTCString(), 'ETag', etag];
  if (coding !== '') list.push('Content-Encoding', coding);
  const made = { by, coding, etag, list };
  if (file instanceof KeptFile) file.headers = made;
  return made;
}
