import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLogFiles } from './log-files.ts';
import { createLogWriter } from './log-writer.ts';

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'logs-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A process that writes `NAME 0`, `NAME 1` … to a file until it is told to stop; then it answers with how many it wrote. */
const writerProgram = `
const { createLogWriter } = await import(process.argv[2]);
const writer = createLogWriter(() => {});
let count = 0;
const timer = setInterval(() => {
  for (let at = 0; at < 20; at++) writer.write(process.argv[3], process.argv[4] + ' ' + count++ + ' ' + 'x'.repeat(count % 200) + '.', true);
}, 1);
process.once('message', async () => {
  clearInterval(timer);
  await writer.flush(10000);
  process.send({ count, dropped: writer.dropped() });
  process.disconnect();
});
`;

async function startWriter(t: TestContext, folder: string, file: string, name: string): Promise<ChildProcess> {
  const program = path.join(folder, 'writer.mjs');
  await writeFile(program, writerProgram);
  const child = fork(program, [new URL('./log-writer.ts', import.meta.url).href, file, name]);
  t.after(() => child.kill('SIGKILL'));
  return child;
}

const stopWriter = (child: ChildProcess): Promise<{ count: number; dropped: number }> =>
  new Promise((resolve) => {
    child.once('message', (message) => resolve(message as { count: number; dropped: number }));
    child.send('stop');
  });

/** Numbers of each writer's lines in the order of `texts`; fails on a line that is not whole. */
function numbersIn(texts: readonly string[]): Map<string, number[]> {
  const numbers = new Map<string, number[]>();
  for (const text of texts) {
    assert.ok(text === '' || text.endsWith('\n'));
    for (const line of text.split('\n').slice(0, -1)) {
      const [, name = '', number = '', rest = ''] = /^(\w) (\d+) (x*)\.$/.exec(line) ?? assert.fail(`not whole: ${line}`);
      assert.equal(rest.length, (Number(number) + 1) % 200);
      const found = numbers.get(name) ?? [];
      found.push(Number(number));
      numbers.set(name, found);
    }
  }
  return numbers;
}

test('200 times renamed, deleted and made unwritable while two workers write: every line once, whole and in order', async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'access.log');
  const writers = await Promise.all(['a', 'b'].map((name) => startWriter(t, folder, file, name)));
  const kept: { fd: number; name: string }[] = [];
  for (let round = 0; round < 200; round++) {
    for (let tries = 0; !existsSync(file) && tries < 1000; tries++) await pause(5);
    if (round % 4 === 0) await chmod(file, 0o000);
    const fd = openSync(file, constants.O_RDONLY);
    kept.push({ fd, name: `${round}` });
    if (round % 2 === 0) await rename(file, `${file}.${round}`);
    else await rm(file);
  }
  await pause(200);
  const results = await Promise.all(writers.map(stopWriter));
  const texts = kept.map(({ fd }) => readFileSync(`/proc/self/fd/${fd}`, 'utf8'));
  for (const { fd } of kept) closeSync(fd);
  const numbers = numbersIn([...texts, readFileSync(file, 'utf8')]);
  for (const [at, name] of ['a', 'b'].entries()) {
    const { count = 0, dropped } = results[at] ?? {};
    assert.equal(dropped, 0);
    assert.ok(count > 1000);
    assert.deepEqual(
      numbers.get(name),
      Array.from({ length: count }, (_, number) => number),
      name,
    );
  }
});

test('a file that is emptied while it is written to goes on from its start, with whole lines in order', async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'access.log');
  const writer = await startWriter(t, folder, file, 'a');
  for (let tries = 0; !existsSync(file) && tries < 1000; tries++) await pause(5);
  for (let round = 0; round < 100; round++) {
    await truncate(file, 0);
    await pause(3);
  }
  const { count } = await stopWriter(writer);
  const numbers = numbersIn([readFileSync(file, 'utf8')]).get('a') ?? [];
  const first = numbers[0] ?? 0;
  assert.deepEqual(
    numbers,
    Array.from({ length: count - first }, (_, at) => first + at),
  );
});

