/**
 * Control groups of Linux, version 2: folders in which processes stay together whatever they do to their session, their
 * parents or their environment. Steward makes a folder of its own below its own group, and in it one for each run of an
 * instance. Source of the rules: Documentation/admin-guide/cgroup-v2.rst of the kernel.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export type Controller = 'memory' | 'cpu' | 'pids';
const controllers: readonly Controller[] = ['memory', 'cpu', 'pids'];

/** What a group of processes may use; what is left out has no limit. */
export interface GroupLimits {
  /** Bytes at which the kernel kills in the group. */
  readonly memory?: number;
  /** Bytes from which the kernel slows the group down and takes memory back. */
  readonly memoryHigh?: number;
  /** Processors: 1.5 is one and a half. */
  readonly cpu?: number;
  /** Processes and threads. */
  readonly tasks?: number;
}

/** Steward's part of the hierarchy. */
export interface Groups {
  readonly folder: string;
  /** What limits can be held here. */
  readonly controllers: ReadonlySet<Controller>;
  /** The groups there are, those of an earlier daemon too. */
  names(): string[];
  /** Undefined when it cannot be made. */
  make(name: string): 'new' | 'was there' | undefined;
  /**
   * Puts a process into a group, and with it what it starts from then on. Resolves with false when it is gone, or may not
   * be moved. The kernel lets a grace period of RCU pass over the first of several such moves, 10 ms or more.
   */
  enter(name: string, pid: number): Promise<boolean>;
  /** The group of ours that a process is in. */
  groupOf(pid: number): string | undefined;
  /** Pids of a group and of the groups below it. */
  members(name: string): number[];
  /** Whether a living process is in a group or below it. */
  isPopulated(name: string): boolean;
  /** Kills all there is in a group, at one moment. False on kernels older than 5.14, and where there is no such group. */
  kill(name: string): boolean;
  /** Removes a group, and empty groups below it; false while a process is in one of them. */
  remove(name: string): boolean;
  limit(name: string, limits: GroupLimits): void;
  /** How often the kernel killed in a group because it was over `memory`. */
  outOfMemoryKills(name: string): number;
  /** Lets go of the folder, if nothing is in it any more. */
  close(): void;
}

/** Values of a flat-keyed file such as cgroup.events. */
const keyed = (text: string): Map<string, string> => new Map(text.split('\n').map((line) => line.split(' ') as [string, string]));

/** `\040` and the like, by which mountinfo writes blanks. */
const unescaped = (path: string): string =>
  path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** A group: its folder, and the path by which /proc/PID/cgroup names it. */
export interface GroupPlace {
  readonly folder: string;
  readonly path: string;
}

/** Path of the group of version 2 in the text of a /proc/PID/cgroup. */
const pathIn = (cgroup: string): string | undefined => /^0::(\/.*)$/m.exec(cgroup)?.[1];

/**
 * The group of version 2 that a process is in; undefined when none is mounted where it can be seen. `mountinfo` and
 * `cgroup` are the texts of /proc/self/mountinfo and /proc/self/cgroup. Pure.
 */
export function ownGroup(mountinfo: string, cgroup: string): GroupPlace | undefined {
  const path = pathIn(cgroup);
  if (path === undefined) return undefined;
  for (const line of mountinfo.split('\n')) {
    const fields = line.split(' ');
    const [root, place] = [fields[3], fields[4]];
    if (root === undefined || place === undefined || fields[fields.indexOf('-') + 1] !== 'cgroup2') continue;
    const shown = unescaped(root);
    if (shown === '/') return { folder: resolve(unescaped(place), `.${path}`), path };
    if (path === shown || path.startsWith(`${shown}/`)) return { folder: resolve(unescaped(place), `.${path.slice(shown.length)}`), path };
  }
  return undefined;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** Whether the kernel took `text`. */
function put(file: string, text: string): boolean {
  try {
    writeFileSync(file, text, { flag: 'r+' });
    return true;
  } catch {
    return false;
  }
}

const pidsIn = (folder: string): number[] => textOf(join(folder, 'cgroup.procs')).split('\n').filter(Boolean).map(Number);

/** Files of the kernel and the values that hold `limits`; those of controllers that are not there are left out. Pure. */
export function limitFiles(
  { memory, memoryHigh, cpu, tasks }: GroupLimits,
  present: ReadonlySet<Controller>,
): [file: string, value: string][] {
  const periodUs = 100_000;
  const files: [Controller, string, string][] = [
    ['memory', 'memory.max', String(memory ?? 'max')],
    // Half a tree would be of no use: all of it is killed, and started again.
    ['memory', 'memory.oom.group', memory === undefined ? '0' : '1'],
    ['memory', 'memory.high', String(memoryHigh ?? 'max')],
    ['cpu', 'cpu.max', cpu === undefined ? 'max' : `${Math.max(1000, Math.round(cpu * periodUs))} ${periodUs}`],
    ['pids', 'pids.max', String(tasks ?? 'max')],
  ];
  return files.flatMap(([controller, file, value]) => (present.has(controller) ? [[file, value]] : []));
}

/**
 * Makes limits possible below `folder`. A group that hands controllers on may hold no process itself (the top of the
 * hierarchy may): when nobody but this process is in it, it moves into a group beside the others.
 */
function handOn(folder: string, own: string): ReadonlySet<Controller> {
  const offered = textOf(join(folder, 'cgroup.controllers')).split(/\s+/);
  const wanted = controllers.filter((name) => offered.includes(name));
  if (wanted.length === 0) return new Set();
  const ask = (): boolean => wanted.every((name) => put(join(folder, 'cgroup.subtree_control'), `+${name}`));
  if (!ask()) {
    const inside = pidsIn(folder);
    if (inside.length !== 1 || inside[0] !== process.pid) return new Set();
    if (!stepAside(own) || !ask()) return new Set();
  }
  return new Set(wanted.filter((name) => put(join(own, 'cgroup.subtree_control'), `+${name}`)));
}

const daemonGroup = 'daemon';

/** Puts this process into a group of its own beside those of the services. */
function stepAside(own: string): boolean {
  const aside = join(own, daemonGroup);
  mkdirSync(aside, { recursive: true });
  return put(join(aside, 'cgroup.procs'), String(process.pid));
}

/** Every folder below, deepest first, and itself last. */
const foldersOf = (folder: string): string[] => [
  ...readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? foldersOf(join(folder, entry.name)) : [])),
  folder,
];

function foldersIn(folder: string): string[] {
  try {
    return foldersOf(folder);
  } catch {
    return [];
  }
}

/**
 * Where Steward's folder belongs. A daemon may have put itself aside into it, or have been started from within one of its
 * services: then it is above, and a daemon in the group of a service leaves that, or it would end with it. Pure.
 */
export function above({ folder, path }: GroupPlace, name: string): GroupPlace & { readonly within?: string } {
  const at = path.lastIndexOf(`/${name}/`);
  if (at === -1) return { folder, path };
  const up = path
    .slice(at + 1)
    .split('/')
    .map(() => '..');
  return { folder: resolve(folder, ...up), path: path.slice(0, at) || '/', within: path.slice(at + name.length + 2) };
}

/** Opens, and makes, the folder `name` below this process's own group. Undefined where groups cannot be had. */
export function openGroups(name: string): Groups | undefined {
  const found = ownGroup(textOf('/proc/self/mountinfo'), textOf('/proc/self/cgroup'));
  if (found === undefined) return undefined;
  const base = above(found, name);
  const folder = join(base.folder, name);
  const prefix = `${join(base.path, name)}/`;
  try {
    mkdirSync(folder, { recursive: true });
  } catch {
    return undefined;
  }
  const present = handOn(base.folder, folder);
  if (base.within !== undefined && base.within !== daemonGroup && !put(join(base.folder, 'cgroup.procs'), String(process.pid)))
    stepAside(folder);
  const at = (group: string): string => join(folder, group);
  return {
    folder,
    controllers: present,
    names() {
      try {
        const entries = readdirSync(folder, { withFileTypes: true });
        return entries.flatMap((entry) => (entry.isDirectory() && entry.name !== daemonGroup ? entry.name : []));
      } catch {
        return [];
      }
    },
    make(group) {
      try {
        return mkdirSync(at(group), { recursive: true }) === undefined ? 'was there' : 'new';
      } catch {
        return undefined;
      }
    },
    enter: (group, pid) =>
      writeFile(join(at(group), 'cgroup.procs'), String(pid), { flag: 'r+' }).then(
        () => true,
        () => false,
      ),
    groupOf(pid) {
      const path = pathIn(textOf(`/proc/${pid}/cgroup`));
      return path?.startsWith(prefix) ? path.slice(prefix.length).split('/')[0] : undefined;
    },
    members: (group) => foldersIn(at(group)).flatMap(pidsIn),
    isPopulated: (group) => keyed(textOf(join(at(group), 'cgroup.events'))).get('populated') === '1',
    kill: (group) => put(join(at(group), 'cgroup.kill'), '1'),
    remove(group) {
      try {
        for (const below of foldersIn(at(group))) rmdirSync(below);
        return true;
      } catch {
        return false;
      }
    },
    limit(group, limits) {
      for (const [file, value] of limitFiles(limits, present)) put(join(at(group), file), value);
    },
    close() {
      try {
        rmdirSync(folder);
      } catch {} // somebody is still in it
    },
    outOfMemoryKills: (group) => Number(keyed(textOf(join(at(group), 'memory.events'))).get('oom_kill') ?? 0),
  };
}
