/** Facts: what the journal holds. One shape for all; `type` says which kind, `subject` what it is about. */
import { type Static, Type } from 'typebox';

/** Every type of fact, with what it says. */
export const factTypes = {
  'daemon.started': 'Steward started.',
  'daemon.stopped': 'Steward ends; the message says whether its services end with it.',
  'daemon.upgraded': 'The daemon has become another program, and took over what ran.',
  'config.applied': 'Files were applied; the message says what changed.',
  'config.refused': 'Files were not applied, because they have errors.',
  'instance.starting': 'A process is started.',
  'instance.running': 'It is ready, or has stayed up for as long as `upAfter` asks; it gets requests from now on.',
  'instance.exited': 'A process ended by itself.',
  'instance.backoff': 'It is started again after a wait.',
  'instance.stopping': 'It is being stopped, and was sent its stop signal.',
  'instance.stopped': 'It has stopped because somebody asked for it.',
  'instance.fatal': 'It is not started again until a person does; the message says why.',
  'instance.critical': 'A service that is critical is finally dead: Steward stops everything and ends with its exit code.',
  'instance.adopted': 'It was running before this daemon started, and was taken over.',
  'instance.signalled': 'It was sent a signal because somebody asked for it.',
  'instance.killed': 'It did not end in time, and was killed.',
  'instance.explained': 'Why it ended, as far as that can be seen from outside: its last lines, or who has its port.',
  'instance.limit': 'It is over a limit, or has one that this machine cannot hold.',
  'instance.stuck': 'It got KILL and is still there, because the kernel lets it not go; nothing waits for it any more.',
  'instance.hook': 'A command of its `hooks` failed; the message says which and how.',
  'service.reloading': 'Its instances are replaced one after the other, while a copy stands in for them.',
  'service.reloaded': 'All its instances have been replaced.',
  'service.reload-failed': 'Its instances were not all replaced; the message says why, and what runs now.',
  'service.scaled': 'Somebody changed how many instances it has.',
  'output.trouble': 'Its log cannot be written, so that what it says is lost; the process runs on.',
  'output.recovered': 'Its log can be written again.',
  'boot.started': 'The boot list begins, or goes on.',
  'boot.step': 'A step of the boot list is done.',
  'boot.waiting': 'A try of a step failed, and another one follows.',
  'boot.failed': 'A step failed for good; the message says whether the list stops there.',
  'boot.alert': 'A step with `onFailure: alert` failed for good: the list goes on, and somebody should look.',
  'boot.degraded': 'The boot list is through, and not all of its steps are done.',
  'boot.done': 'All steps of the boot list are done.',
  'secret.set': 'A secret was stored, or got another value; the message says who uses it.',
  'secret.removed': 'A stored secret was removed.',
  'secret.rekeyed': 'The stored secrets have new keys.',
  'secret.trouble': 'A file by which a process that runs gets a secret cannot be written; the process runs on.',
  'secret.locked': 'Stored secrets cannot be read: their master key is missing, or it is another one.',
  'api.trouble': 'The API cannot be reached where the files say, for example because its port is taken.',
  'audit.trouble': 'The audit trail cannot be written, and waits in memory; or it is written again.',
  'supervisorctl.trouble': 'supervisorctl is not answered where a file says, because another program has the place.',
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
