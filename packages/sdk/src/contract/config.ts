/** Operations on the configuration as text: reading it, writing it, its history. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';
import { planShape } from './system.ts';

const textShape = Type.Object({
  path: Type.String({ description: 'absolute' }),
  text: Type.String({ maxLength: 16 * 1024 * 1024 }),
});

export const configShape = Type.Object(
  {
    etag: Type.String({ description: 'stands for exactly these texts; also in the header ETag, to be sent back as If-Match' }),
    roots: Type.Array(Type.String(), { description: 'the files that were named; the others are included by them' }),
    files: Type.Array(textShape, { description: 'as they are on the disk now' }),
    changedSinceApply: Type.Boolean({ description: 'they were edited since they were applied' }),
  },
  { description: 'The configuration as text. Files of environment and secrets are not in it.' },
);
export type ConfigTexts = Static<typeof configShape>;

export const versionShape = Type.Object(
  {
    version: Type.Integer(),
    at: Type.String({ format: 'date-time' }),
    by: Type.String({ description: 'who applied it' }),
    summary: Type.String({ description: 'what it changed' }),
    etag: Type.String(),
    files: Type.Array(Type.String()),
  },
  { description: 'A configuration that was applied.' },
);
export type ConfigVersion = Static<typeof versionShape>;

const page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'at most so many. Default: 50.' })),
  after: Type.Optional(Type.Integer({ minimum: 0, description: 'what the page before gave as `next`' })),
};
const next = Type.Optional(Type.Integer({ description: 'give it as `after` for the next page; absent on the last' }));

export const getConfig = operation({
  name: 'getConfig',
  method: 'GET',
  path: '/v1/config',
  summary: 'The text of the configuration as it is on the disk.',
  needs: 'configure',
  audited: true,
  answer: configShape,
});
export const putConfig = operation({
  name: 'putConfig',
  method: 'PUT',
  path: '/v1/config',
  summary:
    'Writes files of the configuration and applies them; with errors in them nothing is written. With the header If-Match only while nobody has changed them since.',
  needs: 'configure',
  masked: ['files'],
  large: true,
  body: Type.Object({
    files: Type.Array(textShape, {
      minItems: 1,
      maxItems: 1000,
      description: 'those that change; each is one of the configuration already',
    }),
    replace: Type.Optional(Type.Boolean({ description: 'allow to stop services that the texts no longer have. Default: false' })),
  }),
  answer: planShape,
});
export const checkConfig = operation({
  name: 'checkConfig',
  method: 'POST',
  path: '/v1/config/check',
  summary: 'What putConfig would do, and every problem of the texts. Changes nothing.',
  needs: 'configure',
  changesNothing: true,
  large: true,
  body: Type.Object({ files: Type.Array(textShape, { minItems: 1, maxItems: 1000 }) }),
  answer: planShape,
});
export const listConfigVersions = operation({
  name: 'listConfigVersions',
  method: 'GET',
  path: '/v1/config/versions',
  summary: 'Configurations that were applied, newest first: when, by whom, and what each changed.',
  needs: 'configure',
  query: Type.Object(page),
  answer: Type.Object({ versions: Type.Array(versionShape), next }),
});
export const getConfigVersion = operation({
  name: 'getConfigVersion',
  method: 'GET',
  path: '/v1/config/versions/:version',
  summary: 'The texts of a configuration that was applied.',
  needs: 'configure',
  audited: true,
  params: Type.Object({ version: Type.Integer() }),
  answer: Type.Object({ ...versionShape.properties, files: Type.Array(textShape), roots: Type.Array(Type.String()) }),
});
export const rollBackConfig = operation({
  name: 'rollBackConfig',
  method: 'POST',
  path: '/v1/config/versions/:version/roll-back',
  summary: 'Writes the texts of an earlier version over the files of today and applies them.',
  needs: 'configure',
  params: Type.Object({ version: Type.Integer() }),
  body: Type.Object({ replace: Type.Optional(Type.Boolean({ description: 'allow to stop services that version does not have' })) }),
  answer: planShape,
});
