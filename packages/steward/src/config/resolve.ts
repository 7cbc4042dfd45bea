/**
 * Everything that was read → one configuration. Here files meet: names must be unique, references must lead somewhere,
 * ports must not be taken twice. Pure: texts of env files and secrets come in through `disk`.
 */
import { basename, resolve as resolvePath } from 'node:path';
import { readEnvFile } from './env-file.ts';
import type { Reading } from './format.ts';
import type { Config, GatewaySpec, InstanceSpec, ListenSpec, ServerSpec, SiteSpec } from './model.ts';
import { didYouMean } from './near.ts';
import { originOf, type Position, type Problem, pointerStep } from './problem.ts';
import { resolveService } from './resolve-service.ts';
import { resolveSite, resolveUpstream } from './resolve-site.ts';
import type { Scope } from './scope.ts';
import type { ServiceSource } from './sections/service.ts';
import type { GatewaySource } from './sections/site.ts';
import { parseDuration } from './units.ts';

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
  readonly upstreams: Map<string, readonly ServerSpec[]>;
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
    upstreams: () => [...shared.upstreams.keys()],
    upstream: (name) => shared.upstreams.get(name),
    tell,
  };
}

const placeOf = (at: Position | undefined): string => (at === undefined ? 'elsewhere' : `${at.file}:${at.line}`);

/** Tells each name that stands in two files or twice in one list. */
function tellTwice<T>(items: readonly T[], key: (item: T) => string, tell: (item: T, first: T) => void): T[] {
  const first = new Map<string, T>();
  return items.filter((item) => {
    const known = first.get(key(item));
    if (known === undefined) first.set(key(item), item);
    else tell(item, known);
    return known === undefined;
  });
}

interface Placed<T> {
  readonly scope: Scope;
  readonly reading: Reading;
  readonly pointer: string;
  readonly value: T;
}

function resolveServices(pairs: readonly { reading: Reading; scope: Scope }[]): InstanceSpec[] {
  const services = pairs.flatMap(({ reading, scope }) =>
    Object.entries(reading.config.services ?? {}).map(
      ([name, source]): Placed<[string, ServiceSource]> => ({
        scope,
        reading,
        pointer: `/services${pointerStep(name)}`,
        value: [name, source],
      }),
    ),
  );
  const unique = tellTwice(
    services,
    ({ value }) => value[0],
    (item, first) =>
      item.scope.tell(
        `${item.pointer}#key`,
        'config/name-twice',
        `service "${item.value[0]}" is defined at ${placeOf(originOf(first.reading.origins, first.pointer))} already`,
        'Give one of them another name.',
      ),
  );
  const names = unique.map(({ value }) => value[0]);
  for (const { scope, pointer, value } of unique) checkAfter(scope, pointer, value, names);
  tellCycle(unique);
  const instances = unique.flatMap((item) => resolveService(item.scope, ...item.value).map((spec) => ({ ...item, spec })));
  tellTwice(
    instances,
    ({ spec }) => spec.id,
    (item) =>
      item.scope.tell(
        `${item.pointer}#key`,
        'config/name-twice',
        `two instances are called "${item.spec.id}"`,
        'Use {{instance}} in instanceName, or another group.',
      ),
  );
  tellTwice(
    instances.filter(({ spec }) => spec.endpoint !== undefined),
    ({ spec }) => (spec.endpoint?.kind === 'tcp' ? `port ${spec.endpoint.port}` : `socket ${spec.endpoint?.path}`),
    (item, first) =>
      item.scope.tell(
        `${item.pointer}/${item.spec.endpoint?.kind === 'tcp' ? 'port' : 'socket'}`,
        'config/endpoint-twice',
        `${item.spec.id} and ${first.spec.id} have the same ${item.spec.endpoint?.kind === 'tcp' ? `port ${item.spec.endpoint.port}` : 'socket'}`,
        'Instances count up from the first port: leave room between services.',
      ),
  );
  return instances.map(({ spec }) => spec);
}

function checkAfter(scope: Scope, pointer: string, [, { after }]: [string, ServiceSource], names: readonly string[]): void {
  (after ?? []).forEach((needed, index) => {
    if (!names.includes(needed))
      scope.tell(
        `${pointer}/after/${index}`,
        'config/unknown-service',
        `there is no service "${needed}" to wait for`,
        `Use one of: ${names.join(', ')}.${didYouMean(needed, names)}`,
      );
  });
}

