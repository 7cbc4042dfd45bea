/** Where servers are reached and where the gateway listens, as people write it. Pure. */
import { isIP } from 'node:net';
import type { Address, ListenSpec } from './model.ts';

/** `unix:/path`, `host:port`, `[v6]:port`; undefined when it is none of them. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? { kind: 'unix', path: text.slice(5) } : undefined;
  const [, v6, host, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65535) return undefined;
  return { kind: 'tcp', host: (v6 ?? host) as string, port: Number(port) };
}

/** A host as it stands before a port. */
export const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);

/** The same as a text: what `parseAddress` reads. */
export const addressName = (address: Address): string =>
  address.kind === 'unix' ? `unix:${address.path}` : `${bracketed(address.host)}:${address.port}`;

/** `8080`, `127.0.0.1:8080`, `[::]:8080`; undefined when it is none of them. */
export function parseListen(given: string | number): ListenSpec | undefined {
  if (typeof given === 'number' || /^\d+$/.test(given))
    return Number(given) >= 1 && Number(given) <= 65535 ? { port: Number(given) } : undefined;
  const address = parseAddress(given.replace(/^\*:/, '0.0.0.0:'));
  return address?.kind === 'tcp' ? { host: address.host, port: address.port } : undefined;
}

/** Names by which only this machine reaches itself. */
export const isLoopback = (host: string): boolean => /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host.replace(/^\[|\]$/g, ''));
