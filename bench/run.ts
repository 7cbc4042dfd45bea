/** Steward against its peers, side by side in one run: `npm run bench -- [NAME...] [--rounds N] [--seconds N] [--workers N,N]`. */
import { parseArgs } from 'node:util';
import { api } from './api.ts';
import { runCommandLine } from './command-line.ts';
import { control } from './control.ts';
import { download } from './download.ts';
import { faultTable } from './faults/faults.ts';
import { fleet } from './fleet.ts';
import { gateway } from './gateway.ts';
import { handshakes } from './handshakes.ts';
import { http2 } from './http2.ts';
import { logThroughput } from './log-throughput.ts';
import { machineLine } from './machine.ts';
import type { Measurement, Pace } from './measurement.ts';
import { restartLatency } from './restart-latency.ts';
import { sharedSocket } from './shared.ts';
import { staticFile } from './static.ts';

const measurements: readonly Measurement[] = [
  restartLatency,
  fleet,
  control,
  api,
  logThroughput,
  faultTable,
  gateway,
  staticFile,
  handshakes,
  download,
  sharedSocket,
  http2,
];

const usage = `npm run bench -- [NAME...] [--rounds N] [--seconds N] [--workers N,N]
names: ${measurements.map(({ name }) => name).join(', ')}`;

/** The names, and what of the usual pace is to be different. @throws on words that are neither. */
function read(argv: readonly string[]): { names: readonly string[]; other: Partial<Pace> } {
  const options = { rounds: { type: 'string' }, seconds: { type: 'string' }, workers: { type: 'string' } } as const;
  const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true });
  const unknown = positionals.filter((name) => !measurements.some((measurement) => measurement.name === name));
  if (unknown.length > 0) throw new Error(`no measurement is named ${unknown.join(', ')}`);
  const count = (text: string): number => {
    if (!/^[1-9]\d*$/.test(text)) throw new Error(`${text} is not a count`);
    return Number(text);
  };
  const other = {
    ...(values.rounds && { rounds: count(values.rounds) }),
    ...(values.seconds && { seconds: count(values.seconds) }),
    ...(values.workers && { workers: values.workers.split(',').map(count) }),
  };
  return { names: positionals, other };
}

const paceText = ({ rounds, seconds }: Pace, usual: Pace): string =>
  `${rounds} round${rounds === 1 ? '' : 's'}${usual.seconds > 0 ? ` of ${seconds} s each` : ''}`;

/** Runs the named measurements, all without names. */
await runCommandLine({
  usage,
  read,
  async run(asked, signal) {
    console.log(machineLine());
    for (const { name, about, pace: usual, run } of measurements) {
      if (asked.names.length > 0 && !asked.names.includes(name)) continue;
      const pace = { ...usual, ...asked.other };
      console.log(`\n${name}: ${about}, ${paceText(pace, usual)}`);
      await run(signal, console.log, pace);
    }
    return 0;
  },
});
