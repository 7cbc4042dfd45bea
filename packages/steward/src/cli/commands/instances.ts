/** ps, start, stop, restart, signal: what runs, and making it run or not. */
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { progressWhile, settle, whetherUp } from '../progress.ts';
import { instanceTable } from '../views.ts';

function show({ io, values }: Call, instances: readonly InstanceInfo[]): void {
  io.out(values.json ? JSON.stringify({ instances }, undefined, 2) : instanceTable(instances, io.columns, io.isTerminal));
}

export const ps: Command = {
  name: 'ps',
  usage: '[--json] [NAME...]',
  options: jsonOption,
  takes: 'any',
  async run(call) {
    const query = call.positionals.length === 0 ? {} : { names: call.positionals.join(',') };
    show(call, (await call.client.listInstances({ query })).instances);
    return 0;
  },
};

/** A command on names that waits until each has come to rest, and then shows them. */
const acting = (name: 'start' | 'stop' | 'restart', act: (call: Call) => Promise<{ instances: InstanceInfo[] }>): Command => ({
  name,
  usage: '[--json] NAME|group:*|all ...',
  options: jsonOption,
  takes: 'some',
  async run(call) {
    const { instances: asked } = await progressWhile(call.io, `${name}: waiting for ${call.positionals.join(' ')}`, act(call));
    const instances = await settle(
      call,
      asked.map(({ id }) => id),
    );
    show(call, instances);
    return name === 'stop' || instances.every(whetherUp) ? 0 : 1;
  },
});

export const start = acting('start', ({ client, positionals }) => client.startInstances({ body: { names: [...positionals] } }));
export const stop = acting('stop', ({ client, positionals }) => client.stopInstances({ body: { names: [...positionals] } }));
export const restart = acting('restart', ({ client, positionals }) => client.restartInstances({ body: { names: [...positionals] } }));

export const signal: Command = {
  name: 'signal',
  usage: '[--json] SIGNAL NAME|group:*|all ...',
  options: jsonOption,
  takes: 'some',
  async run(call) {
    const [name = '', ...names] = call.positionals;
    if (names.length === 0)
      throw new StewardError('cli/usage', 'signal needs a signal and at least one name', { status: 400, hint: 'steward signal HUP web' });
    const { instances } = await call.client.signalInstances({ body: { names, signal: name } });
    if (call.values.json) show(call, instances);
    else call.io.out(instances.length === 0 ? 'nobody runs to get it' : `sent to ${instances.map(({ id }) => id).join(', ')}`);
    return instances.length === 0 ? 1 : 0;
  },
};
