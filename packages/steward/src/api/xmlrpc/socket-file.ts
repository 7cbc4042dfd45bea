/**
 * The file of a unix socket at a place that others know. It is made in a folder that only we can enter, gets its rights there,
 * and takes its place in one step: nobody can connect before that, and no link that somebody planted is followed.
 */
import { chmodSync, chownSync, lstatSync, mkdtempSync, renameSync, rmdirSync, rmSync, type Stats, statSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import type { UnixListener } from '../../config/model.ts';
import { longestSocketPath } from '../../kernel/kernel.ts';
import { findGroup, findUser } from '../../supervisor/supervisor.ts';

/** Why it cannot be listened on, for people. */
export class CannotListen extends Error {}

const lookMs = 2000;

/** Whether somebody accepts connections there. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(lookMs, () => end(true)); // it hangs: somebody has it
    socket.once('connect', () => end(true));
    socket.once('error', (error: NodeJS.ErrnoException) => end(!['ECONNREFUSED', 'ENOENT'].includes(error.code ?? '')));
  });
}

/** @throws CannotListen when the place is taken by something that is not a dead socket. */
async function checkPlace(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new CannotListen(`${path} is there and is no socket: take it away, or name another path`);
  if (await isAlive(path)) throw new CannotListen(`another server answers at ${path}: stop it, or name another path`);
}

const stickyBit = 0o1000;

/** @throws CannotListen for a folder in which anybody could put something else in our place. */
function checkFolder(folder: string): void {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (stat?.isDirectory() !== true) throw new CannotListen(`there is no folder ${folder}: make it`);
  if ((stat.mode & 0o002) !== 0 && (stat.mode & stickyBit) === 0)
    throw new CannotListen(`anybody may replace files in ${folder}: chmod o-w it, or name a path elsewhere`);
}

/** The numbers to give the file to; -1 leaves them. @throws CannotListen for a name that nobody has. */
function ownerOf({ user, group }: UnixListener): { uid: number; gid: number } {
  const uid = user === undefined ? -1 : findUser(user)?.uid;
  const gid = group === undefined ? -1 : findGroup(group);
  if (uid === undefined) throw new CannotListen(`there is no user ${user}`);
  if (gid === undefined) throw new CannotListen(`there is no group ${group}`);
  return { uid, gid };
}

export interface SocketFile {
  /** Takes the file away, if it is still ours. */
  remove(): void;
}

const listenAt = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => {
      server.off('error', reject);
      resolve();
    });
  });

/** Takes away what this very file is. */
const removerOf = (path: string, { ino, dev }: Stats): SocketFile => ({
  remove() {
    const now = lstatSync(path, { throwIfNoEntry: false });
    if (now?.ino === ino && now.dev === dev) rmSync(path, { force: true });
  },
});

/** Has `server` listen at the path of `spec`. Rejects with CannotListen, or the system's error. */
export async function listenOnFile(server: Server, spec: UnixListener): Promise<SocketFile> {
  const folder = dirname(spec.path);
  checkFolder(folder);
  await checkPlace(spec.path);
  const owner = ownerOf(spec);
  const room = mkdtempSync(join(folder, '.s-')); // mode 0700
  const own = join(room, 's');
  try {
    if (Buffer.byteLength(own) > longestSocketPath) throw new CannotListen(`the path ${spec.path} is too long for a socket`);
    await listenAt(server, own);
    if (owner.uid !== -1 || owner.gid !== -1) chownSync(own, owner.uid, owner.gid);
    chmodSync(own, spec.mode);
    const stat = lstatSync(own);
    renameSync(own, spec.path);
    return removerOf(spec.path, stat);
  } finally {
    rmSync(own, { force: true });
    rmdirSync(room);
  }
}
