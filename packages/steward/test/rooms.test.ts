/** The house plan holds: imports point down, rooms are entered by their doors, and there are no circles. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { repository } from './harness.ts';

/** Layers from the bottom up; a file imports from its own room and from lower layers only. */
const layers: readonly (readonly string[])[] = [
  ['sdk'],
  ['error-codes.ts'],
  ['kernel', 'config', 'errors.ts', 'version.ts'],
  ['probe', 'store', 'output', 'state-folder.ts'],
  ['journal.ts', 'audit', 'identity', 'secrets', 'config-history.ts', 'config-files.ts', 'settings.ts'],
  ['supervisor', 'gateway', 'boot', 'running-program.ts'],
  ['gateway-service.ts', 'boot-service.ts', 'scaling.ts', 'ending.ts'],
  ['api'],
  ['configuration.ts', 'groups.ts', 'front.ts'],
  ['steward.ts'],
  ['cli'],
];

/** Rooms whose files are plain shapes, pure functions or single system calls: any of them may be imported. */
const open = new Set(['sdk', 'config', 'kernel']);

const source = join(repository, 'packages/steward/src');
const sdk = join(repository, 'packages/sdk/src');

const roomOf = (file: string): string => (file.startsWith(sdk) ? 'sdk' : (relative(source, file).split('/')[0] as string));
const layerOf = (room: string): number => layers.findIndex((layer) => layer.includes(room));
const doorOf = (room: string): string => (room.endsWith('.ts') ? join(source, room) : join(source, room, `${room}.ts`));

/** Modules a file imports, types included, as files of this repository. */
function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  const names = [...text.matchAll(/(?:^|\n)(?:import|export)\s[^;]*?from\s+'([^']+)'|import\('([^']+)'\)/g)].map(
    ([, a, b]) => (a ?? b) as string,
  );
  return names.flatMap((name) =>
    name.startsWith('.')
      ? [resolve(dirname(file), name)]
      : name.startsWith('@steward/sdk/')
        ? [join(sdk, `${name.slice('@steward/sdk/'.length)}.ts`)]
        : [],
  );
}

const files = [
  ...globSync('**/*.ts', { cwd: source }).map((name) => join(source, name)),
  ...globSync('**/*.ts', { cwd: sdk }).map((name) => join(sdk, name)),
].filter((file) => !/\.test\.ts$|\/(testing|golden|mutate)\.ts$/.test(file));

test('every room has its place in the layers', () => {
  const rooms = new Set(files.map(roomOf));
  assert.deepEqual(
    [...rooms].filter((room) => layerOf(room) === -1),
    [],
  );
});

test('imports point down', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter((target) => roomOf(target) !== roomOf(file) && layerOf(roomOf(target)) >= layerOf(roomOf(file)))
      .map((target) => `${relative(repository, file)} imports ${relative(repository, target)}, which is above or beside it`),
  );
  assert.deepEqual(wrong, []);
});

test('rooms are entered by their doors', () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter(
        (target) =>
          roomOf(target) !== roomOf(file) && !open.has(roomOf(target)) && target !== doorOf(roomOf(target)) && roomOf(file) !== 'cli',
      )
      .map((target) => `${relative(repository, file)} imports ${relative(repository, target)}, which is no door`),
  );
  assert.deepEqual(wrong, []);
});

test('no file imports itself in a circle', () => {
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open')
      return void circles.push([...path.slice(path.indexOf(file)), file].map((name) => relative(repository, name)).join(' → '));
    state.set(file, 'open');
    for (const target of importsOf(file)) visit(target, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of files) visit(file, []);
  assert.deepEqual(circles, []);
});

test('the sdk runs in a browser too: only its client touches node', () => {
  const wrong = globSync('**/*.ts', { cwd: sdk }).filter(
    (name) => name !== 'client.ts' && /from 'node:/.test(readFileSync(join(sdk, name), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});
