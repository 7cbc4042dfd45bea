/** The certificate that answers a tls-alpn-01 challenge (RFC 8737). Apart from challenges.ts: workers show it, the daemon makes it. */
// Before @peculiar/x509, which needs it when it is loaded.
import 'reflect-metadata';
import { createHash } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { Certificate } from '../../table.ts';
import { keyAlgorithm, makeKeys, serialNumber } from '../keys.ts';

/** id-pe-acmeIdentifier. */
const acmeIdentifier = '1.3.6.1.5.5.7.1.31';
const octetStringOf32Bytes = Buffer.from([0x04, 0x20]);
const dayMs = 24 * 60 * 60 * 1000;

/** The certificate that answers a tls-alpn-01 challenge at `host`: signed by itself, with the hash of `keyAuthorization`. */
export async function alpnCertificate(keyAuthorization: string, host: string, nowMs = Date.now()): Promise<Certificate> {
  const { pair, pem } = await makeKeys();
  const digest = createHash('sha256').update(keyAuthorization).digest();
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: ['acme challenge'] }],
    keys: pair,
    serialNumber: serialNumber(),
    notBefore: new Date(nowMs - dayMs),
    notAfter: new Date(nowMs + dayMs),
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: host }]),
      new x509.Extension(acmeIdentifier, true, Buffer.concat([octetStringOf32Bytes, digest])),
    ],
  });
  return { key: pem, cert: `${made.toString('pem')}\n` };
}
