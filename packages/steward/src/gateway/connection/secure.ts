/**
 * TLS of one port: which certificate a client gets, which protocol is spoken behind it, and whether it is asked for a
 * certificate of its own. Certificates are swapped in place; connections stay.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Problem } from '../../config/problem.ts';
import { alpnProtocol, challengeHandshake, noChallenges } from '../certificates/acme/challenges.ts';
import type { GatewayErrorCode } from '../errors.ts';
import { type CompiledListener, matchSite } from '../match.ts';
import type { RouteTable } from '../table.ts';

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

/** The first is safe from the quantum computers of the future; none has less than 128 bits. */
const groups = 'X25519MLKEM768:X25519:P-256:P-384:P-521';

const plainOptions = constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION;
/**
 * A resumed session brings along that its certificate was found good, but not by which site's authorities: where clients are
 * asked for certificates, each connection shows them anew.
 */
const askingOptions = plainOptions | constants.SSL_OP_NO_TICKET;
/** The same for all workers, so that each resumes the sessions of the others. */
const sessionIdContext = 'gateway';

/** By connection: the file of the authorities that its client's certificate was checked with. */
const authorities = new WeakMap<TLSSocket, string>();

/** The file of the authorities that a client's certificate was checked with; undefined when its site asks for none. */
export const checkedWith = (socket: TLSSocket): string | undefined => authorities.get(socket);

interface Known {
  readonly text: string;
  readonly options: tls.SecureContextOptions;
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
  let shownByDefault = '';
  /** Whose certificate and authorities are used for hosts of nobody's. */
  let defaultSite: Site | undefined;

  const siteFor = (host: string): Site | undefined => {
    const site = listener === undefined || host === '' ? undefined : matchSite(listener, host.toLowerCase()).entry;
    return site !== undefined && contexts.has(keyOf(site)) ? site : defaultSite;
  };
  const pickContext = (host: string, done: (error: Error | null, context?: tls.SecureContext) => void): void => {
    const site = siteFor(host);
    done(null, site === undefined ? undefined : contexts.get(keyOf(site))?.context);
  };
  const take = (socket: TLSSocket): void => {
    if (socket.alpnProtocol === alpnProtocol) return void socket.end();
    const site = siteFor(typeof socket.servername === 'string' ? socket.servername : '');
    // The version is agreed on before the host is known.
    if (site?.tlsVersions?.least === 'TLSv1.3' && socket.getProtocol() !== 'TLSv1.3') return void socket.destroy();
    if (site?.clientCertificates !== undefined) authorities.set(socket, site.clientCertificates.ca);
    onSecure(socket);
  };
  const pickProtocol = (protocols: readonly string[]): string | undefined =>
    table?.gateway.http2 !== false && protocols.includes('h2') ? 'h2' : ['http/1.1', 'http/1.0'].find((one) => protocols.includes(one));
  const createServer = (requestCert: boolean): tls.Server => {
    const server = tls.createServer({
      ciphers,
      ecdhCurve: groups,
      honorCipherOrder: true,
      minVersion: 'TLSv1.2',
      secureOptions: requestCert ? askingOptions : plainOptions,
      sessionIdContext,
      handshakeTimeout: handshakeTimeoutMs,
      requestCert,
      rejectUnauthorized: false,
      allowHalfOpen: true,
      ...challengeHandshake(() => table?.challenges ?? noChallenges, { certificate: pickContext, protocol: pickProtocol }),
    });
    server.on('secureConnection', take);
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
          contexts.set(key, { text: JSON.stringify(options), options, context: tls.createSecureContext(options) });
        } catch (cause) {
          problems.push(refused(name, site.certificate ?? '', cause));
        }
      }
      const usable = sites.filter((site) => contexts.has(keyOf(site)));
      defaultSite = usable.find((site) => site === nextListener.fallback.entry) ?? usable[0];
      const options = defaultSite === undefined ? undefined : contexts.get(keyOf(defaultSite))?.options;
      if (options === undefined) return problems;
      // A site of its own may ask for more, see `take`.
      const minVersion = usable.every(({ tlsVersions }) => tlsVersions?.least === 'TLSv1.3') ? 'TLSv1.3' : 'TLSv1.2';
      const text = JSON.stringify([options, minVersion, nextTable.ticketKeys]);
      if (text === shownByDefault) return problems;
      shownByDefault = text;
      plain.setSecureContext({ ...options, minVersion });
      asking.setSecureContext({ ...options, minVersion, secureOptions: askingOptions });
      if (nextTable.ticketKeys !== undefined) plain.setTicketKeys(Buffer.from(nextTable.ticketKeys, 'base64'));
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
    ecdhCurve: groups,
    honorCipherOrder: true,
    minVersion: site.tlsVersions?.least ?? 'TLSv1.2',
    secureOptions: plainOptions,
    sessionIdContext,
    ...(ca !== undefined && { ca }),
  };
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
