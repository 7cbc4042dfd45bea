import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogLine, Output } from '../output/output.ts';
import { type LogSource, type Merge, mergeLogs } from './log-merge.ts';

/** Lines of logs by file; read in stretches of `atOnce`. */
function createLogs(logs: Readonly<Record<string, LogLine[]>>, atOnce = 2): { output: Output; reads: () => number } {
  let reads = 0;
  const linesOf = (file: string): LogLine[] => logs[file] ?? [];
  const output = {
    place(file: string, wanted: { lines: number } | { sinceMs: number }) {
      if (logs[file] === undefined) return undefined;
      const all = linesOf(file);
      const offset = 'lines' in wanted ? all.length - wanted.lines : all.findIndex(({ timeMs }) => timeMs >= wanted.sinceMs);
      return { inode: 1, offset: Math.max(0, offset === -1 ? all.length : offset) };
    },
    read(file: string, place: { offset: number } | undefined) {
      reads += 1;
      const from = place?.offset ?? 0;
      const lines = linesOf(file).slice(from, from + atOnce);
      return { lines, place: { inode: 1, offset: from + lines.length }, more: from + lines.length < linesOf(file).length };
    },
  } as unknown as Output;
  return { output, reads: () => reads };
}

const source = (file: string): LogSource => ({ instance: file, stream: 'stdout', file });
const at = (...times: readonly number[]): LogLine[] => times.map((timeMs) => ({ timeMs, text: String(timeMs) }));
const textsOf = (merge: Merge): string[] => [...merge.lines()].map(({ text, source: { file } }) => `${file}${text}`);

test('lines of several logs come in the order they arrived', () => {
  const { output } = createLogs({ a: at(1, 4, 5, 9), b: at(2, 3, 8), c: at() });
  const merge = mergeLogs(['a', 'b', 'c'].map(source), output, { lines: 100 }, false);
  assert.deepEqual(textsOf(merge), ['a1', 'b2', 'b3', 'a4', 'a5', 'b8', 'a9']);
  assert.deepEqual(textsOf(merge), []);
});

test('lines of the same time keep the order of the logs', () => {
  const { output } = createLogs({ a: at(1, 1), b: at(1, 1) });
  assert.deepEqual(textsOf(mergeLogs(['a', 'b'].map(source), output, { lines: 100 }, false)).toSorted(), ['a1', 'a1', 'b1', 'b1']);
  assert.equal(textsOf(mergeLogs(['a', 'b'].map(source), output, { lines: 100 }, false))[0], 'a1');
});

test('a clock that went back does not change the order within a log', () => {
  const { output } = createLogs({ a: at(10, 3, 11), b: at(5, 12) });
  assert.deepEqual(textsOf(mergeLogs(['a', 'b'].map(source), output, { lines: 100 }, false)), ['b5', 'a10', 'a3', 'a11', 'b12']);
});

test('each log begins at its last lines, or at a time', () => {
  const { output } = createLogs({ a: at(1, 2, 3), b: at(4, 5, 6) });
  assert.deepEqual(textsOf(mergeLogs(['a', 'b'].map(source), output, { lines: 1 }, false)), ['a3', 'b6']);
  assert.deepEqual(textsOf(mergeLogs(['a', 'b'].map(source), output, { sinceMs: 3 }, false)), ['a3', 'b4', 'b5', 'b6']);
});

test('what grows later comes at the next look', () => {
  const logs = { a: at(1), b: at(2) };
  const { output } = createLogs(logs);
  const merge = mergeLogs(['a', 'b'].map(source), output, { lines: 100 }, true);
  assert.deepEqual(textsOf(merge), ['a1', 'b2']);
  logs.b.push(...at(3));
  logs.a.push(...at(4));
  assert.deepEqual(textsOf(merge), ['b3', 'a4']);
});

test('a log that is new joins with what it holds since a time; one that is known does not begin again', () => {
  const logs: Record<string, LogLine[]> = { a: at(1), b: at(2, 5) };
  const { output } = createLogs(logs);
  const merge = mergeLogs([source('a')], output, { lines: 100 }, true);
  assert.deepEqual(textsOf(merge), ['a1']);
  merge.add(['a', 'b'].map(source), 3);
  assert.deepEqual(textsOf(merge), ['b5']);
});

test('a log whose file does not exist yet is read from its beginning once it does', () => {
  const logs: Record<string, LogLine[]> = {};
  const { output } = createLogs(logs);
  const merge = mergeLogs([source('a')], output, { lines: 100 }, true);
  assert.deepEqual(textsOf(merge), []);
  logs.a = at(1, 2);
  assert.deepEqual(textsOf(merge), ['a1', 'a2']);
});

test('a reader who stops early does not read the logs to their end', () => {
  const { output, reads } = createLogs({ a: at(...Array.from({ length: 1000 }, (_, n) => n + 1)) });
  const lines = mergeLogs([source('a')], output, { lines: 1000 }, false).lines();
  assert.equal(lines.next().value?.text, '1');
  assert.ok(reads() < 3);
});
