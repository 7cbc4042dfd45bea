/** Where an instance is reached, as written → as an address. Pure. */
import { isIP } from 'node:net';
import { join } from 'node:path';
import type { Endpoint, SharedSpec } from './model.ts';
import type { ServiceSource } from './sections/service.ts';
import type { ServiceDraft } from './service-draft.ts';

const standardBacklog = 4096;
/** The path of a unix socket must fit into sun_path (unix(7)). */
const longestSocketPath = 107;

function sharedOf(draft: ServiceDraft, { listen, port, socket }: ServiceSource): SharedSpec | undefined {
  if (listen === undefined) return undefined;
  if (port === undefined && !socket)
    draft.tell('/listen', 'config/shared-socket', 'it does not say where to listen', 'Add port: NUMBER or socket: true.');
  const { host, backlog = standardBacklog } = listen === 'shared' ? {} : listen;
  if (host !== undefined && (isIP(host) === 0 || host.includes('%')))
    draft.tell('/listen/host', 'config/address', `"${host}" is no IP address`, 'Write one such as 127.0.0.1, or leave it out for all.');
  if (host !== undefined && port === undefined)
    draft.tell('/listen/host', 'config/shared-socket', 'a unix socket has no host', 'Take it away, or give the service a port.');
  return { ...(host !== undefined && { host }), backlog };
}

/** Where a client on this machine reaches what listens on `host`. */
const hostToAsk = (host: string | undefined): string => (host === undefined || host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host);

function portOf(draft: ServiceDraft, first: number, shared: SharedSpec | undefined): Endpoint {
  const { number, count, standIn } = draft.naming;
  if (shared !== undefined) return { kind: 'tcp', host: hostToAsk(shared.host), port: first, shared };
  if (standIn !== undefined) return { kind: 'tcp', host: '127.0.0.1', port: standIn.port };
  const last = first + count - 1;
  if (last > 65535)
    draft.tell('/port', 'config/out-of-range', `the last of ${count} instances would get port ${last}`, 'Begin with a lower port.');
  return { kind: 'tcp', host: '127.0.0.1', port: first + number - draft.firstNumber };
}

function socketOf(draft: ServiceDraft, socket: true | string, shared: SharedSpec | undefined): Endpoint {
  const { service, number, standIn } = draft.naming;
  const owned = socket === true;
  const file = shared !== undefined ? 'shared.sock' : standIn === undefined ? `${number}.sock` : 'stand-in.sock';
  const given = owned ? join(draft.scope.socketFolder, service, file) : draft.path(socket, '/socket');
  const path = owned || shared !== undefined || standIn === undefined ? given : `${given}.stand-in`;
  if (Buffer.byteLength(path) > longestSocketPath)
    draft.tell(
      '/socket',
      'config/socket-path',
      `the path ${path} is longer than ${longestSocketPath} bytes`,
      'Linux allows no longer one: use a shorter folder.',
    );
  return { kind: 'unix', path, owned, ...(shared !== undefined && { shared }) };
}

export function endpointOf(draft: ServiceDraft, source: ServiceSource): Endpoint | undefined {
  if (source.port !== undefined && source.socket)
    draft.tell('/socket', 'config/two-endpoints', 'a service has a port or a socket, not both', 'Take one of them away.');
  const shared = sharedOf(draft, source);
  if (source.port !== undefined) return portOf(draft, source.port, shared);
  return source.socket ? socketOf(draft, source.socket, shared) : undefined;
}
