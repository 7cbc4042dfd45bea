/**
 * Chaos: one thing after another is done to a Steward that works, and after each all must be well again. What must hold at
 * every moment is looked at all the time: at most one process of an instance, the pids of services that nothing happened to,
 * and a gateway that answers. At the end the logs are read line by line.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { keeperOf } from '../peers/steward-fleet.ts';
import { outputOf } from '../program.ts';
import { table } from '../table.ts';
import { type ChaosEvent, eventsOf, type Kind } from './events.ts';
import { checkRuns, checkStream, type StreamCheck } from './log-check.ts';
import { descriptorsOf, zombiesOf } from './processes.ts';
import { openStage, patienceMs, type Stage, until, victims } from './stage.ts';

export type ChaosTask = {
  readonly seed: number;
  /** After so many events, or so many minutes. */
  readonly events?: number;
  readonly minutes: number;
  /** Only events of these kinds; the others are left out of the seed's order. */
  readonly only?: readonly Kind[];
  readonly print: (text: string) => void;
  readonly signal: AbortSignal;
};

const lookEveryMs = 200;
/** Between two events. */
const restMs = 100;
/** More descriptors than at the beginning, of the same services: what a pool or a log may keep open for a while. */
const descriptorSlack = 20;

const victim = (turn: number): string => victims[turn % victims.length] as string;

function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {} // it was faster
}

async function killVictim(stage: Stage, turn: number): Promise<void> {
  const leader = await stage.leader(victim(turn));
  if (leader !== undefined) kill(leader.pid);
}

/** Stops processes for a while. They go on whatever happens. */
async function halted(pids: readonly number[], forMs: number): Promise<void> {
  for (const pid of pids) kill(pid, 'SIGSTOP');
  try {
    await wait(forMs);
  } finally {
    for (const pid of pids) kill(pid, 'SIGCONT');
  }
}

const prlimit = (pid: number, limit: string): Promise<string> => outputOf('prlimit', ['--pid', String(pid), `--nofile=${limit}`]);

/** The daemon may have no descriptor more than it has now, while `meanwhile` happens. */
async function withoutDescriptors(pid: number, meanwhile: () => Promise<void>): Promise<void> {
  const limits = /^Max open files\s+(\d+)\s+(\d+)/m.exec(await readFile(`/proc/${pid}/limits`, 'latin1'));
  const { highest } = await descriptorsOf(pid);
  await prlimit(pid, `${highest + 1}:${limits?.[2]}`);
  try {
    await meanwhile();
  } finally {
    await prlimit(pid, `${limits?.[1]}:${limits?.[2]}`);
  }
}

async function burst(stage: Stage, { commands, last }: Extract<ChaosEvent, { kind: 'burst' }>): Promise<void> {
  const { startInstances: start, stopInstances: stop, restartInstances: restart } = stage.client;
  const acts = { start, stop, restart };
  const body = { names: ['puppet'] };
  const limit = AbortSignal.timeout(patienceMs);
  await Promise.all(commands.map((command) => acts[command]({ body }, limit)));
  await acts[last]({ body }, limit);
  stage.wanted.set('puppet', last === 'stop' ? 'STOPPED' : 'RUNNING');
}

