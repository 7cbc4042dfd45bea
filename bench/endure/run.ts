/** What Steward's gateway is to endure: `npm run endure -- [NAME...] [--scale SHARE]`. Exit code 1 when something broke. */
import { parseArgs } from 'node:util';
import { runCommandLine } from '../command-line.ts';
import { machineLine } from '../machine.ts';
import { raiseFileLimit } from './file-limit.ts';
import { flood } from './flood.ts';
import { memory } from './memory.ts';
import { reloads } from './reloads.ts';
import { restartUnderLoad } from './restart-under-load.ts';
import { slow } from './slow.ts';
import type { Trial } from './trial.ts';

const trials: readonly Trial[] = [flood, reloads, restartUnderLoad, slow, memory];

const usage = `npm run endure -- [NAME...] [--scale SHARE]
names: ${trials.map(({ name }) => name).join(', ')}
--scale 0.1 runs a tenth of the requests, reloads and seconds`;

/** @throws on words that are no name, and on a scale that is no number. */
function read(argv: readonly string[]): { names: readonly string[]; scale: number } {
  const { values, positionals } = parseArgs({ args: [...argv], options: { scale: { type: 'string' } }, allowPositionals: true });
  const unknown = positionals.filter((name) => !trials.some((trial) => trial.name === name));
  if (unknown.length > 0) throw new Error(`no trial is named ${unknown.join(', ')}`);
  const scale = Number(values.scale ?? 1);
  if (!(scale > 0)) throw new Error(`${values.scale} is no scale`);
  return { names: positionals, scale };
}

await runCommandLine({
  usage,
  read,
  async run(asked, signal) {
    console.log(`${machineLine()}\nopen files: ${await raiseFileLimit()} a process; scale ${asked.scale}`);
    let broken = 0;
    for (const { name, about, run } of trials) {
      if (asked.names.length > 0 && !asked.names.includes(name)) continue;
      console.log(`\n${name}: ${about}`);
      const faults = await run({ signal, print: console.log, scale: asked.scale });
      console.log(faults.length === 0 ? `${name}: endured` : `${name}: BROKEN\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
      broken += faults.length;
    }
    return broken === 0 ? 0 : 1;
  },
});
