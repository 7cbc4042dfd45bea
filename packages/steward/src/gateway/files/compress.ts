/**
 * Compression of answers on their way: whether, by what, and the encoder. Which answers and statuses as in nginx's gzip module
 * (https://nginx.org/en/docs/http/ngx_http_gzip_module.html), which encoding by RFC 9110 (12.5.3).
 *
 * Measured on texts (level 4): a body of 10 KB takes 40 µs with gzip, 70 µs with brotli, 50 µs with zstd in one go; through a
 * stream, which the thread pool works, 120 to 220 µs of CPU. From 32 KB on the stream costs little more, and other requests
 * need not wait for it.
 */

import zlib from 'node:zlib';
import type { CompressSpec } from '../../config/site-model.ts';
import { fieldIn } from '../connection/header-list.ts';
import { bareType } from './media-types.ts';

export type Encoding = CompressSpec['encodings'][number];

/** Bodies up to here are compressed at once, by `encodeWhole`. */
export const wholeBytes = 32 * 1024;

const readLists = new Map<string, ReadonlyMap<string, number>>();
const maxReadLists = 200;

/** The codings of an Accept-Encoding header with their weights, 0 to 1. Browsers send a handful of different ones. */
function weightsOf(accepted: string): ReadonlyMap<string, number> {
  const known = readLists.get(accepted);
  if (known !== undefined) return known;
  const weights = new Map<string, number>();
  for (const item of accepted.toLowerCase().split(',', 32)) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim());
    const weight = parameters.find((parameter) => /^q\s*=/.test(parameter));
    const q = weight === undefined ? 1 : Number(weight.slice(weight.indexOf('=') + 1));
    if (coding !== '') weights.set(coding, q >= 0 && q <= 1 ? q : 0);
  }
  if (readLists.size >= maxReadLists) readLists.clear();
  readLists.set(accepted, weights);
  return weights;
}

/**
 * The one of `codings` that the client likes best; the first of several. Undefined when it takes none, or likes `identity` better.
 * `*` counts for nothing, as in nginx: whoever sends it has not said what it can decode.
 */
export function preferredCoding<C extends string>(codings: readonly C[], accepted: string): C | undefined {
  if (accepted === '') return undefined;
  const weights = weightsOf(accepted);
  let best: C | undefined;
  let bestWeight = weights.get('identity') ?? 0;
  for (const coding of codings) {
    const weight = weights.get(coding) ?? 0;
    if (weight > 0 && (best === undefined ? weight >= bestWeight : weight > bestWeight)) {
      best = coding;
      bestWeight = weight;
    }
  }
  return best;
}

/** nginx compresses these and no others. */
const hasBodyWorthIt = (status: number): boolean => status === 200 || status === 403 || status === 404;

const typeSets = new WeakMap<CompressSpec, ReadonlySet<string>>();

/** `*` leaves event streams alone: each event would wait for its block, and a few bytes are not worth it. */
function fitsType(spec: CompressSpec, type: string): boolean {
  let types = typeSets.get(spec);
  if (types === undefined) {
    types = new Set(spec.types.map((one) => one.toLowerCase()));
    typeSets.set(spec, types);
  }
  return types.has(type) || (types.has('*') && type !== 'text/event-stream');
}

/** Whether an answer is one that `spec` compresses, for clients that take it: then it varies with Accept-Encoding. */
export function isCompressible(spec: CompressSpec | undefined, status: number, headers: readonly string[]): spec is CompressSpec {
  if (spec === undefined || !hasBodyWorthIt(status)) return false;
  const type = fieldIn(headers, 'content-type');
  if (type === undefined || !fitsType(spec, bareType(type))) return false;
  const coding = fieldIn(headers, 'content-encoding');
  if (coding !== undefined && coding.toLowerCase() !== 'identity') return false;
  if (fieldIn(headers, 'content-range') !== undefined) return false;
  if (/\bno-transform\b/i.test(fieldIn(headers, 'cache-control') ?? '')) return false;
  const length = fieldIn(headers, 'content-length');
  return length === undefined || Number(length) >= spec.leastBytes;
}

