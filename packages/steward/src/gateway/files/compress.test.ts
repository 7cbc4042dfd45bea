import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import zlib from 'node:zlib';
import type { CompressSpec } from '../../config/site-model.ts';
import {
  chooseEncoding,
  compressesFor,
  createEncoder,
  type Encoding,
  encodeHeaders,
  encodeWhole,
  isCompressible,
  preferredCoding,
} from './compress.ts';

const spec: CompressSpec = { encodings: ['br', 'gzip', 'zstd'], types: ['text/html', 'application/json'], leastBytes: 1000, level: 4 };
const html = ['Content-Type', 'text/html; charset=utf-8', 'Content-Length', '5000'];
const encodings: readonly Encoding[] = ['br', 'gzip', 'zstd'];

const decode = (encoding: Encoding, bytes: Buffer): Buffer =>
  encoding === 'gzip' ? zlib.gunzipSync(bytes) : encoding === 'br' ? zlib.brotliDecompressSync(bytes) : zlib.zstdDecompressSync(bytes);

test('the client chooses the encoding by its weights, and the order of the configuration decides between equals', () => {
  const table: [string, Encoding | undefined][] = [
    ['', undefined],
    ['gzip', 'gzip'],
    ['GZIP, deflate, BR', 'br'],
    ['gzip, br, zstd', 'br'],
    ['x-gzip', undefined],
    ['br;q=0.5, gzip;q=0.8', 'gzip'],
    ['br;q=0, gzip;q=0', undefined],
    ['*', undefined],
    ['br;q=0, *;q=0.1', undefined],
    ['*;q=0', undefined],
    ['identity', undefined],
    ['identity;q=0, gzip;q=0.1', 'gzip'],
    ['identity;q=1, br;q=0.5', undefined],
    ['identity;q=0.5, gzip;q=1', 'gzip'],
    ['gzip; q = 0.3', 'gzip'],
    ['gzip;q=nonsense', undefined],
    ['deflate', undefined],
  ];
  for (const [accepted, encoding] of table) assert.equal(preferredCoding(encodings, accepted), encoding, accepted);
  assert.equal(preferredCoding(['gzip'], 'br, *;q=0.2'), undefined);
});

test('only what is worth it and may be changed is compressed', () => {
  const table: [number, string[], boolean][] = [
    [200, html, true],
    [404, html, true],
    [403, html, true],
    [500, html, false],
    [201, html, false],
    [206, html, false],
    [204, html, false],
    [301, html, false],
    [304, html, false],
    [200, ['content-type', 'TEXT/HTML'], true],
    [200, ['Content-Type', 'image/png'], false],
    [200, ['Content-Length', '5000'], false],
    [200, ['Content-Type', 'text/html', 'Content-Length', '999'], false],
    [200, [...html, 'Content-Encoding', 'gzip'], false],
    [200, [...html, 'Content-Range', 'bytes 0-1/2'], false],
    [200, [...html, 'Cache-Control', 'public, no-transform'], false],
    [200, ['Content-Type', 'text/event-stream'], false],
  ];
  for (const [status, headers, fits] of table) assert.equal(isCompressible(spec, status, headers), fits, `${status} ${headers}`);
  assert.equal(isCompressible(undefined, 200, html), false);
  const all = { ...spec, types: ['*'] };
  assert.equal(isCompressible(all, 200, ['Content-Type', 'x/y']), true);
  assert.equal(isCompressible(all, 200, ['Content-Type', 'text/event-stream']), false);
  assert.equal(isCompressible({ ...spec, types: ['*', 'text/event-stream'] }, 200, ['Content-Type', 'text/event-stream']), true);
  assert.equal(chooseEncoding(spec, 'gzip', 200, html), 'gzip');
  assert.equal(chooseEncoding(spec, '', 200, html), undefined);
});

test('proxies and HTTP/1.0 are compressed for as the specification says', () => {
  const asked = (headers: Record<string, string>, protocol = 'HTTP/1.1') => ({ protocol, header: (name: string) => headers[name] ?? '' });
  const via = asked({ via: '1.1 cache' });
  const known = { ...spec, proxied: ['expired', 'no-store', 'no_etag', 'auth'] as const };
  assert.equal(compressesFor(spec, via, html), true);
  assert.equal(compressesFor(spec, asked({}, 'HTTP/1.0'), html), false);
  assert.equal(compressesFor({ ...spec, http10: true }, asked({}, 'HTTP/1.0'), html), true);
  assert.equal(compressesFor({ ...spec, proxied: [] }, asked({}), html), true);
  assert.equal(compressesFor({ ...spec, proxied: [] }, via, html), false);
  const table: [string[], boolean][] = [
    [['Expires', 'Thu, 01 Jan 1970 00:00:01 GMT', 'Cache-Control', 'public'], true],
    [['Expires', 'Fri, 01 Jan 2100 00:00:00 GMT', 'Cache-Control', 'no-store'], false],
    [['Cache-Control', 'max-age=1, no-store'], true],
    [['Cache-Control', 'no-cache'], false],
    [['ETag', '"x"'], false],
    [['Last-Modified', 'Thu, 01 Jan 1970 00:00:01 GMT'], true],
  ];
  for (const [headers, fits] of table) assert.equal(compressesFor(known, via, headers), fits, headers.join());
  assert.equal(compressesFor(known, asked({ via: 'x', authorization: 'Basic x' }), ['ETag', '"x"']), true);
});

