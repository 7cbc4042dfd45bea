/** Supervisors that do nothing but restart, to show where the floor is: one in the shell, one in Node. */
import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KeepRunning, Peer } from '../measurement.ts';
import { type Program, startProgram } from '../program.ts';

/** Stops the loop and, being in one process group with it, the program it runs. */
const stopGroup = ({ pid }: Program): AsyncDisposable => ({
  async [Symbol.asyncDispose]() {
    process.kill(-pid, 'SIGKILL');
  },
});

/** fork, exec and wait, and no more: what the kernel and the program itself take. */
export const shellLoop: Peer<KeepRunning> = {
  name: 'floor: sh loop',
  version: async () => `in ${basename(await realpath('/bin/sh'))}`,
  start: async ({ command }) =>
    stopGroup(await startProgram('/bin/sh', ['-c', 'while :; do "$@" 2>/dev/null; done 2>/dev/null', 'sh', ...command])),
};

const keepRunning = fileURLToPath(new URL('keep-running.ts', import.meta.url));

/** node:child_process and no more: what Node takes on top of that. */
export const bareNode: Peer<KeepRunning> = {
  name: 'floor: Node spawn',
  version: async () => process.versions.node,
  start: async ({ command }) => stopGroup(await startProgram(process.execPath, [keepRunning, ...command])),
};
