/** The `services:` section: a program to keep running, and everything that decides how. */
import { type Static, Type } from 'typebox';
import { signalNames } from '../signals.ts';
import { facilities, syslogFormats } from '../syslog.ts';
import { closed, duration, size, words } from './vocabulary.ts';

export const rotations = ['hourly', 'daily', 'weekly'] as const;
export const compressions = ['gzip', 'zstd', 'none'] as const;

const readyShape = closed(
  {
    tcp: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String()], {
        description: 'ready when this port, or host:port, accepts a connection',
      }),
    ),
    http: Type.Optional(
      Type.String({
        description:
          'ready when a GET of this URL answers 200-399; `http://{{endpoint}}/health` asks the instance itself, over its socket or port',
      }),
    ),
    unix: Type.Optional(Type.String({ description: 'ready when this unix socket accepts a connection' })),
    log: Type.Optional(Type.String({ description: 'ready when a line of its output matches this regular expression' })),
    notify: Type.Optional(Type.Boolean({ description: 'ready when it sends READY=1 by the sd_notify protocol' })),
    timeout: Type.Optional(duration('give up, stop the instance and try again after this long', '60s')),
    every: Type.Optional(duration('pause between two looks', '100ms, doubling up to 1s')),
  },
  'How Steward knows that an instance can serve: exactly one of tcp, http, unix, log, notify. Default: its socket or port when it has one of its own, else upAfter.',
);

const backoffShape = closed(
  {
    kind: Type.Optional(
      words(
        ['exponential', 'linear'],
        "`linear` is supervisord's rule: the nth retry in a row waits n seconds, and a restart after a successful start does not wait. Default: exponential.",
      ),
    ),
    first: Type.Optional(duration('wait before the first restart in a row', '0s')),
    base: Type.Optional(duration('wait before the second', '200ms')),
    factor: Type.Optional(Type.Number({ minimum: 1, description: 'growth from then on. Default: 2.' })),
    max: Type.Optional(duration('never wait longer', '30s')),
    jitter: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'random share added to a wait, 0.1 = up to 10 %. Default: 0.1.' }),
    ),
    resetAfter: Type.Optional(duration('an instance up this long starts again at `first`', '30s')),
  },
  'How long to wait before a restart.',
);

const stopShape = closed(
  {
    signal: Type.Optional(words(signalNames, 'Sent first. Default: TERM.')),
    timeout: Type.Optional(duration('KILL follows after this long', '10s')),
    scope: Type.Optional(
      words(['group', 'process'], 'Whether the first signal goes to the whole process group or to the process alone. Default: group.'),
    ),
    killScope: Type.Optional(words(['group', 'process'], 'The same for KILL. Default: the value of scope.')),
    drain: Type.Optional(
      duration(
        'requests under way through the gateway get this long before the first signal, while new ones go elsewhere; 0s: none',
        '10s',
      ),
    ),
  },
  'How an instance is stopped.',
);

const hookCommand = (when: string) =>
  Type.Optional(
    Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })], {
      description: `A command run ${when}, as \`run\` is written.`,
    }),
  );

const hooksShape = closed(
  {
    beforeStart: hookCommand('before each start; when it fails the instance is not started, as if it had failed itself'),
    afterReady: hookCommand('once an instance is running and ready'),
    beforeStop: hookCommand('before the first signal of a stop or restart, while it still runs'),
    afterExit: hookCommand('when an instance has ended, however it did; EXIT_CODE or EXIT_SIGNAL says how'),
    timeout: Type.Optional(duration('a command that runs longer is killed and counts as failed', '30s')),
  },
  "Commands at moments in an instance's life, run as its user in its folder and environment, with HOOK and STEWARD_PID. Their output goes into its log.",
);

const syslogShape = closed(
  {
    to: Type.String({
      description: '`udp://HOST:PORT` (default port 514), `tcp://HOST:PORT` (default port 601) or `unix:/dev/log`',
    }),
    facility: Type.Optional(words(facilities, 'Facility of the messages. Default: daemon.')),
    tag: Type.Optional(
      Type.String({ minLength: 1, description: 'What the messages call the program. Default: the name of the instance.' }),
    ),
    format: Type.Optional(words(syslogFormats, 'Form of the messages. Default: rfc5424; rfc3164 for a unix socket.')),
  },
  'Sends the lines to syslog too, besides the log.',
);

