/** The worker's line to the daemon. It comes and goes; the worker serves on by what it has. */
import net from 'node:net';
import { controlPath, readMessages, type Serving, type ToDaemon, type ToWorker, type VersionedTable } from './protocol.ts';

const firstRetryMs = 50;
const lastRetryMs = 2_000;

export interface Control {
  /** Sends a message if the daemon is there; otherwise it is not kept. */
  send(message: ToDaemon): void;
  /** The same with a message that is JSON already. */
  sendText(message: string): void;
  stop(): void;
}

/** Keeps a connection to the daemon of `dir` open for ever, and calls `onTable` for each table that it sends. */
export function connectControl(dir: string, hello: () => Serving, onTable: (table: VersionedTable) => void): Control {
  let socket: net.Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let waitMs = firstRetryMs;
  let stopped = false;

  const connect = (): void => {
    const next = net.connect(controlPath(dir));
    next.on('connect', () => {
      socket = next;
      waitMs = firstRetryMs;
      send({ type: 'hello', pid: process.pid, ...hello() });
    });
    next.on('error', () => {});
    next.on('close', () => {
      socket = undefined;
      if (stopped) return;
      timer = setTimeout(connect, waitMs);
      waitMs = Math.min(waitMs * 2, lastRetryMs);
    });
    readMessages(next, (message) => {
      const { type } = message as ToWorker;
      if (type === 'table') onTable(message as ToWorker);
    });
  };
  const sendText = (message: string): void => {
    if (socket?.writable) socket.write(`${message}\n`);
  };
  const send = (message: ToDaemon): void => sendText(JSON.stringify(message));

  connect();
  return {
    send,
    sendText,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      socket?.destroy();
    },
  };
}
