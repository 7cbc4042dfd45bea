/** Operations on the whole: configuration, facts, the gateway's authority, the daemon itself. */
import { type Static, Type } from 'typebox';
import { factShape } from './facts.ts';
import { operation } from './operation.ts';

export const problemShape = Type.Object({
  severity: Type.Unsafe<'error' | 'warning' | 'note'>({ enum: ['error', 'warning', 'note'] }),
  code: Type.String(),
  message: Type.String(),
  hint: Type.Optional(Type.String()),
  at: Type.Optional(Type.Object({ file: Type.String(), line: Type.Integer(), column: Type.Integer(), length: Type.Integer() })),
});

export const changeShape = Type.Object({
  kind: Type.Unsafe<'start' | 'stop' | 'restart' | 'update' | 'stay'>({ enum: ['start', 'stop', 'restart', 'update', 'stay'] }),
  id: Type.String(),
  reasons: Type.Array(Type.String()),
});

export const planShape = Type.Object({
  files: Type.Array(Type.String(), { description: 'absolute paths of the files this is about' }),
  changes: Type.Array(changeShape),
  sites: Type.Object({ changed: Type.Boolean(), summary: Type.String() }, { description: 'what happens to the gateway' }),
  problems: Type.Array(problemShape),
  problemsText: Type.String({ description: 'the problems as text with code frames' }),
});
export type Plan = Static<typeof planShape>;

const filesBody = Type.Object({
  files: Type.Optional(
    Type.Array(Type.String(), { maxItems: 1000, description: 'absolute paths; when absent, the files of the last apply' }),
  ),
  base: Type.Optional(Type.String({ description: 'folder that paths in messages are relative to' })),
  replace: Type.Optional(Type.Boolean({ description: 'allow to stop services that other files, named in an earlier apply, brought' })),
});

export const planConfig = operation({
  name: 'planConfig',
  method: 'POST',
  path: '/v1/config/plan',
  summary: 'What an apply of these files would do. Changes nothing.',
  needs: 'configure',
  changesNothing: true,
  body: filesBody,
  answer: planShape,
});
export const applyConfig = operation({
  name: 'applyConfig',
  method: 'POST',
  path: '/v1/config/apply',
  summary: 'Does exactly what the plan says; with errors in the files, nothing.',
  needs: 'configure',
  body: filesBody,
  answer: planShape,
});

export const listFacts = operation({
  name: 'listFacts',
  method: 'GET',
  path: '/v1/facts',
  summary: 'Facts of the journal; with follow=true also those to come.',
  needs: 'read',
  about: 'each',
  query: Type.Object({
    after: Type.Optional(Type.Integer({ minimum: 0, description: 'cursor to go on from; absent: the last `count` facts' })),
    count: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000, description: 'Default: 50.' })),
    follow: Type.Optional(Type.Boolean()),
  }),
  answer: factShape,
  stream: true,
});

export const pageFacts = operation({
  name: 'pageFacts',
  method: 'GET',
  path: '/v1/facts/page',
  summary: 'Facts of the journal as one answer, oldest first, from a cursor on.',
  needs: 'read',
  about: 'each',
  query: Type.Object({
    after: Type.Optional(
      Type.Integer({ minimum: 0, description: 'what the page before gave as `next`; absent: from the first that is kept' }),
    ),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'looks at so many. Default: 100.' })),
    type: Type.Optional(Type.String({ description: 'only this type, or with a final dot all that begin so: `instance.`' })),
    subject: Type.Optional(Type.String({ description: 'only about this' })),
  }),
  answer: Type.Object({
    facts: Type.Array(factShape),
    next: Type.Optional(Type.Integer({ description: 'give it as `after` for the next page; absent when there are no more' })),
  }),
});

const programShape = Type.Object(
  {
    node: Type.String({ description: 'absolute path of Node' }),
    main: Type.String({ description: "absolute path of Steward's main file" }),
  },
  { description: 'a Steward that can be run' },
);

export const statusShape = Type.Object({
  version: Type.String(),
  node: Type.String(),
  pid: Type.Integer(),
  startedAt: Type.String({ format: 'date-time' }),
  stateFolder: Type.String(),
  files: Type.Array(Type.String()),
  name: Type.String(),
  gatewayProblems: Type.Array(Type.String(), { description: 'what the workers cannot do now, such as a port that is taken' }),
  listeners: Type.Array(Type.Object({ address: Type.String(), tls: Type.Boolean(), hosts: Type.Array(Type.String()) })),
  program: programShape,
  older: Type.Array(Type.Object({ part: Type.String({ description: '`keeper`, or the id of a gateway worker' }), pid: Type.Integer() }), {
    description: 'parts of Steward that run on with an earlier program since the daemon was upgraded',
  }),
});
export type Status = Static<typeof statusShape>;

export const getStatus = operation({
  name: 'getStatus',
  method: 'GET',
  path: '/v1/status',
  summary: 'The daemon itself: version, files, listeners.',
  needs: 'read',
  about: 'each',
  answer: statusShape,
});
export const getAuthority = operation({
  name: 'getAuthority',
  method: 'GET',
  path: '/v1/authority',
  summary: 'Certificate of the local authority that `tls: internal` uses.',
  needs: 'read',
  about: 'each',
  answer: Type.Object({ certificate: Type.String({ description: 'PEM' }) }),
});
export const upgradeDaemon = operation({
  name: 'upgradeDaemon',
  method: 'POST',
  path: '/v1/upgrade',
  summary: 'The daemon becomes another program, in the same process, which takes over what runs. Answers with its status before that.',
  needs: 'daemon',
  body: programShape,
  answer: statusShape,
});
export const shutDown = operation({
  name: 'shutDown',
  method: 'POST',
  path: '/v1/shutdown',
  summary: 'Stops all services in order, then Steward.',
  needs: 'daemon',
  answer: Type.Object({ stopping: Type.Integer({ description: 'instances being stopped' }) }),
});
