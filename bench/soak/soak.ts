/**
 * Hours of work in minutes: services that crash, write, are restarted, scaled and applied again by commands at random, and a look
 * at Steward's own processes all the while. Memory and descriptors must stay bounded, nothing may be left over, and whenever the
 * commands pause every service must come to the state that is wanted of it.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createClient } from '@steward/sdk/client';
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import { descriptorsOf, homeOf, type Known, mentioning, processesOf, stillRuns, zombiesOf } from '../chaos/processes.ts';
import { random } from '../chaos/random.ts';
import { percentile } from '../control.ts';
import { startSteward } from '../peers/steward.ts';
import { daemonOf, keeperOf } from '../peers/steward-fleet.ts';
import { residentMb } from '../supervised.ts';
import { table } from '../table.ts';
import { tempFolder } from '../temp-folder.ts';
import { growth, laterHalf } from './growth.ts';

export type SoakTask = {
  readonly minutes: number;
  readonly seed: number;
  /** How long `steward ps` may take. Default: 10 s. */
  readonly answerMs?: number;
  readonly print: (text: string) => void;
  readonly signal: AbortSignal;
};

const talker = fileURLToPath(new URL('talker.py', import.meta.url));
const talkers = 2;
const bytesPerSecond = 2 * 2 ** 20;
const crashers = 4;
const moody = ['moody_1', 'moody_2', 'moody_3'] as const;

/** Samples of a run, and rows of its table. */
const [samples, shown] = [120, 20];
/** Pauses of a run, in which everything must come to rest. */
const rests = 10;
/** Between two commands: at most this, one half of it on average. */
const commandEveryMs = 600;
const restMs = 60_000;
/** What a heap gives and takes by itself over the later half; a leak that shows is more. */
const allowedMb = 24;
const allowedDescriptors = 20;
/** `steward ps` on a busy machine. */
const usualAnswerMs = 10_000;

const quick = { backoff: { first: '0s', base: '0s' }, upAfter: '0s' } as const;

const configuration = (folder: string, scaled: number): object => ({
  logs: { maxSize: '5MB', keep: 1 },
  services: {
    crasher: { run: ['sh', '-c', 'echo begins; sleep 0.2; echo ends; exit 1'], instances: crashers, ...quick },
    talker: { run: ['python3', talker, String(bytesPerSecond), join(folder, 'written.{{instance}}')], instances: talkers },
    steady: { run: 'sleep 100000', instances: 3 },
    moody: { run: 'sleep 100001', instances: moody.length, upAfter: '100ms', backoff: { first: '0s', base: '100ms', max: '1s' } },
    scaled: { run: 'sleep 100002', instances: scaled, after: ['steady'], upAfter: '100ms' },
    done: { run: 'true', restart: 'never', upAfter: '0s' },
  },
});

/** What Steward's own processes take at one moment, and how much they have done until then. */
type Sample = {
  minutes: number;
  events: number;
  restarts: number;
  gigabytes: number;
  daemonMb: number;
  keeperMb: number;
  daemonFds: number;
  keeperFds: number;
  answerMs: number;
};

/** What there is to look at and to command. */
type Scene = Awaited<ReturnType<typeof open>>;

async function open(stack: AsyncDisposableStack) {
  const { path: folder } = stack.use(await tempFolder());
  const own = join(folder, 'own');
  await mkdir(own);
  const state = join(own, 'state');
  const steward = await startSteward(configuration(folder, 2), own, 'fail');
  let isDown = false;
  const down = async (): Promise<void> => {
    isDown = true;
    await steward.command('down');
  };
  stack.defer(async () => {
    if (!isDown) await down();
  });
  const client = createClient({ socketPath: join(state, 'control.sock') });
  const [first] = (await client.listInstances({ query: { names: 'steady' } })).instances;
  const home = await homeOf(first?.pid ?? 0);
  return { folder, own, state, steward, client, home, down, wanted: new Map<string, string>(), begunAt: performance.now() };
}

async function eventsSoFar({ client }: Scene): Promise<number> {
  for await (const { data } of client.listFacts({ query: { count: 1 } })) return data.cursor;
  return 0;
}

async function writtenGigabytes({ folder }: Scene): Promise<number> {
  const texts = await Promise.all(
    Array.from({ length: talkers }, (_, index) => readFile(join(folder, `written.${index + 1}`), 'latin1').catch(() => '0')),
  );
  return texts.reduce((sum, text) => sum + Number(text), 0) / 1e9;
}

