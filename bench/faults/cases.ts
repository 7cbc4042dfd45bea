/** The faults themselves. Each does the same to every peer and says what came of it: docs/faults.md has the table. */
import { readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { descriptorsOf } from '../chaos/processes.ts';
import { processorMs } from '../processor-time.ts';
import { isAlive, residentMb, type Service, type Supervised } from '../supervised.ts';
import { eventually, type Fault, namedProcesses, program, type Trial } from './trial.ts';

const shell = (name: string, script: string, more: Partial<Service> = {}): Service => ({
  name,
  command: ['/bin/sh', '-c', script],
  ...more,
});

/** Of dash, exec has no -a. */
const asBash = (service: Service): Service => ({ ...service, command: ['/bin/bash', ...service.command.slice(1)] });

const pidOf = async ({ ways: [way] }: Supervised, service: string): Promise<number> =>
  (await way.status()).find(({ name }) => name === service)?.pid ?? 0;

const stateOf = async ({ ways: [way] }: Supervised, service: string): Promise<string> =>
  (await way.status()).find(({ name }) => name === service)?.state ?? 'unknown';

/** The pid of a service once it has one. @throws when it gets none. */
async function untilUp(supervised: Supervised, service: string): Promise<number> {
  const pid = await eventually(async () => (await pidOf(supervised, service)) || undefined);
  if (pid === undefined) throw new Error(`${service} does not start`);
  return pid;
}

async function textOfLog(supervised: Supervised, service: string): Promise<string> {
  const files = await supervised.logs(service);
  return (await Promise.all(files.map((file) => readFile(file, 'latin1').catch(() => '')))).join('');
}

/** numbers.py as a service; its own count of lines is in `folder`/NAME. */
const numbers = (trial: Trial, name: string, perSecond: number, count: number): Service => ({
  name,
  command: ['python3', program('numbers.py'), String(perSecond), String(count), join(trial.folder, name)],
});

const countOf = async ({ folder }: Trial, name: string): Promise<number> =>
  Number(await readFile(join(folder, name), 'latin1').catch(() => '0'));

/** How many of the numbers of a range are whole in a text, how many of them more than once, and how many lines are torn. */
function numbersIn(text: string, from: number, to: number): { found: number; twice: number; torn: number } {
  const seen = new Map<number, number>();
  let torn = 0;
  for (const line of text.split('\n')) {
    if (/^\d{12}$/.test(line)) seen.set(Number(line), (seen.get(Number(line)) ?? 0) + 1);
    else if (/^\d+$/.test(line)) torn++;
  }
  let [found, twice] = [0, 0];
  for (const [number, times] of seen) {
    if (number < from || number > to) continue;
    found++;
    if (times > 1) twice++;
  }
  return { found, twice, torn };
}

const killDaemon = async (supervised: Supervised): Promise<void> => {
  const [daemon = 0] = await supervised.processes();
  process.kill(daemon, 'SIGKILL');
  await eventually(async () => !(await isAlive(daemon)));
};

const idle: Fault = {
  id: 'F1',
  about: '500 calls and 25 restarts: descriptors and idle processor time afterwards',
  async run(trial) {
    const supervised = await trial.start([shell('web', 'exec sleep 100000', { upAtOnce: true })]);
    await untilUp(supervised, 'web');
    const { ways, processes } = supervised;
    const [daemon = 0] = await processes();
    const before = (await descriptorsOf(daemon)).count;
    for (let call = 0; call < 500; call++) {
      trial.signal.throwIfAborted();
      await ways[0].status();
      if (call % 20 !== 0) continue;
      await ways[0].act('restart', 'web');
      await untilUp(supervised, 'web');
    }
    await wait(3_000, undefined, { signal: trial.signal });
    const pids = await processes();
    const cpu = processorMs(pids);
    await wait(5_000, undefined, { signal: trial.signal });
    const percent = (processorMs(pids) - cpu) / 50;
    return `${before} descriptors before, ${(await descriptorsOf(daemon)).count} after; ${percent.toFixed(1)} % of a processor when idle`;
  },
};

const storm: Fault = {
  id: 'F2',
  about: 'a program that ends at once and counts as running from its first moment: starts in 10 s',
  async run(trial) {
    const ledger = join(trial.folder, 'ledger');
    const supervised = await trial.start([
      shell('storm', `echo >> ${ledger}; exit 1`, { upAtOnce: true }),
      shell('other', 'exec sleep 100000', { upAtOnce: true }),
    ]);
    const other = await untilUp(supervised, 'other');
    const before = await trial.lines('ledger');
    await wait(10_000, undefined, { signal: trial.signal });
    const starts = (await trial.lines('ledger')) - before;
    const isSame = (await pidOf(supervised, 'other')) === other;
    return `${starts} starts in 10 s after ${before} before, then ${await stateOf(supervised, 'storm')}; the other program ${isSame ? 'runs on' : 'is another process'}`;
  },
};

const missing: Fault = {
  id: 'F3',
  about: 'one program that does not exist among others',
  async run(trial) {
    const supervised = await trial
      .start([shell('good', 'exec sleep 100000', { upAtOnce: true }), { name: 'missing', command: ['/no/such/program', 'word'] }])
      .catch((error: Error) => error.message.split('\n')[0] as string);
    if (typeof supervised === 'string') return 'the command that starts them fails';
    const pid = await eventually(async () => (await pidOf(supervised, 'good')) || undefined);
    return `the good one ${pid ? 'runs' : 'does not run'}; the other is ${await stateOf(supervised, 'missing')}`;
  },
};

const movedLog: Fault = {
  id: 'F4',
  about: 'the log of a writer is moved away by somebody else: lines of the next seconds at its place',
  async run(trial) {
    const supervised = await trial.start([numbers(trial, 'writer', 2_000, 1_000_000)]);
    await eventually(async () => (await countOf(trial, 'writer')) > 500);
    const [log = ''] = (await supervised.logs('writer')).slice(-1);
    await rename(log, `${log}.away`);
    const from = (await countOf(trial, 'writer')) + 4_000; // what is under way, or waits for somebody to look
    await wait(5_000, undefined, { signal: trial.signal });
    const to = await countOf(trial, 'writer');
    await wait(500);
    const { found } = numbersIn(await readFile(log, 'latin1').catch(() => ''), from + 1, to);
    return `${found} of ${to - from} lines that were written 2 s and more afterwards are there`;
  },
};

const rotation: Fault = {
  id: 'F5',
  about: '200,000 numbered lines through logs of 20 KB',
  async run(trial) {
    const count = 200_000;
    const supervised = await trial.start([{ ...numbers(trial, 'writer', 0, count), rotateBytes: 20_480 }]);
    await eventually(async () => (await countOf(trial, 'writer')) === count);
    await eventually(async () => (await textOfLog(supervised, 'writer')).endsWith(`${count}\n`));
    const files = (await supervised.logs('writer')).length;
    const { found, twice } = numbersIn(await textOfLog(supervised, 'writer'), 1, count);
    const torn = await tornEnds(await supervised.logs('writer'));
    if (files === 1) return `does not rotate by itself; ${found} of ${count} lines in the one file`;
    return `${files} files: ${count - found} lines missing, ${twice} twice, ${torn} files end within a line`;
  },
};

async function tornEnds(files: readonly string[]): Promise<number> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'latin1')));
  return texts.filter((text) => text !== '' && !text.endsWith('\n')).length;
}

