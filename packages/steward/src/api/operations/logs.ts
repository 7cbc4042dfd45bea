/** Reading and following logs. */
import type { LogLine } from '@steward/sdk/contract/instances';
import { StewardError } from '../../errors.ts';
import type { Handlers, Rooms, StreamItem } from '../handlers.ts';
import { type LogSource, type MergedLine, mergeLogs } from '../log-merge.ts';
import { resolveNames } from '../names.ts';

const defaultLines = 100;

/** @throws StewardError when the text is no time. */
function parseSince(text: string): number {
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isNaN(ms))
    throw new StewardError('api/bad-time', `"${text}" is no time`, {
      status: 400,
      hint: 'Write an ISO time such as 2026-11-20T08:00:00Z, or epoch milliseconds.',
    });
  return ms;
}

const toLine = ({ timeMs, text, source }: MergedLine): StreamItem<LogLine> => ({
  data: { instance: source.instance, stream: source.stream, at: timeMs === 0 ? null : new Date(timeMs).toISOString(), text },
});

export function logHandlers({ supervisor, growth }: Rooms): Pick<Handlers, 'readLogs'> {
  const sourcesFor = (names: string | undefined): LogSource[] => {
    const views = supervisor.views();
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

  return {
    async *readLogs({ query }, signal) {
      const { names, follow = false, since, lines } = query;
      const wanted = since === undefined || lines !== undefined ? { lines: lines ?? defaultLines } : { sinceMs: parseSince(since) };
      const beganMs = Date.now();
      await supervisor.output.settle();
      const merge = mergeLogs(sourcesFor(names), supervisor.output, wanted, follow);
      for (const line of merge.lines()) yield toLine(line);
      if (!follow) return;
      for await (const _ of growth.until(signal)) {
        merge.add(sourcesFor(names), beganMs); // services that were added since
        for (const line of merge.lines()) yield toLine(line);
      }
    },
  };
}
