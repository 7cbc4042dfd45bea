/** What every reader of a file format takes and gives back. A reader is pure: files and environment come in as values. */

import type { Origins, Problem, Source } from './problem.ts';
import type { FileSource } from './sections/file.ts';

/** What a file may ask of its surroundings while it is read. */
export interface Surroundings {
  /** The files that match a glob, sorted by name; the pattern is absolute or relative to `folder`. [] when none match. */
  open(pattern: string, folder: string): readonly Source[];
  /** Steward's own environment, for `%(ENV_X)s`, `${X}` and the like. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
}

export interface Reading {
  /** What the file says, in steward.yaml's shape. Relative paths in it are relative to `folder`. */
  readonly config: FileSource;
  /** Where each value stands, by JSON pointer into `config`. */
  readonly origins: Origins;
  readonly problems: readonly Problem[];
  /** All texts read, the file itself first: for code frames. */
  readonly sources: readonly Source[];
  /** Absolute folder that relative paths refer to. */
  readonly folder: string;
}

export type Reader = (source: Source, around: Surroundings) => Reading;
