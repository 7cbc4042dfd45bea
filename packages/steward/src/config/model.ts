/**
 * The configuration after reading: defaults filled in, templates replaced, paths absolute, units as numbers. Plain data;
 * the rooms below take their part of it and need no other source.
 */
import type { SignalName } from './signals.ts';
import type { GatewaySpec, SiteSpec } from './site-model.ts';

export * from './site-model.ts';
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
  | {
      readonly kind: 'unix';
      readonly path: string;
      /** made by Steward, which removes it too */
      readonly owned: boolean;
      readonly shared?: SharedSpec;
    }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly shared?: SharedSpec };

/** Steward listens there itself, and gives the socket to all instances of the service; they have the same endpoint. */
export interface SharedSpec {
  /** IP address to listen on; undefined is every address, IPv6 and IPv4, and always so for a unix socket. */
  readonly host?: string;
  /** Connections that may wait to be accepted. */
  readonly backlog: number;
}

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
