/**
 * Starting a program by posix_spawn(3). Node starts its children by fork(2), which copies the page tables of this process and
 * then makes both copy each page they touch: milliseconds for a daemon of 100 MB, more for a larger one. The C library shares the
 * memory with the child until that runs its program (CLONE_VM and CLONE_VFORK), whatever the size of this process.
 */
import ffi from 'node:ffi';
import { getSystemErrorMap } from 'node:util';

const { functions: libc } = ffi.dlopen(null, {
  posix_spawn: { arguments: ['pointer', 'string', 'pointer', 'pointer', 'pointer', 'pointer'], return: 'i32' },
  posix_spawnattr_init: { arguments: ['pointer'], return: 'i32' },
  posix_spawnattr_setflags: { arguments: ['pointer', 'i16'], return: 'i32' },
  posix_spawnattr_setsigmask: { arguments: ['pointer', 'pointer'], return: 'i32' },
  posix_spawnattr_setsigdefault: { arguments: ['pointer', 'pointer'], return: 'i32' },
  posix_spawn_file_actions_init: { arguments: ['pointer'], return: 'i32' },
  posix_spawn_file_actions_destroy: { arguments: ['pointer'], return: 'i32' },
  posix_spawn_file_actions_adddup2: { arguments: ['pointer', 'i32', 'i32'], return: 'i32' },
  posix_spawn_file_actions_addopen: { arguments: ['pointer', 'i32', 'string', 'i32', 'u32'], return: 'i32' },
  sigfillset: { arguments: ['pointer'], return: 'i32' },
});

/** Changing the folder is newer than the rest: glibc 2.29, musl 1.1.24. */
const changeFolder = ((): ((actions: Buffer, folder: string) => number) | undefined => {
  try {
    const action = { posix_spawn_file_actions_addchdir_np: { arguments: ['pointer', 'string'], return: 'i32' } } as const;
    return ffi.dlopen(null, action).functions.posix_spawn_file_actions_addchdir_np;
  } catch {
    return undefined;
  }
})();

/** What to start. */
export interface Start {
  /** Absolute path of the program. */
  readonly file: string;
  /** All words, the one by which it knows itself first. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  /** What it gets as its descriptors 0, 1, 2 and so on: descriptors of this process, or /dev/null. None of Node's others is inherited. */
  readonly descriptors: readonly (number | 'null')[];
}

/** More than posix_spawnattr_t (336 bytes) and posix_spawn_file_actions_t (80) take in glibc and musl on 64-bit machines. */
const structBytes = 512;
const sigsetBytes = 128;
const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const POSIX_SPAWN_SETSID = 0x80;

/** A session and group of its own, no signal blocked or ignored: Node ignores SIGPIPE, which a program expects to end it. Made once. */
const attributes = ((): Buffer => {
  const made = Buffer.alloc(structBytes);
  const all = Buffer.alloc(sigsetBytes);
  libc.sigfillset(all);
  libc.posix_spawnattr_init(made);
  libc.posix_spawnattr_setsigdefault(made, all);
  libc.posix_spawnattr_setsigmask(made, Buffer.alloc(sigsetBytes));
  libc.posix_spawnattr_setflags(made, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  return made;
})();

/** Strings as C has them: one block of bytes, and an array of pointers into it that ends with NULL. Both must be kept while in use. */
function strings(words: readonly string[]): { readonly bytes: Buffer; readonly pointers: Buffer } {
  const bytes = Buffer.from(`${words.join('\0')}\0`);
  const base = ffi.getRawPointer(bytes);
  const pointers = Buffer.alloc((words.length + 1) * 8);
  let at = 0;
  for (const [index, word] of words.entries()) {
    pointers.writeBigUInt64LE(base + BigInt(at), index * 8);
    at += Buffer.byteLength(word) + 1;
  }
  return { bytes, pointers };
}

/** The same by way of a shell that changes the folder; only the program's name for itself is lost. */
export const byShell = ({ file, argv, cwd, ...rest }: Start): Start => ({
  ...rest,
  cwd: '/',
  file: '/bin/sh',
  argv: ['sh', '-c', 'cd -- "$0" && exec "$@"', cwd, file, ...argv.slice(1)],
});

/** What keeps a program from being started, with `code` as Node's own errors have it. */
function refusal(errno: number, file: string): NodeJS.ErrnoException {
  const [code, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'unknown error'];
  return Object.assign(new Error(`${file} cannot be run: ${text} (${code})`), { code, errno: -errno });
}

const O_RDWR = 2;
const EINVAL = 22;

/** Node's descriptors are all above its standard ones: a low one would be written over before it is copied. */
function fillDescriptors(actions: Buffer, descriptors: Start['descriptors']): void {
  for (const [target, source] of descriptors.entries()) {
    if (source === 'null') libc.posix_spawn_file_actions_addopen(actions, target, '/dev/null', O_RDWR, 0);
    else if (source < target) throw new RangeError(`descriptor ${source} cannot become ${target}`);
    else libc.posix_spawn_file_actions_adddup2(actions, source, target);
  }
}

/**
 * Starts a program in a session and process group of its own; its pid. This thread waits until the program runs. Somebody has
 * to collect it when it is dead: `children.ts`. @throws an Error with `code` when the system refuses (ENOENT, EACCES, E2BIG, EAGAIN ...).
 */
export function posixSpawn(start: Start): number {
  const { file, argv, env, cwd, descriptors } = changeFolder === undefined ? byShell(start) : start;
  const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  if ([file, cwd, ...argv, ...words].some((word) => word.includes('\0'))) throw refusal(EINVAL, file.replaceAll('\0', ''));
  const [args, variables] = [strings(argv), strings(words)];
  const actions = Buffer.alloc(structBytes);
  const pid = Buffer.alloc(4);
  libc.posix_spawn_file_actions_init(actions);
  try {
    changeFolder?.(actions, cwd);
    fillDescriptors(actions, descriptors);
    const errno = libc.posix_spawn(pid, file, actions, attributes, args.pointers, variables.pointers);
    if (errno !== 0) throw refusal(errno, file);
    return pid.readInt32LE(0);
  } finally {
    libc.posix_spawn_file_actions_destroy(actions);
    // They had to live until here; environments may hold secrets.
    args.bytes.fill(0);
    variables.bytes.fill(0);
  }
}
