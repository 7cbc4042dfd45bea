/** Operations on the boot list: what is done once after each boot of the machine. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';

export const bootStepShape = Type.Object(
  {
    name: Type.String(),
    does: Type.String({ description: 'what it does, for people' }),
    state: Type.Unsafe<'pending' | 'trying' | 'waiting' | 'done' | 'failed' | 'skipped'>({
      enum: ['pending', 'trying', 'waiting', 'done', 'failed', 'skipped'],
      description: '`waiting`: a try failed, and another one follows',
    }),
    behind: Type.Boolean({ description: 'the list has gone on without it' }),
    tries: Type.Integer(),
    seconds: Type.Number({ description: 'its tries and the pauses between them' }),
    why: Type.String({ description: 'what came of the last try' }),
    timeoutSeconds: Type.Number({ description: 'of one try' }),
    retries: Type.Union([Type.Integer(), Type.Literal('forever')], { description: 'tries after the first that failed' }),
    onFailure: Type.Unsafe<'stop' | 'continue' | 'alert'>({ enum: ['stop', 'continue', 'alert'] }),
    background: Type.Boolean(),
    lastLines: Type.Array(Type.String(), { description: 'what the command of a step that failed wrote last' }),
  },
  { description: 'A step of the list.' },
);
export type BootStepInfo = Static<typeof bootStepShape>;

export const bootShape = Type.Object(
  {
    host: Type.String({ description: 'whose list it is' }),
    list: Type.Union([Type.String(), Type.Null()], {
      description: 'the name or pattern the list stands under, `*` when every host runs all steps; null when this host has none',
    }),
    lists: Type.Array(Type.String(), { description: 'names and patterns of all lists' }),
    state: Type.Unsafe<'idle' | 'running' | 'done' | 'degraded' | 'failed'>({
      enum: ['idle', 'running', 'done', 'degraded', 'failed'],
      description: '`idle`: not run since the machine booted; `degraded`: through, and not all steps are done; `failed`: stopped at a step',
    }),
    startedAt: Type.Optional(Type.String({ format: 'date-time' })),
    endedAt: Type.Optional(Type.String({ format: 'date-time', description: 'when every step had had its turn, or the list stopped' })),
    steps: Type.Array(bootStepShape),
  },
  { description: 'The boot list of a host, and how far it is.' },
);
export type BootInfo = Static<typeof bootShape>;

export const getBoot = operation({
  name: 'getBoot',
  method: 'GET',
  path: '/v1/boot',
  summary: 'The boot list of this host and how far it is.',
  needs: 'read',
  query: Type.Object({ host: Type.Optional(Type.String({ description: 'the list of another host, which has not run here' })) }),
  answer: bootShape,
});
export const runBoot = operation({
  name: 'runBoot',
  method: 'POST',
  path: '/v1/boot/run',
  summary: 'Runs the boot list in the background. Once it has run since the machine booted, it needs resume, from or again.',
  needs: 'operate',
  body: Type.Object({
    host: Type.Optional(Type.String({ description: 'run the list of this host. Default: that of the machine, or of the last run.' })),
    resume: Type.Optional(Type.Boolean({ description: 'go on at the step that failed; what is done stays done' })),
    from: Type.Optional(Type.String({ description: 'begin at this step' })),
    again: Type.Optional(Type.Boolean({ description: 'run all steps again' })),
  }),
  answer: bootShape,
});
