/** Descriptors that must keep their number. */
import ffi from 'node:ffi';
import { orErrno } from './kernel.ts';

const { functions: libc } = ffi.dlopen(null, { dup2: { arguments: ['i32', 'i32'], return: 'i32' } });

/** Makes `to` another name of the open file `from`, whatever it was before; 0 or -errno. Processes started later inherit `to`. */
export const redirect = (from: number, to: number): number => Math.min(0, orErrno(libc.dup2(from, to)));
