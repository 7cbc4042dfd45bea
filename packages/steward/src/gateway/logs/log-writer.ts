/**
 * Writes lines to files by name, beside other workers that write to the same ones. Whoever renames, deletes or empties a file
 * (logrotate, rm, `: >`) needs to tell nobody:
 *
 *   line ──► batch of a turn ──► at most every 20 ms: is the name still this file? else open it anew ──► one append
 *
 * An append (O_APPEND) is whole in a file however many write to it. Lines go to a renamed file until there is a new one: made
 * here when the folder allows, else by the daemon (log-files.ts).
 */
import fs, { constants } from 'node:fs';
import { maxWaitingBytes, untilSent } from './line-writer.ts';

const openFlags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
const openMode = 0o640;
const lookEveryMs = 20;
const retryMs = 1_000;
/** A pipe whose reader is slow. */
const pipeRetryMs = 10;
const maxOpenFiles = 128;
const idleMs = 60_000;
const sweepEveryMs = 10_000;
const tellEveryMs = 10_000;

/** What all files of a worker share. */
interface Shared {
  waitingBytes: number;
  dropped: number;
  readonly tell: (text: string) => void;
}

const newlines = (bytes: Buffer): number => {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
};

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));

class LogFile {
  readonly #path: string;
  readonly #shared: Shared;
  /** Lines wait for a file that cannot be opened; else they are dropped. */
  readonly #waits: boolean;
  #fd = -1;
  #inode = 0;
  #device = 0;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #batch: string[] = [];
  /** Being written, or to be tried again. */
  #bytes: Buffer | undefined;
  #busy = false;
  #timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  #closing = false;
  usedAtMs = 0;

  constructor(path: string, waits: boolean, shared: Shared) {
    this.#path = path;
    this.#waits = waits;
    this.#shared = shared;
  }

  get idle(): boolean {
    return !this.#busy && this.#bytes === undefined && this.#batch.length === 0;
  }

