/** The `api:` section as written → where Steward itself is reached. Pure. */
import { resolve } from 'node:path';
import { isLoopback, parseListen } from './address.ts';
import type { ApiSpec, ListenSpec } from './model.ts';
import type { Pair } from './resolve-services.ts';
import type { Scope } from './scope.ts';
import type { ApiSource } from './sections/api.ts';

const standardPort = 9443;
const standardRequests = 1200;

function listensOf(scope: Scope, given: ApiSource['listen']): ListenSpec[] {
  const isList = Array.isArray(given);
  return [given ?? standardPort].flat().flatMap((entry, index): ListenSpec[] => {
    const parsed = parseListen(entry);
    if (parsed !== undefined) return [parsed];
    const pointer = isList ? `/api/listen/${index}` : '/api/listen';
    scope.tell(pointer, 'config/listen', `"${entry}" is no port and no address:port`, 'Write 9443, "127.0.0.1:9443" or "[::]:9443".');
    return [];
  });
}

function apiOf(scope: Scope, { listen, hosts, tls = 'internal', requestsPerMinute }: ApiSource): ApiSpec {
  const listens = listensOf(scope, listen);
  const open = tls === 'none' ? listens.find(({ host }) => host === undefined || !isLoopback(host)) : undefined;
  if (open !== undefined)
    scope.tell(
      '/api/tls',
      'config/api-open',
      `without TLS passwords and sessions would cross the network on port ${open.port} for all to read`,
      'Listen on "127.0.0.1:9443" only, or take `tls: none` away.',
    );
  const file = (path: string): string => resolve(scope.folder, path);
  return {
    listen: listens,
    hosts: hosts ?? [],
    tls: typeof tls === 'string' ? tls : { cert: file(tls.cert), key: file(tls.key), ...(tls.chain && { chain: file(tls.chain) }) },
    requestsPerMinute: requestsPerMinute ?? standardRequests,
  };
}

/** The `api:` section of the first file that has one; a second one is told. */
export function resolveApi(pairs: readonly Pair[]): ApiSpec | undefined {
  const found = pairs.flatMap(({ reading, scope }) => (reading.config.api === undefined ? [] : [{ scope, source: reading.config.api }]));
  for (const { scope } of found.slice(1))
    scope.tell('/api', 'config/api-twice', 'another file has an api section already', 'Keep one of them.');
  return found[0] === undefined ? undefined : apiOf(found[0].scope, found[0].source);
}