const family: Fault = {
  id: 'F6',
  about: 'a program with a child, one in a session of its own, one that was orphaned and one that is halted: alive 3 s after its stop',
  async run(trial) {
    const file = join(trial.folder, 'pids');
    const supervised = await trial.start([{ name: 'family', command: ['python3', program('family.py'), file], upAtOnce: true }]);
    const pids = await eventually(async () => (await readFile(file, 'latin1')).trim().split('\n').map(Number));
    if (pids === undefined) throw new Error('the family does not come together');
    await supervised.ways[0].act('stop', 'family');
    await wait(3_000, undefined, { signal: trial.signal });
    const kinds = ['the child', 'the one in its own session', 'the orphan', 'the halted one'];
    const alive = await Promise.all(pids.map(isAlive));
    const left = kinds.filter((_, index) => alive[index]);
    return left.length === 0 ? 'nobody' : left.join(', ');
  },
};

const deadDaemon: Fault = {
  id: 'F10',
  about: 'SIGKILL to the daemon under three writers and a program that writes nothing, and the daemon started again as its users do',
  async run(trial) {
    const names = ['w1', 'w2', 'w3'];
    const mark = join(trial.folder, 'silent');
    const silent = asBash(shell('silent', `exec -a ${mark} sleep 100000`));
    const supervised = await trial.start([...names.map((name) => numbers(trial, name, 200, 1_000_000)), silent]);
    const before = await Promise.all(names.map((name) => untilUp(supervised, name)));
    await supervised.save();
    await eventually(async () => (await countOf(trial, 'w3')) > 200);
    await killDaemon(supervised);
    await wait(3_000, undefined, { signal: trial.signal });
    const alive = (await Promise.all(before.map(isAlive))).filter(Boolean).length;
    const stillWrites = (await countOf(trial, 'w1')) > 500;
    await supervised.again();
    await wait(3_000, undefined, { signal: trial.signal });
    const all = await namedProcesses(program('numbers.py'));
    const same = all.filter((pid) => before.includes(pid)).length;
    const count = await countOf(trial, 'w1');
    await wait(500);
    const lost = count - numbersIn(await textOfLog(supervised, 'w1'), 1, count).found;
    const lines = same === 3 && all.length === 3 ? `; ${lost} lines of the first lost` : '';
    const copies = (await namedProcesses(mark)).length;
    return `${alive} of 3 live on${alive > 0 && !stillWrites ? ', and stand still' : ''}; with the next daemon ${all.length} processes, ${same} of them the same${lines}; ${copies} of the silent program`;
  },
};

