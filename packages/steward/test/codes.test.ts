/** Every code that Steward can tell is declared with its meaning, and the reference that lists them is up to date. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeGroups } from '../../../scripts/docs/errors-page.ts';
import { staleDocs } from '../../../scripts/docs.ts';
import { repository } from './harness.ts';

/** Files that declare codes rather than tell them. */
const declaring = /\/(codes|error-codes|gateway\/errors)\.ts$/;

const declared = codeGroups.flatMap(({ codes }) => Object.keys(codes));
const sources = globSync('packages/*/src/**/*.ts', { cwd: repository })
  .filter((file) => !/\.test\.ts$/.test(file) && !declaring.test(file))
  .map((file) => ({ file, text: readFileSync(join(repository, file), 'utf8') }));

/** Every text in quotes or at the end of a message that looks like a code, with the files it stands in. */
function usedCodes(): Map<string, string[]> {
  const found = sources.flatMap(({ file, text }) =>
    [...text.matchAll(/['"`[]((?:config|gateway|api|cli|daemon|identity|audit)\/[a-z-]+)['"`\]]/g)].map(([, code]) => ({
      file,
      code: code as string,
    })),
  );
  return new Map([...Map.groupBy(found, ({ code }) => code)].map(([code, uses]) => [code, uses.map(({ file }) => file)]));
}

test('every code that is told is declared with its meaning', () => {
  const unknown = [...usedCodes()].filter(([code]) => !declared.includes(code)).map(([code, files]) => `${code} in ${files.join(', ')}`);
  assert.deepEqual(unknown, []);
});

test('every code that is declared is told somewhere', () => {
  const used = usedCodes();
  assert.deepEqual(
    declared.filter((code) => !used.has(code)),
    [],
  );
});

test('no code is declared twice', () => {
  assert.deepEqual(
    declared.filter((code, index) => declared.indexOf(code) !== index),
    [],
  );
});

test('the generated pages of docs/ are up to date', () => {
  assert.deepEqual(staleDocs(), [], 'run `npm run docs`');
});
