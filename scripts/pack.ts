/**
 * Run by `npm pack` (prepack): compiles packages/steward and the sdk it uses into packages/steward/dist, since Node strips
 * no types under node_modules. The compiled files keep their places, so that nothing else changes.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const target = join(root, 'packages/steward');
const dist = join(target, 'dist');

rmSync(dist, { recursive: true, force: true });
const { status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', join(root, 'tsconfig.pack.json')], { stdio: 'inherit' });
if (status !== 0) process.exit(1);

/** The sdk is a workspace, not a package of the registry: its compiled files come along and are imported by path. */
for (const name of globSync('**/*.js', { cwd: dist })) {
  const file = join(dist, name);
  const text = readFileSync(file, 'utf8');
  const placed = text.replace(/(['"])@steward\/sdk\/([^'"]+)\1/g, (_, quote: string, path: string) => {
    const way = relative(dirname(file), join(dist, 'sdk/src', `${path}.js`));
    return `${quote}${way.startsWith('.') ? way : `./${way}`}${quote}`;
  });
  if (placed !== text) writeFileSync(file, placed);
}

mkdirSync(join(dist, 'steward'), { recursive: true });
copyFileSync(join(target, 'package.json'), join(dist, 'steward/package.json'));
for (const name of ['README.md', 'LICENSE']) copyFileSync(join(root, name), join(target, name));
