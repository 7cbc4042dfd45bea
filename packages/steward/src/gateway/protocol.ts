/**
 * What daemon and workers say to each other over `<dir>/control.sock`, one JSON object a line.
 *
 *   worker ── hello ──► daemon        at each connection, with the version it serves and what it could not do
 *   daemon ── table ──► worker        at once if its version is older, and at every change
 *   worker ── applied ─► daemon       when it serves by that table, with what it could not do; again when that changes
 *   worker ── counters ► daemon       each second in which they changed
 */
import type { Socket } from 'node:net';
import type { Problem } from '../config/problem.ts';
import type { Counters } from './counters.ts';
import type { RouteTable } from './table.ts';

/** Also what `<dir>/table.json` holds. */
export interface VersionedTable {
  /** Grows with each table, across restarts of the daemon. */
  readonly version: number;
  readonly table: RouteTable;
}

export type ToWorker = { readonly type: 'table' } & VersionedTable;

/** What a worker serves by. */
export interface Serving {
  readonly version: number;
  readonly problems: readonly Problem[];
  /** Addresses of servers that its table names no more and that still answer requests. A worker of an earlier program says nothing of it. */
  readonly leaving?: readonly string[];
}

export type ToDaemon =
  | ({ readonly type: 'hello'; readonly pid: number } & Serving)
  | ({ readonly type: 'applied' } & Serving)
  | { readonly type: 'counters'; readonly counters: Counters };

export const tablePath = (dir: string): string => `${dir}/table.json`;
export const controlPath = (dir: string): string => `${dir}/control.sock`;

/** Calls `onMessage` for each line of `socket` that is JSON; others are left out. */
export function readMessages(socket: Socket, onMessage: (message: unknown) => void): void {
  let rest = '';
  socket.setEncoding('utf8');
  socket.on('data', (text: unknown) => {
    const lines = (rest + String(text)).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const message = parseJson(line);
      if (message !== undefined) onMessage(message);
    }
  });
}

/** The value of a JSON text, or undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
