/**
 * Sites as the gateway serves them, after reading: defaults filled in, paths absolute, units as numbers. Plain data.
 *
 * A `Text` may hold variables of nginx's names (`$host`, `${request_id}`; all of them are in variable-names.ts), filled in
 * for each request.
 */

/** A text that may hold `$variables`. */
export type Text = string;

/** What all sites share. */
export interface GatewaySpec {
  /** Undefined: one per processor. */
  readonly workers?: number;
  readonly user?: string;
  readonly headerTimeoutMs: number;
  /** Silence of a client that owes more of its body, or takes nothing of its answer. */
  readonly stallTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Request line and headers together. */
  readonly maxHeaderBytes: number;
  /** HTTP/2 for clients that ask for it, on ports with TLS. */
  readonly http2: boolean;
  /** The log of sites that name none. */
  readonly accessLog: boolean;
  readonly variables: readonly VariableSpec[];
  readonly zones: Readonly<Record<string, ZoneSpec>>;
  /** All of `upstreams:`: a text worked out for a request may name any of them. */
  readonly upstreams: readonly UpstreamSpec[];
  readonly acme?: AcmeSpec;
}

/** A variable made from others (nginx's `map`): the first case that fits, else `byDefault`. */
export interface VariableSpec {
  /** Without `$`. */
  readonly name: string;
  readonly from: Text;
  /** Read `from` as a host name: `*.example.com` and `example.*` fit, letter case counts for nothing. */
  readonly hostnames: boolean;
  readonly cases: readonly { readonly when: ValueMatch; readonly to: Text }[];
  readonly byDefault: Text;
}

export type ValueMatch =
  /** Any letter case. */
  { readonly kind: 'exact'; readonly text: string } | RegexSpec;

export interface RegexSpec {
  readonly kind: 'regex';
  readonly pattern: string;
  readonly anyCase: boolean;
}

/** What requests or connections are counted by. Requests whose `key` is empty are not counted. */
export type ZoneSpec =
  | { readonly kind: 'rate'; readonly key: Text; readonly perSecond: number }
  | { readonly kind: 'connections'; readonly key: Text };

export interface AcmeSpec {
  readonly directory: string;
  readonly email?: string;
  /** PEM file to trust for the directory, absolute. */
  readonly directoryCa?: string;
  readonly renewBeforeMs?: number;
}

/** An address to listen on. `host` undefined is every address, IPv6 and IPv4. */
export interface ListenSpec {
  readonly host?: string;
  readonly port: number;
  /** Each connection begins with a PROXY protocol header (version 1 or 2) that names the client. */
  readonly proxyProtocol?: boolean;
}

export interface SiteSpec {
  /** Lowercase; exact, `*.example.com`, `example.*` or `~regex`. Empty answers what no other site does. */
  readonly hosts: readonly string[];
  /** Answers unknown hosts on its ports. */
  readonly isDefault: boolean;
  readonly listen: readonly ListenSpec[];
  readonly tls?: 'internal' | 'acme' | CertificateFiles;
  readonly tlsVersions?: TlsVersions;
  readonly clientCertificates?: ClientCertificates;
  /** Plain HTTP listeners that redirect to the first of `listen`. */
  readonly redirectFrom: readonly ListenSpec[];
  /** What $server_name stands for. */
  readonly serverName: string;
  readonly realAddress?: RealAddressSpec;
  readonly maintenance?: MaintenanceSpec;
  /** Run before a route is looked for (nginx's server-level rewrite module). */
  readonly steps: readonly StepSpec[];
  readonly routes: readonly RouteSpec[];
  /** For requests that no route answers: error pages, headers and log of the site itself. */
  readonly rest: RouteSpec;
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  readonly chain?: string;
}

export interface TlsVersions {
  readonly least: 'TLSv1.2' | 'TLSv1.3';
}

/** Certificates that clients show (mTLS). */
export interface ClientCertificates {
  /** PEM file of the authorities, absolute. */
  readonly ca: string;
  /** `require`: others get 400. `optional`: $ssl_client_verify says what was shown. */
  readonly mode: 'require' | 'optional';
}

