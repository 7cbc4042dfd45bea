/** Reading and following logs. */
import { constants } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import type { LogLine, readLogs } from '@steward/sdk/contract/instances';
import type { Input } from '@steward/sdk/contract/operation';
import { StewardError } from '../../errors.ts';
import { type Beginning, fieldsOf, type Output, type RunMark } from '../../output/output.ts';
import type { Caller, Handlers, Rooms, StreamItem } from '../handlers.ts';
import { type LogFilter, parsePattern } from '../log-filter.ts';
import { type LogSource, lastWanted, type MergedLine, mergeLogs, type Start } from '../log-merge.ts';
import { resolveNames } from '../names.ts';

const defaultLines = 100;
/** How long a request may keep the daemon from its other work at a time. */
const sliceMs = 10;

type Query = Input<typeof readLogs>['query'];

/** @throws StewardError when the text is no time. */
export function parseTime(text: string): number {
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(ms))
    throw new StewardError('api/bad-time', `"${text}" is no time`, {
      status: 400,
      hint: 'Write an ISO time such as 2026-11-20T08:00:00Z, or epoch milliseconds.',
    });
  return ms;
}

const signalName = (number: number): string =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? String(number);

/** `started, pid 12, run ab12…`, `exited with code 1`. */
function markText({ kind, run, pid, code, signal }: RunMark): string {
  if (kind === 'started') return `started${pid === 0 ? '' : `, pid ${pid}`}, run ${run}`;
  if (signal !== null) return `ended by ${signalName(signal)}, run ${run}`;
  return `exited${code === null ? '' : ` with code ${code}`}, run ${run}`;
}

const toLine = ({ timeMs, text, run, level, mark, source }: MergedLine, withFields: boolean): StreamItem<LogLine> => {
  const fields = withFields && mark === undefined ? fieldsOf(text) : undefined;
  return {
    data: {
      instance: source.instance,
      stream: source.stream,
      at: timeMs === 0 ? null : new Date(timeMs).toISOString(),
      text: mark === undefined ? text : markText(mark),
      ...(run !== '' && { run }),
      ...(level && { level }),
      ...(mark && { mark: mark.kind }),
      ...(fields && { fields: { ...fields } }),
    },
  };
};

/** Lets others have their turn when it has been ours for long. */
function createPause(): () => Promise<void> | undefined {
  let sinceMs = performance.now();
  return () => {
    if (performance.now() - sinceMs < sliceMs) return undefined;
    return turn().then(() => {
      sinceMs = performance.now();
    });
  };
}

/** The run each instance is asked for. @throws StewardError when no log knows of one. */
function runsWanted({ run, previous }: Query, sources: readonly LogSource[], output: Output): LogFilter['runOf'] {
  if (run === undefined && !previous) return undefined;
  const wanted = new Map<string, string>();
  for (const { instance, file } of sources) {
    const known = previous ? output.runs(file, 2)[1] : output.hasRun(file, run ?? '') ? run : undefined;
    if (known !== undefined && !wanted.has(instance)) wanted.set(instance, known);
  }
  if (wanted.size === 0)
    throw new StewardError('api/unknown-run', previous ? 'no log knows of an earlier run' : `no log knows of a run "${run}"`, {
      status: 404,
      hint: 'The lines of `steward logs` that begin with two dashes name the runs.',
    });
  return (instance) => wanted.get(instance);
}

function filterOf({ since, until, grep, ignoreCase = false, level }: Query, runOf: LogFilter['runOf']): LogFilter {
  return {
    sinceMs: since === undefined ? undefined : parseTime(since),
    untilMs: until === undefined ? undefined : parseTime(until),
    pattern: grep === undefined ? undefined : parsePattern(grep, ignoreCase),
    level,
    runOf,
  };
}

export function logHandlers({ supervisor, growth }: Rooms): Pick<Handlers, 'readLogs'> {
  const { output } = supervisor;

  const sourcesFor = (names: string | undefined, caller: Caller): LogSource[] => {
    const views = supervisor.views().filter(({ spec }) => caller.may('logs', spec));
    const ids = new Set(
      names === undefined
        ? views.map(({ spec }) => spec.id)
        : resolveNames(
            names.split(','),
            views.map(({ spec }) => spec),
          ),
    );
    return views
      .filter(({ spec }) => ids.has(spec.id))
      .flatMap(({ spec, streams }) => streams.map(({ file, name }) => ({ instance: spec.id, stream: name, file })));
  };

  /** Where each log begins; looks through a log only when its last lines of a kind are asked for. */
  async function startsOf(
    sources: readonly LogSource[],
    filter: LogFilter,
    lines: number | undefined,
    pause: () => Promise<void> | undefined,
    signal: AbortSignal,
  ): Promise<Map<string, Start>> {
    const { sinceMs, untilMs, pattern, level, runOf } = filter;
    const starts = new Map<string, Start>();
    for (const source of sources) {
      const run = runOf?.(source.instance);
      const from: Beginning | undefined = sinceMs !== undefined ? { sinceMs } : run !== undefined ? { run } : undefined;
      const count = lines ?? (from === undefined ? defaultLines : undefined);
      const isPlain = from === undefined && pattern === undefined && level === undefined;
      if (count === undefined) starts.set(source.file, { from: from as Beginning, skip: 0 });
      else if (isPlain || count === 0) starts.set(source.file, { from: { lines: count, untilMs }, skip: 0 });
      else {
        const search = lastWanted(source, output, filter, count, from);
        let step = search.next();
        for (; !step.done && !signal.aborted; step = search.next()) await pause();
        if (step.done) starts.set(source.file, step.value);
      }
    }
    return starts;
  }

  return {
    async *readLogs({ query }, caller, signal) {
      const { names, follow = false, lines, marks = false, fields = false } = query;
      const beganMs = Date.now();
      const pause = createPause();
      await output.settle();
      const all = sourcesFor(names, caller);
      const runOf = runsWanted(query, all, output);
      const sources = runOf === undefined ? all : all.filter(({ instance }) => runOf(instance) !== undefined);
      const filter = filterOf(query, runOf);
      const starts = await startsOf(sources, filter, lines, pause, signal);
      const isSearch = filter.pattern !== undefined || filter.level !== undefined;
      const startOf = ({ file }: LogSource): Start => starts.get(file) ?? { from: { lines: 0 }, skip: 0 };
      const merge = mergeLogs(sources, output, { ...filter, follow, marks: marks && !isSearch }, startOf);
      const now = async function* (): AsyncGenerator<StreamItem<LogLine>> {
        for (const line of merge.lines()) {
          if (signal.aborted) return;
          if (line === undefined) await pause();
          else yield toLine(line, fields);
        }
      };
      yield* now();
      if (!follow) return;
      for await (const _ of growth.until(signal)) {
        if (runOf === undefined) merge.add(sourcesFor(names, caller), beganMs); // services that were added since
        yield* now();
      }
    },
  };
}
