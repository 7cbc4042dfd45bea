/**
 * From an accepted socket to a connection that speaks HTTP:
 *
 *   socket ── PROXY header, where the port has it ── TLS, where it has that ── HTTP/2 or HTTP/1 by what was agreed
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { ClientConnection, type Receiver } from './http1/client-connection.ts';
import { serveHttp2 } from './http2/client-session.ts';
import { type Peer, type Port, plainAddress } from './port.ts';
import { readProxyHeader } from './proxy-protocol.ts';
import { SharedReads } from './shared-reads.ts';

/** A connection of a client, for whoever closes the port. */
export interface Open {
  /** Ends it as soon as nothing is under way on it. */
  closeWhenIdle(): void;
  destroy(): void;
}

let connections = 0;

/** What PROXY headers said of the connections that are open, by their ends: TLS puts another socket over the first. */
const proxied = new Map<string, Peer['proxied']>();

const endsOf = ({ localAddress, localPort, remoteAddress, remotePort }: Socket): string =>
  `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;

/** Reads the PROXY header of `socket`, then calls `onDone`; a socket that begins with anything else is closed. */
export function takeProxyHeader(socket: Socket, timeoutMs: number, onDone: () => void): void {
  let bytes = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs).unref();
  const onData = (part: Buffer): void => {
    bytes = Buffer.concat([bytes, part]);
    const header = readProxyHeader(bytes);
    if (header === 'more') return;
    clearTimeout(timer);
    socket.off('data', onData).off('end', onEnd);
    if (header === 'wrong') return void socket.destroy();
    socket.pause();
    const ends = endsOf(socket);
    if (header.source !== undefined) {
      proxied.set(ends, header.source);
      socket.once('close', () => proxied.delete(ends));
    }
    if (header.length < bytes.length) socket.unshift(bytes.subarray(header.length));
    onDone();
  };
  const onEnd = (): void => void socket.destroy();
  socket.on('error', () => socket.destroy());
  socket.once('close', () => clearTimeout(timer));
  socket.on('data', onData).on('end', onEnd);
}

/** The first byte of a TLS handshake record (RFC 8446, 5.1). */
const handshakeByte = 22;

/**
 * Looks at the first byte of a connection to a port with TLS: `onPlain` is for clients that speak HTTP there as it is. The byte
 * is still to be read. A socket that sends none is closed.
 */
export function lookForTls(socket: Socket, timeoutMs: number, onTls: () => void, onPlain: () => void): void {
  const leave = (): void => void socket.destroy();
  socket.on('error', leave);
  socket.setTimeout(timeoutMs, leave).once('end', leave);
  socket.once('data', (part: Buffer) => {
    socket.pause();
    socket.off('end', leave).off('timeout', leave).setTimeout(0);
    socket.unshift(part);
    if (part[0] === handshakeByte) onTls();
    else onPlain();
  });
  if (socket.isPaused()) socket.resume();
}

function peerOf(socket: Socket): Peer {
  return {
    address: plainAddress(socket.remoteAddress ?? ''),
    port: socket.remotePort ?? 0,
    localAddress: plainAddress(socket.localAddress ?? ''),
    connection: ++connections,
    requests: 0,
    proxied: proxied.size === 0 ? undefined : proxied.get(endsOf(socket)),
    tls: socket instanceof TLSSocket ? socket : undefined,
  };
}

/** Speaks HTTP on a socket that is ready for it. `onClose` is called when it is gone. */
export function speak(socket: Socket, port: Port, receiver: Receiver, onClose: (open: Open) => void): Open {
  const peer = peerOf(socket);
  receiver.opened();
  if (socket instanceof TLSSocket && socket.alpnProtocol === 'h2') {
    const open: Open = serveHttp2(socket, port, peer, receiver, () => onClose(open));
    return open;
  }
  const reads = socket instanceof TLSSocket ? undefined : new SharedReads();
  const taken = reads?.takeOver(socket);
  const used = taken ?? socket;
  const connection = new ClientConnection(used, port, peer, receiver, taken && reads);
  const open: Open = { closeWhenIdle: () => connection.closeWhenIdle(), destroy: () => used.destroy() };
  used.once('close', () => onClose(open));
  if (taken !== undefined || socket.isPaused()) used.resume();
  return open;
}
