/** What tests of interruptions share: a client that asks all the time, and a service whose lines are numbered. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Place } from './harness.ts';

/** Asks all the time over one kept connection, until told to stop; what failed, and how many were answered. */
export function keepAsking(url: string): { answered(): number; stop(): Promise<string[]> } {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const failures: string[] = [];
  let answered = 0;
  let asking = true;
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const fail = (error: Error): void => {
        failures.push(error.message);
        resolve();
      };
      const made = request(url, { agent, timeout: 20_000 }, (response) => {
        response.resume();
        response.once('end', () => {
          if (response.statusCode === 200) answered += 1;
          else failures.push(`status ${response.statusCode}`);
          resolve();
        });
        response.once('error', fail);
      });
      made.once('timeout', () => made.destroy(new Error('no answer in 20 s')));
      made.once('error', fail);
      made.end();
    });
  const loop = (async () => {
    for (; asking; await wait(2)) await ask();
  })();
  return {
    answered: () => answered,
    async stop() {
      asking = false;
      await loop;
      agent.destroy();
      return failures;
    },
  };
}

/** A Python program that writes 1, 2, 3 ... some 4,000 lines a second. */
export const numberWriter = `import sys, time
n = 0
while True:
    for _ in range(20):
        n += 1
        sys.stdout.write("%d\\n" % n)
    sys.stdout.flush()
    time.sleep(0.005)
`;

/** All lines of a log, rotated files first. */
export function linesOf(place: Place, name: string): string[] {
  const folder = join(place.state, 'logs');
  const number = (file: string): number => Number(/\.(\d+)$/.exec(file)?.[1] ?? 0);
  const files = readdirSync(folder).filter((file) => file === `${name}.log` || file.startsWith(`${name}.log.`));
  return files
    .toSorted((a, b) => number(b) - number(a))
    .flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean));
}

/** Fails unless the lines are 1, 2, 3 ... without a gap and without one twice, and `least` at least. */
export function assertCounting(lines: readonly string[], least: number): void {
  assert.ok(lines.length >= least, `${lines.length} lines`);
  const wrong = lines.findIndex((line, index) => line !== String(index + 1));
  assert.equal(wrong, -1, `line ${wrong + 1} is "${lines[wrong]}" after "${lines[wrong - 1]}"`);
}

/** Looks until it is so, for what takes a loaded machine minutes; fails after four. */
export async function patiently(what: string, look: () => boolean): Promise<void> {
  for (const end = performance.now() + 240_000; performance.now() < end; await wait(100)) if (look()) return;
  assert.fail(`waited in vain for ${what}`);
}
