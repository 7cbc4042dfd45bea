import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { growPipe, makePipe } from '../kernel/kernel.ts';
import type { Place } from './log-reader.ts';
import { indexFolderOf, segmentsOf } from './segments.ts';
import { openSink, type Sink, type SinkSpec } from './sink.ts';
import { afterwards, ended, newFolder, readAll, startOutput, textsOf, until, upTo, write } from './testing.ts';

const hour = 3_600_000;

/** A sink, and a way to say something at a time. */
function sinkIn(
  t: TestContext,
  spec: Omit<SinkSpec, 'file'>,
): { say: (text: string, nowMs: number) => void; file: string; folder: string; sink: () => Sink; again: () => void } {
  const folder = newFolder(t);
  const open = (name: string): number => {
    makePipe(join(folder, name), 0o600);
    const fd = openSync(join(folder, name), constants.O_RDWR | constants.O_NONBLOCK);
    afterwards(t, () => closeSync(fd));
    growPipe(fd, 65536);
    return fd;
  };
  const pipe = open('pipe');
  const scratch = { pipe: open('scratch'), buffer: Buffer.alloc(65536) };
  const file = join(folder, 'x.log');
  const make = (): Sink => openSink({ ...spec, file }, folder, scratch, () => {});
  let sink = make();
  afterwards(t, () => sink.close());
  return {
    file,
    folder,
    sink: () => sink,
    again() {
      sink.close();
      sink = make();
    },
    say(text, nowMs) {
      writeSync(pipe, text);
      while (sink.take(pipe, 65536, nowMs, undefined) > 0);
    },
  };
}

test('a log rotates at the first line end of a new day, also when Steward was away at midnight', (t) => {
  const { say, file, again } = sinkIn(t, { maxBytes: 0, keep: 10, rotate: 'daily' });
  const noon = new Date(2026, 10, 20, 12).getTime();
  say('one\n', noon);
  say('tw', noon + 11 * hour);
  say('o\nthree\n', noon + 13 * hour);
  assert.deepEqual([readFileSync(`${file}.1`, 'utf8'), readFileSync(file, 'utf8')], ['one\ntwo\n', 'three\n']);
  again();
  say('four\n', noon + 14 * hour);
  assert.equal(readFileSync(file, 'utf8'), 'three\nfour\n');
  again();
  say('five\n', noon + 37 * hour);
  assert.deepEqual([readFileSync(`${file}.1`, 'utf8'), readFileSync(file, 'utf8')], ['three\nfour\n', 'five\n']);
  say('six\n', noon + 36 * hour); // a clock that was set back
  assert.equal(readFileSync(file, 'utf8'), 'five\nsix\n');
});

test('the rotated files of a log stay within its total, and what is known of a deleted one goes with it', (t) => {
  const { say, file, folder } = sinkIn(t, { maxBytes: 1000, keep: 100, totalBytes: 5000 });
  for (let n = 0; n < 50; n++) say(`${'x'.repeat(499)}\n`, 1e12 + n * 1000);
  assert.equal(segmentsOf(file, folder).length, 6);
  assert.equal(readdirSync(indexFolderOf(folder, file)).length, 12);
});

test('what is known of a log that is moved or deleted from outside goes with it', (t) => {
  const { say, file, folder } = sinkIn(t, { maxBytes: 0, keep: 1 });
  say('one\n', 1e12);
  rmSync(file);
  say('two\n', 1e12 + 1);
  assert.equal(readFileSync(file, 'utf8'), 'two\n');
  renameSync(file, `${file}.old`);
  say('three\nfo', 1e12 + 5000);
  assert.equal(readFileSync(file, 'utf8'), 'three\nfo');
  renameSync(file, `${file}.older`);
  say('ur\nfive\n', 1e12 + 9000); // the moved file gets the rest of its line
  assert.deepEqual([readFileSync(`${file}.older`, 'utf8'), readFileSync(file, 'utf8')], ['three\nfour\n', 'five\n']);
  const inode = statSync(file).ino;
  assert.deepEqual(readdirSync(indexFolderOf(folder, file)).toSorted(), [`${inode}.idx`, `${inode}.runs`]);
});

test('a rotation that cannot open the new file loses nothing, and rotates nothing twice', (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root, for a small file system');
  const folder = newFolder(t);
  const small = join(folder, 'small');
  mkdirSync(small);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,nr_inodes=6', 'none', small]).status !== 0)
    return t.skip('mount(8) does not work here');
  afterwards(t, () => spawnSync('umount', [small]));
  const pipe = join(folder, 'pipe');
  makePipe(pipe, 0o600);
  makePipe(`${pipe}2`, 0o600);
  const flags = constants.O_RDWR | constants.O_NONBLOCK;
  const [from, scratch] = [openSync(pipe, flags), openSync(`${pipe}2`, flags)];
  afterwards(t, () => [from, scratch].forEach((fd) => void closeSync(fd)));
  const file = join(small, 'x.log');
  const sink = openSink({ file, maxBytes: 100, keep: 5 }, folder, { pipe: scratch, buffer: Buffer.alloc(65536) }, () => {});
  afterwards(t, () => sink.close());
  const say = (n: number): void => {
    writeSync(from, `${String(n).padStart(99, '0')}\n`);
    for (;;) if (sink.take(from, 65536, Date.now(), undefined) <= 0) return;
  };
  say(1);
  say(2);
  const fill = join(small, 'fill');
  mkdirSync(fill);
  assert.throws(() => {
    for (let n = 0; n < 10; n++) writeFileSync(join(fill, String(n)), '');
  }, /ENOSPC/);
  assert.throws(() => say(3), /ENOSPC/);
  assert.throws(() => say(4), /ENOSPC/);
  rmSync(fill, { recursive: true });
  say(5);
  const all = readdirSync(small)
    .toSorted()
    .reverse()
    .map((name) => readFileSync(join(small, name), 'utf8'))
    .join('');
  assert.deepEqual(all.trim().split('\n').map(Number), [1, 2, 3, 4, 5]);
});