/** Proxies in front whose word about the client's address is believed. */
export interface RealAddressSpec {
  /** Addresses, CIDR ranges or `unix:`. */
  readonly from: readonly string[];
  /** Lowercase name of a header, or `proxy-protocol`. */
  readonly header: string;
  /** Look past trusted addresses in the header, from the right. */
  readonly recursive: boolean;
}

/** Answer everything with 503 and a page, but for these clients. */
export interface MaintenanceSpec {
  /** HTML file, absolute; undefined sends the built-in page. */
  readonly page?: string;
  readonly allow: readonly string[];
  readonly retryAfterSeconds: number;
}

export interface RouteSpec {
  readonly match: PathMatch;
  /** Nested: looked at once this route is the best match (nginx's nested locations). */
  readonly routes: readonly RouteSpec[];
  /** Answers only what was sent here from within (error pages, try files, X-Accel-Redirect), else 404. */
  readonly internal: boolean;
  readonly steps: readonly StepSpec[];
  readonly access: AccessSpec;
  /** Rules in place of `access` for other methods than these (nginx's limit_except), complete; GET stands for HEAD too. */
  readonly accessExcept?: { readonly methods: readonly string[]; readonly access: AccessSpec };
  readonly rates: readonly RateSpec[];
  readonly connections: readonly ConnectionsSpec[];
  /** 0 sets no limit. */
  readonly maxBodyBytes: number;
  readonly addHeaders: readonly AddedHeader[];
  readonly expires: ExpiresSpec;
  readonly errorPages: readonly ErrorPageSpec[];
  readonly compress?: CompressSpec;
  readonly logs: readonly AccessLogSpec[];
  /** Files looked for before the action; none of them there leads to `last`. */
  readonly tries?: TriesSpec;
  /** The media types of texts that are answered without one of their own, by the path; undefined: text/plain. */
  readonly answerTypes?: MediaTypes;
  /** What built-in types of texts name as their charset; undefined: utf-8, false: none. */
  readonly charset?: string | false;
  readonly action: RouteAction;
}

/** Media types by the extension of a path. */
export interface MediaTypes {
  /** By extension (without dot), before the built-in ones. */
  readonly types: Readonly<Record<string, string>>;
  /** Whether the built-in ones count; undefined: yes. */
  readonly builtInTypes?: boolean;
  /** For extensions nobody knows. */
  readonly defaultType: string;
  /** What built-in types of texts name as their charset; undefined: utf-8, false: none. */
  readonly charset?: string | false;
}

export type PathMatch =
  /** `stop`: nginx's `^~`, wins over regular expressions when it is the longest prefix. */
  | { readonly kind: 'prefix'; readonly path: string; readonly stop: boolean }
  | { readonly kind: 'exact'; readonly path: string }
  | RegexSpec
  /** Reached by its name alone; it stands here without the `@`. */
  | { readonly kind: 'named'; readonly name: string };

/** One instruction of nginx's rewrite module. */
export type StepSpec =
  | { readonly kind: 'set'; readonly variable: string; readonly value: Text }
  | {
      readonly kind: 'rewrite';
      readonly pattern: RegexSpec;
      readonly to: Text;
      /** `next` goes on with the next step; `last` looks for the route again; `break` stays; the others answer 302 and 301. */
      readonly flag: 'next' | 'last' | 'break' | 'redirect' | 'permanent';
    }
  | { readonly kind: 'return'; readonly answer: AnswerSpec }
  | { readonly kind: 'break' }
  /** `route`: what answers instead of the route around it (its own steps are not run) once the test holds. */
  | { readonly kind: 'if'; readonly test: TestSpec; readonly steps: readonly StepSpec[]; readonly route?: RouteSpec };

export type TestSpec =
  /** True unless empty or "0". */
  | { readonly kind: 'truth'; readonly text: Text }
  | { readonly kind: 'equals'; readonly left: Text; readonly right: Text; readonly not: boolean }
  | { readonly kind: 'matches'; readonly left: Text; readonly pattern: RegexSpec; readonly not: boolean }
  | { readonly kind: 'file'; readonly path: Text; readonly is: 'file' | 'folder' | 'any' | 'executable'; readonly not: boolean };

