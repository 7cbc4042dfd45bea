/** logs, events: what was said and what happened. */
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

/** `10m` ago, or a time. */
function sinceOf(text: string): string {
  const ago = parseDuration(text);
  if (ago !== undefined) return String(Date.now() - ago);
  if (Number.isNaN(Date.parse(text)))
    throw new StewardError('cli/usage', `--since: "${text}" is neither a duration nor a time`, {
      status: 400,
      hint: 'Write 10m, 2h, or 2026-11-20T08:00:00.',
    });
  return String(Date.parse(text));
}

/** Ends on Ctrl-C, on TERM, and when the terminal or the reader of the output goes away (see main.ts). */
export function untilInterrupted(): AbortController {
  const controller = new AbortController();
  process.once('SIGINT', () => controller.abort());
  process.once('SIGTERM', () => controller.abort());
  process.on('SIGHUP', () => controller.abort());
  return controller;
}

export const logs: Command = {
  name: 'logs',
  usage: '[-f] [-n LINES] [--since TIME] [--json] [NAME...]',
  details:
    '  -f, --follow        go on until Ctrl-C\n  -n, --lines N       last N lines of each log (default 100)\n      --since TIME    from then on: 10m, 2h, or 2026-11-20T08:00:00\n      --json          one JSON object a line',
  options: { ...jsonOption, follow: { type: 'boolean', short: 'f' }, lines: { type: 'string', short: 'n' }, since: { type: 'string' } },
  takes: 'any',
  async run(call) {
    const { values, positionals, client } = call;
    const print = createLinePrinter(call);
    const query = {
      ...(positionals.length > 0 && { names: positionals.join(',') }),
      ...(values.follow && { follow: true }),
      ...(typeof values.lines === 'string' && { lines: wholeNumber(values.lines, '--lines') }),
      ...(typeof values.since === 'string' && { since: sinceOf(values.since) }),
    };
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
