/** The `api:` section: where people and programs on other machines reach Steward itself. */
import { type Static, Type } from 'typebox';
import { certificateFilesShape } from './site.ts';
import { closed } from './vocabulary.ts';

const address = Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String()]);

export const apiShape = closed(
  {
    listen: Type.Optional(
      Type.Union([address, Type.Array(address, { minItems: 1 })], {
        description: 'Where the API is served: ports or address:port. Default: 9443.',
      }),
    ),
    hosts: Type.Optional(
      Type.Array(Type.String(), {
        description:
          "Names under which browsers reach it: the certificate of `internal` is for them. Default: the machine's own name and localhost.",
      }),
    ),
    tls: Type.Optional(
      Type.Union([Type.Enum(['internal', 'none'] as const), certificateFilesShape], {
        description:
          'HTTPS: `internal` uses the local authority (`steward ca` prints it), or your own files. `none` is for addresses of this machine only, behind something that does HTTPS. Default: internal.',
      }),
    ),
    requestsPerMinute: Type.Optional(
      Type.Integer({
        minimum: 10,
        maximum: 1_000_000,
        description: 'Requests from one address in a minute; more are answered 429. Default: 1200.',
      }),
    ),
  },
  'The API for other machines: with sessions, tokens and roles. Without this section only the control socket answers.',
);
export type ApiSource = Static<typeof apiShape>;
