/** Certificates for a run. */
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import type { Certificate } from './measurement.ts';
import { outputOf } from './program.ts';

/** A self-signed certificate for localhost and 127.0.0.1 with a P-256 key, in files `name` of `folder`. */
export async function makeCertificate(folder: string, name = 'localhost'): Promise<Certificate> {
  const [cert, key] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  await outputOf('openssl', ['req', '-x509', '-days', '30', ...curve, ...names, '-out', cert, '-keyout', key]);
  await chmod(key, 0o600);
  return { cert, key };
}