test('files that grow are rotated without losing a line, and only as many are kept as asked for', async (t) => {
  const folder = await temporaryFolder(t);
  const file = path.join(folder, 'logs/access.log');
  const troubles: string[] = [];
  const files = createLogFiles({ log: (line) => troubles.push(line), everyMs: 150 });
  t.after(() => files.stop());
  files.want([{ file, maxBytes: 20_000, keep: 1000 }]);
  assert.equal(statSync(file).mode & 0o777, 0o640);
  const writers = await Promise.all(['a', 'b'].map((name) => startWriter(t, folder, file, name)));
  await pause(2_500);
  const results = await Promise.all(writers.map(stopWriter));
  const names = readdirSync(path.dirname(file)).sort((a, b) => Number(b.split('.')[2] ?? 0) - Number(a.split('.')[2] ?? 0));
  assert.ok(names.length > 5, names.join());
  const numbers = numbersIn(names.map((name) => readFileSync(path.join(path.dirname(file), name), 'utf8')));
  for (const [at, name] of ['a', 'b'].entries())
    assert.deepEqual(
      numbers.get(name),
      Array.from({ length: results[at]?.count ?? 0 }, (_, number) => number),
    );
  files.want([{ file, maxBytes: 10, keep: 2 }]);
  await writeFile(file, 'more than ten bytes');
  files.want([{ file, maxBytes: 10, keep: 2 }]);
  assert.equal(readFileSync(`${file}.1`, 'utf8'), 'more than ten bytes');
  assert.deepEqual(troubles, []);
});

test('rotation fills gaps, keeps none when asked, and knows names made from variables', async (t) => {
  const folder = await temporaryFolder(t);
  const files = createLogFiles({ log: (line) => assert.fail(line) });
  t.after(() => files.stop());
  for (const name of ['a.log', 'a.log.2', 'b.log', 'none.log', 'small.log', 'small.txt'])
    await writeFile(path.join(folder, name), name.padEnd(20));
  await writeFile(path.join(folder, 'small.log'), '');
  files.want([
    { file: path.join(folder, '$host.log'), maxBytes: 20, keep: 2 },
    { file: path.join(folder, 'none.log'), maxBytes: 20, keep: 0 },
  ]);
  const text = (name: string) => readFileSync(path.join(folder, name), 'utf8').trim();
  assert.deepEqual(['a.log', 'a.log.1', 'a.log.2', 'b.log', 'b.log.1', 'small.txt'].map(text), [
    '',
    'a.log',
    'a.log.2',
    '',
    'b.log',
    'small.txt',
  ]);
  files.want([{ file: path.join(folder, 'a.log.2'), maxBytes: 1, keep: 0 }]);
  assert.equal(text('a.log.2'), '');
  assert.ok(!existsSync(path.join(folder, 'a.log.2.1')));
});

test('links, devices and folders that are not there are left alone and told once', async (t) => {
  const folder = await temporaryFolder(t);
  const told: string[] = [];
  const files = createLogFiles({ log: (line) => told.push(line) });
  t.after(() => files.stop());
  await writeFile(path.join(folder, 'target'), 'x'.repeat(100));
  await symlink('target', path.join(folder, 'link.log'));
  await mkdir(path.join(folder, 'folder.log'));
  const wanted = ['link.log', 'folder.log', 'no/where/a.log'].map((name) => ({ file: path.join(folder, name), maxBytes: 10, keep: 3 }));
  files.want([...wanted, { file: '/dev/null', maxBytes: 10, keep: 3 }]);
  files.want([...wanted, { file: '/dev/null', maxBytes: 10, keep: 3 }]);
  assert.deepEqual(readdirSync(folder).sort(), ['folder.log', 'link.log', 'target']);
  assert.ok(told.length >= 1 && told.every((line) => /no\/where/.test(line)), told.join('\n'));
});

test('lines wait for a folder that is not there yet, up to a limit, and those of made-up names do not', async (t) => {
  const folder = await temporaryFolder(t);
  const told: string[] = [];
  const writer = createLogWriter((text) => told.push(text));
  const file = path.join(folder, 'later/access.log');
  writer.write(file, 'one', true);
  writer.write(path.join(folder, 'never/x.log'), 'lost', false);
  await pause(50);
  writer.write(file, 'two', true);
  assert.equal(writer.dropped(), 1);
  await mkdir(path.dirname(file));
  await writer.flush(5_000);
  assert.equal(readFileSync(file, 'utf8'), 'one\ntwo\n');
  assert.equal(told.length, 1);
  await rm(path.dirname(file), { recursive: true });
  await pause(150);
  const line = 'x'.repeat(1024 * 1024);
  for (let at = 0; at < 12; at++) writer.write(file, line, true);
  assert.ok(writer.dropped() >= 4, String(writer.dropped()));
});
