/** What the operations are made of: their handlers' types, and what they may ask of the rooms. */
import type { BootInfo } from '@steward/sdk/contract/boot';
import type { OperationName, Operations } from '@steward/sdk/contract/contract';
import type { Traffic } from '@steward/sdk/contract/gateway';
import type { Answer, Input, Operation } from '@steward/sdk/contract/operation';
import type { Right } from '@steward/sdk/contract/rights';
import type { Plan, Status } from '@steward/sdk/contract/system';
import type { BootRequest } from '../boot/boot.ts';
import type { InstanceSpec } from '../config/model.ts';
import type { Subject } from '../identity/identity.ts';
import type { Journal } from '../journal.ts';
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

/** What the API may ask of the whole. */
export interface System {
  plan(request: FilesRequest): Promise<Plan>;
  apply(request: FilesRequest): Promise<Plan>;
  status(): Status;
  /**
   * Makes a service have another number of instances, given as such or as a difference (`+1`). Rejects with a StewardError for a
   * service that no file has, and for a number it cannot have.
   */
  scale(service: string, to: string): Promise<{ readonly from: number; readonly to: number; readonly written: number }>;
  authority(): Promise<{ certificate: string }>;
  boot(host: string | undefined): BootInfo;
  runBoot(request: BootRequest): Promise<BootInfo>;
  traffic(): Traffic;
  shutDown(): { stopping: number };
  /** Becomes another program, which takes over what runs. @throws StewardError when there is none, or the daemon is ending. */
  upgrade(program: { readonly node: string; readonly main: string }): Status;
}

export interface Rooms {
  readonly supervisor: Supervisor;
  readonly journal: Journal;
  readonly system: System;
  /** Rings when any log grows. */
  readonly growth: Bell;
}
