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
    stoppedByHand: Type.Boolean({ description: 'stays stopped until somebody starts it' }),
    waitsFor: Type.Array(Type.String(), { description: 'services it waits for' }),
    cpuPercent: Type.Optional(Type.Number({ description: 'of one processor, its whole process group, since the last look' })),
    memoryBytes: Type.Optional(Type.Integer({ description: 'resident memory of its process group' })),
    endpoint: Type.Optional(Type.String({ description: 'host:port or unix:/path' })),
    logs: Type.Array(Type.Object({ stream: Type.String(), file: Type.String() })),
    lastLine: Type.Optional(Type.String({ description: 'last line it wrote' })),
  },
  { description: 'A process that is kept running.' },
);
export type InstanceInfo = Static<typeof instanceShape>;

export const logLineShape = Type.Object({
  instance: Type.String(),
  stream: Type.Unsafe<'stdout' | 'stderr'>({ enum: ['stdout', 'stderr'] }),
  at: Type.Union([Type.String({ format: 'date-time' }), Type.Null()], { description: 'when it arrived; null when that is not known' }),
  text: Type.String(),
});
export type LogLine = Static<typeof logLineShape>;

const names = Type.Object({
  names: Type.Array(Type.String(), { minItems: 1, maxItems: 10_000, description: 'instance ids, service names, `group:*`, or `all`' }),
});

const touched = Type.Object({ instances: Type.Array(instanceShape) });

export const listInstances = operation({
  name: 'listInstances',
  method: 'GET',
  path: '/v1/instances',
  summary: 'All instances with state, pid, uptime, usage and last log line.',
  query: Type.Object({
    names: Type.Optional(Type.String({ description: 'only these: names as in other operations, separated by commas' })),
    brief: Type.Optional(Type.Boolean({ description: 'leave out usage and last line' })),
  }),
  answer: touched,
});
export const startInstances = operation({
  name: 'startInstances',
  method: 'POST',
  path: '/v1/instances/start',
  summary: 'Starts instances.',
  body: names,
  answer: touched,
});
export const stopInstances = operation({
  name: 'stopInstances',
  method: 'POST',
  path: '/v1/instances/stop',
  summary: 'Stops instances, in order; they stay stopped until somebody starts them.',
  body: names,
  answer: touched,
});
export const restartInstances = operation({
  name: 'restartInstances',
  method: 'POST',
  path: '/v1/instances/restart',
  summary: 'Stops and starts instances.',
  body: names,
  answer: touched,
});
export const signalInstances = operation({
  name: 'signalInstances',
  method: 'POST',
  path: '/v1/instances/signal',
  summary: 'Sends a signal to the processes of instances.',
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
  query: Type.Object({
    names: Type.Optional(Type.String({ description: 'names separated by commas; all when absent' })),
    lines: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 100_000, description: 'last lines of each log. Default: 100, or none with since' }),
    ),
    since: Type.Optional(Type.String({ description: 'only lines from this time on: an ISO time, or epoch milliseconds' })),
    follow: Type.Optional(Type.Boolean()),
  }),
  answer: logLineShape,
  stream: true,
});
