/** The whole of a steward.yaml. Every reader of a foreign format answers in this shape, so one path leads on from here. */
import { type Static, Type } from 'typebox';
import { apiShape } from './api.ts';
import { bootShape } from './boot.ts';
import { routeShape } from './route.ts';
import { compressions, rotations, serviceShape } from './service.ts';
import { acmeShape, gatewayShape, limitShape, siteShape, variableShape } from './site.ts';
import { stepShape } from './step.ts';
import { supervisorctlShape } from './supervisorctl.ts';
import { upstreamShape } from './upstream.ts';
import { closed, duration, size, words } from './vocabulary.ts';

const secretShape = closed(
  {
    file: Type.Optional(Type.String({ description: 'file that holds it, relative to this one; a last newline is taken off' })),
    env: Type.Optional(Type.String({ description: "variable of Steward's own environment that holds it" })),
  },
  'Where a secret is read from: exactly one of file, env. Its value is never printed.',
);

/** Shapes that hold themselves, for `$ref`. */
export const definitions = { route: routeShape, step: stepShape } as const;

export const fileShape = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'for editors' })),
    name: Type.Optional(Type.String({ description: 'Name of this system in messages.' })),
    include: Type.Optional(
      Type.Array(Type.String(), {
        description: 'More files, with * and ? and **, relative to this one; steward.yaml, supervisord, nginx and Apache files alike.',
      }),
    ),
    env: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]), {
        description: 'Environment of all services of this file.',
      }),
    ),
    envFile: Type.Optional(
      Type.Union([Type.String(), Type.Array(Type.String())], { description: 'Files of NAME=value lines for all services of this file.' }),
    ),
    secrets: Type.Optional(
      Type.Record(Type.String(), secretShape, {
        description:
          'Secrets by name, used as {{secret.NAME}} in env and secretFiles; one that is not declared here is looked for among the stored ones.',
      }),
    ),
    defaults: Type.Optional(
      Type.Partial(serviceShape, {
        additionalProperties: false,
        description: 'Values for all services of this file that do not set them.',
      }),
    ),
    logs: Type.Optional(
      closed(
        {
          maxSize: Type.Optional(size('rotate a log when larger; 0 never rotates', '50MB')),
          keep: Type.Optional(Type.Integer({ minimum: 0, description: 'rotated files kept per log. Default: 10.' })),
          rotate: Type.Optional(
            words(rotations, 'rotate a log at the first line of a new hour, day or week (local time) too. Default: by size alone.'),
          ),
          compress: Type.Optional(words(compressions, 'how rotated files are packed. Default: gzip.')),
          total: Type.Optional(
            size('the most that the rotated files of all logs together take on the disk; the oldest are deleted first', 'no limit'),
          ),
        },
        'Logs of all services of this file.',
      ),
    ),
    services: Type.Optional(Type.Record(Type.String(), serviceShape, { description: 'Programs to keep running, by name.' })),
    boot: Type.Optional(bootShape),
    upstreams: Type.Optional(Type.Record(Type.String(), upstreamShape, { description: 'Servers Steward does not run itself, by name.' })),
    sites: Type.Optional(Type.Array(siteShape, { description: 'What is served under which host names.' })),
    gateway: Type.Optional(gatewayShape),
    variables: Type.Optional(
      Type.Record(Type.String(), variableShape, { description: 'Variables for texts of sites, by name without $.' }),
    ),
    limits: Type.Optional(Type.Record(Type.String(), limitShape, { description: 'Counters that several routes share, by name.' })),
    acme: Type.Optional(acmeShape),
    api: Type.Optional(apiShape),
    audit: Type.Optional(
      closed(
        { keep: Type.Optional(duration('how long entries are kept, 1d at least; 0 keeps them for ever', '730d')) },
        'The audit trail.',
      ),
    ),
    supervisorctl: Type.Optional(supervisorctlShape),
  },
  { additionalProperties: false, description: "Steward's configuration.", $defs: definitions },
);

/** A file as written: a steward.yaml, or what a foreign file amounts to. */
export type FileSource = Static<typeof fileShape>;
