/** The `supervisorctl:` section: where supervisorctl, and programs that speak supervisord's XML-RPC, are answered. */
import { type Static, Type } from 'typebox';
import { closed } from './vocabulary.ts';

const credentials = {
  username: Type.Optional(Type.String({ description: 'Name to be given; together with `password`.' })),
  password: Type.Optional(
    Type.String({
      description:
        'Password to be given, best as "{{secret.NAME}}"; or {SHA} and its SHA-1 in hexadecimal digits. Default: none is asked for.',
    }),
  ),
};

export const supervisorctlShape = closed(
  {
    unix: Type.Optional(
      closed(
        {
          path: Type.String({ description: 'path of the socket, relative to this file' }),
          mode: Type.Optional(
            Type.String({ pattern: '^[0-7]{3,4}$', description: 'who may connect, as octal digits in quotes. Default: "0700".' }),
          ),
          owner: Type.Optional(Type.String({ description: "`user`, or `user:group`, whose file it is. Default: Steward's own." })),
          ...credentials,
        },
        'A unix socket: whoever may open it, and knows the password if there is one, is a super admin.',
      ),
    ),
    tcp: Type.Optional(
      closed(
        {
          address: Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String()], {
            description: 'address:port; a port alone listens on all addresses. Without TLS, so best 127.0.0.1:9001.',
          }),
          ...credentials,
        },
        'A port: who knows the password is a super admin. A password is demanded for all but loopback addresses.',
      ),
    ),
  },
  'Where supervisorctl is answered, as by supervisord. Default: nowhere.',
);

/** The section as written. */
export type SupervisorctlSource = Static<typeof supervisorctlShape>;
