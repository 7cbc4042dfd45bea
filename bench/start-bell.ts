/** A named pipe on which a supervised program says that it runs. */
import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { outputOf } from './program.ts';

/** A program that says its pid on the pipe $1, then waits: nothing of its own takes time. */
export const bellScript = 'echo $$ > "$1"\nexec sleep 1000\n';

/** A start, as the bench came to know of it. */
export type Start = { pid: number; at: number };

/** How long a program may take to start. */
const patienceMs = 15_000;

/**
 * Hears of each start of a program that runs `bellScript` with the pipe `path`.
 * The time is taken here, on arrival: the shell has no clock finer than 10 ms, and the way is the same for every peer.
 */
export class StartBell implements Disposable {
  readonly path: string;
  last: Start = { pid: 0, at: 0 };
  readonly #socket: Socket;
  #heard = Promise.withResolvers<Start>();

  private constructor(path: string) {
    this.path = path;
    // Open for writing too: the pipe has no end of file while no program holds it.
    this.#socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK), readable: true, writable: false });
    this.#socket.on('data', (data) => {
      this.last = { at: performance.now(), pid: Number(data.toString().trim().split('\n').at(-1)) };
      this.#heard.resolve(this.last);
      this.#heard = Promise.withResolvers();
    });
  }

  /** Makes the pipe, and listens. */
  static async create(path: string): Promise<StartBell> {
    await outputOf('mkfifo', [path]);
    return new StartBell(path);
  }

  /** The next start. @throws when there is none for 15 s, or when `signal` aborts. */
  async next(signal: AbortSignal): Promise<Start> {
    const { promise, reject } = this.#heard;
    const onAbort = (): void => reject(signal.reason);
    const late = setTimeout(() => reject(new Error(`the program of ${this.path} did not start within ${patienceMs / 1000} s`)), patienceMs);
    signal.addEventListener('abort', onAbort);
    try {
      return await promise;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', onAbort);
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
