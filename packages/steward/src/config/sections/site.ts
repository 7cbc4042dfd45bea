/** The `sites:`, `gateway:`, `variables:`, `limits:` and `acme:` sections: host names, what answers under them, and who serves them. */
import { type Static, Type } from 'typebox';
import { sharedByRoutes } from './route.ts';
import type { RouteSource, StepSource } from './step.ts';
import { closed, duration, listOf, size, words } from './vocabulary.ts';

export const certificateFilesShape = closed(
  {
    cert: Type.String({ description: 'certificate file (PEM)' }),
    key: Type.String({ description: 'key file (PEM)' }),
    chain: Type.Optional(Type.String({ description: 'intermediate certificates (PEM) when they are not in `cert`' })),
  },
  'Your own certificate files.',
);

const tlsShape = Type.Union([Type.Enum(['internal', 'acme'] as const), certificateFilesShape], {
  description:
    'HTTPS: `internal` uses a local authority made once (`steward ca` prints it), `acme` fetches certificates and renews them (see `acme:`), or your own files.',
});

const listenShape = Type.Union(
  [
    Type.Integer({ minimum: 1, maximum: 65535 }),
    Type.String(),
    closed(
      {
        to: Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String()], { description: 'port, address:port or [v6]:port' }),
        proxyProtocol: Type.Optional(
          Type.Boolean({ description: 'Connections begin with a PROXY protocol header, which a trusted proxy sends. Default: false.' }),
        ),
      },
      'An address.',
    ),
  ],
  { description: 'port, address:port or [v6]:port' },
);

const addresses = (description: string) => Type.Array(Type.String(), { description });

const trustShape = Type.Union(
  [
    addresses('addresses or ranges, such as 10.0.0.0/8'),
    closed(
      {
        from: addresses('addresses or ranges, such as 10.0.0.0/8; unix: for sockets'),
        header: Type.Optional(Type.String({ description: 'Header that names the client, or proxy-protocol. Default: X-Forwarded-For.' })),
        recursive: Type.Optional(Type.Boolean({ description: 'Skip trusted addresses in the header, from the right. Default: true.' })),
      },
      'Whom to believe, and what.',
    ),
  ],
  {
    description:
      "Proxies in front whose word about the client is believed: its address, and with X-Forwarded-Proto and -Host what it asked for. Default: nobody's.",
  },
);

const maintenanceShape = Type.Union(
  [
    Type.Boolean(),
    closed(
      {
        page: Type.Optional(Type.String({ description: 'HTML file to send. Default: a built-in page.' })),
        allow: Type.Optional(addresses('Addresses or ranges that still get through. Default: none.')),
        retryAfter: Type.Optional(duration('what clients are told to wait', '5m')),
      },
      'How.',
    ),
  ],
  { description: 'Answer everything with 503 and a page. Default: false.' },
);

const clientCertificatesShape = closed(
  {
    ca: Type.String({ description: 'PEM file of the authorities that sign them' }),
    mode: Type.Optional(words(['require', 'optional'], '`require`: clients without one get 400. Default: require.')),
  },
  'Certificates of clients (mTLS). Every site on the same port then asks for one.',
);

const hstsShape = Type.Union(
  [
    Type.Boolean(),
    closed(
      {
        maxAge: Type.Optional(duration('browsers use HTTPS only', '365d')),
        subdomains: Type.Optional(Type.Boolean({ description: 'For all names below too. Default: false.' })),
        preload: Type.Optional(Type.Boolean({ description: "Ask for a place in browsers' lists. Default: false." })),
      },
      'How.',
    ),
  ],
  { description: 'Strict-Transport-Security on every answer over HTTPS. Default: false.' },
);

