/** What the operations on instances do. */
import { statSync } from 'node:fs';
import type { InstanceInfo, ServiceInfo } from '@steward/sdk/contract/instances';
import { addressName } from '../../config/address.ts';
import type { InstanceSpec } from '../../config/model.ts';
import { didYouMean } from '../../config/near.ts';
import { findSignal, type SignalName, signalNames } from '../../config/signals.ts';
import { StewardError } from '../../errors.ts';
import type { Usage } from '../../kernel/process-table.ts';
import type { InstanceView, Supervisor } from '../../supervisor/supervisor.ts';
import type { Caller, Handlers, Rooms } from '../handlers.ts';
import { resolveNames } from '../names.ts';
import { pageOf } from '../page.ts';

interface Sample {
  readonly atMs: number;
  readonly usage: ReadonlyMap<string, Usage>;
}

const shortestSampleMs = 500;
/** A look at every process of the machine is shared by those who ask within this time. */
const freshMs = 250;
/** Logs whose last lines are remembered at once: those of ten thousand services. */
const mostKnownLines = 20_000;
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
  endpoint === undefined ? {} : { endpoint: addressName(endpoint) };

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

/** A service as a whole. */
function describeService(name: string, views: readonly InstanceView[]): ServiceInfo {
  const phases = new Set(views.map(({ state }) => state.phase));
  const [first] = views;
  return {
    name,
    group: first?.spec.group ?? name,
    state: phases.size === 1 && first !== undefined ? first.state.phase : 'MIXED',
    instances: views.length,
    running: views.filter(({ state }) => state.phase === 'RUNNING').length,
    restarts: views.reduce((sum, { state }) => sum + state.restarts, 0),
    ids: views.map(({ spec }) => spec.id),
  };
}

interface TimedLine {
  readonly timeMs: number;
  readonly text: string;
}

/** The last lines of logs. A log that has not changed since is not read again: most of a thousand services say nothing just now. */
function createLastLines({ output }: Supervisor): (view: InstanceView) => { lastLine?: string } {
  const known = new Map<string, { readonly state: string; readonly line: TimedLine | undefined }>();
  const stateOf = (file: string): string => {
    try {
      const { ino, size, mtimeMs } = statSync(file);
      return `${ino} ${size} ${mtimeMs}`;
    } catch {
      return ''; // not there, or not to be had: then it has no last line
    }
  };
  const lineOf = (file: string): TimedLine | undefined => {
    const state = stateOf(file);
    if (state === '') return undefined;
    const before = known.get(file);
    if (before?.state === state) return before.line;
    const [line] = output.read(file, output.place(file, { lines: 1 }), true).lines.slice(-1);
    if (known.size >= mostKnownLines) known.clear();
    known.set(file, { state, line: line && { timeMs: line.timeMs, text: line.text.slice(0, tailLength) } });
    return line;
  };
  return ({ streams }) => {
    const [last] = streams.flatMap(({ file }) => lineOf(file) ?? []).toSorted((a, b) => b.timeMs - a.timeMs);
    return last === undefined ? {} : { lastLine: last.text.slice(0, tailLength) };
  };
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
}: Rooms): Pick<
  Handlers,
  'listInstances' | 'getInstance' | 'listServices' | 'startInstances' | 'stopInstances' | 'restartInstances' | 'signalInstances'
> {
  /** What shares are counted from, and the one before that. */
  let sample: Sample | undefined;
  let earlier: Sample | undefined;
  let looked: Sample | undefined;
  const lastLine = createLastLines(supervisor);
  const seenBy = (caller: Caller): InstanceSpec[] => supervisor.views().flatMap(({ spec }) => (caller.may('read', spec) ? [spec] : []));
  const named = (names: readonly string[], caller: Caller): string[] => resolveNames(names, seenBy(caller));
  const describe = (ids: readonly string[]): InstanceInfo[] =>
    ids.flatMap((id) => {
      const view = supervisor.view(id);
      return view === undefined ? [] : [describeInstance(view)];
    });

  /** What the instances use, as it is now or was a moment ago; never without one that runs. */
  function look(ids: readonly string[]): Sample {
    const nowMs = Date.now();
    const isFresh = looked !== undefined && Math.abs(nowMs - looked.atMs) < freshMs;
    const isWhole = isFresh && ids.every((id) => looked?.usage.has(id) || supervisor.view(id)?.pid === undefined);
    if (looked === undefined || !isWhole) looked = { atMs: nowMs, usage: supervisor.usage() };
    return looked;
  }

  function withUsage(ids: readonly string[]): InstanceInfo[] {
    const now = look(ids);
    const { atMs: nowMs, usage } = now;
    const before = sample === now ? earlier : sample;
    if (sample === undefined || Math.abs(nowMs - sample.atMs) >= shortestSampleMs) [earlier, sample] = [sample, now];
    return ids.flatMap((id) => {
      const view = supervisor.view(id);
      if (view === undefined) return [];
      const used = usage.get(id);
      return [
        {
          ...describeInstance(view),
          ...(used && usageOf(used, cpuPercent(view, used, nowMs, before))),
          ...lastLine(view),
        },
      ];
    });
  }

  return {
    listInstances({ query: { names, state, brief = false, limit, after } }, caller) {
      const known = names === undefined ? seenBy(caller).map(({ id }) => id) : named(names.split(','), caller);
      const wanted = state === undefined ? known : known.filter((id) => supervisor.view(id)?.state.phase === state);
      const { items, next } = pageOf(wanted, (id) => id, limit, after);
      return { instances: brief ? describe(items) : withUsage(items), ...(next !== undefined && { next }) };
    },
    getInstance({ params: { id } }, caller) {
      const [found] = withUsage(seenBy(caller).flatMap((spec) => (spec.id === id ? [id] : [])));
      if (found === undefined) throw new StewardError('api/unknown-name', `there is no instance "${id}"`, { status: 404 });
      return found;
    },
    listServices({ query: { group, limit, after } }, caller) {
      const views = supervisor.views().filter(({ spec }) => caller.may('read', spec) && (group === undefined || spec.group === group));
      const services = [...Map.groupBy(views, ({ spec }) => spec.service)];
      const { items, next } = pageOf(services, ([name]) => name, limit, after);
      return { services: items.map(([name, members]) => describeService(name, members)), ...(next !== undefined && { next }) };
    },
    startInstances({ body }, caller) {
      const ids = named(body.names, caller);
      supervisor.start(ids);
      return { instances: describe(ids) };
    },
    async stopInstances({ body }, caller) {
      const ids = named(body.names, caller);
      await supervisor.stop(ids);
      return { instances: describe(ids) };
    },
    restartInstances({ body }, caller) {
      const ids = named(body.names, caller);
      supervisor.restart(ids);
      return { instances: describe(ids) };
    },
    signalInstances({ body }, caller) {
      const signal = parseSignal(body.signal);
      return { instances: describe(supervisor.signal(named(body.names, caller), signal)) };
    },
  };
}
