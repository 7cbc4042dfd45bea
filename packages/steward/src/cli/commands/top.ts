/** top: what happens now, again and again. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Traffic } from '@steward/sdk/contract/gateway';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { flowsBetween, trafficTable } from '../traffic.ts';
import { usageTable } from '../views.ts';

const home = '\x1b[H\x1b[J';

function numberOf(call: Call, name: string, byDefault: number): number {
  const given = call.values[name];
  if (given === undefined) return byDefault;
  const value = Number(given);
  if (Number.isFinite(value) && value > 0) return value;
  throw new StewardError('cli/usage', `--${name} ${String(given)} is no number over 0`, { status: 400, hint: `steward top --${name} 2` });
}

/** Shows texts one over the other on a terminal, one after the other elsewhere. */
const show = ({ io }: Call, text: string): void => io.out(io.isTerminal ? home + text : text);

async function showSites(call: Call, everyMs: number, times: number): Promise<void> {
  const { client, io, values } = call;
  const byRoute = values.routes === true;
  let before: Traffic = await client.getTraffic();
  for (let shown = 0; shown < times; shown++) {
    await wait(everyMs);
    const now = await client.getTraffic();
    const flows = flowsBetween(before, now, byRoute);
    if (values.json) io.out(JSON.stringify({ at: now.at, active: now.active, connections: now.connections, flows }));
    else show(call, trafficTable(flows, now, byRoute, io.columns, io.isTerminal));
    before = now;
  }
}

async function showInstances(call: Call, everyMs: number, times: number): Promise<void> {
  const { client, io, values } = call;
  for (let shown = 0; shown < times; shown++) {
    if (shown > 0) await wait(everyMs);
    const { instances } = await client.listInstances({ query: {} });
    if (values.json) io.out(JSON.stringify({ instances }));
    else show(call, usageTable(instances, io.columns, io.isTerminal));
  }
}

export const top: Command = {
  name: 'top',
  usage: '[--sites [--routes]] [--every SECONDS] [--times N] [--json]',
  details: [
    '  Shows what runs, with open files and tasks of each whole tree, again every second until Ctrl-C. Without a terminal it',
    '  shows it once.',
    '  --sites   requests a second, times and statuses of each site instead; --routes of each route',
  ].join('\n'),
  options: {
    ...jsonOption,
    sites: { type: 'boolean' },
    routes: { type: 'boolean' },
    every: { type: 'string' },
    times: { type: 'string' },
  },
  takes: 'nothing',
  async run(call) {
    const everyMs = numberOf(call, 'every', 1) * 1000;
    const times = numberOf(call, 'times', call.io.isTerminal ? Number.POSITIVE_INFINITY : 1);
    if (call.values.sites === true || call.values.routes === true) await showSites(call, everyMs, times);
    else await showInstances(call, everyMs, times);
    return 0;
  },
};