/** Does what an event says, and all that a person would do afterwards. */
async function perform(event: ChaosEvent, stage: Stage): Promise<void> {
  switch (event.kind) {
    case 'daemon killed':
      kill(await stage.daemon());
      await wait(event.awayMs);
      return stage.up();
    case 'daemon killed while it starts': {
      const before = await stage.daemon();
      kill(before);
      const starting = stage.up().catch(() => {}); // its daemon is killed
      await wait(event.afterMs);
      const now = await stage.daemon();
      if (now !== before) kill(now);
      await starting;
      return stage.up();
    }
    case 'keeper killed':
      for (const pid of await keeperOf(stage.state)) kill(pid);
      return;
    case 'daemon and keeper killed':
      kill(await stage.daemon());
      for (const pid of await keeperOf(stage.state)) kill(pid);
      await wait(event.awayMs);
      return stage.up();
    case 'gateway worker killed': {
      const leader = await stage.leader(`gateway:gateway_${1 + (event.turn % 2)}`);
      stage.expectResets();
      if (leader !== undefined) kill(leader.pid);
      return;
    }
    case 'service killed':
      return killVictim(stage, event.turn);
    case 'service and daemon killed':
      kill(await stage.daemon());
      await killVictim(stage, event.turn);
      await wait(event.awayMs);
      return stage.up();
    case 'daemon halted':
      return halted([await stage.daemon()], event.forMs);
    case 'keeper halted':
      return halted(await keeperOf(stage.state), event.forMs);
    case 'service halted': {
      const leader = await stage.leader(victim(event.turn));
      return halted(leader === undefined ? [] : [leader.pid], event.forMs);
    }
    case 'disk full':
    case 'disk full and service killed': {
      const makeRoom = await stage.fillDisk();
      try {
        if (event.kind === 'disk full and service killed') await killVictim(stage, event.turn);
        await wait(event.forMs);
      } finally {
        await makeRoom();
      }
      return;
    }
    case 'no descriptors':
      return withoutDescriptors(await stage.daemon(), async () => {
        await killVictim(stage, event.turn);
        await wait(event.forMs);
      });
    case 'burst':
      return burst(stage, event);
    case 'apply':
      return stage.scale(event.instances);
  }
}

