/** What a run of chaos happens to: a Steward with services of all sorts, on a small disk of its own, and clients that ask its gateway all the time. */
import { createWriteStream } from 'node:fs';
import { mkdir, readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@steward/sdk/client';
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import { freePort } from '../free-port.ts';
import { someMayFail, startSteward } from '../peers/steward.ts';
import { daemonOf } from '../peers/steward-fleet.ts';
import { outputOf, untilServed } from '../program.ts';
import { tempFolder } from '../temp-folder.ts';
import { homeOf, type Known, mentioning, processesOf, stillRuns } from './processes.ts';

const writer = fileURLToPath(new URL('writer.py', import.meta.url));
const backEnd = fileURLToPath(new URL('../peers/json-back-end.ts', import.meta.url));

/** Of the small disk: what a daemon needs, and what the writers write. */
const diskMb = 64;
const diskMbPerMinute = 2;
/** However slow the machine is: later than this is never. */
export const patienceMs = 60_000;

/** Looks until `look` gives something. @throws after a minute, with what was waited for. */
export async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
  let last: unknown;
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; await wait(50)) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (error) {
      last = error;
    }
  }
  throw new Error(`waited a minute in vain: ${what}${last instanceof Error ? ` (${last.message.slice(0, 300)})` : ''}`);
}

const soon = { backoff: { first: '0s', base: '100ms', max: '1s' } } as const;

/** The file; `extra` is the number of instances that an apply changes. */
const configuration = (progress: string, port: number, extra: number): object => ({
  services: {
    deep: { run: ['python3', writer, 'deep', progress], stdout: { maxSize: '200KB', keep: 10_000 } },
    web: { run: [process.execPath, '--disable-warning=ExperimentalWarning', backEnd, '{{socket}}'], socket: true, instances: 2 },
    mortal: { run: ['python3', writer, 'm{{instance}}', progress], instances: 2, stdout: { maxSize: '200KB', keep: 10_000 }, ...soon },
    idle: { run: 'sleep 100000', instances: 2, ...soon },
    puppet: { run: 'sleep 100001', upAfter: '200ms', ...soon },
    extra: { run: 'sleep 100002', instances: extra, ...soon },
    flappy: { run: ['sh', '-c', 'sleep 0.5; exit 1'], upAfter: '100ms', ...soon },
  },
  sites: [{ listen: [`127.0.0.1:${port}`], routes: [{ path: '/web', service: 'web' }, { respond: 'here' }] }],
  gateway: { workers: 2, accessLog: false },
});

/** Instances that nothing happens to: their pids stay. */
const untouched = ['deep', 'web:web_1', 'web:web_2'] as const;
/** Instances that may be killed. */
export const victims = ['mortal:mortal_1', 'mortal:mortal_2', 'idle:idle_1', 'idle:idle_2'] as const;

/** What a client of the gateway found. */
export type Asked = { answered: number; resets: number; broken: string[] };

export type Stage = AsyncDisposable & {
  readonly state: string;
  readonly folder: string;
  readonly client: Client;
  /** It is a disk of its own that can be filled. */
  readonly hasDisk: boolean;
  /** What each instance of `puppet` and `extra` is to be: RUNNING or STOPPED. */
  readonly wanted: Map<string, string>;
  readonly asked: Asked;
  command: (...words: readonly string[]) => Promise<string>;
  /** `steward up -d`, as a person does who finds the daemon gone. */
  up: () => Promise<void>;
  daemon: () => Promise<number>;
  instances: () => Promise<readonly InstanceInfo[]>;
  /** The leader of an instance by what /proc says. */
  leader: (instance: string) => Promise<Known | undefined>;
  leaders: () => Promise<Known[]>;
  /** Says that a worker is about to be killed: connections it had accepted are reset. */
  expectResets: () => void;
  scale: (extra: number) => Promise<void>;
  /** Writes until not one byte more fits; the function given back makes room again. */
  fillDisk: () => Promise<() => Promise<void>>;
  /** Files of an instance's log, oldest first, and how many lines each run of its program knows it has written. */
  log: (instance: string, name: string) => Promise<{ text: string; acknowledged: Map<string, number> }>;
  /** Looks that are made once: whether anything is more than once, or another than it was. */
  look: () => Promise<string[]>;
  /** Ends Steward; what is left afterwards. */
  end: () => Promise<string[]>;
};

