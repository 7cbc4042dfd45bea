/**
 * Boot: what is done once after each boot of the machine, step by step: commands, services, mounts, waits. The first apply
 * of files after a boot begins the list of this host; a daemon that died in the middle is followed by one that goes on.
 *
 *   set(spec) → the list of this host, and what was done of it since the boot        begin() → runs it, if its time has come
 *   run(request) → again, resumed, or from a step on                                 gateOf(service) → the step it waits for
 *
 * plan.ts (pure) decides what follows; here it is done, and written down before it is done. Services and commands run where
 * all others run: who owns them comes in as `Runner`.
 */
import type { BootInfo, BootStepInfo } from '@steward/sdk/contract/boot';
import type { FactType } from '@steward/sdk/contract/facts';
import type { BootSpec, BootStepSpec, InstanceSpec } from '../config/model.ts';
import { didYouMean } from '../config/near.ts';
import { quoteWord } from '../config/words.ts';
import { StewardError } from '../errors.ts';
import { mount, type Outcome } from './mount.ts';
import { type BootEffect, type BootEvent, type BootState, gateOf, type HostList, idle, listFor, step as move, stepOf } from './plan.ts';
import { describeWait, waitFor } from './wait.ts';

export type { Outcome } from './mount.ts';
export { idle } from './plan.ts';

/** Who runs commands and services. Both resolve soon after `signal` fires, and never reject. */
export interface Runner {
  /** Runs the instance of a command to its end, and stops it when `signal` fires, unless for the reason 'leave'; one that runs still, from before the death of a daemon, is waited for. */
  run(id: string, signal: AbortSignal): Promise<Outcome>;
  /** Starts services as at boot, and waits until they are ready; without `patient` it starts them and looks once. */
  start(services: readonly string[], patient: boolean, signal: AbortSignal): Promise<Outcome>;
  /** The last lines a command wrote. */
  lastLines(id: string): string[];
  /** Services may start that could not before: see gateOf. */
  admit(): void;
}

/** What is kept on disk. */
export interface BootRecord {
  /** Of the kernel: see random(4). */
  readonly bootId: string;
  readonly host: string;
  readonly state: BootState;
  /** Epoch ms. */
  readonly startedMs?: number;
  readonly endedMs?: number;
}

export interface BootOptions {
  readonly bootId: string;
  readonly hostname: string;
  readonly read: () => BootRecord | undefined;
  readonly write: (record: BootRecord) => void;
  readonly runner: Runner;
  readonly record: (type: FactType, subject: string, message: string, data?: Record<string, string | number | null>) => void;
}

export interface BootRequest {
  readonly host?: string | undefined;
  readonly resume?: boolean | undefined;
  readonly from?: string | undefined;
  readonly again?: boolean | undefined;
}

export interface Boot {
  /** Takes what the files say. Call before the services of the same files may start. */
  set(spec: BootSpec | undefined): void;
  /** Goes on with a list that is under way; the first time after a boot of the machine it begins the list. */
  begin(): void;
  /** Begins the list as asked. @throws StewardError when there is no such list or step, it runs already, or has run and nothing says to run it again. */
  run(request: BootRequest): void;
  /** Whether a run would be refused; who it would be for. @throws as `run`. */
  check(request: BootRequest): { readonly host: string };
  /** Commands of a host's list, as instances. `host` is that of the last run by default. */
  instances(spec: BootSpec | undefined, host?: string): InstanceSpec[];
  /** The step a service waits for, if it does. */
  gateOf(service: string): string | undefined;
  info(host?: string): BootInfo;
  /** Ends tries and timers. What is under way is begun again by the next daemon. */
  stop(): void;
}

/** What a step does, as people write it. */
export function describeAction({ action }: Pick<BootStepSpec, 'action'>): string {
  switch (action.kind) {
    case 'run':
      return `run ${action.spec.command.map(quoteWord).join(' ')}`;
    case 'service':
      return `start ${action.services.join(', ')}`;
    case 'mount':
      return `mount ${action.mount.source} at ${action.mount.at}`;
    case 'wait':
      return `wait for ${describeWait(action.wait)}`;
  }
}

