/** Mounting for real, as root, in a folder of the test; and programs that hang. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MountSpec } from '../config/model.ts';
import { runBounded } from './bounded.ts';
import { lookAt, lookAtMount, mount, mountedAt, parseMounts } from './mount.ts';
import { waitFor } from './wait.ts';

const never = new AbortController().signal;

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'steward-mount-'));
  t.after(() => {
    const text = execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' });
    const own = parseMounts(text).filter(({ at }) => at.startsWith(folder));
    for (const { at } of own.toReversed()) execFileSync('umount', ['--', at]);
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** Whether this process may mount: root in a container often may not. */
function whyNot(): string | false {
  const folder = mkdtempSync(join(tmpdir(), 'steward-mount-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'steward-test', folder], { stdio: 'ignore' });
    execFileSync('umount', [folder], { stdio: 'ignore' });
    return false;
  } catch {
    return 'this user may not mount here';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
const skip = whyNot();

const tmpfs = (at: string, source = 'steward-test'): MountSpec => ({ source, at, type: 'tmpfs', options: ['size=1m'] });
const mountsAt = (at: string): number =>
  parseMounts(execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' })).filter((mounted) => mounted.at === at).length;

test('mountinfo is read with its optional fields and octal blanks', () => {
  const text = `36 35 98:0 /mnt1 /mnt/my\\040files rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 35 0:52 / /data rw shared:2 propagate_from:1 - nfs4 10.0.0.3:/data/a\\134b rw,vers=4.2
38 35 0:53 / /plain rw - tmpfs tmpfs rw
nonsense
`;
  assert.deepEqual(parseMounts(text), [
    { at: '/mnt/my files', type: 'ext3', source: '/dev/root' },
    { at: '/data', type: 'nfs4', source: '10.0.0.3:/data/a\\b' },
    { at: '/plain', type: 'tmpfs', source: 'tmpfs' },
  ]);
});

test('the root is mounted, and a folder of it is not', () => {
  assert.notEqual(mountedAt('/'), undefined);
  assert.equal(mountedAt('/etc/steward-has-no-mount-here'), undefined);
});

test('what is mounted already stays, and is not mounted twice', { skip }, async (t) => {
  const at = join(folderFor(t), 'made when missing');
  assert.deepEqual(await mount(tmpfs(at), 10_000, never), { ok: true, why: `mounted steward-test at ${at}` });
  writeFileSync(join(at, 'kept'), '');
  assert.deepEqual(await mount(tmpfs(at), 10_000, never), { ok: true, why: `steward-test was mounted at ${at} already` });
  assert.equal(mountsAt(at), 1);
  assert.ok(existsSync(join(at, 'kept')));
});

test('a folder behind a link is known again', { skip }, async (t) => {
  const folder = folderFor(t);
  mkdirSync(join(folder, 'real'));
  symlinkSync('real', join(folder, 'link'));
  const at = join(folder, 'link', 'at');
  assert.equal((await mount(tmpfs(at), 10_000, never)).ok, true);
  assert.match((await mount(tmpfs(at), 10_000, never)).why, /already/);
  assert.equal(mountsAt(join(folder, 'real/at')), 1);
  assert.equal((await lookAtMount(at, never)).ok, true);
});

test('another mount at the folder is left and told', { skip }, async (t) => {
  const at = join(folderFor(t), 'at');
  await mount(tmpfs(at, 'first'), 10_000, never);
  assert.deepEqual(await mount(tmpfs(at, 'second'), 10_000, never), {
    ok: false,
    why: `first (tmpfs) is mounted at ${at} already, and not second`,
  });
  assert.equal(mountsAt(at), 1);
});

test('a bind mount is known again by the folder it shows', { skip }, async (t) => {
  const folder = folderFor(t);
  const [source, other, at] = ['source', 'other', 'at'].map((name) => join(folder, name)) as [string, string, string];
  mkdirSync(source);
  mkdirSync(other);
  const bind = (from: string): MountSpec => ({ source: from, at, options: ['bind'] });
  assert.equal((await mount(bind(source), 10_000, never)).ok, true);
  writeFileSync(join(source, 'seen'), '');
  assert.ok(existsSync(join(at, 'seen')));
  assert.match((await mount(bind(source), 10_000, never)).why, /was mounted at .* already$/);
  assert.equal((await mount(bind(other), 10_000, never)).ok, false);
  assert.equal(mountsAt(at), 1);
});

test('what cannot be mounted is told in the words of mount(8)', { skip }, async (t) => {
  const at = join(folderFor(t), 'at');
  const { ok, why } = await mount({ source: '/dev/steward-has-none', at, type: 'ext4', options: [] }, 10_000, never);
  assert.equal(ok, false);
  assert.match(why, /steward-has-none/);
});

test('a look says what is there', async (t) => {
  const folder = folderFor(t);
  assert.equal((await lookAt(folder, never)).ok, true);
  assert.match((await lookAt(join(folder, 'none'), never)).why, /No such file/);
  assert.deepEqual(await lookAtMount(folder, never), { ok: false, why: `nothing is mounted at ${folder}` });
});

test('a program that hangs is given up in its time, and none is started beside it until it has ended', async () => {
  const words: [string, ...string[]] = ['sh', '-c', 'trap "" TERM; sleep 600'];
  const controller = new AbortController();
  const first = runBounded(words, 'a dead server', 600_000, controller.signal);
  controller.abort();
  assert.equal((await first).inTime, false);
  for (let ended = false; !ended; ) {
    const next = await runBounded(['true'], 'a dead server', 10_000, never);
    ended = next.inTime;
    assert.equal(next.code, ended ? 0 : null);
    await new Promise((resolve) => setImmediate(resolve));
  }
});

test('a program that is missing, fails or talks much is told', async () => {
  assert.match((await runBounded(['steward-has-no-such-program'], 'x', 10_000, never)).text, /ENOENT/);
  assert.deepEqual(await runBounded(['sh', '-c', 'echo out; echo err >&2; exit 3'], 'x', 10_000, never), {
    code: 3,
    text: 'out\nerr',
    inTime: true,
  });
  const { text } = await runBounded(['head', '-c', '1000000', '/dev/zero'], 'x', 60_000, never);
  assert.ok(text.length <= 16 * 1024);
});

test('waiting sees what comes, and says what it saw when its time ends', async (t) => {
  const folder = folderFor(t);
  const path = join(folder, 'sock');
  const controller = new AbortController();
  const coming = waitFor({ kind: 'unix', path }, true, never);
  const server = createServer((socket) => socket.destroy());
  t.after(() => server.close());
  server.listen(path);
  assert.equal((await coming).ok, true);
  const vain = waitFor({ kind: 'path', path: join(folder, 'none') }, true, controller.signal);
  setTimeout(() => controller.abort(), 300);
  const { ok, why } = await vain;
  assert.equal(ok, false);
  assert.match(why, /none/);
  assert.equal(
    (await waitFor({ kind: 'unix', path: join(folder, 'none') }, false, never)).why,
    `unix ${join(folder, 'none')}: no such socket`,
  );
});
