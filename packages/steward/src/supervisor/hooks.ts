/** Commands at moments in an instance's life: each a process of its own, bounded in time, its output in the instance's log. */
import type { ChildProcess } from 'node:child_process';
import type { HookName, InstanceSpec } from '../config/model.ts';
import type { Output } from '../output/output.ts';
import { describeExit } from './machine.ts';
import { CannotStart, environmentFor, exitOf, type Identity, launch } from './spawn.ts';
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
  { name, spec, identity, output, logFolder, run, mark, env }: HookOptions,
  command: readonly [string, ...string[]],
): ChildProcess {
  const descriptors = openDescriptors(output, spec, logFolder, run);
  try {
    const marks = { ...env, HOOK: name, STEWARD_SERVICE: spec.service, STEWARD_INSTANCE: spec.id, [hookMark]: mark };
    return launch({ spec: { ...spec, command }, identity, env: environmentFor(spec, identity, marks), ...descriptors, capabilities: [] });
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
    return follow(start(options, command), hooks.timeoutMs);
  } catch (error) {
    if (!(error instanceof CannotStart) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    return failedAtOnce(error as Error);
  }
}

function follow(child: ChildProcess, timeoutMs: number): HookRun {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  let why: string | undefined;
  const kill = (reason: string): void => {
    why ??= reason;
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {} // gone by itself
  };
  const timer = setTimeout(() => kill(`was not done within ${timeoutMs / 1000} s, and was killed`), timeoutMs);
  const end = (words: string | undefined): void => {
    clearTimeout(timer);
    resolve(words);
  };
  child.once('error', (error) => child.pid === undefined && end(`cannot start: ${error.message}`));
  child.once('exit', (code, signal) => {
    end(why ?? (code === 0 ? undefined : describeExit(exitOf(code, signal))));
  });
  return { outcome: promise, cancel: () => kill('was given up') };
}
