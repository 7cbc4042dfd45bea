/** Steward against its peers, side by side in one run: `npm run bench [NAME...]`. */
import { gateway } from './gateway.ts';
import { machineLine } from './machine.ts';
import type { Measurement } from './measurement.ts';
import { restartLatency } from './restart-latency.ts';

const measurements: readonly Measurement[] = [restartLatency, gateway];

/** Runs the named measurements, all without names; resolves to the exit code. Ctrl-C stops what was started, then ends. */
async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !measurements.some((measurement) => measurement.name === name));
  if (unknown.length > 0) {
    console.error(`no measurement is named ${unknown.join(', ')}; there are: ${measurements.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => interrupted.abort());
  console.log(machineLine());
  for (const { name, about, run } of measurements) {
    if (names.length > 0 && !names.includes(name)) continue;
    console.log(`\n${name}: ${about}`);
    try {
      await run(interrupted.signal, console.log);
    } catch (error) {
      if (!interrupted.signal.aborted) throw error;
      console.error('interrupted; all that was started is stopped');
      return 130;
    }
  }
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
