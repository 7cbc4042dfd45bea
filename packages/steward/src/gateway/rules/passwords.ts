/**
 * Passwords as htpasswd(1), openssl-passwd(1) and mkpasswd(1) write them. Traditional DES hashes are refused: they hold eight
 * characters, and any machine of today finds those.
 */
import { createHash, type Hash, timingSafeEqual } from 'node:crypto';
import bcrypt from 'bcryptjs';

export type HashKind = 'plain' | 'sha1' | 'salted-sha1' | 'apr1' | 'md5-crypt' | 'bcrypt' | 'sha256-crypt' | 'sha512-crypt';

const prefixes: readonly (readonly [RegExp, HashKind])[] = [
  [/^\{PLAIN\}/, 'plain'],
  [/^\{SHA\}/, 'sha1'],
  [/^\{SSHA\}/, 'salted-sha1'],
  [/^\$apr1\$/, 'apr1'],
  [/^\$1\$/, 'md5-crypt'],
  [/^\$2[aby]\$\d\d\$/, 'bcrypt'],
  [/^\$5\$/, 'sha256-crypt'],
  [/^\$6\$/, 'sha512-crypt'],
];

/** Which kind of hash it is, or a sentence on why it lets nobody in. */
export function hashKind(hash: string): HashKind | { readonly refused: string } {
  const found = prefixes.find(([form]) => form.test(hash));
  if (found !== undefined) return found[1];
  if (/^[./0-9A-Za-z]{13}$/.test(hash)) return { refused: 'it is a DES hash, which is broken; make a new one with `htpasswd -B`' };
  return { refused: 'it is none of bcrypt, apr1, SHA-crypt, MD5-crypt, {SHA}, {SSHA} and {PLAIN}; make a new one with `htpasswd -B`' };
}

/** Whether a look costs more than some microseconds. */
export const isSlow = (kind: HashKind): boolean => kind !== 'plain' && kind !== 'sha1' && kind !== 'salted-sha1';

/** As crypt(3) of glibc has it; SHA-crypt takes time by the square of the length. */
const longestPasswordBytes = 512;

/** Whether `password` is the one behind `hash`; false for a hash that `hashKind` refuses. Takes as long as the hash is slow. */
export function verifyPassword(password: string, hash: string): boolean {
  if (Buffer.byteLength(password) > longestPasswordBytes) return false;
  const kind = hashKind(hash);
  switch (kind) {
    case 'plain':
      return sameText(password, hash.slice(7));
    case 'sha1':
      return sameBytes(sha1(password), Buffer.from(hash.slice(5), 'base64'));
    case 'salted-sha1':
      return verifySalted(password, Buffer.from(hash.slice(6), 'base64'));
    case 'apr1':
    case 'md5-crypt':
      return sameText(md5Crypt(password, hash, kind === 'apr1' ? '$apr1$' : '$1$'), hash);
    case 'bcrypt':
      return bcrypt.compareSync(password, hash);
    case 'sha256-crypt':
      return sameText(shaCrypt(password, hash, sha256), hash);
    case 'sha512-crypt':
      return sameText(shaCrypt(password, hash, sha512), hash);
    default:
      return false;
  }
}

const digestOf = (algorithm: string, ...parts: readonly (string | Buffer)[]): Buffer => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest();
};

const sha1 = (...parts: readonly (string | Buffer)[]): Buffer => digestOf('sha1', ...parts);

/** Takes the same time wherever the two differ. */
function sameBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

const sameText = (a: string, b: string): boolean => sameBytes(digestOf('sha256', a), digestOf('sha256', b));

function verifySalted(password: string, stored: Buffer): boolean {
  return stored.length > 20 && sameBytes(sha1(password, stored.subarray(20)), stored.subarray(0, 20));
}

const letters = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Bytes as crypt(3) writes them: six bits a letter, the lowest first, three bytes of `order` a group of four letters. */
function encode64(bytes: Buffer, order: readonly (readonly number[])[]): string {
  let text = '';
  for (const group of order) {
    let value = 0;
    for (const at of group) value = value * 256 + (bytes[at] ?? 0);
    for (let n = 0; n < Math.ceil((group.length * 8) / 6); n++) {
      text += letters[value & 63];
      value >>>= 6;
    }
  }
  return text;
}

