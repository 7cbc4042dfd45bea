/**
 * Boot steps and the supervisor: commands of steps are instances that run once, kept, logged and adopted like any service,
 * and the services of a step wait for it. This is what both rooms need of each other.
 */
import { setImmediate as tick, setTimeout as wait } from 'node:timers/promises';
import type { Outcome, Runner } from './boot/boot.ts';
import type { InstanceView, Supervisor } from './supervisor/supervisor.ts';

export interface BootRunner extends Runner {
  /** Something about an instance changed. */
  onChange(): void;
}

/** Lines of its log that are told of a command that failed. */
const toldLines = 5;
/** TERM, then KILL after the 10 s of a stop; a process in uninterruptible sleep is not waited for longer. */
const haltMs = 20_000;

/** What a command leaves of its process group when it had to be stopped. */
function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {} // gone by itself
}

interface End extends Outcome {
  /** It ended while no Steward watched. */
  readonly isUnknown: boolean;
}

function endOf(view: InstanceView | undefined): End | undefined {
  if (view === undefined) return { ok: false, why: 'the files no longer have its command', isUnknown: false };
  const { phase, exit, reason } = view.state;
  if (phase === 'EXITED') return { ok: exit?.code === 0, why: reason, isUnknown: exit?.code == null && exit?.signal == null };
  if (phase === 'FATAL') return { ok: false, why: reason, isUnknown: false };
  return phase === 'STOPPED' ? { ok: false, why: 'somebody stopped it', isUnknown: false } : undefined;
}

const isReady = ({ state }: InstanceView): boolean => state.phase === 'RUNNING' || (state.phase === 'EXITED' && state.exit?.code === 0);

/** It has ended, and nothing starts it again. */
const isBroken = ({ state, waitsFor }: InstanceView): boolean =>
  waitsFor.length === 0 && (state.phase === 'FATAL' || (state.phase === 'EXITED' && state.exit?.code !== 0));

const isLeftStopped = ({ stoppedByHand, state }: InstanceView): boolean => stoppedByHand && state.phase === 'STOPPED';

/** What instances that are to start have come to; undefined while some are under way. */
function outcomeOf(views: readonly InstanceView[]): Outcome | undefined {
  const broken = views.find(isBroken);
  if (broken !== undefined) return { ok: false, why: `${broken.spec.id}: ${broken.state.reason}` };
  const left = views.filter(isLeftStopped);
  if (views.some((view) => !isReady(view) && !isLeftStopped(view))) return undefined;
  return {
    ok: true,
    why: left.length === 0 ? 'ready' : `left as it is: ${left.map(({ spec }) => spec.id).join(', ')} was stopped by hand`,
  };
}

function missingOf(views: readonly InstanceView[]): string {
  const missing = views.filter((view) => !isReady(view) && !isLeftStopped(view));
  const words = missing.slice(0, 5).map(({ spec, state, waitsFor }) => {
    const why = waitsFor.length > 0 ? `waits for ${waitsFor.join(', ')}` : state.reason || state.phase.toLowerCase();
    return `${spec.id} (${why})`;
  });
  return `not ready: ${words.join(', ')}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''}`;
}

/** Runs the commands and services of boot steps with this supervisor. */
export function createBootRunner(supervisor: Supervisor): BootRunner {
  const looks = new Set<() => void>();
  const halting = new Map<string, Promise<Outcome>>();

  /** What `look` gives at last; undefined when `signal` fired before. */
  function when<T>(signal: AbortSignal, look: () => T | undefined): Promise<T | undefined> {
    return new Promise((resolve) => {
      const done = (found: T | undefined): void => {
        looks.delete(again);
        signal.removeEventListener('abort', onAbort);
        resolve(found);
      };
      const again = (): void => {
        const found = look();
        if (found !== undefined) done(found);
      };
      const onAbort = (): void => done(undefined);
      looks.add(again);
      signal.addEventListener('abort', onAbort, { once: true });
      if (signal.aborted) onAbort();
      else again();
    });
  }

  const ended = (id: string, signal: AbortSignal): Promise<End | undefined> => when(signal, () => endOf(supervisor.view(id)));

  async function stopCommand(id: string): Promise<Outcome> {
    const pid = supervisor.view(id)?.pid;
    await Promise.race([supervisor.halt([id]), wait(haltMs, undefined, { ref: false })]);
    endGroup(pid);
    return { ok: false, why: '' };
  }

  function halt(id: string): Promise<Outcome> {
    const stopping = stopCommand(id).finally(() => halting.delete(id));
    halting.set(id, stopping);
    return stopping;
  }

  const viewsOf = (services: readonly string[]): InstanceView[] => supervisor.views().filter(({ spec }) => services.includes(spec.service));

  return {
    async run(id, signal) {
      await halting.get(id); // of a try that was given up
      const isAdopted = supervisor.view(id)?.pid !== undefined;
      if (!isAdopted) supervisor.start([id]);
      let end = await ended(id, signal);
      if (end?.isUnknown && isAdopted) {
        supervisor.start([id]);
        end = await ended(id, signal);
      }
      if (end !== undefined) return end;
      return signal.reason === 'leave' ? { ok: false, why: '' } : halt(id);
    },
    async start(services, patient, signal) {
      supervisor.bringUp(viewsOf(services).map(({ spec }) => spec.id));
      await tick(); // those that had failed before are started by then
      const outcome = patient ? await when(signal, () => outcomeOf(viewsOf(services))) : outcomeOf(viewsOf(services));
      return outcome ?? { ok: false, why: missingOf(viewsOf(services)) };
    },
    lastLines(id) {
      const file = supervisor.view(id)?.streams[0]?.file;
      if (file === undefined) return [];
      const { output } = supervisor;
      const { lines } = output.read(file, output.place(file, { lines: toldLines }), true);
      return lines.slice(-toldLines).map(({ text }) => text.slice(0, 500));
    },
    admit: () => supervisor.bringUp([]),
    onChange() {
      for (const look of [...looks]) look();
    },
  };
}
