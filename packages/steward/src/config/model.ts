/**
 * The configuration after reading: defaults filled in, templates replaced, paths absolute, units as numbers. Plain data;
 * the rooms below take their part of it and need no other source.
 */
import type { SignalName } from './signals.ts';
import type { CertificateFiles, GatewaySpec, ListenSpec, SiteSpec } from './site-model.ts';
import type { SyslogSpec } from './syslog.ts';

export * from './site-model.ts';
export type { SignalName };

export interface Config {
  readonly name: string;
  /** In the order of the files. Ids are unique. */
  readonly instances: readonly InstanceSpec[];
  readonly sites: readonly SiteSpec[];
  readonly gateway: GatewaySpec;
  /** What is done once after each boot of the machine; undefined when no file says so. */
  readonly boot?: BootSpec;
  /** Where Steward itself is reached; undefined when only over the control socket. */
  readonly api?: ApiSpec;
  /** How long entries of the audit trail are kept, 0 for ever; undefined: `standardAuditMs`. */
  readonly auditKeepMs?: number;
  /** Where supervisorctl is answered. Addresses are unique. */
  readonly supervisorctl?: readonly SupervisorctlListener[];
}

/** Two years. */
export const standardAuditMs = 730 * 24 * 60 * 60 * 1000;

export interface ApiSpec {
  readonly listen: readonly ListenSpec[];
  /** Names for the certificate; [] stands for the machine's own. */
  readonly hosts: readonly string[];
  readonly tls: 'internal' | 'none' | CertificateFiles;
  /** Of one address. */
  readonly requestsPerMinute: number;
}

/** A name and a password to be given; the password may be `{SHA}` with its SHA-1 in hexadecimal digits. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
}

/** A place where supervisorctl is answered; without credentials, whoever reaches it is. */
export type SupervisorctlListener = UnixListener | TcpListener;

export interface UnixListener {
  readonly kind: 'unix';
  /** Absolute path. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Whose file it is, by name or number; undefined is Steward's own. */
  readonly user?: string;
  readonly group?: string;
  readonly credentials?: Credentials;
}

export interface TcpListener {
  readonly kind: 'tcp';
  /** Undefined is every address. */
  readonly host?: string;
  readonly port: number;
  readonly credentials?: Credentials;
}

export interface BootSpec {
  /** All steps, in the order of the files. Names are unique. */
  readonly steps: readonly BootStepSpec[];
  /** Which host runs which of them, in the order of the files; [] when every host runs all. */
  readonly lists: readonly BootList[];
}

export interface BootList {
  /** A host name, a pattern with `*`, or `default`. */
  readonly host: string;
  /** Names of steps. */
  readonly steps: readonly string[];
}

export interface BootStepSpec {
  readonly name: string;
  readonly action: BootAction;
  /** Of one try. */
  readonly timeoutMs: number;
  /** Tries after the first that failed. */
  readonly retries: number | 'forever';
  readonly retryEveryMs: number;
  readonly onFailure: 'stop' | 'continue' | 'alert';
  /** After a first try that failed the list goes on, and the step is tried again behind it. */
  readonly background: boolean;
}

export type BootAction =
  /** An instance that runs once. */
  | { readonly kind: 'run'; readonly spec: InstanceSpec }
  | { readonly kind: 'service'; readonly services: readonly string[] }
  | { readonly kind: 'mount'; readonly mount: MountSpec }
  | { readonly kind: 'wait'; readonly wait: WaitSpec };

export interface MountSpec {
  readonly source: string;
  /** Absolute path. */
  readonly at: string;
  readonly type?: string;
  readonly options: readonly string[];
}

export type WaitSpec =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'mount'; readonly path: string };

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
  /** When it is finally dead, Steward stops everything and ends with its exit code. */
  readonly critical?: true;
  /** It is a part of Steward: another version of its command waits for its next start. */
  readonly ownProgram?: true;
  /** Executable and arguments; never holds a secret. */
  readonly command: readonly [string, ...string[]];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Names in `env` whose value holds a secret: shown nowhere. */
  readonly secretEnv: readonly string[];
  /** Stored secrets it uses, as written (`db`, `db.previous`), each with a mark of its value; '' when that cannot be had. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** Secrets it gets as files: base64, and the variable that gets the path. Shown nowhere. */
  readonly secretFiles?: readonly { readonly variable: string; readonly content: string }[];
  /** Why it cannot be started now: a stored secret that cannot be had. */
  readonly lacks?: string;
  /** It is a record, with hashes for secret values: nothing can be started by it. */
  readonly masked?: true;
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
  readonly hooks?: HooksSpec;
  /** Sent by a reload; undefined replaces the instances one after the other. */
  readonly reloadSignal?: SignalName;
  /** An apply replaces the instances one after the other. */
  readonly rolls?: true;
  /** In no file: a copy that serves while the instances are replaced, or a command run once in the service's environment. */
  readonly temporary?: 'stand-in' | 'run';
  readonly stdout: OutputSpec;
  readonly stderr: OutputSpec | 'stdout';
  readonly endpoint?: Endpoint;
  readonly limits?: LimitsSpec;
  readonly processLimits?: ProcessLimitsSpec;
  /** Niceness, -20 to 19. */
  readonly nice?: number;
  readonly io?: IoSpec;
  /** Added to what the kernel thinks of it when it must kill something, -1000 to 1000. */
  readonly oomScore?: number;
}

/** What the whole tree of a run may use; what is left out has no limit. */
export interface LimitsSpec {
  /** Bytes. */
  readonly memory?: number;
  /** Bytes from which it is slowed down, where the system can do that, or told. */
  readonly memoryHigh?: number;
  /** Processors: 1.5 is one and a half. */
  readonly cpu?: number;
  /** Processes and threads. */
  readonly tasks?: number;
}

/** Limits of setrlimit(2), soft and hard at once, for each process of a run by itself. */
export interface ProcessLimitsSpec {
  readonly openFiles?: number | 'unlimited';
  readonly coreSize?: number | 'unlimited';
  readonly fileSize?: number | 'unlimited';
  readonly lockedMemory?: number | 'unlimited';
  readonly stack?: number | 'unlimited';
}

export interface IoSpec {
  readonly class: 'idle' | 'best-effort' | 'realtime';
  /** 0 is served first, 7 last; undefined for idle. */
  readonly priority?: number;
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
  /** Before the first signal; undefined for what the gateway does not reach by an address of its own. */
  readonly drainMs?: number;
}

export const hookNames = ['beforeStart', 'afterReady', 'beforeStop', 'afterExit'] as const;
export type HookName = (typeof hookNames)[number];

/** Commands at moments in an instance's life. */
export type HooksSpec = { readonly [Name in HookName]?: readonly [string, ...string[]] } & { readonly timeoutMs: number };

export interface OutputSpec {
  /** Absolute path; undefined is Steward's own folder; `none` keeps no log. */
  readonly file?: string | 'none';
  /** 0 never rotates. */
  readonly maxBytes: number;
  readonly keep: number;
  readonly rotate?: 'hourly' | 'daily' | 'weekly';
  /** How rotated files are packed; undefined is gzip. */
  readonly compress?: 'gzip' | 'zstd' | 'none';
  /** The most that its rotated files may take. */
  readonly totalBytes?: number;
  /** Logs of one pool have a cap for the rotated files of all of them. */
  readonly pool?: { readonly name: string; readonly bytes: number };
  readonly syslog?: SyslogSpec;
}
