/** Log lines: the access log's form, and a writer that never waits and never takes more than its share of memory. */
import fs from 'node:fs';
import net from 'node:net';

/** One request, for its line. */
export interface AccessEntry {
  readonly client: string;
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly version: string;
  readonly status: number;
  readonly bytes: number;
  readonly referer: string;
  readonly agent: string;
  readonly host: string;
  readonly tookMs: number;
  readonly upstream: string;
}

const unsafe = /[^\x20\x21\x23-\x5b\x5d-\x7e]/g;

/** `text` on one line and inside quotes: quotes, backslashes, control characters and bytes over 126 as \xHH. */
export const escapeLogged = (text: string): string =>
  text.replace(unsafe, (char) =>
    char.charCodeAt(0) > 0xff
      ? `\\u{${char.charCodeAt(0).toString(16)}}`
      : `\\x${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );

/** `client [time] "METHOD path HTTP/x" status bytes "referer" "agent" host ms upstream`; `-` for what is not known. Time is ISO 8601, UTC. */
export function formatAccess(entry: AccessEntry): string {
  const quoted = (text: string): string => `"${text === '' ? '-' : escapeLogged(text)}"`;
  const { client, method, path, version, status, bytes, tookMs } = entry;
  const request = quoted(`${method} ${path} HTTP/${version}`);
  const host = entry.host === '' ? '-' : escapeLogged(entry.host);
  return `${client || '-'} [${new Date(entry.atMs).toISOString()}] ${request} ${status} ${bytes} ${quoted(entry.referer)} ${quoted(entry.agent)} ${host} ${tookMs.toFixed(1)} ${entry.upstream}`;
}

/** The reader of the log may be away (a daemon being upgraded): this much is kept for it, then lines are dropped and counted. */
const maxWaitingBytes = 8 * 1024 * 1024;

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
    flush: async (timeoutMs) => {
      send();
      const until = performance.now() + timeoutMs;
      while (sink.waitingBytes() > 0 && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 5));
    },
  };
}