for (const [compress, ending] of [
  ['gzip', '.gz'],
  ['zstd', '.zst'],
] as const)
  test(`rotated files are packed by ${compress}, read as before, and followed over the packing`, async (t) => {
    const folder = newFolder(t);
    const output = startOutput(t, folder, { packAfterMs: 50 });
    const file = join(folder, 'n.log');
    output.open({ id: 'n', file, maxBytes: 1_200_000, keep: 50, compress });
    await output.settle();
    await ended(write(output, 'n', 'seq 1 100000'));
    await output.settle();
    const half = readAll(output, file, undefined).lines.length;
    let place = output.read(file, undefined, true).place; // a slow reader, in the oldest file
    const before = output.read(file, undefined, true).lines.length;
    await ended(write(output, 'n', 'seq 100001 600000'));
    await output.settle();
    const plain = (): string[] => readdirSync(folder).filter((name) => /^n\.log\.\d+$/.test(name));
    await until('all rotated files to be packed', () => plain().length === 0);
    const packed = readdirSync(folder).filter((name) => name.endsWith(ending));
    assert.ok(packed.length >= 2, readdirSync(folder).join(' '));
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.endsWith('.packing')),
      [],
    );
    if (compress === 'gzip') assert.match(gunzipSync(readFileSync(join(folder, 'n.log.1.gz'))).toString(), /^\d+\n(\d+\n)+$/);
    const { lines } = readAll(output, file);
    assert.deepEqual(textsOf(lines), upTo(600_000));
    assert.ok(half === 100_000 && lines.every(({ timeMs }) => timeMs > 0));
    const rest: string[] = [];
    for (let more = true; more; ) {
      const part = output.read(file, place, true);
      rest.push(...textsOf(part.lines));
      ({ place, more } = part);
    }
    assert.deepEqual(rest, upTo(600_000).slice(before));
    assert.deepEqual(textsOf(readAll(output, file, output.place(file, { lines: 300_000 })).lines), upTo(600_000).slice(-300_000));
  });

test('a packing that was broken off leaves the plain file, and is done again', async (t) => {
  const folder = newFolder(t);
  const file = join(folder, 'n.log');
  const first = startOutput(t, folder);
  first.open({ id: 'n', file, maxBytes: 50_000, keep: 50 });
  await ended(write(first, 'n', 'seq 1 30000'));
  await first.settle();
  writeFileSync(`${file}.1.gz`, 'half');
  writeFileSync(`${file}.${statSync(`${file}.1`).ino}.packing`, 'half');
  assert.deepEqual(textsOf(readAll(first, file).lines), upTo(30_000));
  await first.stop('stop');
  const second = startOutput(t, folder, { packAfterMs: 0 });
  second.open({ id: 'n', file, maxBytes: 50_000, keep: 50, compress: 'gzip' });
  await until('all to be packed', () => !existsSync(`${file}.1`) && !existsSync(`${file}.3`));
  await second.settle();
  assert.deepEqual(textsOf(readAll(second, file).lines), upTo(30_000));
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.packing')),
    [],
  );
});

test('the rotated files of several logs stay within the cap they share, the oldest going first', async (t) => {
  const folder = newFolder(t);
  const output = startOutput(t, folder);
  const pool = { name: 'all', bytes: 100_000 };
  const fileOf = (id: string): string => join(folder, `${id}.log`);
  for (const id of ['a', 'b']) output.open({ id, file: fileOf(id), maxBytes: 10_000, keep: 100, pool });
  await ended(write(output, 'a', 'seq 1 30000'));
  await output.settle();
  await ended(write(output, 'b', 'seq 1 10000'));
  await output.settle();
  const stored = (id: string): number =>
    segmentsOf(fileOf(id), join(folder, 'io')).reduce((sum, { number, stored: bytes }) => sum + (number > 0 ? bytes : 0), 0);
  assert.ok(stored('a') + stored('b') <= 100_000, `${stored('a')} and ${stored('b')}`);
  assert.deepEqual(textsOf(readAll(output, fileOf('b')).lines), upTo(10_000));
});

test('a thousand rotations cut between lines and lose none', async (t) => {
  const folder = newFolder(t);
  const output = startOutput(t, folder);
  const file = join(folder, 'n.log');
  output.open({ id: 'n', file, maxBytes: 800, keep: 150 });
  await output.settle();
  const batch = 30_000;
  let rotations = 0;
  let place: Place | undefined;
  for (let first = 1; rotations < 1000; first += batch) {
    await ended(write(output, 'n', `seq ${first} ${first + batch - 1}`));
    await output.settle();
    for (const { path } of segmentsOf(file, join(folder, 'io'))) assert.ok(/\n$|^$/.test(readFileSync(path, 'utf8')), path);
    const read: string[] = [];
    for (let more = true; more; ) {
      const part = output.read(file, place, false);
      if (part.place?.offset === 0) rotations += 1;
      read.push(...textsOf(part.lines));
      ({ place, more } = part);
    }
    assert.deepEqual(
      read.map(Number),
      Array.from({ length: batch }, (_, n) => first + n),
    );
  }
});