/** Waits until every instance is what it is to be, in Steward's word and in /proc. */
async function untilWell(stage: Stage): Promise<void> {
  let seen = '';
  await until('all instances are as wanted', async () => {
    const [instances, leaders] = [await stage.instances(), await stage.leaders()];
    const running = new Map(leaders.map(({ instance, pid }) => [instance, pid]));
    const wrong = instances.filter(({ id, service, state, pid }) => {
      if (service === 'flappy') return false;
      const wanted = stage.wanted.get(service) ?? 'RUNNING';
      return state !== wanted || (wanted === 'RUNNING' ? running.get(id) !== pid : running.has(id));
    });
    seen = wrong.map(({ id, state, reason, pid }) => `${id} ${state} ${pid ?? ''} ${reason}`).join('; ');
    return wrong.length === 0;
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${seen}`);
  });
}

/** All that was written before now is in the log: the keeper runs, and moves. */
async function untilWritten(stage: Stage): Promise<void> {
  const { acknowledged } = await stage.log('deep', 'deep');
  const [count = 0] = acknowledged.values();
  await until('the log of `deep` goes on', async () => {
    const { text } = await stage.log('deep', 'deep');
    return Number(/(\d{12})\n$/.exec(text)?.[1] ?? 0) >= count;
  });
}

/** What the daemon said that nobody should ever read. */
const bugsIn = (log: string): string[] => [
  ...new Set(log.split('\n').flatMap((line) => /"bug: (.{0,300})/.exec(line)?.[1] ?? (/^\s+at .*\.ts:\d+/.test(line) ? line.trim() : []))),
];

async function checkLogs(stage: Stage): Promise<{ lines: number; missingBytes: number; broken: string[] }> {
  await stage.client.stopInstances({ body: { names: ['deep', 'mortal'] } }, AbortSignal.timeout(patienceMs));
  const checks: [string, StreamCheck][] = [];
  const deep = await stage.log('deep', 'deep');
  checks.push(['deep', checkStream(deep.text, [...deep.acknowledged.values()][0] ?? 0)]);
  for (const number of [1, 2]) {
    const { text, acknowledged } = await stage.log(`mortal:mortal_${number}`, `m${number}`);
    checks.push([`mortal_${number}`, checkRuns(text, acknowledged)]);
  }
  return {
    lines: checks.reduce((sum, [, { lines }]) => sum + lines, 0),
    missingBytes: checks.reduce((sum, [, { missingBytes }]) => sum + missingBytes, 0),
    broken: checks.flatMap(([name, { broken }]) => broken.slice(0, 3).map((text) => `log of ${name}: ${text}`)),
  };
}

type Tally = { times: number; longestMs: number };

/** Looks at what must hold at every moment, until told to end. */
function keepLooking(stage: Stage, broken: Set<string>): () => Promise<void> {
  let going = true;
  const loop = (async () => {
    for (; going; await wait(lookEveryMs)) for (const one of await stage.look()) broken.add(one);
  })();
  return async () => {
    going = false;
    await loop;
  };
}

function report(tallies: ReadonlyMap<Kind, Tally>, print: (text: string) => void): void {
  const rows = [...tallies].map(([kind, { times, longestMs }]) => [kind, String(times), (longestMs / 1000).toFixed(1)]);
  print(table(['what happened', 'times', 'all well after at most, s'], rows));
}

/** Runs it; what was broken, nothing when all held. @throws when it cannot even begin, or when `signal` aborts; all it started is gone by then. */
export async function chaos({ seed, events, minutes, only, print, signal }: ChaosTask): Promise<string[]> {
  await using stage = await openStage(minutes);
  if (!stage.hasDisk) print('no disk of its own can be mounted here: nothing happens to the disk');
  await untilWell(stage);
  const before = await descriptorsOf(await stage.daemon());
  const broken = new Set<string>();
  const stopLooking = keepLooking(stage, broken);
  const tallies = new Map<Kind, Tally>();
  const deadline = Date.now() + minutes * 60_000;
  let done = 0;
  try {
    for (const event of eventsOf(seed)) {
      if (signal.aborted || broken.size > 0 || Date.now() > deadline || done >= (events ?? Number.POSITIVE_INFINITY)) break;
      if ((only !== undefined && !only.includes(event.kind)) || (event.kind.startsWith('disk') && !stage.hasDisk)) continue;
      const begunAt = Date.now();
      done++;
      try {
        await perform(event, stage);
        await untilWell(stage);
        await untilWritten(stage);
      } catch (error) {
        broken.add(`event ${done}, ${JSON.stringify(event).slice(0, 200)}: ${(error as Error).message.slice(0, 1_000)}`);
      }
      const tally = tallies.get(event.kind) ?? { times: 0, longestMs: 0 };
      tallies.set(event.kind, { times: tally.times + 1, longestMs: Math.max(tally.longestMs, Date.now() - begunAt) });
      await wait(restMs);
    }
  } finally {
    await stopLooking();
  }
  signal.throwIfAborted();
  return [...broken, ...(await conclude(stage, before.count, tallies, print))];
}

/** The end of a run: descriptors, zombies, logs, and what is left after `steward down`. */
async function conclude(
  stage: Stage,
  descriptors: number,
  tallies: ReadonlyMap<Kind, Tally>,
  print: (text: string) => void,
): Promise<string[]> {
  const broken: string[] = [];
  try {
    await stage.scale(1);
    await stage.client.startInstances({ body: { names: ['puppet'] } });
    stage.wanted.set('puppet', 'RUNNING');
    await untilWell(stage);
    const pid = await stage.daemon();
    await until('the daemon has collected its dead', async () => (await zombiesOf(pid)).length === 0);
    const { count } = await descriptorsOf(pid);
    print(`descriptors of the daemon: ${descriptors} before, ${count} after`);
    if (count > descriptors + descriptorSlack) broken.push(`the daemon has ${count} descriptors open, ${descriptors} before`);
    const logs = await checkLogs(stage);
    print(`${logs.lines} lines of logs read, ${logs.missingBytes} bytes told as missing`);
    broken.push(...logs.broken);
  } catch (error) {
    broken.push(`at the end: ${(error as Error).message.slice(0, 1_000)}`);
  }
  broken.push(...bugsIn(await readFile(join(stage.state, 'daemon.log'), 'utf8').catch(() => '')).map((bug) => `daemon.log: ${bug}`));
  broken.push(...(await stage.end()));
  const { answered, resets, broken: unanswered } = stage.asked;
  print(`the gateway answered ${answered} requests; ${resets} were reset with a worker that was killed`);
  report(tallies, print);
  return [...broken, ...new Set(unanswered)];
}