/** Of a request, what counts for compression. */
export interface EncodingRequest {
  readonly protocol: string;
  header(name: string): string;
}

/**
 * Whether `spec` compresses for this request at all: for HTTP/1.0 and for proxies (Via) only as it says.
 * https://nginx.org/en/docs/http/ngx_http_gzip_module.html#gzip_proxied
 */
export function compressesFor({ proxied, http10 }: CompressSpec, request: EncodingRequest, headers: readonly string[]): boolean {
  if (request.protocol === 'HTTP/1.0' && http10 !== true) return false;
  if (proxied === undefined || request.header('via') === '') return true;
  if (proxied.length === 0) return false;
  if (proxied.includes('auth') && request.header('authorization') !== '') return true;
  const expires = fieldIn(headers, 'expires');
  if (expires !== undefined) return proxied.includes('expired') && Date.parse(expires) < Date.now();
  const forCaches = fieldIn(headers, 'cache-control');
  if (forCaches !== undefined)
    return (['no-cache', 'no-store', 'private'] as const).some((reason) => proxied.includes(reason) && forCaches.includes(reason));
  if (proxied.includes('no_last_modified') && fieldIn(headers, 'last-modified') !== undefined) return false;
  return !(proxied.includes('no_etag') && fieldIn(headers, 'etag') !== undefined);
}

/**
 * The encoding for an answer, or undefined to send it as it is. Does not depend on how busy the worker is for bodies that
 * `encodeWhole` takes; for larger ones, or those of unknown length, there may be no room for another encoder.
 * HEAD gets the same as GET.
 */
export function chooseEncoding(
  spec: CompressSpec | undefined,
  acceptEncoding: string,
  status: number,
  headers: readonly string[],
): Encoding | undefined {
  if (acceptEncoding === '' || !isCompressible(spec, status, headers)) return undefined;
  const encoding = preferredCoding(spec.encodings, acceptEncoding);
  if (encoding === undefined) return undefined;
  const length = fieldIn(headers, 'content-length');
  return (length !== undefined && Number(length) <= wholeBytes) || hasRoomFor(encoding) ? encoding : undefined;
}

/** Adds Accept-Encoding to Vary, in place. */
export function varyByEncoding(headers: string[]): void {
  for (let at = 0; at < headers.length; at += 2) {
    if ((headers[at] ?? '').toLowerCase() !== 'vary') continue;
    const value = headers[at + 1] ?? '';
    const names = value.split(',').map((name) => name.trim().toLowerCase());
    if (!names.includes('*') && !names.includes('accept-encoding')) headers[at + 1] = `${value}, Accept-Encoding`;
    return;
  }
  headers.push('Vary', 'Accept-Encoding');
}

/**
 * Makes headers (flat, in place) those of the encoded answer: without Content-Length, Accept-Ranges and digests of the plain
 * body, with Content-Encoding and Vary; a strong ETag becomes weak, since the bytes are others.
 */
export function encodeHeaders(headers: string[], encoding: Encoding): void {
  let to = 0;
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    const lower = name.toLowerCase();
    if (droppedWhenEncoded.has(lower)) continue;
    headers[to] = name;
    headers[to + 1] = lower === 'etag' && !value.startsWith('W/') ? `W/${value}` : value;
    to += 2;
  }
  headers.length = to;
  headers.push('Content-Encoding', encoding);
  varyByEncoding(headers);
}

const droppedWhenEncoded = new Set(['content-length', 'content-encoding', 'accept-ranges', 'content-md5', 'content-digest', 'digest']);

const { constants } = zlib;

/** 256 KB of text to look back on, which keeps an encoder of brotli or zstd from taking many megabytes. */
const windowBits = 18;

/** Above this, brotli and zstd take ten times the memory and time for one or two per cent. */
const maxModernLevel = 6;

const brotliParams = (level: number) => ({
  [constants.BROTLI_PARAM_QUALITY]: Math.min(level, maxModernLevel),
  [constants.BROTLI_PARAM_LGWIN]: windowBits,
});

