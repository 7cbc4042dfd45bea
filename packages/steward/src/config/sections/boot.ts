/** The `boot:` section: what is done once after each boot of the machine, in order. */
import { type Static, Type } from 'typebox';
import { serviceShape } from './service.ts';
import { closed, duration, words } from './vocabulary.ts';

const mountShape = closed(
  {
    source: Type.String({ description: 'what is mounted: a device, UUID=..., HOST:/PATH, or a folder for `options: [bind]`' }),
    at: Type.String({ description: 'the folder it is mounted at, relative to the file; made when it is missing' }),
    type: Type.Optional(
      Type.String({ description: 'its type, as `mount -t` takes it: nfs, ext4, tmpfs. Default: what mount(8) finds out.' }),
    ),
    options: Type.Optional(Type.Array(Type.String(), { description: 'as `mount -o` takes them: [proto=tcp, nolock]. Default: none.' })),
  },
  'Mounts a file system, unless it is mounted there already.',
);

const waitShape = closed(
  {
    tcp: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String()], {
        description: 'until this port, or host:port, accepts a connection',
      }),
    ),
    http: Type.Optional(Type.String({ description: 'until a GET of this URL answers 200-399' })),
    unix: Type.Optional(Type.String({ description: 'until this unix socket accepts a connection' })),
    path: Type.Optional(Type.String({ description: 'until this file or folder is there' })),
    mount: Type.Optional(Type.String({ description: 'until something is mounted at this folder, and answers' })),
  },
  'Waits for exactly one of tcp, http, unix, path, mount.',
);

const retryShape = closed(
  {
    times: Type.Optional(
      Type.Union([Type.Integer({ minimum: 0 }), Type.Literal('forever')], {
        description: 'Tries after the first one that failed. Default: 0, with `background` forever.',
      }),
    ),
    every: Type.Optional(duration('pause before each, 10ms at least', '5s')),
  },
  'Whether a step that failed is tried again.',
);

const { run, shell, cwd, user, userGroup, groups, umask, env, envFile, inheritEnv } = serviceShape.properties;

export const bootStepShape = closed(
  {
    run: Type.Optional({
      ...run,
      description: 'A command that does something and ends; written as that of a service. It must end with code 0.',
    }),
    service: Type.Optional(
      Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })], {
        description: 'Services or groups of these files: they start when the list comes here, and the step is done when they are ready.',
      }),
    ),
    mount: Type.Optional(mountShape),
    waitFor: Type.Optional(waitShape),
    shell,
    cwd,
    user,
    userGroup,
    groups,
    umask,
    env,
    envFile,
    inheritEnv,
    timeout: Type.Optional(duration('how long one try may take', '60s')),
    retry: Type.Optional(retryShape),
    onFailure: Type.Optional(
      words(
        ['stop', 'continue', 'alert'],
        'After the last try failed: `stop` the list there, `continue` with the next step, or `alert`, which continues and records the fact boot.alert. Default: stop.',
      ),
    ),
    background: Type.Optional(
      Type.Boolean({
        description:
          'When the first try fails, the list goes on and the step is tried again behind it; until it is done the boot counts as degraded. Default: false.',
      }),
    ),
  },
  'A step: exactly one of run, service, mount, waitFor. The keys of a service that decide how its command runs belong to run.',
);

export const bootShape = closed(
  {
    steps: Type.Record(Type.String(), bootStepShape, { description: 'Steps by name.' }),
    lists: Type.Optional(
      Type.Record(Type.String(), Type.Array(Type.String()), {
        description:
          'Names of steps in their order, by host: a host name, a pattern with *, or `default` for all others. Default: every host runs all steps as they stand.',
      }),
    ),
  },
  'What is done once after each boot of the machine, step by step. Services that no step names start as always.',
);

/** The section as written. */
export type BootSource = Static<typeof bootShape>;
/** A step as written. */
export type BootStepSource = Static<typeof bootStepShape>;
