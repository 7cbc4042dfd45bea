/**
 * The open ports of one worker. A new table opens what is missing, lets go of what is not in it any more (requests under way
 * finish), and swaps certificates in place: connections stay.
 *
 *   wanted ── listen ──► open ── not in the table ──► closing ── last request answered ──► gone
 *      ▲          └─ refused ─┐
 *      └──────── 1 s ─────────┘
 */
import net, { type Socket } from 'node:net';
import type { Problem } from '../../config/problem.ts';
import type { GatewayErrorCode } from '../errors.ts';
import type { CompiledTable } from '../match.ts';
import { type ListenerEntry, listenerName } from '../table.ts';
import { lookForTls, type Open, speak, takeProxyHeader } from './accept.ts';
import type { Deadlines } from './deadlines.ts';
import type { Receiver } from './http1/client-connection.ts';
import type { Limits, Port } from './port.ts';
import { createSecurePort, type SecurePort } from './secure.ts';

const retryMs = 1_000;
/** Connections are closed as they fall idle while a port is closing. */
const closingLookMs = 50;
const quietMs = 1_000;
const backlog = 4096;

interface OpenPort {
  readonly entry: ListenerEntry;
  readonly port: Port;
  readonly server: net.Server;
  readonly secure: SecurePort | undefined;
  readonly connections: Set<Open>;
  retry: NodeJS.Timeout | undefined;
  problem: Problem | undefined;
}

export interface Listeners {
  /** Opens, keeps and closes ports by `table`. Resolves when each has been tried. Never rejects. */
  apply(table: CompiledTable): Promise<void>;
  /** Of the ports that are not open, and of certificates. */
  problems(): Problem[];
  /** Connections that are open now. */
  connections(): number;
  /** Accepts nothing more. Resolves when every request is answered, or after `graceMs`, cutting off the rest. */
  close(graceMs: number): Promise<void>;
}

export interface ListenerParts {
  readonly receiver: Receiver;
  readonly deadlines: Deadlines;
  /** One line for the error log. */
  readonly log: (line: string) => void;
  /** A port opened or failed that nobody waited for. */
  readonly onChange: () => void;
}

export function createListeners(parts: ListenerParts): Listeners {
  const open = new Map<string, OpenPort>();
  const closing = new Set<Promise<void>>();
  const closingPorts = new Set<OpenPort>();
  const limits: Limits = { headerTimeoutMs: 60_000, stallTimeoutMs: 60_000, idleTimeoutMs: 75_000, maxHeaderBytes: 16_384 };
  let certificateProblems: Problem[] = [];

  const retry = async (made: OpenPort): Promise<void> => {
    const before = made.problem?.code;
    await start(made);
    if (made.problem?.code !== before) parts.onChange();
  };
  const start = async (made: OpenPort): Promise<void> => {
    const before = made.problem;
    made.problem = await listen(made);
    if (made.port.closing) return void made.server.close();
    if (made.problem === undefined) {
      if (before !== undefined) parts.log(`listening on ${made.port.name} now`);
      return;
    }
    if (before?.code !== made.problem.code) parts.log(made.problem.message);
    if (!made.port.closing) made.retry = setTimeout(() => void retry(made), retryMs);
  };
  const stop = (made: OpenPort): void => {
    made.port.closing = true;
    clearTimeout(made.retry);
    closingPorts.add(made);
    const done = closePort(made).finally(() => {
      closing.delete(done);
      closingPorts.delete(made);
    });
    closing.add(done);
  };

  return {
    apply: async (table) => {
      certificateProblems = [];
      const { headerTimeoutMs, stallTimeoutMs, idleTimeoutMs, maxHeaderBytes } = table.table.gateway;
      Object.assign(limits, { headerTimeoutMs, stallTimeoutMs, idleTimeoutMs, maxHeaderBytes });
      const wanted = new Set([...table.listeners.values()].map(({ entry }) => nameOf(entry)));
      for (const [name, made] of open) {
        if (wanted.has(name)) continue;
        open.delete(name);
        stop(made);
      }
      const starts: Promise<void>[] = [];
      for (const listener of table.listeners.values()) {
        const name = nameOf(listener.entry);
        const known = open.get(name);
        const made = known ?? createPort(listener.entry, limits, parts);
        certificateProblems.push(...(made.secure?.apply(listener, table.table) ?? []));
        if (known !== undefined) continue;
        open.set(name, made);
        starts.push(start(made));
      }
      await Promise.all(starts);
    },
    problems: () => [...certificateProblems, ...[...open.values()].flatMap(({ problem }) => problem ?? [])],
    connections: () => [...open.values(), ...closingPorts].reduce((sum, { connections }) => sum + connections.size, 0),
    close: async (graceMs) => {
      const ports = [...open.values()];
      for (const made of ports) stop(made);
      open.clear();
      const late = new Promise<void>((resolve) => setTimeout(resolve, graceMs).unref());
      await Promise.race([Promise.all(closing), late]);
      for (const { connections } of ports) for (const connection of connections) connection.destroy();
    },
  };
}

