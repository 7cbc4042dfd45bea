/** Which program the daemon runs, and which parts of Steward run on with an earlier one. */
import { accessSync, constants } from 'node:fs';
import type { Status } from '@steward/sdk/contract/system';
import { StewardError } from './errors.ts';
import { ticksSinceBoot } from './kernel/age.ts';
import { bootId, startTimeOf } from './kernel/process-table.ts';
import type { Settings } from './settings.ts';
import { version } from './version.ts';

/** A Steward that can be run: absolute paths of Node and of the main file. */
export type Program = Status['program'];

/** What the last daemon ran, and since when, in ticks since `boot`. */
interface SavedProgram {
  readonly version: string;
  readonly program: Program;
  readonly boot: string;
  readonly since: number;
}

export interface RunningProgram {
  /** What ran here before, when it was another: for people. */
  readonly upgradedFrom: string | undefined;
  /** Of processes with their names, those that were started by an earlier program. */
  older(parts: readonly { readonly part: string; readonly pid: number | undefined }[]): Status['older'];
}

const isSame = (earlier: SavedProgram | undefined, { node, main }: Program): boolean =>
  earlier?.version === version && earlier.program.node === node && earlier.program.main === main;

/** Since when, in ticks since boot, processes that are started run the program of this daemon; from another boot there are none. */
function sinceWhen(earlier: SavedProgram | undefined, program: Program): number {
  if (earlier?.boot !== bootId()) return 0;
  return isSame(earlier, program) ? earlier.since : ticksSinceBoot();
}

/** Remembers that `program` runs here now. */
export function rememberProgram(saved: Settings, program: Program): RunningProgram {
  const earlier = saved.get<SavedProgram>('program');
  const since = sinceWhen(earlier, program);
  if (!isSame(earlier, program) || earlier?.since !== since)
    saved.set('program', { version, program, boot: bootId(), since } satisfies SavedProgram);
  return {
    upgradedFrom: earlier === undefined || isSame(earlier, program) ? undefined : earlier.version,
    older: (parts) =>
      parts.flatMap(({ part, pid }) => {
        const start = pid === undefined ? undefined : startTimeOf(pid);
        return pid === undefined || start === undefined || start >= since ? [] : { part, pid };
      }),
  };
}

/** @throws StewardError when there is no such program here. */
export function checkProgram({ node, main }: Program): void {
  try {
    accessSync(node, constants.X_OK);
    accessSync(main, constants.R_OK);
  } catch (error) {
    throw new StewardError('daemon/program', `the daemon cannot become ${main}: ${(error as Error).message}`, {
      status: 400,
      cause: error,
    });
  }
}
