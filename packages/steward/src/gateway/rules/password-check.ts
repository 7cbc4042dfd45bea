/**
 * Users' files and the passwords in them, for one worker: files are read again when they change, slow hashes are worked out
 * in a thread, and a password that was right is remembered for a minute.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { hashKind, isSlow, verifyPassword } from './passwords.ts';

/** `busy`: too many slow hashes wait already. `no-file` and `unreadable`: nobody can be let in. */
export type PasswordAnswer = 'right' | 'wrong' | 'busy' | 'no-file' | 'unreadable';

export interface PasswordCheck {
  /** Whether `password` is that of `name` in the file; a promise when a slow hash has to be worked out. */
  check(file: string, name: string, password: string): PasswordAnswer | Promise<PasswordAnswer>;
  /** Ends the thread. */
  stop(): void;
}

export interface PasswordCheckOptions {
  /** A line for the error log. */
  readonly log: (line: string) => void;
  /** Milliseconds, for files and memory. Default: performance.now. */
  readonly now?: () => number;
}

interface UsersFile {
  lookedAtMs: number;
  /** Size, time and inode; a failure to read is a version too. */
  version: string;
  failure: 'no-file' | 'unreadable' | undefined;
  users: ReadonlyMap<string, string>;
}

const lookEveryMs = 1_000;
const rememberMs = 60_000;
const mostRemembered = 10_000;
/** About two seconds of work for bcrypt at its usual cost. */
const mostWaiting = 64;
const threadIdleMs = 60_000;
/** A text with variables may name many files. */
const mostFiles = 200;

/** Users by name from `name:hash` lines; what follows a second colon, and lines that begin with #, are comments. */
export function parseUsers(text: string): ReadonlyMap<string, string> {
  const users = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [name = '', hash] = line.split(':', 2);
    if (hash !== undefined && name !== '' && !name.startsWith('#') && !users.has(name)) users.set(name, hash.trimEnd());
  }
  return users;
}

const noUsers: ReadonlyMap<string, string> = new Map();

function readUsers(file: string, before: UsersFile | undefined, nowMs: number): UsersFile {
  try {
    const { size, mtimeMs, ino } = statSync(file);
    const version = `${size} ${mtimeMs} ${ino}`;
    if (before?.version === version) return { ...before, lookedAtMs: nowMs };
    return { lookedAtMs: nowMs, version, failure: undefined, users: parseUsers(readFileSync(file, 'utf8')) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const failure = code === 'ENOENT' || code === 'ENOTDIR' ? 'no-file' : 'unreadable';
    return { lookedAtMs: nowMs, version: code, failure, users: noUsers };
  }
}

export function createPasswordCheck({ log, now = () => performance.now() }: PasswordCheckOptions): PasswordCheck {
  const files = new Map<string, UsersFile>();
  const remembered = new Map<string, number>();
  const secret = randomBytes(32);
  const thread = createThread(log);

  const usersIn = (file: string): UsersFile => {
    const before = files.get(file);
    const nowMs = now();
    if (before !== undefined && nowMs - before.lookedAtMs < lookEveryMs) return before;
    const found = readUsers(file, before, nowMs);
    if (found.version !== before?.version) tellOf(file, found, log);
    if (before === undefined && files.size >= mostFiles) files.clear();
    files.set(file, found);
    return found;
  };

  const remember = (key: string): void => {
    if (remembered.size >= mostRemembered) remembered.clear();
    remembered.set(key, now() + rememberMs);
  };

  return {
    check(file, name, password) {
      const { failure, users } = usersIn(file);
      if (failure !== undefined) return failure;
      const hash = users.get(name);
      if (hash === undefined) return 'wrong';
      const kind = hashKind(hash);
      if (typeof kind === 'object') return 'wrong';
      if (!isSlow(kind)) return verifyPassword(password, hash) ? 'right' : 'wrong';
      // The hash is part of the key: a changed password is asked for anew. The password itself is kept nowhere.
      const key = createHmac('sha256', secret).update(`${hash}\0${password}`).digest('base64');
      if ((remembered.get(key) ?? 0) > now()) return 'right';
      return thread.verify(password, hash).then((answer) => {
        if (answer === 'right') remember(key);
        return answer;
      });
    },
    stop: () => thread.stop(),
  };
}

/** Once for each version of a file: why it, or some of its users, let nobody in. */
function tellOf(file: string, { failure, users, version }: UsersFile, log: (line: string) => void): void {
  if (failure !== undefined) log(`users' file ${file} cannot be read (${version}): nobody is let in by it`);
  for (const [name, hash] of users) {
    const kind = hashKind(hash);
    if (typeof kind === 'object') log(`users' file ${file}: the password of ${JSON.stringify(name)} is not taken: ${kind.refused}`);
  }
}

interface Thread {
  verify(password: string, hash: string): Promise<PasswordAnswer>;
  stop(): void;
}

/** One thread, started with the first question and ended after a minute without any. */
function createThread(log: (line: string) => void): Thread {
  const program = new URL(`./password-thread${extname(import.meta.url)}`, import.meta.url);
  const waiting = new Map<number, (answer: PasswordAnswer) => void>();
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;
  let lastId = 0;

  const stop = (): void => {
    clearTimeout(idle);
    const ended = worker;
    worker = undefined;
    void ended?.terminate();
    for (const answer of waiting.values()) answer('busy');
    waiting.clear();
  };
  const start = (): Worker => {
    const started = new Worker(program);
    started.unref();
    started.on('message', ({ id, fits }: { id: number; fits: boolean }) => {
      waiting.get(id)?.(fits ? 'right' : 'wrong');
      waiting.delete(id);
      if (waiting.size === 0) idle = setTimeout(stop, threadIdleMs).unref();
    });
    started.on('error', (error: Error) => {
      log(`the thread that checks passwords failed: ${error.message}`);
      if (worker === started) stop();
    });
    return started;
  };
  return {
    verify(password, hash) {
      if (waiting.size >= mostWaiting) return Promise.resolve('busy');
      clearTimeout(idle);
      worker ??= start();
      const id = ++lastId;
      const answered = new Promise<PasswordAnswer>((resolve) => waiting.set(id, resolve));
      worker.postMessage({ id, password, hash });
      return answered;
    },
    stop,
  };
}
