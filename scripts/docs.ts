/** `npm run docs`: writes the reference pages of docs/ from the shapes and codes. With --check it only says which are stale. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { apiPage } from './docs/api-page.ts';
import { configPage, configSchema } from './docs/config-page.ts';
import { errorsPage } from './docs/errors-page.ts';

const folder = fileURLToPath(new URL('../docs', import.meta.url));

/** Every generated file and what makes its text. */
const pages: Readonly<Record<string, () => string>> = {
  'steward.schema.json': configSchema,
  'config.md': configPage,
  'errors.md': errorsPage,
  'api.md': apiPage,
};

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

/** Names of the generated files that are missing, or differ from what would be written now. */
export const staleDocs = (): string[] =>
  Object.entries(pages).flatMap(([name, make]) => (readIfThere(join(folder, name)) === make() ? [] : name));

function writeDocs(): void {
  mkdirSync(folder, { recursive: true });
  for (const name of staleDocs()) {
    writeFileSync(join(folder, name), pages[name]?.() ?? '');
    console.log(`wrote docs/${name}`);
  }
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const stale = staleDocs();
    for (const name of stale) console.error(`docs/${name} is stale: run \`npm run docs\``);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else writeDocs();
}
