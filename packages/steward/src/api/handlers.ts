/** What the operations are made of: their handlers' types, and what they may ask of the rooms. */
import type { BootInfo } from '@steward/sdk/contract/boot';
import type { ConfigTexts } from '@steward/sdk/contract/config';
import type { OperationName, Operations } from '@steward/sdk/contract/contract';
import type { SiteInfo, Traffic } from '@steward/sdk/contract/gateway';
import type { Answer, Input, Operation } from '@steward/sdk/contract/operation';
import type { Right } from '@steward/sdk/contract/rights';
import type { Plan, Status } from '@steward/sdk/contract/system';
import type { Audit } from '../audit/audit.ts';
import type { BootRequest } from '../boot/boot.ts';
import type { InstanceSpec } from '../config/model.ts';
import type { ConfigText } from '../config/read.ts';
import type { ConfigHistory } from '../config-history.ts';
import type { Identity, Subject } from '../identity/identity.ts';
import type { Journal } from '../journal.ts';
import type { Secrets } from '../secrets/secrets.ts';
import type { Supervisor } from '../supervisor/supervisor.ts';
import type { Bell } from './bell.ts';

export interface StreamItem<T> {
  /** What a reader goes on from. */
  readonly id?: string;
  readonly data: T;
}

/** Who asks, and from where. */
export interface Caller {
  readonly subject: Subject;
  /** An address, or `control socket`. */
  readonly from: string;
  /** The way it came: `control socket`, `https`, `supervisorctl`. */
  readonly via: string;
  /** Whether it is who it was still: what it showed may have ended, or been taken back. Undefined: for ever. */
  isGood?(): boolean;
  /** What a browser calls itself. */
  readonly agent?: string | undefined;
  /** The session it came with, by its name in lists. */
  readonly session?: string | undefined;
  /** The texts it means to change, as it knows them: the header If-Match. */
  readonly ifMatch?: string | undefined;
  /** Whether it has a right over a service. */
  may(right: Right, spec: Pick<InstanceSpec, 'service' | 'group'>): boolean;
}

export type Handler<O extends Operation> = O extends { stream: true }
  ? (input: Input<O>, caller: Caller, signal: AbortSignal) => AsyncGenerator<StreamItem<Answer<O>>>
  : (input: Input<O>, caller: Caller) => Answer<O> | Promise<Answer<O>>;

export type Handlers = { readonly [N in OperationName]: Handler<Operations[N]> };

/** What is asked about files: absolute paths, or none for the files of the last apply. */
export interface FilesRequest {
  readonly files?: readonly string[];
  readonly base?: string;
  readonly replace?: boolean;
}

/** The configuration as text. */
export interface Configuration {
  /** As it is on the disk. @throws StewardError when nothing was applied yet. */
  texts(): ConfigTexts;
  /** What `put` would do. */
  check(texts: readonly ConfigText[]): Promise<Plan>;
  /** Writes and applies; nothing is written when the texts have errors, or are no longer those of `ifMatch`. */
  put(texts: readonly ConfigText[], request: { readonly by: string; readonly ifMatch?: string; readonly replace?: boolean }): Promise<Plan>;
  readonly history: ConfigHistory;
  rollBack(version: number, request: { readonly by: string; readonly replace?: boolean }): Promise<Plan>;
}

/** Names of groups. */
export interface GroupChanges {
  readonly added: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
}

/** The configuration group by group, as supervisorctl has it. */
export interface Groups {
  /** Reads the files in force again, and says which groups differ from what runs. Rejects with a StewardError for files with errors. */
  reread(): Promise<GroupChanges>;
  /** The instances of the files as they were read last, in their order. */
  known(): readonly InstanceSpec[];
  /** Brings a group of the files as they were read last in force. */
  add(group: string): Promise<'added' | 'present' | 'unknown'>;
  /** Takes out a group of which nothing runs. */
  remove(group: string): Promise<'removed' | 'running' | 'unknown'>;
  /**
   * Stops everything but the gateway, applies the files anew and starts what they say. Resolves as soon as that is under way;
   * rejects with a StewardError for files with errors, and stops nothing then.
   */
  restart(by: string): Promise<void>;
  mood(): 'running' | 'restarting' | 'ending';
}

/** What the API may ask of the whole. */
export interface System {
  plan(request: FilesRequest): Promise<Plan>;
  /** `by` is who wants it. */
  apply(request: FilesRequest, by: string): Promise<Plan>;
  readonly configuration: Configuration;
  readonly groups: Groups;
  status(): Status;
  /**
   * Makes a service have another number of instances, given as such or as a difference (`+1`). Rejects with a StewardError for a
   * service that no file has, and for a number it cannot have.
   */
  scale(service: string, to: string): Promise<{ readonly from: number; readonly to: number; readonly written: number }>;
  /**
   * Does `set`, which sets a secret, between two applies; when that changed it and `restarts` names it, its services get it. `trouble`
   * says why they do not.
   */
  setSecret(
    set: () => { readonly version: number; readonly changed: boolean },
    restarts: string | undefined,
  ): Promise<{ readonly version: number; readonly changed: boolean; readonly restarted: string[]; readonly trouble?: string }>;
  authority(): Promise<{ certificate: string }>;
  boot(host: string | undefined): BootInfo;
  runBoot(request: BootRequest): Promise<BootInfo>;
  sites(): SiteInfo[];
  traffic(): Traffic;
  shutDown(): { stopping: number };
  /** Becomes another program, which takes over what runs. @throws StewardError when there is none, or the daemon is ending. */
  upgrade(program: { readonly node: string; readonly main: string }): Status;
}

export interface Rooms {
  readonly supervisor: Supervisor;
  readonly journal: Journal;
  readonly secrets: Secrets;
  readonly identity: Identity;
  readonly audit: Audit;
  readonly system: System;
  /** Rings when any log grows. */
  readonly growth: Bell;
}
