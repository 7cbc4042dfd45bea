import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { startTimeOf } from '../kernel/process-table.ts';
import { createOutput, type ExitStatus, fileNameOf, type Output, type OutputOptions } from './output.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Options of an output that nobody listens to. */
const quiet = (folder: string): OutputOptions => ({
  folder,
  notifyFolder: join(folder, 'notify'),
  onGrowth: () => {},
  onDeath: () => {},
  onNotify: () => {},
  onTrouble: () => {},
});

function start(folder: string, options: Partial<OutputOptions> = {}): Output {
  const output = createOutput({ ...quiet(folder), ...options });
  cleanups.push(() => output.stop('stop'));
  return output;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'steward-output-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function run(output: Output, id: string, script: string): ChildProcess {
  const fd = output.writer(id);
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', fd, fd] });
  closeSync(fd);
  return child;
}

const ended = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.once('exit', resolve));

async function until(what: () => boolean, orElse: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (what()) return;
    await wait(10);
  }
  assert.fail(orElse);
}

const keeperPid = (folder: string): number => {
  const pid = readdirSync('/proc').find((name) => /^\d+$/.test(name) && cmdline(name).includes(folder) && cmdline(name).includes('keeper'));
  return Number(pid);
};
const cmdline = (pid: string): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
};

const numbers = (text: string): number[] => text.split('\n').filter(Boolean).map(Number);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

test('what a program writes is in its log, with the time it arrived', async () => {
  const folder = newFolder();
  const output = start(folder);
  const file = join(folder, 'web.log');
  output.open({ id: 'web', file, maxBytes: 0, keep: 0 });
  await output.settle(); // the keeper is up
  const before = Date.now();
  await ended(run(output, 'web', 'echo one; sleep 0.05; printf "two\\r\\nthree"'));
  await output.settle();
  assert.equal(readFileSync(file, 'utf8'), 'one\ntwo\r\nthree');
  const { lines } = output.read(file, undefined, true);
  assert.deepEqual(
    lines.map((line) => line.text),
    ['one', 'two', 'three'],
  );
  const [one, two] = lines.map((line) => line.timeMs) as [number, number];
  assert.ok(one >= before && two >= one + 40 && two <= Date.now(), `times ${before} ${one} ${two}`);
});

test('rotation cuts between lines, keeps every line once and in order, and deletes what is over the count', async () => {
  const folder = newFolder();
  const output = start(folder);
  const file = join(folder, 'n.log');
  output.open({ id: 'n', file, maxBytes: 20_000, keep: 100 });
  await ended(run(output, 'n', 'seq 1 60000'));
  await output.settle();
  const files = readdirSync(folder).filter((name) => /^n\.log(\.\d+)?$/.test(name));
  assert.ok(files.length > 5, `${files}`);
  const text = files
    .toSorted((a, b) => Number(b.split('.')[2] ?? 0) - Number(a.split('.')[2] ?? 0))
    .map((name) => {
      const part = readFileSync(join(folder, name), 'utf8');
      assert.ok(part.endsWith('\n'), `${name} ends in the middle of a line`);
      return part;
    });
  assert.deepEqual(numbers(text.join('')), upTo(60000));
  let place = output.place(file, { lines: 3000 });
  const tail: string[] = [];
  for (;;) {
    const part = output.read(file, place, true);
    tail.push(...part.lines.map((line) => line.text));
    place = part.place;
    if (!part.more) break;
  }
  assert.deepEqual(tail.map(Number), upTo(60000).slice(-3000));
  output.open({ id: 'n', file, maxBytes: 1000, keep: 2 });
  await ended(run(output, 'n', 'for i in 1 2 3 4 5 6 7 8 9; do seq 1 400; sleep 0.02; done'));
  await output.settle();
  assert.ok(!existsSync(`${file}.101`));
});

test('nothing is lost or doubled when the keeper is killed again and again', async () => {
  const folder = newFolder();
  const output = start(folder);
  const file = join(folder, 'k.log');
  output.open({ id: 'k', file, maxBytes: 30_000, keep: 1000 });
  const child = run(output, 'k', 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); echo $i; done');
  let over = false;
  const done = ended(child).then(() => {
    over = true;
  });
  let kills = 0;
  while (!over) {
    // One that has answered is killed; one that never gets to its work would stop the program for ever.
    await until(() => keeperPid(folder) > 0, 'no keeper');
    await output.settle();
    await wait(Math.random() * 20);
    const pid = keeperPid(folder);
    process.kill(pid, 'SIGKILL');
    kills += 1;
    await until(() => keeperPid(folder) !== pid, 'the keeper lives');
  }
  await done;
  await until(() => keeperPid(folder) > 0, 'no keeper');
  await output.settle();
  await output.settle();
  const found: number[] = [];
  for (let place = undefined as ReturnType<Output['place']>; ; ) {
    const part = output.read(file, place, true);
    found.push(...part.lines.map((line) => Number(line.text)));
    place = part.place;
    if (!part.more) break;
  }
  assert.ok(kills > 2, `${kills} kills`);
  assert.deepEqual(found, upTo(300000));
});

test('the last words of a program that ended while nobody listened are kept', async () => {
  const folder = newFolder();
  const first = createOutput(quiet(folder));
  first.open({ id: 'last', file: join(folder, 'last.log'), maxBytes: 0, keep: 0 });
  await first.settle();
  const child = run(first, 'last', 'sleep 0.2; echo farewell');
  await first.stop('leave');
  await ended(child);
  const second = start(folder);
  second.open({ id: 'last', file: join(folder, 'last.log'), maxBytes: 0, keep: 0 });
  await second.settle();
  assert.equal(readFileSync(join(folder, 'last.log'), 'utf8'), 'farewell\n');
});

