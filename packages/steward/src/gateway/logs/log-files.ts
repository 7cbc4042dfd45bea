/**
 * The daemon's part in access logs: makes the files, so that workers who may not write in a folder may write in its log, and
 * rotates those that have grown. Workers notice a rename by themselves (log-writer.ts), so none needs to be told and no line is
 * lost; while no daemon runs, files only grow.
 */
import fs, { constants } from 'node:fs';
import path from 'node:path';

export interface WantedLogFile {
  /** Absolute. With variables (`$host.log`) only what workers made is rotated. */
  readonly file: string;
  /** Rotate when larger; 0 never. */
  readonly maxBytes: number;
  /** Rotated files kept, `NAME.1` being the newest. */
  readonly keep: number;
}

export interface LogFilesOptions {
  /** Whom the files belong to, when the workers run as somebody else than this process. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** One line for the daemon's log: a file that cannot be made or rotated; again when the reason changes. */
  readonly log: (line: string) => void;
  /** How often sizes are looked at, in milliseconds. Default: 2000. */
  readonly everyMs?: number;
}

export interface LogFiles {
  /** Looks after these files from now on, and makes those that are missing. */
  want(files: readonly WantedLogFile[]): void;
  /** Looks after none any more. */
  stop(): void;
}

/** A link is never followed: the folder may belong to somebody who would lead us elsewhere. */
const openFlags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** Size of a plain file; undefined for what is none, or not there. */
function sizeOf(file: string): number | undefined {
  const facts = fs.lstatSync(file, { throwIfNoEntry: false });
  return facts?.isFile() ? facts.size : undefined;
}

/** Makes the file for its owner, or gives it to them when it is a plain file of one name. */
function provide(file: string, owner: LogFilesOptions['owner']): void {
  const facts = fs.lstatSync(file, { throwIfNoEntry: false });
  // A device, a pipe, a link: somebody's own arrangement.
  if (facts !== undefined && !facts.isFile()) return;
  if (facts !== undefined && (owner === undefined || facts.uid === owner.uid)) return;
  const fd = fs.openSync(file, openFlags, 0o640);
  try {
    const { uid, nlink } = fs.fstatSync(fd);
    if (owner !== undefined && uid !== owner.uid && nlink === 1) fs.fchownSync(fd, owner.uid, owner.gid);
  } finally {
    fs.closeSync(fd);
  }
}

/** Makes the folder of a log, but not the one around it: a path with a slip in it makes no tree. */
function provideFolder(folder: string, owner: LogFilesOptions['owner']): void {
  try {
    fs.mkdirSync(folder, { mode: 0o755 });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    throw error;
  }
  if (owner !== undefined) fs.chownSync(folder, owner.uid, owner.gid);
}

/**
 * NAME → NAME.1 → NAME.2 …, up to the first gap, so that an interrupted rotation loses no file; what would be number keep+1 is
 * deleted.
 */
function shift(file: string, keep: number): void {
  const there = (name: string): boolean => fs.lstatSync(name, { throwIfNoEntry: false }) !== undefined;
  let gap = 1;
  while (gap <= keep && there(`${file}.${gap}`)) gap++;
  if (gap > keep) fs.rmSync(keep === 0 ? file : `${file}.${keep}`);
  for (let to = Math.min(gap, keep); to >= 1; to--) fs.renameSync(to === 1 ? file : `${file}.${to - 1}`, `${file}.${to}`);
}

const variable = /\$(?:\{\w+\}|\w+)/g;

/** Files that a name with variables stands for, in a folder without. */
function filesLike(file: string): string[] {
  const folder = path.dirname(file);
  if (folder.includes('$')) return [];
  const literals = path
    .basename(file)
    .split(variable)
    .map((text) => RegExp.escape(text));
  const form = new RegExp(`^${literals.join('[^/]*')}$`);
  return fs
    .readdirSync(folder)
    .filter((name) => form.test(name) && !/\.\d+$/.test(name))
    .map((name) => path.join(folder, name));
}

/** Looks after no file until `want`. Never throws. */
export function createLogFiles({ owner, log, everyMs = 2_000 }: LogFilesOptions): LogFiles {
  let wanted: readonly WantedLogFile[] = [];
  let timer: NodeJS.Timeout | undefined;
  const troubles = new Map<string, string>();

  const attempt = (file: string, act: () => void): void => {
    try {
      act();
      troubles.delete(file);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (troubles.get(file) !== why) log(`access log ${file}: ${why}`);
      troubles.set(file, why);
    }
  };
  const rotate = (file: string, { maxBytes, keep }: WantedLogFile): void => {
    if (maxBytes === 0 || (sizeOf(file) ?? 0) < maxBytes) return;
    shift(file, keep);
    provide(file, owner);
  };
  const look = (): void => {
    for (const one of wanted) {
      attempt(one.file, () => {
        if (one.file.includes('$')) for (const file of filesLike(one.file)) rotate(file, one);
        else {
          provide(one.file, owner);
          rotate(one.file, one);
        }
      });
    }
  };
  return {
    want: (files) => {
      wanted = [...new Map(files.map((one) => [one.file, one])).values()];
      for (const file of troubles.keys()) if (!wanted.some((one) => one.file === file)) troubles.delete(file);
      for (const { file } of wanted) {
        if (!path.dirname(file).includes('$')) attempt(file, () => provideFolder(path.dirname(file), owner));
      }
      look();
      if (wanted.length > 0) timer ??= setInterval(look, everyMs).unref();
    },
    stop: () => {
      clearInterval(timer);
      timer = undefined;
      wanted = [];
    },
  };
}
