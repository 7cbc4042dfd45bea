/** What the whole-program tests share: Steward started as a user starts it, by its launcher, in folders of its own. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { InstanceInfo } from '@steward/sdk/contract/instances';

export { freePort } from '../src/kernel/free-port.ts';

export const repository = fileURLToPath(new URL('../../..', import.meta.url));
export const launcher = join(repository, 'packages/steward/bin/steward');

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end; 60 s at most. */
export function run(command: string, words: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (err += chunk));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

/** Looks until `look` gives something; fails after 30 s with what was waited for. */
export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; await wait(20)) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
  }
  return assert.fail(`waited in vain for ${what}`);
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** One GET on a connection of its own. */
export function get(url: string, options: { ca?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ask = url.startsWith('https:') ? requestHttps : requestHttp;
    const made = ask(url, { agent: false, timeout: 20_000, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (body += chunk));
      response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      response.once('error', reject);
    });
    made.once('error', reject);
    made.once('timeout', () => made.destroy(new Error(`no answer from ${url}`)));
    made.end();
  });
}

export interface Place {
  /** For configuration files; everybody may pass through it. */
  readonly folder: string;
  readonly state: string;
  write(name: string, text: string): string;
  /** Runs the launcher with this state directory. */
  steward(...words: string[]): Promise<Outcome>;
  /** The same, and fails the test unless the exit code is 0. Its output. */
  ok(...words: string[]): Promise<string>;
  ps(): Promise<InstanceInfo[]>;
  instance(id: string): Promise<InstanceInfo>;
  /** `up` in the foreground; killed after the test. */
  foreground(...words: string[]): ChildProcess & { text(): string };
  daemonPid(): Promise<number>;
  /** Pids of everything that belongs to this place. */
  processes(): number[];
}

const readOr = (file: string): string => {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
};

/** Every process that carries the state directory in its command line or environment. */
function processesOf(state: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => readOr(`/proc/${name}/cmdline`).includes(state) || readOr(`/proc/${name}/environ`).includes(state))
    .map(Number);
}

/** Folders for one test. After it, Steward is brought down; what is left then is a failure, and killed by pid. */
export function newPlace(t: TestContext, env: NodeJS.ProcessEnv = {}): Place {
  const folder = mkdtempSync(join(tmpdir(), 'steward-'));
  chmodSync(folder, 0o755);
  const state = join(folder, 'state');
  const children: ChildProcess[] = [];
  // PLACE marks every process of this test, services included, which get it by `inheritEnv` or not at all.
  const environment = { ...process.env, STEWARD_STATE: state, NO_COLOR: '1', ...env };
  const steward = (...words: string[]): Promise<Outcome> => run(launcher, words, { cwd: folder, env: environment });
  const place: Place = {
    folder,
    state,
    write(name, text) {
      const file = join(folder, name);
      writeFileSync(file, text);
      return file;
    },
    steward,
    async ok(...words) {
      const { code, out, err } = await steward(...words);
      assert.equal(code, 0, `steward ${words.join(' ')} ended with ${code}:\n${out}\n${err}\n${readOr(join(state, 'daemon.log'))}`);
      return out;
    },
    ps: async () => (JSON.parse(await place.ok('ps', '--json')) as { instances: InstanceInfo[] }).instances,
    async instance(id) {
      const found = (await place.ps()).find((instance) => instance.id === id);
      return found ?? assert.fail(`there is no instance ${id}`);
    },
    foreground(...words) {
      const child = spawn(launcher, words, { cwd: folder, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
      let text = '';
      child.stdout.on('data', (chunk) => (text += chunk));
      child.stderr.on('data', (chunk) => (text += chunk));
      children.push(child);
      return Object.assign(child, { text: () => text });
    },
    daemonPid: async () =>
      (JSON.parse(await place.ok('version', '--json')) as { daemon: string | null }).daemon === null
        ? assert.fail('no daemon')
        : Number(readFileSync(join(state, 'daemon.lock'), 'utf8')),
    processes: () => processesOf(state),
  };
  t.after(async () => {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    const { code, out, err } = await steward('down');
    const left = processesOf(state);
    for (const pid of left) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    assert.equal(code, 0, `down: ${out}${err}`);
    assert.deepEqual(left, [], 'down left processes behind');
  });
  return place;
}

/** Whether a process is there and not a zombie. */
export function isRunning(pid: number): boolean {
  const stat = readOr(`/proc/${pid}/stat`);
  return stat !== '' && !/\) [ZX] /.test(stat);
}

export const kill = (pid: number, signal: NodeJS.Signals = 'SIGKILL'): void => void process.kill(pid, signal);