/** `to` makes it a redirect. Status 444 closes the connection without an answer. */
export interface AnswerSpec {
  readonly status: number;
  readonly to?: Text;
  readonly body?: Text;
}

export interface AccessSpec {
  /** Whether `rules` and the two kinds of authentication must all agree, or one is enough. */
  readonly satisfy: 'all' | 'any';
  /** The first that fits decides; none means allowed. `who`: `all`, an address, a CIDR range, `unix:`. */
  readonly rules: readonly { readonly allow: boolean; readonly who: string }[];
  readonly basic?: BasicSpec;
  /** A request to this place of the same site decides: 2xx lets in, 401 and 403 do not. */
  readonly request?: {
    readonly uri: Text /** Set after it was answered; may use $upstream_http_NAME. */;
    readonly set: Readonly<Record<string, Text>>;
  };
}

export interface BasicSpec {
  readonly realm: Text;
  /** Absolute path of a file of `name:hash` lines, as htpasswd writes it; read again when it changes. */
  readonly users: Text;
}

export interface RateSpec {
  readonly zone: string;
  /** Requests over the rate that may wait. */
  readonly burst: number;
  /** How many of those are not even delayed; `all` is nginx's nodelay. */
  readonly undelayed: number | 'all';
  readonly status: number;
}

export interface ConnectionsSpec {
  readonly zone: string;
  readonly most: number;
  readonly status: number;
}

export interface AddedHeader {
  readonly name: string;
  /** An empty value adds nothing. */
  readonly value: Text;
  /** Also on errors; else on 200, 201, 204, 206, 301-304, 307 and 308 alone. */
  readonly always: boolean;
}

export type ExpiresSpec =
  | { readonly kind: 'off' }
  /** Expires and Cache-Control by seconds from now, or from the file's time; negative ones mean no-cache. */
  | { readonly kind: 'seconds'; readonly seconds: number; readonly from: 'now' | 'modified' }
  /** At a time of day, in seconds, of the machine's zone. */
  | { readonly kind: 'daily'; readonly second: number }
  | { readonly kind: 'epoch' }
  | { readonly kind: 'max' }
  /** A text with variables that gives one of nginx's forms. */
  | { readonly kind: 'text'; readonly text: Text };

export interface ErrorPageSpec {
  readonly statuses: readonly number[];
  /** A path of this site, `@name`, or an address to redirect to. */
  readonly to: Text;
  /** Status sent instead; `target` sends what `to` answers with; undefined keeps the first. */
  readonly status?: number | 'target';
}

export interface CompressSpec {
  /** In the order of preference. */
  readonly encodings: readonly ('br' | 'gzip' | 'zstd')[];
  /** Media types without parameters; `*` is all. */
  readonly types: readonly string[];
  readonly leastBytes: number;
  /** 1 (fast) to 9 (small). */
  readonly level: number;
  /** Answers to requests that came through a proxy (Via) are compressed only for these reasons; undefined: like all others. */
  readonly proxied?: readonly ProxiedReason[];
  /** For HTTP/1.0 too, whose clients are mostly proxies. */
  readonly http10?: boolean;
}

/** What makes an answer fit to be compressed for a proxy: what it says to caches, or what it does not say (nginx's gzip_proxied). */
export type ProxiedReason = 'expired' | 'no-cache' | 'no-store' | 'private' | 'no_last_modified' | 'no_etag' | 'auth';

export interface AccessLogSpec {
  /** Absolute; undefined writes to the gateway's own log. */
  readonly file?: Text;
  /** The line: a text with variables, or one of the named forms. */
  readonly format:
    | { readonly kind: 'steward' | 'combined' | 'json' }
    | { readonly kind: 'text'; readonly text: Text; readonly escape: 'default' | 'json' | 'none' };
  /** Logged unless this comes out empty or "0". */
  readonly when?: Text;
  /** 0 never rotates. */
  readonly maxBytes: number;
  readonly keep: number;
}

