/**
 * Everything that was read → one configuration. Here files meet: names must be unique, references must lead somewhere,
 * ports must not be taken twice. Pure: texts of env files and secrets come in through `disk`.
 */
import { basename, resolve as resolvePath } from 'node:path';
import { readEnvFile } from './env-file.ts';
import type { Reading } from './format.ts';
import type { Config, InstanceSpec, SiteSpec } from './model.ts';
import { originOf, type Problem, pointerStep } from './problem.ts';
import { resolveApi } from './resolve-api.ts';
import { resolveAudit } from './resolve-audit.ts';
import { resolveBoot } from './resolve-boot.ts';
import { gatewaySource, resolveGateway } from './resolve-gateway.ts';
import { createNamed, type Named, resolveNamed } from './resolve-named.ts';
import { resolveStandIn } from './resolve-service.ts';
import { type Pair, resolveServices } from './resolve-services.ts';
import { resolveSites } from './resolve-sites.ts';
import { resolveSupervisorctl } from './resolve-supervisorctl.ts';
import { textChecker } from './resolve-text.ts';
import type { Scope } from './scope.ts';
import type { ServiceSource } from './sections/service.ts';
import type { StoredSecrets } from './stored-secret.ts';
import { variablesOfEntry, variablesOfSite } from './text-variables.ts';

/** What resolving needs from outside. */
export interface Around {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly hostname: string;
  /** Folder of the sockets Steward hands out. */
  readonly socketFolder: string;
  /** Services that were scaled by hand, and to how many instances. */
  readonly counts?: ReadonlyMap<string, number>;
  /** What the store of secrets has. Default: nothing. */
  readonly stored?: StoredSecrets;
  /** The text of a file, or why it cannot be read. */
  readText(path: string): { readonly text: string } | { readonly reason: string };
}

export interface Resolution {
  readonly config: Config;
  readonly problems: readonly Problem[];
  /** The copy that may stand in for the instances of a service; see resolveStandIn. */
  readonly standIn: (service: string, port: number) => InstanceSpec | undefined;
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

/** Names that stand in the files and in the store alike. */
function tellSecretsTwice({ config }: Reading, stored: StoredSecrets, tell: Scope['tell']): void {
  for (const name of Object.keys(config.secrets ?? {})) {
    const found = stored(name);
    if (found === undefined || typeof found === 'string') continue;
    tell(
      `/secrets${pointerStep(name)}`,
      'config/secret-twice',
      `secret "${name}" is stored too: the one declared here counts`,
      `Take it away here, or remove the stored one: steward secret rm ${name}.`,
      'warning',
    );
  }
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
  const { stored = () => undefined } = around;
  const secrets = secretsOf(reading, around, tell);
  tellSecretsTwice(reading, stored, tell);
  const secret: Scope['secret'] = (name) => {
    if (!Object.hasOwn(reading.config.secrets ?? {}, name)) return stored(name);
    const declared = secrets.get(name);
    return declared === undefined ? undefined : { declared };
  };
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
    secret,
    envFile,
    counts: around.counts ?? new Map(),
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

const anyHost = new Set([undefined, '0.0.0.0', '::', '127.0.0.1']);

/** An instance cannot listen where a site does. */
function tellPortsOfSites(pairs: readonly Pair[], instances: readonly InstanceSpec[], sites: readonly SiteSpec[]): void {
  const taken = new Set(
    sites.flatMap(({ listen, redirectFrom }) => [...listen, ...redirectFrom]).flatMap(({ host, port }) => (anyHost.has(host) ? port : [])),
  );
  for (const { id, service, endpoint } of instances) {
    if (endpoint?.kind !== 'tcp' || !taken.has(endpoint.port)) continue;
    const { scope } = pairs.find(({ reading }) => reading.config.services?.[service] !== undefined) ?? {};
    scope?.tell(
      `/services${pointerStep(service)}/port`,
      'config/endpoint-twice',
      `${id} would listen on port ${endpoint.port}, where a site listens`,
      'Instances count up from the first port: choose ports that no site has.',
    );
  }
}

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
  tellPortsOfSites(pairs, instances, sites);
  const boot = resolveBoot(pairs, instances);
  const name = readings.find(({ config }) => config.name !== undefined)?.config.name ?? basename(readings[0]?.folder ?? '');
  const standIn = (service: string, port: number): InstanceSpec | undefined => {
    const pair = pairs.find(({ reading }) => reading.config.services?.[service] !== undefined);
    const written = pair?.reading.config.services?.[service];
    return pair && written && resolveStandIn(pair.scope, service, written, port);
  };
  const api = resolveApi(pairs);
  const auditKeepMs = resolveAudit(pairs);
  const supervisorctl = resolveSupervisorctl(pairs);
  const config = {
    name,
    instances,
    sites,
    gateway: resolveGateway(pairs, gateway, shared.named, sites),
    ...(boot && { boot }),
    ...(api && { api }),
    ...(auditKeepMs !== undefined && { auditKeepMs }),
    ...(supervisorctl.length > 0 && { supervisorctl }),
  };
  return { config, problems: shared.problems, standIn };
}
