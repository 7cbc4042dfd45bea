/** A log as supervisord's methods read it: bytes of the one file that has its name, from the front or from the end. */
import { closeSync, fstatSync, lstatSync, openSync, readSync, rmSync, type Stats, statSync, truncateSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { Fault } from './faults.ts';

/** What one call may read at most: all of it stands in memory several times until it is sent. */
export const mostBytes = 4 * 1024 * 1024;
const lookEveryMs = 100;

export const isFile = (path: string): boolean => {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
};

/** @throws Fault NO_FILE when there is none. */
export function existing(path: string | undefined): string {
  if (path === undefined || !isFile(path)) throw new Fault('NO_FILE', path ?? 'None');
  return path;
}

function withFile<T>(path: string, work: (fd: number, size: number) => T): T {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    throw new Fault('FAILED');
  }
  try {
    return work(fd, fstatSync(fd).size);
  } finally {
    closeSync(fd);
  }
}

function bytesAt(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(Math.max(0, Math.min(length, mostBytes)));
  return buffer.subarray(0, readSync(fd, buffer, 0, buffer.length, offset));
}

/**
 * `length` bytes at `offset`, 0 for all that follow; a negative `offset` with length 0 gives so many bytes at the end. At most
 * `mostBytes`: those at the end for a negative offset, else the first. @throws Fault BAD_ARGUMENTS, FAILED.
 */
export function readBytes(path: string, offset: number, length: number): string {
  if (offset < 0 ? length !== 0 : length < 0) throw new Fault('BAD_ARGUMENTS');
  return withFile(path, (fd, size) => {
    const wanted = offset < 0 ? Math.min(-offset, size, mostBytes) : length === 0 ? Math.max(0, size - offset) : length;
    return bytesAt(fd, offset < 0 ? size - wanted : offset, wanted).toString('utf8');
  });
}

/** The same for who asks again and again: bytes, where to go on, and whether there was more than fits between. Never throws a Fault for a missing file. */
export function tailBytes(path: string | undefined, offset: number, length: number): [string, number, boolean] {
  if (path === undefined || !isFile(path)) return ['', 0, false];
  return withFile(path, (fd, size) => {
    const overflow = size > offset + length;
    const from = overflow ? size - 1 : offset;
    const wanted = from + length > size ? (from > size - 1 ? 0 : length) : length;
    const start = from + length > size ? size - wanted : from;
    const bytes = bytesAt(fd, Math.max(0, start), Math.max(0, wanted));
    return [bytes.toString('utf8'), size, overflow];
  });
}

/**
 * Makes a log that something writes begin anew: the file gives way to an empty one, which its writer goes on in. @throws Fault
 * FAILED.
 */
export function replaceFile(path: string): void {
  try {
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return;
    rmSync(path);
    closeSync(openSync(path, 'wx', 0o644));
  } catch (error) {
    throw new Fault('FAILED', (error as Error).message);
  }
}

/** The same for a file whose writer keeps it open and appends. @throws Fault FAILED. */
export function emptyFile(path: string): void {
  try {
    truncateSync(path, 0);
  } catch (error) {
    throw new Fault('FAILED', (error as Error).message);
  }
}

/** Where a follower is in a file. */
interface Spot {
  readonly fd: number;
  readonly stat: Stats;
  at: number;
}

function openAt(path: string, back: number): Spot | undefined {
  try {
    const fd = openSync(path, 'r');
    const stat = fstatSync(fd);
    return { fd, stat, at: Math.max(0, stat.size - back) };
  } catch {
    return undefined;
  }
}

/** What came since the last look; undefined when nothing did. */
function grown(spot: Spot): Buffer | undefined {
  const { size } = fstatSync(spot.fd);
  if (size < spot.at) {
    spot.at = 0;
    return Buffer.from('==> File truncated <==\n');
  }
  if (size === spot.at) return undefined;
  const bytes = bytesAt(spot.fd, spot.at, Math.min(size - spot.at, 64 * 1024));
  spot.at += bytes.length;
  return bytes.length === 0 ? undefined : bytes;
}

/** Whether the name belongs to another file by now: it was rotated or cleared. */
const isReplaced = (path: string, { stat }: Spot): boolean => {
  const now = statSync(path, { throwIfNoEntry: false });
  return now !== undefined && (now.ino !== stat.ino || now.dev !== stat.dev);
};

/** The last `back` bytes of a file and what is added to it, over rotations, until `signal` aborts. */
export async function* followFile(path: string, back: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  let spot = openAt(path, back);
  try {
    while (!signal.aborted) {
      const bytes = spot && grown(spot);
      if (bytes !== undefined) {
        yield bytes;
        continue;
      }
      if (spot === undefined || isReplaced(path, spot)) {
        if (spot !== undefined) closeSync(spot.fd);
        spot = openAt(path, Number.POSITIVE_INFINITY);
        if (spot !== undefined) continue;
      }
      await wait(lookEveryMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    if (spot !== undefined) closeSync(spot.fd);
  }
}