export const siteShape = closed(
  {
    hosts: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Host names: exact, `*.example.com` ($host_label is what stands for *), `example.*` or `~regex`. Default: any host nothing else answers.',
      }),
    ),
    default: Type.Optional(
      Type.Boolean({ description: 'Answers hosts nothing else does on its ports. Default: the first site of the port.' }),
    ),
    listen: Type.Optional(Type.Array(listenShape, { minItems: 1, description: 'Where it is served. Default: [443] with tls, else [80].' })),
    tls: Type.Optional(tlsShape),
    tlsLeast: Type.Optional(words(['TLSv1.2', 'TLSv1.3'], 'Oldest version of TLS. Default: TLSv1.2.')),
    clientCertificates: Type.Optional(clientCertificatesShape),
    hsts: Type.Optional(hstsShape),
    redirectFrom: Type.Optional(
      Type.Array(listenShape, {
        description:
          'Plain HTTP ports that redirect to the first `listen` with 308. Default: [80] when tls is set and listen is not, else none.',
      }),
    ),
    trust: Type.Optional(trustShape),
    maintenance: Type.Optional(maintenanceShape),
    steps: Type.Optional(listOf<StepSource>('step', 'Taken before a route is looked for, in turn.')),
    routes: listOf<RouteSource>('route', 'What answers which path.'),
    root: Type.Optional(Type.String({ description: 'Folder whose files answer what no route does.' })),
    serverName: Type.Optional(Type.String({ description: 'What $server_name stands for. Default: the first host.' })),
    ...sharedByRoutes,
    maxBody: Type.Optional(size('largest request body; 0 sets no limit', '100MB')),
  },
  'Host names and what answers under them. What is said here of headers, errors, limits, access and logs holds for all its routes that say nothing of it.',
);

export const gatewayShape = closed(
  {
    workers: Type.Optional(Type.Integer({ minimum: 1, maximum: 256, description: 'Worker processes. Default: one per processor.' })),
    user: Type.Optional(
      Type.String({
        description:
          'User the workers run as when Steward runs as root; they keep only the right to open low ports. Default: www-data, else nobody.',
      }),
    ),
    headerTimeout: Type.Optional(duration('to receive all request headers', '60s')),
    stallTimeout: Type.Optional(
      duration('silence of a client that owes more of its body (then 408), or takes nothing of its answer, before it is cut off', '60s'),
    ),
    idleTimeout: Type.Optional(duration('an idle keep-alive connection is closed', '75s')),
    maxHeaders: Type.Optional(size('request line and headers together; more gets 431', '16KB')),
    http2: Type.Optional(Type.Boolean({ description: 'HTTP/2 on ports with TLS. Default: true.' })),
    accessLog: Type.Optional(Type.Boolean({ description: 'One line per request in `steward logs gateway`. Default: true.' })),
  },
  'The processes that serve all sites.',
);

export const variableShape = closed(
  {
    from: Type.String({ description: 'text with variables that is looked up' }),
    cases: Type.Record(Type.String(), Type.String(), {
      description: 'What it may be (exact in any letter case, `~regex`, `~*regex` in any case) and the value then, with variables.',
    }),
    default: Type.Optional(Type.String({ description: 'Value when no case fits. Default: empty.' })),
    hostnames: Type.Optional(Type.Boolean({ description: '`*.example.com` and `example.*` are cases too. Default: false.' })),
  },
  "A variable made from others (nginx's map).",
);

export const limitShape = closed(
  {
    by: Type.Optional(Type.String({ description: 'Text with variables; requests are counted by it. Default: $remote_addr.' })),
    rate: Type.Optional(
      Type.String({
        pattern: '^\\d+(\\.\\d+)?\\s*(r?/[sm])$',
        description: 'Requests, such as 10/s or 300/m. Default: it counts requests under way.',
      }),
    ),
  },
  'What requests are counted by, over all workers.',
);

export const acmeShape = closed(
  {
    email: Type.Optional(Type.String({ description: 'where the authority writes to' })),
    directory: Type.Optional(Type.String({ description: "URL of the authority's directory. Default: Let's Encrypt." })),
    directoryCa: Type.Optional(Type.String({ description: "PEM file to trust for the directory. Default: the system's authorities." })),
    renewBefore: Type.Optional(duration('renew this long before the end', 'a third of its life')),
  },
  'The authority for sites with `tls: acme`. Using it means agreeing to its terms.',
);

export type SiteSource = Static<typeof siteShape>;
export type GatewaySource = Static<typeof gatewayShape>;
export type VariableSource = Static<typeof variableShape>;
export type LimitSource = Static<typeof limitShape>;
export type AcmeSource = Static<typeof acmeShape>;
export type { RouteSource } from './step.ts';
export type { ServerSource, UpstreamSource } from './upstream.ts';
