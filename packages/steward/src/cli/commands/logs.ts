/** logs, events: what was said and what happened. */
import { logLevels } from '@steward/sdk/contract/instances';
import { didYouMean } from '../../config/near.ts';
import { widthOf } from '../../config/terminal.ts';
import { parseDuration } from '../../config/units.ts';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { factLine, logLine } from '../views.ts';

/** Widest name so far, so that columns stay straight; it can only grow. */
export function createLinePrinter({ io, values }: Pick<Call, 'io' | 'values'>): (line: Parameters<typeof logLine>[0]) => void {
  let width = 8;
  return (line) => {
    if (values.json) return io.out(JSON.stringify(line));
    width = Math.min(30, Math.max(width, widthOf(line.instance)));
    io.out(logLine(line, width, new Date(), io.isTerminal));
  };
}

const wholeNumber = (text: string, option: string): number => {
  if (!/^\d{1,6}$/.test(text))
    throw new StewardError('cli/usage', `${option}: "${text}" is no whole number`, {
      status: 400,
      hint: `Write for example ${option} 100.`,
    });
  return Number(text);
};

/** `10m` ago, epoch milliseconds, or a time, which is local unless it says otherwise. */
function timeOf(text: string, option: string): string {
  const ago = parseDuration(text);
  if (ago !== undefined) return String(Date.now() - ago);
  const time = /^\d{12,14}$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(time))
    throw new StewardError('cli/usage', `${option}: "${text}" is neither a duration nor a time`, {
      status: 400,
      hint: 'Write 10m, 2h, or 2026-11-20T08:00:00.',
    });
  return String(time);
}

const isLevel = (text: string): text is (typeof logLevels)[number] => (logLevels as readonly string[]).includes(text);

function levelOption(text: string): (typeof logLevels)[number] {
  const level = text.toLowerCase().replace(/^warning$/, 'warn');
  if (isLevel(level)) return level;
  throw new StewardError('cli/usage', `--level: "${text}" is no level`, {
    status: 400,
    hint: `Use one of: ${logLevels.join(', ')}.${didYouMean(level, logLevels)}`,
  });
}

function runOption(text: string): string {
  if (/^[0-9a-f]{1,12}$/.test(text)) return text;
  throw new StewardError('cli/usage', `--run: "${text}" is no id of a run`, {
    status: 400,
    hint: 'The lines that begin with two dashes name the runs; --previous is the run before the last one.',
  });
}

/** Ends on Ctrl-C, on TERM, and when the terminal or the reader of the output goes away (see main.ts). */
export function untilInterrupted(): AbortController {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  process.once('SIGTERM', () => controller.abort());
  process.on('SIGHUP', () => controller.abort());
  return controller;
}

const text = (value: string | boolean | undefined): string | undefined => (typeof value === 'string' ? value : undefined);

/** What the options ask for. @throws StewardError for one that cannot be understood. */
function queryOf({ values, positionals }: Call) {
  const [lines, since, until, grep, level, run] = ['lines', 'since', 'until', 'grep', 'level', 'run'].map((name) => text(values[name]));
  return {
    ...(positionals.length > 0 && { names: positionals.join(',') }),
    ...(values.follow && { follow: true }),
    ...(lines !== undefined && { lines: wholeNumber(lines, '--lines') }),
    ...(since !== undefined && { since: timeOf(since, '--since') }),
    ...(until !== undefined && { until: timeOf(until, '--until') }),
    ...(grep !== undefined && { grep }),
    ...(values['ignore-case'] && { ignoreCase: true }),
    ...(level !== undefined && { level: levelOption(level) }),
    ...(run !== undefined && { run: runOption(run) }),
    ...(values.previous && { previous: true }),
    ...(values.json && { fields: true }),
    ...(!values['no-marks'] && (!values.json || values.marks) && { marks: true }),
  };
}

const option = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;

export const logs: Command = {
  name: 'logs',
  usage: '[-f] [-n LINES] [--since TIME] [--until TIME] [--grep PATTERN] [--level LEVEL] [--previous | --run ID] [--json] [NAME...]',
  details: [
    '  NAME is an instance, a service or a group; without one all logs are shown, merged by time.',
    '  -f, --follow         go on until Ctrl-C',
    '  -n, --lines N        last N lines of each log, of those that are wanted (default 100; all with --since, --run or --previous)',
    '      --since TIME     from then on: 10m, 2h, 2026-11-20T08:00:00 or epoch milliseconds',
    '      --until TIME     up to then',
    '      --grep PATTERN   lines that match this regular expression',
    '  -i, --ignore-case    capital and small letters are the same for --grep',
    '      --level LEVEL    lines of this level and worse: error, warn, info or debug',
    '  -p, --previous       the run before the last one: what it said before it ended',
    '      --run ID         one run, by its id or the beginning of it',
    '      --no-marks       without the lines that tell where a run started and ended',
    '      --json           one JSON object a line: at, instance, stream, run, level, text, and fields when the line is JSON',
    '      --marks          with --json: also where runs started and ended',
  ].join('\n'),
  options: {
    ...jsonOption,
    follow: { ...flag, short: 'f' },
    lines: { ...option, short: 'n' },
    since: option,
    until: option,
    grep: option,
    'ignore-case': { ...flag, short: 'i' },
    level: option,
    run: option,
    previous: { ...flag, short: 'p' },
    marks: flag,
    'no-marks': flag,
  },
  takes: 'any',
  async run(call) {
    const { client } = call;
    const print = createLinePrinter(call);
    const query = queryOf(call);
    const { signal } = untilInterrupted();
    try {
      for await (const { data } of client.readLogs({ query }, signal)) print(data);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return 0;
  },
};

export const events: Command = {
  name: 'events',
  usage: '[-f] [-n COUNT] [--json]',
  options: { ...jsonOption, follow: { type: 'boolean', short: 'f' }, lines: { type: 'string', short: 'n' } },
  takes: 'nothing',
  async run({ values, client, io }) {
    const query = {
      ...(values.follow && { follow: true }),
      ...(typeof values.lines === 'string' && { count: wholeNumber(values.lines, '--lines') }),
    };
    const { signal } = untilInterrupted();
    try {
      for await (const { data } of client.listFacts({ query }, signal))
        io.out(values.json ? JSON.stringify(data) : factLine(data, new Date(), io.isTerminal));
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    return 0;
  },
};
