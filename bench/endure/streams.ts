/**
 * Connections that live long: websockets that are asked for an echo each second, downloads that are read slowly, uploads that are sent slowly.
 * What ends is begun again, but for websockets, which are not to end. A program of its own, told by its argument (JSON); it reports over IPC.
 */
import { once } from 'node:events';
import http from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';

export type StreamsTask = {
  webSockets: { url: string; count: number };
  /** Each URL by `count` clients, of so many bytes, at a rate per second. */
  downloads: { urls: readonly string[]; count: number; bytes: number; perSecond: number };
  uploads: { url: string; count: number; bytes: number; perSecond: number };
};

/** From the start on. */
export type StreamsReport = {
  webSockets: { open: number; closed: number; echoes: number; unanswered: number; slowestMs: number };
  downloads: { complete: number; open: number };
  uploads: { complete: number; open: number };
  /** What went wrong, and how often. */
  failures: Record<string, number>;
};

const task = JSON.parse(process.argv[2] ?? '') as StreamsTask;
const found: StreamsReport = {
  webSockets: { open: 0, closed: 0, echoes: 0, unanswered: 0, slowestMs: 0 },
  downloads: { complete: 0, open: 0 },
  uploads: { complete: 0, open: 0 },
  failures: {},
};
let ending = false;

function fail(what: string): void {
  if (!ending) found.failures[what] = (found.failures[what] ?? 0) + 1;
}

const echoEveryMs = 1_000;
/** An echo later than this is a failure. */
const echoPatienceMs = 10_000;

/** Resolves when the websocket is open, and is asked for echoes. */
async function openWebSocket(url: string): Promise<void> {
  const socket = new WebSocket(url);
  const { webSockets } = found;
  let askedAt = 0;
  let asking: NodeJS.Timeout | undefined;
  socket.onmessage = () => {
    webSockets.echoes++;
    webSockets.slowestMs = Math.max(webSockets.slowestMs, performance.now() - askedAt);
    askedAt = 0;
  };
  socket.onclose = ({ code }) => {
    clearInterval(asking);
    if (ending) return;
    webSockets.open--;
    webSockets.closed++;
    fail(`websocket closed, code ${code}`);
  };
  await new Promise((resolve) => {
    socket.onopen = resolve;
    socket.onerror = resolve;
  });
  if (socket.readyState !== WebSocket.OPEN) return;
  webSockets.open++;
  await wait(Math.random() * echoEveryMs); // not all at once
  asking = setInterval(() => {
    if (askedAt === 0) {
      askedAt = performance.now();
      socket.send(`echo ${askedAt}`);
    } else if (performance.now() - askedAt > echoPatienceMs) {
      webSockets.unanswered++;
      fail('no echo in 10 s');
      askedAt = performance.now();
    }
  }, echoEveryMs);
}

/** One download, reading no faster than `perSecond`. @throws when it is not whole. */
async function downloadOnce(url: string, bytes: number, perSecond: number): Promise<void> {
  const request = http.get(url, { agent: false });
  const [answer] = (await once(request, 'response')) as [http.IncomingMessage];
  const startedAt = performance.now();
  let received = 0;
  for await (const chunk of answer) {
    received += (chunk as Buffer).length;
    await wait(Math.max(0, startedAt + (received / perSecond) * 1_000 - performance.now()));
  }
  if (answer.statusCode !== 200 || received !== bytes) throw new Error(`status ${answer.statusCode}, ${received} bytes`);
}

const piece = Buffer.alloc(16 * 1024, 'x');

/** One upload, chunked, at `perSecond`. @throws when it was not taken as a whole. */
async function uploadOnce(url: string, bytes: number, perSecond: number): Promise<void> {
  const request = http.request(url, { method: 'PUT', agent: false });
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
  answered.catch(() => {});
  const startedAt = performance.now();
  for (let sent = 0; sent < bytes && !request.destroyed; sent += piece.length) {
    request.write(piece.subarray(0, Math.min(piece.length, bytes - sent)));
    await wait(Math.max(0, startedAt + (sent / perSecond) * 1_000 - performance.now()));
  }
  request.end();
  const [answer] = await answered;
  let text = '';
  for await (const chunk of answer) text += chunk;
  if (answer.statusCode !== 200 || text !== JSON.stringify({ bytes })) throw new Error(`status ${answer.statusCode}, ${text.slice(0, 60)}`);
}

/** Again and again, until the end. */
async function forever(what: 'downloads' | 'uploads', name: string, one: () => Promise<void>): Promise<void> {
  while (!ending) {
    found[what].open++;
    try {
      await one();
      found[what].complete++;
    } catch (error) {
      fail(`${name} cut: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`);
      await wait(100);
    }
    found[what].open--;
  }
}

const { webSockets, downloads, uploads } = task;
for (let count = 0; count < webSockets.count; count += 50) {
  await Promise.all(Array.from({ length: Math.min(50, webSockets.count - count) }, () => openWebSocket(webSockets.url)));
}
for (const url of downloads.urls) {
  const name = `download of ${new URL(url).pathname}`;
  for (let count = 0; count < downloads.count; count++)
    void forever('downloads', name, () => downloadOnce(url, downloads.bytes, downloads.perSecond));
}
for (let count = 0; count < uploads.count; count++)
  void forever('uploads', 'upload', () => uploadOnce(uploads.url, uploads.bytes, uploads.perSecond));
process.send?.('open');

process.on('message', (message) => {
  if (message !== 'report') ending = true;
  process.send?.(found);
  if (ending) process.exit();
});
process.on('disconnect', () => process.exit());
