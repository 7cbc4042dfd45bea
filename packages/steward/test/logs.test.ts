/** Logs as people read them: chosen by time, text, level and run, merged, over rotations. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LogLine } from '@steward/sdk/contract/instances';
import { newPlace, type Place, until } from './harness.ts';

const parse = (text: string): LogLine[] =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LogLine);
const textsOf = (text: string): string[] => parse(text).map((line) => line.text);

async function shows(place: Place, what: string, words: readonly string[], count: number): Promise<LogLine[]> {
  await until(what, async () => textsOf(await place.ok('logs', '--json', ...words)).length >= count);
  return parse(await place.ok('logs', '--json', ...words));
}

test('lines are chosen by text, level and time, and JSON lines show their fields', async (t) => {
  const place = newPlace(t);
  const script = [
    'echo "starting up"',
    `echo '{"level":30,"msg":"fine","n":1}'`,
    `echo '{"level":"error","msg":"bad"}'`,
    'echo "2026-11-20 08:00:00 WARNING careful"',
    'echo "ERROR: broken"',
    'echo "    at line 3"',
    'echo "all good"',
    'exec sleep 1000',
  ].join('; ');
  place.write('steward.yaml', `services:\n  app: {run: ${JSON.stringify(script)}, shell: true}\n  quiet: {run: sleep 1000}\n`);
  await place.ok('up', '-d');
  const all = await shows(place, 'all lines', ['app'], 7);
  assert.deepEqual(all[1]?.fields, { level: 30, msg: 'fine', n: 1 });
  assert.deepEqual(
    all.map(({ level }) => level),
    [undefined, 'info', 'error', 'warn', 'error', 'error', undefined],
  );
  assert.equal(new Set(all.map(({ run }) => run)).size, 1);
  const chosen = async (...words: string[]): Promise<string[]> => textsOf(await place.ok('logs', '--json', ...words));
  assert.deepEqual((await chosen('--level', 'error')).length, 3);
  assert.deepEqual(await chosen('--level', 'warning', '-n', '2'), ['ERROR: broken', '    at line 3']);
  assert.deepEqual(await chosen('--grep', '^(all|start)', 'app'), ['starting up', 'all good']);
  assert.deepEqual(await chosen('-i', '--grep', 'STARTING'), ['starting up']);
  assert.deepEqual(await chosen('--since', '1h', '--until', '50m'), []);
  assert.equal((await chosen('--since', '1h', '-n', '2', 'app')).length, 2);
  const until_ = all[3]?.at as string;
  assert.ok((await chosen('--until', until_)).includes('2026-11-20 08:00:00 WARNING careful'));
  for (const [words, text] of [
    [['--grep', '('], /"\(" is no regular expression/],
    [['--level', 'eror'], /"eror" is no level[\s\S]*Did you mean "error"/],
    [['--run', 'xyz'], /"xyz" is no id of a run/],
    [['--run', 'ffffffffffff'], /no log knows of a run "ffffffffffff"/],
    [['--previous', 'quiet'], /no log knows of an earlier run/],
    [['--until', 'noon'], /--until: "noon" is neither a duration nor a time/],
  ] as const) {
    const { code, err } = await place.steward('logs', ...words);
    assert.equal(code, 2, err);
    assert.match(err, text);
  }
});

test('each run can be asked for, and starts and ends stand between the lines', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `services:\n  app: {run: "n=$(cat n 2>/dev/null || echo 0); echo $((n+1)) > n; echo life $n; [ $n -lt 2 ] && exit 3; exec sleep 1000", shell: true, upAfter: 100ms, backoff: {first: 0s, base: 10ms}}\n`,
  );
  await place.steward('up', '-d'); // ends with 1: it fails at first
  const lines = await shows(place, 'three lives', ['app'], 3);
  assert.deepEqual(
    lines.map(({ text }) => text),
    ['life 0', 'life 1', 'life 2'],
  );
  const runs = lines.map(({ run }) => run as string);
  assert.equal(new Set(runs).size, 3);
  assert.deepEqual(textsOf(await place.ok('logs', '--json', '--previous')), ['life 1']);
  assert.deepEqual(textsOf(await place.ok('logs', '--json', '--run', runs[0]?.slice(0, 6) ?? '')), ['life 0']);
  const marked = parse(await place.ok('logs', '--json', '--marks'));
  assert.deepEqual(
    marked.map(({ mark, run, text }) => [mark ?? text, run]),
    runs.flatMap((run, n) => [['started', run], [`life ${n}`, run], ...(n < 2 ? [['exited', run]] : [])]),
  );
  assert.match(
    await place.ok('logs'),
    new RegExp(`app +── started, pid \\d+, run ${runs[0]} ──\n[^\n]*life 0\n[^\n]*── exited with code 3, run ${runs[0]} ──\n`),
  );
  assert.doesNotMatch(await place.ok('logs', '--no-marks'), /──/);
  await place.ok('stop', 'app');
  await until('its end to be told', async () => /── ended by SIGTERM, run /.test(await place.ok('logs')));
});

test('no line of a program that says one thing and fails at once is lost, and each is of its own run', async (t) => {
  const place = newPlace(t);
  const count = 40;
  const script = `n=$(cat n 2>/dev/null || echo 1); echo $((n+1)) > n; echo x$n; [ $n -lt ${count} ] || exec sleep 1000; exit 1`;
  place.write(
    'steward.yaml',
    `logs: {maxSize: 20, keep: 1000, compress: none}\nservices:\n  app: {run: ${JSON.stringify(script)}, shell: true, upAfter: 0s, backoff: {first: 0s, base: 0s, jitter: 0}}\n`,
  );
  await place.steward('up', '-d'); // ends with 1: it fails at first
  const lines = await shows(place, 'all lives', ['-n', '1000'], count);
  assert.deepEqual(
    lines.map(({ text }) => text),
    Array.from({ length: count }, (_, n) => `x${n + 1}`),
  );
  assert.equal(new Set(lines.map(({ run }) => run)).size, count);
  assert.ok(existsSync(join(place.state, 'logs/app.log.1')) && readdirSync(join(place.state, 'logs')).length > 5);
});
