/** What a site says for its routes and a route may say otherwise: headers, errors, limits, access, compression, logs, bodies. */
import type { ProxiedReason } from '../model.ts';
import type { RouteSource } from '../sections/site.ts';
import { formatSize } from '../units.ts';
import { inherited, inheritedLines } from './inherit.ts';
import type { Level, Scene } from './scene.ts';
import type { LogLine } from './settings.ts';
import { resolveText } from './variables.ts';

type Key =
  | 'maxBody'
  | 'addHeaders'
  | 'errorPages'
  | 'compress'
  | 'log'
  | 'charset'
  | 'rate'
  | 'connections'
  | 'access'
  | 'basicAuth'
  | 'satisfy'
  | 'authRequest';
export type Shared = { [K in Key]-?: NonNullable<RouteSource[K]> | undefined };

/** nginx refuses larger bodies unless the file says otherwise. */
const nginxMaxBody = 1024 ** 2;
const nginxLeastCompressed = 20;
const nginxLimitStatus = 503;

/** nginx without a word about any of it. */
const nothing: Shared = {
  maxBody: undefined,
  addHeaders: [],
  errorPages: [],
  compress: false,
  log: undefined,
  charset: 'utf-8',
  rate: [],
  connections: [],
  access: [],
  basicAuth: false,
  satisfy: 'all',
  authRequest: false,
};

/** Remembers where `item` stands. */
const placed = <T extends object>(scene: Scene, item: T, at: Level['at']): T => {
  scene.draft.place(item, undefined, at);
  return item;
};

function addedHeaders(level: Level, scene: Scene): Shared['addHeaders'] {
  return inheritedLines(level, 'answerHeaders').flatMap(({ name, value, always, at }) => {
    const text = resolveText(scene, value, { at, where: `add_header ${name}` });
    return text === '' ? [] : [placed(scene, { name, value: text, ...(always ? {} : { always }) }, at)];
  });
}

function errorPages(level: Level, scene: Scene): Shared['errorPages'] {
  return inheritedLines(level, 'errorPages').map(({ statuses, to, status, at }) => {
    // An address is answered with a redirect, whatever `=` says.
    const kept = status === 'target' && /^https?:/.test(to) ? undefined : status;
    const place = resolveText(scene, to, { at, where: 'error_page' });
    return placed(scene, { on: [...statuses], to: place, ...(kept === undefined ? {} : { status: kept }) }, at);
  });
}

/** nginx compresses nothing for proxies unless it is told. */
function proxied(level: Level): { proxied?: ProxiedReason[] } {
  const given = inherited(level, 'compressProxied');
  return given !== undefined && given.value === undefined ? {} : { proxied: [...(given?.value ?? [])] };
}

function compression(level: Level): Shared['compress'] {
  if (inherited(level, 'compress')?.value !== true) return false;
  const types = inherited(level, 'compressTypes')?.value ?? [];
  return {
    encodings: ['gzip'],
    types: types.includes('*') ? ['*'] : [...new Set(['text/html', ...types])],
    minSize: formatSize(inherited(level, 'compressLeast')?.value ?? nginxLeastCompressed),
    level: inherited(level, 'compressLevel')?.value ?? 1,
    ...proxied(level),
    ...(inherited(level, 'compressOld')?.value === true && { http10: true }),
  };
}

type Log = Exclude<NonNullable<RouteSource['log']>, false | unknown[]>;

function logOf(line: LogLine, scene: Scene): Log {
  const name = line.format?.value ?? 'combined';
  const format = scene.formats.get(name);
  const log: Log = {};
  if (line.file !== undefined) log.file = resolveText(scene, line.file, { at: line.at, where: 'access_log' });
  if (format !== undefined) {
    log.format = resolveText(scene, format.text.value, { at: format.text.at, where: `log_format ${name}` });
    if (format.escape !== 'default') log.escape = format.escape;
  } else {
    log.format = 'combined';
    if (name !== 'combined' && line.format !== undefined) reportFormat(name, line.format.at, scene);
  }
  if (line.when !== undefined) log.when = resolveText(scene, line.when, { at: line.at, where: 'access_log' });
  // Logs of nginx are rotated by logrotate.
  if (log.file !== undefined) log.maxSize = 0;
  return placed(scene, log, line.at);
}

function reportFormat(name: string, at: Level['at'], scene: Scene): void {
  if (scene.isWhole) scene.error('config/nginx-value', `access_log: there is no log_format "${name}"`, at, 'Define it in http.');
  else
    scene.warning(
      'config/nginx-value',
      `access_log: there is no log_format "${name}" here; combined is written`,
      at,
      'Read nginx.conf as a whole.',
    );
}