async function sample(scene: Scene): Promise<Sample> {
  const daemon = await daemonOf(scene.state);
  const [keeper = 0] = await keeperOf(scene.state);
  const askedAt = performance.now();
  await scene.steward.command('ps');
  const tookMs = performance.now() - askedAt;
  const { instances } = await scene.client.listInstances({ query: { brief: true, names: 'crasher' } });
  return {
    minutes: (askedAt - scene.begunAt) / 60_000,
    events: await eventsSoFar(scene),
    restarts: instances.reduce((sum, { restarts }) => sum + restarts, 0),
    gigabytes: await writtenGigabytes(scene),
    daemonMb: await residentMb([daemon]),
    keeperMb: await residentMb([keeper]),
    daemonFds: (await descriptorsOf(daemon)).count,
    keeperFds: (await descriptorsOf(keeper)).count,
    answerMs: tookMs,
  };
}

/** Commands at random until told to end; the last word on each service is remembered. */
function keepCommanding(
  scene: Scene,
  seed: number,
  broken: Set<string>,
): { pause: () => Promise<() => void>; stop: () => Promise<void>; count: () => number } {
  const chance = random(seed);
  const { client, steward, wanted } = scene;
  let [going, count] = [true, 0];
  let gate: Promise<void> = Promise.resolve();
  let working: Promise<void> = Promise.resolve();
  const limit = (): AbortSignal => AbortSignal.timeout(restMs);
  const one = async (): Promise<void> => {
    const name = `moody:${chance.of(moody)}`;
    const body = { names: [name] };
    const turn = chance.below(10);
    if (turn < 3) {
      await client.restartInstances({ body }, limit());
      wanted.set(name, 'RUNNING');
    } else if (turn < 5) {
      await client.stopInstances({ body }, limit());
      wanted.set(name, 'STOPPED');
    } else if (turn < 7) {
      await client.startInstances({ body }, limit());
      wanted.set(name, 'RUNNING');
    } else if (turn < 9) {
      await writeFile(join(scene.own, 'steward.yaml'), JSON.stringify(configuration(scene.folder, chance.between(0, 6)), undefined, 2));
      await client.applyConfig({ body: {} }, limit());
    } else await steward.command('logs', '-n', '20', 'crasher');
    count++;
  };
  const loop = (async () => {
    while (going) {
      await gate;
      working = one().catch((error: Error) => void broken.add(`a command failed: ${error.message.slice(0, 300)}`));
      await working;
      await wait(chance.below(commandEveryMs));
    }
  })();
  return {
    pause: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      await working;
      return resolve;
    },
    stop: async () => {
      going = false;
      await loop;
    },
    count: () => count,
  };
}

const isAsWanted = (wanted: ReadonlyMap<string, string>, { id, service, state }: InstanceInfo): boolean => {
  if (service === 'crasher') return true;
  return state === (service === 'done' ? 'EXITED' : (wanted.get(id) ?? 'RUNNING'));
};

/** Processes of no instance, more of one than one, and dead ones that nobody collected: each looked at a second time, since a look is no moment. */
async function leftOver({ home, state, client }: Scene): Promise<string[]> {
  const look = async (): Promise<string[]> => {
    const { instances } = await client.listInstances({ query: { brief: true } });
    const known = new Map(instances.map(({ id, pid }) => [id, pid]));
    const leaders = (await processesOf(home)).filter(({ isLeader }) => isLeader);
    const wrong = async (process: Known): Promise<boolean> =>
      !process.instance.startsWith('crasher:') && known.get(process.instance) !== process.pid && (await stillRuns(process));
    const strange = await Promise.all(leaders.map(async (process) => ((await wrong(process)) ? [process] : [])));
    const zombies = await zombiesOf(await daemonOf(state));
    return [
      ...strange.flat().map(({ pid, instance }) => `process ${pid} belongs to no instance; it was started as ${instance}`),
      ...zombies.map((pid) => `process ${pid} is dead and not collected`),
    ];
  };
  const first = await look();
  if (first.length === 0) return [];
  await wait(2_000);
  return (await look()).filter((text) => first.includes(text));
}

/** Waits until all is as wanted, and looks at what is left over. */
async function rest(scene: Scene): Promise<string[]> {
  let wrong: InstanceInfo[] = [];
  for (const deadline = Date.now() + restMs; Date.now() < deadline; await wait(100)) {
    const { instances } = await scene.client.listInstances({ query: { brief: true } });
    wrong = instances.filter((instance) => !isAsWanted(scene.wanted, instance));
    if (wrong.length === 0) return leftOver(scene);
  }
  return wrong.map(
    ({ id, state, reason }) =>
      `${id} is ${state} (${reason}) a minute after the last command, ${scene.wanted.get(id) ?? 'RUNNING'} is wanted`,
  );
}

const figures = ['daemonMb', 'keeperMb', 'daemonFds', 'keeperFds'] as const;

/** What grew over the later half. */
function judge(curve: readonly Sample[]): string[] {
  const half = laterHalf(curve);
  const grown = (figure: (typeof figures)[number]): number => growth(half.map((one) => ({ x: one.minutes, y: one[figure] })));
  return figures.flatMap((figure) => {
    const allowed = figure.endsWith('Mb') ? allowedMb : allowedDescriptors;
    return grown(figure) > allowed ? [`${figure} grew by ${grown(figure).toFixed(1)} over the later half`] : [];
  });
}

