/** Operations on what the supervisor runs. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';

export const phases = ['STOPPED', 'STARTING', 'RUNNING', 'BACKOFF', 'STOPPING', 'EXITED', 'FATAL'] as const;

export const instanceShape = Type.Object(
  {
    id: Type.String({ description: '`web`, or `group:name`' }),
    service: Type.String(),
    group: Type.String(),
    name: Type.String(),
    state: Type.Unsafe<(typeof phases)[number]>({ enum: [...phases] }),
    reason: Type.String({ description: 'why it is in this state; empty when there is nothing to say' }),
    pid: Type.Optional(Type.Integer()),
    startedAt: Type.Optional(Type.String({ format: 'date-time' })),
    uptimeSeconds: Type.Optional(Type.Number()),
    restarts: Type.Integer({ description: 'times it was started again by itself' }),
    exit: Type.Optional(
      Type.Object(
        { code: Type.Union([Type.Integer(), Type.Null()]), signal: Type.Union([Type.Integer(), Type.Null()]) },
        { description: 'how it last ended' },
      ),
    ),
    stuck: Type.Optional(Type.Boolean({ description: 'it got KILL and the kernel lets it not go; nobody waits for it any more' })),
    stoppedByHand: Type.Boolean({ description: 'stays stopped until somebody starts it' }),
    waitsFor: Type.Array(Type.String(), { description: 'services it waits for' }),
    cpuPercent: Type.Optional(Type.Number({ description: 'of one processor, its whole tree of processes, since the last look' })),
    memoryBytes: Type.Optional(Type.Integer({ description: 'resident memory of its whole tree' })),
    openFiles: Type.Optional(Type.Integer({ description: 'descriptors that its whole tree has open' })),
    tasks: Type.Optional(Type.Integer({ description: 'processes and threads of its whole tree' })),
    endpoint: Type.Optional(Type.String({ description: 'host:port or unix:/path' })),
    logs: Type.Array(Type.Object({ stream: Type.String(), file: Type.String() })),
    lastLine: Type.Optional(Type.String({ description: 'last line it wrote' })),
  },
  { description: 'A process that is kept running.' },
);
export type InstanceInfo = Static<typeof instanceShape>;

export const logLevels = ['error', 'warn', 'info', 'debug'] as const;

export const logLineShape = Type.Object({
  instance: Type.String(),
  stream: Type.Unsafe<'stdout' | 'stderr'>({ enum: ['stdout', 'stderr'] }),
  at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'when it arrived; null when that is not known' }),
  text: Type.String({ description: 'the line, or what a mark says' }),
  run: Type.Optional(Type.String({ description: 'the run that wrote it: one life of a process; absent when that is not known' })),
  level: Type.Optional(
    Type.Unsafe<(typeof logLevels)[number]>({ enum: [...logLevels], description: 'how severe it is, when the line says so' }),
  ),
  mark: Type.Optional(
    Type.Unsafe<'started' | 'exited'>({ enum: ['started', 'exited'], description: 'it is no line: a run started or ended here' }),
  ),
  fields: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { description: 'the object, when the line is JSON' })),
});
export type LogLine = Static<typeof logLineShape>;

const names = Type.Object({
  names: Type.Array(Type.String(), { minItems: 1, maxItems: 10_000, description: 'instance ids, service names, `group:*`, or `all`' }),
});

/** Lists that are whole unless a page of them is asked for. */
const pageByName = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, description: 'at most so many. Default: all.' })),
  after: Type.Optional(Type.String({ description: 'what the page before gave as `next`' })),
};
const nextName = Type.Optional(Type.String({ description: 'give it as `after` for the next page; absent on the last' }));

const touched = Type.Object({ instances: Type.Array(instanceShape) });

export const listInstances = operation({
  name: 'listInstances',
  method: 'GET',
  path: '/v1/instances',
  summary: 'All instances with state, pid, uptime, usage and last log line.',
  needs: 'read',
  about: 'each',
  query: Type.Object({
    names: Type.Optional(Type.String({ description: 'only these: names as in other operations, separated by commas' })),
    brief: Type.Optional(Type.Boolean({ description: 'leave out usage and last line' })),
    state: Type.Optional(Type.Unsafe<(typeof phases)[number]>({ enum: [...phases], description: 'only those in this state' })),
    ...pageByName,
  }),
  answer: Type.Object({
    instances: Type.Array(instanceShape),
    next: nextName,
  }),
});
export const getInstance = operation({
  name: 'getInstance',
  method: 'GET',
  path: '/v1/instances/:id',
  summary: 'One instance.',
  needs: 'read',
  about: 'each',
  params: Type.Object({ id: Type.String() }),
  answer: instanceShape,
});

export const serviceInfoShape = Type.Object(
  {
    name: Type.String(),
    group: Type.String(),
    state: Type.Unsafe<(typeof phases)[number] | 'MIXED'>({
      enum: [...phases, 'MIXED'],
      description: 'that of all its instances, MIXED when they differ',
    }),
    instances: Type.Integer(),
    running: Type.Integer(),
    restarts: Type.Integer({ description: 'of all its instances together' }),
    ids: Type.Array(Type.String(), { description: 'its instances' }),
  },
  { description: 'A program that is kept running, as a whole.' },
);
export type ServiceInfo = Static<typeof serviceInfoShape>;

export const listServices = operation({
  name: 'listServices',
  method: 'GET',
  path: '/v1/services',
  summary: 'All services, each as a whole.',
  needs: 'read',
  about: 'each',
  query: Type.Object({
    group: Type.Optional(Type.String({ description: 'only those of this group' })),
    ...pageByName,
  }),
  answer: Type.Object({
    services: Type.Array(serviceInfoShape),
    next: nextName,
  }),
});