test('a log that is moved, deleted or truncated from outside is written on', async () => {
  const folder = newFolder();
  const output = start(folder);
  const file = join(folder, 'x.log');
  output.open({ id: 'x', file, maxBytes: 0, keep: 0 });
  const say = async (word: string): Promise<void> => {
    await ended(run(output, 'x', `echo ${word}`));
    await output.settle();
  };
  await say('first');
  renameSync(file, `${file}.old`);
  await wait(1100);
  await say('second');
  assert.equal(readFileSync(file, 'utf8'), 'second\n');
  assert.equal(readFileSync(`${file}.old`, 'utf8'), 'first\n');
  truncateSync(file, 0);
  await say('third');
  assert.equal(readFileSync(file, 'utf8'), 'third\n');
  rmSync(file);
  await wait(1100);
  await say('fourth');
  assert.equal(readFileSync(file, 'utf8'), 'fourth\n');
});

test('after a truncation the times of new lines are right again', async () => {
  const folder = newFolder();
  const output = start(folder);
  const file = join(folder, 't.log');
  output.open({ id: 't', file, maxBytes: 0, keep: 0 });
  await output.settle();
  await ended(run(output, 't', 'echo a long first line; sleep 0.05; echo second'));
  await output.settle();
  truncateSync(file, 0);
  const before = Date.now();
  await ended(run(output, 't', 'echo x; sleep 0.05; echo y'));
  await output.settle();
  const { lines } = output.read(file, undefined, true);
  assert.deepEqual(
    lines.map(({ text }) => text),
    ['x', 'y'],
  );
  const [x, y] = lines.map(({ timeMs }) => timeMs) as [number, number];
  assert.ok(x >= before && y >= x + 40, `${before} ${x} ${y}`);
});

test('the death of a stranger is told with its exit code or signal', async () => {
  const folder = newFolder();
  const deaths: [number, ExitStatus][] = [];
  const output = start(folder, { onDeath: (process, exit) => deaths.push([process.pid, exit]) });
  output.open({ id: 'any', file: join(folder, 'any.log'), maxBytes: 0, keep: 0 });
  await output.settle(); // the keeper is up
  const children = [spawn('sh', ['-c', 'sleep 0.1; exit 7']), spawn('sleep', ['60'])];
  const pids = children.map((child) => child.pid as number) as [number, number];
  for (const pid of pids) output.watch({ pid, start: startTimeOf(pid) as number });
  await output.settle();
  children[1]?.kill('SIGKILL');
  await until(() => deaths.length === 2, 'two deaths');
  const release = readFileSync('/proc/sys/kernel/osrelease', 'utf8').split('.').map(Number) as [number, number];
  const tells = release[0] > 6 || (release[0] === 6 && release[1] >= 15);
  const unknown = { code: null, signal: null };
  assert.deepEqual(new Map(deaths).get(pids[0]), tells ? { code: 7, signal: null } : unknown);
  assert.deepEqual(new Map(deaths).get(pids[1]), tells ? { code: null, signal: 9 } : unknown);
  output.watch({ pid: pids[0], start: 1 });
  await until(() => deaths.length === 3, 'a process that is gone is told as dead');
});

test('a log that cannot be written does not stop the program, and says what is missing', async () => {
  const folder = newFolder();
  const troubles: unknown[] = [];
  const output = start(folder, { onTrouble: (id, trouble) => troubles.push([id, trouble]) });
  output.open({ id: 'f', file: '/dev/full', maxBytes: 0, keep: 0 });
  await ended(run(output, 'f', 'head -c 3000000 /dev/zero'));
  await output.settle();
  await until(() => troubles.length === 1, `one trouble, not ${JSON.stringify(troubles)}`);
});

test('a log that cannot be opened does not stop the program, and is written once it can', async () => {
  const folder = newFolder();
  const troubles: string[] = [];
  const output = start(folder, { onTrouble: (_id, trouble) => troubles.push(JSON.stringify(trouble)) });
  writeFileSync(join(folder, 'taken'), 'a file where a folder should be');
  const file = join(folder, 'taken/x.log');
  output.open({ id: 'x', file, maxBytes: 0, keep: 0 });
  await output.settle();
  await ended(run(output, 'x', 'head -c 1000000 /dev/zero'));
  await until(() => troubles.length === 1, 'the trouble is told');
  rmSync(join(folder, 'taken'));
  await until(() => {
    run(output, 'x', 'echo again');
    return existsSync(file) && readFileSync(file, 'utf8').includes('again');
  }, 'it is written again');
  await until(() => troubles.length >= 2, 'and that is told');
  assert.match(readFileSync(file, 'utf8'), /\[steward\] \d{7} bytes of output are missing here/);
});

test('a name never leaves its folder', () => {
  assert.equal(fileNameOf('a/../b'), 'a%2f..%2fb');
  assert.equal(fileNameOf('..'), '%2e.');
  assert.equal(fileNameOf('web:web_1!err'), 'web:web_1%21err');
});

test('an sd_notify message reaches the one who listens, and the socket goes with the listener', async () => {
  const folder = newFolder();
  const heard: string[][] = [];
  const output = start(folder, { onNotify: (id, text) => heard.push([id, text]) });
  const path = output.listen('web');
  await output.settle();
  const python = `import socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1\\nSTATUS=up", sys.argv[1])`;
  await ended(spawn('python3', ['-c', python, path], { stdio: 'inherit' }));
  await until(() => heard.length === 1, 'a message');
  assert.deepEqual(heard, [['web', 'READY=1\nSTATUS=up']]);
  output.unlisten('web');
  await output.settle();
  assert.ok(!existsSync(path));
});