function stepInfo(step: BootStepSpec, state: BootState, linesOf: (step: BootStepSpec) => string[]): BootStepInfo {
  const { phase, behind, tries, tookMs, why } = stepOf(state, step.name);
  return {
    name: step.name,
    does: describeAction(step),
    state: phase,
    behind,
    tries,
    seconds: Math.round(tookMs / 100) / 10,
    why,
    timeoutSeconds: step.timeoutMs / 1000,
    retries: step.retries,
    onFailure: step.onFailure,
    background: step.background,
    lastLines: phase === 'failed' || phase === 'waiting' ? linesOf(step) : [],
  };
}

/** The list of a host and how far it is. `linesOf` gives the last lines that a step wrote. */
export function infoOf(
  spec: BootSpec | undefined,
  { host, state, startedMs, endedMs }: Omit<BootRecord, 'bootId'>,
  linesOf: (step: BootStepSpec) => string[],
): BootInfo {
  const list = spec && listFor(spec, host);
  return {
    host,
    list: list?.title ?? null,
    lists: spec?.lists.map((known) => known.host) ?? [],
    state: state.phase,
    ...(startedMs !== undefined && { startedAt: new Date(startedMs).toISOString() }),
    ...(endedMs !== undefined && { endedAt: new Date(endedMs).toISOString() }),
    steps: (list?.steps ?? []).map((step) => stepInfo(step, state, linesOf)),
  };
}

/** Timers of Node hold no more: 24 days. */
const longestTimerMs = 2 ** 31 - 1;

type BootRefusal = 'api/unknown-boot-list' | 'api/unknown-boot-step' | 'api/boot-runs' | 'api/boot-has-run';

/** Whether a list has run and would do so again only when told to. */
const hasRun = ({ phase }: BootState): boolean => phase !== 'idle';

