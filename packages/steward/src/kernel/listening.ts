/**
 * Listening sockets that are opened here and served elsewhere. Node's own servers begin to accept as soon as they listen,
 * so a socket that only other processes shall accept from is opened by hand; and Node cannot hand a descriptor to a
 * process that is not its child.
 */
import ffi from 'node:ffi';
import { closeSync } from 'node:fs';
import { isIP } from 'node:net';
import { EINVAL, longestSocketPath, openProcess, orErrno } from './kernel.ts';

const { functions: libc } = ffi.dlopen(null, {
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  setsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'u32'], return: 'i32' },
  getsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' },
  getsockname: { arguments: ['i32', 'pointer', 'pointer'], return: 'i32' },
  inet_pton: { arguments: ['i32', 'string', 'pointer'], return: 'i32' },
  bind: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
  listen: { arguments: ['i32', 'i32'], return: 'i32' },
  sendmsg: { arguments: ['i32', 'pointer', 'i32'], return: 'i64' },
  recvmsg: { arguments: ['i32', 'pointer', 'i32'], return: 'i64' },
  fcntl: { arguments: ['i32', 'i32', 'i64'], return: 'i32' },
  syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
});

/** errno values that callers tell apart (asm-generic, the same on x86-64 and arm64). */
export const EADDRINUSE = 98;
const EADDRNOTAVAIL = 99;
const EAFNOSUPPORT = 97;

/** Where a socket listens. `host` is an IP address; undefined is every address, IPv6 and IPv4. */
export type SocketAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host?: string; readonly port: number };

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ACCEPTCONN = 30;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

/** The address as the kernel reads it: struct sockaddr_un, sockaddr_in or sockaddr_in6. Undefined for a host that is no IP address. */
function encode(address: SocketAddress): Buffer | undefined {
  if (address.kind === 'unix') {
    const path = Buffer.from(address.path);
    if (path.length > longestSocketPath) return undefined;
    const bytes = Buffer.alloc(2 + path.length + 1);
    bytes.writeUInt16LE(AF_UNIX, 0);
    path.copy(bytes, 2);
    return bytes;
  }
  const { host = '::', port } = address;
  const family = isIP(host) === 6 ? AF_INET6 : AF_INET;
  const bytes = Buffer.alloc(family === AF_INET6 ? 28 : 16);
  bytes.writeUInt16LE(family, 0);
  bytes.writeUInt16BE(port, 2);
  const number = Buffer.alloc(16);
  if (libc.inet_pton(family, host, number) !== 1) return undefined;
  number.copy(bytes, family === AF_INET6 ? 8 : 4, 0, family === AF_INET6 ? 16 : 4);
  return bytes;
}

function setOption(fd: number, level: number, option: number, value: number): void {
  const cell = Buffer.alloc(4);
  cell.writeInt32LE(value);
  libc.setsockopt(fd, level, option, cell, cell.length);
}

function listenOn(bytes: Buffer, backlog: number): number {
  const family = bytes.readUInt16LE(0);
  const fd = orErrno(libc.socket(family, SOCK_STREAM_CLOEXEC, 0));
  if (fd < 0) return fd;
  if (family !== AF_UNIX) setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  const bound = orErrno(libc.bind(fd, bytes, bytes.length));
  const answer = bound < 0 ? bound : orErrno(libc.listen(fd, backlog));
  if (answer === 0) return fd;
  closeSync(fd);
  return answer;
}

/**
 * A socket that listens on `address`, not inherited by children unless handed to them; or -errno. The kernel caps
 * `backlog` by net.core.somaxconn. Without IPv6 "every address" is every IPv4 address.
 */
export function openListener(address: SocketAddress, backlog: number): number {
  const bytes = encode(address);
  const fd = bytes === undefined ? -EINVAL : listenOn(bytes, backlog);
  const isEvery = address.kind === 'tcp' && address.host === undefined;
  return isEvery && (fd === -EAFNOSUPPORT || fd === -EADDRNOTAVAIL) ? openListener({ ...address, host: '0.0.0.0' }, backlog) : fd;
}

/** Sets how many connections may wait; 0, or -errno. A program that calls listen(2) on a socket it was given changes this for all. */
export const setBacklog = (fd: number, backlog: number): number => orErrno(libc.listen(fd, backlog));

const F_SETFL = 4;

