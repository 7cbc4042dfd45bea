/**
 * Which virtual host answers which name on which address (https://httpd.apache.org/docs/2.4/vhosts/details.html): the first one
 * of an address answers every name no other has and decides whether the address speaks TLS; of two with one name the first
 * answers.
 */
import type { Given } from '../draft.ts';
import { inherited, type ListenAddress, type Scene, type Server } from './scene.ts';

/** A server on those of its addresses where it answers the same names. */
export interface Placement {
  readonly server: Server;
  readonly listens: readonly ListenAddress[];
  readonly hosts: readonly Given<string>[];
}

interface Address {
  readonly first: Server;
  readonly names: Map<string, Server>;
}

const keyOf = ({ host, port }: ListenAddress): string => `${host ?? '*'}:${port}`;

/** Whether SSLEngine is on. */
export const speaksTls = (server: Server): boolean => inherited(server, 'ssl')?.value === true;

/** A ServerName, then the aliases; a virtual host takes no name from the main server. */
function hostsOf({ own }: Server): readonly Given<string>[] {
  const all = [...(own.name === undefined ? [] : [own.name]), ...own.aliases];
  return all.filter((host, index) => all.findIndex(({ value }) => value === host.value) === index);
}

/** Addresses with a port, each once; `<VirtualHost *>` is on every port that Apache listens on, else 80. */
function listensOf(server: Server, scene: Scene): readonly ListenAddress[] {
  const found = new Map<string, ListenAddress>();
  for (const { host, port, at } of server.addresses) {
    const ports = port !== undefined ? [port] : scene.listens.length > 0 ? scene.listens.map((listen) => listen.port) : [80];
    for (const one of ports) {
      const listen = { ...(host === undefined ? {} : { host }), port: one, at };
      if (!found.has(keyOf(listen))) found.set(keyOf(listen), listen);
    }
  }
  return [...found.values()];
}

/** Whether `server` can answer on an address that others have too; why not is told. */
function fits(server: Server, listen: ListenAddress, { first }: Address, scene: Scene): boolean {
  if (first === server || speaksTls(first) === speaksTls(server)) return true;
  const [one, other] = speaksTls(first) ? ['speaks TLS', 'does not'] : ['does not speak TLS', 'does'];
  const message = `this virtual host is never used on ${keyOf(listen)}: the one on line ${first.at.line} has the same address and ${one}, this one ${other}`;
  scene.warning(
    'config/apache-never-used',
    message,
    listen.at,
    'One address has one setting of SSLEngine: give one of the two another port, or remove it.',
  );
  return false;
}

function claimNames(server: Server, listen: ListenAddress, address: Address, scene: Scene): readonly Given<string>[] | undefined {
  const all = hostsOf(server);
  const hosts = all.filter(({ value }) => !address.names.has(value));
  const isFirst = address.first === server;
  if (hosts.length === 0 && !isFirst) {
    const owner = address.names.get(all[0]?.value ?? '') ?? address.first;
    const why = all.length === 0 ? 'and no ServerName tells them apart' : 'and the same names';
    const message = `this virtual host is never used on ${keyOf(listen)}: the one on line ${owner.at.line} has the same address ${why}`;
    scene.warning('config/apache-never-used', message, listen.at, 'Give it a ServerName of its own or another port, or remove it.');
    return undefined;
  }
  for (const host of all) {
    const owner = address.names.get(host.value);
    if (owner === undefined) address.names.set(host.value, server);
    else {
      const message = `"${host.value}" on ${keyOf(listen)} is answered by the virtual host on line ${owner.at.line}`;
      scene.warning('config/apache-never-used', message, host.at, 'Take the name out of one of the two.');
    }
  }
  return hosts;
}

/** A port that is not among those the file listens on gets no connections in Apache. */
function tellSilentPort(listen: ListenAddress, scene: Scene): void {
  if (scene.listens.length === 0 || scene.listens.some(({ port }) => port === listen.port)) return;
  const hint = `Steward listens on it. Add Listen ${listen.port}, or remove the virtual host.`;
  scene.warning('config/apache-value', `Apache does not listen on ${listen.port}: no Listen names it`, listen.at, hint);
}

function place(server: Server, addresses: Map<string, Address>, scene: Scene): readonly Placement[] {
  const groups = new Map<string, { listens: ListenAddress[]; hosts: readonly Given<string>[] }>();
  for (const listen of listensOf(server, scene)) {
    const address = addresses.get(keyOf(listen)) ?? { first: server, names: new Map() };
    addresses.set(keyOf(listen), address);
    tellSilentPort(listen, scene);
    const hosts = fits(server, listen, address, scene) ? claimNames(server, listen, address, scene) : undefined;
    if (hosts === undefined) continue;
    const key = JSON.stringify(hosts.map(({ value }) => value));
    const group = groups.get(key) ?? { listens: [], hosts };
    group.listens.push(listen);
    groups.set(key, group);
  }
  return [...groups.values()].map((group) => ({ server, ...group }));
}

/** The main server with the ports no virtual host is on, when it has anything to serve. */
function mainServer(scene: Scene): readonly Server[] {
  const { root, passes, redirects, folders } = scene.main.own;
  const rewrites = scene.main.settings.rewrites.length;
  const located = scene.main.sections.filter(({ settings }) => settings.pass !== undefined).length;
  if (root === undefined && passes.length + located + redirects.length + folders.length + rewrites === 0) return [];
  const taken = new Set(scene.hosts.flatMap((host) => listensOf(host, scene)).map(({ port }) => port));
  const free = scene.listens.filter(({ port }) => !taken.has(port));
  if (scene.listens.length === 0 && scene.hosts.length === 0)
    return [{ ...scene.main, addresses: [{ port: 80, at: root?.at ?? scene.main.at }] }];
  return free.length === 0 ? [] : [{ ...scene.main, addresses: free }];
}

/** All servers by what they answer, in the order of the file; who can never answer is told and left out. */
export function placeServers(scene: Scene): readonly Placement[] {
  const addresses = new Map<string, Address>();
  return [...mainServer(scene), ...scene.hosts].flatMap((server) => place(server, addresses, scene));
}
