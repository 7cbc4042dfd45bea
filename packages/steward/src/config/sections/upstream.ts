/** The `upstreams:` section: several servers, or the instances of a service, under one name and with rules of their own. */
import { type Static, Type } from 'typebox';
import { closed, duration, words } from './vocabulary.ts';

const serverShape = closed(
  {
    to: Type.String({ description: 'host:port or unix:/path/to.sock' }),
    weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, description: 'Share of the requests. Default: 1.' })),
    maxConnections: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Requests under way at once, in each worker; 0 sets no limit. Default: 0.' }),
    ),
    maxFails: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Failures within failTimeout that take it out for failTimeout; 0 never does. Default: 1.' }),
    ),
    failTimeout: Type.Optional(duration('both the window and the time out; 0 never takes it out', '10s')),
    backup: Type.Optional(Type.Boolean({ description: 'Used only when all others are out. Default: false.' })),
    down: Type.Optional(Type.Boolean({ description: 'Never used. Default: false.' })),
    drain: Type.Optional(Type.Boolean({ description: 'Only for clients that come back by their sticky cookie. Default: false.' })),
  },
  'One server of an upstream.',
);

const balanceShape = Type.Union(
  [
    Type.Enum(['round-robin', 'least-connections', 'random', 'random-two', 'client-address'] as const),
    closed(
      {
        hash: Type.String({ description: 'text with variables; equal texts go to the same server' }),
        consistent: Type.Optional(
          Type.Boolean({ description: 'Few clients move when a server comes or goes (a ketama ring). Default: true.' }),
        ),
      },
      'By a hash.',
    ),
  ],
  {
    description:
      'Which server gets a request: `round-robin` by weight, `least-connections`, `random`, `random-two` (the less busy of two), `client-address` (one network, one server), or `hash`. Default: round-robin.',
  },
);

const stickyShape = Type.Union(
  [
    Type.Boolean(),
    closed(
      {
        cookie: Type.Optional(Type.String({ description: 'Name of the cookie. Default: steward_server.' })),
        path: Type.Optional(Type.String({ description: 'Default: /.' })),
        maxAge: Type.Optional(duration('life of the cookie', 'until the browser ends')),
        secure: Type.Optional(Type.Boolean({ description: 'Only over HTTPS. Default: false.' })),
        sameSite: Type.Optional(words(['lax', 'strict', 'none'], 'Default: lax.')),
      },
      'The cookie.',
    ),
  ],
  { description: 'A cookie brings a client back to the server that answered it first. Default: false.' },
);

const checkShape = Type.Union(
  [
    Type.String(),
    closed(
      {
        path: Type.String({ description: 'asked for with GET' }),
        host: Type.Optional(Type.String({ description: "Host header. Default: the server's address." })),
        every: Type.Optional(duration('between two looks', '5s')),
        timeout: Type.Optional(duration('for an answer', '2s')),
        passes: Type.Optional(Type.Integer({ minimum: 1, description: 'good answers in a row to come back. Default: 2.' })),
        failures: Type.Optional(Type.Integer({ minimum: 1, description: 'bad ones in a row to be taken out. Default: 3.' })),
        status: Type.Optional(
          Type.String({ pattern: '^[1-5]\\d\\d(-[1-5]\\d\\d)?$', description: 'Statuses that pass. Default: 200-399.' }),
        ),
        body: Type.Optional(Type.String({ description: 'A text that the first 64 KB of the body must hold.' })),
      },
      'What to look at.',
    ),
  ],
  { description: 'Ask each server regularly, and leave out those that fail: a path, or more. Default: only requests tell.' },
);

export const upstreamShape = closed(
  {
    servers: Type.Optional(Type.Array(Type.Union([Type.String(), serverShape]), { minItems: 1, description: 'Addresses.' })),
    service: Type.Optional(Type.String({ description: 'The ready instances of this service. Either servers or service.' })),
    balance: Type.Optional(balanceShape),
    sticky: Type.Optional(stickyShape),
    check: Type.Optional(checkShape),
    slowStart: Type.Optional(duration('until a server that comes back gets its full share', '0')),
    keepIdle: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Idle connections kept to each server, in each worker. Default: 64.' }),
    ),
    keepIdleTimeout: Type.Optional(duration('an idle connection is kept', '60s')),
  },
  'Servers under one name.',
);

export type UpstreamSource = Static<typeof upstreamShape>;
export type ServerSource = Static<typeof serverShape>;
