/**
 * The local authority behind `tls: internal`: made once in a folder, it signs one certificate for each set of host names.
 *
 *   <dir>/authority.key (0600)   <dir>/authority.crt           EC P-256, 10 years; `steward ca` prints the certificate
 *   <dir>/leaf-<hash>.pem (0600)  key and certificate of a site, kept so that a restart changes nothing
 */
// Before @peculiar/x509, which needs it when it is loaded.
import 'reflect-metadata';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import path from 'node:path';
import * as x509 from '@peculiar/x509';
import type { Certificate } from '../table.ts';
import { type Keys, keyAlgorithm, makeKeys, readKeys, serialNumber, splitPem } from './keys.ts';
import { readIfThere, writeWhole } from './whole-file.ts';

const dayMs = 24 * 60 * 60 * 1000;
const authorityDays = 3650;
/** Browsers take no certificate of more than 398 days. */
const leafDays = 396;
/** Clocks of other machines may be behind. */
const backdateMs = 60 * 60 * 1000;

export interface Authority {
  /** PEM, for people to put into their browsers and programs. */
  readonly certificate: string;
  /** A certificate for `names` (host names, `*.wildcards`, addresses): the one made before if over a third of its time is left, else a new one. */
  issue(names: readonly string[], nowMs: number): Promise<Certificate>;
}

/** The authority of folder `dir`, made if there is none. Rejects when the folder cannot be used or holds something else. */
export async function openAuthority(dir: string, nowMs: number): Promise<Authority> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const keyFile = path.join(dir, 'authority.key');
  const certificateFile = path.join(dir, 'authority.crt');
  const storedKey = await readIfThere(keyFile);
  const keys = storedKey === undefined ? await makeKeys() : await readKeys(storedKey);
  if (storedKey === undefined) await writeWhole(keyFile, keys.pem, 0o600);
  const stored = storedKey === undefined ? undefined : await readIfThere(certificateFile);
  const certificate = stored ?? (await makeAuthority(keys, nowMs));
  if (stored === undefined) await writeWhole(certificateFile, certificate, 0o644);
  const issuer = new x509.X509Certificate(certificate);
  return { certificate, issue: (names, at) => issue({ dir, keys, issuer }, names, at) };
}

async function makeAuthority({ pair }: Keys, nowMs: number): Promise<string> {
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`Steward local authority on ${hostname()}`] }],
    keys: pair,
    serialNumber: serialNumber(),
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + authorityDays * dayMs),
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(pair.publicKey),
    ],
  });
  return `${made.toString('pem')}\n`;
}

interface Signer {
  readonly dir: string;
  readonly keys: Keys;
  readonly issuer: x509.X509Certificate;
}

async function issue(signer: Signer, names: readonly string[], nowMs: number): Promise<Certificate> {
  const sorted = [...new Set(names)].sort();
  const file = path.join(signer.dir, `leaf-${createHash('sha256').update(sorted.join(',')).digest('hex').slice(0, 24)}.pem`);
  const stored = splitPem((await readIfThere(file)) ?? '');
  if (stored !== undefined && isFresh(stored.cert, signer, nowMs)) return stored;
  const made = await makeLeaf(signer, sorted, nowMs);
  await writeWhole(file, made.key + made.cert, 0o600);
  return made;
}

/** Signed by this authority, and with more than a third of its time left. */
function isFresh(cert: string, { issuer }: Signer, nowMs: number): boolean {
  try {
    const leaf = new X509Certificate(cert);
    const from = leaf.validFromDate.getTime();
    const to = leaf.validToDate.getTime();
    return leaf.verify(new X509Certificate(issuer.toString('pem')).publicKey) && nowMs >= from && to - nowMs > (to - from) / 3;
  } catch {
    return false;
  }
}

async function makeLeaf({ keys, issuer }: Signer, names: readonly string[], nowMs: number): Promise<Certificate> {
  const leaf = await makeKeys();
  const alternatives = names.map((name) => ({ type: isIP(name) === 0 ? ('dns' as const) : ('ip' as const), value: name }));
  const made = await x509.X509CertificateGenerator.create({
    subject: [{ CN: [(names[0] ?? 'localhost').slice(0, 64)] }],
    issuer: issuer.subject,
    serialNumber: serialNumber(),
    notBefore: new Date(nowMs - backdateMs),
    notAfter: new Date(nowMs + leafDays * dayMs),
    publicKey: leaf.pair.publicKey,
    signingKey: keys.pair.privateKey,
    signingAlgorithm: keyAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(alternatives),
      await x509.SubjectKeyIdentifierExtension.create(leaf.pair.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(keys.pair.publicKey),
    ],
  });
  return { key: leaf.pem, cert: `${made.toString('pem')}\n` };
}
