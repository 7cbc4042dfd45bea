/** boot: the list of steps after a reboot: running it, how far it is, and what it would do. */
import { hostname } from 'node:os';
import { setTimeout as wait } from 'node:timers/promises';
import { Unreachable } from '@steward/sdk/client';
import type { BootInfo, BootStepInfo } from '@steward/sdk/contract/boot';
import { idle, infoOf } from '../../boot/boot.ts';
import { formatProblems, hasErrors } from '../../config/problem.ts';
import { harmless } from '../../config/terminal.ts';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { type Color, type Column, paint, table, uptime } from '../print.ts';
import { filesOf, load } from './config.ts';

const lookEveryMs = 200;

const stateColors: Readonly<Record<BootStepInfo['state'], Color>> = {
  pending: 'dim',
  trying: 'cyan',
  waiting: 'yellow',
  done: 'green',
  failed: 'red',
  skipped: 'dim',
};

const columns: readonly Column<BootStepInfo>[] = [
  { title: 'STEP', value: ({ name }) => harmless(name) },
  { title: 'RESULT', value: ({ state }) => state, color: ({ state }) => stateColors[state] },
  {
    title: 'TIME',
    value: ({ seconds, tries }) => (tries === 0 ? '-' : seconds < 60 ? `${seconds.toFixed(1)}s` : uptime(Math.round(seconds))),
    align: 'right',
  },
  { title: 'TRIES', value: ({ tries }) => String(tries), align: 'right' },
  { title: 'WHY', value: ({ why, does, state }) => harmless(state === 'pending' ? does : why) },
];

const words: Readonly<Record<BootInfo['state'], string>> = {
  idle: 'not run since this machine booted',
  running: 'running',
  done: 'done',
  degraded: 'degraded: through, and not all steps are done',
  failed: 'failed: it stopped at a step',
};

/** The table, then what the commands that failed wrote. */
function report({ host, list, lists, state, steps }: BootInfo, width: number, colored: boolean): string {
  if (list === null)
    return `host ${harmless(host)} has no boot list${lists.length === 0 ? '' : `; there are lists for ${lists.join(', ')}`}`;
  const lines = steps.flatMap(({ name, lastLines }) =>
    lastLines.length === 0 ? [] : [`last lines of ${harmless(name)}:`, ...lastLines.map((line) => `  ${harmless(line)}`)],
  );
  const head = `boot of ${harmless(host)}${list === '*' || list === host ? '' : ` (list ${harmless(list)})`}: ${words[state]}`;
  return [head, ...(steps.length === 0 ? [] : [table(steps, columns, width, colored)]), ...lines].join('\n');
}

function triesOf({ timeoutSeconds, retries, background, onFailure }: BootStepInfo): string {
  const again =
    retries === 0
      ? ''
      : retries === 'forever'
        ? ', tried again until it is done'
        : `, tried again ${retries === 1 ? 'once' : `${retries} times`}`;
  const then = background
    ? 'goes on behind the list'
    : { stop: 'stops the list', continue: 'the list goes on', alert: 'the list goes on, with an alert' }[onFailure];
  return `at most ${uptime(timeoutSeconds)} a try${again}; a failure ${background || onFailure === 'stop' ? then : `is passed: ${then}`}`;
}

const planColumns: readonly Column<BootStepInfo>[] = [
  { title: 'STEP', value: ({ name }) => harmless(name) },
  { title: 'NOW', value: ({ state }) => state, color: ({ state }) => stateColors[state] },
  { title: 'DOES', value: ({ does }) => harmless(does) },
  { title: 'FAILURES', value: triesOf },
];

function planReport(info: BootInfo, width: number, colored: boolean): string {
  if (info.list === null) return report(info, width, colored);
  return [`boot of ${harmless(info.host)} would do, in this order:`, table(info.steps, planColumns, width, colored)].join('\n');
}

/** The line of a step that came to something. */
function stepLine({ name, state, why }: BootStepInfo, colored: boolean): string {
  return `${paint(state, stateColors[state], colored)} ${harmless(name)}${why === '' ? '' : `: ${harmless(why)}`}`;
}

/** Says what comes of each step until the list has come to its end. */
async function follow(call: Call, first: BootInfo): Promise<BootInfo> {
  const { client, io, values } = call;
  const said = new Map<string, string>();
  for (let info = first; ; info = await client.getBoot({ query: {} })) {
    for (const step of info.steps) {
      const line = stepLine(step, io.isTerminal);
      if (step.state === 'pending' || said.get(step.name) === line) continue;
      said.set(step.name, line);
      if (!values.json) io.err(line);
    }
    if (info.state !== 'running') return info;
    await wait(lookEveryMs);
  }
}

