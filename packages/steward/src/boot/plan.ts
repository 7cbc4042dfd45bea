/**
 * The boot of one host, as a pure reducer: which step is next, what a failure means, and which services still wait.
 *
 *               try                 done
 *   pending ──────────▶ trying ──────────────▶ done
 *                        │  ▲ timer
 *                 failed ▼  │ (with `background` the list goes on meanwhile)
 *                       waiting ── no try left ─▶ failed ── onFailure: stop ─▶ the list ends here
 *
 *   the list: idle → running → done, or degraded (all steps had their turn, not all are done), or failed (it stopped)
 */

import { matchesGlob } from 'node:path';
import type { FactType } from '@steward/sdk/contract/facts';
import type { BootSpec, BootStepSpec } from '../config/model.ts';

export type StepPhase = 'pending' | 'trying' | 'waiting' | 'done' | 'failed' | 'skipped';
export type BootPhase = 'idle' | 'running' | 'done' | 'degraded' | 'failed';

export interface StepState {
  readonly phase: StepPhase;
  /** Tries that were begun. */
  readonly tries: number;
  /** Time of its tries and of the pauses between them, ms. */
  readonly tookMs: number;
  /** What came of the last try, for people. */
  readonly why: string;
  /** The list has gone on without it. */
  readonly behind: boolean;
}

export interface BootState {
  readonly phase: BootPhase;
  /** By name. A step that is not in it has not had its turn. */
  readonly steps: Readonly<Record<string, StepState>>;
}

export const idle: BootState = { phase: 'idle', steps: {} };

/** The part of a step that decides what follows. */
export type StepPolicy = Pick<BootStepSpec, 'name' | 'retries' | 'retryEveryMs' | 'onFailure' | 'background'>;

export type BootEvent =
  /** From the start. */
  | { readonly type: 'again' }
  /** What is done stays done. */
  | { readonly type: 'resume' }
  /** From a step on; those before that are not done are left out. */
  | { readonly type: 'from'; readonly step: string }
  /** After the death of the daemon: a try that was under way counts as not begun. */
  | { readonly type: 'continue' }
  | { readonly type: 'tried'; readonly step: string; readonly ok: boolean; readonly why: string; readonly tookMs: number }
  | { readonly type: 'timer'; readonly step: string };

export type BootEffect =
  /** Ends all tries and timers. */
  | { readonly type: 'drop' }
  /** Answer with `tried`. `patient`: waits for what it asks for as long as its timeout; else one look must do. */
  | { readonly type: 'try'; readonly step: string; readonly patient: boolean }
  | { readonly type: 'arm'; readonly step: string; readonly ms: number }
  /** `step` is undefined for a fact about the whole. */
  | { readonly type: 'fact'; readonly fact: FactType; readonly step?: string; readonly message: string };

export interface BootMove {
  readonly state: BootState;
  readonly effects: readonly BootEffect[];
}

const fresh: StepState = { phase: 'pending', tries: 0, tookMs: 0, why: '', behind: false };

/** The state of a step; one that the state does not know has not had its turn. */
export const stepOf = (state: BootState, name: string): StepState => state.steps[name] ?? fresh;

const withStep = (state: BootState, name: string, change: Partial<StepState>): BootState => ({
  ...state,
  steps: { ...state.steps, [name]: { ...stepOf(state, name), ...change } },
});

const after = (first: readonly BootEffect[], { state, effects }: BootMove): BootMove => ({ state, effects: [...first, ...effects] });

const isSettled = ({ phase }: StepState): boolean => phase === 'done' || phase === 'skipped';

/** Starts a try of a step. */
function attempt({ name, background }: StepPolicy, state: BootState): BootMove {
  const { tries } = stepOf(state, name);
  return {
    state: withStep(state, name, { phase: 'trying', tries: tries + 1 }),
    effects: [{ type: 'try', step: name, patient: !background }],
  };
}

