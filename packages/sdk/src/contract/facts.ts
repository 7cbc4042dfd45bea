/** Facts: what the journal holds. One shape for all; `type` says which kind, `subject` what it is about. */
import { type Static, Type } from 'typebox';

/** Every type of fact, with what it says. */
export const factTypes = {
  'daemon.started': 'Steward started.',
  'daemon.stopped': 'Steward ends; the message says whether its services end with it.',
  'config.applied': 'Files were applied; the message says what changed.',
  'config.refused': 'Files were not applied, because they have errors.',
  'instance.starting': 'A process is started.',
  'instance.running': 'It is ready, or has stayed up for as long as `upAfter` asks; it gets requests from now on.',
  'instance.exited': 'A process ended by itself.',
  'instance.backoff': 'It is started again after a wait.',
  'instance.stopping': 'It is being stopped, and was sent its stop signal.',
  'instance.stopped': 'It has stopped because somebody asked for it.',
  'instance.fatal': 'It is not started again until a person does; the message says why.',
  'instance.adopted': 'It was running before this daemon started, and was taken over.',
  'instance.signalled': 'It was sent a signal because somebody asked for it.',
  'instance.killed': 'It did not end in time, and was killed.',
  'output.trouble': 'Its log cannot be written, so that what it says is lost; the process runs on.',
  'output.recovered': 'Its log can be written again.',
  'gateway.trouble': 'The gateway cannot do something now, such as listen on a port that another program has.',
} as const;

export type FactType = keyof typeof factTypes;

export const factShape = Type.Object(
  {
    cursor: Type.Integer({ description: 'grows by one with each fact; pass it to go on from there' }),
    at: Type.String({ format: 'date-time', description: 'when, UTC' }),
    type: Type.Unsafe<FactType>({ enum: Object.keys(factTypes) }),
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
