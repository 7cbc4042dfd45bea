/**
 * The life of one instance, as a pure reducer. What is wanted and what is are kept apart; time, chance and the outside
 * world come in as events, and everything to be done goes out as effects.
 *
 *              want-up                    ready, or up for upAfter
 *   STOPPED ─────────────▶ STARTING ───────────────────────────────▶ RUNNING
 *   EXITED                   │  ▲ retry timer                          │ exited
 *   FATAL        failed start│  │ want-up                              ├─ restart, delay 0 ─▶ STARTING
 *                            ▼  │                                      ├─ restart, delay   ─▶ BACKOFF
 *                         BACKOFF ── too many failed starts ─▶ FATAL   └─ no restart       ─▶ EXITED
 *
 *   STARTING, RUNNING ── want-down, restart, not ready in time ─▶ STOPPING ── gone ─▶ STOPPED | STARTING | BACKOFF
 *
 * States and option semantics are supervisord's (subprocess.rst); readiness, exponential backoff and whole-group stop are
 * Steward's own.
 */
import type { FactType } from '@steward/sdk/contract/facts';
import type { BackoffSpec, InstanceSpec, SignalName } from '../config/model.ts';

export type Phase = 'STOPPED' | 'STARTING' | 'RUNNING' | 'BACKOFF' | 'STOPPING' | 'EXITED' | 'FATAL';

/** The part of a spec that decides about its life. */
export type Policy = Pick<
  InstanceSpec,
  'restart' | 'expectedExitCodes' | 'ready' | 'upAfterMs' | 'startRetries' | 'backoff' | 'stop' | 'hooks'
>;

/** How a process ended; both null when it was not our child and the kernel does not tell. */
export interface Exit {
  readonly code: number | null;
  readonly signal: number | null;
}

export interface InstanceState {
  readonly phase: Phase;
  readonly wanted: 'up' | 'down';
  readonly pid?: number | undefined;
  /** Monotonic ms of the last start. */
  readonly startedAt: number;
  /** Starts in a row that ended before it was running. */
  readonly failedStarts: number;
  /** Ends in a row, failed starts among them, that no long life came between. */
  readonly ends: number;
  /** Times it was started again by itself. */
  readonly restarts: number;
  readonly exit?: Exit | undefined;
  /** Why it is where it is, for people; empty when there is nothing to say. */
  readonly reason: string;
  /** What follows a STOPPING. */
  readonly next: 'stop' | 'start' | 'retry';
  /** KILL was sent and the kernel lets it not go: nobody has to wait for its end. */
  readonly stuck?: boolean | undefined;
  /** STOPPING and not yet signalled: requests under way end first, and its `beforeStop`. */
  readonly leaving?: boolean | undefined;
}

export const initialState: InstanceState = {
  phase: 'STOPPED',
  wanted: 'down',
  startedAt: 0,
  failedStarts: 0,
  ends: 0,
  restarts: 0,
  reason: '',
  next: 'stop',
};

export type TimerName = 'up' | 'ready' | 'retry' | 'leave' | 'kill';

export type InstanceEvent = { readonly at: number /* monotonic ms */ } & (
  | { readonly type: 'want-up' }
  | { readonly type: 'want-down' }
  /** With a `reason` it is Steward that wants it, because of how it behaves. */
  | { readonly type: 'restart'; readonly reason?: string }
  /** KILL was sent, and it does not take. */
  | { readonly type: 'stuck'; readonly reason: string }
  /** Why it ended, found out afterwards. */
  | { readonly type: 'explained'; readonly text: string; readonly isNews: boolean }
  | { readonly type: 'spawned'; readonly pid: number }
  /** `chance` in [0, 1) decides about jitter. */
  | { readonly type: 'spawn-failed'; readonly reason: string; readonly chance: number }
  | { readonly type: 'exited'; readonly exit: Exit; readonly chance: number }
  /** After an exit in STOPPING: nothing of the process group is left. */
  | { readonly type: 'group-gone'; readonly chance: number }
  | { readonly type: 'ready' }
  /** The answer to take-leave: the first signal may be sent. */
  | { readonly type: 'left' }
  | { readonly type: 'timer'; readonly timer: TimerName }
  /** A process that an earlier daemon started. */
  | { readonly type: 'adopted'; readonly pid: number; readonly startedAt: number; readonly running: boolean; readonly restarts: number }
);

