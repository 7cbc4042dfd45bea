/**
 * The second factor: time-based one-time passwords (RFC 6238 over RFC 4226: SHA-1, six digits, 30 s), as every authenticator has
 * them. Pure, but for chance.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

const digits = 6;
const stepMs = 30_000;
/** Steps before and after now that are taken too: clocks of phones are off. */
const slack = 1;

/** The code for a counter (RFC 4226, 5.3). */
export function hotp(secret: Buffer, counter: number): string {
  const text = Buffer.alloc(8);
  text.writeBigUInt64BE(BigInt(counter));
  const mac = createHmac('sha1', secret).update(text).digest();
  const offset = (mac[mac.length - 1] as number) & 0xf;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 10 ** digits).padStart(digits, '0');
}

export const stepAt = (nowMs: number): number => Math.floor(nowMs / stepMs);

/** The step whose code this is, if it is near and after `lastStep`: each code is taken once. All steps are compared, in constant time. */
export function matchingStep(secret: Buffer, code: string, nowMs: number, lastStep: number): number | undefined {
  if (!/^\d{6}$/.test(code)) return undefined;
  const now = stepAt(nowMs);
  const steps = Array.from({ length: 2 * slack + 1 }, (_, index) => now - slack + index);
  const matching = steps.filter((step) => timingSafeEqual(Buffer.from(hotp(secret, step)), Buffer.from(code)));
  return matching.find((step) => step > lastStep);
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** Without padding (RFC 4648). */
export function base32(bytes: Buffer): string {
  let bits = 0;
  let value = 0;
  let text = '';
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31];
  }
  return bits > 0 ? text + alphabet[(value << (5 - bits)) & 31] : text;
}

/** 160 bits, as RFC 4226 recommends. */
export const newSecret = (): Buffer => randomBytes(20);

/** What authenticators read from a QR code. */
export const otpauthUri = (secret: Buffer, name: string, issuer: string): string =>
  `otpauth://totp/${encodeURIComponent(issuer)}:${encodeURIComponent(name)}?secret=${base32(secret)}&issuer=${encodeURIComponent(issuer)}&algorithm=SHA1&digits=${digits}&period=${stepMs / 1000}`;

/** Encrypts for the state file (AES-256-GCM); what belongs to `name` opens for no other name. */
export function seal(key: Buffer, secret: Buffer, name: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name));
  const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
  return `v1.${[nonce, cipher.getAuthTag(), sealed].map((part) => part.toString('base64url')).join('.')}`;
}

/** What was sealed; undefined when it was altered, or sealed by another key or for another name. */
export function unseal(key: Buffer, text: string, name: string): Buffer | undefined {
  const [version, nonce, tag, sealed] = text.split('.');
  if (version !== 'v1' || nonce === undefined || tag === undefined || sealed === undefined) return undefined;
  try {
    const cipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce, 'base64url'), { authTagLength: 16 });
    cipher.setAAD(Buffer.from(name)).setAuthTag(Buffer.from(tag, 'base64url'));
    return Buffer.concat([cipher.update(Buffer.from(sealed, 'base64url')), cipher.final()]);
  } catch {
    return undefined;
  }
}