/** Services that wait for each other in a circle would never start. */
function tellCycle(services: readonly Placed<[string, ServiceSource]>[]): void {
  const after = new Map(services.map(({ value: [name, { after: list }] }) => [name, list ?? []]));
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(name)) return [...path.slice(path.indexOf(name)), name];
    if (done.has(name)) return undefined;
    for (const next of after.get(name) ?? []) {
      const circle = visit(next, [...path, name]);
      if (circle) return circle;
    }
    done.add(name);
    return undefined;
  };
  for (const { scope, pointer, value } of services) {
    const circle = visit(value[0], []);
    if (circle === undefined) continue;
    scope.tell(
      `${pointer}/after`,
      'config/circle',
      `services wait for each other in a circle: ${circle.join(' → ')}`,
      'Take one `after` away.',
    );
    return;
  }
}

const keyOf = ({ host, port }: ListenSpec): string => `${host ?? '*'}:${port}`;

/** One listener speaks TLS or it does not; a host name is served once per listener. */
function checkListeners(sites: readonly { scope: Scope; pointer: string; site: SiteSpec }[]): void {
  const speaks = new Map<string, { tls: boolean; place: string }>();
  const taken = new Set<string>();
  for (const { scope, pointer, site } of sites) {
    const all = [
      ...site.listen.map((listen) => ({ listen, tls: site.tls !== undefined })),
      ...site.redirectFrom.map((listen) => ({ listen, tls: false })),
    ];
    for (const { listen, tls } of all) {
      const known = speaks.get(keyOf(listen));
      if (known !== undefined && known.tls !== tls)
        scope.tell(
          `${pointer}/listen`,
          'config/mixed-listener',
          `port ${listen.port} speaks HTTPS in one site and plain HTTP in another`,
          'One port speaks one of them: move a site to another port, or give both tls.',
        );
      else speaks.set(keyOf(listen), { tls, place: pointer });
    }
    for (const listen of site.listen) {
      for (const host of site.hosts.length > 0 ? site.hosts : ['']) {
        const name = `${keyOf(listen)} ${host}`;
        if (taken.has(name))
          scope.tell(
            `${pointer}/hosts`,
            'config/host-twice',
            `${host === '' ? 'a site for any host' : `"${host}"`} is served twice on port ${listen.port}; the first one answers`,
            'Take one of them away, or give it another host or port.',
            'warning',
          );
        taken.add(name);
      }
    }
  }
}

function gatewayOf(pairs: readonly { reading: Reading; scope: Scope }[]): GatewaySpec {
  const given = Object.assign({}, ...pairs.map(({ reading }) => reading.config.gateway ?? {})) as GatewaySource;
  return {
    ...(given.workers !== undefined && { workers: given.workers }),
    ...(given.user !== undefined && { user: given.user }),
    headerTimeoutMs: parseDuration(given.headerTimeout ?? '') ?? 60_000,
    stallTimeoutMs: parseDuration(given.stallTimeout ?? '') ?? 60_000,
    idleTimeoutMs: parseDuration(given.idleTimeout ?? '') ?? 75_000,
    accessLog: given.accessLog ?? true,
  };
}

/** The configuration that all readings together make, and every problem of it. With errors the configuration is not fit for use. */
export function resolve(readings: readonly Reading[], around: Around): Resolution {
  const shared: Shared = { readings, around, problems: readings.flatMap(({ problems }) => problems), upstreams: new Map() };
  const pairs = readings.map((reading) => ({ reading, scope: scopeOf(reading, shared) }));
  for (const { reading, scope } of pairs) {
    for (const [name, upstream] of Object.entries(reading.config.upstreams ?? {})) {
      if (shared.upstreams.has(name))
        scope.tell(
          `/upstreams${pointerStep(name)}#key`,
          'config/name-twice',
          `upstream "${name}" is defined twice`,
          'Give one of them another name.',
        );
      else shared.upstreams.set(name, resolveUpstream(scope, name, upstream));
    }
  }
  const instances = resolveServices(pairs);
  const sites = pairs.flatMap(({ reading, scope }) =>
    (reading.config.sites ?? []).map((site, index) => ({ scope, pointer: `/sites/${index}`, site: resolveSite(scope, site, index) })),
  );
  checkListeners(sites);
  const name = readings.find(({ config }) => config.name !== undefined)?.config.name ?? basename(readings[0]?.folder ?? '');
  return { config: { name, instances, sites: sites.map(({ site }) => site), gateway: gatewayOf(pairs) }, problems: shared.problems };
}
