/** The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): what a proxy in front says of its client. Pure. */
import { Buffer } from 'node:buffer';
import { isIP } from 'node:net';

export interface ProxiedFrom {
  /** Undefined: the proxy speaks for itself (a health check), or of something that is no address. */
  readonly source?: { readonly address: string; readonly port: number };
  /** Bytes of the header. */
  readonly length: number;
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** Longest header of version 1, with its line break. */
const maxLine = 107;
/** Longest of version 2 that is read: addresses, and fields that nobody asks for. */
const maxBlock = 16 + 4096;

/** What `bytes` begin with: a header, `more` when it is not complete, `wrong` when they begin with something else. */
export function readProxyHeader(bytes: Buffer): ProxiedFrom | 'more' | 'wrong' {
  if (bytes.length === 0) return 'more';
  return bytes[0] === signature[0] ? readBlock(bytes) : readLine(bytes);
}

function readLine(bytes: Buffer): ProxiedFrom | 'more' | 'wrong' {
  const text = bytes.toString('latin1', 0, maxLine);
  const end = text.indexOf('\r\n');
  const known = text.slice(0, 6);
  if (!'PROXY '.startsWith(known)) return 'wrong';
  if (end < 0) return text.length >= maxLine ? 'wrong' : 'more';
  const length = end + 2;
  const words = text.slice(6, end).split(' ');
  if (words[0] === 'UNKNOWN') return { length };
  const [family, from = '', to = '', port = '', toPort = ''] = words;
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : -1;
  if (words.length !== 5 || isIP(from) !== version || isIP(to) !== version || !isPort(port) || !isPort(toPort)) return 'wrong';
  return { source: { address: from.toLowerCase(), port: Number(port) }, length };
}

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) < 65_536;

function readBlock(bytes: Buffer): ProxiedFrom | 'more' | 'wrong' {
  const begins = bytes.subarray(0, signature.length);
  if (!begins.equals(signature.subarray(0, begins.length))) return 'wrong';
  if (bytes.length < 16) return 'more';
  const [command = 0, family = 0] = bytes.subarray(12, 14);
  const length = 16 + bytes.readUInt16BE(14);
  if (command >> 4 !== 2 || (command & 15) > 1 || length > maxBlock) return 'wrong';
  if (bytes.length < length) return 'more';
  if ((command & 15) === 0) return { length };
  if (family === 0x11) {
    if (length < 28) return 'wrong';
    return { source: { address: bytes.subarray(16, 20).join('.'), port: bytes.readUInt16BE(24) }, length };
  }
  if (family !== 0x21) return { length };
  return length < 52 ? 'wrong' : { source: { address: v6Text(bytes.subarray(16, 32)), port: bytes.readUInt16BE(48) }, length };
}

const mapped = Buffer.from('00000000000000000000ffff', 'hex');

/** An address as people write it: the longest run of zeros left out, IPv4 within IPv6 as IPv4. */
function v6Text(bytes: Buffer): string {
  if (bytes.subarray(0, 12).equals(mapped)) return bytes.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(at * 2).toString(16)).join(':');
  return new URL(`http://[${groups}]`).hostname.slice(1, -1);
}