test('headers of an encoded answer are those of its new body', () => {
  const headers = [...html, 'ETag', '"a"', 'accept-ranges', 'bytes', 'Vary', 'Origin', 'X-Own', '1'];
  encodeHeaders(headers, 'br');
  assert.deepEqual(headers, [
    'Content-Type',
    'text/html; charset=utf-8',
    'ETag',
    'W/"a"',
    'Vary',
    'Origin, Accept-Encoding',
    'X-Own',
    '1',
    'Content-Encoding',
    'br',
  ]);
  const weak = ['etag', 'W/"a"', 'vary', 'accept-encoding'];
  encodeHeaders(weak, 'gzip');
  assert.deepEqual(weak, ['etag', 'W/"a"', 'vary', 'accept-encoding', 'Content-Encoding', 'gzip']);
  const any = ['Vary', '*'];
  encodeHeaders(any, 'gzip');
  assert.deepEqual(any, ['Vary', '*', 'Content-Encoding', 'gzip']);
});

test('small bodies are encoded at once, at every level', () => {
  const body = Buffer.from('{"name":"steward"},'.repeat(300));
  for (const encoding of encodings) {
    for (const level of [1, 4, 9]) {
      const encoded = encodeWhole(encoding, level, body);
      assert.ok(encoded.length < body.length / 10 && decode(encoding, encoded).equals(body), `${encoding} ${level}`);
    }
  }
});

/** An encoder whose output is gathered; `out.free` false makes the sink slow. */
function gather(encoding: Encoding) {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  const out = { free: true, bytes: () => Buffer.concat(chunks) };
  const encoder = createEncoder(encoding, 4, {
    write: (chunk) => {
      chunks.push(chunk);
      return out.free;
    },
    end: () => resolve(Buffer.concat(chunks)),
    fail: () => reject(new Error('failed')),
  });
  return { encoder, out, done: promise };
}

/** Text that does not compress to nothing. */
const text = (bytes: number): Buffer => Buffer.from(randomBytes(bytes / 2).toString('hex'));

test('a stream comes out whole, with waiting where the encoder is full', async () => {
  const body = text(3_000_000);
  for (const encoding of encodings) {
    const { encoder, done } = gather(encoding);
    let waits = 0;
    for (let at = 0; at < body.length; at += 50_000) {
      if (encoder.write(body.subarray(at, at + 50_000))) continue;
      waits++;
      await new Promise<void>((resolve) => {
        encoder.onDrain = resolve;
      });
    }
    encoder.end(Buffer.from('end'));
    assert.ok(decode(encoding, await done).equals(Buffer.concat([body, Buffer.from('end')])), encoding);
    assert.ok(waits > 0, encoding);
  }
});

test('a slow sink stops the encoder, which then holds little', async () => {
  const { encoder, out, done } = gather('gzip');
  out.free = false;
  const body = text(100_000);
  let taken = 0;
  let full = false;
  encoder.onDrain = () => {
    full = false;
  };
  for (let at = 0; at < 200; at++) {
    if (!full && at < 100) {
      full = !encoder.write(body);
      taken++;
    }
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.ok(taken < 20 && out.bytes().length < 400_000, `${taken} ${out.bytes().length}`);
  out.free = true;
  encoder.resume();
  encoder.end();
  assert.equal(decode('gzip', await done).length, taken * body.length);
});

test('what has been written is sent after a short quiet, before the end', async () => {
  for (const encoding of encodings) {
    const { encoder, out } = gather(encoding);
    encoder.write(Buffer.from('first part'));
    const end = performance.now() + 5_000;
    // The header alone is out at once; the text takes at least as many bytes as it has letters.
    while (out.bytes().length < 12 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.ok(out.bytes().length >= 12, encoding);
    encoder.destroy();
  }
});

test('with too many encoders at work, large answers are sent as they are and small ones are still compressed', () => {
  const large = ['Content-Type', 'text/html', 'Content-Length', '900000'];
  const encoders = [];
  while (chooseEncoding(spec, 'zstd', 200, large) !== undefined && encoders.length < 1000) encoders.push(gather('zstd').encoder);
  assert.ok(encoders.length > 10 && encoders.length < 100, String(encoders.length));
  assert.equal(chooseEncoding(spec, 'zstd', 200, ['Content-Type', 'text/html']), undefined);
  assert.equal(chooseEncoding(spec, 'zstd', 200, html), 'zstd');
  for (const encoder of encoders) encoder.destroy();
  for (const encoder of encoders) encoder.destroy();
  assert.equal(chooseEncoding(spec, 'zstd', 200, large), 'zstd');
});
