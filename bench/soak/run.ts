/** Soak for as long as you like: `npm run soak -- [--minutes N] [--seed S]`. Exit code 1 when something broke. */
import { parseArgs } from 'node:util';
import { runCommandLine } from '../command-line.ts';
import { machineLine } from '../machine.ts';
import { soak } from './soak.ts';

const usage = `npm run soak -- [--minutes N] [--seed S]
--minutes N   how long. Default: 30; a leak that is slow takes hours to show
--seed S      a whole number: the same commands in the same order. Default: 1`;

type Asked = { minutes: number; seed: number };

/** @throws on words that mean nothing. */
function read(argv: readonly string[]): Asked {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...argv], options: { minutes: text, seed: text } });
  const [minutes, seed] = [Number(values.minutes ?? 30), Number(values.seed ?? 1)];
  if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes} is no number`);
  if (!Number.isInteger(seed) || seed < 0) throw new Error(`--seed ${values.seed} is no whole number`);
  return { minutes, seed };
}

await runCommandLine<Asked>({
  usage,
  read,
  async run(asked, signal) {
    console.log(`${machineLine()}\n${asked.minutes} minutes, seed ${asked.seed}`);
    const broken = await soak({ ...asked, print: console.log, signal });
    console.log(broken.length === 0 ? 'all held' : `BROKEN:\n${broken.map((text) => `  ${text}`).join('\n')}`);
    return broken.length === 0 ? 0 : 1;
  },
});
