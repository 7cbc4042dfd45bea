/** up, down, daemon: starting Steward, in the foreground or behind, and ending it. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { RequestRefused, Unreachable } from '@steward/sdk/client';
import type { Plan } from '@steward/sdk/contract/system';
import { formatProblems, hasErrors, type Problem, type Source } from '../../config/problem.ts';
import { StewardError } from '../../errors.ts';
import { type DeadChild, reapStrangers } from '../../kernel/children.ts';
import { isAlive, startTimeOf } from '../../kernel/process-table.ts';
import { createSteward, type End, type Steward } from '../../steward.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { createDaemonLog } from '../daemon-log.ts';
import { count } from '../print.ts';
import { type Program, thisProgram, wordsOf } from '../program.ts';
import { progressWhile, settle, whetherUp } from '../progress.ts';
import { findServiceManager } from '../service-manager.ts';
import { factLine, instanceTable, planText } from '../views.ts';
import { load, requireFiles } from './config.ts';
import { createLinePrinter, untilInterrupted } from './logs.ts';

/** How long a daemon may take to answer after its start. */
const startMs = 15_000;
/** How long one that was started at the same time may still take. */
const otherDaemonMs = 3000;

export async function isReachable({ client }: Call): Promise<boolean> {
  try {
    await client.getStatus();
    return true;
  } catch (error) {
    if (error instanceof Unreachable) return false;
    throw error;
  }
}

async function answersWithin(call: Call, ms: number): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end; await wait(20)) if (await isReachable(call)) return true;
  return false;
}

const isOfStack = (line: string): boolean => /^\s+at /.test(line);

/** The last lines of the daemon's log, for when it did not come up. */
export function logTail(file: string): string {
  try {
    const lines = readFileSync(file, 'utf8').split('\n');
    return lines
      .filter((line) => line.trim() !== '' && !isOfStack(line))
      .slice(-5)
      .join('\n');
  } catch {
    return '';
  }
}

/** What to start behind, with which options and environment. */
export interface Behind {
  readonly program: Program;
  readonly words: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** Starts a daemon of its own session; resolves when it answers. @throws StewardError when it does not. */
export async function startBehind(call: Call, { program, words, env }: Behind): Promise<void> {
  const { state, io } = call;
  const log = openLog(state.path, state.daemonLog);
  const [file, ...rest] = wordsOf(program, ['daemon', '--state', state.path, ...words]);
  const child = spawn(file, rest, {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env,
  });
  closeSync(log);
  child.unref();
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  const hint = `See ${state.daemonLog}.`;
  /** Our daemon may find that another one was faster: then that one is as good. */
  const ended = async (): Promise<void> => {
    const code = await exit;
    if (await answersWithin(call, otherDaemonMs)) return;
    throw new StewardError('daemon/start', `the daemon ended with code ${code} before it was ready:\n${logTail(state.daemonLog)}`, {
      hint,
    });
  };
  const answers = async (): Promise<void> => {
    if (await answersWithin(call, startMs)) return;
    throw new StewardError('daemon/start', `the daemon does not answer ${startMs / 1000} s after its start`, { hint });
  };
  await progressWhile(io, 'starting the daemon', Promise.race([answers(), ended()]));
  child.removeAllListeners();
}

function openLog(folder: string, file: string): number {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    return openSync(file, 'a', 0o600);
  } catch (error) {
    throw new StewardError('daemon/state-folder', `the state directory ${folder} cannot be used: ${(error as Error).message}`, {
      status: 400,
      hint: 'Give another one with --state DIR or STEWARD_STATE.',
    });
  }
}

async function applyFiles({ client, io, values }: Call, files: readonly string[]): Promise<Plan> {
  return progressWhile(
    io,
    'applying',
    client.applyConfig({ body: { files: [...files], base: io.cwd, ...(values.replace && { replace: true }) } }),
  );
}

/** Where a person can point a browser now. */
async function addresses({ client }: Call): Promise<string[]> {
  const { listeners } = await client.getStatus();
  return listeners.map(({ address, tls, hosts }) => {
    const [, bound = '*', port = ''] = /^(.*):(\d+)$/.exec(address) ?? [];
    const host =
      hosts.find((name) => !/[*~]/.test(name)) ?? (bound === '*' || bound === '0.0.0.0' || bound === '[::]' ? 'localhost' : bound);
    const usual = tls ? '443' : '80';
    return `${tls ? 'https' : 'http'}://${host}${port === usual ? '' : `:${port}`}/`;
  });
}