function logs(level: Level, scene: Scene): Shared['log'] {
  const lines = inheritedLines(level, 'logs');
  if (lines.length === 0) return undefined;
  if (lines.some((line) => 'off' in line)) return false;
  const all = lines.flatMap((line) => ('off' in line ? [] : [logOf(line, scene)]));
  return all.length === 1 ? all[0] : all;
}

function zoneExists(scene: Scene, zone: string, at: Level['at'], directive: string, hasRate: boolean): boolean {
  const known = scene.zones.get(zone);
  if (known !== undefined && (known.rate !== undefined) === hasRate) return true;
  scene.error('config/nginx-value', `${directive}: there is no zone "${zone}"`, at, `Define it in http with ${directive}_zone.`);
  return false;
}

function rates(level: Level, scene: Scene): Shared['rate'] {
  const dry = inherited(level, 'rateDryRun');
  if (dry?.value === true) return [];
  const status = inherited(level, 'rateStatus')?.value ?? nginxLimitStatus;
  return inheritedLines(level, 'rates')
    .filter(({ zone, at }) => zoneExists(scene, zone, at, 'limit_req', true))
    .map(({ zone, burst, undelayed, at }) => placed(scene, { zone, burst, undelayed, status }, at));
}

function connections(level: Level, scene: Scene): Shared['connections'] {
  if (inherited(level, 'connectionsDryRun')?.value === true) return [];
  const status = inherited(level, 'connectionsStatus')?.value ?? nginxLimitStatus;
  return inheritedLines(level, 'connections')
    .filter(({ zone, at }) => zoneExists(scene, zone, at, 'limit_conn', false))
    .map(({ zone, most, at }) => placed(scene, { zone, most, status }, at));
}

function accessRules(level: Level, scene: Scene): string[] {
  const rules: string[] = [];
  for (const [index, { verb, who, at }] of inheritedLines(level, 'access').entries()) {
    rules.push(`${verb} ${who}`);
    scene.draft.place(rules, index, at);
  }
  return rules;
}

function basicAuth(level: Level, scene: Scene): Shared['basicAuth'] {
  const realm = inherited(level, 'realm');
  if (realm?.value === undefined) return false;
  const text = resolveText(scene, realm.value, { at: realm.at, where: 'auth_basic' });
  const users = inherited(level, 'users');
  if (users === undefined) {
    const hint = 'Name a file with auth_basic_user_file.';
    scene.warning('config/nginx-value', 'auth_basic has no auth_basic_user_file: as in nginx everybody gets in', realm.at, hint);
    return false;
  }
  const found = {
    realm: text,
    users: resolveText(scene, users.value, { at: users.at, where: 'auth_basic_user_file', decides: true }),
  };
  scene.draft.place(found, 'users', users.at);
  return placed(scene, found, realm.at);
}

function authRequest(level: Level, scene: Scene): Shared['authRequest'] {
  const given = inherited(level, 'authRequest');
  if (given?.value === undefined) return false;
  const uri = resolveText(scene, given.value, { at: given.at, where: 'auth_request', decides: true });
  const sets = inheritedLines(level, 'authSets');
  const texts = sets.map(({ name, value, at }) => [name, resolveText(scene, value, { at, where: 'auth_request_set' })] as const);
  return placed(scene, { uri, ...(texts.length === 0 ? {} : { set: Object.fromEntries(texts) }) }, given.at);
}

type Guards = Pick<Shared, 'access' | 'basicAuth' | 'satisfy' | 'authRequest'>;

/** Who gets in on `level`: for routes and for limit_except alike. */
export const guardsOf = (level: Level, scene: Scene): Guards => ({
  access: accessRules(level, scene),
  basicAuth: basicAuth(level, scene),
  satisfy: inherited(level, 'satisfy')?.value ?? 'all',
  authRequest: authRequest(level, scene),
});

/** Everything `level` says or inherits. */
export function sharedOf(level: Level, scene: Scene): Shared {
  return {
    maxBody: formatSize(inherited(level, 'maxBody')?.value ?? nginxMaxBody),
    addHeaders: addedHeaders(level, scene),
    errorPages: errorPages(level, scene),
    compress: compression(level),
    log: logs(level, scene),
    charset: inherited(level, 'charset')?.value ?? false,
    rate: rates(level, scene),
    connections: connections(level, scene),
    ...guardsOf(level, scene),
  };
}

/** The same for what nginx answers before it looks who asks: a `return`. */
export const unguarded = (shared: Shared): Shared => ({
  ...shared,
  rate: [],
  connections: [],
  access: [],
  basicAuth: false,
  satisfy: 'all',
  authRequest: false,
});

/** Sets on `owner` what differs from what already holds `around` it. */
export function setShared(owner: Partial<Record<Key, unknown>>, shared: Partial<Shared>, around: Shared = nothing): void {
  for (const key of Object.keys(shared) as Key[])
    if (shared[key] !== undefined && JSON.stringify(around[key]) !== JSON.stringify(shared[key])) owner[key] = shared[key];
}
