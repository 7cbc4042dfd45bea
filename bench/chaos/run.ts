/** Chaos for as long as you like: `npm run chaos -- [--minutes N] [--seed S] [--events N] [--only KIND,KIND]`. Exit code 1 when something broke. */
import { parseArgs } from 'node:util';
import { runCommandLine } from '../command-line.ts';
import { raiseFileLimit } from '../endure/file-limit.ts';
import { machineLine } from '../machine.ts';
import { type ChaosTask, chaos } from './chaos.ts';
import { type Kind, kinds } from './events.ts';

const usage = `npm run chaos -- [--minutes N] [--seed S] [--events N] [--only KIND,KIND]
--minutes N      ends after so long. Default: 5
--seed S         a whole number: the same events in the same order. Default: another one each time, printed
--events N       ends after so many events
--only KIND,...  leaves all others out: ${kinds.join(', ')}`;

type Asked = Pick<ChaosTask, 'seed' | 'events' | 'minutes' | 'only'>;

/** @throws on words that mean nothing. */
function read(argv: readonly string[]): Asked {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({ args: [...argv], options: { minutes: text, seed: text, events: text, only: text } });
  const number = (name: 'minutes' | 'seed' | 'events', usual: number): number => {
    const value = Number(values[name] ?? usual);
    if (!(value >= 0) || (name !== 'minutes' && !Number.isInteger(value))) throw new Error(`--${name} ${values[name]} is no number`);
    return value;
  };
  const only = values.only?.split(',').map((word) => {
    const kind = kinds.find((known) => known === word.trim());
    if (kind === undefined) throw new Error(`there is no kind "${word}"`);
    return kind as Kind;
  });
  return {
    seed: number('seed', Math.floor(Math.random() * 1_000_000)),
    minutes: number('minutes', 5),
    ...(values.events !== undefined && { events: number('events', 0) }),
    ...(only !== undefined && { only }),
  };
}

await runCommandLine<Asked>({
  usage,
  read,
  async run(asked, signal) {
    await raiseFileLimit();
    console.log(`${machineLine()}\nseed ${asked.seed}, ${asked.minutes} minutes at most`);
    const broken = await chaos({ ...asked, print: console.log, signal });
    console.log(broken.length === 0 ? 'all held' : `BROKEN, seed ${asked.seed}:\n${broken.map((text) => `  ${text}`).join('\n')}`);
    return broken.length === 0 ? 0 : 1;
  },
});
