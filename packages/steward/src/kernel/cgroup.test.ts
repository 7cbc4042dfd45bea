import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { above, type Groups, limitFiles, openGroups, ownGroup } from './cgroup.ts';

const mounts = (root: string, place: string): string =>
  [
    '22 1 0:20 / /proc rw - proc proc rw',
    '32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu',
    `41 31 0:38 ${root} ${place} rw,nosuid shared:9 - cgroup2 cgroup2 rw`,
  ].join('\n');

test('the group of a process is found wherever version 2 is mounted', () => {
  assert.deepEqual(ownGroup(mounts('/', '/sys/fs/cgroup'), '0::/system.slice/steward.service\n'), {
    folder: '/sys/fs/cgroup/system.slice/steward.service',
    path: '/system.slice/steward.service',
  });
  assert.equal(ownGroup(mounts('/', '/sys/fs/cgroup/unified'), '9:name=systemd:/\n4:memory:/a\n0::/\n')?.folder, '/sys/fs/cgroup/unified');
  assert.equal(ownGroup(mounts('/', '/with\\040blank'), '0::/a\n')?.folder, '/with blank/a');
});

test('in a container that shows a part of the hierarchy, the group is below that part', () => {
  assert.equal(ownGroup(mounts('/docker/7', '/sys/fs/cgroup'), '0::/docker/7/web\n')?.folder, '/sys/fs/cgroup/web');
  assert.equal(ownGroup(mounts('/docker/7', '/sys/fs/cgroup'), '0::/docker/7\n')?.folder, '/sys/fs/cgroup');
  assert.equal(ownGroup(mounts('/docker/7', '/sys/fs/cgroup'), '0::/docker/77\n'), undefined);
  assert.equal(ownGroup('22 1 0:20 / /proc rw - proc proc rw', '0::/\n'), undefined);
  assert.equal(ownGroup(mounts('/', '/sys/fs/cgroup'), '1:cpu:/\n'), undefined);
});

test("Steward's folder is above a daemon that is in it: aside, or started by one of its services", () => {
  const at = (path: string): object => above({ folder: `/cg${path}`, path }, 'steward-a');
  assert.deepEqual(at('/x/steward.service'), { folder: '/cg/x/steward.service', path: '/x/steward.service' });
  assert.deepEqual(at('/x/steward-a/daemon'), { folder: '/cg/x', path: '/x', within: 'daemon' });
  assert.deepEqual(at('/steward-a/web.1/inner'), { folder: '/cg', path: '/', within: 'web.1/inner' });
  assert.deepEqual(at('/steward-ab/web.1'), { folder: '/cg/steward-ab/web.1', path: '/steward-ab/web.1' });
});

test('limits are written as the kernel reads them, for the controllers there are', () => {
  const all = new Set(['memory', 'cpu', 'pids'] as const);
  assert.deepEqual(limitFiles({ memory: 1024, memoryHigh: 512, cpu: 1.5, tasks: 9 }, all), [
    ['memory.max', '1024'],
    ['memory.oom.group', '1'],
    ['memory.high', '512'],
    ['cpu.max', '150000 100000'],
    ['pids.max', '9'],
  ]);
  assert.deepEqual(limitFiles({}, new Set(['cpu', 'pids'])), [
    ['cpu.max', 'max'],
    ['pids.max', 'max'],
  ]);
  assert.deepEqual(limitFiles({ memory: 1 }, new Set()), []);
});

function openHere(t: TestContext): Groups | undefined {
  const groups = openGroups(`steward-test-${randomUUID().slice(0, 8)}`);
  if (groups === undefined) {
    t.skip('no control group of version 2 can be made here');
    return undefined;
  }
  t.after(() => {
    for (const name of groups.names()) groups.remove(name);
    rmdirSync(groups.folder);
  });
  return groups;
}

test('a process and what it starts are in its group, are killed with it, and the empty group goes', async (t) => {
  const groups = openHere(t);
  if (groups === undefined) return;
  assert.equal(groups.make('web'), 'new');
  assert.equal(groups.make('web'), 'was there');
  // The background process has a session of its own and no environment: only its group says whose it is.
  const child = spawn('/bin/sh', ['-c', 'read go; setsid env -i sleep 60 & echo $!; wait'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const ended = new Promise((done) => child.once('exit', (_, signal) => done(signal)));
  assert.ok(await groups.enter('web', child.pid as number));
  child.stdin.write('go\n');
  const grandchild = Number(await new Promise<string>((done) => child.stdout.once('data', (data: Buffer) => done(String(data)))));
  assert.deepEqual(new Set(groups.members('web')), new Set([child.pid, grandchild]));
  assert.equal(groups.groupOf(grandchild), 'web');
  assert.equal(groups.groupOf(process.pid), undefined);
  assert.ok(groups.isPopulated('web'));
  assert.equal(groups.remove('web'), false);
  if (!groups.kill('web')) for (const pid of groups.members('web')) process.kill(pid, 'SIGKILL');
  assert.equal(await ended, 'SIGKILL');
  while (groups.isPopulated('web')) await new Promise((done) => setTimeout(done, 5));
  assert.ok(groups.remove('web'));
  assert.ok(!existsSync(join(groups.folder, 'web')));
});

test('groups that are there are named, and what a service made below its own goes with it', (t) => {
  const groups = openHere(t);
  if (groups === undefined) return;
  groups.make('web');
  groups.make('db');
  mkdirSync(join(groups.folder, 'web/inner/most'), { recursive: true });
  assert.deepEqual(groups.names().toSorted(), ['db', 'web']);
  assert.ok(groups.remove('web'));
  assert.deepEqual(groups.names(), ['db']);
  assert.equal(groups.isPopulated('gone'), false);
  assert.deepEqual(groups.members('gone'), []);
});