  write(line: string): void {
    const { length } = line;
    if (this.#shared.waitingBytes + length > maxWaitingBytes) {
      this.#shared.dropped++;
      return;
    }
    this.#shared.waitingBytes += length + 1;
    this.#batch.push(line);
    if (this.#timer === undefined && !this.#busy) this.#timer = setImmediate(() => this.#send());
  }

  /** Closes the file once its last line is out. */
  close(): void {
    this.#closing = true;
    if (this.idle) this.#closeNow();
  }

  #closeNow(): void {
    if (this.#fd >= 0) fs.closeSync(this.#fd);
    this.#fd = -1;
  }

  /** Writes what waits, one append after the other. */
  #send(): void {
    this.#timer = undefined;
    if (this.#busy) return;
    const bytes = this.#bytes ?? this.#takeBatch();
    if (bytes === undefined) {
      if (this.#closing) this.#closeNow();
      return;
    }
    this.#bytes = bytes;
    const fault = this.#follow();
    if (this.#fd < 0) return this.#cannot(fault);
    this.#busy = true;
    fs.write(this.#fd, bytes, (error, count) => {
      this.#busy = false;
      if (error !== null) return this.#cannot(error);
      this.#shared.waitingBytes -= count;
      this.#bytes = count < bytes.length ? bytes.subarray(count) : undefined;
      this.#send();
    });
  }

  /** The lines of the batch as bytes, and the count of what waits made exact. */
  #takeBatch(): Buffer | undefined {
    if (this.#batch.length === 0) return undefined;
    const text = `${this.#batch.join('\n')}\n`;
    this.#batch = [];
    const bytes = Buffer.from(text, 'utf8');
    this.#shared.waitingBytes += bytes.length - text.length;
    return bytes;
  }

  /** Makes sure that `#fd` is the file of the name; why not, if it cannot be. */
  #follow(): unknown {
    const now = performance.now();
    if (this.#fd >= 0 && now - this.#lookedAtMs < lookEveryMs) return undefined;
    this.#lookedAtMs = now;
    if (this.#fd >= 0 && this.#isNamed()) return undefined;
    try {
      const fd = fs.openSync(this.#path, openFlags, openMode);
      this.#closeNow();
      const facts = fs.fstatSync(fd);
      this.#fd = fd;
      this.#inode = facts.ino;
      this.#device = facts.dev;
      return undefined;
    } catch (error) {
      // A renamed file takes lines until there is a new one; a deleted one would swallow them.
      if (this.#fd >= 0 && fs.fstatSync(this.#fd).nlink === 0) this.#closeNow();
      return error;
    }
  }

  #isNamed(): boolean {
    try {
      const facts = fs.statSync(this.#path, { throwIfNoEntry: false });
      return facts !== undefined && facts.ino === this.#inode && facts.dev === this.#device;
    } catch {
      return false;
    }
  }

  /** Lines wait for a better time, or are given up. */
  #cannot(why: unknown): void {
    const full = (why as NodeJS.ErrnoException).code === 'EAGAIN';
    if (!full) {
      this.#closeNow();
      this.#shared.tell(`access log ${this.#path} cannot be written: ${describe(why)}`);
    }
    if (!this.#waits && !full) this.#giveUp();
    else this.#timer ??= setTimeout(() => this.#send(), full ? pipeRetryMs : retryMs).unref();
  }

  #giveUp(): void {
    const batch = this.#takeBatch();
    for (const bytes of [this.#bytes, batch]) {
      if (bytes === undefined) continue;
      this.#shared.waitingBytes -= bytes.length;
      this.#shared.dropped += newlines(bytes);
    }
    this.#bytes = undefined;
  }
}

export interface LogWriter {
  /**
   * Adds a line to a file; never blocks, never throws. `waits`: keep it while the file cannot be opened (8 MB for all files
   * together), else drop it.
   */
  write(path: string, line: string, waits: boolean): void;
  /** Lines dropped since the start. */
  dropped(): number;
  /** Resolves when all lines are out, or when `timeoutMs` has passed. */
  flush(timeoutMs: number): Promise<void>;
}

/** A writer for any number of files, of which 128 are open at once. `tell` hears at most every 10 s why one cannot be written. */
export function createLogWriter(tell: (text: string) => void): LogWriter {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  const shared: Shared = {
    waitingBytes: 0,
    dropped: 0,
    tell: (text) => {
      const now = performance.now();
      if (now - toldAtMs < tellEveryMs) return;
      toldAtMs = now;
      tell(text);
    },
  };
  /** The one not written for longest first. */
  const files = new Map<string, LogFile>();
  let sweeper: NodeJS.Timeout | undefined;

  const letGo = (path: string, file: LogFile): void => {
    files.delete(path);
    file.close();
  };
  const sweep = (): void => {
    const before = performance.now() - idleMs;
    for (const [path, file] of files) if (file.usedAtMs < before && file.idle) letGo(path, file);
    if (files.size > 0) return;
    clearInterval(sweeper);
    sweeper = undefined;
  };
  const fileOf = (path: string, waits: boolean): LogFile => {
    const known = files.get(path);
    const file = known ?? new LogFile(path, waits, shared);
    const now = performance.now();
    // Put last at most once a second: with few files the order does not matter, with many it is cheap enough.
    if (known === undefined || now - file.usedAtMs > 1_000) {
      files.delete(path);
      files.set(path, file);
    }
    file.usedAtMs = now;
    sweeper ??= setInterval(sweep, sweepEveryMs).unref();
    if (files.size <= maxOpenFiles) return file;
    for (const [oldestPath, oldest] of files) if (oldest.idle && oldest !== file && files.size > maxOpenFiles) letGo(oldestPath, oldest);
    return file;
  };
  return {
    write: (path, line, waits) => fileOf(path, waits).write(line),
    dropped: () => shared.dropped,
    flush: (timeoutMs) => untilSent(() => shared.waitingBytes, timeoutMs),
  };
}
