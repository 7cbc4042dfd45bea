/** What the tests of this room share: an output in a folder of its own, programs that write to it, and reading it back. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createOutput, type LogLine, type Output, type OutputOptions, type Place, type RunMark } from './output.ts';

const stacks = new WeakMap<TestContext, (() => unknown)[]>();

/** Does something after the test, before what was to be done by then. */
export function afterwards(t: TestContext, work: () => unknown): void {
  const stack = stacks.get(t) ?? [];
  if (stack.length === 0) {
    stacks.set(t, stack);
    t.after(async () => {
      for (const one of stack.toReversed()) await one();
    });
  }
  stack.push(work);
}

/** A folder that is removed after the test. */
export function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'steward-logs-'));
  afterwards(t, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An output that ends with the test, keeper and all. */
export function startOutput(t: TestContext, folder: string, options: Partial<OutputOptions> = {}): Output {
  const output = createOutput({
    folder: join(folder, 'io'),
    notifyFolder: join(folder, 'notify'),
    onGrowth: () => {},
    onDeath: () => {},
    onNotify: () => {},
    onTrouble: () => {},
    ...options,
  });
  afterwards(t, () => output.stop('stop'));
  return output;
}

/** A shell that writes to a stream. */
export function write(output: Output, id: string, script: string): ChildProcess {
  const fd = output.writer(id);
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', fd, fd] });
  closeSync(fd);
  return child;
}

export const ended = (child: ChildProcess): Promise<number | null> => new Promise((resolve) => child.once('exit', resolve));

/** Looks until `look` is true; fails after 60 s. */
export async function until(what: string, look: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; Date.now() < end; await wait(10)) if (look()) return;
  assert.fail(`waited in vain for ${what}`);
}

/** All that a log holds from a place on. */
export function readAll(output: Output, file: string, from?: Place): { lines: LogLine[]; marks: (RunMark & { readonly after: number })[] } {
  const lines: LogLine[] = [];
  const marks: (RunMark & { readonly after: number })[] = [];
  for (let place = from, more = true; more; ) {
    const part = output.read(file, place, true);
    for (const mark of part.marks) marks.push({ ...mark, after: lines.length + mark.before });
    lines.push(...part.lines);
    ({ place, more } = part);
  }
  return { lines, marks };
}

export const textsOf = (lines: readonly LogLine[]): string[] => lines.map(({ text }) => text);
export const upTo = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i + 1));

/** The pid of the keeper of this folder; 0 when there is none. */
export function keeperOf(folder: string): number {
  const isKeeper = (name: string): boolean => {
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'latin1');
      return words.includes(join(folder, 'io')) && words.includes('keeper');
    } catch {
      return false;
    }
  };
  return Number(readdirSync('/proc').find((name) => /^\d+$/.test(name) && isKeeper(name)) ?? 0);
}