const md5Order = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5], [11]];

/** MD5-crypt by Poul-Henning Kamp, and Apache's variant of it, which differs in its name. `setting` may be a whole hash. */
function md5Crypt(password: string, setting: string, magic: '$1$' | '$apr1$'): string {
  const secret = Buffer.from(password);
  const salt = setting.slice(magic.length).split('$', 1).join('').slice(0, 8);
  const mixed = digestOf('md5', secret, salt, secret);
  const start = createHash('md5').update(secret).update(magic).update(salt);
  for (let left = secret.length; left > 0; left -= 16) start.update(mixed.subarray(0, Math.min(16, left)));
  for (let bits = secret.length; bits > 0; bits >>>= 1) start.update((bits & 1) === 1 ? '\0' : secret.subarray(0, 1));
  let digest = start.digest();
  for (let round = 0; round < 1000; round++) {
    const odd = (round & 1) === 1;
    const hash = createHash('md5').update(odd ? secret : digest);
    if (round % 3 !== 0) hash.update(salt);
    if (round % 7 !== 0) hash.update(secret);
    digest = hash.update(odd ? digest : secret).digest();
  }
  return `${magic}${salt}$${encode64(digest, md5Order)}`;
}

interface ShaKind {
  readonly name: 'sha256' | 'sha512';
  readonly magic: '$5$' | '$6$';
  readonly size: number;
  readonly order: readonly (readonly number[])[];
}

/** Groups of three bytes, each group one step further in the three thirds of the digest, whose places rotate. */
function rotatingOrder(count: number, third: number, back: boolean): number[][] {
  return Array.from({ length: count }, (_, n) => {
    const places = [n, n + third, n + 2 * third];
    const shift = (back ? n * 2 : n) % 3;
    return [...places.slice(shift), ...places.slice(0, shift)];
  });
}

const sha256: ShaKind = { name: 'sha256', magic: '$5$', size: 32, order: [...rotatingOrder(10, 10, true), [31, 30]] };
const sha512: ShaKind = { name: 'sha512', magic: '$6$', size: 64, order: [...rotatingOrder(21, 21, false), [63]] };

const repeated = (bytes: Buffer, length: number): Buffer => Buffer.alloc(length, bytes);

/** SHA-crypt by Ulrich Drepper (https://www.akkadia.org/drepper/SHA-crypt.txt). `setting` may be a whole hash. */
function shaCrypt(password: string, setting: string, kind: ShaKind): string {
  const secret = Buffer.from(password);
  const [, count, rest = ''] = /^(?:rounds=(\d+)\$)?(.*)$/s.exec(setting.slice(3)) ?? [];
  const salt = Buffer.from(rest.split('$', 1).join('')).subarray(0, 16);
  const rounds = Math.min(999_999_999, Math.max(1000, Number(count ?? 5000)));
  const mixed = digestOf(kind.name, secret, salt, secret);
  const start: Hash = createHash(kind.name).update(secret).update(salt).update(repeated(mixed, secret.length));
  for (let bits = secret.length; bits > 0; bits >>>= 1) start.update((bits & 1) === 1 ? mixed : secret);
  let digest = start.digest();
  const p = repeated(digestOf(kind.name, repeated(secret, secret.length * secret.length)), secret.length);
  const s = repeated(digestOf(kind.name, repeated(salt, salt.length * (16 + (digest[0] ?? 0)))), salt.length);
  for (let round = 0; round < rounds; round++) {
    const odd = (round & 1) === 1;
    const hash = createHash(kind.name).update(odd ? p : digest);
    if (round % 3 !== 0) hash.update(s);
    if (round % 7 !== 0) hash.update(p);
    digest = hash.update(odd ? digest : p).digest();
  }
  const written = count === undefined ? '' : `rounds=${rounds}$`;
  return `${kind.magic}${written}${salt}$${encode64(digest, kind.order)}`;
}