const fullState: Fault = {
  id: 'F11',
  about: 'the disk of its own files is full while it saves, then SIGKILL and room again: services that come back',
  needsDisk: true,
  async run(trial) {
    const names = ['a', 'b', 'c'];
    const supervised = await trial.start(names.map((name) => shell(name, 'exec sleep 100000', { upAtOnce: true })));
    await Promise.all(names.map((name) => untilUp(supervised, name)));
    await supervised.save();
    const makeRoom = await trial.fill();
    await supervised.ways[0].act('restart', 'a').catch(() => {});
    const said = await supervised.save().then(
      () => '',
      () => ' (saving failed, and says so)',
    );
    await killDaemon(supervised);
    await makeRoom();
    const again = await supervised.again().then(
      () => '',
      (error: Error) => `; starting it again failed: ${error.message.split('\n')[1] ?? ''}`.slice(0, 120),
    );
    await wait(2_000, undefined, { signal: trial.signal });
    const seen = await supervised.ways[1].status().catch(() => []);
    return `${seen.filter(({ pid }) => pid > 0).length} of 3 run${said}${again}`;
  },
};

const fullLogs: Fault = {
  id: 'F14',
  about: 'the disk of the logs is full for 10 s under 50,000 lines a second',
  needsDisk: true,
  async run(trial) {
    const supervised = await trial.start([{ ...numbers(trial, 'writer', 50_000, 100_000_000), rotateBytes: 2 * 2 ** 20 }]);
    const pid = await untilUp(supervised, 'writer');
    const makeRoom = await trial.fill();
    const pids = await supervised.processes();
    const before = await residentMb(pids);
    const from = await countOf(trial, 'writer');
    await wait(10_000, undefined, { signal: trial.signal });
    const alive = (await Promise.all(pids.map(isAlive))).every(Boolean);
    const after = alive ? await residentMb(pids) : Number.NaN;
    const written = (await countOf(trial, 'writer')) - from;
    await makeRoom();
    const place = await countOf(trial, 'writer');
    await wait(3_000, undefined, { signal: trial.signal });
    const text = await textOfLog(supervised, 'writer').catch(() => '');
    const goesOn = numbersIn(text, place, Number.MAX_SAFE_INTEGER).found > 0;
    const memory = alive ? `its own memory ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after` : 'the daemon died';
    return `the program ${(await isAlive(pid)) ? `runs (${written} lines meanwhile)` : 'died'}; ${memory}; then its log ${goesOn ? 'goes on' : 'stays silent'}`;
  },
};

const lastWords: Fault = {
  id: 'F15',
  about: 'a program that says its number and fails, again and again for 10 s: runs, and how many lines are in no log',
  async run(trial) {
    const ledger = join(trial.folder, 'ledger');
    const supervised = await trial.start([shell('short', `echo $$ >> ${ledger}; echo $$; exit 1`, { upAtOnce: true })]);
    await wait(10_000, undefined, { signal: trial.signal });
    await supervised.ways[0].act('stop', 'short').catch(() => {});
    await wait(1_000, undefined, { signal: trial.signal });
    const runs = (await readFile(ledger, 'latin1')).trim().split('\n');
    const said = new Set((await textOfLog(supervised, 'short')).split('\n'));
    return `${runs.length} runs, ${runs.filter((run) => !said.has(run)).length} without their line`;
  },
};

/** Until PM2 forgets: it does after 30 s of health, and so does Steward. */
const healthMs = 35_000;

