/** Servers as sites, upstream blocks as upstreams. */

import type { Given } from '../draft.ts';
import type { SiteSource, UpstreamSource } from '../sections/site.ts';
import { inherited, inheritedLines } from './inherit.ts';
import { type Placement, placeServers } from './listeners.ts';
import { routesOf } from './routes.ts';
import { given, type ListenAddress, type Scene, type ServerLevel } from './scene.ts';
import type { Settings } from './settings.ts';
import { setShared, sharedOf } from './shared.ts';
import { splitAnswer, stepsOf } from './steps.ts';
import { resolveText } from './variables.ts';

/** The names of `upstreams:` with their servers, in the order of the file. */
export function buildUpstreams(scene: Scene): Record<string, UpstreamSource> {
  const upstreams: Record<string, UpstreamSource> = {};
  for (const { name, servers, rules, hashKeys, at } of scene.upstreams) {
    const upstream: UpstreamSource = Object.assign(rules, { servers: servers.map(({ value }) => value) });
    const key = hashKeys.at(-1);
    if (key !== undefined && typeof upstream.balance === 'object')
      upstream.balance = { ...upstream.balance, hash: resolveText(scene, key.value, { at: key.at, where: 'hash' }) };
    Object.defineProperty(upstreams, name.value, { value: upstream, enumerable: true, configurable: true, writable: true });
    scene.draft.place(upstream, undefined, at);
    servers.forEach((server, index) => {
      scene.draft.place(upstream.servers ?? [], index, server.at);
    });
  }
  return upstreams;
}

type ListenSource = NonNullable<SiteSource['listen']>[number];

function listenValue({ host, port, proxyProtocol }: ListenAddress): ListenSource {
  const to = host === undefined ? port : `${host}:${port}`;
  return proxyProtocol ? { to, proxyProtocol } : to;
}

function setList(site: Partial<SiteSource>, key: 'hosts' | 'listen', values: readonly Given<ListenSource>[], scene: Scene): void {
  const list = values.map(({ value }) => value);
  Object.assign(site, { [key]: list });
  values.forEach(({ at }, index) => {
    scene.draft.place(list, index, at);
  });
}

/** The certificate of the server, else that of the first server of its address, as nginx shows it. */
function certificateOf({ server, first }: Placement, scene: Scene): Pick<Settings, 'cert' | 'key'> {
  const own = { cert: inherited(server, 'cert'), key: inherited(server, 'key') };
  if (own.cert !== undefined || server === first) return own;
  const other = { cert: inherited(first, 'cert'), key: inherited(first, 'key') };
  if (other.cert !== undefined) {
    const message = `this server has no ssl_certificate; it shows the one of the server on line ${first.at.line}`;
    scene.warning('config/nginx-certificate', message, server.at, 'Give it ssl_certificate and ssl_certificate_key.');
  }
  return other;
}

function setTls(site: Partial<SiteSource>, placement: Placement, scene: Scene): void {
  const { cert, key } = certificateOf(placement, scene);
  const at = placement.listens[0]?.at ?? placement.server.at;
  if (cert === undefined) {
    scene.error(
      'config/nginx-certificate',
      'this server listens with ssl and has no ssl_certificate',
      at,
      'Name the file of its certificate, and ssl_certificate_key.',
    );
    return;
  }
  if (key === undefined) {
    scene.error(
      'config/nginx-certificate',
      `ssl_certificate "${cert.value}" has no ssl_certificate_key`,
      cert.at,
      'Name the file of its key.',
    );
    return;
  }
  const tls = { cert: '', key: '' };
  scene.draft.set(tls, 'cert', cert);
  scene.draft.set(tls, 'key', key);
  site.tls = tls;
}

