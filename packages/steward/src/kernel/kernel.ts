/**
 * The few Linux calls that Node has no function for: named pipes, splice, epoll, pidfd. Only this
 * folder uses `node:ffi`, which is experimental: Node is pinned exactly, and the tests here call each function for real.
 *
 * Every call is synchronous and gives back what the kernel answers, -errno for a failure, so that a caller can tell
 * "try again" from "disk full" without exceptions on a hot path.
 */
import ffi from 'node:ffi';
import { closeSync } from 'node:fs';

const { functions: libc } = ffi.dlopen(null, {
  mkfifo: { arguments: ['string', 'u32'], return: 'i32' },
  splice: { arguments: ['i32', 'pointer', 'i32', 'pointer', 'u64', 'u32'], return: 'i64' },
  tee: { arguments: ['i32', 'i32', 'u64', 'u32'], return: 'i64' },
  fcntl: { arguments: ['i32', 'i32', 'i64'], return: 'i32' },
  epoll_create1: { arguments: ['i32'], return: 'i32' },
  epoll_ctl: { arguments: ['i32', 'i32', 'i32', 'pointer'], return: 'i32' },
  epoll_wait: { arguments: ['i32', 'pointer', 'i32', 'i32'], return: 'i32' },
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  bind: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
  recv: { arguments: ['i32', 'pointer', 'u64', 'i32'], return: 'i64' },
  flock: { arguments: ['i32', 'i32'], return: 'i32' },
  ioctl: { arguments: ['i32', 'u64', 'pointer'], return: 'i32' },
  syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
  __errno_location: { arguments: [], return: 'pointer' },
});

/** errno values that callers tell apart (asm-generic, the same on x86-64 and arm64). */
export const EINTR = 4;
export const EAGAIN = 11;
export const EEXIST = 17;
export const ESRCH = 3;
export const EINVAL = 22;

/** What a call answered, with the reason (-errno) in place of its -1. Ask at once: the next call forgets it. */
export const orErrno = (result: number | bigint): number => (result < 0 ? -ffi.getInt32(libc.__errno_location(), 0) : Number(result));

/** Makes a named pipe; 0, or -errno (-EEXIST when the path is taken). `mode` is subject to the umask. */
export const makePipe = (path: string, mode: number): number => orErrno(libc.mkfifo(path, mode));

const SPLICE_F_NONBLOCK = 2;
const offsetCell = Buffer.alloc(8);

/**
 * Moves up to `maxBytes` from a pipe into a regular file at `offset`, inside the kernel: a byte is in the pipe or in the
 * file, whatever kills this process and when. Bytes moved, or -EAGAIN when the pipe is empty, or -errno of the write.
 */
export function moveToFile(pipe: number, file: number, offset: number, maxBytes: number): number {
  offsetCell.writeBigInt64LE(BigInt(offset));
  return orErrno(libc.splice(pipe, 0n, file, offsetCell, BigInt(maxBytes), SPLICE_F_NONBLOCK));
}

/** Copies up to `maxBytes` from one pipe into another without taking them out of the first. Bytes copied or -errno. */
export const copyPipe = (from: number, to: number, maxBytes: number): number =>
  orErrno(libc.tee(from, to, BigInt(maxBytes), SPLICE_F_NONBLOCK));

const F_SETPIPE_SZ = 1031;

/** Asks for a larger pipe buffer; the size in force, or -errno (-EPERM over /proc/sys/fs/pipe-max-size). */
export const growPipe = (pipe: number, bytes: number): number => orErrno(libc.fcntl(pipe, F_SETPIPE_SZ, BigInt(bytes)));

const SYS_pidfd_open = 434;

/** A descriptor that becomes readable when process `pid` dies, whoever its parent is; -ESRCH when there is none. */
export const openProcess = (pid: number): number => orErrno(libc.syscall(BigInt(SYS_pidfd_open), BigInt(pid), 0n, 0n, 0n, 0n, 0n));

const SYS_pidfd_send_signal = 424;

