/** The state directory on a disk that is full or read-only, and clocks that are set. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { livingPids } from '../src/kernel/process-table.ts';
import { isRunning, kill, newPlace, type Place, until } from './harness.ts';

const mount = (...words: string[]): boolean => spawnSync('mount', words).status === 0;

interface Disk {
  readonly place: Place;
  readonly state: string;
  readonly device: string;
}

/** A place whose state directory is on a disk of its own, which `mountAt` mounts; undefined where it cannot. */
function onDisk(t: TestContext, mountAt: (device: string) => boolean): Disk | undefined {
  const device = mkdtempSync(join(tmpdir(), 'steward-disk-'));
  const state = join(device, 'state');
  const isMounted = process.getuid?.() === 0 && mountAt(device);
  const place = isMounted ? newPlace(t, { STEWARD_STATE: state }) : undefined;
  t.after(() => {
    for (const pid of processesWith('keeper', state)) kill(pid); // nobody can tell on a broken disk whether there is one
    if (isMounted) spawnSync('umount', ['--lazy', device]);
    rmSync(device, { recursive: true, force: true });
  });
  return place && { place, state, device };
}

const onSmallDisk = (t: TestContext, size: string): Disk | undefined =>
  onDisk(t, (device) => mount('-t', 'tmpfs', '-o', `size=${size},mode=0755`, 'steward-test', device));

/** A disk that can be made to fail: it is an ext4 file system in a file, which turns read-only at its first error. */
const onFailingDisk = (t: TestContext): Disk | undefined =>
  onDisk(t, (device) => {
    const image = join(device, 'image');
    writeFileSync(image, '');
    truncateSync(image, 48 * 1024 * 1024);
    return spawnSync('mkfs.ext4', ['-q', image]).status === 0 && mount('-o', 'loop,errors=remount-ro', image, device);
  });

/** Makes it fail; false where the kernel does not let us. */
function breakDisk({ device }: Disk): boolean {
  const source = spawnSync('findmnt', ['--noheadings', '--output', 'SOURCE', device]).stdout.toString().trim();
  try {
    writeFileSync(`/sys/fs/ext4/${basename(source)}/trigger_fs_error`, '1');
    return true;
  } catch {
    return false;
  }
}

const processesWith = (part: string, text: string): number[] =>
  livingPids().filter((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      return command.includes(part) && command.includes(text);
    } catch {
      return false;
    }
  });

/** Kills the daemon of a state directory without a word. */
const killDaemon = ({ state }: Disk): void => kill(Number(readFileSync(join(state, 'daemon.lock'), 'utf8')));

const services = 'services:\n  a: {run: sleep 1000}\n  b: {run: sleep 1000}\n';
const pidOf = async (place: Place, id: string): Promise<number> => (await place.instance(id)).pid as number;

/** Writes to a file until the disk has no byte left. */
function fill(file: string): void {
  for (const bytes of [65_536, 4096, 1])
    try {
      for (;;) appendFileSync(file, Buffer.alloc(bytes));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    }
}

async function restartsAfterKill(place: Place, id: string): Promise<void> {
  const pid = await pidOf(place, id);
  kill(pid);
  await until(`${id} runs again`, async () => {
    const { state, pid: now } = await place.instance(id);
    return state === 'RUNNING' && now !== pid;
  });
}

test('on a full disk services run on and are restarted, also by a daemon that is started then', async (t) => {
  const disk = onSmallDisk(t, '8m');
  if (disk === undefined) return t.skip('needs root and mount');
  const { place, state } = disk;
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  const untouched = await pidOf(place, 'b');
  fill(join(state, 'filler'));
  await restartsAfterKill(place, 'a');
  killDaemon(disk);
  await place.steward('up', '-d');
  await until('both run', async () => (await place.ps()).every(({ state: phase }) => phase === 'RUNNING'));
  assert.equal(await pidOf(place, 'b'), untouched);
  rmSync(join(state, 'filler'));
  await restartsAfterKill(place, 'a');
  const [a, b] = [await pidOf(place, 'a'), await pidOf(place, 'b')];
  killDaemon(disk);
  await place.ok('up', '-d');
  assert.deepEqual([await pidOf(place, 'a'), await pidOf(place, 'b')], [a, b], 'what was written since is there');
});

test('on a read-only disk no daemon is started, in words, and what runs is not touched', async (t) => {
  const disk = onSmallDisk(t, '16m');
  if (disk === undefined) return t.skip('needs root and mount');
  const { place, state, device } = disk;
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  const before = [await pidOf(place, 'a'), await pidOf(place, 'b')];
  killDaemon(disk);
  for (const pid of processesWith('keeper', state)) kill(pid);
  await until('the disk can be made read-only', () => mount('-o', 'remount,ro', device));
  const refused = await place.steward('up', '-d');
  assert.equal(refused.code, 2);
  assert.match(refused.err, /the state directory .* cannot be used: .*read-only/i);
  assert.doesNotMatch(refused.err, /^\s+at /m);
  assert.ok(before.every(isRunning));
  assert.ok(mount('-o', 'remount,rw', device));
  await place.ok('up', '-d');
  assert.deepEqual([await pidOf(place, 'a'), await pidOf(place, 'b')], before);
});

test('a disk that turns read-only under a running daemon stops no service and no restart', async (t) => {
  const disk = onFailingDisk(t);
  if (disk === undefined) return t.skip('needs root, loop devices and mkfs.ext4');
  const { place, state } = disk;
  place.write('steward.yaml', services);
  await place.ok('up', '-d');
  const untouched = await pidOf(place, 'b');
  if (!breakDisk(disk)) return t.skip('needs /sys/fs/ext4/*/trigger_fs_error');
  assert.throws(() => writeFileSync(join(state, 'x'), ''), /EROFS/);
  await restartsAfterKill(place, 'a');
  await restartsAfterKill(place, 'a');
  assert.equal(await pidOf(place, 'b'), untouched);
});

test('a clock that was set while no daemon ran changes neither uptime nor backoff', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    'services:\n  ahead: {run: sleep 1000, backoff: {first: 0s, base: 1000s, max: 1000s, resetAfter: 1h}}\n  behind: {run: sleep 1000}\n',
  );
  await place.ok('up', '-d');
  const before = await place.ps();
  kill(await place.daemonPid());
  const database = new DatabaseSync(join(place.state, 'state.db'));
  const year = 365 * 24 * 3600 * 1000;
  database.prepare("update instance set started_ms = started_ms - ? where id = 'ahead'").run(year);
  database.prepare("update instance set started_ms = started_ms + ? where id = 'behind'").run(year);
  database.close();
  await place.ok('up', '-d');
  const after = await place.ps();
  assert.deepEqual(
    after.map(({ pid }) => pid),
    before.map(({ pid }) => pid),
  );
  const sinceBoot = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]);
  for (const { id, uptimeSeconds = -1, pid } of after) {
    const start = Number(readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[19]) / 100;
    assert.ok(uptimeSeconds >= 0 && uptimeSeconds <= sinceBoot - start + 60, `${id}: ${uptimeSeconds} s`);
  }
  // Twice in a row without an hour between them: the second waits, where a year of uptime would have forgiven the first.
  kill(await pidOf(place, 'ahead'));
  await until('the second try', async () => {
    const { state, pid } = await place.instance('ahead');
    if (state === 'RUNNING' && pid !== undefined && isRunning(pid)) kill(pid);
    return state === 'BACKOFF';
  });
});
