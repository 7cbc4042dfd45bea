/** The processes of one Steward, as /proc knows them, whatever Steward itself believes. */
import { readdir, readFile } from 'node:fs/promises';

export type Known = {
  readonly pid: number;
  /** In clock ticks since boot: pid and start together are one process. */
  readonly start: number;
  /** The instance it was started as. */
  readonly instance: string;
  readonly run: string;
  /** It is what Steward started, not what that started. */
  readonly isLeader: boolean;
};

const read = (file: string): Promise<string> => readFile(file, 'latin1').catch(() => '');

export const pidsOfAll = async (): Promise<number[]> => (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);

/** State letter, parent, group and start of a process; undefined when it is gone. */
async function statOf(pid: number): Promise<{ state: string; parent: number; group: number; start: number } | undefined> {
  const text = await read(`/proc/${pid}/stat`);
  if (text === '') return undefined;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', parent: Number(fields[1]), group: Number(fields[2]), start: Number(fields[19]) };
}

const variable = (environment: string, name: string): string =>
  environment
    .split('\0')
    .find((entry) => entry.startsWith(`${name}=`))
    ?.slice(name.length + 1) ?? '';

/** What a Steward has started and what that has started: all that carry a run id which begins with `home`. */
export async function processesOf(home: string): Promise<Known[]> {
  const found = await Promise.all(
    (await pidsOfAll()).map(async (pid): Promise<Known[]> => {
      const environment = await read(`/proc/${pid}/environ`);
      const run = variable(environment, 'STEWARD_RUN_ID');
      const stat = run.startsWith(home) ? await statOf(pid) : undefined;
      if (stat === undefined || /[ZX]/.test(stat.state)) return [];
      return [{ pid, start: stat.start, instance: variable(environment, 'STEWARD_INSTANCE'), run, isLeader: stat.group === pid }];
    }),
  );
  return found.flat();
}

/** The part of the run ids that all processes of a Steward share, from one of them. */
export async function homeOf(pid: number): Promise<string> {
  const run = variable(await read(`/proc/${pid}/environ`), 'STEWARD_RUN_ID');
  if (run === '') throw new Error(`process ${pid} has no run id`);
  return run.slice(0, run.indexOf('.') + 1);
}

/** Pids of all that name a folder in their command line or environment, this process apart. */
export async function mentioning(folder: string): Promise<number[]> {
  const found = await Promise.all(
    (await pidsOfAll()).map(async (pid) => {
      const texts = await Promise.all([read(`/proc/${pid}/cmdline`), read(`/proc/${pid}/environ`)]);
      return pid !== process.pid && texts.some((text) => text.includes(folder)) ? [pid] : [];
    }),
  );
  return found.flat();
}

/** Dead children of a process that it has not collected. */
export async function zombiesOf(parent: number): Promise<number[]> {
  const found = await Promise.all((await pidsOfAll()).map(async (pid) => ({ pid, stat: await statOf(pid) })));
  return found.flatMap(({ pid, stat }) => (stat?.state === 'Z' && stat.parent === parent ? [pid] : []));
}

/** Whether exactly this process still runs. */
export async function stillRuns({ pid, start }: { pid: number; start: number }): Promise<boolean> {
  const stat = await statOf(pid);
  return stat !== undefined && stat.start === start && !/[ZX]/.test(stat.state);
}

/** How many descriptors a process has open, and the highest of them. */
export async function descriptorsOf(pid: number): Promise<{ count: number; highest: number }> {
  const names = (await readdir(`/proc/${pid}/fd`)).map(Number);
  return { count: names.length, highest: Math.max(...names) };
}
