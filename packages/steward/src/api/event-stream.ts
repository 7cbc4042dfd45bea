/** Server-sent events: as they come, no faster than the reader takes them. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { StreamItem } from './handlers.ts';

/** A stream says this often that it is there: proxies drop connections that say nothing, dead readers are found, and those who may no longer read are let go. */
const beatMs = 5_000;
/** A reader that takes nothing for this long is let go; it goes on with Last-Event-ID. */
const stallMs = 60_000;

const textOf = ({ id, data }: StreamItem<unknown>): string => `${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`;

/** False when the reader took nothing for too long. */
async function write(raw: ServerResponse, text: string, signal: AbortSignal): Promise<boolean> {
  if (raw.write(text)) return true;
  const late = AbortSignal.timeout(stallMs);
  await once(raw, 'drain', { signal: AbortSignal.any([signal, late]) }).catch(() => {});
  return !late.aborted;
}

/** Resolves when the stream has ended; a refusal of the first item still becomes a proper answer. Ends within a beat when `isGood` says no. */
export async function sendEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  items: (signal: AbortSignal) => AsyncGenerator<StreamItem<unknown>>,
  isGood: () => boolean = () => true,
): Promise<void> {
  const controller = new AbortController();
  const { signal } = controller;
  const { raw } = reply;
  raw.on('close', () => controller.abort());
  request.raw.on('error', () => controller.abort());
  const events = items(signal);
  const first = await events.next();
  reply.hijack();
  raw.writeHead(200, {
    ...(reply.getHeaders() as Record<string, string>),
    'content-type': 'text/event-stream',
    'cache-control': 'no-store',
  });
  raw.flushHeaders();
  const beat = setInterval(() => {
    if (!isGood()) controller.abort();
    else if (raw.writableLength === 0) raw.write(': \n\n');
  }, beatMs).unref();
  try {
    for (let next = first; !next.done && !signal.aborted; next = await events.next())
      if (!(await write(raw, textOf(next.value), signal))) break;
  } finally {
    clearInterval(beat);
    await events.return(undefined);
    raw.end();
  }
}
