import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countProblems, formatProblems, hasErrors, type Origins, originOf, type Problem, pointerStep } from './problem.ts';

const problem = (line: number, column: number, length: number, more: Partial<Problem> = {}): Problem => ({
  severity: 'error',
  code: 'config/unknown-value',
  message: 'wrong',
  hint: 'Write right.',
  at: { file: 'a.yaml', line, column, length },
  ...more,
});

const shown = (text: string, ...problems: readonly Problem[]): string => formatProblems(problems, [{ file: 'a.yaml', text }]);

test('a problem shows its line with a mark under what is wrong', () => {
  assert.equal(
    shown('name: x\nrestart: alwayz\n', problem(2, 10, 6)),
    ['a.yaml:2:10  wrong', '  2 | restart: alwayz', '    |          ^^^^^^', '  Write right.  [config/unknown-value]'].join('\n'),
  );
});

test('a mark stands right below a text that is indented by tabs', () => {
  assert.equal(shown('\tx\tyz', problem(1, 4, 2)).split('\n')[2], '    | \t \t^^');
});

test('a mark stands right below a text behind wide characters', () => {
  assert.equal(shown('中文 yz', problem(1, 4, 2)).split('\n')[2], '    |      ^^');
});

test('a mark does not reach beyond its line', () => {
  assert.equal(shown('abc\nd', problem(1, 2, 999)).split('\n')[2], '    |  ^^');
  assert.equal(
    shown('abc', problem(1, 9, 2))
      .split('\n')[2]
      ?.trimEnd()
      .endsWith('^'),
    true,
  );
});

test('Windows line ends and a byte order mark do not show', () => {
  assert.equal(shown('\uFEFFa\r\nbc\r\n', problem(2, 1, 2)).split('\n')[1], '  2 | bc');
});

test('marks fit numbers of any width', () => {
  const [, line, marks] = shown('x\n'.repeat(120), problem(120, 1, 1)).split('\n');
  assert.equal(line, '  120 | x');
  assert.equal(marks, '      | ^');
});

test('a very long line is not shown', () => {
  assert.equal(shown('x'.repeat(1000), problem(1, 1, 1)).split('\n').length, 2);
});

test('what a terminal would act on is not shown as it is', () => {
  assert.doesNotMatch(shown('a: "\x1b[31mred\x07"', problem(1, 1, 1)), /[\x1b\x07]/);
});

test('a place outside the text, or in a file that was not read, has no frame', () => {
  assert.equal(shown('a', problem(7, 1, 1)), 'a.yaml:7:1  wrong\n  Write right.  [config/unknown-value]');
  const elsewhere = problem(1, 1, 1, { at: { file: 'b.yaml', line: 1, column: 1, length: 1 } });
  assert.equal(shown('a', elsewhere), 'b.yaml:1:1  wrong\n  Write right.  [config/unknown-value]');
});

test('a problem without a place or a hint is told all the same', () => {
  assert.equal(shown('', problem(1, 1, 1, { at: undefined, hint: undefined })), 'wrong\n  [config/unknown-value]');
});

test('problems come sorted by file, line and column, warnings and notes named', () => {
  const text = shown(
    'abc\ndef',
    problem(2, 1, 1, { severity: 'note', message: 'third' }),
    problem(1, 3, 1, { severity: 'warning', message: 'second' }),
    problem(1, 1, 1, { message: 'first' }),
  );
  assert.deepEqual(
    text.split('\n\n').map((part) => part.split('\n')[0]),
    ['a.yaml:1:1  first', 'a.yaml:1:3  warning: second', 'a.yaml:2:1  note: third'],
  );
});

test('problems are counted by severity', () => {
  assert.equal(countProblems([]), 'no problems');
  const some = [problem(1, 1, 1), problem(1, 1, 1), problem(1, 1, 1, { severity: 'warning' })];
  assert.equal(countProblems(some), '2 errors, 1 warning');
  assert.equal(hasErrors(some), true);
  assert.equal(hasErrors(some.slice(2)), false);
});

test('a value without a place of its own stands where its parent does', () => {
  const at = { file: 'a.yaml', line: 3, column: 1, length: 1 };
  const origins: Origins = new Map([['/services/a~1b', at]]);
  assert.equal(originOf(origins, `/services${pointerStep('a/b')}/run/0`), at);
  assert.equal(originOf(origins, '/sites/0'), undefined);
  assert.equal(pointerStep('a~b/c'), '/a~0b~1c');
});
