/**
 * Golden cases: a text, a line of dashes, and what must come of it. A line of dashes with a name starts one more file that
 * the first may include. A part that starts with `{` is the exact configuration; any other part is the exact text of
 * all problems. Without a part for problems there must be none.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, matchesGlob, resolve } from 'node:path';
import type { Surroundings } from './format.ts';
import type { Source } from './problem.ts';

export interface GoldenCase {
  readonly name: string;
  /** The file itself first. */
  readonly sources: readonly [Source, ...Source[]];
  readonly config?: unknown;
  readonly problems: string;
}

const divider = /^-{5,}(?: +(\S+))?[ \t]*\r?\n/m;

/** The case in `text`; its files stand in `folder`, the first under the name `first`. Throws when it expects nothing. */
export function parseCase(name: string, text: string, folder: string, first: string): GoldenCase {
  const [main = '', ...rest] = text.split(divider);
  const sources: [Source, ...Source[]] = [{ file: join(folder, first), text: main }];
  let config: unknown;
  let problems = '';
  for (let at = 0; at + 1 < rest.length; at += 2) {
    const [file, part = ''] = [rest[at], rest[at + 1]];
    if (file !== undefined) sources.push({ file: join(folder, file), text: part });
    else if (part.startsWith('{')) config = JSON.parse(part);
    else problems = part.trimEnd();
  }
  if (config === undefined && problems === '') throw new Error(`${name} expects nothing`);
  return { name, sources, config, problems };
}

/** All `*.case` files of a folder, by name. */
export function readCases(from: string, folder: string, first: string): readonly GoldenCase[] {
  const files = readdirSync(from).filter((file) => file.endsWith('.case'));
  return files
    .sort()
    .map((file) => parseCase(basename(file, '.case').replaceAll('-', ' '), readFileSync(join(from, file), 'utf8'), folder, first));
}

/** Surroundings that hold only the files of the case. */
export function surroundingsOf(sources: readonly Source[], env: Surroundings['env'] = {}): Surroundings {
  const open: Surroundings['open'] = (pattern, folder) =>
    sources.filter(({ file }) => matchesGlob(file, resolve(folder, pattern))).sort((a, b) => (a.file < b.file ? -1 : 1));
  return { open, env, hostname: 'box.example.com' };
}
