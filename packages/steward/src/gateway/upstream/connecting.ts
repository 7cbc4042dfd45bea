/**
 * A connection to a server being made. A unix socket whose queue is full answers EAGAIN at once, where TCP would wait: it is
 * tried again until the time for connecting is over, so that a burst waits for its turn as it would on a port.
 */
import type { Socket } from 'node:net';
import type { Deadlines, Timed } from '../connection/deadlines.ts';
import type { UpstreamFault } from '../connection/http1/upstream-connection.ts';

/** One of the two is called, once, unless it is cancelled. */
export interface Connected {
  onSocket(socket: Socket, tookMs: number): void;
  onUnreachable(fault: UpstreamFault, why: string): void;
}

const firstPauseMs = 2;
const lastPauseMs = 50;

export class Connecting implements Timed {
  deadlineMs: number;
  readonly #open: () => Socket;
  readonly #readyEvent: 'connect' | 'secureConnect';
  readonly #deadlines: Deadlines;
  readonly #outcome: Connected;
  readonly #begunMs = performance.now();
  #socket: Socket | undefined;
  #pause: NodeJS.Timeout | undefined;
  #pauseMs = firstPauseMs;
  #over = false;

  constructor(open: () => Socket, readyEvent: 'connect' | 'secureConnect', timeoutMs: number, deadlines: Deadlines, outcome: Connected) {
    this.#open = open;
    this.#readyEvent = readyEvent;
    this.#deadlines = deadlines;
    this.#outcome = outcome;
    this.deadlineMs = this.#begunMs + timeoutMs;
    deadlines.add(this);
    this.#try();
  }

  /** Nobody waits for it any more. False when it is over already. */
  cancel(): boolean {
    if (!this.#finish()) return false;
    this.#drop();
    return true;
  }

  onDeadline(): void {
    this.#giveUp('connect-timeout', 'it could not be reached in time');
  }

  #try(): void {
    const socket = this.#open();
    this.#socket = socket;
    socket.once('error', this.#onError);
    socket.once('close', this.#onClose);
    socket.once(this.#readyEvent, this.#onReady);
  }

  readonly #onReady = (): void => {
    const socket = this.#socket;
    if (socket === undefined || !this.#finish()) return;
    socket.off('error', this.#onError).off('close', this.#onClose);
    this.#outcome.onSocket(socket, performance.now() - this.#begunMs);
  };

  readonly #onClose = (): void => this.#giveUp('unreachable', 'it closed the connection');

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EAGAIN') return this.#giveUp(error.code === 'ETIMEDOUT' ? 'connect-timeout' : 'unreachable', error.message);
    this.#drop();
    if (this.#over) return;
    this.#pause = setTimeout(() => this.#try(), this.#pauseMs);
    this.#pauseMs = Math.min(this.#pauseMs * 2, lastPauseMs);
  };

  #giveUp(fault: UpstreamFault, why: string): void {
    if (!this.#finish()) return;
    this.#drop();
    this.#outcome.onUnreachable(fault, why);
  }

  #finish(): boolean {
    if (this.#over) return false;
    this.#over = true;
    clearTimeout(this.#pause);
    this.#deadlines.remove(this);
    return true;
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined) return;
    socket.off('close', this.#onClose).off('error', this.#onError).off(this.#readyEvent, this.#onReady);
    socket.on('error', () => {});
    socket.destroy();
  }
}
