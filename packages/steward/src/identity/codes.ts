/** Secrets that Steward makes itself: session ids, tokens, one-time codes. Only their SHA-256 is kept: they have 256 bits (recovery codes 80), which nobody guesses. */
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { base32 } from './totp.ts';

export const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

/** 256 bits that go into addresses and headers as they are. */
export const newCode = (): string => randomBytes(32).toString('base64url');

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

function base62(value: bigint, length: number): string {
  let text = '';
  for (let rest = value; rest > 0n; rest /= 62n) text = alphabet[Number(rest % 62n)] + text;
  return text.padStart(length, '0');
}

const tokenForm = /^stw_([0-9A-Za-z]{43})([0-9A-Za-z]{6})$/;
const checksum = (body: string): string => base62(BigInt(crc32(body)), 6);

/** `stw_`, 256 bits, and a checksum by which programs that look for leaked secrets know one for sure. */
export function newToken(): string {
  const body = base62(BigInt(`0x${randomBytes(32).toString('hex')}`), 43);
  return `stw_${body}${checksum(body)}`;
}

/** Whether it can be a token at all: no look is taken at anything else. */
export function isTokenForm(text: string): boolean {
  const [, body, check] = tokenForm.exec(text) ?? [];
  return body !== undefined && checksum(body) === check;
}

/** Stands in for a code of the second factor: `abcd-efgh-ijkl-mnop`. */
export const newRecoveryCode = (): string =>
  base32(randomBytes(10))
    .toLowerCase()
    .replace(/(.{4})(?=.)/g, '$1-');

/** As it was given out, however it was typed. */
export const normalRecoveryCode = (typed: string): string =>
  typed
    .toLowerCase()
    .replace(/[^a-z2-7]/g, '')
    .replace(/(.{4})(?=.)/g, '$1-');