/** What the daemon found in the files and this program did not: it knows what is stored. */
function tellMore(io: Call['io'], plan: Plan, told: readonly Problem[], sources: readonly Source[]): void {
  const known = new Set(told.map(({ code, message }) => `${code} ${message}`));
  const more = plan.problems.filter(({ code, message }) => !known.has(`${code} ${message}`));
  if (more.length > 0) io.err(`${formatProblems(more, sources)}\n`);
}

/** Shows what came of an apply: 0 when all runs, 1 when something does not. */
async function report(call: Call, plan: Plan): Promise<number> {
  const { io, values } = call;
  const touched = plan.changes.filter(({ kind }) => kind !== 'stop').map(({ id }) => id);
  const instances = await settle(call, touched);
  if (values.json) io.out(JSON.stringify({ plan, instances }, undefined, 2));
  else {
    io.out(planText(plan, io.isTerminal));
    io.out(instanceTable(instances, io.columns, io.isTerminal));
    for (const url of new Set(await addresses(call))) io.out(`serving ${url}`);
  }
  const { gatewayProblems } = await call.client.getStatus();
  for (const problem of gatewayProblems) io.err(`gateway: ${problem}`);
  return instances.every(whetherUp) && gatewayProblems.length === 0 ? 0 : 1;
}

/** Follows logs and facts until `signal`. */
async function showLive(call: Call, signal: AbortSignal): Promise<void> {
  const { client, io } = call;
  const print = createLinePrinter(call);
  const quiet = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted && !(error instanceof Unreachable)) throw error;
    }
  };
  await Promise.all([
    quiet(async () => {
      for await (const { data } of client.readLogs({ query: { follow: true, lines: 0 } }, signal)) print(data);
    }),
    quiet(async () => {
      for await (const { data } of client.listFacts({ query: { follow: true, count: 0 } }, signal))
        io.err(call.values.json ? JSON.stringify(data) : factLine(data, new Date(), io.isTerminal));
    }),
  ]);
}

async function stopVisibly(call: Call, steward: Steward): Promise<void> {
  const { io } = call;
  io.err('stopping all services in order (Ctrl-C again leaves them running)');
  const again = new Promise<'again'>((resolve) => process.once('SIGINT', () => resolve('again')));
  const outcome = await progressWhile(io, 'stopping', Promise.race([steward.shutDown(), again]));
  if (outcome !== 'again') return io.err('stopped');
  io.err('left as they are; `steward up` takes them over');
  process.exit(1);
}

/** Reaps for a Steward that is yet to be made: as PID 1, and after an upgrade, this process has children that Node does not know. */
function reapFor(steward: () => Steward | undefined): () => void {
  return reapStrangers((dead: DeadChild) => steward()?.reaped(dead));
}

/** Does what follows the end: an exit code to end with, or never returns, for another program is this process now. */
function conclude(end: End, words: (program: Program) => readonly string[], env: NodeJS.ProcessEnv): number {
  if ('exitCode' in end) return end.exitCode;
  const [file, ...rest] = wordsOf(end.become, words(end.become));
  process.execve?.(file, [file, ...rest], env as Record<string, string>);
  return 1; // unreachable: execve(2) gives back nothing, and ends the process when it fails
}

/** Runs the daemon in this process, with live output, until Ctrl-C or `steward down`; the exit code. */
async function inForeground(call: Call, files: readonly string[]): Promise<number> {
  const { io, state } = call;
  let made: Steward | undefined;
  const stopReaping = reapFor(() => made);
  const log = (level: string, message: string): void => void (level !== 'info' && io.err(`steward: ${message}`));
  const steward = await createSteward({ state, program: thisProgram, log });
  made = steward;
  const interrupted = untilInterrupted();
  const live = showLive(call, interrupted.signal);
  let stopping: Promise<void> | undefined;
  const onAbort = (): void => {
    stopping ??= stopVisibly(call, steward);
  };
  interrupted.signal.addEventListener('abort', onAbort);
  try {
    await applyFiles(call, files);
  } catch (error) {
    interrupted.signal.removeEventListener('abort', onAbort);
    interrupted.abort();
    await steward.leave();
    throw error;
  }
  for (const url of new Set(await addresses(call))) io.err(`serving ${url}`);
  const end = await steward.ended;
  await stopping;
  interrupted.abort();
  await live;
  stopReaping();
  return conclude(end, () => ['up', '--state', state.path, ...steward.system.status().files], process.env);
}

