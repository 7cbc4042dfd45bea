/** Key pairs of certificates: EC P-256, made and read with WebCrypto, kept as PEM. */
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto';
import type { Certificate } from '../table.ts';

export const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface Keys {
  readonly pair: webcrypto.CryptoKeyPair;
  readonly pem: string;
}

export async function makeKeys(): Promise<Keys> {
  const pair = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey));
  return { pair, pem: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }).toString() };
}

/** The key pair in a PEM text. Throws when it is no EC P-256 key. */
export async function readKeys(pem: string): Promise<Keys> {
  const der = createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' });
  const privateKey = await webcrypto.subtle.importKey('pkcs8', new Uint8Array(der), keyAlgorithm, true, ['sign']);
  const { d: _secret, key_ops: _ops, ...open } = await webcrypto.subtle.exportKey('jwk', privateKey);
  const publicKey = await webcrypto.subtle.importKey('jwk', open, keyAlgorithm, true, ['verify']);
  return { pair: { privateKey, publicKey }, pem };
}

/** A certificate's serial number: positive, and met nowhere else. */
export const serialNumber = (): string => `00${randomBytes(15).toString('hex')}`;

/** Key and certificates of a file that has them in this order; undefined when it has not. */
export function splitPem(text: string): Certificate | undefined {
  const at = text.indexOf('-----BEGIN CERTIFICATE-----');
  return at <= 0 ? undefined : { key: text.slice(0, at), cert: text.slice(at) };
}
