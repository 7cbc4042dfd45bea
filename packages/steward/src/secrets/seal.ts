/**
 * Sealing bytes with AES-256-GCM: nobody reads them without the key, and nobody alters or swaps them unseen. What the bytes
 * are for is part of the seal, so that one sealed value cannot stand in for another. Pure but for the random nonce.
 *
 *   sealed = base64(nonce 12 bytes, tag 16 bytes, ciphertext)
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

export const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
const cipherName = 'aes-256-gcm';

/** `purpose` has to be given again to open it. A nonce of chance is safe for some billions of values under one key (NIST SP 800-38D 8.3). */
export function seal(key: Uint8Array, purpose: string, bytes: Uint8Array): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(cipherName, key, nonce, { authTagLength: tagBytes }).setAAD(Buffer.from(purpose));
  const text = Buffer.concat([cipher.update(bytes), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
}

/** The bytes; undefined for another key or purpose, and for what was cut or altered. */
export function unseal(key: Uint8Array, purpose: string, sealed: string): Buffer | undefined {
  const all = Buffer.from(sealed, 'base64');
  if (all.length < nonceBytes + tagBytes) return undefined;
  const nonce = all.subarray(0, nonceBytes);
  const decipher = createDecipheriv(cipherName, key, nonce, { authTagLength: tagBytes }).setAAD(Buffer.from(purpose));
  decipher.setAuthTag(all.subarray(nonceBytes, nonceBytes + tagBytes));
  try {
    return Buffer.concat([decipher.update(all.subarray(nonceBytes + tagBytes)), decipher.final()]);
  } catch {
    return undefined;
  }
}
