/** What the daemon and the keeper say to each other: one JSON object a line, over two named pipes. Pure. */
import type { SocketAddress } from '../kernel/listening.ts';
import type { Packing } from './segments.ts';
import type { SinkSpec, Writer } from './sink.ts';

/** The descriptor by which a service gets its listening socket: the first after stdin, stdout and stderr (sd_listen_fds(3)). */
export const listenDescriptor = 3;

/** A stream and the log it goes to. */
export interface OpenStream extends SinkSpec {
  /** `instance` or `instance!err`. */
  readonly id: string;
  /** The named pipe it comes from. */
  readonly pipe: string;
  /** Who writes to it now, for a keeper that is new. */
  readonly writer?: Writer;
}

/**
 * Runs take turns at a pipe. `begin` is said before a process exists, so that its first byte comes after it: with `after`
 * bytes in the pipe that are not its own. `started` says that it exists, `ended` that its last byte is in the pipe.
 */
export type Turn =
  | { readonly kind: 'begin'; readonly id: string; readonly run: string; after: number }
  | { readonly kind: 'started'; readonly id: string; readonly run: string; readonly pid: number; readonly timeMs: number }
  | {
      readonly kind: 'ended';
      readonly id: string;
      readonly run: string;
      readonly pid: number;
      readonly code: number | null;
      readonly signal: number | null;
    };

/** A listening socket that the keeper holds, so that it outlives who serves it. */
export interface HeldSocket {
  /** Unique; the same address has the same name. */
  readonly name: string;
  readonly address: SocketAddress;
  /** How many connections may wait. */
  readonly backlog: number;
}

export type KeeperCommand =
  | { readonly open: OpenStream }
  | { readonly close: string }
  | { readonly turn: Turn }
  /** The rotated file that had this inode is packed in `temporary`, which takes its place. */
  | { readonly packed: { readonly file: string; readonly origin: number; readonly packing: Packing; readonly temporary: string } }
  | { readonly watch: { readonly pid: number; readonly start: number } }
  /** Listens for sd_notify messages on a unix datagram socket at this path; closed by `unlisten`. */
  | { readonly listen: { readonly id: string; readonly path: string; readonly uid?: number; readonly gid?: number } }
  | { readonly unlisten: string }
  /**
   * Opens this socket unless it is held already, and sends a descriptor of it to the datagram socket `to`, then `lent`. When
   * its address is taken, a copy is asked of the processes in `from`: they have it as the descriptor a service gets.
   * `request` comes back in the answer, for a daemon may hear what the one before it asked.
   */
  | { readonly lend: { readonly request: string; readonly socket: HeldSocket; readonly from: readonly number[]; readonly to: string } }
  /** Lets go of every socket but those with these names. */
  | { readonly hold: readonly string[] }
  /** Everything said and written before this is in the logs when `synced` with the same number comes back. */
  | { readonly sync: number }
  | { readonly stop: true };

export type KeeperEvent =
  | { readonly grown: readonly string[] }
  /** This log has a new rotated file. */
  | { readonly rotated: string }
  /** `status` as wait(2) encodes it, when the kernel tells. */
  | { readonly died: { readonly pid: number; readonly start: number; readonly status?: number | undefined } }
  | { readonly trouble: { readonly id: string; readonly file: string; readonly errno: number } }
  | { readonly recovered: { readonly id: string; readonly droppedBytes: number } }
  /** An sd_notify message: lines of NAME=value. */
  | { readonly notified: { readonly id: string; readonly text: string } }
  /** 0: the descriptor is there to be received. */
  | { readonly lent: { readonly request: string; readonly name: string; readonly errno: number } }
  | { readonly synced: number };

/**
 * Turns chunks of bytes into the objects they hold. A line that is no JSON is passed over: it is what a killed writer
 * left; the next writer begins with a newline.
 */
export function createLineReader<T>(): (chunk: Uint8Array) => T[] {
  const decoder = new TextDecoder();
  let rest = '';
  return (chunk) => {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    return lines.flatMap((line) => {
      try {
        return line === '' ? [] : [JSON.parse(line) as T];
      } catch {
        return [];
      }
    });
  };
}

export const createCommandReader = (): ((chunk: Uint8Array) => KeeperCommand[]) => createLineReader<KeeperCommand>();

/** How a wait(2) status reads: an exit code or the number of the signal. */
export const readWaitStatus = (status: number): { code: number | null; signal: number | null } =>
  (status & 0x7f) === 0 ? { code: (status >> 8) & 0xff, signal: null } : { code: null, signal: status & 0x7f };
