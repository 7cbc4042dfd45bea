/** This program as a command: to start it behind, or to put it in the place of an older one. */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A Steward that can be run: Node and its main file, as absolute paths. */
export interface Program {
  readonly node: string;
  readonly main: string;
}

export const thisProgram: Program = {
  node: process.execPath,
  main: fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url)),
};

/** The command line that runs it; no launcher in between, which would need a shell and time. */
export const wordsOf = ({ node, main }: Program, words: readonly string[]): [string, ...string[]] => [
  node,
  '--disable-warning=ExperimentalWarning',
  main,
  ...words,
];
