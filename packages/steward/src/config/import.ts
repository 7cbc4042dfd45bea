/** What was read from any mix of files as one steward.yaml: the output of `steward import`. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { stringify } from 'yaml';
import type { Reading } from './format.ts';
import type { BootStepSource } from './sections/boot.ts';
import type { FileSource } from './sections/file.ts';
import type { ServiceSource } from './sections/service.ts';
import type { RouteSource, SiteSource } from './sections/site.ts';

const absolute = (folder: string, path: string): string =>
  isAbsolute(path) || path.startsWith('{{') || path === 'none' ? path : resolve(folder, path);

/** The same field of an object with each of its paths made absolute, if it is there. */
function withPaths<T extends object>(source: T, folder: string, ...fields: (keyof T)[]): T {
  const placed = { ...source };
  for (const field of fields) {
    const value: unknown = source[field];
    if (typeof value === 'string') placed[field] = absolute(folder, value) as T[keyof T];
  }
  return placed;
}

/** A service that means the same wherever the file stands: what its file said for all services moves into it. */
function standalone({ config, folder }: Reading, service: ServiceSource): ServiceSource {
  const merged: ServiceSource = { ...(config.defaults as Partial<ServiceSource>), ...service };
  const env = { ...config.env, ...merged.env };
  const envFile = [...[config.envFile ?? []].flat(), ...[merged.envFile ?? []].flat()].map((file) => absolute(folder, file));
  const output = <T>(given: T): T =>
    typeof given === 'object' && given !== null ? (withPaths(given as { file?: string }, folder, 'file') as T) : given;
  const { logs } = config;
  const stdout = logs === undefined && merged.stdout === undefined ? undefined : { ...logs, ...output(merged.stdout) };
  return {
    ...withPaths({ ...merged, cwd: merged.cwd ?? folder }, folder, 'cwd', 'socket'),
    ...(Object.keys(env).length > 0 && { env }),
    ...(envFile.length > 0 && { envFile }),
    ...(stdout && { stdout }),
    ...(merged.stderr && { stderr: output(merged.stderr) }),
  };
}

function siteAt(folder: string, site: SiteSource): SiteSource {
  const tls = typeof site.tls === 'object' ? withPaths(site.tls, folder, 'cert', 'key', 'chain') : site.tls;
  const routes = site.routes.map((route): RouteSource => withPaths(route, folder, 'files', 'root'));
  return { ...withPaths(site, folder, 'root'), ...(tls && { tls }), routes };
}

/** A boot step that means the same wherever the file stands. */
function bootStepAt({ config, folder }: Reading, step: BootStepSource): BootStepSource {
  const envFile = [...[config.envFile ?? []].flat(), ...[step.envFile ?? []].flat()].map((file) => absolute(folder, file));
  const command = {
    ...withPaths(step, folder, 'cwd'),
    cwd: step.cwd === undefined ? folder : absolute(folder, step.cwd),
    ...((config.env ?? step.env) && { env: { ...config.env, ...step.env } }),
    ...(envFile.length > 0 && { envFile }),
  };
  return {
    ...(step.run === undefined ? step : command),
    ...(step.mount && { mount: withPaths(step.mount, folder, 'at') }),
    ...(step.waitFor && { waitFor: withPaths(step.waitFor, folder, 'path', 'unix', 'mount') }),
  };
}

/** The boot steps and lists of all files; undefined when there are none. */
function bootIn(readings: readonly Reading[]): FileSource['boot'] {
  const all = readings.flatMap((reading) => (reading.config.boot === undefined ? [] : [{ reading, boot: reading.config.boot }]));
  if (all.length === 0) return undefined;
  const steps = all.flatMap(({ reading, boot }) => Object.entries(boot.steps).map(([name, step]) => [name, bootStepAt(reading, step)]));
  const lists = all.flatMap(({ boot }) => Object.entries(boot.lists ?? {}));
  return { steps: Object.fromEntries(steps), ...(lists.length > 0 && { lists: Object.fromEntries(lists) }) };
}

/** Its certificate files by absolute paths. */
function apiAt({ config: { api = {} }, folder }: Reading): NonNullable<FileSource['api']> {
  const { tls } = api;
  if (tls === undefined || typeof tls === 'string') return api;
  const paths = Object.entries(tls).map(([key, path]) => [key, resolve(folder, path)]);
  return { ...api, tls: Object.fromEntries(paths) };
}

/** Its socket by an absolute path. */
function supervisorctlAt({ config: { supervisorctl = {} }, folder }: Reading): NonNullable<FileSource['supervisorctl']> {
  return { ...supervisorctl, ...(supervisorctl.unix && { unix: withPaths(supervisorctl.unix, folder, 'path') }) };
}

/** One configuration and its text. All paths are absolute, so the file can stand anywhere. */
export function importFiles(readings: readonly Reading[]): { config: FileSource; yaml: string } {
  const collect = <T>(pick: (reading: Reading) => Record<string, T> | undefined): Record<string, T> =>
    Object.assign({}, ...readings.map((reading) => pick(reading) ?? {}));
  const services = collect((reading) =>
    Object.fromEntries(Object.entries(reading.config.services ?? {}).map(([name, service]) => [name, standalone(reading, service)])),
  );
  const secrets = collect(
    ({ config, folder }) =>
      config.secrets &&
      Object.fromEntries(Object.entries(config.secrets).map(([name, secret]) => [name, withPaths(secret, folder, 'file')])),
  );
  const upstreams = collect(({ config }) => config.upstreams);
  const sites = readings.flatMap(({ config, folder }) => (config.sites ?? []).map((site) => siteAt(folder, site)));
  const gateway = Object.assign({}, ...readings.map(({ config }) => config.gateway ?? {}));
  const api = readings.find((reading) => reading.config.api !== undefined);
  const audit = readings.find((reading) => reading.config.audit !== undefined)?.config.audit;
  const ctl = readings.filter((reading) => reading.config.supervisorctl !== undefined);
  const name = readings.find(({ config }) => config.name)?.config.name;
  const parts = { services, secrets, boot: bootIn(readings) ?? {}, upstreams, gateway };
  const config: FileSource = {
    ...(name && { name }),
    ...Object.fromEntries(Object.entries(parts).filter(([, part]) => Object.keys(part).length > 0)),
    ...(sites.length > 0 && { sites }),
    ...(api && { api: apiAt(api) }),
    ...(audit && { audit }),
    ...(ctl.length > 0 && { supervisorctl: Object.assign({}, ...ctl.map(supervisorctlAt)) }),
  };
  return { config, yaml: stringify(config, { lineWidth: 0 }) };
}
