/** Addresses as Apache writes them. Pure. */
import { parseIp, parseRange } from '../address-range.ts';

/** An address or range as Apache writes it (`10.1`, `10.1.0.0/255.255.0.0`, `::1`) in CIDR notation; undefined for others. */
export function rangeOf(text: string): string | undefined {
  const [, part] = /^(\d{1,3}(?:\.\d{1,3}){0,2})\.?$/.exec(text) ?? [];
  if (part !== undefined) {
    const bytes = part.split('.');
    const range = `${[...bytes, '0', '0', '0'].slice(0, 4).join('.')}/${bytes.length * 8}`;
    return parseRange(range) === undefined ? undefined : range;
  }
  const [, address = '', mask = ''] = /^([\d.]+)\/(\d+\.\d+\.\d+\.\d+)$/.exec(text) ?? [];
  if (mask === '') return parseRange(text) === undefined || text === 'all' || text === 'unix:' ? undefined : text;
  const bits = mask
    .split('.')
    .map((byte) => Number(byte).toString(2).padStart(8, '0'))
    .join('');
  if (!/^1*0*$/.test(bits) || parseIp(address) === undefined) return undefined;
  return `${address}/${bits.replaceAll('0', '').length}`;
}