export function createBoot(options: BootOptions): Boot {
  const { runner, bootId } = options;
  const kept = options.read();
  /** The machine has booted since Steward last looked. */
  let isFirst = kept?.bootId !== bootId;
  let spec: BootSpec | undefined;
  let own: BootRecord = kept?.bootId === bootId ? kept : { bootId, host: options.hostname, state: idle };
  const tries = new Map<string, AbortController>();
  const timers = new Map<string, NodeJS.Timeout>();
  let isOn = false;

  const listOf = (host: string): HostList | undefined => spec && listFor(spec, host);
  const steps = (): readonly BootStepSpec[] => listOf(own.host)?.steps ?? [];

  function save(next: BootRecord): void {
    own = next;
    options.write(own);
  }

  const isOpen = ({ phase }: BootState): boolean => phase === 'running';

  function dispatch(event: BootEvent): void {
    const before = own.state;
    const { state, effects } = move(steps(), before, event);
    const begins = event.type === 'again' || event.type === 'resume' || event.type === 'from';
    save({
      ...own,
      state,
      ...(begins && { startedMs: Date.now(), endedMs: undefined }),
      ...((begins || isOpen(before)) && !isOpen(state) && { endedMs: Date.now() }),
    });
    for (const effect of effects) perform(effect);
    runner.admit();
  }

  function perform(effect: BootEffect): void {
    switch (effect.type) {
      case 'drop':
        return drop();
      case 'try':
        return void attempt(effect.step, effect.patient);
      case 'arm': {
        const { step } = effect;
        clearTimeout(timers.get(step));
        timers.set(
          step,
          setTimeout(
            () => {
              timers.delete(step);
              dispatch({ type: 'timer', step });
            },
            Math.min(effect.ms, longestTimerMs),
          ),
        );
        return;
      }
      case 'fact': {
        const data = effect.fact === 'boot.alert' ? { level: 'warning' } : undefined;
        return options.record(effect.fact, effect.step === undefined ? 'boot' : `boot:${effect.step}`, effect.message, data);
      }
    }
  }

  function drop(): void {
    for (const timer of timers.values()) clearTimeout(timer);
    timers.clear();
    for (const controller of tries.values()) controller.abort();
    tries.clear();
  }

  async function act({ action, timeoutMs }: BootStepSpec, patient: boolean, signal: AbortSignal): Promise<Outcome> {
    switch (action.kind) {
      case 'run':
        return runner.run(action.spec.id, signal);
      case 'service':
        return runner.start(action.services, patient, signal);
      case 'mount':
        return mount(action.mount, timeoutMs, signal);
      case 'wait':
        return waitFor(action.wait, patient, signal);
    }
  }

  async function attempt(name: string, patient: boolean): Promise<void> {
    const spec = steps().find((candidate) => candidate.name === name);
    if (spec === undefined) return;
    const dropped = new AbortController();
    tries.set(name, dropped);
    const timeout = AbortSignal.timeout(Math.min(spec.timeoutMs, longestTimerMs));
    const began = performance.now();
    const outcome = await act(spec, patient, AbortSignal.any([dropped.signal, timeout])).catch(
      (error: Error): Outcome => ({ ok: false, why: error.message }),
    );
    if (dropped.signal.aborted) return;
    tries.delete(name);
    const late = !outcome.ok && timeout.aborted ? `not done within ${spec.timeoutMs / 1000} s` : '';
    const why = [late, outcome.why].filter(Boolean).join(': ');
    dispatch({ type: 'tried', step: name, ok: outcome.ok, why, tookMs: Math.round(performance.now() - began) });
  }

  function refuse(code: BootRefusal, status: 404 | 409, message: string, hint: string): never {
    throw new StewardError(code, message, { status, hint });
  }

  function hostList(host: string): HostList {
    const found = listOf(host);
    if (found !== undefined) return found;
    const names = spec?.lists.map((list) => list.host) ?? [];
    return refuse(
      'api/unknown-boot-list',
      404,
      spec === undefined ? 'the files have no boot list' : `there is no boot list for host "${host}"`,
      spec === undefined
        ? 'Write a boot section: see docs/boot.md.'
        : `There are lists for ${names.join(', ')}: add one, or one called default.${didYouMean(host, names)}`,
    );
  }

  function check({ host, resume, from, again }: BootRequest): { host: string } {
    const next = host ?? own.host;
    const { steps: wanted } = hostList(next);
    const names = wanted.map(({ name }) => name);
    if (from !== undefined && !names.includes(from))
      refuse(
        'api/unknown-boot-step',
        404,
        `there is no step "${from}" in the list of host "${next}"`,
        `It has: ${names.join(', ')}.${didYouMean(from, names)}`,
      );
    if (isOpen(own.state)) refuse('api/boot-runs', 409, 'the boot list is running', 'steward boot --status shows how far it is.');
    if (next === own.host && hasRun(own.state) && !resume && !again && from === undefined)
      refuse('api/boot-has-run', 409, 'the boot list has run since this machine booted', 'Add --resume, --from STEP or --again.');
    return { host: next };
  }

  return {
    set(next) {
      spec = next;
      // The services of the list must not start before it has begun.
      if (isFirst && steps().length > 0) own = { ...own, state: { phase: 'running', steps: {} } };
    },
    begin() {
      const wasOn = isOn;
      isOn = true;
      if (isFirst) {
        isFirst = false;
        if (steps().length > 0) dispatch({ type: 'again' });
        else save(own);
      } else if (!wasOn) dispatch({ type: 'continue' });
      else runner.admit();
    },
    check,
    run(request) {
      const { host } = check(request);
      const isSame = host === own.host;
      if (!isSame) save({ bootId, host, state: idle });
      if (request.from !== undefined) dispatch({ type: 'from', step: request.from });
      else dispatch({ type: isSame && request.resume && !request.again ? 'resume' : 'again' });
    },
    instances: (files, host = own.host) =>
      (files === undefined ? [] : (listFor(files, host)?.steps ?? [])).flatMap(({ action }) => (action.kind === 'run' ? action.spec : [])),
    gateOf: (service) => gateOf(steps(), own.state, service),
    info: (host = own.host) =>
      infoOf(spec, host === own.host ? own : { host, state: idle }, (step) =>
        step.action.kind === 'run' ? runner.lastLines(step.action.spec.id) : [],
      ),
    stop() {
      for (const timer of timers.values()) clearTimeout(timer);
      for (const controller of tries.values()) controller.abort('leave');
    },
  };
}
