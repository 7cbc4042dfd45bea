/**
 * Secrets as files, for one run of a program:
 *
 *   <folder>/<run id>/<VARIABLE>     folders 0711 and Steward's own, so that nobody plants anything in them; files 0400, the user's
 *
 * A file is made beside its place and moved there, so that a reader finds the old one or the new one, whole, and a link that
 * stands in its place is replaced rather than followed. Synchronous: it is done between two steps of a start.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** A value and the variable that gets the path of its file. */
export interface SecretFile {
  readonly variable: string;
  /** Base64. */
  readonly content: string;
}

/** Who may read the files. */
export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface SecretFiles {
  /** Makes them, or makes them again where they are missing or altered; paths by variable. @throws an Error in words when it cannot. */
  write(runId: string, files: readonly SecretFile[], owner: FileOwner): Record<string, string>;
  /** Where the files of a run are, whether they are there or not. */
  paths(runId: string, files: readonly SecretFile[]): Record<string, string>;
  remove(runId: string): void;
  /** Removes those of all other runs. */
  keepOnly(runIds: readonly string[]): void;
}

const folderMode = 0o711;
const fileMode = 0o400;
/** Linux's magic number of tmpfs, as statfs(2) gives it. */
const tmpfs = 0x01021994;

const isRoot = process.getuid?.() === 0;

/**
 * Where the files of an installation go: for root below /run when that is in memory, so that they are on no disk; else into the
 * state directory. It depends on nothing but the machine, so that each daemon finds what the one before has made.
 */
export function secretFolderFor(stateFolder: string): string {
  if (!isRoot || !isInMemory('/run')) return join(stateFolder, 'secrets');
  return join('/run/steward', createHash('sha256').update(stateFolder).digest('hex').slice(0, 12));
}

function isInMemory(path: string): boolean {
  try {
    return statfsSync(path).type === tmpfs;
  } catch {
    return false;
  }
}

/** Makes a folder that only Steward can change. @throws when there is anything else in its place. */
function ownFolder(path: string): void {
  try {
    mkdirSync(path, { mode: folderMode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const stat = lstatSync(path);
  if (!stat.isDirectory()) throw new Error(`${path}, where its secrets would go, is no folder: remove it`);
  if (stat.uid !== process.getuid?.() || (stat.mode & 0o022) !== 0)
    throw new Error(`${path}, where its secrets would go, can be changed by others: remove it`);
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchmodSync(fd, folderMode); // the mask of this process may have taken bits away
  } finally {
    closeSync(fd);
  }
}

/** Whether the file is as it should be. A link is not. */
function isRight(path: string, content: Buffer, { uid, gid }: FileOwner): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || !stat.isFile() || stat.uid !== uid || stat.gid !== gid || (stat.mode & 0o7777) !== fileMode) return false;
  return stat.nlink === 1 && stat.size === content.length && readFileSync(path).equals(content);
}

function writeOne(path: string, content: Buffer, owner: FileOwner): void {
  if (isRight(path, content, owner)) return;
  const draft = `${path}.draft`; // no variable has a dot in its name
  rmSync(draft, { force: true, recursive: true });
  const fd = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, fileMode);
  try {
    for (let at = 0; at < content.length; ) at += writeSync(fd, content, at);
    fchmodSync(fd, fileMode);
    if (isRoot) fchownSync(fd, owner.uid, owner.gid); // last: from here on it is the user's
  } finally {
    closeSync(fd);
  }
  renameSync(draft, path);
}

/** `folder` is made when the first file is. */
export function createSecretFiles(folder: string): SecretFiles {
  const folderOf = (runId: string): string => join(folder, runId);
  const paths: SecretFiles['paths'] = (runId, files) =>
    Object.fromEntries(files.map(({ variable }) => [variable, join(folderOf(runId), variable)]));
  const remove = (runId: string): void => rmSync(folderOf(runId), { recursive: true, force: true });
  return {
    paths,
    write(runId, files, owner) {
      if (folder.startsWith('/run/steward/')) ownFolder('/run/steward');
      ownFolder(folder);
      ownFolder(folderOf(runId));
      for (const { variable, content } of files) writeOne(join(folderOf(runId), variable), Buffer.from(content, 'base64'), owner);
      return paths(runId, files);
    },
    remove,
    keepOnly(runIds) {
      const wanted = new Set(runIds);
      for (const name of namesIn(folder)) if (!wanted.has(name)) remove(name);
    },
  };
}

function namesIn(folder: string): string[] {
  try {
    return lstatSync(folder).isDirectory() ? readdirSync(folder) : [];
  } catch {
    return []; // it was never made
  }
}
