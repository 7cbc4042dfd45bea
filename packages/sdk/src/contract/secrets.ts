/** Operations on stored secrets. None of them answers a value: it goes to services, and nowhere else. */
import { type Static, Type } from 'typebox';
import { operation } from './operation.ts';

const name = Type.String({
  maxLength: 128,
  description: 'up to 128 letters, digits and `_ . -`, a letter first',
});

export const secretShape = Type.Object(
  {
    name,
    version: Type.Integer({ description: 'grows by one with each value' }),
    setAt: Type.String({ format: 'date-time', description: 'when it got its value, UTC' }),
    setBy: Type.String({ description: 'who set it' }),
    hasPrevious: Type.Boolean({ description: 'whether the value before is kept, as {{secret.NAME.previous}}' }),
    usedBy: Type.Array(Type.String(), { description: 'services that use it' }),
    lacks: Type.Optional(Type.String({ description: 'why it cannot be read' })),
  },
  { description: 'A stored secret, without its value.' },
);
export type SecretInfo = Static<typeof secretShape>;

export const listSecrets = operation({
  name: 'listSecrets',
  method: 'GET',
  path: '/v1/secrets',
  summary: 'Names of the stored secrets, with version, time, who set them and which services use them. Never values.',
  needs: 'secrets',
  answer: Type.Object({
    secrets: Type.Array(secretShape),
    locked: Type.Optional(Type.String({ description: 'why none of them can be read now' })),
  }),
});
export const setSecret = operation({
  name: 'setSecret',
  method: 'POST',
  path: '/v1/secrets/set',
  summary: 'Stores a secret, or gives it another value: then the services that use it are restarted, and nothing else.',
  needs: 'secrets',
  masked: ['value'],
  body: Type.Object({
    name,
    value: Type.String({ maxLength: 87_384, description: 'base64 of its 1 to 65536 bytes' }),
    restart: Type.Optional(Type.Boolean({ description: 'false: services get it with the next apply. Default: true.' })),
  }),
  answer: Type.Object({
    name: Type.String(),
    version: Type.Integer(),
    changed: Type.Boolean({ description: 'false: it had this value already' }),
    usedBy: Type.Array(Type.String(), { description: 'services that use it' }),
    restarted: Type.Array(Type.String(), { description: 'instances that are restarted, or replaced one after the other' }),
    trouble: Type.Optional(Type.String({ description: 'why it is stored, and the services did not get it' })),
  }),
});
export const removeSecret = operation({
  name: 'removeSecret',
  method: 'POST',
  path: '/v1/secrets/remove',
  summary: 'Removes a stored secret with all its values; refused while a service uses it, unless forced.',
  needs: 'secrets',
  body: Type.Object({ name, force: Type.Optional(Type.Boolean()) }),
  answer: Type.Object({ name: Type.String(), usedBy: Type.Array(Type.String(), { description: 'services that use it all the same' }) }),
});
export const rekeySecrets = operation({
  name: 'rekeySecrets',
  method: 'POST',
  path: '/v1/secrets/rekey',
  summary: 'Seals all stored secrets with new keys.',
  needs: 'secrets',
  local: true,
  masked: ['key'],
  body: Type.Object({
    key: Type.Optional(
      Type.String({ maxLength: 44, description: 'the next master key, 32 bytes in base64, when it does not stand in the state directory' }),
    ),
  }),
  answer: Type.Object({ secrets: Type.Integer({ description: 'how many there are' }) }),
});