/** Every step has had its turn. */
function settle(list: readonly StepPolicy[], state: BootState): BootMove {
  const open = list.filter(({ name }) => !isSettled(stepOf(state, name)));
  if (open.length === 0)
    return state.phase === 'done'
      ? { state, effects: [] }
      : { state: { ...state, phase: 'done' }, effects: [{ type: 'fact', fact: 'boot.done', message: 'the boot list is done' }] };
  if (state.phase === 'degraded') return { state, effects: [] };
  const words = open.map(({ name }) => `${name} (${stepOf(state, name).why})`);
  return {
    state: { ...state, phase: 'degraded' },
    effects: [{ type: 'fact', fact: 'boot.degraded', message: `the boot list is through without ${words.join(', ')}` }],
  };
}

/** Goes on to the next step, if the list does not stand at one. */
function advance(list: readonly StepPolicy[], state: BootState): BootMove {
  if (state.phase === 'failed') return { state, effects: [] };
  for (const policy of list) {
    const { phase, behind } = stepOf(state, policy.name);
    if (phase === 'pending') return attempt(policy, state);
    if ((phase === 'trying' || phase === 'waiting') && !behind) return { state, effects: [] };
  }
  return settle(list, state);
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

function succeeded(list: readonly StepPolicy[], before: BootState, step: string, why: string, tookMs: number): BootMove {
  const state = withStep(before, step, { phase: 'done', why, tookMs });
  return after([{ type: 'fact', fact: 'boot.step', step, message: `${why} (${seconds(tookMs)})` }], advance(list, state));
}

/** What a failure that no try follows means for the list. */
function gaveUp(list: readonly StepPolicy[], policy: StepPolicy, state: BootState, why: string): BootMove {
  const { name: step, onFailure, background } = policy;
  if (onFailure === 'stop' && !background) {
    const message = `the boot list stops at ${step}: ${why}`;
    return { state: { ...state, phase: 'failed' }, effects: [{ type: 'fact', fact: 'boot.failed', step, message }] };
  }
  return after([{ type: 'fact', fact: onFailure === 'alert' ? 'boot.alert' : 'boot.failed', step, message: why }], advance(list, state));
}

function failedTry(list: readonly StepPolicy[], policy: StepPolicy, before: BootState, why: string, tookMs: number): BootMove {
  const { name: step, retries, retryEveryMs, background } = policy;
  const own = stepOf(before, step);
  const change = { why, tookMs, behind: own.behind || background };
  if (retries !== 'forever' && own.tries > retries)
    return gaveUp(
      list,
      policy,
      withStep(before, step, { ...change, phase: 'failed' }),
      own.tries === 1 ? why : `${why}; gave up after ${own.tries} tries`,
    );
  // The same failure again is no news: a peer may be away for days.
  const isNews = own.why !== why;
  const goesOn = background && !own.behind ? '; the list goes on without it' : '';
  const told: BootEffect[] = isNews
    ? [{ type: 'fact', fact: 'boot.waiting', step, message: `${why}; next try in ${seconds(retryEveryMs)}${goesOn}` }]
    : [];
  const state = withStep(before, step, { ...change, phase: 'waiting' });
  return after([...told, { type: 'arm', step, ms: retryEveryMs }], advance(list, state));
}

/** The files no longer have a step that was under way: the list goes on. */
const withoutStep = (list: readonly StepPolicy[], state: BootState): BootMove =>
  state.phase === 'running' || state.phase === 'degraded' ? advance(list, state) : { state, effects: [] };

function tried(list: readonly StepPolicy[], state: BootState, event: Extract<BootEvent, { type: 'tried' }>): BootMove {
  const policy = list.find(({ name }) => name === event.step);
  const own = stepOf(state, event.step);
  if (policy === undefined) return withoutStep(list, state);
  if (own.phase !== 'trying') return { state, effects: [] };
  const tookMs = own.tookMs + event.tookMs;
  return event.ok ? succeeded(list, state, event.step, event.why, tookMs) : failedTry(list, policy, state, event.why, tookMs);
}

function begin(list: readonly StepPolicy[], steps: BootState['steps'], message: string): BootMove {
  if (list.length === 0) return { state: { phase: 'done', steps }, effects: [{ type: 'drop' }] };
  return after([{ type: 'drop' }, { type: 'fact', fact: 'boot.started', message }], advance(list, { phase: 'running', steps }));
}

/** The state of each step of the list, made from the one it had. */
const each = (list: readonly StepPolicy[], state: BootState, next: (own: StepState, index: number) => StepState): BootState['steps'] =>
  Object.fromEntries(list.map(({ name }, index) => [name, next(stepOf(state, name), index)]));

function from(list: readonly StepPolicy[], state: BootState, step: string): BootMove {
  const start = list.findIndex(({ name }) => name === step);
  const steps = each(list, state, (own, index) =>
    index >= start ? fresh : own.phase === 'done' ? own : { ...fresh, phase: 'skipped', why: `left out: the list began at ${step}` },
  );
  return begin(list, steps, `the boot list begins at ${step}`);
}

/** A list that stands goes on where it stood; steps behind it are tried again at once. */
function goOn(list: readonly StepPolicy[], before: BootState): BootMove {
  if (before.phase !== 'running' && before.phase !== 'degraded') return { state: before, effects: [] };
  const steps = each(list, before, (own) => {
    if (own.phase !== 'trying' && own.phase !== 'waiting') return own;
    const tries = own.phase === 'trying' ? own.tries - 1 : own.tries;
    return own.behind ? { ...own, phase: 'waiting', tries } : { ...own, phase: 'pending', tries };
  });
  let move: BootMove = { state: { ...before, steps }, effects: [] };
  for (const policy of list) {
    if (stepOf(move.state, policy.name).phase !== 'waiting') continue;
    const next = attempt(policy, move.state);
    move = { state: next.state, effects: [...move.effects, ...next.effects] };
  }
  const told: BootEffect[] =
    before.phase === 'running' ? [{ type: 'fact', fact: 'boot.started', message: 'the boot list goes on where it was' }] : [];
  return after([...told, ...move.effects], advance(list, move.state));
}

/** What becomes of the boot, and what is to be done. Never throws: an event that means nothing in a phase changes nothing. */
export function step(list: readonly StepPolicy[], state: BootState, event: BootEvent): BootMove {
  switch (event.type) {
    case 'again':
      return begin(
        list,
        each(list, state, () => fresh),
        'the boot list begins',
      );
    case 'resume':
      return begin(
        list,
        each(list, state, (own) => (isSettled(own) ? own : fresh)),
        'the boot list goes on; what is done stays done',
      );
    case 'from':
      return from(list, state, event.step);
    case 'continue':
      return goOn(list, state);
    case 'tried':
      return tried(list, state, event);
    case 'timer': {
      const policy = list.find(({ name }) => name === event.step);
      const own = stepOf(state, event.step);
      if (policy === undefined) return withoutStep(list, state);
      if (own.phase !== 'waiting') return { state, effects: [] };
      return attempt(policy, withStep(state, event.step, { tookMs: own.tookMs + policy.retryEveryMs }));
    }
  }
}

/** The list of a host. */
export interface HostList {
  /** The name or pattern it stands under; `*` when the files have no lists. */
  readonly title: string;
  readonly steps: readonly BootStepSpec[];
}

/**
 * The list for a host: the one under its name, or its name up to the first dot; else under the first pattern that fits;
 * else `default`. Undefined when there is none.
 */
export function listFor({ steps, lists }: BootSpec, host: string): HostList | undefined {
  if (lists.length === 0) return { title: '*', steps };
  const short = host.split('.')[0] ?? host;
  const named = (name: string) => lists.find((list) => list.host === name);
  const fits = (pattern: string): boolean => /[*?]/.test(pattern) && (matchesGlob(host, pattern) || matchesGlob(short, pattern));
  const list = named(host) ?? named(short) ?? lists.find((candidate) => fits(candidate.host)) ?? named('default');
  return list && { title: list.host, steps: list.steps.flatMap((name) => steps.find((candidate) => candidate.name === name) ?? []) };
}

/** The step a service waits for before it may start; undefined when it waits for none. */
export function gateOf(list: readonly BootStepSpec[], state: BootState, service: string): string | undefined {
  if (state.phase !== 'running' && state.phase !== 'failed') return undefined;
  const own = list.filter(({ action }) => action.kind === 'service' && action.services.includes(service));
  return own.every(({ name }) => stepOf(state, name).phase === 'pending') ? own[0]?.name : undefined;
}
