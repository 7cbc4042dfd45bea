/**
 * Where a key or a client's address falls among the servers of an upstream: by the functions nginx uses, so that a key keeps
 * its server when a site moves here. balance.nginx.test.ts compares them with a real nginx.
 */

import { isIP } from 'node:net';
import { addressName } from '../../config/address.ts';
import type { ServerSpec } from '../../config/model.ts';

/** CRC-32 (ISO 3309) of each byte, reflected. */
const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xed_b8_83_20 ^ (crc >>> 1) : crc >>> 1;
  return crc;
});

const crcStep = (crc: number, byte: number): number => (crcTable[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);

/** Goes on with `crc` (begun with -1, ended with ~) over the characters of `text`, each a byte. */
function crcText(crc: number, text: string): number {
  let next = crc;
  for (let at = 0; at < text.length; at++) next = crcStep(next, text.charCodeAt(at));
  return next;
}

function beyondBytes(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0xff) return true;
  return false;
}

/** `key` with a character for each byte: as it came off the wire, or else in UTF-8. */
const asBytes = (key: string): string => (beyondBytes(key) ? Buffer.from(key, 'utf8').toString('latin1') : key);

/**
 * CRC-32 of a key, unsigned: what node:zlib's crc32 gives for its bytes, at half the price for keys of a usual length, since
 * nothing is called outside JavaScript. Characters up to U+00FF are a byte each, as Node gives headers.
 */
export const keyCrc = (key: string): number => ~crcText(-1, asBytes(key)) >>> 0;

/**
 * The `round`-th hash (from 0) that plain `hash KEY` adds to the sum of those before: 15 bits of the CRC of the round, from the
 * second on, and the key.
 */
export const roundHash = (key: string, round: number): number =>
  (~crcText(round === 0 ? -1 : crcText(-1, String(round)), asBytes(key)) >>> 16) & 0x7fff;

/** The points of `hash KEY consistent`, sorted; each belongs to a server, given by its index. */
export interface Ring {
  readonly points: Uint32Array;
  readonly owners: Uint32Array;
  /** What it was made of: servers' names and weights. */
  readonly made: string;
}

const pointsPerWeight = 160;

/** The CRC, not yet ended, that a server's points begin with: host, zero byte, port as the configuration writes them. */
function ringSeed({ address, written }: ServerSpec): number {
  if (address.kind === 'unix') return crcStep(crcText(-1, address.path), 0);
  const [, host = '', port = ''] = /^(.*?)(?::(\d*))?$/s.exec(written ?? addressName(address)) ?? [];
  return crcText(crcStep(crcText(-1, host), 0), port);
}

/** The ring for `specs`, or `previous` when that was made of the same. 1,000 servers of weight 1 take some 20 ms. */
export function createRing(specs: readonly ServerSpec[], previous?: Ring): Ring {
  const made = specs.map((spec) => `${spec.written ?? addressName(spec.address)} ${spec.weight}`).join('\n');
  if (previous?.made === made) return previous;
  const total = specs.reduce((sum, { weight }) => sum + weight * pointsPerWeight, 0);
  // Point and owner in one number, so that they are sorted together and without a function to compare.
  const packed = new Float64Array(total);
  let at = 0;
  for (const [owner, spec] of specs.entries()) {
    const seed = ringSeed(spec);
    let point = 0;
    for (let n = spec.weight * pointsPerWeight; n > 0; n--) {
      let crc = seed;
      for (let shift = 0; shift < 32; shift += 8) crc = crcStep(crc, point >>> shift);
      point = ~crc >>> 0;
      packed[at++] = point * ownersMost + owner;
    }
  }
  return unpack(packed.sort(), made);
}

/** More servers than one upstream has, and few enough for a point and an owner to fit the 53 bits of a number. */
const ownersMost = 2 ** 20;

/** Of equal points the first is kept. */
function unpack(packed: Float64Array, made: string): Ring {
  const points = new Uint32Array(packed.length);
  const owners = new Uint32Array(packed.length);
  let count = 0;
  for (const value of packed) {
    const point = Math.floor(value / ownersMost);
    if (count > 0 && points[count - 1] === point) continue;
    points[count] = point;
    owners[count++] = value % ownersMost;
  }
  return { points: points.subarray(0, count), owners: owners.subarray(0, count), made };
}

/** Index of the first of `sorted` that is at least `value`; its length when there is none. */
export function firstAtLeast(sorted: Uint32Array, value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Bytes of the last address read, and how many of them count. One for all: nothing is allocated for a request. */
const bytes = new Uint8Array(16);
let counted = 0;

const firstAddressHash = 89;

/** Begins the hashes of nginx's `ip_hash` for `address`; the next ones come from `nextAddressHash`. Others than IP are 0.0.0.0. */
export function beginAddressHash(address: string): number {
  counted = 3;
  if (address.startsWith('::ffff:') && address.includes('.')) readIpv4(address, 7);
  else if (!address.includes(':')) readIpv4(address, 0);
  else readIpv6(address);
  return firstAddressHash;
}

/** The hash after `hash` of the address that was begun last. */
export function nextAddressHash(hash: number): number {
  let next = hash;
  for (let at = 0; at < counted; at++) next = (next * 113 + (bytes[at] as number)) % 6271;
  return next;
}

/** The first three bytes. */
function readIpv4(address: string, from: number): void {
  bytes.fill(0, 0, 3);
  let part = 0;
  for (let at = from; at < address.length && part < 3; at++) {
    const code = address.charCodeAt(at);
    if (code === dot) part++;
    else if (code >= zero && code <= zero + 9) bytes[part] = (bytes[part] as number) * 10 + code - zero;
    else return void bytes.fill(0, 0, 3);
  }
}

const dot = 0x2e;
const zero = 0x30;

/** `unix:` and other words that are no address give the same as IPv4's 0.0.0.0. */
function readIpv6(address: string): void {
  bytes.fill(0);
  if (isIP(address) !== 6) return;
  counted = 16;
  const [head = '', tail] = withoutDots(address).split('::');
  writeGroups(head, 0);
  if (tail !== undefined) writeGroups(tail, 16 - 2 * groupsOf(tail).length);
}

const groupsOf = (text: string): string[] => (text === '' ? [] : text.split(':'));

function writeGroups(text: string, from: number): void {
  for (const [index, group] of groupsOf(text).entries()) {
    const value = Number.parseInt(group, 16);
    bytes[from + 2 * index] = value >>> 8;
    bytes[from + 2 * index + 1] = value & 0xff;
  }
}

/** The zone is left out, and an IPv4 address at the end is written as two groups. */
function withoutDots(address: string): string {
  const plain = address.replace(/%.*/, '');
  const found = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
  if (found === null) return plain;
  const [, head, a, b, c, d] = found;
  return `${head}${((Number(a) << 8) | Number(b)).toString(16)}:${((Number(c) << 8) | Number(d)).toString(16)}`;
}
