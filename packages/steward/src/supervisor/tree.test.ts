import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { openGroups } from '../kernel/cgroup.ts';
import { isAlive, processRow, startTimeOf } from '../kernel/process-table.ts';
import { createTrees, type TreeOf, type Trees } from './tree.ts';

const mark = 'STEWARD_TREE_TEST';

async function until(what: string, look: () => boolean): Promise<void> {
  for (const end = performance.now() + 30_000; performance.now() < end; ) {
    if (look()) return;
    await new Promise((done) => setTimeout(done, 5));
  }
  assert.fail(`waited in vain for ${what}`);
}

interface Started {
  readonly tree: TreeOf;
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  /** What it wrote on its first lines, a pid each. */
  pids(count: number): Promise<number[]>;
}

/** Starts a shell script as a run, and ends what is left of it after the test. */
function start(t: TestContext, trees: Trees, script: string, fields: Partial<TreeOf> = {}): Started {
  const tree: TreeOf = { id: 'web', runId: `test.${randomUUID()}`, spares: false, ...fields };
  trees.begin(tree);
  const child = spawn('/bin/sh', ['-c', script], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: process.env.PATH, [mark]: tree.runId },
  });
  trees.entered(tree, child.pid as number);
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  let said = '';
  child.stdout?.on('data', (data: Buffer) => (said += data));
  const known: number[] = [];
  t.after(() => {
    for (const pid of [child.pid as number, ...known]) if (startTimeOf(pid) !== undefined) process.kill(pid, 'SIGKILL');
  });
  const pids = async (count: number): Promise<number[]> => {
    const lines = (): number[] => said.split('\n').slice(0, -1).map(Number);
    await until(`${count} pids`, () => lines().length >= count);
    known.push(...lines());
    return lines();
  };
  return { tree, child, ended, pids };
}

const isThere = (pid: number): boolean => processRow(pid) !== undefined;

const ways = [
  { name: 'with control groups', open: openGroups, has: openGroups(`steward-test-look-${process.pid}`) },
  { name: 'without control groups', open: () => undefined, has: true },
] as const;
ways[0].has?.close();

for (const { name, open, has } of ways) {
  const skip = has === undefined && 'no control group of version 2 can be made here';
  const newTrees = (t: TestContext): Trees => {
    const trees = createTrees(`steward-test-${randomUUID().slice(0, 8)}`, mark, open);
    t.after(() => trees.close());
    return trees;
  };

  test(`${name}: a signal reaches every session of a tree, also what is stopped`, { skip }, async (t) => {
    const trees = newTrees(t);
    const { tree, child, ended, pids } = start(t, trees, 'sleep 1000 & echo $!; setsid sleep 1000 & echo $!; wait');
    const all = await pids(2);
    await until('all members', () => trees.members(tree.runId).length === 3);
    process.kill(all[1] as number, 'SIGSTOP');
    const since = performance.now();
    assert.ok(trees.signal(tree.runId, 'TERM'));
    await ended;
    await until('its end', () => trees.isGone(tree.runId, since));
    assert.deepEqual([child.pid as number, ...all].filter(isThere), []);
  });

  test(`${name}: a sweep ends what a dead process left, in sessions of their own and deaf to TERM`, { skip }, async (t) => {
    const trees = newTrees(t);
    const script = "trap '' TERM; setsid sh -c 'sleep 1000 & echo $!; wait' & setsid sleep 1000 & echo $!; wait";
    const { tree, child, ended, pids } = start(t, trees, script);
    const all = await pids(2);
    child.kill('SIGKILL');
    await ended;
    assert.equal(trees.isGone(tree.runId, performance.now()), false);
    trees.sweep(tree.runId, () => {});
    await until('an empty tree', () => !all.some(isThere));
    await until('it to be forgotten', () => trees.members(tree.runId).length === 0);
  });

  test(`${name}: two runs of one instance are told apart, and a run that is spared lives on`, { skip }, async (t) => {
    const trees = newTrees(t);
    const old = start(t, trees, 'setsid sleep 1000 & echo $!; wait');
    const next = start(t, trees, 'setsid sleep 1000 & echo $!; wait');
    const spared = start(t, trees, 'setsid sleep 1000 & echo $!; exit 0', { spares: true });
    const [first = 0] = await old.pids(1);
    const [second = 0] = await next.pids(1);
    const [third = 0] = await spared.pids(1);
    await spared.ended;
    trees.forget(spared.tree.runId);
    trees.signal(old.tree.runId, 'KILL');
    await until('the end of the old run', () => trees.isGone(old.tree.runId, performance.now()));
    assert.deepEqual([first, second, third].map(isThere), [false, true, true]);
    assert.deepEqual(
      trees.members(next.tree.runId).map(({ pid }) => pid),
      [next.child.pid, second].toSorted((a, b) => (a as number) - (b as number)),
    );
  });

  test(`${name}: use is summed over a tree, for the runs that are asked`, { skip }, async (t) => {
    const trees = newTrees(t);
    const one = start(t, trees, 'setsid sleep 1000 & echo $!; wait');
    const other = start(t, trees, 'echo $$; exec sleep 1000');
    await one.pids(1);
    await other.pids(1);
    const usage = trees.usage([one.tree.runId]);
    assert.deepEqual([...usage.keys()], [one.tree.runId]);
    const { tasks, memoryBytes, openFiles = 0 } = usage.get(one.tree.runId) ?? assert.fail('no usage');
    assert.equal(tasks, 2);
    assert.ok(memoryBytes > 500_000 && openFiles >= 6, `${memoryBytes} ${openFiles}`);
  });
}

test('what an earlier daemon left in a group that nobody takes over is ended, what was spared is not', {
  skip: ways[0].has === undefined && 'needs control groups',
}, async (t) => {
  const name = `steward-test-${randomUUID().slice(0, 8)}`;
  const before = createTrees(name, mark);
  const kept = start(t, before, 'echo $$; exec sleep 1000');
  const left = start(t, before, 'echo $$; exec sleep 1000');
  const spared = start(t, before, 'echo $$; exec sleep 1000', { spares: true });
  const [keptPid = 0] = await kept.pids(1);
  const [leftPid = 0] = await left.pids(1);
  const [sparedPid = 0] = await spared.pids(1);
  const groups = openGroups(name) ?? assert.fail('no groups');
  await until('all to be in their groups', () => [keptPid, leftPid, sparedPid].every((pid) => groups.groupOf(pid) !== undefined));
  const after = createTrees(name, mark);
  after.begin(kept.tree);
  after.entered(kept.tree, keptPid);
  after.tidy([kept.tree.runId]);
  await left.ended;
  assert.deepEqual([keptPid, leftPid, sparedPid].map(isThere), [true, false, true]);
  assert.ok(isAlive({ pid: keptPid, start: startTimeOf(keptPid) as number }));
  for (const run of [kept, spared]) {
    run.child.kill('SIGKILL');
    await run.ended;
  }
  before.close();
  after.close();
  await until('no group to be left', () => {
    for (const group of groups.names()) groups.remove(group);
    return groups.names().length === 0;
  });
  groups.close();
});
