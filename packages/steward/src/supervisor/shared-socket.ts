/**
 * Sockets that all instances of a service listen on together (`listen: shared`). Steward opens them, the keeper holds
 * them, and each instance gets a descriptor at its start: connections wait in the socket while nobody serves it.
 */
import type { Endpoint, InstanceSpec } from '../config/model.ts';
import { type SocketAddress, setBacklog, setBlocking } from '../kernel/listening.ts';
import { environmentOf, listenersAt } from '../kernel/process-table.ts';
import type { HeldSocket, Output } from '../output/output.ts';
import { isKeeper } from '../output/output.ts';
import { instanceMark } from './registry.ts';
import { isSocket, makeSocketFolder, openToGroup, removeDeadSocket, setOwner } from './socket.ts';
import { CannotStart, type Identity } from './spawn.ts';

export interface SharedSockets {
  /**
   * The descriptor for a new process of `spec`; `running` are the processes that have one already. Rejects with CannotStart
   * when the address cannot be had.
   */
  open(spec: InstanceSpec, identity: Identity, running: readonly number[]): Promise<number>;
  /** Makes the backlog what the file says: a program's own listen(2) changed it for all. */
  restoreBacklog(spec: InstanceSpec): void;
  /** Closes the sockets of no spec in `specs`. Resolves when their addresses are free; undefined when they are already. */
  keepOnly(specs: readonly InstanceSpec[]): Promise<void> | undefined;
}

export interface SharedSocketsOptions {
  readonly output: Pick<Output, 'borrow' | 'borrowed' | 'hold'>;
  readonly socketGroup: () => number | undefined;
  /** Where a field of a service is written, such as `steward.yaml:4:11`; empty when nobody knows. */
  readonly placeOf: (service: string, field: string) => string;
}

/** How long a backlog may be what a program made it. */
const restoreEveryMs = 5_000;

const addressOf = (endpoint: Endpoint): SocketAddress => {
  if (endpoint.kind === 'unix') return { kind: 'unix', path: endpoint.path };
  const { host } = endpoint.shared ?? {};
  return { kind: 'tcp', port: endpoint.port, ...(host !== undefined && { host }) };
};

const nameOf = (address: SocketAddress): string =>
  address.kind === 'unix' ? `unix ${address.path}` : `tcp ${address.host ?? '*'} ${address.port}`;

/** The socket a spec shares with others; undefined when it listens itself, or not at all. */
export function sharedSocketOf({ endpoint }: Pick<InstanceSpec, 'endpoint'>): HeldSocket | undefined {
  if (endpoint?.shared === undefined) return undefined;
  const address = addressOf(endpoint);
  return { name: nameOf(address), address, backlog: endpoint.shared.backlog };
}

/** Whether a Steward started it. */
const isOurs = (pid: number): boolean => isKeeper(pid) || environmentOf(pid, instanceMark) !== undefined;

const wordsFor = (address: SocketAddress): string =>
  address.kind === 'unix' ? address.path : `port ${address.port}${address.host === undefined ? '' : ` of ${address.host}`}`;

const holdersOf = (address: SocketAddress): ReturnType<typeof listenersAt> =>
  listenersAt(address.kind === 'unix' ? address.path : address.port);

function whoHas(address: SocketAddress): string {
  const [holder] = holdersOf(address);
  if (holder === undefined) return 'another program listens there';
  const instance = environmentOf(holder.pid, instanceMark);
  return `${holder.command} (pid ${holder.pid}${instance === undefined ? '' : `, instance ${instance}`}) listens there`;
}

/** Who listens where a spec should share a socket, when it is a program that no Steward started; undefined when nobody does. */
export function strangerAt(spec: InstanceSpec): { readonly field: 'port' | 'socket'; readonly message: string } | undefined {
  const address = sharedSocketOf(spec)?.address;
  const holders = address === undefined ? [] : holdersOf(address);
  if (address === undefined || holders.length === 0 || holders.some(({ pid }) => isOurs(pid))) return undefined;
  return { field: address.kind === 'unix' ? 'socket' : 'port', message: `${wordsFor(address)} is taken: ${whoHas(address)}` };
}

