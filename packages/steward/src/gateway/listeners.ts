/**
 * The open ports of one worker. A new table opens what is missing, lets go of what is not in it any more (requests under way
 * finish), and swaps certificates in place: connections stay.
 *
 *   wanted ── listen ──► open ── not in the table ──► closing ── last request answered ──► gone
 *      ▲          └─ refused ─┐
 *      └──────── 1 s ─────────┘
 */
import http from 'node:http';
import https from 'node:https';
import net, { type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { Problem } from '../config/problem.ts';
import type { GatewayErrorCode } from './errors.ts';
import type { Exchange, Port } from './exchange.ts';
import { type CompiledListener, type CompiledTable, matchSite } from './match.ts';
import { statusText } from './pages.ts';
import { maxHeaders, type Serve } from './serve.ts';
import { type ListenerEntry, listenerName } from './table.ts';
import { mayUpgrade } from './upgrade.ts';

const retryMs = 1_000;
const maxHeaderBytes = 16 * 1024;
/** How often connections that send no request are looked for; Node's own 30 s would let them sit twice as long as told. */
const watchMs = 2_000;
/** Connections are closed as they fall idle while a port is closing. */
const closingLookMs = 50;
const quietMs = 1_000;

interface OpenPort {
  readonly entry: ListenerEntry;
  readonly port: Port;
  readonly server: http.Server | https.Server;
  readonly contexts: Contexts | undefined;
  retry: NodeJS.Timeout | undefined;
  problem: Problem | undefined;
}

type Contexts = Map<string, { readonly pem: string; readonly context: tls.SecureContext }>;

export interface Listeners {
  /** Opens, keeps and closes ports by `table`. Resolves when each has been tried. Never rejects. */
  apply(table: CompiledTable): Promise<void>;
  /** Of the ports that are not open, and of certificates. */
  problems(): Problem[];
  /** Accepts nothing more. Resolves when every request is answered, or after `graceMs`, cutting off the rest. */
  close(graceMs: number): Promise<void>;
}

/** Ports that hand their requests to `serve`. `onChange` is called when a port opens or fails that nobody waits for. */
export function createListeners(serve: Serve, log: (line: string) => void, onChange: () => void): Listeners {
  const open = new Map<string, OpenPort>();
  const closing = new Set<Promise<void>>();
  let certificateProblems: Problem[] = [];
  const nameOf = (entry: ListenerEntry): string => `${listenerName(entry)}${entry.tls ? ' tls' : ''}`;

  const retry = async (made: OpenPort): Promise<void> => {
    const before = made.problem?.code;
    await start(made);
    if (made.problem?.code !== before) onChange();
  };
  const start = async (made: OpenPort): Promise<void> => {
    const before = made.problem;
    made.problem = await listen(made);
    if (made.problem === undefined) {
      if (before !== undefined) log(`listening on ${made.port.name} now`);
      return;
    }
    if (before?.code !== made.problem.code) log(made.problem.message);
    if (!made.port.closing) made.retry = setTimeout(() => void retry(made), retryMs);
  };

  const stop = (made: OpenPort): void => {
    made.port.closing = true;
    clearTimeout(made.retry);
    const done = closeServer(made.server).finally(() => closing.delete(done));
    closing.add(done);
  };

  return {
    apply: async (table) => {
      certificateProblems = [];
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
        const made = known ?? createPort(listener.entry, serve);
        applyLimits(made, table);
        certificateProblems.push(...applyCertificates(made, listener, table));
        if (known !== undefined) continue;
        open.set(name, made);
        starts.push(start(made));
      }
      await Promise.all(starts);
    },
    problems: () => [...certificateProblems, ...[...open.values()].flatMap(({ problem }) => problem ?? [])],
    close: async (graceMs) => {
      for (const made of open.values()) stop(made);
      const servers = [...open.values()].map(({ server }) => server);
      open.clear();
      const late = new Promise<void>((resolve) => setTimeout(resolve, graceMs).unref());
      await Promise.race([Promise.all(closing), late]);
      for (const server of servers) server.closeAllConnections();
    },
  };
}

function createPort(entry: ListenerEntry, serve: Serve): OpenPort {
  const port: Port = {
    name: listenerName(entry),
    number: entry.port,
    tls: entry.tls,
    closing: false,
    stallMs: 0,
    onQuiet: (socket) => void (socket.writableLength > 0 ? socket.destroy() : socket.setTimeout(port.stallMs)),
  };
  const contexts: Contexts | undefined = entry.tls ? new Map() : undefined;
  const options: http.ServerOptions = {
    maxHeaderSize: maxHeaderBytes,
    requestTimeout: 0,
    connectionsCheckingInterval: watchMs,
    noDelay: true,
    shouldUpgradeCallback: (req) => mayUpgrade(req.headers.upgrade),
  };
  const server =
    contexts === undefined
      ? http.createServer(options)
      : https.createServer({
          ...options,
          minVersion: 'TLSv1.2',
          ALPNProtocols: ['http/1.1'],
          SNICallback: pickContext(serve, port, contexts),
        });
  // One more than is taken, so that too many can be told from just enough.
  server.maxHeadersCount = maxHeaders + 1;
  server.on('request', (req, res) => serve.request(req, res, port, false));
  server.on('checkContinue', (req, res) => serve.request(req, res, port, true));
  server.on('checkExpectation', (req, res) => serve.request(req, res, port, false));
  server.on('upgrade', (req, socket, head) => serve.upgrade(req, socket, head, port));
  server.on('connect', (_req, socket) => refuse(socket, 405));
  server.on('clientError', (error, socket) => onBadRequest(error, socket, serve));
  return { entry, port, server, contexts, retry: undefined, problem: undefined };
}

