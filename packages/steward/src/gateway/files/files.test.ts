import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdir, open, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { FilesAction } from '../../config/site-model.ts';
import { parseTarget } from '../target.ts';
import { filesIn, temporaryFolder } from '../testing.ts';
import { compileFiles, compilePlace, type FileExchange, type FileParts, lookFor, serveFile } from './files.ts';

/** A request of node:http in the shape that files are answered by. */
function exchangeOf(req: http.IncomingMessage, res: http.ServerResponse): FileExchange {
  const target = parseTarget(req.url ?? '');
  const exchange = {
    method: req.method ?? '',
    path: target?.path ?? { raw: '/', bytes: '/', text: '/' },
    args: target?.query.slice(1) ?? '',
    host: (req.headers.host ?? '').split(':')[0],
    vars: undefined,
    begun: false,
    closed: false,
    onDrain: undefined as (() => void) | undefined,
    onAbandon: undefined as (() => void) | undefined,
    header: (name: string) => String(req.headers[name] ?? ''),
    begin: (status: number, headers: string[]) => {
      exchange.begun = true;
      res.writeHead(status, headers);
    },
    write: (part: Buffer) => res.write(part),
    end: (last?: Buffer) => void res.end(last),
    breakOff: () => req.socket.destroy(),
    respond: (status: number, headers: string[], body: string | Buffer = '') => {
      const length = Buffer.byteLength(body);
      exchange.begin(status, status === 304 ? headers : [...headers, 'Content-Length', String(length)]);
      res.end(exchange.method === 'HEAD' || status === 304 ? undefined : body);
    },
    respondPage: (status: number, headers: string[] = []) => exchange.respond(status, headers, `${status}`),
  };
  res.on('drain', () => exchange.onDrain?.());
  res.on('close', () => {
    exchange.closed = true;
    if (!res.writableFinished) exchange.onAbandon?.();
  });
  return exchange as unknown as FileExchange;
}

interface Place {
  readonly prefix: string;
  readonly action: FilesAction;
  readonly parts?: (exchange: FileExchange) => FileParts;
}

/** Serves each place under its prefix, the longest that fits; the port. */
async function serve(t: TestContext, places: readonly Place[]): Promise<number> {
  const compiled = places.map((place) => ({ ...place, files: compileFiles(place.action) }));
  const server = http.createServer((req, res) => {
    const exchange = exchangeOf(req, res);
    if (parseTarget(req.url ?? '') === undefined) return exchange.respondPage(400);
    const place = compiled
      .filter(({ prefix }) => exchange.path.text.startsWith(prefix))
      .sort((a, b) => b.prefix.length - a.prefix.length)[0];
    if (place !== undefined) serveFile(exchange, place.files, place.prefix, place.parts?.(exchange));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  readonly bytes: Buffer;
}

function ask(port: number, target: string, options: http.RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port, path: target, agent: false, ...options }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject);
      answer.on('end', () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: bytes.toString(), bytes });
      });
    });
    request.on('error', reject);
    request.end();
  });
}

function askRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = net.connect(port, '127.0.0.1', () => socket.write(text, 'latin1'));
    socket.setEncoding('latin1').on('data', (part) => {
      received += String(part);
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

/** A folder with the usual temptations beside and inside it. */
async function makeFolder(t: TestContext): Promise<string> {
  const outside = await temporaryFolder(t);
  const root = path.join(outside, 'www');
  for (const folder of ['sub/.well-known', '.well-known', '.git', 'empty', 'a b'])
    await mkdir(path.join(root, folder), { recursive: true });
  const files = {
    'index.html': '<p>home</p>',
    'hello.txt': '0123456789',
    'app.js': 'let a',
    'sub/index.html': 'sub',
    '.env': 'secret',
    '.git/config': 'secret',
    '.well-known/token': 'token',
    '点餐.txt': 'menu',
    'a b/c d.txt': 'spaces',
  };
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(root, name), content);
  await writeFile(path.join(outside, 'secret.txt'), 'secret');
  await symlink('../secret.txt', path.join(root, 'escape.txt'));
  await symlink('..', path.join(root, 'up'));
  await symlink('hello.txt', path.join(root, 'inside.txt'));
  execFileSync('mkfifo', [path.join(root, 'pipe')]);
  return root;
}

async function serveFolder(t: TestContext): Promise<{ port: number; root: string }> {
  const root = await makeFolder(t);
  const port = await serve(t, [
    { prefix: '/', action: filesIn(root) },
    { prefix: '/static', action: filesIn(root, { mapping: 'strip' }) },
    { prefix: '/spa/', action: filesIn(root, { mapping: 'strip', fallback: '/index.html' }) },
  ]);
  return { port, root };
}

test('files are served with type, tag and date; folders by their index', async (t) => {
  const { port } = await serveFolder(t);
  const hello = await ask(port, '/hello.txt');
  assert.deepEqual(
    [hello.status, hello.body, hello.headers['content-type'], hello.headers['content-length']],
    [200, '0123456789', 'text/plain; charset=utf-8', '10'],
  );
  assert.ok(hello.headers.etag && hello.headers['last-modified'] && hello.headers['accept-ranges'] === 'bytes');
  assert.equal((await ask(port, '/')).body, '<p>home</p>');
  assert.equal((await ask(port, '/sub/')).body, 'sub');
  assert.equal((await ask(port, '/static/hello.txt')).body, '0123456789');
  assert.equal((await ask(port, `/${encodeURIComponent('点餐.txt')}`)).body, 'menu');
  assert.equal((await ask(port, '/a%20b/c%20d.txt')).body, 'spaces');
  assert.equal((await ask(port, '/inside.txt')).body, '0123456789');
  assert.match((await ask(port, '/app.js')).headers['content-type'] ?? '', /javascript/);
  const head = await ask(port, '/hello.txt', { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers['content-length'], head.body], [200, '10', '']);
});

test('a folder without its slash is redirected, one without an index is forbidden', async (t) => {
  const { port } = await serveFolder(t);
  const sub = await ask(port, '/sub?x=1');
  assert.deepEqual([sub.status, sub.headers.location], [301, '/sub/?x=1']);
  assert.equal((await ask(port, '/a%20b')).headers.location, '/a%20b/');
  assert.equal((await ask(port, '/empty/')).status, 403);
  assert.equal((await ask(port, '/nothing/')).status, 404);
  assert.equal((await ask(port, '/hello.txt/')).status, 404);
});

test('a single-page app gets its fallback for what is no file', async (t) => {
  const { port } = await serveFolder(t);
  assert.equal((await ask(port, '/spa/hello.txt')).body, '0123456789');
  const deep = await ask(port, '/spa/orders/7');
  assert.deepEqual([deep.status, deep.body], [200, '<p>home</p>']);
  assert.equal((await ask(port, '/spa/empty/')).body, '<p>home</p>');
  assert.equal((await ask(port, '/spa/.env')).status, 404);
});

test('only GET and HEAD get files; POST learns first whether there is one', async (t) => {
  const { port } = await serveFolder(t);
  const statuses = async (target: string, method: string) => (await ask(port, target, { method })).status;
  assert.equal(await statuses('/hello.txt', 'POST'), 405);
  assert.equal(await statuses('/missing.txt', 'POST'), 404);
  assert.equal(await statuses('/sub', 'POST'), 301);
  assert.equal(await statuses('/missing.txt', 'DELETE'), 405);
  assert.equal((await ask(port, '/hello.txt', { method: 'PUT' })).headers.allow, 'GET, HEAD');
});

test('ranges give the parts that were asked for', async (t) => {
  const { port } = await serveFolder(t);
  const table: [string, number, string, string | undefined][] = [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'],
    ['bytes=10-', 416, '416', 'bytes */10'],
    ['bytes=10-,11-', 416, '416', 'bytes */10'],
    ['bytes=2-3,50-60', 206, '23', 'bytes 2-3/10'],
    ['bytes=5-2', 416, '416', 'bytes */10'],
    ['bytes=x', 416, '416', 'bytes */10'],
    ['bytes=0-1,5-2', 206, '01', 'bytes 0-1/10'],
    ['bytes=0-1,x', 416, '416', 'bytes */10'],
    ['bytes=', 200, '0123456789', undefined],
    ['lines=1-2', 200, '0123456789', undefined],
  ];
  for (const [range, status, body, contentRange] of table) {
    const answer = await ask(port, '/hello.txt', { headers: { range } });
    assert.deepEqual([answer.status, answer.headers['content-range']], [status, contentRange], range);
    assert.ok(answer.body.startsWith(body), range);
  }
});

/** The parts of a multipart/byteranges body: Content-Type, Content-Range and bytes of each. */
function partsOf(answer: Answer): string[][] {
  const boundary = /^multipart\/byteranges; boundary=(\d+)$/.exec(answer.headers['content-type'] ?? '')?.[1];
  assert.ok(boundary !== undefined);
  assert.equal(answer.headers['content-length'], String(answer.bytes.length));
  const [before, ...parts] = answer.bytes.toString('latin1').split(`\r\n--${boundary}`);
  assert.equal(before, '');
  assert.equal(parts.pop(), '--\r\n');
  return parts.map((part) => {
    const [, type = '', range = '', body = ''] = /^\r\nContent-Type: (.*)\r\nContent-Range: bytes (.*)\r\n\r\n([\s\S]*)$/.exec(part) ?? [];
    return [type, range, body];
  });
}

test('several ranges come as parts, from memory and from the disk', async (t) => {
  const { port, root } = await serveFolder(t);
  const answer = await ask(port, '/hello.txt', { headers: { range: 'bytes=7-8, 0-1,-1,90-' } });
  assert.equal(answer.status, 206);
  assert.deepEqual(partsOf(answer), [
    ['text/plain; charset=utf-8', '7-8/10', '78'],
    ['text/plain; charset=utf-8', '0-1/10', '01'],
    ['text/plain; charset=utf-8', '9-9/10', '9'],
  ]);
  const content = randomBytes(3_000_000);
  await writeFile(path.join(root, 'big.bin'), content);
  const big = await ask(port, '/big.bin', { headers: { range: 'bytes=2000000-2999999,5-1000004' } });
  assert.deepEqual(
    partsOf(big).map(([, range, body]) => [
      range,
      body === (range?.startsWith('5-') ? content.subarray(5, 1000005) : content.subarray(2000000)).toString('latin1'),
    ]),
    [
      ['2000000-2999999/3000000', true],
      ['5-1000004/3000000', true],
    ],
  );
  const head = await ask(port, '/hello.txt', { method: 'HEAD', headers: { range: 'bytes=0-0,5-5' } });
  assert.deepEqual([head.status, head.body], [206, '']);
});

test('ranges of more bytes than the file has, or more than 32, get the whole file once', async (t) => {
  const { port } = await serveFolder(t);
  const attacks = [
    'bytes=0-,0-,0-,0-',
    'bytes=0-5,5-9',
    'bytes=0-5,0-5',
    'bytes=-5,-6',
    `bytes=${Array.from({ length: 33 }, () => '0-0').join(',')}`,
    `bytes=${Array.from({ length: 1300 }, (_, at) => `5-${at}`).join(',')}`,
  ];
  for (const range of attacks) {
    const answer = await ask(port, '/hello.txt', { headers: { range } });
    assert.deepEqual([answer.status, answer.body], [200, '0123456789'], range.slice(0, 40));
  }
});

test('unchanged files are not sent again, changed ones are never continued', async (t) => {
  const { port, root } = await serveFolder(t);
  const first = await ask(port, '/hello.txt');
  const { etag = '', 'last-modified': modified = '' } = first.headers;
  const statusWith = async (headers: http.OutgoingHttpHeaders) => (await ask(port, '/hello.txt', { headers })).status;
  assert.equal(await statusWith({ 'if-none-match': etag }), 304);
  assert.equal(await statusWith({ 'if-none-match': `W/"x", ${etag}` }), 304);
  assert.equal(await statusWith({ 'if-none-match': '"other"', 'if-modified-since': modified }), 200);
  assert.equal(await statusWith({ 'if-modified-since': modified }), 304);
  assert.equal(await statusWith({ 'if-modified-since': new Date(Date.now() + 86_400_000).toUTCString() }), 200);
  assert.equal(await statusWith({ 'if-match': '"other"' }), 412);
  assert.equal(await statusWith({ 'if-unmodified-since': 'Thu, 01 Jan 1970 00:00:00 GMT' }), 412);
  assert.equal(await statusWith({ range: 'bytes=0-1', 'if-range': etag }), 206);
  await writeFile(path.join(root, 'hello.txt'), 'abcdefghij');
  await utimes(path.join(root, 'hello.txt'), 1, 1);
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  assert.equal(await statusWith({ range: 'bytes=0-1', 'if-range': etag }), 200);
  assert.equal(await statusWith({ range: 'bytes=0-1', 'if-range': modified }), 200);
  assert.equal(await statusWith({ 'if-none-match': etag }), 200);
});

test('a change is seen within a second, a new file at once, and a deleted one is not served for longer', async (t) => {
  const { port, root } = await serveFolder(t);
  const file = path.join(root, 'hello.txt');
  const past = () => new Promise((resolve) => setTimeout(resolve, 1_050));
  assert.equal((await ask(port, '/new.txt')).status, 404);
  await writeFile(path.join(root, 'new.txt'), 'new');
  assert.equal((await ask(port, '/new.txt')).body, 'new');
  await utimes(file, 1, 1);
  assert.equal((await ask(port, '/hello.txt')).body, '0123456789');
  await past();
  // Same size and time, as a copy that keeps times leaves it.
  await writeFile(path.join(root, 'next'), 'ABCDEFGHIJ');
  await utimes(path.join(root, 'next'), 1, 1);
  await rename(path.join(root, 'next'), file);
  await past();
  assert.equal((await ask(port, '/hello.txt')).body, 'ABCDEFGHIJ');
  await rm(file);
  await symlink('../secret.txt', file);
  await past();
  assert.equal((await ask(port, '/hello.txt')).status, 404);
});

test('nothing outside the folder and nothing hidden is served, however it is asked for', async (t) => {
  const { port } = await serveFolder(t);
  const refused = [
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/..%2fsecret.txt',
    '/sub/../../secret.txt',
    '/sub/%2e%2e/%2e%2e/secret.txt',
    '/..\\secret.txt',
    '/%5c..%5csecret.txt',
    '/static../secret.txt',
    '/static/../../secret.txt',
    '/static%2f..%2f..%2fsecret.txt',
    '/staticsecret.txt',
    '/.env',
    '/%2eenv',
    '/.git/config',
    '/.git/',
    '/sub/.well-known/x',
    '/static/.env',
    '/escape.txt',
    '/up',
    '/up/',
    '/up/secret.txt',
    '/static/up/secret.txt',
    '/hello.txt%00.html',
    '/%00',
    '/%',
    '/%zz',
    '/pipe',
    '/%252e%252e/secret.txt',
    '/....//secret.txt',
  ];
  for (const target of refused) {
    const answer = await askRaw(port, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 (400|404) /, target);
    assert.doesNotMatch(answer, /secret$/, target);
  }
  assert.equal((await ask(port, '/.well-known/token')).body, 'token');
});

test('a folder named by a variable is one folder, whatever the client sends', async (t) => {
  const root = await makeFolder(t);
  const port = await serve(t, [
    { prefix: '/', action: filesIn(`${path.dirname(root)}/$host`) },
    { prefix: '/one/', action: filesIn(`${root}/$arg_name`, { mapping: 'whole' }) },
  ]);
  const from = async (host: string, target: string) => (await ask(port, target, { headers: { host } })).status;
  assert.equal(await from('www', '/hello.txt'), 200);
  assert.equal(await from('..', '/secret.txt'), 404);
  assert.equal(await from('www/..', '/secret.txt'), 404);
  assert.equal(await from('other', '/hello.txt'), 404);
  assert.equal(await from('www', '/one/?name=hello.txt'), 404);
  assert.equal(await from('www', '/one/x?name=hello.txt'), 200);
  assert.equal(await from('www', '/one/x?name=../secret.txt'), 404);
  assert.equal(await from('www', '/one/x?name=escape.txt'), 404);
});

test('one file can be served for every path', async (t) => {
  const root = await makeFolder(t);
  const port = await serve(t, [{ prefix: '/', action: filesIn(path.join(path.dirname(root), 'secret.txt'), { mapping: 'whole' }) }]);
  for (const target of ['/x', '/a/b.html']) assert.equal((await ask(port, target)).body, 'secret');
});

test('an index file that another route answers is handed to it', async (t) => {
  const root = await makeFolder(t);
  await writeFile(path.join(root, 'sub/index.php'), '<?php secret');
  const port = await serve(t, [
    {
      prefix: '/',
      action: filesIn(root, { index: ['missing.html', 'index.php', 'index.html'] }),
      parts: (exchange) => ({
        reroute: (to) => {
          if (!to.endsWith('.php')) return false;
          exchange.respond(200, [], `program ${to}`);
          return true;
        },
      }),
    },
  ]);
  assert.equal((await ask(port, '/sub/')).body, 'program /sub/index.php');
  assert.equal((await ask(port, '/')).body, '<p>home</p>');
});

test('types by extension, ours and the configured ones as they are written', async (t) => {
  const root = await makeFolder(t);
  for (const name of ['a.html', 'a.LOG', 'a.x-own', 'plain', 'a.svg']) await writeFile(path.join(root, name), 'x');
  const types = { html: 'text/html', log: 'text/x-log; charset=gbk' };
  const port = await serve(t, [{ prefix: '/', action: filesIn(root, { types, defaultType: 'text/plain' }) }]);
  const typeOf = async (name: string) => (await ask(port, `/${name}`)).headers['content-type'];
  assert.deepEqual(await Promise.all(['a.html', 'a.LOG', 'a.x-own', 'plain', 'a.svg'].map(typeOf)), [
    'text/html',
    'text/x-log; charset=gbk',
    'text/plain',
    'text/plain',
    'image/svg+xml',
  ]);
});

test('a precompressed form is sent to those who take it, with the type of the original and a tag of its own', async (t) => {
  const root = await makeFolder(t);
  for (const name of ['app.js.br', 'app.js.gz', 'index.html.gz']) await writeFile(path.join(root, name), name);
  await symlink('../secret.txt', path.join(root, 'hello.txt.br'));
  const port = await serve(t, [{ prefix: '/', action: filesIn(root, { precompressed: ['br', 'zstd', 'gzip'] }) }]);
  const get = (target: string, accept: string, more = {}) => ask(port, target, { headers: { 'accept-encoding': accept, ...more } });
  const plain = await get('/app.js', '');
  const br = await get('/app.js', 'gzip, deflate, br, zstd');
  assert.deepEqual(
    [br.body, br.headers['content-encoding'], br.headers['content-type'], br.headers.vary, plain.headers.vary],
    ['app.js.br', 'br', plain.headers['content-type'], 'Accept-Encoding', 'Accept-Encoding'],
  );
  assert.notEqual(br.headers.etag, plain.headers.etag);
  const codings = await Promise.all(
    ['gzip', 'br;q=0.5, gzip', 'zstd', 'br;q=0, gzip', 'identity, br;q=0.5', '*'].map(
      async (accept) => (await get('/app.js', accept)).headers['content-encoding'],
    ),
  );
  assert.deepEqual(codings, ['gzip', 'gzip', undefined, 'gzip', undefined, undefined]);
  assert.equal((await get('/', 'br, gzip')).body, 'index.html.gz');
  assert.equal((await get('/hello.txt', 'br')).body, '0123456789');
  assert.equal((await get('/app.js', 'br', { 'if-none-match': br.headers.etag })).status, 304);
  // Nobody continues a download with bytes of another form.
  assert.deepEqual([(await get('/app.js', 'br', { range: 'bytes=0-2' })).status, br.headers['accept-ranges']], [200, undefined]);
});

test('paths of `try` are looked for without sending them', async (t) => {
  const root = await makeFolder(t);
  const place = compilePlace({ folder: root, mapping: 'append' });
  const alias = compilePlace({ folder: `${root}/`, mapping: 'strip' });
  const source = {} as FileExchange;
  const asFiles = ['/hello.txt', '/hello.txt/', '/sub', '/', '/x', '/.env', '/点餐.txt'].map((text) =>
    lookFor(place, source, '/', text, false),
  );
  assert.deepEqual(asFiles, ['file', 'missing', 'missing', 'missing', 'missing', 'missing', 'file']);
  const asFolders = ['/hello.txt', '/sub', '/sub/', '/', '/x', '/up/'].map((text) => lookFor(place, source, '/', text, true));
  assert.deepEqual(asFolders, ['missing', 'folder', 'folder', 'folder', 'missing', 'missing']);
  assert.equal(lookFor(alias, source, '/static/', '/static/hello.txt', false), 'file');
  assert.equal(lookFor(alias, source, '/static/', '/static/', true), 'folder');
});

/** A download, bytes only counted. */
const sizeOf = (port: number, options: http.RequestOptions = {}): Promise<number> =>
  new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, path: '/large.bin', agent: false, ...options }, (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      answer.on('end', () => resolve(bytes)).on('error', reject);
    });
    request.on('error', reject);
  });