/** The list as the files of the command line have it, and nobody has run it. Undefined when they have errors, which are told. */
function fromFiles({ io, state }: Call, files: readonly string[], host: string): BootInfo | undefined {
  const { config, problems, sources } = load(files, io, state.sockets);
  if (problems.length > 0) io.err(`${formatProblems(problems, sources)}\n`);
  if (hasErrors(problems)) return undefined;
  return infoOf(config.boot, { host, state: idle }, () => []);
}

async function dryRun(call: Call, host: string | undefined): Promise<number> {
  const { io, values, client, positionals } = call;
  const files = positionals.length > 0 ? filesOf(call) : undefined;
  const local = async (): Promise<BootInfo | undefined> => {
    if (files !== undefined) return fromFiles(call, files, host ?? hostname());
    try {
      return await client.getBoot({ query: host === undefined ? {} : { host } });
    } catch (error) {
      const found = error instanceof Unreachable ? filesOf(call) : undefined;
      if (found === undefined) throw error;
      return fromFiles(call, found, host ?? hostname());
    }
  };
  const info = await local();
  if (info === undefined) return 2;
  io.out(values.json ? JSON.stringify(info, undefined, 2) : planReport(info, io.columns, io.isTerminal));
  return info.list === null ? 2 : 0;
}

/** 0 when the list is through, 1 when it stopped. */
function show({ io, values }: Call, info: BootInfo): number {
  io.out(values.json ? JSON.stringify(info, undefined, 2) : report(info, io.columns, io.isTerminal));
  return info.state === 'failed' ? 1 : 0;
}

/** The options that say how to run it; one of them at most. */
function requestOf({ values }: Call, host: string | undefined) {
  const given = (['resume', 'from', 'again'] as const).filter((name) => values[name] !== undefined);
  if (given.length > 1)
    throw new StewardError('cli/usage', `${given.map((name) => `--${name}`).join(' and ')} do not go together`, {
      status: 400,
      hint: 'Give one of them.',
    });
  return {
    ...(host !== undefined && { host }),
    ...(values.resume && { resume: true }),
    ...(values.again && { again: true }),
    ...(typeof values.from === 'string' && { from: values.from }),
  };
}

export const boot: Command = {
  name: 'boot',
  usage: '[--status | --dry-run] [--resume | --from STEP | --again] [--host NAME] [--json] [FILE...]',
  details:
    '  Without options: runs the list of this host, if it has not run since the machine booted, and shows what came of each step.\n      --status      only shows how far it is\n      --dry-run     only shows what would be done; with FILE no daemon is asked\n      --resume      goes on at the step that failed; what is done stays done\n      --from STEP   begins at this step\n      --again       runs all steps again\n      --host NAME   the list of this host, instead of that of the machine\n      --json        the outcome as JSON\n  FILE is applied first, as by `steward apply`.',
  options: {
    ...jsonOption,
    status: { type: 'boolean' },
    'dry-run': { type: 'boolean' },
    resume: { type: 'boolean' },
    again: { type: 'boolean' },
    from: { type: 'string' },
    host: { type: 'string' },
  },
  takes: 'any',
  async run(call) {
    const { client, values, positionals, io } = call;
    const host = typeof values.host === 'string' ? values.host : undefined;
    const request = requestOf(call, host);
    if (values['dry-run']) return dryRun(call, host);
    if (values.status) return show(call, await client.getBoot({ query: host === undefined ? {} : { host } }));
    if (positionals.length > 0) await client.applyConfig({ body: { files: filesOf(call) ?? [], base: io.cwd } });
    const before = await client.getBoot({ query: {} });
    const isAsked = values.resume || values.again || values.from !== undefined || (host !== undefined && host !== before.host);
    const hasRun = before.state !== 'idle' && before.state !== 'running';
    if (hasRun && !isAsked) {
      io.err(
        `it has run since this machine booted; ${before.state === 'failed' ? '--resume goes on at the step that failed' : '--again runs it again'}`,
      );
      return show(call, before);
    }
    return show(call, await follow(call, before.state === 'running' && !isAsked ? before : await client.runBoot({ body: request })));
  },
};