export interface TriesSpec {
  readonly folder: Text;
  /** See `FilesAction.mapping`. */
  readonly mapping: FilesAction['mapping'];
  /** Paths to look for; one that ends with / is a folder. */
  readonly paths: readonly Text[];
  readonly last:
    | { readonly kind: 'path'; readonly to: Text }
    | { readonly kind: 'named'; readonly name: string }
    | { readonly kind: 'status'; readonly status: number };
}

export type RouteAction =
  | ProxyAction
  | FilesAction
  | { readonly kind: 'answer'; readonly answer: AnswerSpec /** Of a body; undefined: text/plain. */; readonly contentType?: Text }
  /** Counters of the gateway: nginx's stub_status page, or all of them as JSON. */
  | { readonly kind: 'status'; readonly form: 'stub' | 'json' };

export interface ProxyAction {
  readonly kind: 'proxy';
  readonly target: TargetSpec;
  /** Sends a share of the clients elsewhere. */
  readonly canary?: CanarySpec;
  readonly scheme: 'http' | 'https';
  /** How an upstream's certificate is checked; undefined: not at all. */
  readonly verify?: { /** PEM file, absolute; undefined: the system's authorities. */ readonly ca?: string; readonly name?: Text };
  /**
   * What the path becomes: `keep` it as sent (unless it was rewritten), `replace` the matched prefix, or the `whole` path and
   * query given as a text with variables.
   */
  readonly path: { readonly kind: 'keep' } | { readonly kind: 'replace' | 'whole'; readonly to: Text };
  readonly method?: string;
  /** An empty value removes the header. */
  readonly setHeaders: readonly { readonly name: string; readonly value: Text }[];
  readonly passHeaders: boolean;
  readonly passBody: boolean;
  readonly forwardedHeaders: 'set' | 'append' | 'off';
  /** Send X-Request-Id: the client's from a trusted proxy, else $request_id. */
  readonly requestId: boolean;
  /** Continue or begin a W3C trace: send `traceparent`. */
  readonly traceparent: boolean;
  /** Host header for the upstream: `keep` the client's, the `upstream`'s own address, or a text. */
  readonly upstreamHost: Text;
  readonly rewriteLocation: readonly LocationRule[];
  readonly rewriteCookies: readonly { readonly attribute: 'domain' | 'path'; readonly from: string | RegexSpec; readonly to: Text }[];
  /** Lowercase names of the upstream's headers that are not passed on. */
  readonly hideHeaders: readonly string[];
  /** Use `errorPages` for answers of the upstream too. */
  readonly interceptErrors: boolean;
  readonly buffering: boolean;
  readonly connectTimeoutMs: number;
  readonly readTimeoutMs: number;
  readonly sendTimeoutMs: number;
  readonly retry: RetrySpec;
  /** How long a request waits for a server to come up before it is refused. */
  readonly holdMs: number;
}

export type LocationRule = { readonly from: Text | RegexSpec; readonly to: Text };

export type TargetSpec =
  | UpstreamSpec
  /** Worked out for each request: the name of an upstream in the table, `host:port`, or a whole URL, whose scheme and path then count. */
  | { readonly kind: 'text'; readonly text: Text };

/** The instances of a service, or fixed servers, under a name of their own. */
export type UpstreamSpec = BalanceSpec &
  /** `name`: that of its entry under `upstreams:`, when it has one. */
  (
    | { readonly kind: 'service'; readonly service: string; readonly name?: string }
    | { readonly kind: 'servers'; readonly name: string; readonly servers: readonly ServerSpec[] }
  );

export interface BalanceSpec {
  readonly policy: BalancePolicy;
  readonly sticky?: StickySpec;
  readonly check?: CheckSpec;
  /** A server that comes (back) in gets its full share only after this long. */
  readonly slowStartMs: number;
  /** Idle connections kept to each server. */
  readonly keepIdle: number;
  readonly keepIdleMs: number;
}

export type BalancePolicy =
  | { readonly kind: 'round-robin' }
  | { readonly kind: 'least-connections' }
  /** `two`: the one of two random servers with fewer requests under way. */
  | { readonly kind: 'random'; readonly two: boolean }
  | { readonly kind: 'hash'; readonly key: Text; readonly consistent: boolean }
  /** nginx's ip_hash: the first three bytes of an IPv4 address, the whole of an IPv6 one. */
  | { readonly kind: 'client-address' };

