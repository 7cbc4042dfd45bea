/**
 * What the daemon tells the service manager that started it, by the sd_notify protocol: when it is ready, reloads and stops,
 * and that it is alive. Without NOTIFY_SOCKET nothing is told.
 */
import { EAGAIN } from '../kernel/kernel.ts';
import { sendToSocket } from '../kernel/notify-socket.ts';

export interface ServiceManager {
  /** What the manager gave in the environment: a program that takes this one's place needs it. */
  readonly given: Readonly<Record<string, string>>;
  ready(status: string): void;
  /** A reload, or a change to another program, has begun; `ready` ends it. */
  reloading(): void;
  stopping(): void;
  /** Ends the signs of life. */
  close(): void;
}

/** A manager that takes nothing for long hears the newest of what was to say. */
const mostUnsent = 20;
const retryMs = 100;

const names = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;

/** How often a sign of life is due, in ms: half of what the manager waits; undefined when it waits for none of ours. */
function watchdogMs(given: Readonly<Record<string, string>>, pid: number): number | undefined {
  const { WATCHDOG_USEC: usec = '', WATCHDOG_PID: whose } = given;
  if (!/^[1-9]\d*$/.test(usec) || (whose !== undefined && Number(whose) !== pid)) return undefined;
  return Math.max(1, Math.min(Math.floor(Number(usec) / 2000), 2 ** 31 - 1));
}

/** Takes the manager's variables out of `env`, so that no service speaks in Steward's name. */
export function findServiceManager(env: NodeJS.ProcessEnv): ServiceManager {
  const given = Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))) as Record<string, string>;
  for (const name of names) delete env[name];
  const { NOTIFY_SOCKET: socket } = given;
  const unsent: string[] = [];
  let sender: NodeJS.Timeout | undefined;
  /** In order, and again shortly while the manager has no room; one that does not listen cannot be told so. */
  function send(): void {
    clearTimeout(sender);
    for (let text = unsent[0]; socket !== undefined && text !== undefined; text = unsent[0]) {
      if (sendToSocket(socket, text) === -EAGAIN) {
        sender = setTimeout(send, retryMs).unref();
        return;
      }
      unsent.shift();
    }
  }
  const say = (...lines: string[]): void => {
    unsent.push(lines.join('\n'));
    if (unsent.length > mostUnsent) unsent.shift();
    send();
  };
  const everyMs = socket === undefined ? undefined : watchdogMs(given, process.pid);
  const alive = everyMs === undefined ? undefined : setInterval(() => unsent.length === 0 && say('WATCHDOG=1'), everyMs).unref();
  return {
    given,
    ready: (status) => say('READY=1', `STATUS=${status.replaceAll('\n', ' ')}`),
    reloading: () => say('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`),
    stopping: () => say('STOPPING=1'),
    close() {
      clearInterval(alive);
      clearTimeout(sender);
    },
  };
}
