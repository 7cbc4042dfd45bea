/**
 * Opening files in folders that somebody else may write to: a service could put a link in the place of its log, or of a folder on the way, and
 * have Steward, which may be root, write wherever it leads. Links of root and of Steward's own user are followed.
 */
import { closeSync, lstatSync, openSync, readlinkSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

const ownUid = process.getuid?.() ?? 0;
/** As the kernel has it (path_resolution(7)). */
const mostLinks = 40;
/** A file may be moved between being opened and being looked at. */
const tries = 5;

const refusal = (code: string, message: string): NodeJS.ErrnoException => Object.assign(new Error(message), { code });
const partsOf = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.');

/** Where an absolute path leads, links resolved; what is not there yet stays as it is. @throws for a link of somebody else. */
export function trustedPath(path: string): string {
  let done = '/';
  const todo = partsOf(path);
  let links = 0;
  for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
    const here = name === '..' ? dirname(done) : join(done, name);
    const stat = lstatSync(here, { throwIfNoEntry: false });
    if (stat === undefined) return join(here, ...todo);
    if (!stat.isSymbolicLink()) {
      done = here;
      continue;
    }
    if (stat.uid !== 0 && stat.uid !== ownUid)
      throw refusal('EPERM', `${here} is a link that user ${stat.uid} made: Steward does not follow it`);
    if (++links > mostLinks) throw refusal('ELOOP', `${path} leads through too many links`);
    const target = readlinkSync(here);
    if (isAbsolute(target)) done = '/';
    todo.unshift(...partsOf(target));
  }
  return done;
}

/** Devices, and what the kernel shows of processes: nobody but root makes links there. */
const isOfKernel = (path: string): boolean => /^\/(dev|proc)\//.test(path);

/** open(2) of an absolute path that only links to trust lead along. @throws EPERM for others, and what open(2) refuses. */
export function openTrusted(path: string, flags: number, mode: number): number {
  if (isOfKernel(path)) return openSync(path, flags, mode);
  for (let attempt = 1; ; attempt++) {
    const expected = trustedPath(path);
    const fd = openSync(path, flags, mode);
    // Whatever was changed in between, this is the file that was opened.
    const opened = readlinkSync(`/proc/self/fd/${fd}`);
    if (opened === expected || isOfKernel(expected)) return fd;
    closeSync(fd);
    if (attempt === tries) throw refusal('EPERM', `${path} leads to ${opened} by a link that Steward does not follow`);
  }
}
