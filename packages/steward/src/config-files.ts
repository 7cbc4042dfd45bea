/** The files of a configuration on the disk: written whole or not at all, and put back when what they say cannot be applied. */
import { chmodSync, chownSync, closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ConfigText } from './config/read.ts';
import { StewardError } from './errors.ts';

interface Waiting {
  readonly path: string;
  readonly part: string;
}

/** Writes a text beside its file, with the owner and rights of that. */
function writePart({ path, text }: ConfigText): Waiting {
  const part = join(dirname(path), `.${basename(path)}.steward-${process.pid}`);
  const { mode, uid, gid } = statSync(path);
  rmSync(part, { force: true });
  const fd = openSync(part, 'wx', 0o600); // a link that somebody planted there is not followed
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  chownSync(part, uid, gid);
  chmodSync(part, mode & 0o7777);
  return { path, part };
}

/**
 * Replaces files, each in one step, after all of them are on the disk. @throws StewardError when one cannot be written: then
 * all are as they were.
 */
export function writeTexts(texts: readonly ConfigText[]): void {
  const parts: Waiting[] = [];
  try {
    for (const text of texts) parts.push(writePart(text));
    for (const { path, part } of parts) renameSync(part, path);
  } catch (error) {
    for (const { part } of parts) rmSync(part, { force: true });
    throw new StewardError('config/not-written', `the files cannot be written: ${(error as Error).message}`, {
      status: 409,
      hint: 'Look at the rights of the folder, and whether its disk is full or read-only.',
      cause: error,
    });
  }
}
