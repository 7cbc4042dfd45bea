/** How many bytes wait in a pipe: what its writers have written and nobody has read yet. */
import ffi from 'node:ffi';
import { orErrno } from './kernel.ts';

const { functions: libc } = ffi.dlopen(null, { ioctl: { arguments: ['i32', 'u64', 'pointer'], return: 'i32' } });

const FIONREAD = 0x541bn;
const countCell = Buffer.alloc(4);

/** Bytes that can be read from `pipe` at this moment; 0 when the kernel does not tell. */
export const waitingBytes = (pipe: number): number => (orErrno(libc.ioctl(pipe, FIONREAD, countCell)) === 0 ? countCell.readInt32LE(0) : 0);
