/** A route: what answers a path, and under which conditions. */
import { type Static, type TObject, type TProperties, Type } from 'typebox';
import { closed, duration, listOf, size, words } from './vocabulary.ts';

const headersShape = (description: string) => Type.Record(Type.String(), Type.String(), { description });

const headerListShape = <T extends TProperties>(item: TObject<T>, description: string) =>
  Type.Union([Type.Record(Type.String(), Type.String()), Type.Array(item)], { description });

const setHeaderShape = closed({ name: Type.String(), value: Type.String() }, 'One header.');
const addedHeaderShape = closed(
  {
    name: Type.String(),
    value: Type.String({ description: 'with variables; an empty one adds nothing' }),
    always: Type.Optional(Type.Boolean({ description: 'On errors too. Default: true.' })),
  },
  'One header.',
);

const action = {
  service: Type.Optional(Type.String({ description: 'Hand requests to the ready instances of this service.' })),
  upstream: Type.Optional(
    Type.String({
      description:
        'Hand requests to an entry of `upstreams:`, or to one address (host:port, unix:/path); may be a text with variables that gives one.',
    }),
  ),
  files: Type.Optional(Type.String({ description: 'Serve files below this folder; the matched prefix is taken off the path.' })),
  root: Type.Optional(Type.String({ description: "Serve files below this folder; the whole path is appended (nginx's root)." })),
  file: Type.Optional(Type.String({ description: 'Serve this file; may use $1 of a regular expression.' })),
  redirect: Type.Optional(Type.String({ description: 'Answer with a redirect to this address, with variables.' })),
  respond: Type.Optional(Type.String({ description: 'Answer with this text, with variables.' })),
  counters: Type.Optional(words(['stub', 'json'], "Answer with the gateway's counters: as nginx's stub_status page, or all as JSON.")),
};

