/**
 * Packing rotated files: one at a time, in a process of the lowest priority, so that neither the keeper nor the daemon waits
 * for it. A file is packed when it has been left alone for a while: one that a flood rotates away sooner is not worth the work.
 *
 *   keeper ── rotated ──▶ look(file) ── a minute ──▶ packer.ts writes a packed copy ── onPacked ──▶ keeper puts it in its place
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeeperCommand } from './keeper-protocol.ts';
import type { PackJob } from './packer.ts';
import { indexFolderOf, type Packing, segmentsOf, tablePath } from './segments.ts';

const packerFile = fileURLToPath(new URL(`packer${extname(import.meta.url)}`, import.meta.url));
const ending = '.packing';

export interface PackingOptions {
  /** Where indexes are. */
  readonly folder: string;
  readonly afterMs: number;
  readonly onPacked: (packed: Extract<KeeperCommand, { packed: unknown }>['packed']) => void;
}

export interface PackingQueue {
  /** From now on rotated files of this log are packed so, also those there are; undefined leaves them alone. */
  want(file: string, packing: Packing | undefined): void;
  /** This log has a new rotated file. */
  look(file: string): void;
  /** Resolves when nothing is being packed any more; what was begun is left as it was. */
  stop(): Promise<void>;
}

/** What a packer that was killed left behind. */
function removeRests(file: string): void {
  const folder = dirname(file);
  const begin = `${basename(file)}.`;
  for (const name of readdirSync(folder))
    if (name.startsWith(begin) && /^\d+\.packing$/.test(name.slice(begin.length))) rmSync(join(folder, name), { force: true });
}

export function createPacking({ folder, afterMs, onPacked }: PackingOptions): PackingQueue {
  const wanted = new Map<string, Packing>();
  /** When a log is looked at, by the clock that does not jump. */
  const due = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let busy: Promise<void> | undefined;
  let child: ChildProcess | undefined;
  let stopped = false;

  function arm(): void {
    clearTimeout(timer);
    if (stopped || busy !== undefined || due.size === 0) return;
    const next = Math.min(...due.values());
    timer = setTimeout(() => void work(), Math.max(0, next - performance.now())).unref();
  }

  function work(): void {
    const file = [...due].find(([, at]) => at <= performance.now())?.[0];
    if (file === undefined) return arm();
    due.delete(file);
    busy = packLog(file)
      .catch(() => {}) // no space, or the log is gone: it stays as it is until it rotates again
      .then(() => {
        busy = undefined;
        arm();
      });
  }

  async function packLog(file: string): Promise<void> {
    const packing = wanted.get(file);
    if (packing === undefined) return;
    removeRests(file);
    const indexFolder = indexFolderOf(folder, file);
    for (const segment of segmentsOf(file, folder)) {
      const { path, inode, number } = segment;
      if (stopped || number === 0 || segment.packing !== undefined || segment.size === 0) continue;
      const temporary = `${file}.${inode}${ending}`;
      if (!(await run({ path, inode, packing, temporary, table: tablePath(indexFolder, inode) }))) continue;
      onPacked({ file, origin: inode, packing, temporary });
    }
  }

  /** Whether it was done. */
  function run(job: PackJob): Promise<boolean> {
    return new Promise((resolve) => {
      child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', packerFile, JSON.stringify(job)], {
        stdio: 'ignore',
        cwd: '/',
        env: {},
      });
      child.unref();
      child.once('error', () => resolve(false));
      child.once('exit', (code) => resolve(code === 0));
    });
  }

  function look(file: string): void {
    if (!wanted.has(file) || stopped) return;
    if (!due.has(file)) due.set(file, performance.now() + afterMs);
    arm();
  }

  return {
    want(file, packing) {
      const before = wanted.get(file);
      if (packing === undefined) {
        wanted.delete(file);
        due.delete(file);
      } else wanted.set(file, packing);
      if (packing !== before) look(file);
    },
    look,
    async stop() {
      stopped = true;
      clearTimeout(timer);
      child?.kill('SIGKILL');
      await busy;
    },
  };
}
