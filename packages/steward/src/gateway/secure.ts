/**
 * TLS of one port: which certificate a client gets, which protocol is spoken behind it, and whether it is asked for a
 * certificate of its own. Certificates are swapped in place; connections stay.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Problem } from '../config/problem.ts';
import { alpnProtocol, challengeHandshake, noChallenges } from './acme/challenges.ts';
import type { GatewayErrorCode } from './errors.ts';
import { type CompiledListener, matchSite } from './match.ts';
import type { RouteTable } from './table.ts';

/** Forward secrecy and authenticated encryption only: what browsers since 2014 speak. */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

interface Known {
  readonly text: string;
  readonly context: tls.SecureContext;
}

export interface SecurePort {
  /** Begins TLS on a connection; `onSecure` gets it once keys are agreed. Whatever fails closes it. */
  accept(socket: Socket): void;
  /** Takes the certificates of the port's sites; one that cannot be used leaves the one before it in place. */
  apply(listener: CompiledListener, table: RouteTable): Problem<GatewayErrorCode>[];
}

interface Options {
  readonly name: string;
  readonly handshakeTimeoutMs: number;
  onSecure(socket: TLSSocket): void;
}

export function createSecurePort({ name, handshakeTimeoutMs, onSecure }: Options): SecurePort {
  const contexts = new Map<string, Known>();
  let listener: CompiledListener | undefined;
  let table: RouteTable | undefined;
  let asks = false;

  const pickContext = (host: string, done: (error: Error | null, context?: tls.SecureContext) => void): void => {
    const site = listener === undefined ? undefined : matchSite(listener, host.toLowerCase());
    done(null, site === undefined ? undefined : contexts.get(keyOf(site.entry))?.context);
  };
  const pickProtocol = (protocols: readonly string[]): string | undefined =>
    table?.gateway.http2 !== false && protocols.includes('h2') ? 'h2' : ['http/1.1', 'http/1.0'].find((one) => protocols.includes(one));
  const createServer = (requestCert: boolean): tls.Server => {
    const server = tls.createServer({
      ciphers,
      honorCipherOrder: true,
      minVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
      handshakeTimeout: handshakeTimeoutMs,
      requestCert,
      rejectUnauthorized: false,
      allowHalfOpen: true,
      ...challengeHandshake(() => table?.challenges ?? noChallenges, { certificate: pickContext, protocol: pickProtocol }),
    });
    server.on('secureConnection', (socket) => (socket.alpnProtocol === alpnProtocol ? void socket.end() : onSecure(socket)));
    server.on('tlsClientError', (_error, socket) => socket.destroy());
    return server;
  };
  const plain = createServer(false);
  const asking = createServer(true);

  return {
    accept: (socket) => void (asks ? asking : plain).emit('connection', socket),
    apply: (nextListener, nextTable) => {
      listener = nextListener;
      table = nextTable;
      const sites = nextListener.entry.sites.flatMap((index) => nextTable.sites[index] ?? []);
      asks = sites.some(({ clientCertificates }) => clientCertificates !== undefined);
      const wanted = new Map(sites.map((site) => [keyOf(site), site]));
      for (const key of contexts.keys()) if (!wanted.has(key)) contexts.delete(key);
      const problems: Problem<GatewayErrorCode>[] = [];
      for (const [key, site] of wanted) {
        const options = optionsOf(site, nextTable);
        if (options === undefined || contexts.get(key)?.text === JSON.stringify(options)) continue;
        try {
          contexts.set(key, { text: JSON.stringify(options), context: tls.createSecureContext(options) });
        } catch (cause) {
          problems.push(refused(name, site.certificate ?? '', cause));
        }
      }
      applyDefault(nextListener, nextTable, sites, contexts, [plain, asking]);
      return problems;
    },
  };
}

type Site = RouteTable['sites'][number];

/** Sites with the same certificate, authorities and versions share a context. */
const keyOf = (site: Pick<Site, 'certificate' | 'clientCertificates' | 'tlsVersions'>): string =>
  `${site.certificate ?? ''}\n${site.clientCertificates?.ca ?? ''}\n${site.tlsVersions?.least ?? ''}`;

function optionsOf(site: Site, table: RouteTable): tls.SecureContextOptions | undefined {
  const pair = site.certificate === undefined ? undefined : table.certificates[site.certificate];
  if (pair === undefined) return undefined;
  const ca = site.clientCertificates === undefined ? undefined : table.files[site.clientCertificates.ca];
  return {
    cert: pair.cert,
    key: pair.key,
    ciphers,
    honorCipherOrder: true,
    minVersion: site.tlsVersions?.least ?? 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION,
    ...(ca !== undefined && { ca }),
  };
}

/** Who names no host, or one of nobody's, gets the default site's certificate. */
function applyDefault(
  listener: CompiledListener,
  table: RouteTable,
  sites: readonly Site[],
  contexts: ReadonlyMap<string, Known>,
  servers: readonly tls.Server[],
): void {
  const usable = sites.filter((site) => contexts.has(keyOf(site)));
  const first = usable.find((site) => site === listener.fallback.entry) ?? usable[0];
  const options = first === undefined ? undefined : optionsOf(first, table);
  if (options === undefined) return;
  for (const server of servers) {
    server.setSecureContext(options);
    if (table.ticketKeys !== undefined) server.setTicketKeys(Buffer.from(table.ticketKeys, 'base64'));
  }
}

function refused(port: string, certificate: string, cause: unknown): Problem<GatewayErrorCode> {
  const why = cause instanceof Error ? cause.message : String(cause);
  return {
    severity: 'error',
    code: 'gateway/certificate-refused',
    message: `${port}: the certificate ${certificate} cannot be used: ${why}`,
    hint: 'Look at the key and certificate files with openssl.',
  };
}