const proxying = {
  upstreamScheme: Type.Optional(words(['http', 'https'], 'Protocol spoken to the upstream. Default: http.')),
  upstreamVerify: Type.Optional(
    Type.Union(
      [
        Type.Boolean(),
        closed(
          {
            ca: Type.Optional(Type.String({ description: "PEM file of the authorities. Default: the system's." })),
            name: Type.Optional(Type.String({ description: "Name its certificate must have. Default: the server's." })),
          },
          'How to check it.',
        ),
      ],
      { description: "Check the upstream's certificate. Default: false." },
    ),
  ),
  upstreamPath: Type.Optional(
    Type.String({
      description: "Replaces the matched prefix of the path (nginx's proxy_pass with a URI part). Default: the path is kept.",
    }),
  ),
  upstreamUri: Type.Optional(Type.String({ description: 'The whole path and query for the upstream, with variables. Default: kept.' })),
  upstreamMethod: Type.Optional(Type.String({ description: "Method sent to the upstream. Default: the client's." })),
  upstreamHost: Type.Optional(
    Type.String({ description: 'Host header sent to the upstream: keep, upstream, or a text with variables. Default: keep.' }),
  ),
  setHeaders: Type.Optional(
    headerListShape(setHeaderShape, 'Request headers for the upstream, with variables; an empty value removes the header.'),
  ),
  passHeaders: Type.Optional(Type.Boolean({ description: "Pass the client's headers on. Default: true." })),
  passBody: Type.Optional(Type.Boolean({ description: "Pass the client's body on. Default: true." })),
  forwardedHeaders: Type.Optional(
    words(
      ['set', 'append', 'off'],
      "`set`: X-Forwarded-For, -Proto, -Host and X-Real-IP are set and what the client sent is dropped; `append`: the client's X-Forwarded-For is kept in front; `off`: none is added. Default: set.",
    ),
  ),
  requestId: Type.Optional(Type.Boolean({ description: "Send X-Request-Id: a trusted proxy's, else a new one. Default: true." })),
  traceparent: Type.Optional(
    Type.Boolean({ description: "Send a W3C traceparent: the client's trace continued, else a new one. Default: false." }),
  ),
  rewriteLocation: Type.Optional(
    Type.Array(
      closed(
        { from: Type.String({ description: 'prefix, or ~regex' }), to: Type.String() },
        'A part of the Location header and what replaces it.',
      ),
      { description: 'Rewrites redirects of the upstream. Default: none.' },
    ),
  ),
  rewriteCookies: Type.Optional(
    Type.Array(
      closed(
        {
          attribute: words(['domain', 'path'], 'of the cookie'),
          from: Type.String({ description: 'its value, or ~regex' }),
          to: Type.String(),
        },
        'One rule.',
      ),
      { description: 'Rewrites Domain and Path of the cookies that the upstream sets. Default: none.' },
    ),
  ),
  hideHeaders: Type.Optional(
    Type.Array(Type.String(), { description: "Headers of the upstream's answer that are not passed on. Default: none." }),
  ),
  interceptErrors: Type.Optional(Type.Boolean({ description: 'errorPages replace error answers of the upstream too. Default: false.' })),
  buffering: Type.Optional(Type.Boolean({ description: 'Read the answer ahead of a slow client, up to 64 KB. Default: false.' })),
  connectTimeout: Type.Optional(duration('to connect to the upstream', '5s')),
  readTimeout: Type.Optional(duration('silence from the upstream before 504; also for websockets', '60s')),
  sendTimeout: Type.Optional(duration('for the upstream to take more of the request', '60s')),
  retry: Type.Optional(
    Type.Union(
      [
        Type.Boolean(),
        closed(
          {
            on: Type.Optional(
              Type.Array(Type.Union([Type.String(), Type.Integer()]), {
                description:
                  'error, timeout, invalid-header, a status (500, 502, 503, 504, 403, 404, 429), non-idempotent (repeat POST too, once sent). Default: [error, timeout].',
              }),
            ),
            tries: Type.Optional(Type.Integer({ minimum: 0, description: 'Servers asked at most; 0: each once. Default: 0.' })),
            timeout: Type.Optional(duration('for all tries; 0 sets no limit', '0')),
          },
          'When to ask another server.',
        ),
      ],
      { description: 'Ask another server when one fails, for requests that may be repeated. Default: true.' },
    ),
  ),
  hold: Type.Optional(duration('a request waits for a server to come up, instead of getting 502 or 503', '10s for a service, else 0')),
  canary: Type.Optional(
    closed(
      {
        service: Type.Optional(Type.String({ description: 'the new one' })),
        upstream: Type.Optional(Type.String()),
        percent: Type.Number({ minimum: 0, maximum: 100, description: 'share of the clients' }),
        cookie: Type.Optional(Type.String({ description: 'Keeps a client on its side (canary or main). Default: steward_canary.' })),
      },
      'Sends a share of the clients to another service or upstream.',
    ),
  ),
};

const filing = {
  index: Type.Optional(Type.Array(Type.String(), { description: 'Files tried for a folder. Default: [index.html].' })),
  fallback: Type.Optional(Type.String({ description: 'File sent when none matches, such as /index.html for a single-page app.' })),
  precompressed: Type.Optional(
    Type.Union([Type.Boolean(), Type.Array(words(['br', 'zstd', 'gzip'], 'encoding'))], {
      description: 'Send NAME.br, NAME.zst or NAME.gz when it is there and the client takes it. Default: false.',
    }),
  ),
  types: Type.Optional(
    headersShape('Media types by extension, before the built-in ones. A route that has them gives them to its texts, too.'),
  ),
  builtInTypes: Type.Optional(Type.Boolean({ description: 'Whether the built-in media types count, too. Default: true.' })),
  defaultType: Type.Optional(
    Type.String({
      description:
        'Media type of unknown extensions; a route that has one gives its texts the type of the path. Default: application/octet-stream.',
    }),
  ),
  charset: Type.Optional(
    Type.Union([Type.Literal(false), Type.String()], {
      description: "What built-in types of texts name as their charset; false names none. Default: the site's, else utf-8.",
    }),
  ),
  ifModifiedSince: Type.Optional(
    words(
      ['exact', 'before', 'off'],
      "Which dates get 304: the file's own, so that an older version put back is sent again; also later ones; none. Default: exact.",
    ),
  ),
};

const basicShape = closed(
  {
    realm: Type.Optional(Type.String({ description: 'what browsers show. Default: Restricted.' })),
    users: Type.String({ description: 'file of name:hash lines, as htpasswd writes it' }),
  },
  'HTTP basic authentication.',
);

