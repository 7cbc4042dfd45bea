/** Starting, stopping and signalling processes, and what is known of them. */
import { findSignal } from '../../../config/signals.ts';
import type { InstanceView } from '../../../supervisor/supervisor.ts';
import { commandFault } from '../command.ts';
import { isDown, isUp, nameOf, takesSignals } from '../describe.ts';
import { Fault } from '../faults.ts';
import {
  allByPriority,
  type Call,
  compareTexts,
  describe,
  findProcess,
  flagFrom,
  groupOf,
  type Methods,
  type Outcome,
  oneProcess,
  type Parameter,
  processesOf,
  requireOver,
  textFrom,
} from '../method.ts';
import { each, type Look, waitUntil } from '../sequence.ts';

const processName: Parameter = { name: 'name', type: 'string' };
const groupName: Parameter = { name: 'group', type: 'string' };
const waits: Parameter = { name: 'wait', type: 'boolean', optional: true };
const signalName: Parameter = { name: 'signal', type: 'string' };

const operates = { needs: 'operate', over: 'processes', changes: true } as const;

/** The members of a group. @throws Fault BAD_NAME when there is none of this name. */
function members(call: Call, group: string): InstanceView[] {
  const found = groupOf(call, group);
  if (found.length === 0) throw new Fault('BAD_NAME', group);
  return found;
}

/** Whether a process that was started is up. @throws Fault when it will not be. */
function lookWhetherUp({ spec: { id } }: InstanceView, name: string, { supervisor }: Call['rooms']): Look {
  return () => {
    const view = supervisor.view(id);
    if (view === undefined) throw new Fault('ABNORMAL_TERMINATION', name);
    const { phase, failedStarts, next } = view.state;
    if (failedStarts > 0 || phase === 'BACKOFF' || phase === 'FATAL') throw new Fault('SPAWN_ERROR', name);
    if (phase === 'RUNNING') return true;
    // Stopped to be started again: it was on its way down, or did not get ready in time.
    if (phase === 'STARTING' || (phase === 'STOPPING' && next !== 'stop')) return false;
    throw new Fault('ABNORMAL_TERMINATION', name);
  };
}

/** Starts one. @throws Fault when it cannot be, or is up. */
function start(view: InstanceView, wait: boolean, call: Call): Look | true {
  const name = nameOf(view.spec.group, view.spec.name);
  const fault = commandFault(view.spec);
  if (fault !== undefined) throw fault;
  if (isUp(view)) throw new Fault('ALREADY_STARTED', name);
  call.rooms.supervisor.start([view.spec.id]);
  const look = lookWhetherUp(view, name, call.rooms);
  return look() || !wait ? true : look;
}

const startEach = (views: readonly InstanceView[], wait: boolean, call: Call): Promise<Outcome[]> =>
  each(
    views.filter((view) => !isUp(view)),
    (view) => start(view, wait, call),
    call.signal,
  );

/** Stops several, what needs others before them; a look tells of each. */
function stopper(views: readonly InstanceView[], call: Call): (view: InstanceView) => Look {
  const { supervisor } = call.rooms;
  let over = false;
  void supervisor.stop(views.map(({ spec }) => spec.id)).then(() => {
    over = true;
  });
  return ({ spec: { id } }) =>
    () => {
      const view = supervisor.view(id);
      if (view?.state.phase === 'STOPPING' && view.state.stuck) throw new Fault('FAILED', view.state.reason);
      return over || view === undefined || isDown(view);
    };
}

function stopEach(among: readonly InstanceView[], wait: boolean, call: Call): Promise<Outcome[]> {
  const views = among.filter(isUp);
  const lookAt = stopper(views, call);
  return each(views, (view) => (wait ? lookAt(view) : true), call.signal);
}

/** @throws Fault BAD_SIGNAL, NOT_RUNNING. */
function send(view: InstanceView, signal: string, call: Call): true {
  const found = findSignal(signal);
  if (found === undefined) throw new Fault('BAD_SIGNAL', signal);
  if (!takesSignals(view)) throw new Fault('NOT_RUNNING', nameOf(view.spec.group, view.spec.name));
  call.rooms.supervisor.signal([view.spec.id], found);
  return true;
}

const sendEach = (views: readonly InstanceView[], signal: string, call: Call): Promise<Outcome[]> =>
  each(views.filter(takesSignals), (view) => send(view, signal, call), call.signal);

/** By the name of the group, then of the process. */
function inAlphabet(views: readonly InstanceView[]): InstanceView[] {
  return views.toSorted((a, b) => compareTexts(a.spec.group, b.spec.group) || compareTexts(a.spec.name, b.spec.name));
}