/** A heap takes minutes to come to its size; a line through less says nothing about hours. */
const shortestMinutes = 5;

/** In words: what grew, by how much for each unit of work, and what that would come to. */
function extrapolation(curve: readonly Sample[]): string {
  const half = laterHalf(curve);
  const [first, last] = [half[0], half.at(-1)];
  if (first === undefined || last === undefined || first === last) return 'too short for a line';
  const [events, restarts, gigabytes] = [last.events - first.events, last.restarts - first.restarts, last.gigabytes - first.gigabytes];
  const [minutes, isLong] = [last.minutes - first.minutes, last.minutes - first.minutes >= shortestMinutes];
  const lines = (['daemonMb', 'keeperMb'] as const).map((figure) => {
    const grown = growth(half.map((one) => ({ x: one.minutes, y: one[figure] })));
    const per = (amount: number, digits: number): string => (amount > 0 ? (grown / amount).toFixed(digits) : '-');
    const now = `${figure}: ${last[figure].toFixed(1)} at the end, ${grown.toFixed(1)} more over the later half: ${per(events / 1000, 3)} MB per 1,000 events if events are to blame for all of it, ${per(gigabytes, 2)} MB per GB of lines if lines are.`;
    return isLong
      ? `${now} Were that to go on, ${per(restarts / 1e6, 0)} MB more after 1,000,000 restarts, ${per(gigabytes / 100, 0)} MB after 100 GB.`
      : now;
  });
  const share = `That is 1/${Math.ceil(1e6 / Math.max(1, restarts))} of 1,000,000 restarts and 1/${Math.ceil(100 / Math.max(gigabytes, 1e-3))} of 100 GB`;
  return [
    `the later half: ${events} events (${restarts} restarts), ${gigabytes.toFixed(2)} GB of log lines, ${minutes.toFixed(1)} minutes`,
    ...lines,
    isLong
      ? `${share}: the rest is a line drawn on, not measured.`
      : `${share}, and too short to draw a line on: run it for ${2 * shortestMinutes} minutes and more.`,
  ].join('\n');
}

function show(curve: readonly Sample[], print: (text: string) => void): void {
  const every = Math.max(1, Math.ceil(curve.length / shown));
  const rows = curve
    .filter((_, index) => index % every === 0 || index === curve.length - 1)
    .map((one) => [
      one.minutes.toFixed(1),
      String(one.events),
      String(one.restarts),
      one.gigabytes.toFixed(2),
      one.daemonMb.toFixed(1),
      one.keeperMb.toFixed(1),
      String(one.daemonFds),
      String(one.keeperFds),
    ]);
  print(table(['minutes', 'events', 'restarts', 'GB of lines', 'daemon MB', 'keeper MB', 'daemon fds', 'keeper fds'], rows));
  const times = curve.map((one) => one.answerMs);
  print(`steward ps: p50 ${percentile(times, 50).toFixed(0)} ms, p99 ${percentile(times, 99).toFixed(0)} ms, of ${times.length}`);
}

/** Runs it; what was broken, nothing when all held. @throws when `signal` aborts; all it started is gone by then. */
export async function soak({ minutes, seed, answerMs = usualAnswerMs, print, signal }: SoakTask): Promise<string[]> {
  await using stack = new AsyncDisposableStack();
  const scene = await open(stack);
  const broken = new Set<string>();
  const commands = keepCommanding(scene, seed, broken);
  const deadline = performance.now() + minutes * 60_000;
  const everyMs = Math.max(1_000, (minutes * 60_000) / samples);
  const restEveryMs = Math.max(5_000, (minutes * 60_000) / rests);
  const curve: Sample[] = [];
  let restAt = performance.now() + restEveryMs;
  try {
    do {
      curve.push(await sample(scene));
      if (performance.now() >= restAt) {
        const goOn = await commands.pause();
        for (const text of await rest(scene)) broken.add(text);
        goOn();
        restAt = performance.now() + restEveryMs;
      }
      await wait(everyMs, undefined, { signal });
    } while (performance.now() < deadline);
  } finally {
    await commands.stop();
  }
  for (const text of await rest(scene)) broken.add(text);
  curve.push(await sample(scene));
  show(curve, print);
  print(`${commands.count()} commands\n${extrapolation(curve)}`);
  const slow = Math.max(...curve.map((one) => one.answerMs));
  await scene.down();
  const left = await mentioning(scene.folder);
  return [
    ...broken,
    ...judge(curve),
    ...(slow > answerMs ? [`steward ps took ${slow.toFixed(0)} ms`] : []),
    ...left.map((pid) => `down left process ${pid}`),
  ];
}