/** A cookie that brings a client back to its server. */
export interface StickySpec {
  readonly cookie: string;
  readonly path: string;
  /** Undefined: until the browser ends. */
  readonly maxAgeSeconds?: number;
  readonly secure: boolean;
  readonly sameSite?: 'lax' | 'strict' | 'none';
}

/** Looks at each server at times, whatever requests find. */
export interface CheckSpec {
  readonly path: string;
  readonly host?: string;
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** In a row, to be taken in and out. */
  readonly passes: number;
  readonly failures: number;
  /** Statuses that pass: least and most. */
  readonly statuses: readonly [number, number];
  /** Part of the body. */
  readonly body?: string;
}

export interface CanarySpec {
  readonly target: UpstreamSpec;
  /** Share of the clients, 0 to 100. */
  readonly percent: number;
  /** A cookie that keeps a client on its side; its values are `canary` and `main`. */
  readonly cookie: string;
}

export type RetryCause = 'error' | 'timeout' | 'invalid-header' | 'non-idempotent' | 500 | 502 | 503 | 504 | 403 | 404 | 429;

export interface RetrySpec {
  readonly on: readonly RetryCause[];
  /** Servers asked at most; 0: each once. */
  readonly tries: number;
  /** From the first try; 0 sets no limit. */
  readonly timeoutMs: number;
}

export interface FilesAction extends MediaTypes {
  readonly kind: 'files';
  /** Absolute once its variables are filled in. */
  readonly folder: Text;
  /** `strip` takes the matched prefix off the path first (alias), `append` appends the whole path (root), `whole` is the file itself. */
  readonly mapping: 'strip' | 'append' | 'whole';
  readonly index: readonly Text[];
  /** Sent when no file matches. */
  readonly fallback?: string;
  /** Send `NAME.br`, `NAME.zst`, `NAME.gz` when it is there and the client takes it. */
  readonly precompressed: readonly ('br' | 'zstd' | 'gzip')[];
  /** Which dates of If-Modified-Since get 304: the file's own (undefined), also later ones, or none. */
  readonly ifModifiedSince?: 'exact' | 'before' | 'off';
}

export interface ServerSpec {
  readonly address: Address;
  /** As the configuration writes it, when that is not `host:port` (nginx's `server 10.0.0.1;`): consistent hashing counts on it. */
  readonly written?: string;
  readonly weight: number;
  /** Requests under way at once; 0 sets no limit. */
  readonly maxConnections: number;
  readonly maxFails: number;
  readonly failTimeoutMs: number;
  readonly backup: boolean;
  readonly down: boolean;
  /** Serves only those that come back by their sticky cookie. */
  readonly drain: boolean;
}

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/** Values for the fields of a route that says nothing of them. */
export const plainRoute = {
  routes: [],
  internal: false,
  steps: [],
  access: { satisfy: 'all', rules: [] },
  rates: [],
  connections: [],
  addHeaders: [],
  expires: { kind: 'off' },
  errorPages: [],
  logs: [],
} as const satisfies Partial<RouteSpec>;

/** A server that nothing is said of but its address. */
export const plainServer = {
  weight: 1,
  maxConnections: 0,
  maxFails: 1,
  failTimeoutMs: 10_000,
  backup: false,
  down: false,
  drain: false,
} as const satisfies Omit<ServerSpec, 'address'>;

/** How a balance behaves unless it says otherwise. */
export const plainBalance = {
  policy: { kind: 'round-robin' },
  slowStartMs: 0,
  keepIdle: 64,
  keepIdleMs: 60_000,
} as const satisfies BalanceSpec;

/** What sites share when no file says anything of it. */
export const plainGateway: GatewaySpec = {
  headerTimeoutMs: 60_000,
  stallTimeoutMs: 60_000,
  idleTimeoutMs: 75_000,
  maxHeaderBytes: 16_384,
  http2: true,
  accessLog: true,
  variables: [],
  zones: {},
  upstreams: [],
};
