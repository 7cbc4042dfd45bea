/**
 * Everything that was read → one configuration. Here files meet: names must be unique, references must lead somewhere,
 * ports must not be taken twice. Pure: texts of env files and secrets come in through `disk`.
 */
import { basename, resolve as resolvePath } from 'node:path';
import { readEnvFile } from './env-file.ts';
import type { Reading } from './format.ts';
import type { Config } from './model.ts';
import { originOf, type Problem, pointerStep } from './problem.ts';
import { gatewaySource, resolveGateway } from './resolve-gateway.ts';
import { createNamed, type Named, resolveNamed } from './resolve-named.ts';
import { resolveServices } from './resolve-services.ts';
import { resolveSites } from './resolve-sites.ts';
import { textChecker } from './resolve-text.ts';
import type { Scope } from './scope.ts';
import type { ServiceSource } from './sections/service.ts';
import { variablesOfEntry, variablesOfSite } from './text-variables.ts';

/** What resolving needs from outside. */
export interface Around {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
  /** Folder of the sockets Steward hands out. */
  readonly socketFolder: string;
  /** The text of a file, or why it cannot be read. */
  readText(path: string): { readonly text: string } | { readonly reason: string };
}

export interface Resolution {
  readonly config: Config;
  readonly problems: readonly Problem[];
}

interface Shared {
  readonly readings: readonly Reading[];
  readonly around: Around;
  readonly problems: Problem[];
  /** Names of the variables that any file makes. */
  readonly variables: ReadonlySet<string>;
  readonly named: Named;
  readonly accessLog: boolean;
}

function secretsOf(reading: Reading, around: Around, tell: Scope['tell']): Map<string, string> {
  const values = new Map<string, string>();
  for (const [name, { file, env }] of Object.entries(reading.config.secrets ?? {})) {
    const pointer = `/secrets${pointerStep(name)}`;
    if ((file === undefined) === (env === undefined))
      tell(pointer, 'config/secret-source', `secret "${name}" needs exactly one of file and env`, 'Write file: PATH or env: NAME.');
    else if (env !== undefined) {
      const value = around.env[env];
      if (value === undefined)
        tell(
          `${pointer}/env`,
          'config/secret-missing',
          `${env}, which holds secret "${name}", is not set in Steward's environment`,
          'Set it before starting Steward.',
        );
      else values.set(name, value);
    } else {
      const read = around.readText(resolvePath(reading.folder, file as string));
      if ('reason' in read)
        tell(
          `${pointer}/file`,
          'config/secret-missing',
          `secret "${name}" cannot be read: ${read.reason}`,
          'Make the file, readable for the user Steward runs as (mode 0600).',
        );
      else values.set(name, read.text.replace(/\r?\n$/, ''));
    }
  }
  return values;
}

/** Where a value may stand, the first that is there: what a file says for all its services is told there. */
function placesOf(pointer: string): string[] {
  const field = /^\/services\/[^/]+(\/.+)$/.exec(pointer)?.[1];
  if (field === undefined) return [pointer];
  return [pointer, `/defaults${field}`, ...(/^\/(env|envFile)(\/|$)/.test(field) ? [field] : [])];
}

function scopeOf(reading: Reading, shared: Shared): Scope {
  const { around } = shared;
  const tell: Scope['tell'] = (pointer, code, message, hint, severity = 'error') => {
    shared.problems.push({
      severity,
      code,
      message,
      hint,
      at:
        placesOf(pointer)
          .map((place) => reading.origins.get(place))
          .find((at) => at !== undefined) ?? originOf(reading.origins, pointer.replace(/#key$/, '')),
    });
  };
  const envFile = (path: string, pointer: string): Record<string, string> => {
    const file = resolvePath(reading.folder, path);
    const read = around.readText(file);
    if ('reason' in read) {
      tell(pointer, 'config/env-file', `the env file cannot be read: ${read.reason}`, 'Make it, or take this line away.');
      return {};
    }
    const { env, problems } = readEnvFile({ file, text: read.text });
    shared.problems.push(...problems);
    return env;
  };
  const secrets = secretsOf(reading, around, tell);
  const fileEnv: Record<string, string> = {};
  for (const file of [reading.config.envFile ?? []].flat()) Object.assign(fileEnv, envFile(file, '/envFile'));
  const sources = (): [string, ServiceSource, Partial<ServiceSource>][] =>
    shared.readings.flatMap(({ config }) =>
      Object.entries(config.services ?? {}).map(([name, service]): [string, ServiceSource, Partial<ServiceSource>] => [
        name,
        service,
        (config.defaults as Partial<ServiceSource>) ?? {},
      ]),
    );
  return {
    folder: reading.folder,
    hostname: around.hostname,
    env: around.env,
    socketFolder: around.socketFolder,
    defaults: (reading.config.defaults as Partial<ServiceSource>) ?? {},
    logs: reading.config.logs ?? {},
    fileEnv,
    envTemplates: reading.config.env ?? {},
    secret: (name) => secrets.get(name),
    envFile,
    services: () => sources().map(([name]) => name),
    hasEndpoint: (service) =>
      sources().some(
        ([name, source, defaults]) => name === service && Boolean(source.port ?? source.socket ?? defaults.port ?? defaults.socket),
      ),
    ...shared.named,
    accessLog: shared.accessLog,
    text: textChecker(shared.variables, new Set(), tell),
    tell,
  };
}

/** Names of all variables that the files make. */
const variablesOf = (readings: readonly Reading[]): Set<string> =>
  new Set(
    readings.flatMap(({ config }) => [
      ...Object.entries(config.variables ?? {}).flatMap(([name, source]) => variablesOfEntry(name, source)),
      ...(config.sites ?? []).flatMap((site) => [...variablesOfSite(site)]),
    ]),
  );

/** The configuration that all readings together make, and every problem of it. With errors the configuration is not fit for use. */
export function resolve(readings: readonly Reading[], around: Around): Resolution {
  const gateway = gatewaySource(readings);
  const shared: Shared = {
    readings,
    around,
    problems: readings.flatMap(({ problems }) => problems),
    variables: variablesOf(readings),
    named: createNamed(),
    accessLog: gateway.accessLog ?? true,
  };
  const pairs = readings.map((reading) => ({ reading, scope: scopeOf(reading, shared) }));
  resolveNamed(pairs, shared.named);
  const instances = resolveServices(pairs);
  const sites = resolveSites(pairs);
  const name = readings.find(({ config }) => config.name !== undefined)?.config.name ?? basename(readings[0]?.folder ?? '');
  return { config: { name, instances, sites, gateway: resolveGateway(pairs, gateway, shared.named, sites) }, problems: shared.problems };
}
