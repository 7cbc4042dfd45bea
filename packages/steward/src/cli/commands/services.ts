/** reload, scale, run, exec: services as a whole, and commands in their environment. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { InstanceInfo } from '@steward/sdk/contract/instances';
import { StewardError } from '../../errors.ts';
import { type Call, type Command, jsonOption } from '../command.ts';
import { progressWhile, settle, whetherUp } from '../progress.ts';
import { instanceTable } from '../views.ts';

export const reload: Command = {
  name: 'reload',
  usage: '[--json] SERVICE ...',
  details: `A copy of the service is started first. Once it is ready it serves while the instances are drained, stopped and started
one after the other; when it does not come up it leaves, and nothing else was touched. Services with \`reload: SIGNAL\` get that signal.`,
  options: jsonOption,
  takes: 'some',
  async run({ client, io, positionals, values }) {
    const asked = client.reloadServices({ body: { names: [...positionals] } });
    const { services } = await progressWhile(io, `reload: replacing ${positionals.join(' ')}`, asked);
    if (values.json) io.out(JSON.stringify({ services }, undefined, 2));
    else for (const { service, done, message } of services) (done ? io.out : io.err)(`${service}: ${message}`);
    return services.every(({ done }) => done) ? 0 : 1;
  },
};

export const scale: Command = {
  name: 'scale',
  usage: '[--json] SERVICE N|+N|-N',
  details: 'Instances that stay are not touched. The number holds until somebody changes the one in the file.',
  options: jsonOption,
  takes: 'any',
  async run(call) {
    const { client, io, positionals, values } = call;
    const [service, to, ...more] = positionals;
    if (service === undefined || to === undefined || more.length > 0 || !/^[+-]?\d{1,5}$/.test(to))
      throw new StewardError('cli/usage', 'scale needs a service and a number', { status: 400, hint: 'steward scale web 4, or +1, or -1' });
    const answer = await client.scaleService({ body: { service, to } });
    const ids = answer.instances.map(({ id }) => id);
    const instances = ids.length === 0 ? [] : await settle(call, ids);
    if (values.json) io.out(JSON.stringify({ ...answer, instances }, undefined, 2));
    else {
      const note = answer.to === answer.written ? '' : `; its file says ${answer.written}`;
      io.out(`${service}: ${answer.from} → ${answer.to}${note}`);
      if (instances.length > 0) io.out(instanceTable(instances, io.columns, io.isTerminal));
    }
    return instances.every(whetherUp) ? 0 : 1;
  },
};

function commandOf({ positionals }: Call, name: string): { service: string; command: string[] } {
  const [service, ...command] = positionals;
  if (service === undefined || command.length === 0)
    throw new StewardError('cli/usage', `${name} needs a service and a command`, {
      status: 400,
      hint: `steward ${name} web -- python3 manage.py migrate`,
    });
  return { service, command };
}

/** 128 and the number of the signal, as a shell says it. */
const exitCodeOf = (code: number | null | undefined, signal: number | null | undefined): number =>
  code ?? (signal === null || signal === undefined ? 1 : 128 + signal);

const hasEnded = ({ state }: InstanceInfo): boolean => state === 'EXITED' || state === 'FATAL' || state === 'STOPPED';

const lookEveryMs = 100;

/** Shows what the command writes until it has ended and all of it is shown. */
async function followRun({ client, io }: Call, id: string): Promise<InstanceInfo | undefined> {
  const over = new AbortController();
  const showing = (async () => {
    const lines = client.readLogs({ query: { names: id, lines: 100_000, follow: true } }, over.signal);
    for await (const { data } of lines) io.out(data.text);
  })().catch((error: Error) => {
    if (!over.signal.aborted) throw error;
  });
  for (;;) {
    const [info] = (await client.listInstances({ query: { names: id, brief: true } })).instances;
    if (info === undefined || hasEnded(info)) {
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
      over.abort();
      await showing;
      return info;
    }
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}

export const run: Command = {
  name: 'run',
  usage: '[-d] SERVICE -- COMMAND [ARGUMENT...]',
  details: `Runs a command once as the service's user, in its folder, environment and limits, under Steward: it goes on when this terminal
goes away, and its output is a log of its own (\`steward logs\`). -d does not wait. The exit code is that of the command.`,
  options: { detach: { type: 'boolean', short: 'd' }, ...jsonOption },
  takes: 'some',
  async run(call) {
    const { client, io, values } = call;
    const { instance } = await client.runCommand({ body: commandOf(call, 'run') });
    if (values.detach) {
      io.out(values.json ? JSON.stringify({ instance }, undefined, 2) : instance.id);
      return 0;
    }
    const ended = await followRun(call, instance.id);
    if (ended?.state === 'FATAL') io.err(`steward: ${ended.reason}`);
    await client.forgetRun({ body: { instance: instance.id } });
    return exitCodeOf(ended?.exit?.code, ended?.exit?.signal);
  },
};

export const exec: Command = {
  name: 'exec',
  usage: 'SERVICE -- COMMAND [ARGUMENT...]',
  details: `Runs a command here, in this terminal, as the service's user, in its folder, environment and limits: \`steward exec web -- bash\`.
The exit code is that of the command.`,
  options: {},
  takes: 'some',
  here: true,
  async run(call) {
    const { words, cwd, env, umask } = await call.client.getEnvironment({ body: commandOf(call, 'exec') });
    const { TERM } = call.io.env;
    if (umask !== undefined) process.umask(umask);
    const child = spawn(words[0] as string, words.slice(1), {
      cwd,
      env: { ...(TERM !== undefined && { TERM }), ...env },
      stdio: 'inherit',
    });
    // What the terminal sends goes to the command too, which decides.
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => {});
    process.on('SIGTERM', () => child.kill('SIGTERM'));
    return new Promise((resolve, reject) => {
      child.once('error', (error) => reject(new StewardError('api/cannot-start', error.message, { status: 422 })));
      child.once('exit', (code, signal) => resolve(exitCodeOf(code, signal === null ? null : constants.signals[signal])));
    });
  },
};
