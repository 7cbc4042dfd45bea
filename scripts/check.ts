/** `npm run check`: types, lint and format, import layers, generated docs. Everything that is wrong is shown, not only the first. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('..', import.meta.url));

const steps: readonly (readonly [string, string, ...string[]])[] = [
  ['types', 'node_modules/.bin/tsc', '-p', '.'],
  ['lint and format', 'node_modules/.bin/biome', 'check', '--error-on-warnings', '.'],
  ['import layers', process.execPath, '--test', '--test-reporter=dot', 'packages/steward/test/rooms.test.ts'],
  ['generated docs', process.execPath, 'scripts/docs.ts', '--check'],
];

const failed = steps.filter(([name, command, ...words]) => {
  const { status } = spawnSync(command, words, { cwd, stdio: 'inherit' });
  console.log(`${status === 0 ? 'ok    ' : 'FAILED'} ${name}`);
  return status !== 0;
});
process.exitCode = failed.length === 0 ? 0 : 1;
