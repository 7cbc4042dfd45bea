/**
 * Addresses and ranges of addresses (`10.0.0.0/8`, `2001:db8::/32`, `unix:`, `all`), parsed once and matched for each request.
 * Pure. An IPv6 address that stands for an IPv4 one (`::ffff:10.0.0.1`, RFC 4291 section 2.5.5.2) counts as that one.
 */

/** An address as numbers of 32 bits: one for IPv4, four for IPv6. */
export type IpAddress = readonly number[];

export type AddressRange =
  | { readonly kind: 'all' }
  /** Clients of a unix socket. */
  | { readonly kind: 'unix' }
  | { readonly kind: 'range'; readonly base: IpAddress; readonly masks: readonly number[] };

/** `1.2.3.4` as a number of 32 bits; undefined for anything else, leading zeros among it. */
function parseIpv4(text: string): number | undefined {
  let value = 0;
  let byte = -1;
  let dots = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 46) {
      if (byte < 0 || ++dots > 3) return undefined;
      value = value * 256 + byte;
      byte = -1;
    } else if (code >= 48 && code <= 57 && byte !== 0) {
      byte = byte < 0 ? code - 48 : byte * 10 + code - 48;
      if (byte > 255) return undefined;
    } else return undefined;
  }
  return dots === 3 && byte >= 0 ? value * 256 + byte : undefined;
}

/** The groups of 16 bits on one side of `::`; the last may be written as an IPv4 address. */
function groupsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [index, part] of parts.entries()) {
    const v4 = index === parts.length - 1 && part.includes('.') ? parseIpv4(part) : undefined;
    if (v4 !== undefined) groups.push(v4 >>> 16, v4 & 0xffff);
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}

function parseIpv6(text: string): number[] | undefined {
  const [head = '', tail, ...more] = text.split('::');
  const before = groupsOf(head);
  const after = groupsOf(tail ?? '');
  if (before === undefined || after === undefined || more.length > 0) return undefined;
  const missing = 8 - before.length - after.length;
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...before, ...Array<number>(missing).fill(0), ...after];
  return [0, 2, 4, 6].map((at) => (groups[at] ?? 0) * 65_536 + (groups[at + 1] ?? 0));
}

/** An IPv4 or IPv6 address, the latter with or without a zone (`%eth0`, which counts for nothing); undefined when it is none. */
export function parseIp(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const v4 = parseIpv4(text);
    return v4 === undefined ? undefined : [v4];
  }
  const words = parseIpv6(text.replace(/%.*$/, ''));
  const isMapped = words !== undefined && words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  return isMapped ? [words[3] as number] : words;
}

const maskOf = (bits: number): number => (bits <= 0 ? 0 : bits >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0);

/** `all`, `unix:`, an address, or an address and a number of bits; undefined when it is none of them. Bits behind those count for nothing. */
export function parseRange(text: string): AddressRange | undefined {
  if (text === 'all') return { kind: 'all' };
  if (text === 'unix:') return { kind: 'unix' };
  const [, address = '', digits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const base = parseIp(address);
  if (base === undefined) return undefined;
  const written = address.includes(':') ? 128 : 32;
  const given = digits === undefined ? written : Number(digits);
  const bits = given - (written - base.length * 32);
  if (given > written || bits < 0) return undefined;
  const masks = base.map((_, index) => maskOf(bits - index * 32));
  return { kind: 'range', base: base.map((word, index) => (word & (masks[index] ?? 0)) >>> 0), masks };
}

/** Whether `address` (a text as sockets give it, `unix:` for a unix socket, or one already parsed) is in `range`. */
export function isInRange(range: AddressRange, address: string | IpAddress): boolean {
  if (range.kind === 'all') return true;
  if (range.kind === 'unix') return address === 'unix:';
  const words = typeof address === 'string' ? parseIp(address) : address;
  if (words === undefined || words.length !== range.base.length) return false;
  for (let at = 0; at < words.length; at++) {
    if (((words[at] as number) & (range.masks[at] as number)) >>> 0 !== range.base[at]) return false;
  }
  return true;
}
