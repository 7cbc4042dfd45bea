import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type DeadChild, startChild } from './children.ts';
import { byShell, type Start } from './posix-spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-posix-spawn-'));
after(() => rmSync(folder, { recursive: true }));
const out = join(folder, 'out');

/** Runs a start to its end, its descriptor 1 a file: what it wrote and how it ended. */
async function run(start: Partial<Start>, change: (whole: Start) => Start = (whole) => whole): Promise<{ text: string; dead: DeadChild }> {
  const fd = openSync(out, 'w');
  const { promise, resolve } = Promise.withResolvers<DeadChild>();
  const whole = { file: '/bin/sh', argv: ['sh'], env: {}, cwd: '/', descriptors: ['null', fd, 'null'] as const, ...start };
  const pid = startChild(change(whole), resolve);
  closeSync(fd);
  const held = setInterval(() => {}, 1000); // what waits for a child does not keep this process alive
  const dead = await promise;
  clearInterval(held);
  assert.equal(dead.pid, pid);
  return { text: readFileSync(out, 'utf8'), dead };
}

const shell = (script: string, more: Partial<Start> = {}): Partial<Start> => ({ argv: ['sh', '-c', script], ...more });

test('a program gets its words, environment and folder byte for byte, and nothing else', async () => {
  const env = { A: 'x', B: 'ümlaut 中文\nline', EMPTY: '' };
  const script =
    'const { argv0, execArgv, argv, env } = process; process.stdout.write(JSON.stringify({ argv0, argv: argv.slice(1), env, cwd: process.cwd() }))';
  const words = ['own-name', '-e', script, 'a b', '', '中', '"\\$'];
  const { text } = await run({ file: process.execPath, argv: words, env, cwd: folder });
  assert.deepEqual(JSON.parse(text), { argv0: 'own-name', argv: ['a b', '', '中', '"\\$'], env, cwd: folder });
});

test('it leads a session of its own, blocks and ignores no signal, and inherits no other descriptor', async () => {
  const secret = openSync('/etc/hostname', 'r');
  const script =
    'read -r stat < /proc/self/stat; set -- $stat; echo "$1 $5 $6"; grep -E "^Sig(Blk|Ign)" /proc/self/status; ls -l /proc/self/fd';
  const { text } = await run(shell(script, { argv: ['sh', '-c', script] }));
  closeSync(secret);
  const [ids = '', blocked, ignored, ...descriptors] = text.trim().split('\n');
  assert.equal(new Set(ids.split(' ')).size, 1);
  // 32 and 33 belong to the C library, which leaves them ignored.
  assert.match(`${blocked} ${ignored}`, /^SigBlk:\s+0{16} SigIgn:\s+0{7}[01][08]0{7}$/);
  assert.doesNotMatch(descriptors.join('\n'), /hostname/);
});

test('a descriptor is handed on at another number, the same one twice, and /dev/null is read as empty', async () => {
  writeFileSync(join(folder, 'three'), 'third\n');
  const three = openSync(join(folder, 'three'), 'r');
  const fd = openSync(out, 'w');
  const { promise, resolve } = Promise.withResolvers<DeadChild>();
  startChild(
    { file: '/bin/sh', argv: ['sh', '-c', 'cat <&3; cat; echo err >&2'], env: {}, cwd: '/', descriptors: ['null', fd, fd, three] },
    resolve,
  );
  const held = setInterval(() => {}, 1000);
  assert.equal((await promise).code, 0);
  clearInterval(held);
  closeSync(fd);
  closeSync(three);
  assert.equal(readFileSync(out, 'utf8'), 'third\nerr\n');
});

test('how it ended is told: code or signal', async () => {
  assert.deepEqual((({ code, signal }) => ({ code, signal }))((await run(shell('exit 7'))).dead), { code: 7, signal: null });
  assert.deepEqual((({ code, signal }) => ({ code, signal }))((await run(shell('kill -SEGV $$'))).dead), { code: null, signal: 11 });
});

test('what the system refuses is thrown with its code', () => {
  const start = (more: Partial<Start>) => () =>
    startChild({ file: '/bin/sh', argv: ['sh'], env: {}, cwd: '/', descriptors: ['null', 'null', 'null'], ...more }, () =>
      assert.fail('it never ran'),
    );
  assert.throws(start({ file: '/bin/none' }), { code: 'ENOENT', message: '/bin/none cannot be run: no such file or directory (ENOENT)' });
  assert.throws(start({ file: '/etc/passwd' }), { code: 'EACCES' });
  assert.throws(start({ cwd: '/none' }), { code: 'ENOENT' });
  assert.throws(start({ argv: ['sh', '-c', 'x'.repeat(300_000)] }), { code: 'E2BIG' });
  assert.throws(start({ env: { A: 'a\0b' } }), { code: 'EINVAL' });
});

test('where the C library cannot change the folder a shell does', async () => {
  const { text } = await run(shell('pwd; echo "$1"', { argv: ['sh', '-c', 'pwd; echo "$1"', 'sh', 'a  b'], cwd: folder }), byShell);
  assert.equal(text, `${folder}\na  b\n`);
});

test('a thousand that end at once are all told', async () => {
  const held = setInterval(() => {}, 1000);
  const codes = await Promise.all(
    Array.from({ length: 1000 }, (_, index) => {
      const { promise, resolve } = Promise.withResolvers<number | null>();
      startChild(
        { file: '/bin/sh', argv: ['sh', '-c', `exit ${index % 7}`], env: {}, cwd: '/', descriptors: ['null', 'null', 'null'] },
        ({ code }) => resolve(code),
      );
      return promise;
    }),
  );
  clearInterval(held);
  assert.deepEqual(
    codes,
    Array.from({ length: 1000 }, (_, index) => index % 7),
  );
});