/** A port that changes its protocol is another port. */
const nameOf = (entry: ListenerEntry): string =>
  `${listenerName(entry)}${entry.tls ? ' tls' : ''}${entry.proxyProtocol === true ? ' proxied' : ''}`;

function createPort(entry: ListenerEntry, limits: Limits, { receiver, deadlines }: ListenerParts): OpenPort {
  const port: Port = { name: listenerName(entry), number: entry.port, tls: entry.tls, limits, deadlines, closing: false };
  const connections = new Set<Open>();
  const begin = (socket: Socket): void =>
    void connections.add(
      speak(socket, port, receiver, (gone) => {
        connections.delete(gone);
        receiver.closed();
      }),
    );
  const securePort = entry.tls
    ? createSecurePort({ name: port.name, handshakeTimeoutMs: limits.headerTimeoutMs, onSecure: begin })
    : undefined;
  const go = (socket: Socket): void => {
    if (securePort === undefined) return begin(socket);
    lookForTls(
      socket,
      limits.headerTimeoutMs,
      () => securePort.accept(socket),
      () => begin(socket),
    );
  };
  const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: false }, (raw) => {
    if (entry.proxyProtocol === true) takeProxyHeader(raw, limits.headerTimeoutMs, () => go(raw));
    else go(raw);
  });
  return { entry, port, server, secure: securePort, connections, retry: undefined, problem: undefined };
}

/** Opens the port; the problem when it cannot be. Never rejects. */
function listen({ entry, server }: OpenPort): Promise<Problem | undefined> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      server.off('listening', opened);
      resolve(listenProblem(listenerName(entry), entry.port, error));
    };
    const opened = (): void => {
      server.off('error', failed);
      server.on('error', () => {});
      resolve(undefined);
    };
    server.once('error', failed).once('listening', opened);
    server.listen({ port: entry.port, ...(entry.host === undefined ? {} : { host: entry.host }), reusePort: true, backlog });
  });
}

function listenProblem(name: string, port: number, error: NodeJS.ErrnoException): Problem {
  const problem = (code: GatewayErrorCode, why: string, hint: string): Problem => ({
    severity: 'error',
    code,
    message: `cannot listen on ${name}: ${why}`,
    hint,
  });
  if (error.code === 'EADDRINUSE')
    return problem(
      'gateway/listen-in-use',
      'another program has the port',
      `Stop it (\`ss -ltnp 'sport = :${port}'\` names it) or choose another port. Steward tries again each second.`,
    );
  if (error.code === 'EACCES')
    return problem(
      'gateway/listen-denied',
      'permission denied',
      'Ports under 1024 need CAP_NET_BIND_SERVICE: run Steward as root or choose a higher port.',
    );
  if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND')
    return problem(
      'gateway/listen-address',
      'this machine does not have that address',
      'Choose one of its own addresses, or leave the address out to listen on all.',
    );
  return problem('gateway/listen-failed', error.message, 'Steward tries again each second.');
}

/**
 * Stops accepting; resolves when the last connection is gone. A connection that waits for its next request gets `quietMs` in
 * which an answer can still tell it to close: cutting it off at once would meet requests that are on their way. Measured over
 * 20 restarts of one of two workers, with 16 busy clients: 132 resets when cut off, 12 this way (all of them connections not
 * yet accepted; none with net.ipv4.tcp_migrate_req=1).
 */
function closePort({ server, connections }: OpenPort): Promise<void> {
  if (!server.listening) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const quietUntil = performance.now() + quietMs;
  let stopped = false;
  const look = setInterval(() => {
    if (performance.now() >= quietUntil) for (const connection of connections) connection.closeWhenIdle();
    if (!stopped || connections.size > 0) return;
    clearInterval(look);
    resolve();
  }, closingLookMs);
  // After this turn of the event loop the connections that had been waiting to be accepted are accepted.
  setImmediate(() => {
    server.close();
    stopped = true;
  });
  return promise;
}
