/**
 * What the authority looks for at a host to see that it is ours. It is part of what workers serve by, plain JSON like the
 * rest of the table:
 *
 *   http-01      GET http://HOST/.well-known/acme-challenge/TOKEN    → challengeAnswer
 *   tls-alpn-01  a TLS handshake with ALPN `acme-tls/1` for HOST     → challengeHandshake shows the certificate in `alpn`
 */
import tls from 'node:tls';
import type { Challenges } from '../../table.ts';

export const noChallenges: Challenges = { http: {}, alpn: {} };

/** The protocol a client asks for that wants to see the certificate in `alpn`. */
export const alpnProtocol = 'acme-tls/1';

const challengePath = '/.well-known/acme-challenge/';

/** The body for a request of `path` (without its query), as application/octet-stream; undefined when it asks for no challenge we have. */
export function challengeAnswer({ http }: Challenges, path: string): string | undefined {
  if (!path.startsWith(challengePath)) return undefined;
  const token = path.slice(challengePath.length);
  return Object.hasOwn(http, token) ? http[token] : undefined;
}

/** How a TLS server shakes hands with everybody but authorities. */
export interface UsualHandshake {
  /** The certificate for a host. */
  readonly certificate: (host: string, done: (error: Error | null, context?: tls.SecureContext) => void) => void;
  /** The one of the client's protocols that is spoken; undefined refuses the client. */
  readonly protocol: (protocols: readonly string[]) => string | undefined;
}

/**
 * Options for a TLS server that shows `challenges` to authorities, and the usual certificate to all others even of the same
 * host. A connection that was shown one has `alpnProtocol` as its protocol and is to be closed: nothing is said on it.
 */
export function challengeHandshake(
  challenges: () => Challenges,
  usual: UsualHandshake,
): Required<Pick<tls.TlsOptions, 'ALPNCallback' | 'SNICallback'>> {
  const shown = new WeakMap<object, tls.SecureContext>();
  return {
    // TLS 1.3 agrees on the protocol before the certificate, TLS 1.2 after it: the choice is kept for both.
    ALPNCallback(this: tls.TLSSocket, { servername, protocols }) {
      const { alpn } = challenges();
      const host = String(servername).toLowerCase(); // not a text at all when the client names no host
      if (!protocols.includes(alpnProtocol) || !Object.hasOwn(alpn, host)) return usual.protocol(protocols);
      const context = tls.createSecureContext(alpn[host]);
      shown.set(this, context);
      this.setKeyCert(context);
      return alpnProtocol;
    },
    SNICallback(this: unknown, host, done) {
      const context = shown.get(this as object);
      if (context === undefined) usual.certificate(host, done);
      else done(null, context);
    },
  };
}
