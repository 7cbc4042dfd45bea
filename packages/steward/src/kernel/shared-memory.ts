/**
 * A file that several processes have in their memory at once (mmap(2)). With kernel.ts the only user of `node:ffi`, which is
 * experimental: shared-memory.test.ts maps real memory in two processes.
 */
import ffi from 'node:ffi';
import { closeSync, constants, fstatSync, futimesSync, openSync } from 'node:fs';

const { functions: libc } = ffi.dlopen(null, {
  mmap: { arguments: ['pointer', 'u64', 'i32', 'i32', 'i32', 'i64'], return: 'pointer' },
  posix_fallocate: { arguments: ['i32', 'i64', 'i64'], return: 'i32' },
});

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 2n ** 64n - 1n;

/**
 * The first `sizeBytes` of the file at `path`, made when it is not there (zeros, readable for its owner alone), shared with
 * every process that maps it. It stays mapped until this process ends, and its content until the file is removed: /dev/shm
 * is emptied by a restart of the machine. Its time of change becomes that of the last call. Room for all of it is taken at once, since a page that finds no room later would
 * kill the process (SIGBUS). Atomics work on it across processes.
 *
 * @throws when the file is another user's, a link or no file, or when there is no room.
 */
export function mapSharedMemory(path: string, sizeBytes: number): ArrayBuffer {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    const facts = fstatSync(fd);
    if (!facts.isFile()) throw new Error(`${path} is no file`);
    if (facts.uid !== process.geteuid?.()) throw new Error(`${path} belongs to another user (${facts.uid})`);
    const missing = libc.posix_fallocate(fd, 0n, BigInt(sizeBytes));
    if (missing !== 0) throw new Error(`no room for ${path}: errno ${missing}`);
    const pointer = libc.mmap(0n, BigInt(sizeBytes), PROT_READ_WRITE, MAP_SHARED, fd, 0n);
    if (pointer === MAP_FAILED || pointer === 0n) throw new Error(`${path} cannot be mapped`);
    const now = Date.now() / 1000;
    futimesSync(fd, now, now);
    return ffi.toArrayBuffer(pointer, sizeBytes, false);
  } finally {
    closeSync(fd);
  }
}
