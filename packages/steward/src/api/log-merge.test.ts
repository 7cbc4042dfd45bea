import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StewardError } from '../errors.ts';
import type { Beginning, LogLine, Output } from '../output/output.ts';
import { type LogFilter, parsePattern } from './log-filter.ts';
import { type LogSource, lastWanted, type Merge, mergeLogs } from './log-merge.ts';

/** Lines of logs by file; read in stretches of `atOnce`. */
function createLogs(logs: Readonly<Record<string, LogLine[]>>, atOnce = 2): { output: Output; reads: () => number } {
  let reads = 0;
  const linesOf = (file: string): LogLine[] => logs[file] ?? [];
  const output = {
    place(file: string, wanted: Beginning) {
      if (logs[file] === undefined) return undefined;
      const all = linesOf(file);
      const first = all.findIndex(({ timeMs, run }) =>
        'sinceMs' in wanted ? timeMs >= wanted.sinceMs : 'run' in wanted && run.startsWith(wanted.run),
      );
      const offset = 'lines' in wanted ? all.length - wanted.lines : first;
      return { inode: 1, offset: Math.max(0, offset === -1 ? all.length : offset) };
    },
    read(file: string, place: { offset: number } | undefined) {
      reads += 1;
      const from = place?.offset ?? 0;
      const lines = linesOf(file).slice(from, from + atOnce);
      return { lines, marks: [], place: { inode: 1, offset: from + lines.length }, more: from + lines.length < linesOf(file).length };
    },
  } as unknown as Output;
  return { output, reads: () => reads };
}

const source = (file: string): LogSource => ({ instance: file, stream: 'stdout', file });
const at = (...times: readonly number[]): LogLine[] => times.map((timeMs) => ({ timeMs, text: String(timeMs), run: '', pid: 0 }));
const said = (...texts: readonly string[]): LogLine[] => texts.map((text, index) => ({ timeMs: index + 1, text, run: '', pid: 0 }));
const textsOf = (merge: Merge): string[] =>
  [...merge.lines()].filter((line) => line !== undefined).map(({ text, source: { file } }) => `${file}${text}`);
/** A merge of all logs from one beginning on. */
const mergeFrom = (files: readonly string[], output: Output, from: Beginning, follow = false, filter: LogFilter = {}): Merge =>
  mergeLogs(files.map(source), output, { ...filter, follow, marks: false }, () => ({ from, skip: 0 }));

test('lines of several logs come in the order they arrived', () => {
  const { output } = createLogs({ a: at(1, 4, 5, 9), b: at(2, 3, 8), c: at() });
  const merge = mergeFrom(['a', 'b', 'c'], output, { lines: 100 });
  assert.deepEqual(textsOf(merge), ['a1', 'b2', 'b3', 'a4', 'a5', 'b8', 'a9']);
  assert.deepEqual(textsOf(merge), []);
});

test('lines of the same time keep the order of the logs', () => {
  const { output } = createLogs({ a: at(1, 1), b: at(1, 1) });
  assert.deepEqual(textsOf(mergeFrom(['a', 'b'], output, { lines: 100 })).toSorted(), ['a1', 'a1', 'b1', 'b1']);
  assert.equal(textsOf(mergeFrom(['a', 'b'], output, { lines: 100 }))[0], 'a1');
});

test('a clock that went back does not change the order within a log', () => {
  const { output } = createLogs({ a: at(10, 3, 11), b: at(5, 12) });
  assert.deepEqual(textsOf(mergeFrom(['a', 'b'], output, { lines: 100 })), ['b5', 'a10', 'a3', 'a11', 'b12']);
});

test('each log begins at its last lines, or at a time', () => {
  const { output } = createLogs({ a: at(1, 2, 3), b: at(4, 5, 6) });
  assert.deepEqual(textsOf(mergeFrom(['a', 'b'], output, { lines: 1 })), ['a3', 'b6']);
  assert.deepEqual(textsOf(mergeFrom(['a', 'b'], output, { sinceMs: 3 })), ['a3', 'b4', 'b5', 'b6']);
});

test('what grows later comes at the next look', () => {
  const logs = { a: at(1), b: at(2) };
  const { output } = createLogs(logs);
  const merge = mergeFrom(['a', 'b'], output, { lines: 100 }, true);
  assert.deepEqual(textsOf(merge), ['a1', 'b2']);
  logs.b.push(...at(3));
  logs.a.push(...at(4));
  assert.deepEqual(textsOf(merge), ['b3', 'a4']);
});