export type InstanceEffect =
  | { readonly type: 'spawn' }
  | { readonly type: 'signal'; readonly signal: SignalName; readonly scope: 'group' | 'process' }
  /** Answer with left when no request is under way on it and its `beforeStop` has run. */
  | { readonly type: 'take-leave' }
  /** Answer with group-gone when the process group is empty. */
  | { readonly type: 'await-group' }
  | { readonly type: 'arm'; readonly timer: TimerName; readonly ms: number }
  | { readonly type: 'disarm'; readonly timer: TimerName }
  | { readonly type: 'probe' }
  | { readonly type: 'unprobe' }
  | { readonly type: 'fact'; readonly fact: FactType; readonly message: string; readonly data?: Record<string, string | number | null> };

export interface Step {
  readonly state: InstanceState;
  readonly effects: readonly InstanceEffect[];
}

/** After KILL: look again this often whether it took; a process in uninterruptible sleep can last. */
const killAgainMs = 5000;
/** supervisord restarts a program with startsecs=0 that exits at once without any pause; this is the pause it lacks. */
const stormPauseMs = 1000;
/** Before the start that follows a failed one, or a second crash in a row within a second, even if the file asks for no wait: no storm. */
const shortestPauseMs = 100;

/** How long to wait before the start that follows the `ends`-th end in a row. */
export function backoffDelay(backoff: BackoffSpec, ends: number, failedStarts: number, chance: number): number {
  if (backoff.kind === 'linear') return failedStarts * 1000;
  const { firstMs, baseMs, factor, maxMs, jitter } = backoff;
  const plain = ends <= 1 ? firstMs : Math.min(maxMs, baseMs * factor ** Math.min(ends - 2, 60));
  return Math.round(Math.min(maxMs, plain * (1 + jitter * chance)));
}

