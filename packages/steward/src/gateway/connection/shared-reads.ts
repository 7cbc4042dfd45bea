/**
 * Reading all client connections into one piece of memory, which holds what one read brought until its reader returns. Node
 * would allocate and release 64 KB for each read: a tenth of the cost of a small request.
 *
 * An accepted socket cannot be told so (net.connect can, by `onread`), so its handle goes over to a socket that can:
 * docs/decisions.md says why that is worth a field that Node does not document.
 */
import { Socket, type SocketConstructorOpts } from 'node:net';

export interface BytesReader {
  /** `bytes` are overwritten by the next read of any connection if they are `shared`. */
  onBytes(bytes: Buffer, shared: boolean): void;
  /** What comes is held on to: it gets memory of its own. */
  readonly keepsBytes: boolean;
}

const memory = Buffer.allocUnsafeSlow(64 * 1024);

/** Where the bytes of one connection go. */
export class SharedReads {
  reader: BytesReader | undefined;
  #socket: Socket | undefined;

  /** Takes `socket` over, of which nothing has been read; the socket to use from here on. Undefined where Node has no way to do so. */
  takeOver(socket: Socket): Socket | undefined {
    const accepted = socket as unknown as { _handle?: object | null };
    const handle = accepted._handle;
    if (!handle || socket.bytesRead > 0) return undefined;
    accepted._handle = null;
    socket.destroy();
    const onread = { buffer: memory, callback: (length: number) => this.#onRead(memory.subarray(0, length)) };
    this.#socket = new Socket({ handle, allowHalfOpen: true, onread } as SocketConstructorOpts);
    return this.#socket;
  }

  /** From here on what comes is read from the socket, as from any stream. */
  letGo(): void {
    this.reader = undefined;
  }

  /** False stops reading, until somebody reads from the stream. */
  #onRead(bytes: Buffer): boolean {
    const { reader } = this;
    if (reader === undefined) return this.#socket?.push(Buffer.from(bytes)) ?? false;
    if (reader.keepsBytes) reader.onBytes(Buffer.from(bytes), false);
    else reader.onBytes(bytes, true);
    return true;
  }
}
