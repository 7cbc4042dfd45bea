/**
 * Starting a process as its spec says: executable, environment, user, groups, umask, folder, session. What cannot be
 * done is said in words before anything is started.
 */
import { closeSync, openSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import type { InstanceSpec } from '../config/model.ts';
import { didYouMean } from '../config/near.ts';
import { startChild } from '../kernel/children.ts';
import { limitWords, needsRoot } from './limits.ts';
import type { Exit } from './machine.ts';
import { findGroup, findUser, groupsOf, type User } from './user.ts';

/** Why a process cannot be started; the message is for people and becomes the instance's reason. */
export class CannotStart extends Error {}

/** Who the process runs as. `switches`: it is not who Steward runs as. */
export interface Identity {
  readonly user: User;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly switches: boolean;
}

const ownUid = process.getuid?.() ?? 0;

/** @throws CannotStart for a user or group that does not exist, or that only root may become. */
export function identify(spec: Pick<InstanceSpec, 'user' | 'userGroup' | 'groups'>): Identity {
  const user = findUser(spec.user ?? String(ownUid));
  if (user === undefined) throw new CannotStart(`there is no user "${spec.user ?? ownUid}"`);
  const number = (group: string): number => {
    const gid = findGroup(group);
    if (gid === undefined) throw new CannotStart(`there is no group "${group}"`);
    return gid;
  };
  const gid = spec.userGroup === undefined ? user.gid : number(spec.userGroup);
  const switches = user.uid !== ownUid || spec.userGroup !== undefined || spec.groups !== undefined;
  if (switches && ownUid !== 0)
    throw new CannotStart(`only root may run it as "${spec.user ?? spec.userGroup}"; this Steward runs as uid ${ownUid}`);
  return { user, gid, groups: spec.groups?.map(number) ?? (switches ? groupsOf(user) : []), switches };
}

const cleanPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function personOf({ user }: Identity): Record<string, string> {
  return { HOME: user.home, USER: user.name, LOGNAME: user.name, SHELL: user.shell };
}

function cleanEnv(identity: Identity): Record<string, string> {
  const { LANG = 'C.UTF-8', TZ, PATH } = process.env;
  const env: Record<string, string> = { PATH: identity.switches ? cleanPath : (PATH ?? cleanPath), ...personOf(identity), LANG };
  if (TZ !== undefined) env.TZ = TZ;
  return env;
}

/** The whole environment of the process; `marks` are Steward's own variables and win. */
export function environmentFor(spec: InstanceSpec, identity: Identity, marks: Readonly<Record<string, string>>): Record<string, string> {
  const inherited = { ...(process.env as Record<string, string>), ...(spec.user === undefined ? {} : personOf(identity)) };
  return { ...(spec.inheritEnv ? inherited : cleanEnv(identity)), ...spec.env, ...marks };
}

/** The permission bits of a file that count for somebody: owner's, group's or others'. Root may pass everything. */
function rightsOn(file: string, { user, gid, groups }: Identity): number {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (user.uid === 0) return stat.isDirectory() || (stat.mode & 0o111) !== 0 ? 0o7 : 0o6;
  if (stat.uid === user.uid) return (stat.mode >> 6) & 0o7;
  return (stat.gid === gid || groups.includes(stat.gid) ? stat.mode >> 3 : stat.mode) & 0o7;
}

const mayRunIt = 0o1;
const mayReadIt = 0o4;

/** Whether `identity` has a right on a file, and may pass every folder on the way, after links. (ACLs are not looked at.) */
function mayUse(path: string, right: number, identity: Identity): boolean {
  try {
    const file = realpathSync(path);
    if (!statSync(file).isFile() || (rightsOn(file, identity) & right) === 0) return false;
    for (let folder = dirname(file); folder !== '/'; folder = dirname(folder)) if ((rightsOn(folder, identity) & 0o1) === 0) return false;
    return true;
  } catch {
    return false;
  }
}

const mayExecute = (path: string, identity: Identity): boolean => mayUse(path, mayRunIt, identity);

/** Whether `identity` may make files in a folder: it may write to it, and pass every folder on the way. */
export function mayWriteIn(folder: string, identity: Identity): boolean {
  try {
    const real = realpathSync(folder);
    if (!statSync(real).isDirectory() || (rightsOn(real, identity) & 0o3) !== 0o3) return false;
    for (let above = dirname(real); ; above = dirname(above)) {
      if ((rightsOn(above, identity) & mayRunIt) === 0) return false;
      if (above === '/') return true;
    }
  } catch {
    return false;
  }
}

/** The commands of these folders that are near enough to be meant, as ` Did you mean "x"?`. */
function nearCommand(command: string, folders: readonly string[]): string {
  const names = folders.flatMap((folder) => {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  });
  return didYouMean(command, [...new Set(names)]);
}

/**
 * The absolute path of a command, as execvp(3) would find it for `identity`: one in a folder it may not enter is passed
 * over. A command with a slash is relative to `cwd`. @throws CannotStart when there is none.
 */
export function findExecutable(command: string, cwd: string, path: string, identity: Identity): string {
  const who = identity.switches ? ` for user ${identity.user.name}` : '';
  if (command.includes('/')) {
    const file = resolve(cwd, command);
    if (mayExecute(file, identity)) return file;
    const exists = statSync(file, { throwIfNoEntry: false }) !== undefined;
    throw new CannotStart(
      exists
        ? `${file} is not executable${who}: chmod +x it, open the folders on its way, or name its interpreter`
        : `command not found: there is no ${file}`,
    );
  }
  const folders = path.split(delimiter).filter((folder) => isAbsolute(folder));
  const candidates = folders.map((folder) => join(folder, command));
  const found = candidates.find((file) => mayExecute(file, identity));
  if (found !== undefined) return found;
  const closed = candidates.find((file) => statSync(file, { throwIfNoEntry: false })?.isFile());
  if (closed !== undefined)
    throw new CannotStart(
      `"${command}" is at ${closed}, which user ${identity.user.name} may not execute: install one for all users, or name another path`,
    );
  throw new CannotStart(`command not found: "${command}" is in none of ${folders.join(', ')}.${nearCommand(command, folders)}`);
}

/** The first line of a file when it names an interpreter (execve(2)), without `#!`; undefined for every other file. */
function interpreterLine(file: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch {
    return undefined;
  }
  try {
    const head = Buffer.alloc(256);
    const text = head.toString('utf8', 0, readSync(fd, head, 0, head.length, 0));
    return text.startsWith('#!') ? text.slice(2).split('\n', 1)[0] : undefined;
  } finally {
    closeSync(fd);
  }
}

/** What keeps the script `file` from running although it is executable. @throws CannotStart with it. */
function checkScript(file: string, path: string, identity: Identity): void {
  const line = interpreterLine(file);
  if (line === undefined) return;
  const who = identity.switches ? ` for user ${identity.user.name}` : '';
  if (line.endsWith('\r'))
    throw new CannotStart(
      `the lines of ${file} end as on Windows (CRLF), so that its first one asks for an interpreter "${line.trim()}\\r": sed -i 's/\\r$//' ${file}`,
    );
  if (!mayUse(file, mayReadIt, identity))
    throw new CannotStart(`${file} is a script, and its interpreter may not read it${who}: chmod +r it, or open the folders on its way`);
  const [interpreter = '', ...rest] = line.trim().split(/\s+/);
  if (interpreter === '') return;
  if (!mayExecute(interpreter, identity)) {
    const exists = statSync(interpreter, { throwIfNoEntry: false }) !== undefined;
    throw new CannotStart(
      `${file} asks in its first line for the interpreter ${interpreter}, which ${exists ? `is not executable${who}` : 'does not exist'}`,
    );
  }
  const asked = rest.find((word) => !word.startsWith('-') && !word.includes('='));
  if (basename(interpreter) !== 'env' || asked === undefined) return;
  try {
    findExecutable(asked, '/', path, identity);
  } catch (error) {
    if (error instanceof CannotStart) throw new CannotStart(`${file} asks in its first line for "${asked}": ${error.message}`);
    throw error;
  }
}

/** Programs whose first word that is no option is a file they read. */
const readsFirstWord = /^(python[\d.]*|node|ruby|perl|php|bash|sh|dash)$/;

/** A script that is handed to an interpreter, and that the user may not read. @throws CannotStart with it. */
function checkArgument([command, first]: readonly string[], cwd: string, identity: Identity): void {
  if (command === undefined || first === undefined || first.startsWith('-') || !readsFirstWord.test(basename(command))) return;
  const file = resolve(cwd, first);
  if (!identity.switches || statSync(file, { throwIfNoEntry: false })?.isFile() !== true || mayUse(file, mayReadIt, identity)) return;
  throw new CannotStart(
    `${file} cannot be read by user ${identity.user.name}: chmod +r it, open the folders on its way, or put it elsewhere`,
  );
}

/** The file to start, once everything has been looked at that can be known beforehand. @throws CannotStart. */
function findProgram({ command, cwd }: InstanceSpec, path: string, identity: Identity): string {
  const file = findExecutable(command[0], cwd, path, identity);
  checkScript(file, path, identity);
  checkArgument(command, cwd, identity);
  return file;
}

/** The words that set its limits, tools as absolute paths. @throws CannotStart for what only root may ask for. */
function limitLead(spec: InstanceSpec): string[] {
  const refused = ownUid === 0 ? undefined : needsRoot(spec);
  if (refused !== undefined) throw new CannotStart(`${refused} is for root only; this Steward runs as uid ${ownUid}`);
  return limitWords(spec).flatMap(([tool = '', ...rest]) => [findExecutable(tool, '/', cleanPath, identify({})), ...rest]);
}

function checkFolder(cwd: string): void {
  if (statSync(cwd, { throwIfNoEntry: false })?.isDirectory() !== true)
    throw new CannotStart(`its working directory ${cwd} does not exist`);
}

const setpriv = (): string => findExecutable('setpriv', '/', cleanPath, identify({}));

/** setpriv(1) changes user and groups and becomes the command, so pid and arguments stay those of the command. */
function switchWords({ user, gid, groups }: Identity, capabilities: readonly string[]): string[] {
  const rights = capabilities.map((name) => `+${name}`).join(',');
  const ambient = rights === '' ? [] : [`--inh-caps=${rights}`, `--ambient-caps=${rights}`];
  return [
    setpriv(),
    `--reuid=${user.uid}`,
    `--regid=${gid}`,
    groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups',
    ...ambient,
    '--',
  ];
}

export interface Launch {
  readonly spec: InstanceSpec;
  readonly identity: Identity;
  readonly env: Readonly<Record<string, string>>;
  readonly stdout: number | 'null';
  readonly stderr: number | 'null';
  /** Rights it keeps although it is not root, such as net_bind_service. */
  readonly capabilities: readonly string[];
  /** A listening socket it gets as its descriptor 3. */
  readonly listener?: number | undefined;
}

/** A program takes a socket as meant for it when LISTEN_PID is its own pid (sd_listen_fds(3)), which nobody knows before it is there. */
const knowsItsPid = ['/bin/sh', '-c', 'export LISTEN_PID=$$; exec "$@"', 'sh'] as const;

/** The command of a spec with what sets its limits, user and descriptors in front. @throws CannotStart for what can be known beforehand. */
function wordsFor(
  spec: InstanceSpec,
  identity: Identity,
  env: Readonly<Record<string, string>>,
  capabilities: readonly string[],
  listens: boolean,
): { lead: string[]; command: string[] } {
  checkFolder(spec.cwd);
  const file = findProgram(spec, env.PATH ?? cleanPath, identity);
  const user = identity.switches ? switchWords(identity, capabilities) : [];
  return { lead: [...limitLead(spec), ...user, ...(listens ? knowsItsPid : [])], command: [file, ...spec.command.slice(1)] };
}

/** What somebody else needs to run the command of a spec as its user, in its folder, with its environment and limits. */
export interface OneOff {
  readonly words: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** File mode mask, if it is to be another one. */
  readonly umask?: number;
}

/** @throws CannotStart. */
export function oneOff(spec: InstanceSpec): OneOff {
  const identity = identify(spec);
  const env = environmentFor(spec, identity, { STEWARD_SERVICE: spec.service });
  const { lead, command } = wordsFor(spec, identity, env, [], false);
  return { words: [...lead, ...command], cwd: spec.cwd, env, ...(spec.umask !== undefined && { umask: spec.umask }) };
}

/** Starts it in a session and process group of its own, and gives back its pid; `onExit` hears of its end. @throws CannotStart. */
export function launch({ spec, identity, env, stdout, stderr, capabilities, listener }: Launch, onExit: (exit: Exit) => void): number {
  const { lead, command } = wordsFor(spec, identity, env, capabilities, listener !== undefined);
  const words = [...lead, ...command];
  // The mask is the process's own for the length of a synchronous call; files Steward makes name their mode themselves.
  const before = spec.umask === undefined ? undefined : process.umask(spec.umask);
  try {
    const argv = lead.length > 0 ? words : [spec.command[0], ...words.slice(1)];
    const descriptors = ['null', stdout, stderr, ...(listener === undefined ? [] : [listener])] as const;
    return startChild({ file: words[0] as string, argv, env, cwd: spec.cwd, descriptors }, ({ code, signal }) => onExit({ code, signal }));
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === undefined ? error : new CannotStart((error as Error).message);
  } finally {
    if (before !== undefined) process.umask(before);
  }
}

/** What would keep a spec from starting here, without starting it: the field to blame and why; undefined when nothing would. */
export function tryStart(spec: InstanceSpec): { readonly field: 'user' | 'cwd' | 'run'; readonly message: string } | undefined {
  let field: 'user' | 'cwd' | 'run' = 'user';
  try {
    const identity = identify(spec);
    field = 'cwd';
    checkFolder(spec.cwd);
    field = 'run';
    findProgram(spec, environmentFor(spec, identity, {}).PATH ?? cleanPath, identity);
    limitLead(spec);
    return undefined;
  } catch (error) {
    if (error instanceof CannotStart) return { field, message: error.message };
    throw error;
  }
}