/** One GET on a connection of its own: its status. */
function ask(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, timeout: 10_000 }, (answer) => {
      answer.resume();
      answer.once('end', () => resolve(answer.statusCode ?? 0));
      answer.once('error', reject);
    });
    request.once('timeout', () => request.destroy(new Error('no answer in 10 s')));
    request.once('error', reject);
  });
}

/** Asks in turn until told to end. A failure is excused when a worker was killed around then; then the next try has to be answered, and soon. */
function keepAsking(urls: readonly string[], isExcused: (sinceMs: number) => boolean): { asked: Asked; stop: () => Promise<void> } {
  const asked: Asked = { answered: 0, resets: 0, broken: [] };
  let going = true;
  const one = async (url: string): Promise<void> => {
    const begunAt = Date.now();
    for (;;) {
      const triedAt = Date.now();
      const failure = await ask(url).then(
        (status) => (status === 200 ? undefined : `status ${status}`),
        (error: Error) => error.message,
      );
      if (failure === undefined) break;
      const path = new URL(url).pathname;
      if (!isExcused(triedAt)) return void asked.broken.push(`the gateway did not answer ${path}: ${failure}`);
      if (Date.now() - begunAt > patienceMs) return void asked.broken.push(`the gateway did not answer ${path} for a minute: ${failure}`);
      asked.resets++;
    }
    asked.answered++;
  };
  const loop = (async () => {
    for (let turn = 0; going; turn++) {
      await one(urls[turn % urls.length] as string);
      await wait(30);
    }
  })();
  return {
    asked,
    stop: async () => {
      going = false;
      await loop;
    },
  };
}

async function mountSmallDisk(path: string, minutes: number): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const size = diskMb + Math.ceil(minutes) * diskMbPerMinute;
  return outputOf('mount', ['-t', 'tmpfs', '-o', `size=${size}m,mode=0711`, 'steward-chaos', path]).then(
    () => true,
    () => false, // a container without the right to mount
  );
}

/** Until not one byte more fits: whole pages first, then what the page that has begun still takes. */
async function fill(file: string, folder: string): Promise<void> {
  const { bsize, bavail } = await statfs(folder);
  await new Promise<void>((resolve) => {
    const stream = createWriteStream(file);
    stream.once('error', () => resolve()); // ENOSPC: that is the end
    const page = Buffer.alloc(bsize);
    let left = bavail + 16;
    const go = (): void => {
      while (left-- > 0) if (!stream.write(page)) return void stream.once('drain', go);
      stream.end(resolve);
    };
    go();
  });
}