const backoff: Fault = {
  id: 'F16',
  about: `three crashes, then ${healthMs / 1000} s of health, then a crash: until the next start`,
  async run(trial) {
    const ledger = join(trial.folder, 'ledger');
    const script = `n=$(cat ${ledger} 2>/dev/null | wc -l); echo >> ${ledger}; test $n -lt 3 && exit 1; exec sleep 100000`;
    const supervised = await trial.start([shell('moody', script, { patient: true })]);
    const pid = await eventually(async () => (await trial.lines('ledger')) >= 4 && ((await pidOf(supervised, 'moody')) || undefined));
    if (pid === undefined)
      return `it is ${await stateOf(supervised, 'moody')} after ${await trial.lines('ledger')} starts, before its health`;
    await wait(healthMs, undefined, { signal: trial.signal });
    const killedAt = performance.now();
    process.kill(pid, 'SIGKILL');
    const isBack = await eventually(async () => (await trial.lines('ledger')) >= 5);
    return isBack ? `${((performance.now() - killedAt) / 1000).toFixed(1)} s` : 'not started within 30 s';
  },
};

const parallel: Fault = {
  id: 'F17',
  about: '50 commands (start, stop, restart) on one service at once, then a stop: processes at the same time, and at the end',
  async run(trial) {
    const mark = join(trial.folder, 'puppet.sh');
    const supervised = await trial.start([shell('puppet', `: ${mark}; exec -a ${mark} sleep 100000`, { upAtOnce: true })].map(asBash));
    await untilUp(supervised, 'puppet');
    const [way] = supervised.ways;
    const words = ['start', 'stop', 'restart'] as const;
    let refused = 0;
    const all = Promise.all(
      Array.from({ length: 50 }, (_, index) => way.act(words[(index * 7) % 3] as 'start', 'puppet').catch(() => void refused++)),
    ).then(() => 'answered');
    let most = 0;
    let isOver = false;
    const looking = (async () => {
      for (; !isOver; await wait(10)) most = Math.max(most, (await namedProcesses(mark)).length);
    })();
    const outcome = await Promise.race([all, wait(60_000, 'not all are answered after a minute', { signal: trial.signal })]);
    const last = await way.act('stop', 'puppet').then(
      () => '',
      (error: Error) => `; the stop is refused (${error.message.slice(0, 60)})`,
    );
    await wait(3_000, undefined, { signal: trial.signal });
    isOver = true;
    await looking;
    const left = (await namedProcesses(mark)).length;
    return `${outcome === 'answered' ? '' : `${outcome}; `}at most ${most} at a time, ${left} after the stop; ${refused} of 50 refused${last}`;
  },
};

const finished: Fault = {
  id: 'F18',
  about: 'a job that ran once and ended well, then SIGKILL to the daemon and another one: runs',
  async run(trial) {
    const ledger = join(trial.folder, 'ledger');
    const supervised = await trial.start([
      shell('job', `echo >> ${ledger}`, { once: true, upAtOnce: true }),
      shell('other', 'exec sleep 100000', { upAtOnce: true }),
    ]);
    await eventually(async () => (await trial.lines('ledger')) === 1);
    await supervised.save();
    await wait(1_500, undefined, { signal: trial.signal });
    await killDaemon(supervised);
    await supervised.again();
    await wait(3_000, undefined, { signal: trial.signal });
    const runs = await trial.lines('ledger');
    return runs === 1 ? '1 run' : `${runs} runs`;
  },
};

const boot: Fault = {
  id: 'F19',
  about: '30 services: whether all run after the start, and how long the stop takes',
  async run(trial) {
    const names = Array.from({ length: 30 }, (_, index) => `s${index + 1}`);
    const supervised = await trial.start(names.map((name) => shell(name, 'exec sleep 100000')));
    const isComplete = async (): Promise<boolean> =>
      (await supervised.ways[0].status()).filter(({ pid }) => pid > 0).length === names.length;
    const complete = await eventually(isComplete);
    const begunAt = performance.now();
    await supervised[Symbol.asyncDispose]();
    return `${complete ? 'all 30 run' : 'not all 30 run'}, stopped in ${((performance.now() - begunAt) / 1000).toFixed(1)} s`;
  },
};

export const faults: readonly Fault[] = [
  idle,
  storm,
  missing,
  movedLog,
  rotation,
  family,
  deadDaemon,
  fullState,
  fullLogs,
  lastWords,
  backoff,
  parallel,
  finished,
  boot,
];
