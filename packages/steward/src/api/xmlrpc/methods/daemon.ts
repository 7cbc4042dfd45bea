/** Steward itself: who it is, ending it, and its configuration group by group. */
import { constants } from 'node:os';
import type { InstanceSpec, OutputSpec } from '../../../config/model.ts';
import { StewardError } from '../../../errors.ts';
import { findUser } from '../../../supervisor/supervisor.ts';
import { Fault } from '../faults.ts';
import { type Call, compareTexts, groupOf, type Method, type Methods, type Parameter, textFrom } from '../method.ts';
import type { Value } from '../xml.ts';

/** The interface is that of these versions, whatever Steward's own is: clients ask before they speak. */
const apiVersion = '3.0';
const supervisorVersion = '4.2.5';

const groupName: Parameter = { name: 'name', type: 'string' };

const moods = {
  running: { statecode: 1, statename: 'RUNNING' },
  restarting: { statecode: 0, statename: 'RESTARTING' },
  ending: { statecode: -1, statename: 'SHUTDOWN' },
} as const;

const configures = { needs: 'configure', changes: true } as const;

const tells = (returns: Method['returns'], help: string, tell: (call: Call) => Value): Method => ({
  needs: 'read',
  parameters: [],
  returns,
  help,
  run(_given, call) {
    return tell(call);
  },
});

const api = tells('string', 'The version of this interface.', () => apiVersion);

/** What is wrong with the files, for one line on a screen and the lines below it. */
function rereadFault(error: unknown): never {
  if (!(error instanceof StewardError)) throw error;
  const { problemsText } = error.details as { problemsText?: string };
  throw new Fault('CANT_REREAD', problemsText === undefined ? error.message : `${error.message}\n${problemsText}`);
}

/** A word as a shell would need it. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** supervisord's fields of a log, with its words for what has no value. */
function outputFields(channel: 'stdout' | 'stderr', target: OutputSpec | 'stdout'): Record<string, Value> {
  const own = target === 'stdout' ? undefined : target;
  return {
    [`${channel}_logfile`]: own === undefined || own.file === 'none' ? 'none' : (own.file ?? 'auto'),
    [`${channel}_logfile_backups`]: own?.keep ?? 10,
    [`${channel}_logfile_maxbytes`]: own?.maxBytes ?? 0,
    [`${channel}_syslog`]: own?.syslog !== undefined,
    [`${channel}_capture_maxbytes`]: 0,
    [`${channel}_events_enabled`]: false,
  };
}

function configInfo(spec: InstanceSpec, groupPriority: number, inuse: boolean): Record<string, Value> {
  return {
    name: spec.name,
    group: spec.group,
    inuse,
    autostart: spec.autostart,
    directory: spec.cwd,
    uid: spec.user === undefined ? 'none' : (findUser(spec.user)?.uid ?? 'none'),
    command: spec.command.map(quoted).join(' '),
    exitcodes: spec.expectedExitCodes,
    group_prio: groupPriority,
    process_prio: spec.priority,
    killasgroup: spec.stop.killScope === 'group',
    redirect_stderr: spec.stderr === 'stdout',
    startretries: spec.startRetries === 'forever' ? 2 ** 31 - 1 : spec.startRetries,
    startsecs: Math.round(spec.upAfterMs / 1000),
    stopsignal: constants.signals[`SIG${spec.stop.signal}` as NodeJS.Signals] ?? 15,
    stopwaitsecs: Math.round(spec.stop.timeoutMs / 1000),
    serverurl: 'none',
    ...outputFields('stdout', spec.stdout),
    ...outputFields('stderr', spec.stderr),
  };
}

/** Every process of the files as they were read last, by name. */
function allConfigInfo(call: Call): Value {
  const specs = call.rooms.system.groups.known();
  const priorities = new Map<string, number>();
  for (const { group, priority } of specs) priorities.set(group, Math.min(priority, priorities.get(group) ?? priority));
  const inUse = new Map([...priorities.keys()].map((group) => [group, groupOf(call, group).length > 0]));
  return specs
    .map((spec) => configInfo(spec, priorities.get(spec.group) ?? spec.priority, inUse.get(spec.group) ?? false))
    .toSorted((a, b) => compareTexts(String(a.name), String(b.name)));
}

export const daemonMethods: Methods = {
  'supervisor.getAPIVersion': api,
  'supervisor.getVersion': api,
  'supervisor.getSupervisorVersion': tells('string', 'The version of supervisord whose interface this is.', () => supervisorVersion),
  'supervisor.getIdentification': tells('string', 'The name of this system.', ({ rooms }) => rooms.system.status().name || 'steward'),
  'supervisor.getState': tells(
    'struct',
    'Whether Steward runs, restarts everything or ends.',
    ({ rooms }) => moods[rooms.system.groups.mood()],
  ),
  'supervisor.getPID': tells('int', 'The pid of the daemon.', () => process.pid),
  'supervisor.shutdown': {
    needs: 'daemon',
    changes: true,
    parameters: [],
    returns: 'boolean',
    help: 'Stops all processes in order, then Steward itself. The answer comes at once.',
    run(_given, call) {
      call.rooms.system.shutDown();
      return true;
    },
  },
  'supervisor.restart': {
    ...configures,
    parameters: [],
    returns: 'boolean',
    help: 'Stops all processes, applies the files anew and starts what they say; the daemon stays the same. Refuses files with errors.',
    async run(_given, call) {
      await call.rooms.system.groups.restart(call.caller.subject.name).catch(rereadFault);
      return true;
    },
  },
  'supervisor.reloadConfig': {
    needs: 'configure',
    parameters: [],
    returns: 'array',
    help: 'Reads the files again and applies nothing: [[added, changed, removed]], the names of groups.',
    async run(_given, call) {
      const { added, changed, removed } = await call.rooms.system.groups.reread().catch(rereadFault);
      return [[added, changed, removed]];
    },
  },
  'supervisor.addProcessGroup': {
    ...configures,
    parameters: [groupName],
    returns: 'boolean',
    help: 'Brings in a group of the files as they were read last.',
    async run([given], call) {
      const name = textFrom(given);
      const outcome = await call.rooms.system.groups.add(name);
      if (outcome === 'unknown') throw new Fault('BAD_NAME', name);
      if (outcome === 'present') throw new Fault('ALREADY_ADDED', name);
      return true;
    },
  },
  'supervisor.removeProcessGroup': {
    ...configures,
    parameters: [groupName],
    returns: 'boolean',
    help: 'Takes out a group of which nothing runs.',
    async run([given], call) {
      const name = textFrom(given);
      const ids = groupOf(call, name).map(({ spec }) => spec.id);
      const outcome = await call.rooms.system.groups.remove(name);
      if (outcome === 'unknown') throw new Fault('BAD_NAME', name);
      if (outcome === 'running') throw new Fault('STILL_RUNNING', name);
      call.lifetimes.forget(ids);
      return true;
    },
  },
  'supervisor.getAllConfigInfo': {
    needs: 'configure',
    parameters: [],
    returns: 'array',
    help: 'Every process of the files as they were read last, and whether its group is in.',
    run(_given, call) {
      return allConfigInfo(call);
    },
  },
  'supervisor.sendRemoteCommEvent': {
    needs: 'operate',
    changes: true,
    parameters: [
      { name: 'type', type: 'string' },
      { name: 'data', type: 'string' },
    ],
    returns: 'boolean',
    help: 'Always true, and reaches nobody: Steward has no event listeners.',
    run(given) {
      for (const value of given) textFrom(value);
      return true;
    },
  },
};
