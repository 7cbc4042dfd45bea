import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'steward-log-'));
after(() => rmSync(folder, { recursive: true }));
const module = fileURLToPath(new URL('./daemon-log.ts', import.meta.url));

/** Runs a script whose stdout and stderr are `target`, with `log` of the given size for `file`. */
function writeLog(file: string, target: string | number, script: string): number | null {
  const fd = typeof target === 'number' ? target : openSync(target, 'a', 0o600);
  const text = `import { createDaemonLog } from ${JSON.stringify(module)};
const log = createDaemonLog(${JSON.stringify(file)}, { maxBytes: 10_000, keep: 2 });
${script}`;
  const { status } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', text], {
    stdio: ['ignore', fd, fd],
    timeout: 60_000,
  });
  return status;
}

const numbersIn = (file: string): number[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => Number((JSON.parse(line) as { msg: string }).msg));

test('a full log is put aside, twice at most, and the last lines are there without a gap', () => {
  const file = join(folder, 'daemon.log');
  assert.equal(writeLog(file, file, `for (let n = 1; n <= 1000; n++) log('info', String(n)); console.log('{"msg":"1001"}');`), 0);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('daemon.log')),
    ['daemon.log', 'daemon.log.1', 'daemon.log.2'],
  );
  for (const name of ['daemon.log', 'daemon.log.1', 'daemon.log.2']) assert.ok(statSync(join(folder, name)).size <= 10_100);
  const kept = ['daemon.log.2', 'daemon.log.1', 'daemon.log'].flatMap((name) => numbersIn(join(folder, name)));
  assert.equal(kept.at(-1), 1001, 'what goes to stdout goes to the new file too');
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, index) => 1001 - kept.length + 1 + index),
  );
});

test('stderr that is another file is left alone', () => {
  const [file, other] = [join(folder, 'mine.log'), join(folder, 'other.log')];
  assert.equal(writeLog(file, other, `for (let n = 1; n <= 1000; n++) log('info', String(n));`), 0);
  assert.equal(numbersIn(other).length, 1000);
  assert.ok(!readdirSync(folder).includes('mine.log'));
});

test('a disk that is full stops nothing', () => {
  assert.equal(writeLog(join(folder, 'none.log'), openSync('/dev/full', 'w'), `for (let n = 0; n < 10; n++) log('error', 'x');`), 0);
});
