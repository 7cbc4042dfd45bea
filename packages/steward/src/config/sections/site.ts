/** The `sites:`, `upstreams:` and `gateway:` sections: host names, what answers under them, and who serves them. */
import { type Static, Type } from 'typebox';
import { closed, duration, size, words } from './vocabulary.ts';

const serverShape = closed(
  {
    to: Type.String({ description: 'host:port or unix:/path/to.sock' }),
    weight: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, description: 'Share of the requests. Default: 1.' })),
    maxFails: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Failures within failTimeout that take it out for failTimeout; 0 never does. Default: 1.' }),
    ),
    failTimeout: Type.Optional(duration('both the window and the time out; 0 never takes it out', '10s')),
    backup: Type.Optional(Type.Boolean({ description: 'Used only when all others are out. Default: false.' })),
    down: Type.Optional(Type.Boolean({ description: 'Never used. Default: false.' })),
  },
  'One server of an upstream.',
);

export const upstreamShape = closed(
  {
    servers: Type.Array(Type.Union([Type.String(), serverShape]), { minItems: 1, description: 'Addresses, tried round robin.' }),
  },
  'Servers that Steward does not run itself, under one name.',
);

const headersShape = (description: string) => Type.Record(Type.String(), Type.String(), { description });

export const routeShape = closed(
  {
    path: Type.Optional(
      Type.String({
        description:
          'What it answers: `/prefix` (longest wins), `= /exact`, `^~ /prefix` (before regular expressions), `~ regex`, `~* regex` (any case). Default: /.',
      }),
    ),
    service: Type.Optional(Type.String({ description: 'Hand requests to the ready instances of this service.' })),
    upstream: Type.Optional(
      Type.String({ description: 'Hand requests to an entry of `upstreams:`, or to one address (host:port, unix:/path).' }),
    ),
    upstreamScheme: Type.Optional(words(['http', 'https'], 'Protocol spoken to the upstream. Default: http.')),
    upstreamPath: Type.Optional(
      Type.String({
        description: "Replaces the matched prefix of the path (nginx's proxy_pass with a URI part). Default: the path is kept.",
      }),
    ),
    setHeaders: Type.Optional(
      headersShape(
        'Request headers for the upstream; values may use $host $http_host $remote_addr $proxy_add_x_forwarded_for $scheme $server_port $server_name $request_uri $uri $args $request_method $proxy_host $http_NAME; an empty value removes the header.',
      ),
    ),
    forwardedHeaders: Type.Optional(
      words(
        ['set', 'append', 'off'],
        "`set`: X-Forwarded-For, -Proto, -Host and X-Real-IP are set and what the client sent is dropped; `append`: the client's X-Forwarded-For is kept in front; `off`: none is added. Default: set.",
      ),
    ),
    upstreamHost: Type.Optional(
      Type.String({ description: 'Host header sent to the upstream: keep, upstream, or a text. Default: keep.' }),
    ),
    rewriteLocation: Type.Optional(
      Type.Array(closed({ from: Type.String(), to: Type.String() }, 'A prefix of the Location header and what replaces it.'), {
        description: 'Rewrites redirects of the upstream. Default: none.',
      }),
    ),
    buffering: Type.Optional(Type.Boolean({ description: 'Read the answer ahead of a slow client, up to 64 KB. Default: false.' })),
    connectTimeout: Type.Optional(duration('to connect to the upstream', '5s')),
    readTimeout: Type.Optional(duration('silence from the upstream before 504; also for websockets', '60s')),
    files: Type.Optional(Type.String({ description: 'Serve files below this folder; the matched prefix is taken off the path.' })),
    root: Type.Optional(Type.String({ description: "Serve files below this folder; the whole path is appended (nginx's root)." })),
    index: Type.Optional(Type.Array(Type.String(), { description: 'Files tried for a folder. Default: [index.html].' })),
    fallback: Type.Optional(Type.String({ description: 'File sent when none matches, such as /index.html for a single-page app.' })),
    addHeaders: Type.Optional(headersShape('Headers added to the answer.')),
    redirect: Type.Optional(
      Type.String({ description: 'Answer with a redirect to this address; may use $host, $request_uri, $uri, $args.' }),
    ),
    status: Type.Optional(
      Type.Integer({ minimum: 100, maximum: 599, description: 'Status of `redirect` (default 302) or `respond` (default 200).' }),
    ),
    respond: Type.Optional(Type.String({ description: 'Answer with this text.' })),
    maxBody: Type.Optional(size('largest request body, streamed and never held in memory; 0 sets no limit', "the site's")),
  },
  'What answers a path: exactly one of service, upstream, files, root, redirect, respond.',
);

const tlsShape = Type.Union(
  [
    Type.Literal('internal'),
    closed(
      {
        cert: Type.String({ description: 'certificate file (PEM)' }),
        key: Type.String({ description: 'key file (PEM)' }),
        chain: Type.Optional(Type.String({ description: 'intermediate certificates (PEM) when they are not in `cert`' })),
      },
      'Your own certificate files.',
    ),
  ],
  { description: 'HTTPS: `internal` uses a local authority made once (`steward ca` prints it), or your own files.' },
);

const listenShape = Type.Union([Type.Integer({ minimum: 1, maximum: 65535 }), Type.String()], {
  description: 'port, address:port or [v6]:port',
});

export const siteShape = closed(
  {
    hosts: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Host names: exact, `*.example.com`, `example.*` or `~regex`. Default: any host nothing else answers.',
      }),
    ),
    default: Type.Optional(
      Type.Boolean({ description: 'Answers hosts nothing else does on its ports. Default: the first site of the port.' }),
    ),
    listen: Type.Optional(Type.Array(listenShape, { minItems: 1, description: 'Where it is served. Default: [443] with tls, else [80].' })),
    tls: Type.Optional(tlsShape),
    redirectFrom: Type.Optional(
      Type.Array(listenShape, {
        description:
          'Plain HTTP ports that redirect to the first `listen` with 308. Default: [80] when tls is set and listen is not, else none.',
      }),
    ),
    routes: Type.Array(routeShape, { description: 'What answers which path.' }),
    root: Type.Optional(Type.String({ description: 'Folder whose files answer what no route does.' })),
    maxBody: Type.Optional(size('largest request body; 0 sets no limit', '100MB')),
    serverName: Type.Optional(Type.String({ description: 'What $server_name stands for. Default: the first host.' })),
  },
  'Host names and what answers under them.',
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
    accessLog: Type.Optional(Type.Boolean({ description: 'One line per request in `steward logs gateway`. Default: true.' })),
  },
  'The processes that serve all sites.',
);

export type SiteSource = Static<typeof siteShape>;
export type RouteSource = Static<typeof routeShape>;
export type UpstreamSource = Static<typeof upstreamShape>;
export type ServerSource = Static<typeof serverShape>;
export type GatewaySource = Static<typeof gatewayShape>;
