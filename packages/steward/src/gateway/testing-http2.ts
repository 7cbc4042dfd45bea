/** For tests of HTTP/2: frames made by hand, for what no client library sends. */
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import tls, { type TLSSocket } from 'node:tls';
import { until } from './testing.ts';

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;
export const endStream = 1;
export const endHeaders = 4;

export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A text of HPACK, not compressed (RFC 7541, 5.2). */
function hpackText(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const length: number[] = [];
  let left = bytes.length;
  if (left < 127) length.push(left);
  else {
    length.push(127);
    for (left -= 127; left >= 128; left >>= 7) length.push((left & 127) | 128);
    length.push(left);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** Fields as they are, none indexed. */
export const hpack = (fields: readonly (readonly [string, string])[]): Buffer =>
  Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), hpackText(name), hpackText(value)]));

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export interface FrameClient {
  readonly socket: TLSSocket;
  readonly frames: Frame[];
  send(...frames: Buffer[]): void;
  readonly closed: () => boolean;
  /** What became of a stream: its status and all of its body, the code it was reset with, or how the connection ended. */
  outcome(stream: number): Promise<string>;
}

/** A connection that has sent its preface and its (empty) settings. */
export async function connectFrames(t: TestContext, port: number): Promise<FrameClient> {
  const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false });
  t.after(() => socket.destroy());
  const frames: Frame[] = [];
  let rest = Buffer.alloc(0);
  let closed = false;
  socket.on('error', () => {});
  socket.on('close', () => {
    closed = true;
  });
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      const found = { type: rest[3] ?? 0, flags: rest[4] ?? 0, stream: rest.readUInt32BE(5), payload: rest.subarray(9, end) };
      frames.push(found);
      rest = rest.subarray(end);
      if (found.type === frameTypes.settings && found.flags === 0) socket.write(frame(frameTypes.settings, 1, 0));
    }
  });
  await once(socket, 'secureConnect');
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(frame(frameTypes.settings, 0, 0));
  const ofStream = (stream: number): string | undefined => {
    const reset = frames.find((one) => one.type === frameTypes.reset && one.stream === stream);
    const goaway = frames.find((one) => one.type === frameTypes.goaway);
    const own = frames.filter((one) => one.stream === stream);
    const ended = own.some(({ type, flags }) => (type === frameTypes.data || type === frameTypes.headers) && (flags & endStream) !== 0);
    if (reset !== undefined && !ended) return `reset ${reset.payload.readUInt32BE(0)}`;
    if (ended) {
      const body = own.filter(({ type }) => type === frameTypes.data).map(({ payload }) => payload.toString());
      // Statuses that are not in HPACK's table stand there as digits; 200 is 0x88, 204 0x89, 304 0x8b, 400 0x8c, 404 0x8d, 500 0x8e.
      const block = own.find(({ type }) => type === frameTypes.headers)?.payload;
      const known: Record<number, number> = { 136: 200, 137: 204, 138: 206, 139: 304, 140: 400, 141: 404, 142: 500 };
      return `${known[block?.[0] ?? 0] ?? 'other'} ${body.join('')}`.trim();
    }
    if (goaway !== undefined && goaway.payload.readUInt32BE(4) !== 0) return `goaway ${goaway.payload.readUInt32BE(4)}`;
    return closed ? 'closed' : undefined;
  };
  return {
    socket,
    frames,
    send: (...all) => void socket.write(Buffer.concat(all)),
    closed: () => closed,
    outcome: (stream) => until(`stream ${stream}`, () => ofStream(stream)),
  };
}
