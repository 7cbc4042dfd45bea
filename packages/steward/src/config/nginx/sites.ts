/** Servers as sites, upstream blocks as upstreams. */

import type { Given } from '../draft.ts';
import type { SiteSource, UpstreamSource } from '../sections/site.ts';
import { formatSize } from '../units.ts';
import { inherited } from './inherit.ts';
import { type Placement, placeServers } from './listeners.ts';
import { routesOf } from './routes.ts';
import { type Answer, given, type ListenAddress, type Scene, type ServerLevel, type Settings } from './scene.ts';

/** nginx refuses larger bodies unless the file says otherwise. */
const nginxMaxBody = 1024 ** 2;

/** The names of `upstreams:` with their servers, in the order of the file. */
export function buildUpstreams(scene: Scene): Record<string, UpstreamSource> {
  const upstreams: Record<string, UpstreamSource> = {};
  for (const { name, servers, at } of scene.upstreams) {
    const upstream: UpstreamSource = { servers: servers.map(({ value }) => value) };
    Object.defineProperty(upstreams, name.value, { value: upstream, enumerable: true, configurable: true, writable: true });
    scene.draft.place(upstream, undefined, at);
    servers.forEach((server, index) => {
      scene.draft.place(upstream.servers, index, server.at);
    });
  }
  return upstreams;
}

const listenValue = ({ host, port }: ListenAddress): number | string => (host === undefined ? port : `${host}:${port}`);

function setList(site: Partial<SiteSource>, key: 'hosts' | 'listen', values: readonly Given<string | number>[], scene: Scene): void {
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

/** `$server_name`: the first name of the server, when it is a plain one. */
function serverNameOf(server: ServerLevel): string {
  const name = server.names[0]?.value ?? '';
  return name.startsWith('~') ? '' : name.replace(/^\./, '').toLowerCase();
}

function setMaxBody(site: Partial<SiteSource>, server: ServerLevel, scene: Scene): void {
  const maxBody = inherited(server, 'maxBody');
  if (maxBody === undefined) site.maxBody = formatSize(nginxMaxBody);
  else scene.draft.set(site, 'maxBody', given(formatSize(maxBody.value), maxBody));
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
  if (tls) setTls(site, placement, scene);
  setMaxBody(site, server, scene);
  if (serverName !== '' && serverName !== hosts[0]?.value)
    scene.draft.set(site, 'serverName', given(serverName, server.names[0] ?? server));
  const routes = routesOf(server, { tls, serverName }, scene);
  if (routes.length === 0) {
    scene.warning(
      'config/nginx-value',
      'this server names neither a folder nor a program; all its requests get 404',
      server.at,
      'Give it a location with proxy_pass or root.',
    );
  }
  return Object.assign(site, { routes });
}

/** Hosts that an `if ($host = ...)` redirects get a placement of their own, behind the rest, which may answer unknown hosts. */
function splitRedirected(placement: Placement): readonly Placement[] {
  const { server, hosts } = placement;
  const answerOf = (host: string): Given<Answer> | undefined => server.hostAnswers.find((one) => one.host === host)?.answer;
  const others = hosts.filter(({ value }) => answerOf(value) === undefined);
  if (others.length === hosts.length) return [placement];
  const redirected = hosts.filter(({ value }) => answerOf(value) !== undefined);
  const groups = Map.groupBy(redirected, ({ value }) => JSON.stringify(answerOf(value)?.value));
  const answering = [...groups.values()].map((group): Placement => {
    const settings = { ...server.settings, answer: answerOf(group[0]?.value ?? '') };
    return { ...placement, server: { ...server, settings, locations: [] }, hosts: group, isDefault: false };
  });
  const isRestUsed = others.length > 0 || placement.first === server;
  return [...(isRestUsed ? [{ ...placement, hosts: others }] : []), ...answering];
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
    .flatMap(splitRedirected)
    .map((placement) => buildSite(placement, scene));
}
