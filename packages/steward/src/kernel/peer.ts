/** Who is at the other end of a unix socket: the kernel knows (SO_PEERCRED, unix(7)). */
import ffi from 'node:ffi';
import type { Socket } from 'node:net';
import { orErrno } from './kernel.ts';

const { functions: libc } = ffi.dlopen(null, {
  getsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' },
});

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid. */
const credentialBytes = 12;

export interface PeerProcess {
  readonly pid: number;
  readonly uid: number;
}

/** The process that connected, as it was then; undefined for what is no unix socket, or is closed. */
export function peerOf(socket: Socket): PeerProcess | undefined {
  const fd = (socket as { _handle?: { fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return undefined;
  const credentials = Buffer.alloc(credentialBytes);
  const length = Buffer.alloc(4);
  length.writeInt32LE(credentialBytes);
  if (orErrno(libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length)) < 0) return undefined;
  const pid = credentials.readInt32LE(0);
  return pid === 0 ? undefined : { pid, uid: credentials.readUInt32LE(4) };
}
