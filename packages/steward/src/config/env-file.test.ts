import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvFile } from './env-file.ts';

const read = (text: string) => readEnvFile({ file: '/srv/.env', text });
const envOf = (text: string): Record<string, string> => {
  const { env, problems } = read(text);
  assert.deepEqual(problems, []);
  return { ...env };
};

test('each line sets a variable; blanks around name and value do not count', () => {
  assert.deepEqual(envOf('A=1\n  B = two words \nexport C=3\nD=\nE.F=x\n'), { A: '1', B: 'two words', C: '3', D: '', 'E.F': 'x' });
});

test('empty lines and comments are left out', () => {
  assert.deepEqual(envOf('# a comment\n\n   \n  # another\nA=1 # behind a blank\nB=1#not\n'), { A: '1', B: '1#not' });
});

test('double quotes keep blanks and know \\n and \\", single quotes know nothing', () => {
  assert.deepEqual(envOf([String.raw`A=" a\tb\n\"c\" \\ # d " # end`, String.raw`B='a\nb # c'`].join('\n')), {
    A: ' a\tb\n"c" \\ # d ',
    B: String.raw`a\nb # c`,
  });
});

test('a quote that is not closed is part of the value', () => {
  assert.deepEqual(envOf(`A="b\nC='d\nE=it's`), { A: '"b', C: "'d", E: "it's" });
});

test('an equals sign may stand in a value', () => {
  assert.deepEqual(envOf('URL=postgres://u:p@h/db?a=b'), { URL: 'postgres://u:p@h/db?a=b' });
});

test('the last of two lines with one name counts', () => {
  assert.deepEqual(envOf('A=1\nA=2'), { A: '2' });
});

test('all line ends and a byte order mark are understood', () => {
  assert.deepEqual(envOf('\uFEFFA=1\r\nB=2\rC=3\n'), { A: '1', B: '2', C: '3' });
});

test('names that JavaScript knows are names like any other', () => {
  assert.equal(Object.hasOwn(read('__proto__=x\nconstructor=y').env, '__proto__'), true);
});

test('a line that sets nothing is told with its place', () => {
  const { env, problems } = read('A=1\nnothing\n2B=3\n=x\n');
  assert.deepEqual({ ...env }, { A: '1' });
  assert.deepEqual(
    problems.map(({ code, at }) => [code, at]),
    [
      ['config/env-line', { file: '/srv/.env', line: 2, column: 1, length: 7 }],
      ['config/env-line', { file: '/srv/.env', line: 3, column: 1, length: 4 }],
      ['config/env-line', { file: '/srv/.env', line: 4, column: 1, length: 2 }],
    ],
  );
});