const guarding = {
  access: Type.Optional(
    Type.Array(Type.String({ pattern: '^(allow|deny)\\s+\\S+$' }), {
      description:
        '`allow WHO` and `deny WHO` in turn; the first that fits decides. WHO: an address, 10.0.0.0/8, unix:, all. Default: everybody.',
    }),
  ),
  basicAuth: Type.Optional(
    Type.Union([Type.Literal(false), basicShape], { description: 'Ask for a name and a password; false does not.' }),
  ),
  authRequest: Type.Optional(
    Type.Union(
      [
        Type.Literal(false),
        Type.String(),
        closed(
          {
            uri: Type.String(),
            set: Type.Optional(headersShape('Variables set from the answer, such as user: $upstream_http_x_user.')),
          },
          'Who decides.',
        ),
      ],
      { description: 'A request to this path of the site decides: 2xx lets in, 401 and 403 do not; false asks nobody.' },
    ),
  ),
  satisfy: Type.Optional(words(['all', 'any'], 'Whether access, basicAuth and authRequest must all agree. Default: all.')),
};

const accessExceptShape = closed(
  {
    methods: Type.Array(Type.String(), { description: "those for which the route's own rules hold; GET stands for HEAD too" }),
    ...guarding,
  },
  "Rules for other methods (nginx's limit_except).",
);

const rateShape = Type.Union(
  [
    Type.String(),
    closed(
      {
        zone: Type.Optional(Type.String({ description: 'an entry of `limits:`' })),
        rate: Type.Optional(Type.String({ description: 'such as 10/s or 300/m, when no zone is named' })),
        by: Type.Optional(Type.String({ description: 'what is counted. Default: $remote_addr.' })),
        burst: Type.Optional(Type.Integer({ minimum: 0, description: 'requests over the rate that may wait. Default: 0.' })),
        undelayed: Type.Optional(
          Type.Union([Type.Integer({ minimum: 0 }), Type.Literal('all')], {
            description: 'how many of the burst are answered at once. Default: all.',
          }),
        ),
        status: Type.Optional(Type.Integer({ minimum: 400, maximum: 599, description: 'for those over it. Default: 429.' })),
      },
      'One limit.',
    ),
  ],
  { description: '10/s, or more' },
);

const connectionsShape = Type.Union(
  [
    Type.Integer({ minimum: 0 }),
    closed(
      {
        zone: Type.Optional(Type.String({ description: 'an entry of `limits:`' })),
        by: Type.Optional(Type.String({ description: 'what is counted. Default: $remote_addr.' })),
        most: Type.Integer({ minimum: 0 }),
        status: Type.Optional(Type.Integer({ minimum: 400, maximum: 599, description: 'for those over it. Default: 503.' })),
      },
      'One limit.',
    ),
  ],
  { description: 'Requests under way at once' },
);

export const logShape = closed(
  {
    file: Type.Optional(Type.String({ description: "Path, with variables. Default: the gateway's own log (`steward logs gateway`)." })),
    format: Type.Optional(
      Type.String({ description: 'steward, combined, json, or a text with variables. Default: steward; combined when a file is given.' }),
    ),
    escape: Type.Optional(words(['default', 'json', 'none'], 'How values in a text are made harmless. Default: default.')),
    when: Type.Optional(Type.String({ description: 'Text with variables; nothing is logged when it is empty or "0".' })),
    maxSize: Type.Optional(size('rotate the file when larger; 0 never rotates', '50MB')),
    keep: Type.Optional(Type.Integer({ minimum: 0, description: 'rotated files kept. Default: 10.' })),
  },
  'An access log.',
);