const zstdParams = (level: number) => ({
  [constants.ZSTD_c_compressionLevel]: Math.min(level, maxModernLevel),
  [constants.ZSTD_c_windowLog]: windowBits,
});

/** `body` encoded in one go, on this thread: for up to `wholeBytes`. `level` 1 to 9. */
export function encodeWhole(encoding: Encoding, level: number, body: Buffer): Buffer {
  if (encoding === 'gzip') return zlib.gzipSync(body, { level });
  if (encoding === 'zstd') return zlib.zstdCompressSync(body, { params: zstdParams(level) });
  return zlib.brotliCompressSync(body, { params: { ...brotliParams(level), [constants.BROTLI_PARAM_SIZE_HINT]: body.length } });
}

/** What an encoder of each kind takes, measured, and what all of a worker may take together. */
const encoderBytes: Readonly<Record<Encoding, number>> = { gzip: 256 * 1024, br: 2 * 1024 * 1024, zstd: 3 * 1024 * 1024 };
const maxEncoderBytes = 64 * 1024 * 1024;
let usedEncoderBytes = 0;

const hasRoomFor = (encoding: Encoding): boolean => usedEncoderBytes + encoderBytes[encoding] <= maxEncoderBytes;

/** Where encoded bytes go; `write` gives false to be waited for: `Encoder.resume` goes on. */
export interface EncodedSink {
  write(chunk: Buffer): boolean;
  end(): void;
  /** The encoder failed: the answer cannot be completed. */
  fail(): void;
}

export interface Encoder {
  /** False asks to wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  end(last?: Buffer): void;
  /** The sink has room again. */
  resume(): void;
  /** Called when there is room again after `write` said false. */
  onDrain: (() => void) | undefined;
  /** Gives everything up; nothing reaches the sink any more. */
  destroy(): void;
}

/** What has been written and not been followed by more for this long is sent, so that a slow stream is seen as it comes. */
const quietMs = 20;

type Transform = zlib.Gzip | zlib.BrotliCompress | zlib.ZstdCompress;

function createTransform(encoding: Encoding, level: number): Transform {
  if (encoding === 'gzip') return zlib.createGzip({ level });
  return encoding === 'zstd'
    ? zlib.createZstdCompress({ params: zstdParams(level) })
    : zlib.createBrotliCompress({ params: brotliParams(level) });
}

const flushKinds: Readonly<Record<Encoding, number>> = {
  gzip: constants.Z_SYNC_FLUSH,
  br: constants.BROTLI_OPERATION_FLUSH,
  zstd: constants.ZSTD_e_flush,
};

/** An encoder in front of `out`. Holds what fits its own buffers (about 200 KB beside its tables) when `out` is slow. */
export function createEncoder(encoding: Encoding, level: number, out: EncodedSink): Encoder {
  const transform = createTransform(encoding, level);
  let quiet: NodeJS.Timeout | undefined;
  const flush = (): void => {
    if (!over && !ended) transform.flush(flushKinds[encoding]);
  };
  let over = false;
  let ended = false;
  usedEncoderBytes += encoderBytes[encoding];
  const finish = (): void => {
    if (over) return;
    over = true;
    clearTimeout(quiet);
    usedEncoderBytes -= encoderBytes[encoding];
  };
  transform.on('data', (chunk: Buffer) => {
    if (!over && !out.write(chunk)) transform.pause();
  });
  transform.on('end', () => {
    if (over) return;
    finish();
    out.end();
  });
  transform.on('error', () => {
    if (over) return;
    finish();
    out.fail();
  });
  transform.on('drain', () => encoder.onDrain?.());
  const encoder: Encoder = {
    write: (chunk) => {
      if (over) return true;
      if (quiet === undefined) quiet = setTimeout(flush, quietMs).unref();
      else quiet.refresh();
      return transform.write(chunk);
    },
    end: (last) => {
      if (over || ended) return;
      ended = true;
      clearTimeout(quiet);
      transform.end(last);
    },
    resume: () => {
      if (!over) transform.resume();
    },
    onDrain: undefined,
    destroy: () => {
      finish();
      transform.destroy();
    },
  };
  return encoder;
}
