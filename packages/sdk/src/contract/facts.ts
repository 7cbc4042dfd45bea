/** Facts: what the journal holds. One shape for all; `type` says which kind, `subject` what it is about. */
import { type Static, Type } from 'typebox';

export const factTypes = [
  'daemon.started',
  'daemon.stopped',
  'config.applied',
  'config.refused',
  'instance.starting',
  'instance.running',
  'instance.ready',
  'instance.exited',
  'instance.backoff',
  'instance.stopping',
  'instance.stopped',
  'instance.fatal',
  'instance.adopted',
  'instance.signalled',
  'instance.killed',
  'output.trouble',
  'output.recovered',
  'gateway.applied',
  'gateway.trouble',
] as const;

export const factShape = Type.Object(
  {
    cursor: Type.Integer({ description: 'grows by one with each fact; pass it to go on from there' }),
    at: Type.String({ format: 'date-time', description: 'when, UTC' }),
    type: Type.Enum([...factTypes]),
    subject: Type.String({ description: 'instance, site or part it is about' }),
    message: Type.String({ description: 'what happened and why, for people' }),
    data: Type.Optional(
      Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]), {
        description: 'the same for programs',
      }),
    ),
  },
  { description: 'Something that happened.' },
);

export type Fact = Static<typeof factShape>;
export type FactType = (typeof factTypes)[number];
