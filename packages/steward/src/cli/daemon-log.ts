/**
 * The daemon's own log: JSON lines by pino on stderr. `up -d` sends stderr to daemon.log, which is then kept small here: a
 * full one becomes daemon.log.1, and so on. Anywhere else (a terminal, systemd's journal, a container) others see to that.
 */
import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { pino } from 'pino';
import { redirect } from '../kernel/descriptors.ts';
import type { StewardOptions } from '../steward.ts';

export interface LogSize {
  /** It is put aside when it would grow larger. */
  readonly maxBytes: number;
  /** How many that were put aside are kept. */
  readonly keep: number;
}

const standard: LogSize = { maxBytes: 10 * 1024 * 1024, keep: 2 };
const stdout = 1;
const stderr = 2;

/** Whether a descriptor is this very file. */
function isFile(fd: number, file: string): boolean {
  const [open, named] = [fstatSync(fd), statSync(file, { throwIfNoEntry: false })];
  return open.ino === named?.ino && open.dev === named.dev;
}

/** Moves each aside file one further, and `file` to the first; stdout and stderr go to a new one. */
function putAside(file: string, keep: number, descriptors: readonly number[]): void {
  for (let number = keep; number > 1; number--)
    if (statSync(`${file}.${number - 1}`, { throwIfNoEntry: false })) renameSync(`${file}.${number - 1}`, `${file}.${number}`);
  renameSync(file, `${file}.1`);
  const fresh = openSync(file, 'a', 0o600);
  for (const fd of descriptors) redirect(fresh, fd);
  closeSync(fresh);
}

/**
 * A writer to stderr that never throws: on a full disk lines are left out, and the next one that can be written says how
 * many. `file` is rotated when stderr is that file.
 */
function createWriter(file: string, { maxBytes, keep }: LogSize): { write(line: string): void } {
  const isOurs = isFile(stderr, file);
  const descriptors = isOurs && isFile(stdout, file) ? [stdout, stderr] : [stderr];
  let size = isOurs ? fstatSync(stderr).size : 0;
  let missing = 0;
  function rotate(): void {
    try {
      putAside(file, keep, descriptors);
    } catch {} // a folder that cannot be written: it is tried again after as many bytes
    size = 0;
  }
  return {
    write(line) {
      const told = missing === 0 ? line : `${JSON.stringify({ level: 40, msg: `${missing} lines could not be written here` })}\n${line}`;
      const bytes = Buffer.from(told);
      if (isOurs && size > 0 && size + bytes.length > maxBytes) rotate();
      try {
        writeSync(stderr, bytes);
        size += bytes.length;
        missing = 0;
      } catch {
        missing += 1;
      }
    },
  };
}

/** `file` is what `up -d` makes of stderr. */
export function createDaemonLog(file: string, size = standard): StewardOptions['log'] {
  const logger = pino({ base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, createWriter(file, size));
  return (level, message) => logger[level](message);
}