function setClientCertificates(site: Partial<SiteSource>, server: ServerLevel, scene: Scene): void {
  const mode = inherited(server, 'clientMode');
  if (mode === undefined || mode.value === 'off') return;
  const ca = inherited(server, 'clientCa');
  if (ca === undefined) {
    const hint = 'Name the file of the authorities with ssl_client_certificate.';
    scene.error('config/nginx-certificate', 'ssl_verify_client has no ssl_client_certificate', mode.at, hint);
    return;
  }
  const found = { ca: ca.value, mode: mode.value };
  scene.draft.place(found, 'ca', ca.at);
  scene.draft.set(site, 'clientCertificates', given(found, mode));
}

/** nginx believes X-Real-IP unless real_ip_header names another header. */
function setTrust(site: Partial<SiteSource>, server: ServerLevel, scene: Scene): void {
  const [first, ...others] = inheritedLines(server, 'trusted');
  if (first === undefined) return;
  const header = inherited(server, 'trustHeader')?.value ?? 'X-Real-IP';
  const recursive = inherited(server, 'trustRecursive')?.value ?? false;
  scene.draft.set(site, 'trust', given({ from: [first, ...others].map(({ value }) => value), header, recursive }, first));
}

/** `$server_name`: the first name of the server, when it is a plain one. */
function serverNameOf(server: ServerLevel): string {
  const name = server.names[0]?.value ?? '';
  return name.startsWith('~') ? '' : name.replace(/^\./, '').toLowerCase();
}

function setSteps(site: Partial<SiteSource>, server: ServerLevel, scene: Scene): void {
  const { before } = splitAnswer(server.settings.steps);
  if (before.length > 0) site.steps = stepsOf(before, scene, () => undefined);
}

function buildSite(placement: Placement, scene: Scene): SiteSource {
  const { server, hosts, listens, tls, isDefault } = placement;
  const serverName = serverNameOf(server);
  const site: Partial<SiteSource> = {};
  scene.draft.place(site, undefined, server.at);
  if (hosts.length > 0) setList(site, 'hosts', hosts, scene);
  if (isDefault) scene.draft.set(site, 'default', given(true, listens.find((listen) => listen.isDefault) ?? server));
  setList(
    site,
    'listen',
    listens.map((listen) => given(listenValue(listen), listen)),
    scene,
  );
  if (tls) {
    setTls(site, placement, scene);
    const least = inherited(server, 'tlsLeast');
    if (least?.value === 'TLSv1.3') scene.draft.set(site, 'tlsLeast', least);
    setClientCertificates(site, server, scene);
  }
  const shared = sharedOf(server, scene);
  setShared(site, shared);
  const maxBody = inherited(server, 'maxBody');
  if (maxBody !== undefined) scene.draft.place(site, 'maxBody', maxBody.at);
  if (serverName !== '' && serverName !== hosts[0]?.value)
    scene.draft.set(site, 'serverName', given(serverName, server.names[0] ?? server));
  setTrust(site, server, scene);
  setSteps(site, server, scene);
  const routes = routesOf(server, shared, scene);
  if (routes.length === 0 && site.steps === undefined) {
    scene.warning(
      'config/nginx-value',
      'this server names neither a folder nor a program; all its requests get 404',
      server.at,
      'Give it a location with proxy_pass or root.',
    );
  }
  return Object.assign(site, { routes });
}

/** A server that refuses the handshake only keeps unknown hosts away: it has nothing to serve. */
function isServed({ server, tls, listens }: Placement, scene: Scene): boolean {
  const reject = inherited(server, 'rejectHandshake');
  if (!tls || reject?.value !== true) return true;
  const hint = 'Unknown hosts get the first site of the port. Give that site its exact hosts, or a default site of its own.';
  scene.warning(
    'config/nginx-not-taken-over',
    'ssl_reject_handshake is not taken over; this server is left out',
    listens[0]?.at ?? reject.at,
    hint,
  );
  return false;
}

/** One site for each server, two or more where its addresses differ in protocol, names or being the default. */
export function buildSites(scene: Scene): SiteSource[] {
  return placeServers(scene)
    .filter((placement) => isServed(placement, scene))
    .map((placement) => buildSite(placement, scene));
}
