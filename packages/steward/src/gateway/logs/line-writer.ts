/** A writer of lines on a descriptor that never waits and never takes more than its share of memory. */
import fs from 'node:fs';
import net from 'node:net';

/** The reader of the log may be away (a daemon being upgraded): this much is kept for it, then lines are dropped and counted. */
export const maxWaitingBytes = 8 * 1024 * 1024;

export interface LineWriter {
  /** Adds a line; never blocks, never throws. */
  write(line: string): void;
  /** Lines dropped since the start. */
  dropped(): number;
  /** Resolves when all lines are out, or when `timeoutMs` has passed. */
  flush(timeoutMs: number): Promise<void>;
}

/** Where bytes go; `waitingBytes` have not left yet. */
interface Sink {
  write(text: string): void;
  waitingBytes(): number;
}

function socketSink(fd: number): Sink {
  const socket = new net.Socket({ fd, readable: false, writable: true });
  let broken = false;
  socket.on('error', () => {
    broken = true;
  });
  return { write: (text) => void (broken || socket.write(text)), waitingBytes: () => (broken ? 0 : socket.writableLength) };
}

/** A plain file or a device has no readiness to wait for: written by the thread pool, one chunk after the other. */
function fileSink(fd: number): Sink {
  let waiting = '';
  let writing = 0;
  const next = (): void => {
    const text = waiting;
    waiting = '';
    writing = Buffer.byteLength(text);
    fs.write(fd, text, () => {
      writing = 0;
      if (waiting !== '') next();
    });
  };
  return {
    write: (text) => {
      waiting += text;
      if (writing === 0) next();
    },
    waitingBytes: () => waiting.length + writing,
  };
}

function openSink(fd: number): Sink {
  try {
    const facts = fs.fstatSync(fd);
    if (facts.isFIFO() || facts.isSocket()) return socketSink(fd);
  } catch {
    // A closed descriptor: the file sink ignores its errors.
  }
  return fileSink(fd);
}

/** Resolves when `waiting` gives 0, or when `timeoutMs` has passed. */
export async function untilSent(waiting: () => number, timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs;
  while (waiting() > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** A writer of lines on a descriptor, which it keeps. Lines of one turn of the event loop leave together. */
export function createLineWriter(fd: number): LineWriter {
  const sink = openSink(fd);
  let batch = '';
  let dropped = 0;
  const send = (): void => {
    const text = batch;
    batch = '';
    if (text !== '') sink.write(text);
  };
  return {
    write: (line) => {
      if (sink.waitingBytes() + batch.length > maxWaitingBytes) {
        dropped++;
        return;
      }
      if (batch === '') setImmediate(send);
      batch += `${line}\n`;
    },
    dropped: () => dropped,
    flush: (timeoutMs) => {
      send();
      return untilSent(() => sink.waitingBytes(), timeoutMs);
    },
  };
}
