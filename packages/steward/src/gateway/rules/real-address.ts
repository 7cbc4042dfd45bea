/** Who a request comes from when a proxy in front is believed (nginx's realip module). */
import { type AddressRange, isInRange, parseIp, parseRange } from '../../config/address-range.ts';
import type { RealAddressSpec } from '../../config/model.ts';
import type { Peer } from '../connection/port.ts';

/** A request that may come by a proxy. */
export interface Proxied {
  readonly carrier: { readonly peer: Peer };
  trusted: boolean;
  remoteAddress: string;
  remotePort: number;
  header(name: string): string;
}

export interface CompiledTrust {
  readonly ranges: readonly AddressRange[];
  readonly header: string;
  readonly recursive: boolean;
}

export const compileTrust = ({ from, header, recursive }: RealAddressSpec): CompiledTrust => ({
  ranges: from.map((text) => parseRange(text)).filter((range) => range !== undefined),
  header,
  recursive,
});

const isTrusted = ({ ranges }: CompiledTrust, address: string): boolean => {
  const ip = parseIp(address) ?? address;
  return ranges.some((range) => isInRange(range, ip));
};

/** `1.2.3.4:5`, `[::1]:5`, `::1` as address and port; undefined for what is no address. */
function readAddress(text: string): { address: string; port: number } | undefined {
  const [, v6, host, port] = /^(?:\[([0-9a-f:.]+)\]|([0-9.]+|[0-9a-f:.]+?))(?::(\d{1,5}))?$/i.exec(text.trim()) ?? [];
  const whole = text.trim();
  if (v6 === undefined && whole.split(':').length > 2) return parseIp(whole) === undefined ? undefined : { address: whole, port: 0 };
  const address = v6 ?? host ?? '';
  return parseIp(address) === undefined ? undefined : { address, port: Number(port ?? 0) };
}

/** Believes what the proxy that `exchange` came from says of the client, if it is trusted. */
export function believe(exchange: Proxied, trust: CompiledTrust): void {
  const { peer } = exchange.carrier;
  if (!isTrusted(trust, peer.address)) return;
  exchange.trusted = true;
  if (trust.header === 'proxy-protocol') {
    if (peer.proxied !== undefined) setClient(exchange, peer.proxied);
    return;
  }
  const said = exchange.header(trust.header);
  if (said === '') return;
  const listed = said.split(',');
  for (let at = listed.length - 1; at >= 0; at--) {
    const client = readAddress(listed[at] ?? '');
    if (client === undefined) return;
    setClient(exchange, client);
    if (!trust.recursive || !isTrusted(trust, client.address)) return;
  }
}

function setClient(exchange: Proxied, { address, port }: { readonly address: string; readonly port: number }): void {
  exchange.remoteAddress = address;
  exchange.remotePort = port;
}
