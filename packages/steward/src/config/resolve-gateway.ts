/** What all sites share: the gateway's own settings, variables made from others, and the authority for certificates. Pure. */
import { resolve } from 'node:path';
import type { Reading } from './format.ts';
import { type AcmeSpec, type GatewaySpec, plainGateway, type SiteSpec, type UpstreamSpec } from './model.ts';
import type { Named } from './resolve-named.ts';
import type { Pair } from './resolve-services.ts';
import { resolveVariables } from './resolve-variables.ts';
import type { Scope } from './scope.ts';
import type { AcmeSource, GatewaySource } from './sections/site.ts';
import { durationOr, parseDuration, sizeOr } from './units.ts';

/** Let's Encrypt. */
const standardDirectory = 'https://acme-v02.api.letsencrypt.org/directory';

/** The `gateway:` sections of all files as one; what a later file says counts. */
export const gatewaySource = (readings: readonly Reading[]): GatewaySource =>
  Object.assign({}, ...readings.map(({ config }) => config.gateway ?? {}));

function acmeOf(scope: Scope, { directory, directoryCa, email, renewBefore }: AcmeSource): AcmeSpec {
  if (directory !== undefined && !/^https?:\/\/[^\s/]+/.test(directory))
    scope.tell('/acme/directory', 'config/address', `"${directory}" is no URL`, 'Write the https:// address of the directory.');
  if (email !== undefined && !/^[^\s@]+@[^\s@]+$/.test(email))
    scope.tell('/acme/email', 'config/email', `"${email}" is no address of a person`, 'Write one such as admin@example.com.');
  const renewBeforeMs = renewBefore === undefined ? undefined : parseDuration(renewBefore);
  return {
    directory: directory ?? standardDirectory,
    ...(email !== undefined && { email }),
    ...(directoryCa !== undefined && { directoryCa: resolve(scope.folder, directoryCa) }),
    ...(renewBeforeMs !== undefined && { renewBeforeMs }),
  };
}

/** The `acme:` section of the first file that has one; plain values when only sites ask for it. */
function acmeFor(pairs: readonly Pair[], sites: readonly SiteSpec[]): AcmeSpec | undefined {
  const [found] = pairs.flatMap(({ reading, scope }) => (reading.config.acme ? [acmeOf(scope, reading.config.acme)] : []));
  if (found !== undefined) return found;
  return sites.some(({ tls }) => tls === 'acme') ? { directory: standardDirectory } : undefined;
}

/** All that sites share. */
export function resolveGateway(pairs: readonly Pair[], given: GatewaySource, named: Named, sites: readonly SiteSpec[]): GatewaySpec {
  const acme = acmeFor(pairs, sites);
  return {
    ...(given.workers !== undefined && { workers: given.workers }),
    ...(given.user !== undefined && { user: given.user }),
    headerTimeoutMs: durationOr(given.headerTimeout, plainGateway.headerTimeoutMs),
    stallTimeoutMs: durationOr(given.stallTimeout, plainGateway.stallTimeoutMs),
    idleTimeoutMs: durationOr(given.idleTimeout, plainGateway.idleTimeoutMs),
    maxHeaderBytes: sizeOr(given.maxHeaders, plainGateway.maxHeaderBytes),
    http2: given.http2 ?? plainGateway.http2,
    accessLog: given.accessLog ?? plainGateway.accessLog,
    variables: resolveVariables(pairs),
    zones: named.zones(),
    upstreams: named.upstreams().flatMap((name): UpstreamSpec[] => {
      const spec = named.upstream(name);
      return spec === undefined ? [] : [spec];
    }),
    ...(acme && { acme }),
  };
}
