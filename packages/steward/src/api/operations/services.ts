/** What the operations on services do: reload, scale, commands in their environment. */
import { randomBytes } from 'node:crypto';
import type { InstanceSpec } from '../../config/model.ts';
import { StewardError } from '../../errors.ts';
import { CannotStart, oneOff, type Supervisor } from '../../supervisor/supervisor.ts';
import type { Caller, Handlers, Rooms } from '../handlers.ts';
import { resolveNames } from '../names.ts';
import { describeInstance } from './instances.ts';

/** Ended commands that nobody has asked to forget are kept up to here. */
const mostEndedRuns = 20;

/** The spec of a command that runs once where a service runs. */
function runOf(spec: InstanceSpec, command: readonly [string, ...string[]]): InstanceSpec {
  const { endpoint: _endpoint, ready: _ready, hooks: _hooks, critical: _critical, ...rest } = spec;
  const name = `${spec.service}~run-${randomBytes(3).toString('hex')}`;
  const { file: _file, ...output } = spec.stdout;
  return {
    ...rest,
    id: name,
    group: name,
    name,
    command,
    after: [],
    restart: 'never',
    startRetries: 0,
    upAfterMs: 0,
    stdout: output,
    stderr: 'stdout',
    temporary: 'run',
  };
}

function forgetOldest(supervisor: Supervisor): void {
  const ended = supervisor
    .views()
    .filter(
      ({ spec, state }) => spec.temporary === 'run' && (state.phase === 'EXITED' || state.phase === 'FATAL' || state.phase === 'STOPPED'),
    );
  for (const { spec } of ended.slice(0, Math.max(0, ended.length - mostEndedRuns + 1))) supervisor.dismiss(spec.id);
}

export function serviceHandlers({
  supervisor,
  system,
}: Rooms): Pick<Handlers, 'reloadServices' | 'scaleService' | 'runCommand' | 'forgetRun' | 'getEnvironment'> {
  const specs = (caller: Caller): InstanceSpec[] =>
    supervisor.views().flatMap(({ spec }) => (spec.temporary === undefined && caller.may('read', spec) ? [spec] : []));

  /** The first instance that a name means: all of a service have the same environment but for their numbers. */
  function specOf(name: string, caller: Caller): InstanceSpec {
    const known = specs(caller);
    const [id] = resolveNames([name], known);
    const spec = known.find((one) => one.id === id);
    if (spec === undefined) throw new StewardError('api/unknown-name', `there is no service or instance "${name}"`, { status: 404 });
    return spec;
  }

  return {
    async reloadServices({ body }, caller) {
      const known = specs(caller);
      const ids = new Set(resolveNames(body.names, known));
      const services = [...new Set(known.flatMap(({ id, service }) => (ids.has(id) ? service : [])))];
      const reports = [];
      for (const service of services) reports.push(await supervisor.reload(service));
      return { services: reports.map((report) => ({ ...report, replaced: [...report.replaced] })) };
    },
    async scaleService({ body: { service, to } }) {
      const scaled = await system.scale(service, to);
      const views = supervisor.views().filter(({ spec }) => spec.service === service);
      return { ...scaled, service, instances: views.map(describeInstance) };
    },
    runCommand({ body: { service, command } }, caller) {
      const spec = runOf(specOf(service, caller), command as [string, ...string[]]);
      forgetOldest(supervisor);
      supervisor.addTemporary(spec);
      const view = supervisor.view(spec.id);
      if (view === undefined) throw new StewardError('api/internal', 'the command is gone already', { status: 500 });
      return { instance: describeInstance(view) };
    },
    forgetRun({ body: { instance } }) {
      const isRun = supervisor.view(instance)?.spec.temporary === 'run';
      if (isRun) supervisor.dismiss(instance);
      return { forgotten: isRun };
    },
    getEnvironment({ body: { service, command } }, caller) {
      try {
        const { words, cwd, env, umask } = oneOff({ ...specOf(service, caller), command: command as [string, ...string[]] });
        return { words: [...words], cwd, env: { ...env }, ...(umask !== undefined && { umask }) };
      } catch (error) {
        if (!(error instanceof CannotStart)) throw error;
        throw new StewardError('api/cannot-start', error.message, { status: 422 });
      }
    },
  };
}
