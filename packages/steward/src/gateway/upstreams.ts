/** The servers behind the routes: their health and the connections kept open to them, across changes of the table. */
import { isIP } from 'node:net';
import { Pool } from 'undici';
import type { Address } from '../config/model.ts';
import { type Balance, createBalance, pickServer, type Server } from './balance.ts';
import type { RouteTable } from './table.ts';

/** The way to one server. */
export interface Link {
  readonly pool: Pool;
  /** For the log: `unix:/path` or `host:port`. */
  readonly label: string;
  /** The server's own Host header. */
  readonly authority: string;
  /** Name asked for in TLS. */
  readonly serverName: string;
}

export interface LinkKind {
  readonly scheme: 'http' | 'https';
  readonly connectTimeoutMs: number;
}

/** Upstreams with large cookies or long CSP headers are not ours to refuse; clients are held to 16 KB. */
const maxAnswerHeaderBytes = 64 * 1024;

const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host);

/** What people call an address: `unix:/path` or `host:port`. */
export const addressName = (address: Address): string =>
  address.kind === 'unix' ? `unix:${address.path}` : `${bracketed(address.host)}:${address.port}`;

/** The Host header that names the address itself. */
export function authorityOf(address: Address, scheme: 'http' | 'https'): string {
  if (address.kind === 'unix') return 'localhost';
  const usual = scheme === 'https' ? 443 : 80;
  return address.port === usual ? bracketed(address.host) : `${bracketed(address.host)}:${address.port}`;
}

function createLink(address: Address, { scheme, connectTimeoutMs }: LinkKind): Link {
  const authority = authorityOf(address, scheme);
  const pool = new Pool(`${scheme}://${authority}`, {
    connectTimeout: connectTimeoutMs,
    allowH2: false,
    maxHeaderSize: maxAnswerHeaderBytes,
    ...(address.kind === 'unix' ? { socketPath: address.path } : {}),
    // As nginx: an upstream's certificate is not checked, since inner certificates are mostly self-signed.
    ...(scheme === 'https' ? { connect: { rejectUnauthorized: false } } : {}),
  });
  const named = address.kind === 'tcp' && isIP(address.host) === 0;
  return { pool, label: addressName(address), authority, serverName: named ? address.host : 'localhost' };
}

export class Upstreams {
  #balances = new Map<string, Balance>();
  readonly #links = new Map<string, Map<Server, Link>>();

  /** Takes the upstreams of a new table: servers that stay keep their health and connections, others finish what they have. */
  apply(table: RouteTable): void {
    const previous = this.#balances;
    this.#balances = new Map(
      Object.entries(table.upstreams).map(([name, { servers }]) => [name, createBalance(servers, previous.get(name))]),
    );
    const kept = new Set([...this.#balances.values()].flatMap(({ servers }) => servers));
    for (const links of this.#links.values()) {
      for (const [server, link] of links) {
        if (kept.has(server)) continue;
        links.delete(server);
        link.pool.close().catch(() => {});
      }
    }
  }

  /** The server for a request to upstream `name`, or undefined when none is left that is not in `tried`. */
  pick(name: string, nowMs: number, tried?: ReadonlySet<Server>): Server | undefined {
    const balance = this.#balances.get(name);
    return balance === undefined ? undefined : pickServer(balance, nowMs, tried);
  }

  /** The way to `server`, made at the first request. A server that has left the table since gets one that is not kept. */
  link(server: Server, kind: LinkKind): Link {
    const name = `${kind.scheme}${kind.connectTimeoutMs}`;
    const links = this.#links.get(name) ?? new Map<Server, Link>();
    if (links.size === 0) this.#links.set(name, links);
    const found = links.get(server);
    if (found !== undefined) return found;
    const link = createLink(server.spec.address, kind);
    links.set(server, link);
    return link;
  }

  /** Requests and failures for each server since the worker started, by upstream and address. */
  counts(): Record<string, Record<string, { requests: number; failures: number; active: number }>> {
    const all: Record<string, Record<string, { requests: number; failures: number; active: number }>> = {};
    for (const [name, { servers }] of this.#balances) {
      all[name] = Object.fromEntries(
        servers.map(({ spec, requests, failures, active }) => [addressName(spec.address), { requests, failures, active }]),
      );
    }
    return all;
  }

  /** Closes the connections that are kept open; requests under way finish. */
  async close(): Promise<void> {
    const links = [...this.#links.values()].flatMap((map) => [...map.values()]);
    this.#links.clear();
    await Promise.all(links.map(({ pool }) => pool.close().catch(() => {})));
  }
}
