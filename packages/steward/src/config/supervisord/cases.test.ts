/**
 * Runs cases/*.case: a supervisord file, a line of dashes, then what must come out: the configuration as JSON, the problems
 * as text, or both with another line of dashes between. A case without problem text must have no problems. A line
 * `=== NAME` in the upper part starts a file beside /etc/supervisor/supervisord.conf, for [include].
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, matchesGlob, resolve } from 'node:path';
import { test } from 'node:test';
import type { Surroundings } from '../format.ts';
import { formatProblems, type Source } from '../problem.ts';
import { readSupervisord } from './supervisord.ts';

const folder = join(import.meta.dirname, 'cases');
const home = '/etc/supervisor';

interface Case {
  readonly sources: readonly [Source, ...Source[]];
  readonly config?: unknown;
  readonly problems: string;
}

function parseCase(text: string): Case {
  const [input = '', ...expected] = text.split(/^-{10,}\n/m);
  const [main = '', ...others] = input.split(/^=== /m);
  const config = expected.find((block) => block.startsWith('{'));
  return {
    sources: [
      { file: `${home}/supervisord.conf`, text: main },
      ...others.map((other) => ({ file: join(home, other.slice(0, other.indexOf('\n'))), text: other.slice(other.indexOf('\n') + 1) })),
    ],
    config: config === undefined ? undefined : JSON.parse(config),
    problems: (expected.find((block) => !block.startsWith('{')) ?? '').trim(),
  };
}

function around(sources: readonly Source[]): Surroundings {
  return {
    open: (pattern, from) =>
      sources.filter(({ file }) => matchesGlob(file, resolve(from, pattern))).toSorted((a, b) => (a.file < b.file ? -1 : 1)),
    env: { HOME: '/root', PATH: '/usr/bin:/bin', OPTIONS: '--fast --name "two words"', STAGE: 'live' },
    hostname: 'box',
  };
}

for (const name of readdirSync(folder).filter((file) => file.endsWith('.case'))) {
  test(`the case ${name.replace(/\.case$/, '').replaceAll('-', ' ')} comes out as written`, () => {
    const { sources, config, problems } = parseCase(readFileSync(join(folder, name), 'utf8'));
    const reading = readSupervisord(sources[0], around(sources.slice(1)));
    if (config !== undefined) assert.deepEqual(JSON.parse(JSON.stringify(reading.config)), config);
    assert.equal(formatProblems(reading.problems, reading.sources), problems);
    assert.equal(reading.folder, home);
  });
}
