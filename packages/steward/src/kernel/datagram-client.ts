/** Sending to a unix datagram socket, such as the syslog daemon's /dev/log: Node speaks unix streams only. */
import ffi from 'node:ffi';
import { closeSync } from 'node:fs';
import { EINVAL, longestSocketPath, orErrno } from './kernel.ts';

const { functions: libc } = ffi.dlopen(null, {
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  connect: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
  send: { arguments: ['i32', 'pointer', 'u64', 'i32'], return: 'i64' },
});

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MSG_DONTWAIT_NOSIGNAL = 0x40 | 0x4000;

/** The kind of socket at a path is not a datagram socket (connect(2)). */
export const EPROTOTYPE = 91;

/** A datagram socket that is connected to the one at `path`, or -errno; -EPROTOTYPE when that one is a stream. The caller closes it. */
export function connectDatagrams(path: string): number {
  const bytes = Buffer.from(path);
  if (bytes.length > longestSocketPath) return -EINVAL;
  const address = Buffer.alloc(2 + bytes.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  bytes.copy(address, 2);
  const fd = orErrno(libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const connected = orErrno(libc.connect(fd, address, address.length));
  if (connected === 0) return fd;
  closeSync(fd);
  return connected;
}

/** Sends one datagram; 0, or -errno: -EAGAIN when the receiver's queue is full. Never waits. */
export const sendDatagram = (fd: number, bytes: Buffer): number =>
  Math.min(0, orErrno(libc.send(fd, bytes, BigInt(bytes.length), MSG_DONTWAIT_NOSIGNAL)));