test('a large file is streamed whole, and breaks off loudly when it gets shorter meanwhile', async (t) => {
  const { port, root } = await serveFolder(t);
  const size = 64 * 1024 * 1024;
  const file = path.join(root, 'large.bin');
  await writeFile(file, '');
  await truncate(file, size);
  assert.equal(await sizeOf(port), size);
  assert.equal(await sizeOf(port, { headers: { range: `bytes=1000-${20_000_000}` } }), 20_000_000 - 999);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = http.get({ host: '127.0.0.1', port, path: '/large.bin', agent: false }, (answer) => {
    answer.pause();
    truncate(file, 1000).then(() => answer.resume(), reject);
    answer.on('end', () => resolve(0)).on('error', reject);
  });
  request.on('error', reject);
  await assert.rejects(promise);
});

test('many downloads at once, fast, slow and given up, each get their own bytes, and every file is closed', async (t) => {
  const { port, root } = await serveFolder(t);
  const contents = Array.from({ length: 6 }, () => randomBytes(3_000_000 + Math.floor(Math.random() * 2_000_000)));
  for (const [at, content] of contents.entries()) await writeFile(path.join(root, `${at}.bin`), content);
  const fetchSlowly = (at: number, waitMs: number): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path: `/${at}.bin`, agent: false }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          if (waitMs === 0 || chunks.length % 20 !== 0) return;
          answer.pause();
          setTimeout(() => answer.resume(), waitMs);
        });
        answer.on('end', () => resolve(Buffer.concat(chunks))).on('error', reject);
      });
      request.on('error', reject);
    });
  const giveUp = (at: number): Promise<void> =>
    new Promise((resolve) => {
      const request = http.get({ host: '127.0.0.1', port, path: `/${at}.bin`, agent: false }, (answer) => {
        answer.once('data', () => request.destroy());
        answer.on('error', () => {});
      });
      request.on('error', () => {});
      request.on('close', () => resolve());
    });
  const rounds = contents.flatMap((_, at) => [0, 0, 1, 60].map(async (waitMs) => ({ at, got: await fetchSlowly(at, waitMs) })));
  await Promise.all(contents.flatMap((_, at) => [giveUp(at), giveUp(at)]));
  for (const { at, got } of await Promise.all(rounds)) assert.ok(contents[at]?.equals(got), `file ${at}`);
  const fds = `/proc/${process.pid}/fd`;
  const pointsTo = (fd: string): string => {
    try {
      return readlinkSync(path.join(fds, fd));
    } catch {
      return ''; // it was closed since the folder was read
    }
  };
  const openFiles = () =>
    readdirSync(fds)
      .map(pointsTo)
      .filter((file) => file.startsWith(`${root}/`));
  for (const end = performance.now() + 5_000; openFiles().length > 0 && performance.now() < end; )
    await new Promise((r) => setTimeout(r, 20));
  assert.deepEqual(openFiles(), []);
});

test('a file that is replaced while it is downloaded is sent to its end', async (t) => {
  const { port, root } = await serveFolder(t);
  const file = path.join(root, 'large.bin');
  await writeFile(file, Buffer.alloc(20_000_000, 1));
  const download = new Promise<Buffer>((resolve, reject) => {
    http.get({ host: '127.0.0.1', port, path: '/large.bin', agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.pause();
      (async () => {
        const next = await open(`${file}.next`, 'w');
        await next.writeFile(Buffer.alloc(100, 2));
        await next.close();
        await rename(`${file}.next`, file);
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => resolve(Buffer.concat(chunks))).on('error', reject);
        answer.resume();
      })().catch(reject);
    });
  });
  assert.ok((await download).equals(Buffer.alloc(20_000_000, 1)));
  assert.equal(await sizeOf(port), 100);
});
