/** A port of the gateway as its connections see it, and who is at the other end of one. */
import type { TLSSocket } from 'node:tls';
import type { Deadlines } from './deadlines.ts';

/** What changes with the table; one object for all ports. */
export interface Limits {
  headerTimeoutMs: number;
  stallTimeoutMs: number;
  idleTimeoutMs: number;
  maxHeaderBytes: number;
}

/** The port a request came in by. */
export interface Port {
  readonly name: string;
  readonly number: number;
  readonly tls: boolean;
  readonly limits: Limits;
  readonly deadlines: Deadlines;
  /** Set when it is being closed: each answer then ends its connection. */
  closing: boolean;
}

/** The other end of a connection. */
export interface Peer {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  /** A number for each connection of this worker. */
  readonly connection: number;
  requests: number;
  /** What a PROXY protocol header said. */
  readonly proxied: { readonly address: string; readonly port: number } | undefined;
  readonly tls: TLSSocket | undefined;
}

export const plainAddress = (address: string): string => (address.startsWith('::ffff:') ? address.slice(7) : address);
