/** What nginx's $ssl_ variables say of a connection. */
import type { PeerCertificate, TLSSocket } from 'node:tls';
import type { TlsVariable } from '../rules/variables.ts';

const certificateOf = (socket: TLSSocket): PeerCertificate | undefined => {
  const found = socket.getPeerCertificate();
  return Object.keys(found).length === 0 ? undefined : found;
};

/** Short names in the order of RFC 2253, which begins with the last one. */
function nameText(name: object | undefined): string {
  return Object.entries(name ?? {})
    .flatMap(([key, value]) =>
      (Array.isArray(value) ? value : [value]).map((one) => `${key}=${String(one).replace(/[,+"\\<>;]/g, '\\$&')}`),
    )
    .reverse()
    .join(',');
}

const pem = (raw: Buffer): string =>
  `-----BEGIN CERTIFICATE-----\n${raw.toString('base64').replace(/.{64}/g, '$&\n').replace(/\n$/, '')}\n-----END CERTIFICATE-----\n`;

const verdicts = new WeakMap<TLSSocket, string>();

/** `SUCCESS`, `NONE` when no certificate was shown, or `FAILED:` and why. Worked out once for a connection. */
export function clientVerdict(socket: TLSSocket): string {
  const known = verdicts.get(socket) ?? judge(socket);
  verdicts.set(socket, known);
  return known;
}

function judge(socket: TLSSocket): string {
  if (certificateOf(socket) === undefined) return 'NONE';
  const why = socket.authorizationError as Error | string | undefined;
  return socket.authorized
    ? 'SUCCESS'
    : `FAILED:${typeof why === 'object' ? ((why as NodeJS.ErrnoException).code ?? why.message) : (why ?? '')}`;
}

const values: Readonly<Record<TlsVariable, (socket: TLSSocket) => string>> = {
  ssl_cipher: (socket) => socket.getCipher()?.name ?? '',
  ssl_client_escaped_cert: (socket) => {
    const raw = certificateOf(socket)?.raw;
    return raw === undefined ? '' : encodeURIComponent(pem(raw));
  },
  ssl_client_fingerprint: (socket) => (certificateOf(socket)?.fingerprint ?? '').replaceAll(':', '').toLowerCase(),
  ssl_client_i_dn: (socket) => nameText(certificateOf(socket)?.issuer),
  ssl_client_s_dn: (socket) => nameText(certificateOf(socket)?.subject),
  ssl_client_serial: (socket) => certificateOf(socket)?.serialNumber ?? '',
  ssl_client_verify: clientVerdict,
  ssl_protocol: (socket) => socket.getProtocol() ?? '',
  ssl_server_name: (socket) => (typeof socket.servername === 'string' ? socket.servername : ''),
  ssl_session_reused: (socket) => (socket.isSessionReused() ? 'r' : '.'),
};

export const tlsValueOf = (socket: TLSSocket, name: TlsVariable): string => values[name](socket);