export const startInstances = operation({
  name: 'startInstances',
  method: 'POST',
  path: '/v1/instances/start',
  summary: 'Starts instances.',
  needs: 'operate',
  about: 'body.names',
  body: names,
  answer: touched,
});
export const stopInstances = operation({
  name: 'stopInstances',
  method: 'POST',
  path: '/v1/instances/stop',
  summary: 'Stops instances, in order; they stay stopped until somebody starts them.',
  needs: 'operate',
  about: 'body.names',
  body: names,
  answer: touched,
});
export const restartInstances = operation({
  name: 'restartInstances',
  method: 'POST',
  path: '/v1/instances/restart',
  summary: 'Stops and starts instances.',
  needs: 'operate',
  about: 'body.names',
  body: names,
  answer: touched,
});
export const signalInstances = operation({
  name: 'signalInstances',
  method: 'POST',
  path: '/v1/instances/signal',
  summary: 'Sends a signal to the processes of instances.',
  needs: 'operate',
  about: 'body.names',
  body: Type.Object({
    names: names.properties.names,
    signal: Type.String({ description: 'HUP, USR1, ... with or without SIG, or a number' }),
  }),
  answer: touched,
});
export const readLogs = operation({
  name: 'readLogs',
  method: 'GET',
  path: '/v1/logs',
  summary: 'Log lines of instances, merged by time; with follow=true also those to come.',
  needs: 'logs',
  about: 'query.names',
  query: Type.Object({
    names: Type.Optional(Type.String({ description: 'names separated by commas; all when absent' })),
    lines: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 100_000,
        description: 'last lines of each log, of those that are wanted. Default: 100, or all with since, run or previous',
      }),
    ),
    since: Type.Optional(Type.String({ description: 'only lines from this time on: an ISO time, or epoch milliseconds' })),
    until: Type.Optional(Type.String({ description: 'only lines up to this time' })),
    grep: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1000, description: 'only lines that this regular expression (JavaScript) matches' }),
    ),
    ignoreCase: Type.Optional(Type.Boolean({ description: 'the pattern takes capital and small letters for the same' })),
    level: Type.Optional(
      Type.Unsafe<(typeof logLevels)[number]>({
        enum: [...logLevels],
        description: 'only lines of this level and worse, as far as they say one',
      }),
    ),
    run: Type.Optional(Type.String({ pattern: '^[0-9a-f]{1,12}$', description: 'only lines of the run whose id begins so' })),
    previous: Type.Optional(Type.Boolean({ description: 'only lines of the run before the last one' })),
    marks: Type.Optional(Type.Boolean({ description: 'also where runs started and ended. Default: false' })),
    fields: Type.Optional(Type.Boolean({ description: 'also the fields of lines that are JSON. Default: false' })),
    follow: Type.Optional(Type.Boolean()),
  }),
  answer: logLineShape,
  stream: true,
});

export const reloadShape = Type.Object({
  service: Type.String(),
  done: Type.Boolean({ description: 'false: not all of its instances were replaced' }),
  message: Type.String({ description: 'what happened, for people' }),
  replaced: Type.Array(Type.String(), { description: 'instances that run anew, or got the signal' }),
});
export type Reload = Static<typeof reloadShape>;

export const reloadServices = operation({
  name: 'reloadServices',
  method: 'POST',
  path: '/v1/services/reload',
  summary: 'Replaces the instances of services one after the other without a gap, or sends them their reload signal; answers when done.',
  needs: 'operate',
  about: 'body.names',
  body: names,
  answer: Type.Object({ services: Type.Array(reloadShape) }),
});

export const scaleService = operation({
  name: 'scaleService',
  method: 'POST',
  path: '/v1/services/scale',
  summary: 'Changes how many instances a service has; the others are not touched. Holds until its file says another number.',
  needs: 'operate',
  about: 'body.service',
  body: Type.Object({
    service: Type.String(),
    to: Type.String({ pattern: '^[+-]?\\d{1,5}$', description: 'a number, or a difference with its sign' }),
  }),
  answer: Type.Object({
    service: Type.String(),
    from: Type.Integer(),
    to: Type.Integer(),
    written: Type.Integer({ description: 'the number in the file' }),
    instances: Type.Array(instanceShape, { description: 'those of the service' }),
  }),
});

export const runCommand = operation({
  name: 'runCommand',
  method: 'POST',
  path: '/v1/services/run',
  summary: "Runs a command once as a service's user, in its folder and environment. Its output is a log of its own.",
  needs: 'run',
  about: 'body.service',
  body: Type.Object({ service: Type.String(), command: Type.Array(Type.String(), { minItems: 1, maxItems: 10_000 }) }),
  answer: Type.Object({ instance: instanceShape }),
});

export const forgetRun = operation({
  name: 'forgetRun',
  method: 'POST',
  path: '/v1/services/run/forget',
  summary: 'Ends a command that runCommand started, if it runs, and takes it off the list.',
  needs: 'run',
  about: 'body.instance',
  body: Type.Object({ instance: Type.String() }),
  answer: Type.Object({ forgotten: Type.Boolean() }),
});

export const getEnvironment = operation({
  name: 'getEnvironment',
  method: 'POST',
  path: '/v1/services/environment',
  summary: "What it takes to run a command in a service's environment from here. It holds secrets.",
  needs: 'run',
  about: 'body.service',
  shownOnce: true,
  body: Type.Object({ service: Type.String(), command: Type.Array(Type.String(), { minItems: 1, maxItems: 10_000 }) }),
  answer: Type.Object({
    words: Type.Array(Type.String(), { description: 'executable and arguments; begin with what sets user and limits' }),
    cwd: Type.String(),
    env: Type.Record(Type.String(), Type.String()),
    umask: Type.Optional(Type.Integer()),
  }),
});
