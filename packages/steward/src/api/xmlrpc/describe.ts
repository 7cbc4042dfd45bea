/** An instance as supervisord describes a process: its state by number and name, its times, and the text of `status`. Pure. */
import type { InstanceView } from '../../supervisor/supervisor.ts';
import type { Lifetime } from './lifetimes.ts';

export const stateCodes = {
  STOPPED: 0,
  STARTING: 10,
  RUNNING: 20,
  BACKOFF: 30,
  STOPPING: 40,
  EXITED: 100,
  FATAL: 200,
  UNKNOWN: 1000,
} as const;
export type StateName = keyof typeof stateCodes;

/** One that waits for others before its first start is on its way, and can be stopped. */
export const stateOf = ({ state: { phase }, waitsFor }: InstanceView): StateName => (waitsFor.length > 0 ? 'STARTING' : phase);

/** supervisord's three families of states. */
export const isUp = (view: InstanceView): boolean => ['STARTING', 'RUNNING', 'BACKOFF'].includes(stateOf(view));
export const isDown = (view: InstanceView): boolean => ['STOPPED', 'EXITED', 'FATAL'].includes(stateOf(view));
export const takesSignals = (view: InstanceView): boolean => view.pid !== undefined && !isDown(view);

/** `group:name`, or `name` alone when the group has the same. */
export const nameOf = (group: string, name: string): string => (group === name ? name : `${group}:${name}`);

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;
const two = (number: number): string => String(number).padStart(2, '0');

/** `Nov 21 06:26 PM`, in the daemon's own time zone. */
export function shortDate(epochMs: number): string {
  const date = new Date(epochMs);
  const hour = date.getHours();
  return `${months[date.getMonth()]} ${two(date.getDate())} ${two(hour % 12 || 12)}:${two(date.getMinutes())} ${hour < 12 ? 'AM' : 'PM'}`;
}

/** `0:00:03`, `1 day, 2:03:04`. */
export function uptimeText(seconds: number): string {
  const whole = Math.max(0, seconds);
  const days = Math.floor(whole / 86_400);
  const clock = `${Math.floor((whole % 86_400) / 3600)}:${two(Math.floor((whole % 3600) / 60))}:${two(whole % 60)}`;
  return days === 0 ? clock : `${days} day${days === 1 ? '' : 's'}, ${clock}`;
}

export interface ProcessInfo {
  readonly name: string;
  readonly group: string;
  /** Epoch seconds; 0 for never. */
  readonly start: number;
  readonly stop: number;
  readonly now: number;
  readonly state: number;
  readonly statename: StateName;
  readonly spawnerr: string;
  readonly exitstatus: number;
  readonly logfile: string;
  readonly stdout_logfile: string;
  readonly stderr_logfile: string;
  readonly pid: number;
  readonly description: string;
  readonly [field: string]: string | number;
}

/** What is to be known beside the view. */
export interface Beside {
  readonly nowMs: number;
  readonly lifetime: Lifetime;
  /** Why its command could not be started, in supervisord's words; undefined when it can. */
  readonly commandFault: string | undefined;
}

/** In supervisord's words where it has any: those that scripts look for. */
function spawnError({ spec, state }: InstanceView, commandFault: string | undefined): string {
  if (state.phase !== 'BACKOFF' && state.phase !== 'FATAL')
    return state.phase === 'EXITED' && state.exit?.code != null && !spec.expectedExitCodes.includes(state.exit.code)
      ? `Bad exit code ${state.exit.code}`
      : '';
  if (state.exit !== undefined && state.failedStarts > 0 && spec.ready === undefined)
    return 'Exited too quickly (process log may have details)';
  return state.exit === undefined && commandFault !== undefined ? commandFault : state.reason;
}

/** -1 for one that a signal ended; 0 while it runs and after a failed start. */
function exitStatus({ state: { phase, exit, failedStarts } }: InstanceView): number {
  if (exit === undefined || phase === 'FATAL' || (phase === 'BACKOFF' && failedStarts > 0)) return 0;
  return exit.code ?? -1;
}

function description(view: InstanceView, info: Omit<ProcessInfo, 'description'>): string {
  switch (info.statename) {
    case 'RUNNING':
      return `pid ${info.pid}, uptime ${uptimeText(Number(info.now) - Number(info.start))}`;
    case 'BACKOFF':
    case 'FATAL':
      return String(info.spawnerr) || `unknown error (try "tail ${info.name}")`;
    case 'STOPPED':
    case 'EXITED':
      return info.start === 0 ? 'Not started' : shortDate(Number(info.stop) * 1000);
    default:
      return view.waitsFor.length > 0 ? `waits for ${view.waitsFor.join(', ')}` : '';
  }
}

const secondsOf = (ms: number | undefined): number => Math.floor((ms ?? 0) / 1000);

/** Everything that getProcessInfo tells. */
export function processInfo(view: InstanceView, { nowMs, lifetime, commandFault }: Beside): ProcessInfo {
  const { spec, streams, pid = 0 } = view;
  const fileOf = (stream: 'stdout' | 'stderr'): string => streams.find(({ name }) => name === stream)?.file ?? '';
  const statename = stateOf(view);
  const info = {
    name: spec.name,
    group: spec.group,
    start: secondsOf(view.startedMs ?? lifetime.startMs),
    stop: secondsOf(lifetime.stopMs),
    now: secondsOf(nowMs),
    state: stateCodes[statename],
    statename,
    spawnerr: spawnError(view, commandFault),
    exitstatus: exitStatus(view),
    logfile: fileOf('stdout'),
    stdout_logfile: fileOf('stdout'),
    stderr_logfile: fileOf('stderr'),
    pid,
  };
  return { ...info, description: description(view, info) };
}