/** `exited with code 1`, `was killed by SIGKILL (9)`. */
export function describeExit({ code, signal }: Exit): string {
  if (code !== null) return `exited with code ${code}`;
  return signal === null ? 'ended while no Steward watched' : `was killed by signal ${signal}`;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

const stay = (state: InstanceState, ...effects: InstanceEffect[]): Step => ({ state, effects });

const fact = (type: FactType, message: string, data?: Record<string, string | number | null>): InstanceEffect => ({
  type: 'fact',
  fact: type,
  message,
  ...(data && { data }),
});

/** Everything that only makes sense while the process lives. */
const calm: readonly InstanceEffect[] = [{ type: 'disarm', timer: 'up' }, { type: 'disarm', timer: 'ready' }, { type: 'unprobe' }];

const staying: InstanceEffect = { type: 'disarm', timer: 'leave' };

function start(state: InstanceState, at: number, why: string): Step {
  return {
    state: {
      ...state,
      phase: 'STARTING',
      wanted: 'up',
      pid: undefined,
      startedAt: at,
      exit: undefined,
      reason: '',
      next: 'stop',
      stuck: undefined,
    },
    effects: [{ type: 'disarm', timer: 'retry' }, fact('instance.starting', why), { type: 'spawn' }],
  };
}

function running(state: InstanceState, why: string, effects: readonly InstanceEffect[] = calm): Step {
  return {
    state: { ...state, phase: 'RUNNING', failedStarts: 0, reason: '' },
    effects: [...effects, fact('instance.running', why, { pid: state.pid ?? null })],
  };
}

function spawned(policy: Policy, state: InstanceState, pid: number): Step {
  const next = { ...state, pid };
  if (policy.ready !== undefined) return stay(next, { type: 'probe' }, { type: 'arm', timer: 'ready', ms: policy.ready.timeoutMs });
  if (policy.upAfterMs === 0) return running(next, 'runs', []);
  return stay(next, { type: 'arm', timer: 'up', ms: policy.upAfterMs });
}

function wait(state: InstanceState, delayMs: number, reason: string, at: number): Step {
  if (delayMs === 0) return start({ ...state, restarts: state.restarts + 1 }, at, `starts again: ${reason}`);
  return {
    state: { ...state, phase: 'BACKOFF', pid: undefined, reason },
    effects: [
      fact('instance.backoff', `${reason}; next try in ${seconds(delayMs)}`, { delayMs }),
      { type: 'arm', timer: 'retry', ms: delayMs },
    ],
  };
}

function failedStart(policy: Policy, before: InstanceState, reason: string, at: number, chance: number): Step {
  const state = { ...before, failedStarts: before.failedStarts + 1, ends: before.ends + 1, pid: undefined };
  if (policy.startRetries !== 'forever' && state.failedStarts > policy.startRetries) {
    const why = `${reason}; gave up after ${state.failedStarts} failed starts`;
    return { state: { ...state, phase: 'FATAL', reason: why }, effects: [...calm, fact('instance.fatal', why)] };
  }
  // A failed start always waits a little, also where the policy restarts a crash at once.
  const delayMs = Math.max(backoffDelay(policy.backoff, state.ends, state.failedStarts, chance), shortestPauseMs);
  const { state: next, effects } = wait(state, delayMs, reason, at);
  return { state: next, effects: [...calm, ...effects] };
}

const isExpected = (policy: Policy, exit: Exit): boolean => exit.code !== null && policy.expectedExitCodes.includes(exit.code);

/** What a crashed or finished process leaves behind in its group would hold ports and files: it is ended. */
const sweep = (policy: Policy): InstanceEffect[] =>
  policy.stop.killScope === 'group' ? [{ type: 'signal', signal: 'KILL', scope: 'group' }] : [];

function crashDelay(policy: Policy, state: InstanceState, uptimeMs: number, chance: number): number {
  if (policy.backoff.kind === 'linear') return policy.upAfterMs === 0 && uptimeMs < stormPauseMs ? stormPauseMs : 0;
  const delayMs = backoffDelay(policy.backoff, state.ends, state.failedStarts, chance);
  return uptimeMs < stormPauseMs && state.ends > 1 ? Math.max(delayMs, shortestPauseMs) : delayMs;
}

function exitedWhileRunning(policy: Policy, before: InstanceState, exit: Exit, at: number, chance: number): Step {
  const uptimeMs = at - before.startedAt;
  const forgiven = policy.backoff.kind === 'exponential' && uptimeMs >= policy.backoff.resetAfterMs;
  const state = { ...before, exit, ends: forgiven ? 1 : before.ends + 1 };
  const reason = `${describeExit(exit)} after ${seconds(uptimeMs)}`;
  const told = fact('instance.exited', reason, { code: exit.code, signal: exit.signal, uptimeMs: Math.round(uptimeMs) });
  const again = state.wanted === 'up' && (policy.restart === 'always' || (policy.restart === 'on-failure' && !isExpected(policy, exit)));
  const gone: InstanceEffect[] = [...calm, ...sweep(policy), told];
  if (!again) return stay({ ...state, phase: 'EXITED', pid: undefined, reason }, ...gone);
  const { state: next, effects } = wait(state, crashDelay(policy, state, uptimeMs, chance), reason, at);
  return { state: next, effects: [...gone, ...effects] };
}

/** The end of a STOPPING: what was to follow it follows. */
function stopped(policy: Policy, before: InstanceState, at: number, chance: number): Step {
  const state = before.leaving ? { ...before, leaving: undefined } : before;
  const done: InstanceEffect[] = [...(before.leaving ? [staying] : []), { type: 'disarm', timer: 'kill' }];
  const end = state.exit === undefined ? 'ended' : describeExit(state.exit);
  if (state.next === 'start') {
    const { state: next, effects } = start(
      { ...state, failedStarts: 0, ends: 0 },
      at,
      `starts again: it ${end} when stopped for a restart`,
    );
    return { state: next, effects: [...done, ...effects] };
  }
  if (state.next === 'retry') {
    const { state: next, effects } = failedStart(policy, state, state.reason, at, chance);
    return { state: next, effects: [...done, ...effects] };
  }
  return stay(
    { ...state, phase: 'STOPPED', pid: undefined, reason: '', stuck: undefined },
    ...done,
    fact('instance.stopped', end, { code: state.exit?.code ?? null, signal: state.exit?.signal ?? null }),
  );
}

function exited(policy: Policy, state: InstanceState, exit: Exit, at: number, chance: number): Step {
  switch (state.phase) {
    case 'STARTING': {
      const reason = `${describeExit(exit)} ${seconds(at - state.startedAt)} after its start, before it was ${policy.ready ? 'ready' : 'up'}`;
      const told = fact('instance.exited', reason, { code: exit.code, signal: exit.signal });
      const { state: next, effects } = failedStart(policy, { ...state, exit }, reason, at, chance);
      return { state: next, effects: [...sweep(policy), told, ...effects] };
    }
    case 'RUNNING':
      return exitedWhileRunning(policy, state, exit, at, chance);
    case 'STOPPING':
      return policy.stop.killScope === 'group'
        ? stay({ ...state, exit, leaving: undefined }, ...(state.leaving ? [staying] : []), { type: 'await-group' })
        : stopped(policy, { ...state, exit }, at, chance);
    default:
      return stay(state);
  }
}

/** How long what comes before the first signal may take at most; 0 when there is nothing. */
const leaveMs = ({ stop: { drainMs = 0 }, hooks }: Policy): number =>
  Math.max(drainMs, hooks?.beforeStop === undefined ? 0 : hooks.timeoutMs);

function stop(policy: Policy, before: InstanceState, next: InstanceState['next'], reason: string): Step {
  const state: InstanceState = { ...before, phase: 'STOPPING', next, reason, stuck: undefined };
  const told: InstanceEffect[] = [...calm, fact('instance.stopping', reason || `gets ${policy.stop.signal}`)];
  if (before.phase !== 'RUNNING' || leaveMs(policy) === 0) return stay(state, ...told, ...firstSignal(policy));
  return stay({ ...state, leaving: true }, ...told, { type: 'take-leave' }, { type: 'arm', timer: 'leave', ms: leaveMs(policy) });
}

const firstSignal = ({ stop: { signal, scope, timeoutMs } }: Policy): InstanceEffect[] => [
  { type: 'signal', signal, scope },
  { type: 'arm', timer: 'kill', ms: timeoutMs },
];

/** It has taken its leave, or was given long enough to. */
const left = (policy: Policy, state: InstanceState): Step =>
  state.phase === 'STOPPING' && state.leaving ? stay({ ...state, leaving: undefined }, staying, ...firstSignal(policy)) : stay(state);

function wantUp(state: InstanceState, at: number): Step {
  switch (state.phase) {
    case 'STARTING':
    case 'RUNNING':
      return stay({ ...state, wanted: 'up' });
    case 'STOPPING':
      return stay({ ...state, wanted: 'up', next: 'start' });
    default:
      return start({ ...state, failedStarts: 0, ends: 0 }, at, 'starts');
  }
}

function wantDown(policy: Policy, state: InstanceState): Step {
  const down = { ...state, wanted: 'down' as const };
  switch (state.phase) {
    case 'STARTING':
    case 'RUNNING':
      return stop(policy, down, 'stop', '');
    case 'STOPPING':
      return stay({ ...down, next: 'stop' });
    case 'BACKOFF':
      return stay(
        { ...down, phase: 'STOPPED', reason: '' },
        { type: 'disarm', timer: 'retry' },
        fact('instance.stopped', 'stopped while it waited for its next try'),
      );
    default:
      return stay({ ...down, phase: 'STOPPED', reason: '' });
  }
}

function restart(policy: Policy, state: InstanceState, at: number, reason: string | undefined): Step {
  const isUp = state.phase === 'STARTING' || state.phase === 'RUNNING';
  if (reason !== undefined) return isUp ? misbehaves(policy, state, at, reason) : stay(state);
  return isUp ? stop(policy, { ...state, wanted: 'up' }, 'start', '') : wantUp(state, at);
}

/** One that is over its limits soon after each start must not go round at once: it waits as after a failed start. */
function misbehaves(policy: Policy, state: InstanceState, at: number, reason: string): Step {
  const steadyMs = policy.backoff.kind === 'exponential' ? policy.backoff.resetAfterMs : 1000;
  const isSteady = at - state.startedAt >= steadyMs;
  const counted = isSteady ? { ...state, restarts: state.restarts + 1 } : state;
  return stop(policy, counted, isSteady ? 'start' : 'retry', `restarts: ${reason}`);
}

function stuck(state: InstanceState, reason: string): Step {
  if (state.phase !== 'STOPPING') return stay(state);
  return stay({ ...state, stuck: true, reason }, ...(state.stuck ? [] : [fact('instance.stuck', reason)]));
}

function explained(state: InstanceState, text: string, isNews: boolean): Step {
  const told = isNews ? [fact('instance.explained', text)] : [];
  const { phase, reason } = state;
  if (phase !== 'BACKOFF' && phase !== 'EXITED' && phase !== 'FATAL') return stay(state, ...told);
  return stay({ ...state, reason: reason === '' ? text : `${reason}; ${text}` }, ...told);
}

function timer(policy: Policy, state: InstanceState, name: TimerName, at: number): Step {
  if (name === 'up' && state.phase === 'STARTING' && policy.ready === undefined)
    return running(state, `up for ${seconds(policy.upAfterMs)}`);
  if (name === 'retry' && state.phase === 'BACKOFF') return start({ ...state, restarts: state.restarts + 1 }, at, 'tries again');
  if (name === 'ready' && state.phase === 'STARTING')
    return stop(policy, state, 'retry', `not ready within ${seconds(policy.ready?.timeoutMs ?? 0)}`);
  if (name === 'leave') return left(policy, state);
  if (name === 'kill' && state.phase === 'STOPPING') {
    const message = `still there ${seconds(policy.stop.timeoutMs)} after ${policy.stop.signal}: gets KILL`;
    return stay(
      { ...state, reason: state.stuck ? state.reason : 'waits for KILL to take' },
      { type: 'signal', signal: 'KILL', scope: policy.stop.killScope },
      { type: 'arm', timer: 'kill', ms: killAgainMs },
      ...(state.stuck ? [] : [fact('instance.killed', message)]),
    );
  }
  return stay(state);
}

function adopted(policy: Policy, state: InstanceState, event: Extract<InstanceEvent, { type: 'adopted' }>): Step {
  const { pid, startedAt, restarts } = event;
  const next: InstanceState = { ...state, phase: 'STARTING', wanted: 'up', pid, startedAt, restarts, reason: '' };
  const told = fact('instance.adopted', `still runs as pid ${pid}: taken over`, { pid });
  if (event.running) return stay({ ...next, phase: 'RUNNING' }, told);
  const { state: after, effects } = spawned(policy, next, pid);
  return { state: after, effects: [told, ...effects] };
}

/** What becomes of an instance, and what is to be done. Never throws: an event that means nothing in a phase changes nothing. */
export function step(policy: Policy, state: InstanceState, event: InstanceEvent): Step {
  switch (event.type) {
    case 'want-up':
      return wantUp(state, event.at);
    case 'want-down':
      return wantDown(policy, state);
    case 'restart':
      return restart(policy, state, event.at, event.reason);
    case 'stuck':
      return stuck(state, event.reason);
    case 'explained':
      return explained(state, event.text, event.isNews);
    case 'spawned':
      return state.phase === 'STARTING' || state.phase === 'STOPPING' ? spawnedIn(policy, state, event.pid) : stay(state);
    case 'spawn-failed':
      if (state.phase === 'STOPPING') return stopped(policy, state, event.at, event.chance);
      return state.phase === 'STARTING' ? failedStart(policy, state, event.reason, event.at, event.chance) : stay(state);
    case 'exited':
      return exited(policy, state, event.exit, event.at, event.chance);
    case 'group-gone':
      return state.phase === 'STOPPING' ? stopped(policy, state, event.at, event.chance) : stay(state);
    case 'ready':
      return state.phase === 'STARTING' ? running(state, `ready ${seconds(event.at - state.startedAt)} after its start`) : stay(state);
    case 'left':
      return left(policy, state);
    case 'timer':
      return timer(policy, state, event.timer, event.at);
    case 'adopted':
      return adopted(policy, state, event);
  }
}

function spawnedIn(policy: Policy, state: InstanceState, pid: number): Step {
  return state.phase === 'STARTING' ? spawned(policy, state, pid) : stay({ ...state, pid });
}
