/** Speaking to the service manager that started this process: datagrams to the unix socket it names (sd_notify(3)). */
import ffi from 'node:ffi';
import { closeSync } from 'node:fs';
import { EINVAL, longestSocketPath, orErrno } from './kernel.ts';

const { functions: libc } = ffi.dlopen(null, {
  socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
  sendto: { arguments: ['i32', 'pointer', 'u64', 'i32', 'pointer', 'u32'], return: 'i64' },
});

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;

/** struct sockaddr_un; a name that begins with @ is abstract: it begins with NUL and ends where its length says. */
function addressOf(path: string): Buffer | undefined {
  const name = Buffer.from(path);
  const isAbstract = path.startsWith('@');
  if ((!isAbstract && !path.startsWith('/')) || name.length > longestSocketPath) return undefined;
  if (isAbstract) name[0] = 0;
  const bytes = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  bytes.writeUInt16LE(AF_UNIX, 0);
  name.copy(bytes, 2);
  return bytes;
}

/** Sends one datagram to a unix socket at `path`, or of the abstract name `@NAME`, without waiting; 0 or -errno. */
export function sendToSocket(path: string, text: string): number {
  const address = addressOf(path);
  if (address === undefined) return -EINVAL;
  const fd = orErrno(libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const bytes = Buffer.from(text);
  const sent = orErrno(libc.sendto(fd, bytes, BigInt(bytes.length), MSG_NOSIGNAL, address, address.length));
  closeSync(fd);
  return Math.min(0, sent);
}
