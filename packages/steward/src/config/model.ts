/**
 * The configuration after reading: defaults filled in, templates replaced, paths absolute, units as numbers. Plain data;
 * the rooms below take their part of it and need no other source.
 */
import type { SignalName } from './signals.ts';

export type { SignalName };

export interface Config {
  readonly name: string;
  /** In the order of the files. Ids are unique. */
  readonly instances: readonly InstanceSpec[];
  readonly sites: readonly SiteSpec[];
  readonly gateway: GatewaySpec;
}

/** One process to keep running. */
export interface InstanceSpec {
  /** What people and programs call it: `web` for the only instance of a group of that name, else `group:name`. */
  readonly id: string;
  readonly service: string;
  readonly group: string;
  readonly name: string;
  readonly number: number;
  readonly priority: number;
  readonly autostart: boolean;
  /** Services that must be ready before it starts. */
  readonly after: readonly string[];
  /** Executable and arguments; never holds a secret. */
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Names in `env` whose value holds a secret: shown nowhere. */
  readonly secretEnv: readonly string[];
  readonly inheritEnv: boolean;
  readonly user?: string;
  readonly userGroup?: string;
  readonly groups?: readonly string[];
  /** File mode mask as a number, or undefined to leave Steward's own. */
  readonly umask?: number;
  readonly restart: 'always' | 'on-failure' | 'never';
  readonly expectedExitCodes: readonly number[];
  readonly ready?: ReadySpec;
  readonly upAfterMs: number;
  readonly startRetries: number | 'forever';
  readonly backoff: BackoffSpec;
  readonly stop: StopSpec;
  readonly stdout: OutputSpec;
  readonly stderr: OutputSpec | 'stdout';
  readonly endpoint?: Endpoint;
}

/** Where an instance can be reached. */
export type Endpoint =
  | { readonly kind: 'unix'; readonly path: string /** made by Steward, which removes it too */; readonly owned: boolean }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

export type ReadySpec = {
  readonly timeoutMs: number;
  /** Pause between looks; undefined backs off from 100 ms to 1 s. */
  readonly everyMs?: number;
} & (
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'http'; readonly url: string; readonly socketPath?: string }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'log'; readonly pattern: string }
  | { readonly kind: 'notify' }
);

export type BackoffSpec =
  | { readonly kind: 'linear' }
  | {
      readonly kind: 'exponential';
      readonly firstMs: number;
      readonly baseMs: number;
      readonly factor: number;
      readonly maxMs: number;
      readonly jitter: number;
      readonly resetAfterMs: number;
    };

export interface StopSpec {
  readonly signal: SignalName;
  readonly timeoutMs: number;
  readonly scope: 'group' | 'process';
  readonly killScope: 'group' | 'process';
}

export interface OutputSpec {
  /** Absolute path; undefined is Steward's own folder; `none` keeps no log. */
  readonly file?: string | 'none';
  /** 0 never rotates. */
  readonly maxBytes: number;
  readonly keep: number;
}

export interface GatewaySpec {
  /** Undefined: one per processor. */
  readonly workers?: number;
  readonly user?: string;
  readonly headerTimeoutMs: number;
  /** Silence of a client that owes more of its body, or takes nothing of its answer. */
  readonly stallTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly accessLog: boolean;
}

/** An address to listen on. `host` undefined is every address, IPv6 and IPv4. */
export interface ListenSpec {
  readonly host?: string;
  readonly port: number;
}

export interface SiteSpec {
  /** Lowercase; exact, `*.example.com`, `example.*` or `~regex`. Empty answers what no other site does. */
  readonly hosts: readonly string[];
  /** Answers unknown hosts on its ports. */
  readonly isDefault: boolean;
  readonly listen: readonly ListenSpec[];
  readonly tls?: 'internal' | CertificateFiles;
  /** Plain HTTP listeners that redirect to the first of `listen`. */
  readonly redirectFrom: readonly ListenSpec[];
  /** What $server_name stands for. */
  readonly serverName: string;
  readonly routes: readonly RouteSpec[];
}

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  readonly chain?: string;
}

export interface RouteSpec {
  readonly match: PathMatch;
  /** 0 sets no limit. */
  readonly maxBodyBytes: number;
  readonly addHeaders: Readonly<Record<string, string>>;
  readonly action: RouteAction;
}

export type PathMatch =
  /** `stop`: nginx's `^~`, wins over regular expressions when it is the longest prefix. */
  | { readonly kind: 'prefix'; readonly path: string; readonly stop: boolean }
  | { readonly kind: 'exact'; readonly path: string }
  | { readonly kind: 'regex'; readonly pattern: string; readonly anyCase: boolean };

export type RouteAction =
  | ProxyAction
  | FilesAction
  | { readonly kind: 'redirect'; readonly to: string; readonly status: number }
  | { readonly kind: 'respond'; readonly status: number; readonly body: string };

export interface ProxyAction {
  readonly kind: 'proxy';
  /** The instances of a service, or fixed servers under a name of their own. */
  readonly target:
    | { readonly kind: 'service'; readonly service: string }
    | { readonly kind: 'servers'; readonly name: string; readonly servers: readonly ServerSpec[] };
  readonly scheme: 'http' | 'https';
  readonly upstreamPath?: string;
  readonly setHeaders: Readonly<Record<string, string>>;
  readonly forwardedHeaders: 'set' | 'append' | 'off';
  /** Host header for the upstream: `keep` the client's, the `upstream`'s own address, or a text. */
  readonly upstreamHost: string;
  readonly rewriteLocation: readonly { readonly from: string; readonly to: string }[];
  readonly buffering: boolean;
  readonly connectTimeoutMs: number;
  readonly readTimeoutMs: number;
}

export interface FilesAction {
  readonly kind: 'files';
  /** Absolute. */
  readonly folder: string;
  /** `strip` takes the matched prefix off the path first (alias), `append` appends the whole path (root). */
  readonly mapping: 'strip' | 'append';
  readonly index: readonly string[];
  readonly fallback?: string;
}

export interface ServerSpec {
  readonly address: Address;
  readonly weight: number;
  readonly maxFails: number;
  readonly failTimeoutMs: number;
  readonly backup: boolean;
  readonly down: boolean;
}

export type Address =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };
