/** What a command of the command line is, and what it may use. */

import { readFileSync } from 'node:fs';
import type { ParseArgsOptionsConfig } from 'node:util';
import { type Client, type ClientTarget, createClient } from '@steward/sdk/client';
import { StewardError } from '../errors.ts';
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
  /** It does something on this machine, so that --url makes no sense. */
  readonly here?: true;
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

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new StewardError('cli/usage', `${file} cannot be read: ${(error as Error).message}`, { status: 400 });
  }
}

/**
 * Whom a command speaks to: the daemon of a state directory, or a Steward elsewhere. A token comes from the environment or a file: command
 * lines are for everybody on a machine to read. @throws StewardError when a file cannot be read, or no token is given.
 */
export function targetOf(values: Call['values'], env: Io['env'], state: StateFolder): ClientTarget {
  const url = (values.url as string | undefined) ?? (values.state === undefined ? env.STEWARD_URL : undefined);
  if (url === undefined || url === '') return { socketPath: state.controlSocket };
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new StewardError('cli/usage', `"${url}" is no address of a Steward`, { status: 400, hint: 'Write https://HOST:9443.' });
  const file = values['token-file'] as string | undefined;
  const token = file === undefined ? env.STEWARD_TOKEN : textOf(file);
  if (!token)
    throw new StewardError('cli/usage', 'a Steward elsewhere wants a token', {
      status: 400,
      hint: 'Make one there with `steward token create`, and put it into $STEWARD_TOKEN, or into a file for --token-file.',
    });
  return { url, token, ...(env.STEWARD_CA && { ca: textOf(env.STEWARD_CA) }) };
}

export const clientFor = (state: StateFolder): Client => createClient({ socketPath: state.controlSocket });

export const jsonOption = { json: { type: 'boolean' } } as const;
