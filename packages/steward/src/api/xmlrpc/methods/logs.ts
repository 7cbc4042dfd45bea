/** Reading and clearing logs: those of processes, and Steward's own. */
import type { InstanceView } from '../../../supervisor/supervisor.ts';
import { Fault, faults } from '../faults.ts';
import { emptyFile, existing, isFile, mostBytes, readBytes, replaceFile, tailBytes } from '../log-file.ts';
import {
  allByPriority,
  type Call,
  integerFrom,
  type Method,
  type Methods,
  type Outcome,
  oneProcess,
  type Parameter,
  requireOver,
  textFrom,
} from '../method.ts';

export type Channel = 'stdout' | 'stderr';

const processName: Parameter = { name: 'name', type: 'string' };
const range: readonly Parameter[] = [
  { name: 'offset', type: 'int' },
  { name: 'length', type: 'int' },
];

/** The file of a stream; undefined when it keeps no log, or its log was given a name and does not exist yet. */
const logOf = ({ streams }: InstanceView, channel: Channel): string | undefined => streams.find(({ name }) => name === channel)?.file;

/** A log whose file Steward chose is there from the beginning, as one that supervisord chose: empty. */
const isEmptyYet = ({ spec }: InstanceView, channel: Channel): boolean => {
  const target = channel === 'stdout' ? spec.stdout : spec.stderr;
  return target !== 'stdout' && target.file === undefined;
};

/** The log to follow; undefined when there is none, and none is to be expected. */
export function followedLog(view: InstanceView, channel: Channel): string | undefined {
  const file = logOf(view, channel);
  return file !== undefined && (isFile(file) || isEmptyYet(view, channel)) ? file : undefined;
}

/** @throws Fault FAILED when a request of many calls reads too much. */
function spend(call: Call, text: string): string {
  call.budget -= text.length;
  if (call.budget < 0) throw new Fault('FAILED', `one request may read ${2 * mostBytes} bytes of logs`);
  return text;
}

async function read(call: Call, view: InstanceView, channel: Channel, offset: number, length: number): Promise<string> {
  await call.rooms.supervisor.output.settle();
  const file = logOf(view, channel);
  try {
    return spend(call, readBytes(existing(file), offset, length));
  } catch (error) {
    if (error instanceof Fault && error.fault === 'NO_FILE' && isEmptyYet(view, channel)) return '';
    throw error;
  }
}

function withLog(call: Call, name: string): InstanceView {
  const view = oneProcess(call, name);
  requireOver(call, 'logs', [view]);
  return view;
}

const reads = (channel: Channel): Method => ({
  needs: 'logs',
  over: 'processes',
  parameters: [processName, ...range],
  returns: 'string',
  help: `Bytes of the ${channel} log of a process from offset on; length 0 for all that follow, a negative offset with length 0 for the last ones.`,
  run: ([name, offset, length], call) => read(call, withLog(call, textFrom(name)), channel, integerFrom(offset), integerFrom(length)),
});

const tails = (channel: Channel): Method => ({
  needs: 'logs',
  over: 'processes',
  parameters: [processName, ...range],
  returns: 'array',
  help: `Up to length bytes of the ${channel} log from offset on, the offset to go on from, and whether some were left out.`,
  async run([name, offset, length], call) {
    const view = withLog(call, textFrom(name));
    await call.rooms.supervisor.output.settle();
    const [bytes, next, overflow] = tailBytes(logOf(view, channel), integerFrom(offset), integerFrom(length));
    return [spend(call, bytes), next, overflow];
  },
});

function clear(view: InstanceView): void {
  for (const { file } of view.streams) replaceFile(file);
}

const clears: Method = {
  needs: 'operate',
  over: 'processes',
  changes: true,
  parameters: [processName],
  returns: 'boolean',
  help: 'Empties the logs of a process; rotated ones stay.',
  async run([name], call) {
    const view = oneProcess(call, textFrom(name));
    requireOver(call, 'operate', [view]);
    await call.rooms.supervisor.output.settle();
    clear(view);
    return true;
  },
};

function clearedAs(view: InstanceView): Outcome {
  const about = { name: view.spec.name, group: view.spec.group };
  try {
    clear(view);
    return { ...about, status: faults.SUCCESS, description: 'OK' };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { ...about, status: error.code, description: error.message };
  }
}

const readsMain: Method = {
  needs: 'daemon',
  parameters: range,
  returns: 'string',
  help: "Bytes of Steward's own log, by the same rules.",
  run([offset, length], call) {
    const [from, count] = [integerFrom(offset), integerFrom(length)];
    return spend(call, readBytes(existing(call.mainLog()), from, count));
  },
};

export const logMethods: Methods = {
  'supervisor.readLog': readsMain,
  'supervisor.readMainLog': readsMain,
  'supervisor.clearLog': {
    needs: 'daemon',
    changes: true,
    parameters: [],
    returns: 'boolean',
    help: "Empties Steward's own log.",
    run(_given, call) {
      emptyFile(existing(call.mainLog()));
      return true;
    },
  },
  'supervisor.readProcessLog': reads('stdout'),
  'supervisor.readProcessStdoutLog': reads('stdout'),
  'supervisor.readProcessStderrLog': reads('stderr'),
  'supervisor.tailProcessLog': tails('stdout'),
  'supervisor.tailProcessStdoutLog': tails('stdout'),
  'supervisor.tailProcessStderrLog': tails('stderr'),
  'supervisor.clearProcessLog': clears,
  'supervisor.clearProcessLogs': clears,
  'supervisor.clearAllProcessLogs': {
    needs: 'operate',
    over: 'processes',
    changes: true,
    parameters: [],
    returns: 'array',
    help: 'Empties the logs of all processes. Gives a struct for each.',
    async run(_given, call) {
      const views = allByPriority(call);
      requireOver(call, 'operate', views);
      await call.rooms.supervisor.output.settle();
      return views.map(clearedAs);
    },
  },
};
