/**
 * upgrade-daemon: the daemon that runs becomes the program this command belongs to.
 *
 *   check here, as the new program ─▶ the old one lets go ─▶ execve(2): same pid, other program ─▶ it takes over and applies
 *                                                                └─ does not come up ─▶ the old program is started again
 *
 * Services, keeper and gateway workers are not touched; with --all the last two follow, one after the other.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { RequestRefused, Unreachable } from '@steward/sdk/client';
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import type { Status } from '@steward/sdk/contract/system';
import { formatProblems, hasErrors } from '../../config/problem.ts';
import { StewardError } from '../../errors.ts';
import { isAlive, type ProcessId, startTimeOf } from '../../kernel/process-table.ts';
import { isKeeper } from '../../output/output.ts';
import { checkSchema } from '../../store/store.ts';
import { version } from '../../version.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { count } from '../print.ts';
import { thisProgram } from '../program.ts';
import { progressWhile, settle, whetherUp } from '../progress.ts';
import { load } from './config.ts';
import { logTail, startBehind } from './up.ts';

/** How long the new program may take until it answers, and then until it has applied the files. */
const comeUpMs = 30_000;
const takeOverMs = 30_000;
const lookMs = 20;

/** The environment a process was started with. @throws StewardError when it may not be read. */
function wholeEnvironment(pid: number): Record<string, string> {
  try {
    const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    return Object.fromEntries(entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
  } catch (error) {
    throw new StewardError('daemon/upgrade', `the environment of the daemon (pid ${pid}) cannot be read: ${(error as Error).message}`, {
      status: 400,
      hint: 'Run this as the user that the daemon runs as.',
    });
  }
}

/** Whether this program can take over: it loads whole, reads state.db, and finds no errors in the files in force. */
async function checkHere({ io, state }: Call, { files }: Status, env: Record<string, string>): Promise<boolean> {
  await import('../../steward.ts');
  checkSchema(state.database);
  if (files.length === 0) return true;
  const { problems, sources } = load(files, { ...io, env, cwd: '/' }, state.sockets);
  if (hasErrors(problems)) io.err(`${formatProblems(problems, sources)}\n`);
  return !hasErrors(problems);
}

/** Resolves with what `look` finds, or with undefined after `ms`. */
async function within<T>(ms: number, look: () => Promise<T | undefined>): Promise<T | undefined> {
  for (const end = performance.now() + ms; performance.now() < end; await wait(lookMs)) {
    const found = await look();
    if (found !== undefined) return found;
  }
  return undefined;
}

async function statusOf({ client }: Call): Promise<Status | undefined> {
  try {
    return await client.getStatus();
  } catch (error) {
    if (error instanceof Unreachable) return undefined;
    throw error;
  }
}

/** The daemon after the one of `before`; undefined when none comes up in time, or its process is gone. */
async function nextDaemon(call: Call, before: Status, daemon: ProcessId): Promise<Status | undefined> {
  let isGone = false;
  const found = await within(comeUpMs, async () => {
    const status = await statusOf(call);
    if (status !== undefined && status.startedAt !== before.startedAt) return status;
    isGone = !isAlive(daemon);
    return isGone ? before : undefined;
  });
  return isGone ? undefined : found;
}

/** A service manager that starts its daemon again by itself would only meet another one. */
const isManaged = (env: Record<string, string>): boolean => env.NOTIFY_SOCKET !== undefined;

/** Puts the old program back, when the new one did not come up. @throws StewardError with what became of it. */
async function goBack(call: Call, before: Status, daemon: ProcessId, env: Record<string, string>): Promise<never> {
  if (isAlive(daemon)) process.kill(daemon.pid, 'SIGKILL');
  const gone = await within(comeUpMs, async () => !isAlive(daemon) || undefined);
  const said = logTail(call.state.daemonLog);
  const failed = `Steward ${version} (${thisProgram.main}) did not come up`;
  const hint = `It said:\n${said}`;
  if (gone === undefined) throw new StewardError('daemon/upgrade', `${failed}, and its process does not end`, { hint });
  if (isManaged(env)) throw new StewardError('daemon/upgrade', `${failed}; systemd starts its own again`, { hint });
  await startBehind(call, { program: before.program, words: ['--resume'], env });
  throw new StewardError('daemon/upgrade', `${failed}; ${before.version} runs again, and what it ran was not touched`, { hint });
}

const running = (instances: readonly InstanceInfo[]): Map<string, number> =>
  new Map(instances.flatMap(({ id, pid }) => (pid === undefined ? [] : [[id, pid] as const])));

/** Waits until the new daemon knows of everything that ran. */
async function takenOver({ client }: Call, before: ReadonlyMap<string, number>): Promise<InstanceInfo[]> {
  const all = async (): Promise<InstanceInfo[]> => (await client.listInstances({ query: { brief: true } })).instances;
  const found = await within(takeOverMs, async () => {
    const now = await all();
    const known = new Set(now.map(({ id }) => id));
    return [...before.keys()].every((id) => known.has(id)) ? now : undefined;
  });
  return found ?? all();
}

/** Ends the keeper that runs an earlier program; the daemon starts the next one at once, and what is in the pipes waits for it. */
async function replaceKeeper(call: Call, pid: number): Promise<boolean> {
  if (isKeeper(pid)) process.kill(pid, 'SIGKILL');
  const done = await within(
    comeUpMs,
    async () => (await call.client.getStatus()).older.every(({ part }) => part !== 'keeper') || undefined,
  );
  return done ?? false;
}

/** Restarts gateway workers one after the other, each when the one before serves again. Ids of those that do not. */
async function replaceWorkers(call: Call, ids: readonly string[]): Promise<string[]> {
  for (const [index, id] of ids.entries()) {
    await call.client.restartInstances({ body: { names: [id] } });
    const [worker] = await settle(call, [id]);
    if (worker === undefined || !whetherUp(worker)) return ids.slice(index);
  }
  return [];
}

/** Hands over what runs on with an earlier program, as far as nobody notices; what is left is told. */
async function replaceOlder(call: Call): Promise<Status> {
  const { client, io } = call;
  const { older } = await client.getStatus();
  const keeper = older.find(({ part }) => part === 'keeper');
  if (keeper !== undefined && !(await progressWhile(io, 'handing the keeper over', replaceKeeper(call, keeper.pid))))
    io.err('the keeper of before still runs');
  const workers = older.filter(({ part }) => part !== 'keeper').map(({ part }) => part);
  const { instances } = await client.listInstances({ query: { brief: true } });
  const serving = instances.filter(({ service, state }) => service === 'gateway' && state === 'RUNNING').length;
  if (workers.length > 0 && serving < 2)
    io.err(`${workers.join(', ')} is the only worker: \`steward restart gateway\` when a short gap is no harm`);
  else {
    const left = await progressWhile(io, 'restarting gateway workers one by one', replaceWorkers(call, workers));
    if (left.length > 0) io.err(`does not serve again: ${left.join(', ')}; see \`steward ps\``);
  }
  return client.getStatus();
}

interface Outcome {
  readonly before: Status;
  readonly after: Status;
  readonly kept: readonly string[];
  readonly lost: readonly string[];
}

function show({ io, values }: Call, { before, after, kept, lost }: Outcome): void {
  const { older } = after;
  if (values.json) {
    const outcome = { from: before.version, to: after.version, pid: after.pid, kept, lost, older };
    return io.out(JSON.stringify(outcome, undefined, 2));
  }
  io.out(`the daemon is Steward ${after.version} now, and was ${before.version}; pid ${after.pid}`);
  io.out(`${count(kept.length, 'instance')} taken over, each as the process it was`);
  if (lost.length > 0) io.err(`not the process it was: ${lost.join(', ')}; see \`steward events\``);
  if (older.length > 0 && !values.all)
    io.out(`${older.map(({ part }) => part).join(', ')} run on with the program before; \`steward upgrade-daemon --all\` renews them too`);
}

async function upgrade(call: Call, before: Status): Promise<number> {
  const { client, io, values } = call;
  const env = wholeEnvironment(before.pid);
  if (!(await checkHere(call, before, env))) {
    io.err(`Steward ${version} does not accept the files in force; ${before.version} runs on`);
    return 2;
  }
  const ran = running((await client.listInstances({ query: { brief: true } })).instances);
  const daemon = { pid: before.pid, start: startTimeOf(before.pid) ?? 0 };
  try {
    await client.upgradeDaemon({ body: thisProgram });
  } catch (error) {
    if (error instanceof RequestRefused) throw error; // it broke off otherwise: the old one may be gone already
  }
  const next = await progressWhile(io, 'the new daemon takes over', nextDaemon(call, before, daemon));
  if (next === undefined) return goBack(call, before, daemon, env);
  const now = running(await takenOver(call, ran));
  const kept = [...ran].filter(([id, pid]) => now.get(id) === pid).map(([id]) => id);
  const lost = [...ran.keys()].filter((id) => !kept.includes(id));
  const after = values.all ? await replaceOlder(call) : await client.getStatus();
  show(call, { before, after, kept, lost });
  return lost.length === 0 && !(values.all && after.older.length > 0) ? 0 : 1;
}

export const upgradeDaemon: Command = {
  name: 'upgrade-daemon',
  usage: '[--all] [--json]',
  details:
    '  The daemon that runs becomes the program of this command, in the same process; services run on and are taken over.\n      --all    then also hand the keeper over, and restart the gateway workers one after the other',
  options: { ...jsonOption, all: { type: 'boolean' } },
  takes: 'nothing',
  here: true,
  run: async (call) => upgrade(call, await call.client.getStatus()),
};