/** Sends a signal to the process behind a pidfd, which a reused pid cannot get; 0, or -errno (-ESRCH when it is gone). */
export const signalProcess = (pidfd: number, signal: number): number =>
  orErrno(libc.syscall(BigInt(SYS_pidfd_send_signal), BigInt(pidfd), BigInt(signal), 0n, 0n, 0n, 0n));

const PIDFD_GET_INFO = 0xc040ff0bn; // _IOWR(0xFF, 11, 64 bytes), linux/pidfd.h
const PIDFD_INFO_EXIT = 8n;
const exitCodeAt = 60;

/**
 * How the process behind a pidfd ended, as wait(2) encodes it, once its parent has reaped it. Undefined before that and
 * on kernels older than 6.15, which keep this from everybody but the parent.
 */
export function waitStatusOf(pidfd: number): number | undefined {
  const info = Buffer.alloc(64);
  info.writeBigUInt64LE(PIDFD_INFO_EXIT, 0);
  const answer = orErrno(libc.ioctl(pidfd, PIDFD_GET_INFO, info));
  return answer === 0 && (info.readBigUInt64LE(0) & PIDFD_INFO_EXIT) !== 0n ? info.readInt32LE(exitCodeAt) : undefined;
}

const LOCK_EX = 2;
const LOCK_NB = 4;

/** Takes the exclusive lock of an open file, which goes away with this process. False when another process has it. */
export const lockFile = (fd: number): boolean => libc.flock(fd, LOCK_EX | LOCK_NB) === 0;

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
/** Longest path of a unix socket: sun_path is 108 bytes with its final NUL (unix(7)). */
export const longestSocketPath = 107;

/** A unix datagram socket bound to `path`, or -errno. The path must be free and at most 107 bytes. */
export function openDatagrams(path: string): number {
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  const length = address.write(path, 2, longestSocketPath, 'utf8');
  const fd = orErrno(libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const bound = orErrno(libc.bind(fd, address, 2 + length + 1));
  if (bound === 0) return fd;
  closeSync(fd);
  return bound;
}

/** One waiting datagram as text, at most 4 KB of it; undefined when there is none. */
export function receiveDatagram(fd: number): string | undefined {
  const buffer = Buffer.alloc(4096);
  const length = orErrno(libc.recv(fd, buffer, BigInt(buffer.length), 0));
  return length < 0 ? undefined : buffer.toString('utf8', 0, length);
}

/** Waits for several descriptors to become readable. */
export interface Poller {
  add(fd: number): void;
  remove(fd: number): void;
  /** The readable descriptors, [] after `timeoutMs` (-1 waits for ever) or a signal. Blocks the thread. */
  wait(timeoutMs: number): number[];
}

const EPOLL_CLOEXEC = 0o2000000;
const EPOLLIN = 1;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const maxEvents = 256;

/** x86-64 packs struct epoll_event into 12 bytes; elsewhere the 64-bit data field is aligned, which makes it 16. */
const eventSize = process.arch === 'x64' ? 12 : 16;
const dataAt = eventSize - 8;

function check(what: string, result: number): number {
  if (result < 0) throw new Error(`${what} failed with errno ${-result}`);
  return result;
}

/** @throws when the kernel has no descriptor left. */
export function createPoller(): Poller {
  const epoll = check('epoll_create1', orErrno(libc.epoll_create1(EPOLL_CLOEXEC)));
  const events = Buffer.alloc(eventSize * maxEvents);
  const control = (what: number, fd: number): number => {
    const event = Buffer.alloc(eventSize);
    event.writeUInt32LE(EPOLLIN, 0);
    event.writeInt32LE(fd, dataAt);
    return orErrno(libc.epoll_ctl(epoll, what, fd, event));
  };
  return {
    add: (fd) => void check('epoll_ctl', control(EPOLL_CTL_ADD, fd)),
    remove: (fd) => void control(EPOLL_CTL_DEL, fd),
    wait(timeoutMs) {
      const count = orErrno(libc.epoll_wait(epoll, events, maxEvents, timeoutMs));
      return Array.from({ length: Math.max(0, count) }, (_, index) => events.readInt32LE(index * eventSize + dataAt));
    },
  };
}
