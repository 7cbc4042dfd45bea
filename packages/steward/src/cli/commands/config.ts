/** plan, apply, check, import: files and what they would do. */
import { resolve } from 'node:path';
import type { Plan } from '@steward/sdk/contract/system';
import type { ConfigCode } from '../../config/codes.ts';
import { importFiles } from '../../config/import.ts';
import { countProblems, formatProblems, hasErrors, type Problem } from '../../config/problem.ts';
import { findConfig, type Loaded, loadConfig } from '../../config/read.ts';
import { assumedSecrets, baseOf, type StoredSecrets } from '../../config/stored-secret.ts';
import { StewardError } from '../../errors.ts';
import { loadCertificates } from '../../gateway/gateway.ts';
import { strangerAt, tryStart } from '../../supervisor/supervisor.ts';
import { type Call, type Command, type Io, jsonOption } from '../command.ts';
import { count } from '../print.ts';
import { planText } from '../views.ts';

/** The files a command is about, absolute: those named, else the configuration of the current folder; undefined when there is none. */
export function filesOf({ positionals, io }: Pick<Call, 'positionals' | 'io'>): string[] | undefined {
  if (positionals.length > 0) return positionals.map((file) => resolve(io.cwd, file));
  const found = findConfig(io.cwd);
  return found === undefined ? undefined : [found];
}

/** The same, for a command that cannot do without. @throws StewardError when there is none. */
export function requireFiles(call: Pick<Call, 'positionals' | 'io'>, command: string): string[] {
  const files = filesOf(call);
  if (files !== undefined) return files;
  throw new StewardError('cli/no-file', `there is no steward.yaml in ${call.io.cwd}`, {
    status: 400,
    hint: `Name a file: steward ${command} FILE...`,
  });
}

/** Which secrets are stored is looked at by the daemon, unless `stored` knows. */
export function load(files: readonly string[], io: Io, socketFolder: string, stored: StoredSecrets = assumedSecrets): Loaded {
  return loadConfig(files, { env: io.env, socketFolder, base: io.cwd, stored });
}

/** What is stored as far as the daemon says it, which may not run. */
async function storedSecrets({ client }: Call): Promise<StoredSecrets> {
  try {
    const names = new Set((await client.listSecrets()).secrets.map(({ name }) => name));
    return (name) => (names.has(baseOf(name)) ? 'assumed' : undefined);
  } catch {
    return () => 'unseen';
  }
}

const planCommand = (name: 'plan' | 'apply'): Command => ({
  name,
  usage: name === 'plan' ? '[--json] [FILE...]' : '[--replace] [--json] [FILE...]',
  details: name === 'apply' ? '      --replace    also stop what is only in the files applied before' : undefined,
  options: { ...jsonOption, ...(name === 'apply' && { replace: { type: 'boolean' } }) },
  takes: 'any',
  async run(call) {
    const { client, io, values, positionals } = call;
    const files = positionals.length === 0 ? undefined : filesOf(call);
    const body = { ...(files && { files }), base: io.cwd, ...(values.replace && { replace: true }) };
    const plan: Plan = name === 'plan' ? await client.planConfig({ body }) : await client.applyConfig({ body });
    if (plan.problemsText !== '') io.err(plan.problemsText);
    if (values.json) io.out(JSON.stringify(plan, undefined, 2));
    else if (!hasErrors(plan.problems)) io.out(planText(plan, io.isTerminal));
    return hasErrors(plan.problems) ? 2 : 0;
  },
});

export const plan = planCommand('plan');
export const apply = planCommand('apply');

/** What would keep a service from starting here: warnings, since a file may be checked on another machine than it runs on. */
function startProblems({ config, placeOf }: Loaded): Problem[] {
  const first = new Map(config.instances.toReversed().map((spec) => [spec.service, spec]));
  return [...first.values()].flatMap((spec): Problem<ConfigCode>[] => {
    const warn = (code: ConfigCode, trouble: { readonly field: string; readonly message: string } | undefined, hint: string) => {
      if (trouble === undefined) return [];
      const at = placeOf(spec.service, trouble.field);
      return [{ severity: 'warning', code, message: `services.${spec.service}: ${trouble.message}`, hint, ...(at && { at }) } as const];
    };
    return [
      ...warn('config/cannot-start', tryStart(spec), 'It would not start on this machine as it is.'),
      ...warn('config/port-taken', strangerAt(spec), 'Stop that program, or use another one.'),
    ];
  });
}

export const check: Command = {
  name: 'check',
  usage: '[--json] [FILE...]',
  options: jsonOption,
  takes: 'any',
  here: true,
  async run(call) {
    const { io, values, state } = call;
    const loaded = load(requireFiles(call, 'check'), io, state.sockets, await storedSecrets(call));
    const deeper = hasErrors(loaded.problems)
      ? []
      : [
          ...startProblems(loaded),
          ...(
            await loadCertificates(
              loaded.config.sites.filter(({ tls }) => tls !== 'internal'),
              state.authority,
              Date.now(),
            )
          ).problems,
        ];
    const problems = [...loaded.problems, ...deeper];
    if (values.json) io.out(JSON.stringify({ problems }, undefined, 2));
    else {
      if (problems.length > 0) io.err(`${formatProblems(problems, loaded.sources)}\n`);
      const { instances, sites } = loaded.config;
      io.out(
        hasErrors(problems)
          ? countProblems(problems)
          : `${countProblems(problems)}: ${count(instances.length, 'instance')}, ${count(sites.length, 'site')}`,
      );
    }
    return hasErrors(problems) ? 2 : 0;
  },
};

export const importCommand: Command = {
  name: 'import',
  usage: '[--json] FILE...',
  options: jsonOption,
  takes: 'some',
  here: true,
  async run(call) {
    const { io, values, state } = call;
    const loaded = load(filesOf(call) ?? [], io, state.sockets);
    if (loaded.problems.length > 0) io.err(`${formatProblems(loaded.problems, loaded.sources)}\n`);
    if (hasErrors(loaded.problems)) return 2;
    const { config, yaml } = importFiles(loaded.readings);
    io.out(values.json ? JSON.stringify(config, undefined, 2) : yaml.trimEnd());
    return 0;
  },
};