/** Takes O_NONBLOCK off, which belongs to the socket and not to one descriptor: who set it may be gone. 0, or -errno. */
export const setBlocking = (fd: number): number => orErrno(libc.fcntl(fd, F_SETFL, 0n));

const SYS_pidfd_getfd = 438;

/** Whether a descriptor listens on exactly this address. */
export function listensOn(fd: number, address: SocketAddress): boolean {
  const isListening = Buffer.alloc(4);
  const name = Buffer.alloc(128);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(4);
  if (libc.getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, isListening, length) !== 0 || isListening.readInt32LE() !== 1) return false;
  length.writeUInt32LE(name.length);
  if (libc.getsockname(fd, name, length) !== 0) return false;
  const found = name.subarray(0, length.readUInt32LE());
  const wanted = address.kind === 'tcp' && address.host === undefined ? [address, { ...address, host: '0.0.0.0' }] : [address];
  return wanted.some((one) => encode(one)?.equals(found));
}

/**
 * A copy of another process's descriptor `number`, if it listens on `address`; else -errno. Needs the rights of a debugger
 * over that process (ptrace(2)): root has them, others for their own processes where Yama does not restrict it.
 */
export function takeListener(pid: number, number: number, address: SocketAddress): number {
  const pidfd = openProcess(pid);
  if (pidfd < 0) return pidfd;
  const fd = orErrno(libc.syscall(BigInt(SYS_pidfd_getfd), BigInt(pidfd), BigInt(number), 0n, 0n, 0n, 0n));
  closeSync(pidfd);
  if (fd < 0 || listensOn(fd, address)) return fd;
  closeSync(fd);
  return -EINVAL;
}

const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const mostTextBytes = 4096;
/** Where the parts of a message lie in one buffer, which thereby live as long as each other: 64-bit Linux, recvmsg(2). */
const part = { head: 0, vector: 56, control: 72, name: 96 } as const;
const rightsBytes = 20; // struct cmsghdr and one descriptor

/** struct msghdr with room for one descriptor, a name (none when receiving) and a text. */
function messageFor(name: Buffer, textBytes: number): { readonly bytes: Buffer; readonly text: Buffer; readonly control: Buffer } {
  const textAt = part.name + name.length;
  const bytes = Buffer.alloc(textAt + textBytes);
  const at = ffi.getRawPointer(bytes);
  const pointTo = (where: number, length: number, from: number): void => {
    bytes.writeBigUInt64LE(at + BigInt(where), from);
    bytes.writeBigUInt64LE(BigInt(length), from + 8);
  };
  if (name.length > 0) pointTo(part.name, name.length, part.head);
  pointTo(part.vector, 1, part.head + 16);
  pointTo(part.control, part.name - part.control, part.head + 32);
  pointTo(textAt, textBytes, part.vector);
  name.copy(bytes, part.name);
  return { bytes, text: bytes.subarray(textAt), control: bytes.subarray(part.control, part.name) };
}

/** Sends a descriptor with a text to the datagram socket at `path`; 0, or -errno. Never waits. */
export function sendDescriptor(path: string, text: string, fd: number): number {
  const name = encode({ kind: 'unix', path });
  if (name === undefined) return -EINVAL;
  const message = messageFor(name, Buffer.byteLength(text));
  message.text.write(text);
  message.control.writeBigUInt64LE(BigInt(rightsBytes), 0);
  message.control.writeInt32LE(SOL_SOCKET, 8);
  message.control.writeInt32LE(SCM_RIGHTS, 12);
  message.control.writeInt32LE(fd, 16);
  const from = orErrno(libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0));
  if (from < 0) return from;
  const sent = orErrno(libc.sendmsg(from, message.bytes, MSG_DONTWAIT));
  closeSync(from);
  return Math.min(0, sent);
}

/** The next descriptor that was sent to a datagram socket, with its text; undefined when none waits. The caller closes it. */
export function receiveDescriptor(socket: number): { readonly text: string; readonly fd: number } | undefined {
  const { bytes, text, control } = messageFor(Buffer.alloc(0), mostTextBytes);
  const length = orErrno(libc.recvmsg(socket, bytes, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length < 0 || control.readBigUInt64LE(0) < BigInt(rightsBytes) || control.readInt32LE(12) !== SCM_RIGHTS) return undefined;
  return { text: text.toString('utf8', 0, length), fd: control.readInt32LE(16) };
}