const answering = {
  status: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 999, description: 'Status of `redirect` (default 302) or `respond` (default 200); 444 hangs up.' }),
  ),
  contentType: Type.Optional(Type.String({ description: 'Of `respond`. Default: by defaultType, else text/plain; charset=utf-8.' })),
  maxBody: Type.Optional(size('largest request body, streamed and never held in memory; 0 sets no limit', "the site's")),
  addHeaders: Type.Optional(headerListShape(addedHeaderShape, "Headers added to the answer, with variables. Default: the site's.")),
  expires: Type.Optional(
    Type.String({
      description: 'Expires and Cache-Control: 30d, -1 (no-cache), modified+1h, @15h30m, epoch, max, off, or a variable. Default: off.',
    }),
  ),
  errorPages: Type.Optional(
    Type.Array(
      closed(
        {
          on: Type.Array(Type.Integer({ minimum: 300, maximum: 599 }), { minItems: 1, description: 'statuses' }),
          to: Type.String({ description: 'a path of this site, @name of a route, or an address to redirect to; with variables' }),
          status: Type.Optional(
            Type.Union([Type.Integer({ minimum: 200, maximum: 599 }), Type.Literal('target')], {
              description: "Status sent; `target`: that of the page. Default: the error's.",
            }),
          ),
        },
        'What is sent instead of an error.',
      ),
      { description: "Pages for errors. Default: the site's." },
    ),
  ),
  compress: Type.Optional(
    Type.Union(
      [
        Type.Boolean(),
        closed(
          {
            encodings: Type.Optional(Type.Array(words(['br', 'gzip', 'zstd'], 'encoding'), { description: 'Default: [br, gzip].' })),
            types: Type.Optional(
              Type.Array(Type.String(), { description: 'Media types. Default: texts, JSON, JavaScript, XML, SVG, WASM.' }),
            ),
            minSize: Type.Optional(size('smaller answers are left as they are', '1KB')),
            level: Type.Optional(Type.Integer({ minimum: 1, maximum: 9, description: '1 is fast, 9 is small. Default: 4.' })),
            proxied: Type.Optional(
              Type.Array(
                words(
                  ['expired', 'no-cache', 'no-store', 'private', 'no_last_modified', 'no_etag', 'auth'],
                  "reason, as nginx's gzip_proxied",
                ),
                { description: 'Compress for requests with a Via header only for these reasons. Default: like all others.' },
              ),
            ),
            http10: Type.Optional(Type.Boolean({ description: 'Compress for HTTP/1.0 too. Default: false.' })),
          },
          'What to compress.',
        ),
      ],
      { description: "Compress answers for clients that take it. Default: the site's, else false." },
    ),
  ),
  log: Type.Optional(
    Type.Union([Type.Literal(false), logShape, Type.Array(logShape)], { description: "Access logs. Default: the site's." }),
  ),
  rate: Type.Optional(
    Type.Union([Type.String(), Type.Array(rateShape)], {
      description: 'Limits of requests: 10/s for each client address, or a list. Default: none.',
    }),
  ),
  connections: Type.Optional(
    Type.Union([Type.Integer({ minimum: 0 }), Type.Array(connectionsShape)], {
      description: 'Limits of requests under way for each client address, or a list. Default: none.',
    }),
  ),
  accessExcept: Type.Optional(accessExceptShape),
};

const fields = {
  path: Type.Optional(
    Type.String({
      description:
        'What it answers: `/prefix` (longest wins), `= /exact`, `^~ /prefix` (before regular expressions), `~ regex`, `~* regex` (any case), `@name` (only from within). Default: /.',
    }),
  ),
  internal: Type.Optional(
    Type.Boolean({ description: 'Answers only what errorPages, try or X-Accel-Redirect send here. Default: false.' }),
  ),
  ...action,
  try: Type.Optional(
    Type.Array(Type.String(), {
      minItems: 2,
      description:
        'Files looked for in turn below root or files, with variables; the last entry is where to go when there is none: a path, @name or =404.',
    }),
  ),
  ...guarding,
  ...answering,
  ...proxying,
  ...filing,
};

/** A route whose steps are `Step`: see `RouteSource` in step.ts, where the two shapes that hold each other meet. */
export type RouteWith<Step> = Static<ReturnType<typeof Type.Object<typeof fields>>> & {
  steps?: Step[];
  routes?: RouteWith<Step>[];
};

export const routeShape = closed(
  {
    ...fields,
    steps: Type.Optional(listOf<unknown>('step', 'Taken before anything else, in turn.')),
    routes: Type.Optional(listOf<unknown>('route', 'Routes looked at once this one is the best match.')),
  },
  'What answers a path: exactly one of service, upstream, files, root, file, redirect, respond, counters.',
);

/** What a site says for all its routes. */
export const sharedByRoutes = {
  maxBody: answering.maxBody,
  addHeaders: answering.addHeaders,
  errorPages: answering.errorPages,
  compress: answering.compress,
  log: answering.log,
  charset: filing.charset,
  rate: answering.rate,
  connections: answering.connections,
  ...guarding,
};
