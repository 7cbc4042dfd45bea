/** Commands at moments in an instance's life: each a process of its own, bounded in time, its output in the instance's log. */
import type { HookName, InstanceSpec } from '../config/model.ts';
import type { Output } from '../output/output.ts';
import { describeExit, type Exit } from './machine.ts';
import { CannotStart, environmentFor, type Identity, launch } from './spawn.ts';
import { openDescriptors } from './streams.ts';

/** The variable by which a command that outlived its daemon is known. */
export const hookMark = 'STEWARD_HOOK_ID';

export interface HookRun {
  /** What went wrong, in words; undefined when it ended well. Never rejects. */
  readonly outcome: Promise<string | undefined>;
  /** Kills it and what it started. */
  cancel(): void;
}

export interface HookOptions {
  readonly name: HookName;
  readonly spec: InstanceSpec;
  readonly identity: Identity;
  readonly output: Output;
  readonly logFolder: string;
  /** The run its output belongs to. */
  readonly run: string;
  /** A value for `hookMark`. */
  readonly mark: string;
  /** More variables: what it is about. */
  readonly env: Readonly<Record<string, string>>;
}

function start(
  { name, spec, identity, output, logFolder, run, mark, env: about }: HookOptions,
  command: readonly [string, ...string[]],
  onExit: (exit: Exit) => void,
): number {
  const descriptors = openDescriptors(output, spec, logFolder, run);
  try {
    const marks = { ...about, HOOK: name, STEWARD_SERVICE: spec.service, STEWARD_INSTANCE: spec.id, [hookMark]: mark };
    const env = environmentFor(spec, identity, marks);
    return launch({ spec: { ...spec, command }, identity, env, ...descriptors, capabilities: [] }, onExit);
  } finally {
    descriptors.close();
  }
}

const failedAtOnce = (error: Error): HookRun => ({ outcome: Promise.resolve(`cannot start: ${error.message}`), cancel: () => {} });

/** Runs a command of `spec.hooks`; undefined when there is none of that name. The streams of the instance are open. */
export function runHook(options: HookOptions): HookRun | undefined {
  const { hooks } = options.spec;
  const command = hooks?.[options.name];
  if (hooks === undefined || command === undefined) return undefined;
  try {
    const { promise, resolve } = Promise.withResolvers<Exit>();
    return follow(start(options, command, resolve), promise, hooks.timeoutMs);
  } catch (error) {
    if (!(error instanceof CannotStart) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    return failedAtOnce(error as Error);
  }
}

function follow(pid: number, ended: Promise<Exit>, timeoutMs: number): HookRun {
  let why: string | undefined;
  let isOver = false;
  const kill = (reason: string): void => {
    if (isOver) return;
    why ??= reason;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {} // gone by itself
  };
  const timer = setTimeout(() => kill(`was not done within ${timeoutMs / 1000} s, and was killed`), timeoutMs);
  const outcome = ended.then((exit) => {
    isOver = true;
    clearTimeout(timer);
    return why ?? (exit.code === 0 ? undefined : describeExit(exit));
  });
  return { outcome, cancel: () => kill('was given up') };
}
