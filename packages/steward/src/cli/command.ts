/** What a command of the command line is, and what it may use. */

import type { ParseArgsOptionsConfig } from 'node:util';
import { type Client, createClient } from '@steward/sdk/client';
import type { StateFolder } from '../state-folder.ts';

/** Where a command reads and writes: values, so that a command can be run without a terminal. */
export interface Io {
  out(text: string): void;
  err(text: string): void;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Colors and progress are for people: only on a terminal. */
  readonly isTerminal: boolean;
  /** Columns of the terminal; 0 when there is none. */
  readonly columns: number;
}

export interface Call {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
  readonly io: Io;
  readonly state: StateFolder;
  readonly client: Client;
}

export interface Command {
  readonly name: string;
  /** What follows the name: `[-d] [FILE...]`. */
  readonly usage: string;
  /** More lines for `steward COMMAND --help`. */
  readonly details?: string;
  readonly options: ParseArgsOptionsConfig;
  /** How many words may follow: none, any number, or at least one. */
  readonly takes: 'nothing' | 'any' | 'some';
  /** @returns the exit code: 0 done, 1 failed, 2 your input, 3 cannot reach Steward. */
  run(call: Call): Promise<number>;
}

/** A command by name and summary, its code not loaded yet: `ps` needs no gateway, and starts in a tenth of the time without. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly hidden?: true;
  load(): Promise<Command>;
}

export const clientFor = (state: StateFolder): Client => createClient({ socketPath: state.controlSocket });

export const jsonOption = { json: { type: 'boolean' } } as const;