const outputShape = closed(
  {
    file: Type.Optional(
      Type.String({
        description: 'path of the log file, relative to the file that says it; `none` keeps no log. Default: <state>/logs/<instance>.log.',
      }),
    ),
    maxSize: Type.Optional(size('rotate when larger; 0 never rotates', '50MB')),
    keep: Type.Optional(Type.Integer({ minimum: 0, description: 'rotated files kept. Default: 10.' })),
    rotate: Type.Optional(
      words(rotations, 'rotate at the first line of a new hour, day or week (local time) too. Default: by size alone.'),
    ),
    compress: Type.Optional(words(compressions, 'how rotated files are packed, a minute after the rotation. Default: gzip.')),
    total: Type.Optional(size('the most that the rotated files take on the disk; the oldest are deleted first', 'no limit')),
    syslog: Type.Optional(syslogShape),
  },
  'Where the lines go.',
);

const listenShape = Type.Union(
  [
    Type.Literal('shared'),
    closed(
      {
        kind: Type.Literal('shared', { description: 'the only kind there is' }),
        host: Type.Optional(
          Type.String({ description: 'IP address to listen on, for a service with a port. Default: every address, IPv6 and IPv4.' }),
        ),
        backlog: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 65535,
            description: 'Connections that may wait to be accepted; Linux caps it by net.core.somaxconn. Default: 4096.',
          }),
        ),
      },
      'The same with its settings.',
    ),
  ],
  {
    description:
      '`shared`: Steward listens on `port` or `socket` itself, and gives each instance the socket as descriptor 3 (LISTEN_FDS, as systemd does). Connections wait while instances restart. Default: each instance listens itself.',
  },
);

/** A limit of setrlimit(2) in bytes. */
const byteLimit = (description: string) =>
  Type.Union([size(description, "Steward's own"), Type.Literal('unlimited')], {
    description: `${description} (size such as 64KB, 50MB, 4GB; default Steward's own)`,
  });

const limitsShape = closed(
  {
    memory: Type.Optional(
      size('Resident memory of the whole tree; over it the instance is restarted, with the reason in the journal', 'no limit'),
    ),
    memoryHigh: Type.Optional(
      size(
        'From here on the tree is slowed down and its memory taken back, where control groups can do that; elsewhere it is told as an event',
        'no limit',
      ),
    ),
    cpu: Type.Optional(
      Type.Number({
        minimum: 0.01,
        maximum: 10000,
        description: 'Processors that the whole tree may use, 1.5 = one and a half; needs control groups. Default: no limit.',
      }),
    ),
    tasks: Type.Optional(
      Type.Integer({
        minimum: 1,
        description:
          'Processes and threads of the whole tree: no more are made where control groups can hold that, elsewhere the instance is restarted. Default: no limit.',
      }),
    ),
    openFiles: Type.Optional(
      Type.Union([Type.Integer({ minimum: 3 }), Type.Literal('unlimited')], {
        description: 'Open descriptors of each process, a number or `unlimited`. Default: as many as Steward may have.',
      }),
    ),
    coreSize: Type.Optional(byteLimit('Largest core dump of each process, 0 for none')),
    fileSize: Type.Optional(byteLimit('Largest file each process may write')),
    lockedMemory: Type.Optional(byteLimit('Memory each process may keep from being swapped out')),
    stack: Type.Optional(byteLimit('Stack of each process')),
  },
  'What it may use: the first four count for all processes of the instance together, the others for each one.',
);

