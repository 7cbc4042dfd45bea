/** What the operations on instances do. */
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import { didYouMean } from '../../config/near.ts';
import { findSignal, type SignalName, signalNames } from '../../config/signals.ts';
import { StewardError } from '../../errors.ts';
import type { Usage } from '../../kernel/process-table.ts';
import type { InstanceView, Supervisor } from '../../supervisor/supervisor.ts';
import type { Handlers, Rooms } from '../handlers.ts';
import { resolveNames } from '../names.ts';

interface Sample {
  readonly atMs: number;
  readonly usage: ReadonlyMap<string, Usage>;
}

const shortestSampleMs = 500;
const tailLength = 200;

/** Processor share between this look and an earlier one; over the whole life of the process at the first look. */
function cpuPercent(view: InstanceView, now: Usage, nowMs: number, before: Sample | undefined): number {
  const earlier = before?.usage.get(view.spec.id);
  const isSameRun =
    earlier !== undefined && before !== undefined && (view.startedMs ?? 0) < before.atMs && earlier.cpuSeconds <= now.cpuSeconds;
  const spentMs = (now.cpuSeconds - (isSameRun ? earlier.cpuSeconds : 0)) * 1000;
  const spanMs = nowMs - (isSameRun ? before.atMs : (view.startedMs ?? nowMs));
  return spanMs <= 0 ? 0 : Math.round((spentMs / spanMs) * 1000) / 10;
}

/** What its whole tree uses, as it is shown. */
const usageOf = (
  { memoryBytes, openFiles, tasks }: Usage,
  percent: number,
): Pick<InstanceInfo, 'cpuPercent' | 'memoryBytes' | 'openFiles' | 'tasks'> => ({
  cpuPercent: percent,
  memoryBytes,
  ...(openFiles !== undefined && { openFiles }),
  tasks,
});

const endpointOf = ({ spec: { endpoint } }: InstanceView): { endpoint?: string } =>
  endpoint === undefined ? {} : { endpoint: endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `${endpoint.host}:${endpoint.port}` };

/** What is known of an instance, without what costs a look at the system. */
export function describeInstance(view: InstanceView): InstanceInfo {
  const { spec, state, pid, startedMs, uptimeMs = 0, stoppedByHand, waitsFor, streams } = view;
  return {
    id: spec.id,
    service: spec.service,
    group: spec.group,
    name: spec.name,
    state: state.phase,
    reason:
      waitsFor.length > 0
        ? `waits for ${waitsFor.join(', ')}`
        : stoppedByHand && state.phase === 'STOPPED'
          ? 'stopped by hand'
          : state.reason,
    ...(pid !== undefined && { pid }),
    ...(startedMs !== undefined && {
      startedAt: new Date(startedMs).toISOString(),
      uptimeSeconds: Math.floor(uptimeMs / 1000),
    }),
    restarts: state.restarts,
    ...(state.exit && { exit: state.exit }),
    ...(state.stuck && { stuck: true }),
    stoppedByHand,
    waitsFor: [...waitsFor],
    ...endpointOf(view),
    logs: streams.map(({ name, file }) => ({ stream: name, file })),
  };
}

function lastLine(supervisor: Supervisor, view: InstanceView): { lastLine?: string } {
  const last = view.streams
    .flatMap(({ file }) => supervisor.output.read(file, supervisor.output.place(file, { lines: 1 }), true).lines.slice(-1))
    .toSorted((a, b) => b.timeMs - a.timeMs)[0];
  return last === undefined ? {} : { lastLine: last.text.slice(0, tailLength) };
}

/** `TERM`, `SIGTERM` or `15`. @throws StewardError for anything else. */
export function parseSignal(text: string): SignalName {
  const found = findSignal(text);
  if (found !== undefined) return found;
  throw new StewardError('api/unknown-signal', `there is no signal "${text}"`, {
    status: 400,
    hint: `Use one of: ${signalNames.join(', ')}.${didYouMean(text.toUpperCase().replace(/^SIG/, ''), signalNames)}`,
  });
}

export function instanceHandlers({
  supervisor,
}: Rooms): Pick<Handlers, 'listInstances' | 'startInstances' | 'stopInstances' | 'restartInstances' | 'signalInstances'> {
  let sample: Sample | undefined;
  const named = (names: readonly string[]): string[] =>
    resolveNames(
      names,
      supervisor.views().map(({ spec }) => spec),
    );
  const describe = (ids: readonly string[]): InstanceInfo[] =>
    ids.flatMap((id) => {
      const view = supervisor.view(id);
      return view === undefined ? [] : [describeInstance(view)];
    });

  function withUsage(ids: readonly string[]): InstanceInfo[] {
    const nowMs = Date.now();
    const usage = supervisor.usage();
    const before = sample;
    if (before === undefined || nowMs - before.atMs >= shortestSampleMs) sample = { atMs: nowMs, usage };
    return ids.flatMap((id) => {
      const view = supervisor.view(id);
      if (view === undefined) return [];
      const used = usage.get(id);
      return [
        {
          ...describeInstance(view),
          ...(used && usageOf(used, cpuPercent(view, used, nowMs, before))),
          ...lastLine(supervisor, view),
        },
      ];
    });
  }

  return {
    listInstances({ query }) {
      const ids = query.names === undefined ? supervisor.views().map(({ spec }) => spec.id) : named(query.names.split(','));
      return { instances: query.brief ? describe(ids) : withUsage(ids) };
    },
    startInstances({ body }) {
      const ids = named(body.names);
      supervisor.start(ids);
      return { instances: describe(ids) };
    },
    async stopInstances({ body }) {
      const ids = named(body.names);
      await supervisor.stop(ids);
      return { instances: describe(ids) };
    },
    restartInstances({ body }) {
      const ids = named(body.names);
      supervisor.restart(ids);
      return { instances: describe(ids) };
    },
    signalInstances({ body }) {
      const signal = parseSignal(body.signal);
      return { instances: describe(supervisor.signal(named(body.names), signal)) };
    },
  };
}