/** Starts everything, and waits until it runs. `minutes`: how long it is to be looked at, for the size of the disk. */
export async function openStage(minutes: number): Promise<Stage> {
  await using stack = new AsyncDisposableStack();
  const { path: folder } = stack.use(await tempFolder());
  const [state, progress] = [join(folder, 'state'), join(folder, 'progress')];
  await mkdir(state, { mode: 0o711 });
  await mkdir(progress);
  const hasDisk = await mountSmallDisk(state, minutes);
  if (hasDisk) stack.defer(async () => void (await outputOf('umount', ['-l', state])));
  const port = await freePort();
  const steward = await startSteward(configuration(progress, port, 1), folder, 'fail');
  const path = join(folder, 'steward.yaml');
  let ended = false;
  stack.defer(async () => {
    if (!ended) await steward.command('down').catch(() => {});
    // Only what is left of this very run: all of it names its folder.
    for (const pid of await mentioning(folder)) process.kill(pid, 'SIGKILL');
  });
  await untilServed(`http://127.0.0.1:${port}/web`);

  const client = createClient({ socketPath: join(state, 'control.sock') });
  const instances = async (): Promise<readonly InstanceInfo[]> =>
    (await client.listInstances({ query: { brief: true } }, AbortSignal.timeout(patienceMs))).instances;
  const pids = new Map((await instances()).map(({ id, pid }) => [id, pid ?? 0]));
  const home = await homeOf(pids.get('deep') as number);
  const leaders = async (): Promise<Known[]> => (await processesOf(home)).filter(({ isLeader }) => isLeader);
  let resetsUntil = 0;
  const base = `http://127.0.0.1:${port}`;
  const asking = keepAsking([`${base}/`, `${base}/web`], (sinceMs) => sinceMs < resetsUntil);
  stack.defer(asking.stop);
  // `flappy` is not meant to run; what else does not run shows later.
  const bringUp = (words: readonly string[]): Promise<void> => someMayFail(steward.command(...words));
  const kept = stack.move();

  return {
    state,
    folder,
    client,
    hasDisk,
    wanted: new Map([
      ['puppet', 'RUNNING'],
      ['extra', 'RUNNING'],
    ]),
    asked: asking.asked,
    command: steward.command,
    up: () => bringUp(['up', '-d', path]),
    daemon: () => daemonOf(state),
    instances,
    leader: async (instance) => (await leaders()).find((known) => known.instance === instance),
    leaders,
    expectResets: () => {
      resetsUntil = Date.now() + 5_000;
    },
    scale: async (extra) => {
      await writeFile(path, JSON.stringify(configuration(progress, port, extra), undefined, 2));
      await bringUp(['apply', path]);
    },
    fillDisk: async () => {
      const file = join(state, 'filler');
      await fill(file, state);
      return () => rm(file, { force: true });
    },
    log: async (instance, name) => {
      const number = (file: string): number => Number(/\.log\.(\d+)$/.exec(file)?.[1] ?? 0);
      const files = (await readdir(join(state, 'logs'))).filter((file) => file.replace(/\.\d+$/, '') === `${instance}.log`);
      const texts = await Promise.all(
        files.toSorted((a, b) => number(b) - number(a)).map((file) => readFile(join(state, 'logs', file), 'latin1')),
      );
      const runs = (await readdir(progress)).filter((file) => file.startsWith(`${name}.`));
      const counts = await Promise.all(
        runs.map(async (file) => [file.slice(name.length + 1), Number(await readFile(join(progress, file), 'latin1'))] as const),
      );
      return { text: texts.join(''), acknowledged: new Map(counts) };
    },
    look: async () => {
      const found = await leaders();
      const doubled = [...Map.groupBy(found, ({ instance }) => instance)].filter(([, all]) => all.length > 1);
      const broken: string[] = [];
      for (const [instance, all] of doubled) {
        // A look takes its time, and one may have followed the other meanwhile: only what is there at once counts.
        const alive = (await Promise.all(all.map(stillRuns))).filter(Boolean).length;
        if (alive > 1) broken.push(`${alive} processes at once of ${instance}: ${all.map(({ pid }) => pid).join(', ')}`);
      }
      for (const instance of untouched) {
        const pid = found.find((known) => known.instance === instance)?.pid;
        if (pid !== pids.get(instance)) broken.push(`${instance} was pid ${pids.get(instance)} and is ${pid ?? 'gone'}`);
      }
      return broken;
    },
    end: async () => {
      await asking.stop();
      const out = await steward.command('down').catch((error: Error) => `down failed: ${error.message.slice(0, 500)}`);
      ended = true;
      const left = [...new Set([...(await mentioning(folder)), ...(await processesOf(home)).map(({ pid }) => pid)])];
      const commands = await Promise.all(left.map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')));
      return [
        ...(out.startsWith('down failed') ? [out] : []),
        ...left.flatMap((pid, index) => (commands[index] ? `down left process ${pid}: ${commands[index].replaceAll('\0', ' ')}` : [])),
      ];
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}