export const serviceShape = closed(
  {
    run: Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })], {
      description:
        'The command: one line split into words (quotes and backslash as in a shell; no shell runs), or a list of words. It must stay in the foreground.',
    }),
    shell: Type.Optional(Type.Boolean({ description: 'Hand `run` to /bin/sh -c instead. Default: false.' })),
    instances: Type.Optional(Type.Integer({ minimum: 0, maximum: 10000, description: 'How many copies run. Default: 1.' })),
    firstInstance: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_000_000_000, description: 'The number of the first copy, `{{instance}}`. Default: 1.' }),
    ),
    instanceName: Type.Optional(
      Type.String({ description: 'Name of each copy. Default: {{service}} for one, {{service}}_{{instance}} for several.' }),
    ),
    group: Type.Optional(
      Type.String({ description: 'Group it is started and stopped with, as in `steward stop GROUP:*`. Default: the service itself.' }),
    ),
    priority: Type.Optional(
      Type.Integer({ description: 'Lower starts earlier and stops later among services that do not wait for each other. Default: 999.' }),
    ),
    cwd: Type.Optional(Type.String({ description: 'Working directory, relative to the file. Default: the directory of the file.' })),
    user: Type.Optional(Type.String({ description: 'User name or number it runs as; needs root. Default: the user Steward runs as.' })),
    userGroup: Type.Optional(Type.String({ description: "Primary group. Default: the user's." })),
    groups: Type.Optional(Type.Array(Type.String(), { description: "Supplementary groups. Default: the user's." })),
    umask: Type.Optional(
      Type.Union([Type.String({ pattern: '^0?[0-7]{1,3}$' }), Type.Integer({ minimum: 0, maximum: 777 })], {
        description: 'File mode mask, octal digits. Default: 022.',
      }),
    ),
    env: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
        description: 'Environment variables; values may hold {{secret.NAME}}.',
      }),
    ),
    secretFiles: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        maxProperties: 100,
        description:
          'Secrets as files, `DB_PASSWORD_FILE: "{{secret.NAME}}"`: written before each start, readable for its user alone, removed after its end; the variable holds the path.',
      }),
    ),
    envFile: Type.Optional(
      Type.Union([Type.String(), Type.Array(Type.String())], { description: 'Files of NAME=value lines read before `env`.' }),
    ),
    inheritEnv: Type.Optional(
      Type.Boolean({
        description:
          "Start from Steward's own environment instead of a clean one (PATH, HOME, USER, LOGNAME, SHELL, LANG, TZ). Default: false.",
      }),
    ),
    port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65535,
        description: 'TCP port of the first instance, `{{port}}`; the others count up from it, or share it with `listen: shared`.',
      }),
    ),
    socket: Type.Optional(
      Type.Union([Type.Boolean(), Type.String()], {
        description: 'true: Steward gives each instance a unix socket path, `{{socket}}`; a text is the path.',
      }),
    ),
    listen: Type.Optional(listenShape),
    autostart: Type.Optional(Type.Boolean({ description: 'Start with Steward. Default: true.' })),
    restart: Type.Optional(
      words(['always', 'on-failure', 'never'], 'Start again after an exit; on-failure: only after an unexpected one. Default: always.'),
    ),
    expectedExitCodes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 255 }), { description: 'Exit codes that are no failure. Default: [0].' }),
    ),
    after: Type.Optional(Type.Array(Type.String(), { description: 'Services that must be ready first; stopped in reverse.' })),
    critical: Type.Optional(
      Type.Boolean({
        description:
          'When it is finally dead (FATAL, or it ended and is not to be started again), Steward stops everything and ends with its exit code; 128 + the number of the signal that killed it; else 1. For containers. Default: false.',
      }),
    ),
    ready: Type.Optional(readyShape),
    upAfter: Type.Optional(
      duration('without `ready`, an instance counts as running once it has stayed up this long; an earlier exit is a failed start', '1s'),
    ),
    startRetries: Type.Optional(
      Type.Union([Type.Integer({ minimum: 0 }), Type.Literal('forever')], {
        description: 'Failed starts in a row before it is FATAL and waits for a person. Default: forever.',
      }),
    ),
    backoff: Type.Optional(backoffShape),
    stop: Type.Optional(stopShape),
    hooks: Type.Optional(hooksShape),
    reload: Type.Optional(
      words(
        ['rolling', ...signalNames],
        'What `steward reload` does: `rolling` replaces the instances one after the other while a copy stands in for them, a signal is sent to each. Default: rolling.',
      ),
    ),
    update: Type.Optional(
      words(
        ['restart', 'rolling'],
        'How an apply that changes something a process only takes at its start is carried out: all instances at once, or as `steward reload` does. Default: restart.',
      ),
    ),
    limits: Type.Optional(limitsShape),
    nice: Type.Optional(
      Type.Integer({
        minimum: -20,
        maximum: 19,
        description: 'Niceness: 19 gets the processor last, -20 first; under 0 needs root. Default: that of Steward.',
      }),
    ),
    ioClass: Type.Optional(
      words(
        ['idle', 'best-effort', 'realtime'],
        'When the disk serves it: idle only when nobody else wants it, realtime (needs root) before all. Default: that of Steward.',
      ),
    ),
    ioPriority: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 7, description: 'Within its class, 0 is served first, 7 last. Default: 4, and best-effort.' }),
    ),
    oomScore: Type.Optional(
      Type.Integer({
        minimum: -1000,
        maximum: 1000,
        description:
          'When memory runs out, the kernel kills what has a high score first, and -1000 never; lowering it needs root. Default: that of Steward.',
      }),
    ),
    stdout: Type.Optional(outputShape),
    stderr: Type.Optional(
      Type.Union([Type.Literal('stdout'), outputShape], {
        description: '`stdout` writes both into one log. Default: its own file, <instance>.err.log.',
      }),
    ),
  },
  'A program to keep running.',
);

/** A service as written, before defaults and templates. */
export type ServiceSource = Static<typeof serviceShape>;
