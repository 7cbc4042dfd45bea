import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Output } from './output.ts';
import { newFolder, readAll, startOutput, textsOf } from './testing.ts';

/** Runs a program to its end as one run, as the supervisor does. */
async function runOnce(output: Output, id: string, run: string, script: string): Promise<number | null> {
  await output.drained([id]);
  const fd = output.writer(id);
  output.begin(id, run);
  const { pid, status } = spawnSync('/bin/sh', ['-c', script], { stdio: ['ignore', fd, fd] });
  closeSync(fd);
  output.started(id, { run, pid });
  output.ended(id, { run, pid }, { code: status, signal: null });
  return status;
}

function open(t: TestContext, maxBytes = 0, keep = 0): { output: Output; file: string } {
  const folder = newFolder(t);
  const output = startOutput(t, folder);
  const file = join(folder, 'a.log');
  output.open({ id: 'a', file, maxBytes, keep });
  return { output, file };
}

const name = (n: number): string => `run${n}`;

test('each line belongs to the run that wrote it, with where it started and how it ended', async (t) => {
  const { output, file } = open(t);
  await output.settle();
  await runOnce(output, 'a', 'aa11', 'echo one; echo two; exit 3');
  await runOnce(output, 'a', 'bb22', 'exit 0');
  await runOnce(output, 'a', 'cc33', 'echo three');
  await output.settle();
  const { lines, marks } = readAll(output, file);
  assert.deepEqual(
    lines.map(({ text, run }) => [text, run]),
    [
      ['one', 'aa11'],
      ['two', 'aa11'],
      ['three', 'cc33'],
    ],
  );
  assert.deepEqual(
    marks.map(({ kind, run, code, after }) => [kind, run, code, after]),
    [
      ['started', 'aa11', null, 0],
      ['exited', 'aa11', 3, 2],
      ['started', 'bb22', null, 2],
      ['exited', 'bb22', 0, 2],
      ['started', 'cc33', null, 2],
      ['exited', 'cc33', 0, 3],
    ],
  );
  assert.ok(lines.every(({ pid }) => pid > 0) && marks.every(({ pid }) => pid > 0));
  assert.deepEqual(output.runs(file, 2), ['cc33', 'bb22']);
  assert.ok(output.hasRun(file, 'aa') && !output.hasRun(file, 'dd'));
});

test('what a run left unfinished is a line of its own', async (t) => {
  const { output, file } = open(t);
  await runOnce(output, 'a', 'aa11', 'printf "no newline"');
  await runOnce(output, 'a', 'bb22', 'echo next');
  await output.settle();
  assert.deepEqual(
    readAll(output, file).lines.map(({ text, run }) => [text, run]),
    [
      ['no newline', 'aa11'],
      ['next', 'bb22'],
    ],
  );
});

test('no line of a program that says one thing and fails is lost, and each has its own run, over rotations too', async (t) => {
  const { output, file } = open(t, 400, 1000);
  const count = 150;
  for (let n = 1; n <= count; n++) assert.equal(await runOnce(output, 'a', name(n), `echo x${n}; exit 1`), 1);
  await output.settle();
  const { lines, marks } = readAll(output, file);
  assert.deepEqual(
    lines.map(({ text, run }) => `${text} ${run}`),
    Array.from({ length: count }, (_, at) => `x${at + 1} ${name(at + 1)}`),
  );
  assert.deepEqual(
    marks.map(({ kind, run, after }) => `${kind} ${run} ${after}`),
    Array.from({ length: count }, (_, at) => [`started ${name(at + 1)} ${at}`, `exited ${name(at + 1)} ${at + 1}`]).flat(),
  );
});

test('reading begins at a run, in whichever file it began', async (t) => {
  const { output, file } = open(t, 5000, 100);
  for (let n = 1; n <= 20; n++) await runOnce(output, 'a', name(n + 100), `seq ${n}001 ${n}300`);
  await output.settle();
  const from = readAll(output, file, output.place(file, { run: 'run107' })).lines;
  assert.deepEqual(textsOf(from.slice(0, 2)), ['7001', '7002']);
  assert.equal(from.filter(({ run }) => run === 'run107').length, 300);
  assert.equal(from.length, 14 * 300);
});