export const processMethods: Methods = {
  'supervisor.startProcess': {
    ...operates,
    parameters: [processName, waits],
    returns: 'boolean',
    help: 'Starts a process, or with group:* a whole group. With wait (the default) the answer comes once it is RUNNING.',
    async run([name, wait], call) {
      const found = findProcess(call, textFrom(name));
      requireOver(call, 'operate', 'members' in found ? found.members : [found]);
      if ('members' in found) return startEach(found.members, flagFrom(wait), call);
      const look = start(found, flagFrom(wait), call);
      if (look !== true) await waitUntil(look, call.signal);
      return true;
    },
  },
  'supervisor.startProcessGroup': {
    ...operates,
    parameters: [groupName, waits],
    returns: 'array',
    help: 'Starts every process of a group that is not up. Gives a struct for each.',
    run([name, wait], call) {
      const views = members(call, textFrom(name));
      requireOver(call, 'operate', views);
      return startEach(views, flagFrom(wait), call);
    },
  },
  'supervisor.startAllProcesses': {
    ...operates,
    parameters: [waits],
    returns: 'array',
    help: 'Starts every process that is not up. Gives a struct for each.',
    run([wait], call) {
      const views = allByPriority(call);
      requireOver(call, 'operate', views);
      return startEach(views, flagFrom(wait), call);
    },
  },
  'supervisor.stopProcess': {
    ...operates,
    parameters: [processName, waits],
    returns: 'boolean',
    help: 'Stops a process, or with group:* a whole group. With wait (the default) the answer comes once it is down.',
    async run([name, wait], call) {
      const found = findProcess(call, textFrom(name));
      requireOver(call, 'operate', 'members' in found ? found.members : [found]);
      if ('members' in found) return stopEach(found.members, flagFrom(wait), call);
      if (!isUp(found)) throw new Fault('NOT_RUNNING', textFrom(name));
      const look = stopper([found], call)(found);
      if (flagFrom(wait)) await waitUntil(look, call.signal);
      return true;
    },
  },
  'supervisor.stopProcessGroup': {
    ...operates,
    parameters: [groupName, waits],
    returns: 'array',
    help: 'Stops every process of a group that is up. Gives a struct for each.',
    run([name, wait], call) {
      const views = members(call, textFrom(name));
      requireOver(call, 'operate', views);
      return stopEach(views, flagFrom(wait), call);
    },
  },
  'supervisor.stopAllProcesses': {
    ...operates,
    parameters: [waits],
    returns: 'array',
    help: 'Stops every process that is up. Gives a struct for each.',
    run([wait], call) {
      const views = allByPriority(call);
      requireOver(call, 'operate', views);
      return stopEach(views, flagFrom(wait), call);
    },
  },
  'supervisor.signalProcess': {
    ...operates,
    parameters: [processName, signalName],
    returns: 'boolean',
    help: 'Sends a process, or with group:* a whole group, a signal: its name with or without SIG, or its number.',
    run([name, signal], call) {
      const found = findProcess(call, textFrom(name));
      requireOver(call, 'operate', 'members' in found ? found.members : [found]);
      const text = signalText(signal);
      return 'members' in found ? sendEach(found.members, text, call) : send(found, text, call);
    },
  },
  'supervisor.signalProcessGroup': {
    ...operates,
    parameters: [groupName, signalName],
    returns: 'array',
    help: 'Sends a signal to every process of a group that runs. Gives a struct for each.',
    run([name, signal], call) {
      const views = members(call, textFrom(name));
      requireOver(call, 'operate', views);
      return sendEach(views, signalText(signal), call);
    },
  },
  'supervisor.signalAllProcesses': {
    ...operates,
    parameters: [signalName],
    returns: 'array',
    help: 'Sends a signal to every process that runs. Gives a struct for each.',
    run([signal], call) {
      const views = allByPriority(call);
      requireOver(call, 'operate', views);
      return sendEach(views, signalText(signal), call);
    },
  },
  'supervisor.getProcessInfo': {
    needs: 'read',
    over: 'processes',
    parameters: [processName],
    returns: 'struct',
    help: 'What is known of a process: its state, pid, times of start and end in epoch seconds, log files.',
    run: ([name], call) => describe(oneProcess(call, textFrom(name)), call),
  },
  'supervisor.getAllProcessInfo': {
    needs: 'read',
    over: 'processes',
    parameters: [],
    returns: 'array',
    help: 'The same of all processes, by the names of their groups and their own.',
    run: (_given, call) => inAlphabet(processesOf(call)).map((view) => describe(view, call)),
  },
  'supervisor.sendProcessStdin': {
    ...operates,
    parameters: [processName, { name: 'chars', type: 'string' }],
    returns: 'boolean',
    help: 'Always refuses: Steward gives programs no standard input.',
    run([name, chars], call) {
      if (typeof chars !== 'string') throw new Fault('INCORRECT_PARAMETERS', String(chars));
      const view = oneProcess(call, textFrom(name));
      requireOver(call, 'operate', [view]);
      if (view.pid === undefined || view.state.phase === 'STOPPING') throw new Fault('NOT_RUNNING', textFrom(name));
      throw new Fault('NO_FILE', textFrom(name));
    },
  },
};

/** supervisord takes the number of a signal as a number too. */
const signalText = (value: Parameters<typeof textFrom>[0]): string => (typeof value === 'number' ? String(value) : textFrom(value));
