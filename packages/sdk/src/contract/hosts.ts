/** Operations on machines. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';

export const hostShape = Type.Object(
  {
    name: Type.String(),
    self: Type.Boolean({ description: 'the one that answers' }),
    version: Type.String({ description: 'of Steward' }),
    system: Type.String(),
    processors: Type.Integer(),
    load: Type.Array(Type.Number(), { minItems: 3, maxItems: 3, description: 'average over 1, 5 and 15 minutes' }),
    memoryBytes: Type.Integer(),
    memoryFreeBytes: Type.Integer({ description: 'what programs could have' }),
    bootedAt: Type.String({ format: 'date-time' }),
    time: Type.String({ format: 'date-time', description: 'by its clock' }),
  },
  { description: 'A machine that runs Steward.' },
);
export type HostInfo = Static<typeof hostShape>;

export const listHosts = operation({
  name: 'listHosts',
  method: 'GET',
  path: '/v1/hosts',
  summary: 'The machines: today the one that answers.',
  needs: 'read',
  answer: Type.Object({ hosts: Type.Array(hostShape) }),
});
