/** Soak for as long as you like: `npm run soak -- [--minutes N] [--seed S]`. Exit code 1 when something broke. */
import { parseArgs } from 'node:util';
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

async function main(argv: readonly string[]): Promise<number> {
  let asked: Asked;
  try {
    asked = read(argv);
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    return 2;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  process.stdout.on('error', () => interrupted.abort()); // nobody reads any more, as behind `| head`
  console.log(`${machineLine()}\n${asked.minutes} minutes, seed ${asked.seed}`);
  try {
    const broken = await soak({ ...asked, print: console.log, signal: interrupted.signal });
    console.log(broken.length === 0 ? 'all held' : `BROKEN:\n${broken.map((text) => `  ${text}`).join('\n')}`);
    return broken.length === 0 ? 0 : 1;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    console.error('interrupted; all that was started is stopped');
    return 130;
  }
}

process.exitCode = await main(process.argv.slice(2));