/** Why an address cannot be had, by the system's code. */
function whyNot(code: string | undefined, address: SocketAddress): string {
  const words = wordsFor(address);
  if (code === 'EADDRINUSE') return `${words} is taken: ${whoHas(address)}`;
  if (code === 'EACCES' && address.kind === 'tcp') return `${words} is for root only: take one from 1024 on, or run Steward as root`;
  if (code === 'EADDRNOTAVAIL') return `this machine has no address ${address.kind === 'tcp' ? address.host : address.path}`;
  return `cannot listen on ${words} (${code})`;
}

export function createSharedSockets({ output, socketGroup, placeOf }: SharedSocketsOptions): SharedSockets {
  let kept: string | undefined;
  let freeing: Promise<void> | undefined;
  let names: readonly string[] = [];
  let sockets: readonly HeldSocket[] = [];
  let restoring: NodeJS.Timeout | undefined;

  /** A program may call listen(2) long after it counts as running, and nobody tells. */
  function restoreAll(): void {
    for (const { name, backlog } of sockets) {
      const fd = output.borrowed(name);
      if (fd !== undefined) setBacklog(fd, backlog);
    }
  }

  function refusal(spec: InstanceSpec, socket: HeldSocket, error: unknown): CannotStart {
    const field = socket.address.kind === 'unix' ? 'socket' : 'port';
    const place = placeOf(spec.service, field);
    const reason = whyNot((error as NodeJS.ErrnoException).code, socket.address);
    return new CannotStart(`${reason} (services.${spec.service}.${field}${place === '' ? '' : `, ${place}`})`);
  }

  /** What a killed program left at the path of a socket is in the way; a living one stays. */
  async function borrow(socket: HeldSocket, running: readonly number[]): Promise<number> {
    try {
      return await output.borrow(socket, running);
    } catch (error) {
      const { address } = socket;
      const isDead = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' && address.kind === 'unix' && isSocket(address.path);
      if (!isDead) throw error;
      await removeDeadSocket(address.path);
      return output.borrow(socket, running);
    }
  }

  /** A socket whose file somebody removed cannot be reached any more: it is opened anew. */
  async function reachable(socket: HeldSocket, running: readonly number[]): Promise<number> {
    const fd = await borrow(socket, running);
    if (socket.address.kind === 'tcp' || isSocket(socket.address.path)) return fd;
    await output.hold(names.filter((name) => name !== socket.name));
    return borrow(socket, []);
  }

  return {
    async open(spec, identity, running) {
      const socket = sharedSocketOf(spec) as HeldSocket;
      const { endpoint } = spec;
      try {
        if (endpoint?.kind === 'unix' && endpoint.owned) makeSocketFolder(endpoint.path, identity, socketGroup());
        const fd = await reachable(socket, running);
        if (endpoint?.kind === 'unix') {
          setOwner(endpoint.path, identity);
          openToGroup(endpoint.path, socketGroup());
        }
        // Whether it blocks belongs to the socket: what the last program wanted may be wrong for the next.
        if (running.length === 0) setBlocking(fd);
        setBacklog(fd, socket.backlog);
        return fd;
      } catch (error) {
        throw refusal(spec, socket, error);
      }
    },
    restoreBacklog(spec) {
      const socket = sharedSocketOf(spec);
      const fd = socket && output.borrowed(socket.name);
      if (socket !== undefined && fd !== undefined) setBacklog(fd, socket.backlog);
    },
    keepOnly(specs) {
      sockets = specs.flatMap((spec) => sharedSocketOf(spec) ?? []);
      names = [...new Set(sockets.map(({ name }) => name))].toSorted();
      clearInterval(restoring);
      if (sockets.length > 0) restoring = setInterval(restoreAll, restoreEveryMs).unref();
      const text = names.join('\n');
      if (text === kept) return freeing;
      kept = text;
      const done = output.hold(names).finally(() => {
        if (freeing === done) freeing = undefined;
      });
      freeing = done;
      return freeing;
    },
  };
}
