/**
 * Which server answers which name on which address, by nginx's rules (https://nginx.org/en/docs/http/request_processing.html):
 * the server marked default_server, else the first of an address, answers all names nobody has; of two servers with one
 * name on one address the first answers; one `ssl` makes the address speak TLS for all its servers.
 */
import type { Given } from '../draft.ts';
import { inherited } from './inherit.ts';
import type { ListenAddress, Scene, ServerLevel } from './scene.ts';

/** A server on those of its addresses where it can be told as one site: same names, same protocol, default or not. */
export interface Placement {
  readonly server: ServerLevel;
  readonly listens: readonly ListenAddress[];
  readonly hosts: readonly Given<string>[];
  readonly tls: boolean;
  /** Marked default_server. */
  readonly isDefault: boolean;
  /** The server whose certificate is shown when this one has none. */
  readonly first: ServerLevel;
}

interface Address {
  ssl: boolean;
  proxyProtocol: boolean;
  marked: ListenAddress | undefined;
  first: ServerLevel;
  readonly names: Map<string, Given<string>>;
}

const keyOf = ({ host, port }: ListenAddress): string => `${host ?? '*'}:${port}`;

const spellings = (name: string): readonly string[] => (name.startsWith('.') ? [name.slice(1), `*${name}`] : [name]);

/** The host names of a server in Steward's spelling; `_` matches no host a client asks for, the empty name those who ask for none. */
function hostsOf(server: ServerLevel): readonly Given<string>[] {
  return server.names
    .filter(({ value }) => value !== '_')
    .flatMap(({ value, at }) => spellings(value.startsWith('~') ? value : value.toLowerCase()).map((host) => ({ value: host, at })));
}

/** Addresses of a server, each once: `listen 80` and `listen [::]:80` are one to Steward. Port 80 when it names none. */
function listensOf(server: ServerLevel): readonly ListenAddress[] {
  if (server.listens.length === 0)
    return server.seen.has('listen') ? [] : [{ port: 80, ssl: false, isDefault: false, proxyProtocol: false, at: server.at }];
  const found = new Map<string, ListenAddress>();
  for (const listen of server.listens) {
    const known = found.get(keyOf(listen));
    found.set(
      keyOf(listen),
      known === undefined
        ? listen
        : {
            ...known,
            ssl: known.ssl || listen.ssl,
            isDefault: known.isDefault || listen.isDefault,
            proxyProtocol: known.proxyProtocol || listen.proxyProtocol,
          },
    );
  }
  return [...found.values()];
}

function readAddresses(scene: Scene): Map<string, Address> {
  const addresses = new Map<string, Address>();
  for (const server of scene.servers) {
    const sslOn = inherited(server, 'tls')?.value === true;
    for (const listen of listensOf(server)) {
      const address = addresses.get(keyOf(listen)) ?? {
        ssl: false,
        proxyProtocol: false,
        marked: undefined,
        first: server,
        names: new Map(),
      };
      addresses.set(keyOf(listen), address);
      address.ssl ||= listen.ssl || sslOn;
      address.proxyProtocol ||= listen.proxyProtocol;
      if (!listen.isDefault) continue;
      if (address.marked !== undefined) {
        const message = `a second default_server for ${keyOf(listen)}, the first is on line ${address.marked.at.line}`;
        scene.error('config/nginx-duplicate', message, listen.at, 'Leave default_server on one of them.');
        continue;
      }
      address.marked = listen;
      address.first = server;
    }
  }
  return addresses;
}

/** Takes names for `listen`, in the order of the file; a name somebody has already is reported and left out. */
function claimNames(scene: Scene, hosts: readonly Given<string>[], address: Address, listen: ListenAddress): readonly Given<string>[] {
  return hosts.filter((host) => {
    const earlier = address.names.get(host.value);
    if (earlier === undefined) address.names.set(host.value, host);
    else if (earlier.at !== host.at) {
      const message = `server_name "${host.value}" stands twice for ${keyOf(listen)}; the server on line ${earlier.at.line} answers it`;
      scene.warning('config/nginx-conflicting-name', message, host.at, 'Take the name out of one of the two servers.');
    }
    return earlier === undefined;
  });
}

function placementsOf(scene: Scene, server: ServerLevel, addresses: ReadonlyMap<string, Address>): readonly Placement[] {
  const groups = new Map<
    string,
    { listens: ListenAddress[]; hosts: readonly Given<string>[]; tls: boolean; isDefault: boolean; first: ServerLevel }
  >();
  for (const listen of listensOf(server)) {
    const address = addresses.get(keyOf(listen)) as Address;
    const hosts = claimNames(scene, hostsOf(server), address, listen);
    if (hosts.length === 0 && address.first !== server) {
      const message = `this server is never used on ${keyOf(listen)}: the server on line ${address.first.at.line} answers every host without a server of its own`;
      scene.warning(
        'config/nginx-never-used',
        message,
        listen.at,
        'Give it a server_name of its own, mark it default_server, or remove it.',
      );
      continue;
    }
    const isDefault = listen.isDefault && address.marked === listenOf(address, listen);
    const key = JSON.stringify([
      address.ssl,
      isDefault,
      address.first === server,
      address.ssl ? scene.servers.indexOf(address.first) : 0,
      hosts.map(({ value }) => value),
    ]);
    const group = groups.get(key) ?? { listens: [], hosts, tls: address.ssl, isDefault, first: address.first };
    group.listens.push({ ...listen, proxyProtocol: address.proxyProtocol });
    groups.set(key, group);
  }
  return [...groups.values()].map((group) => ({ server, ...group }));
}

/** The mark of the address when it stands where `listen` stands. */
const listenOf = (address: Address, listen: ListenAddress): ListenAddress | undefined =>
  address.marked?.at === listen.at ? address.marked : undefined;

/** All servers by what they answer, in the order of the file; who can never answer is reported and left out. */
export function placeServers(scene: Scene): readonly Placement[] {
  const addresses = readAddresses(scene);
  return scene.servers.flatMap((server) => placementsOf(scene, server, addresses));
}