test('a log that is new joins with what it holds since a time; one that is known does not begin again', () => {
  const logs: Record<string, LogLine[]> = { a: at(1), b: at(2, 5) };
  const { output } = createLogs(logs);
  const merge = mergeFrom(['a'], output, { lines: 100 }, true);
  assert.deepEqual(textsOf(merge), ['a1']);
  merge.add(['a', 'b'].map(source), 3);
  assert.deepEqual(textsOf(merge), ['b5']);
});

test('a log whose file does not exist yet is read from its beginning once it does', () => {
  const logs: Record<string, LogLine[]> = {};
  const { output } = createLogs(logs);
  const merge = mergeFrom(['a'], output, { lines: 100 }, true);
  assert.deepEqual(textsOf(merge), []);
  logs.a = at(1, 2);
  assert.deepEqual(textsOf(merge), ['a1', 'a2']);
});

test('a reader who stops early does not read the logs to their end', () => {
  const { output, reads } = createLogs({ a: at(...Array.from({ length: 1000 }, (_, n) => n + 1)) });
  const lines = mergeFrom(['a'], output, { lines: 1000 }).lines();
  assert.equal(lines.next().value, undefined); // a stretch was read
  assert.equal(lines.next().value?.text, '1');
  assert.ok(reads() < 3);
});

test('lines are chosen by time, pattern, level and run', () => {
  const { output } = createLogs({ a: said('info: one', 'error: two', '    at three', 'warn: four', 'five', 'ERROR six') }, 3);
  const shown = (filter: LogFilter): string[] => textsOf(mergeFrom(['a'], output, { lines: 6 }, false, filter));
  assert.deepEqual(shown({ level: 'error' }), ['aerror: two', 'a    at three', 'aERROR six']);
  assert.deepEqual(shown({ level: 'warn' }), ['aerror: two', 'a    at three', 'awarn: four', 'aERROR six']);
  assert.deepEqual(shown({ pattern: parsePattern('t(w|h)', false) }), ['aerror: two', 'a    at three']);
  assert.deepEqual(shown({ pattern: parsePattern('error', true) }), ['aerror: two', 'aERROR six']);
  assert.deepEqual(shown({ sinceMs: 2, untilMs: 4, pattern: parsePattern('o', false) }), ['aerror: two', 'awarn: four']);
  const { output: runs } = createLogs({
    a: ['x', 'y', 'z'].map((text, n) => ({ timeMs: n, text, run: n === 1 ? 'ab12' : 'cd34', pid: 7 })),
  });
  assert.deepEqual(textsOf(mergeFrom(['a'], runs, { lines: 3 }, false, { runOf: () => 'ab' })), ['ay']);
});

test('the last lines of a kind are found without reading a log from its beginning', () => {
  const lines = Array.from({ length: 100_000 }, (_, n) => (n % 100 === 7 ? `hit ${n}` : `miss ${n}`));
  const { output, reads } = createLogs({ a: said(...lines) }, 100);
  const search = lastWanted(source('a'), output, { pattern: parsePattern('^hit', false) }, 3, undefined);
  let step = search.next();
  while (!step.done) step = search.next();
  assert.deepEqual(step.value, { from: { lines: 1000, untilMs: undefined }, skip: 7 });
  assert.ok(reads() <= 10, `${reads()} stretches were read`);
  const merge = mergeLogs(
    [source('a')],
    output,
    { pattern: parsePattern('^hit', false), follow: false, marks: false },
    () => step.value as never,
  );
  assert.deepEqual(textsOf(merge), ['ahit 99707', 'ahit 99807', 'ahit 99907']);
});

test('a pattern that would take for ever is refused, and the daemon goes on', () => {
  const { output } = createLogs({ a: said(`${'a'.repeat(60)}!`) });
  const merge = mergeFrom(['a'], output, { lines: 1 }, false, { pattern: parsePattern('^(a+)+$', false) });
  assert.throws(
    () => textsOf(merge),
    (error: StewardError) => error instanceof StewardError && error.code === 'api/slow-pattern',
  );
  assert.throws(() => parsePattern('a(', false), /"a\(" is no regular expression/);
});