/** The certificate of the site that answers `name`; nothing means the port's default certificate. */
function pickContext(
  serve: Serve,
  port: Port,
  contexts: Contexts,
): (name: string, done: (error: Error | null, context?: tls.SecureContext) => void) => void {
  return (name, done) => {
    const listener = serve.table?.listeners.get(port.name);
    const certificate = listener === undefined ? undefined : matchSite(listener, name.toLowerCase()).entry.certificate;
    done(null, certificate === undefined ? undefined : contexts.get(certificate)?.context);
  };
}

const statusOfError: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** What is no HTTP gets one answer and the end of its connection; what is no TLS on a TLS port gets just the end. */
function onBadRequest(error: NodeJS.ErrnoException, socket: Duplex, serve: Serve): void {
  const code = error.code ?? '';
  const status = statusOfError[code] ?? (code.startsWith('HPE_') ? 400 : undefined);
  const exchange: Exchange | undefined = serve.exchangeOn(socket as Socket);
  if (status !== undefined) serve.noteMalformed();
  if (status === undefined || !socket.writable || exchange?.res.headersSent === true) return void socket.destroy();
  if (exchange !== undefined) exchange.status = status;
  refuse(socket, status);
}

function refuse(socket: Duplex, status: number): void {
  const text = `${status} ${statusText(status)}\n`;
  socket.on('error', () => {});
  socket.end(
    `HTTP/1.1 ${status} ${statusText(status)}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  );
  // What the client still sends is read for a moment: closing on unread bytes would reset the answer away.
  socket.resume();
  setTimeout(() => socket.destroy(), 500).unref();
}

function applyLimits({ server, port }: OpenPort, { table }: CompiledTable): void {
  port.stallMs = table.stallTimeoutMs;
  server.timeout = table.stallTimeoutMs;
  server.headersTimeout = table.headerTimeoutMs;
  server.keepAliveTimeout = table.idleTimeoutMs;
}

/** Takes the certificates of the listener's sites. One that cannot be used leaves the one before it in place. */
function applyCertificates(
  { contexts, server, port }: OpenPort,
  listener: CompiledListener,
  { table }: CompiledTable,
): Problem<GatewayErrorCode>[] {
  if (contexts === undefined) return [];
  const problems: Problem<GatewayErrorCode>[] = [];
  const names = new Set(listener.entry.sites.map((index) => table.sites[index]?.certificate).filter((name) => name !== undefined));
  for (const name of contexts.keys()) if (!names.has(name)) contexts.delete(name);
  for (const name of names) {
    const pair = table.certificates[name];
    const pem = pair === undefined ? '' : pair.cert + pair.key;
    if (pair === undefined || contexts.get(name)?.pem === pem) continue;
    try {
      contexts.set(name, { pem, context: tls.createSecureContext({ cert: pair.cert, key: pair.key, minVersion: 'TLSv1.2' }) });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      problems.push({
        severity: 'error',
        code: 'gateway/certificate-refused',
        message: `${port.name}: the certificate ${name} cannot be used: ${why}`,
        hint: 'Look at the key and certificate files with openssl.',
      });
    }
  }
  const first = listener.fallback.entry.certificate ?? [...names][0];
  const pair = first === undefined ? undefined : table.certificates[first];
  if (pair !== undefined && first !== undefined && contexts.has(first))
    (server as https.Server).setSecureContext({ cert: pair.cert, key: pair.key, minVersion: 'TLSv1.2' });
  return problems;
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
    server.listen({ port: entry.port, ...(entry.host === undefined ? {} : { host: entry.host }), reusePort: true, backlog: 4096 });
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
 * Stops accepting; resolves when the last connection is gone. Node's own close() would at once cut off every connection that
 * waits for its next request, among them those whose request is on its way: here each gets `quietMs` in which an answer can
 * still tell it to close. Measured over 20 restarts of one of two workers, with 16 busy clients: 132 resets that way,
 * 12 this way (all of them connections not yet accepted; none with net.ipv4.tcp_migrate_req=1).
 */
function closeServer(server: http.Server): Promise<void> {
  if (!server.listening) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const quietUntil = performance.now() + quietMs;
  const look = setInterval(() => {
    if (performance.now() >= quietUntil) server.closeIdleConnections();
  }, closingLookMs);
  // After this turn of the event loop the connections that had been waiting to be accepted are accepted.
  setImmediate(() =>
    net.Server.prototype.close.call(server, () => {
      clearInterval(look);
      server.close(() => {});
      resolve();
    }),
  );
  return promise;
}