export const up: Command = {
  name: 'up',
  usage: '[-d] [--replace] [FILE...]',
  details:
    '  Without FILE: the steward.yaml of the current folder. On a running Steward it applies the files: only what changed restarts.\n  -d, --detach     in the background\n      --replace    also stop what is only in the files applied before\n      --json       the outcome as JSON (with -d)',
  options: { ...jsonOption, detach: { type: 'boolean', short: 'd' }, replace: { type: 'boolean' } },
  takes: 'any',
  here: true,
  async run(call) {
    const { io, values, state } = call;
    const files = requireFiles(call, 'up');
    const { problems, sources } = load(files, io, state.sockets);
    if (problems.length > 0) io.err(`${formatProblems(problems, sources)}\n`);
    if (hasErrors(problems)) return 2;
    const running = await isReachable(call);
    if (!running && !values.detach) return inForeground(call, files);
    if (!running) await startBehind(call, { program: thisProgram, words: [], env: { ...io.env } as NodeJS.ProcessEnv });
    let code: number;
    try {
      const plan = await applyFiles(call, files);
      tellMore(io, plan, problems, sources);
      code = await report(call, plan);
    } catch (error) {
      if (!running && error instanceof RequestRefused) await call.client.shutDown();
      throw error;
    }
    if (values.detach) return code;
    io.err('a daemon runs already: applied there; Ctrl-C ends this view and leaves it running');
    await showLive(call, untilInterrupted().signal);
    return 0;
  },
};

/** Until the process itself is gone, not only its socket: then its state directory is free. */
async function waitUntilGone(pid: number): Promise<void> {
  const start = startTimeOf(pid);
  while (start !== undefined && isAlive({ pid, start })) await wait(20); // bounded: the daemon gives up by itself
}

export const down: Command = {
  name: 'down',
  usage: '',
  options: {},
  takes: 'nothing',
  async run(call) {
    const { client, io, state } = call;
    if (await isReachable(call)) {
      const { pid } = await client.getStatus();
      const { stopping } = await client.shutDown();
      await progressWhile(io, `stopping ${count(stopping, 'instance')}`, waitUntilGone(pid));
      io.out('stopped');
      return 0;
    }
    // A daemon that was killed may have left services: they are taken over to be stopped.
    const steward = await createSteward({ state, program: thisProgram, log: () => {} });
    const left = await steward.takeOver();
    await progressWhile(io, `stopping ${count(left, 'instance')} that an earlier daemon left`, steward.shutDown());
    io.out(left === 0 ? 'nothing was running' : `stopped ${count(left, 'instance')} that an earlier daemon left`);
    return 0;
  },
};

/** Applies what is to run at the start; what is wrong with it is told, and the daemon waits for better files. */
async function applyAtStart(steward: Steward, log: ReturnType<typeof createDaemonLog>, first: readonly string[]): Promise<void> {
  const { files } = steward.system.status();
  try {
    if (files.length > 0) await steward.resume();
    else if (first.length > 0) await steward.system.apply({ files: first }, 'daemon');
  } catch (error) {
    log('error', `the configuration cannot be applied: ${(error as Error).message}`);
  }
}

export const daemon: Command = {
  name: 'daemon',
  usage: '[--resume [FILE...]]',
  details: '      --resume    apply the files of the last apply at once, or FILE when there was none',
  options: { resume: { type: 'boolean' } },
  takes: 'any',
  here: true,
  async run({ state, values, positionals, io }) {
    const log = createDaemonLog(state.daemonLog);
    const bug = (error: unknown): void => log('error', `bug: ${(error as Error)?.stack ?? error}`);
    process.on('uncaughtException', bug);
    process.on('unhandledRejection', bug);
    const manager = findServiceManager(process.env);
    let made: Steward | undefined;
    const stopReaping = reapFor(() => made);
    const steward = await createSteward({ state, program: thisProgram, log });
    made = steward;
    const ready = (): void => manager.ready(`applied ${steward.system.status().files.join(' ') || 'no files yet'}`);
    const stop = (name: string): void => {
      log('info', `got ${name}: stopping all services`);
      manager.stopping();
      void steward.shutDown();
    };
    const leave = (name: string): void => {
      log('info', `got ${name}: leaving all services running`);
      manager.stopping();
      void steward.leave();
    };
    const reload = async (): Promise<void> => {
      manager.reloading();
      await steward.system.apply({}, 'SIGHUP').catch((error: Error) => log('error', error.message));
      ready();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    process.on('SIGUSR2', leave);
    process.on('SIGHUP', () => void reload());
    const first = positionals.map((file) => resolve(io.cwd, file));
    if (values.resume) await applyAtStart(steward, log, first);
    ready();
    const end = await steward.ended;
    if ('become' in end) manager.reloading();
    manager.close();
    stopReaping();
    return conclude(end, () => ['daemon', '--state', state.path, '--resume'], { ...process.env, ...manager.given });
  },
};
