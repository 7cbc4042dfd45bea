/**
 * Runs cases/*.case: a steward.yaml, a line of dashes, then what must come out: the interesting part of the configuration
 * as JSON, the exact problems, or both. A line of dashes with a name starts one more file: another steward.yaml to read
 * along when it ends in .yaml, else an env file or a secret.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { type GoldenCase, readCases } from './golden.ts';
import { createRandom, mutate } from './mutate.ts';
import { formatProblems, hasErrors, type Source } from './problem.ts';
import { type Around, type Resolution, resolve } from './resolve.ts';
import { readSteward } from './steward-file.ts';

const cases = readCases(join(import.meta.dirname, 'cases'), '/srv/app', 'steward.yaml');

const aroundOf = (sources: readonly Source[]): Around => ({
  env: { HOME: '/root', STAGE: 'live' },
  hostname: 'box',
  socketFolder: '/run/steward/sockets',
  readText: (path) => {
    const found = sources.find(({ file }) => file === path);
    return found === undefined ? { reason: `${path}: there is no such file` } : { text: found.text };
  },
});

function resolved(sources: readonly Source[]): Resolution {
  const readings = sources.filter(({ file }) => file.endsWith('.yaml')).map(readSteward);
  return resolve(readings, aroundOf(sources));
}

/** What of `actual` the expectation speaks of: its keys, and all entries of its lists. */
function partOf(actual: unknown, expected: unknown): unknown {
  if (Array.isArray(expected) && Array.isArray(actual)) return actual.map((item, index) => partOf(item, expected[index]));
  if (typeof expected !== 'object' || expected === null || typeof actual !== 'object' || actual === null) return actual;
  const values = actual as Readonly<Record<string, unknown>>;
  return Object.fromEntries(Object.entries(expected).map(([key, value]) => [key, partOf(values[key], value)]));
}

function run({ sources, config: expected, problems: text }: GoldenCase): void {
  const { config, problems } = resolved(sources);
  assert.equal(formatProblems(problems, sources), text);
  if (expected !== undefined) assert.deepEqual(JSON.parse(JSON.stringify(partOf(config, expected))), expected);
}

for (const golden of cases) test(`steward.yaml: ${golden.name}`, () => run(golden));

const pieces = [
  ...['{', '}', '[', ']', ':', ': ', '- ', '#', '"', "'", '|', '>', '&a ', '*a', '<<: *a', '!!', '%', '@', '?', '\n', '\r\n', '\t', '  '],
  ...['\0', '\uFEFF', '中', '💥', '{{', '}}', '{{secret.x}}', '{{port}}', '0', '-1', '1e999', 'null', '~ (', '__proto__:', 'constructor:'],
  ...['[::]:1', 'unix:', '99999999999999999999', 'after: [a]', 'instances: 3', 'tls: internal', 'file: x', '.5', '0x10', 'services:'],
  ...['$', '${', '$host', '$1', '@a', '~ ', '= /', '^~ /', '10/s', 'steps: [', '{if: {value: ', 'routes: [', 'upstream: ', '(?<x>', '=404'],
];

test('no text makes reading throw, and each error stands somewhere in the file', () => {
  const random = createRandom(20_261_120);
  for (let n = 0; n < 6000; n++) {
    const golden = cases[n % cases.length] as GoldenCase;
    const [first, ...others] = golden.sources;
    const source = { file: first.file, text: mutate(first.text, random, pieces) };
    const { problems, config } = resolved([source, ...others]);
    formatProblems(problems, [source, ...others]);
    for (const { at, message } of problems) {
      const lines = [source, ...others].find(({ file }) => file === at?.file)?.text.split(/\r\n|\n|\r/) ?? [];
      assert.ok(
        at !== undefined && at.line >= 1 && at.line <= lines.length && at.column >= 1,
        `${message} at ${at?.line} in\n${source.text}`,
      );
    }
    if (hasErrors(problems)) continue;
    for (const { command, umask, endpoint } of config.instances) {
      assert.ok(command.length > 0, source.text);
      assert.ok(umask === undefined || (umask >= 0 && umask <= 0o777), source.text);
      assert.ok(endpoint?.kind !== 'tcp' || (endpoint.port >= 1 && endpoint.port <= 65_535), source.text);
    }
  }
});

test('a file made to explode is refused in a moment', () => {
  const started = performance.now();
  const bomb = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...[...'bcdefgh'].map((name, at) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[at]}`)}]`),
  ];
  assert.ok(hasErrors(resolved([{ file: '/srv/app/steward.yaml', text: bomb.join('\n') }]).problems));
  assert.ok(hasErrors(resolved([{ file: '/srv/app/steward.yaml', text: '['.repeat(20_000) }]).problems));
  assert.ok(performance.now() - started < 5000);
});
