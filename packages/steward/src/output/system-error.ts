import { getSystemErrorName } from 'node:util';

/** An error of the system's kind for a negative errno, with its code, which callers tell from a bug. */
export const systemError = (errno: number, message: string): Error =>
  Object.assign(new Error(`${message} (${getSystemErrorName(errno)})`), { code: getSystemErrorName(errno) });
