/** Pages that name tests name tests that are there: a promise whose test was renamed or removed is found. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repository } from './harness.ts';

const pages = ['docs/security.md', 'docs/faults.md'];
const sources = globSync('{packages,bench}/**/*.test.ts', { cwd: repository, exclude: (name) => name === 'node_modules' });

interface Named {
  readonly file: string;
  readonly title: string;
}

/** `file`: title · title · `file`: title, in cells of tables. */
function namedIn(page: string): Named[] {
  const cells = readFileSync(join(repository, page), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => line.split('|'));
  return cells.flatMap((cell) => {
    let file = '';
    return cell.split(' · ').flatMap((part): Named[] => {
      const [, path, rest] = /^\s*`([\w./-]+\.test\.ts)`(?:: (.*))?$/.exec(part.trimEnd()) ?? [];
      if (path !== undefined) file = path;
      const [title = ''] = (path === undefined ? part : (rest ?? '')).trim().split('; `');
      return file === '' ? [] : [{ file, title }];
    });
  });
}

test('every test that a page names is there', () => {
  const missing = pages.flatMap((page) =>
    namedIn(page).flatMap(({ file, title }) => {
      const found = sources.filter((source) => source.endsWith(`/${file}`));
      const texts = found.map((source) => readFileSync(join(repository, source), 'utf8'));
      if (found.length === 0) return [`${page}: there is no ${file}`];
      const words = title
        .split('…')
        .map((piece) => piece.trim())
        .filter(Boolean);
      return texts.some((text) => words.every((piece) => text.replaceAll("\\'", "'").includes(piece)))
        ? []
        : [`${page}: ${file} has no "${title}"`];
    }),
  );
  assert.deepEqual(missing, []);
});

test('each page names many', () => {
  for (const page of pages) assert.ok(namedIn(page).length > 15, page);
});
