import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { ask, askRaw, filesIn, freePort, route, site, startGateway, temporaryFolder } from './testing.ts';

/** A folder with the usual temptations beside and inside it, served at `/` and, as an alias, at `/static`. */
async function serveFolder(t: TestContext): Promise<{ port: number; root: string }> {
  const outside = await temporaryFolder(t);
  const root = path.join(outside, 'www');
  await mkdir(path.join(root, 'sub/.well-known'), { recursive: true });
  await mkdir(path.join(root, '.well-known'));
  await mkdir(path.join(root, '.git'));
  await mkdir(path.join(root, 'empty'));
  await mkdir(path.join(root, 'a b'));
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
  const port = await freePort();
  await startGateway(t, [
    site(port, [
      route('/', filesIn(root)),
      route('/static', filesIn(root, { mapping: 'strip' })),
      route('/spa/', filesIn(root, { mapping: 'strip', fallback: '/index.html' })),
    ]),
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

test('a folder without its slash is redirected, one without an index is not shown', async (t) => {
  const { port } = await serveFolder(t);
  const sub = await ask(port, '/sub?x=1');
  assert.deepEqual([sub.status, sub.headers.location], [301, '/sub/?x=1']);
  assert.equal((await ask(port, '//sub')).headers.location, '/sub/');
  assert.equal((await ask(port, '/a%20b')).headers.location, '/a%20b/');
  assert.equal((await ask(port, '/empty/')).status, 404);
  assert.equal((await ask(port, '/hello.txt/')).status, 404);
});

test('a single-page app gets its fallback for what is no file', async (t) => {
  const { port } = await serveFolder(t);
  assert.equal((await ask(port, '/spa/hello.txt')).body, '0123456789');
  const deep = await ask(port, '/spa/orders/7');
  assert.deepEqual([deep.status, deep.body], [200, '<p>home</p>']);
  assert.equal((await ask(port, '/spa/.env')).status, 404);
});

test('only GET and HEAD reach files', async (t) => {
  const { port } = await serveFolder(t);
  const answer = await ask(port, '/hello.txt', { method: 'POST', body: 'x' });
  assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD']);
});

test('ranges give the part that was asked for', async (t) => {
  const { port } = await serveFolder(t);
  const table: [string, number, string, string | undefined][] = [
    ['bytes=0-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-2', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'],
    ['bytes=10-', 416, '416', 'bytes */10'],
    ['bytes=0-1,4-5', 200, '0123456789', undefined],
    ['bytes=5-2', 200, '0123456789', undefined],
    ['lines=1-2', 200, '0123456789', undefined],
  ];
  for (const [range, status, body, contentRange] of table) {
    const answer = await ask(port, '/hello.txt', { headers: { range } });
    assert.deepEqual([answer.status, answer.headers['content-range']], [status, contentRange], range);
    assert.ok(answer.body.startsWith(body), range);
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
  assert.equal(await statusWith({ 'if-match': '"other"' }), 412);
  assert.equal(await statusWith({ range: 'bytes=0-1', 'if-range': etag }), 206);
  await writeFile(path.join(root, 'hello.txt'), 'abcdefghij');
  await utimes(path.join(root, 'hello.txt'), 1, 1);
  assert.equal(await statusWith({ range: 'bytes=0-1', 'if-range': etag }), 200);
  assert.equal(await statusWith({ range: 'bytes=0-1', 'if-range': modified }), 200);
  assert.equal(await statusWith({ 'if-none-match': etag }), 200);
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
    '/sub/.well-known/x',
    '/static/.env',
    '/escape.txt',
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

test('a large file is streamed whole, and breaks off loudly when it gets shorter meanwhile', async (t) => {
  const { port, root } = await serveFolder(t);
  const size = 64 * 1024 * 1024;
  const file = path.join(root, 'large.bin');
  await writeFile(file, '');
  await truncate(file, size);
  const sizeOf = (options: http.RequestOptions, onStart?: () => void) =>
    new Promise<number>((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port, path: '/large.bin', agent: false, ...options }, (answer) => {
        let bytes = 0;
        onStart?.();
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
        });
        answer.on('end', () => resolve(bytes)).on('error', reject);
      });
      request.on('error', reject);
    });
  assert.equal(await sizeOf({}), size);
  assert.equal(await sizeOf({ headers: { range: `bytes=1000-${20_000_000}` } }), 20_000_000 - 999);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const request = http.get({ host: '127.0.0.1', port, path: '/large.bin', agent: false }, (answer) => {
    answer.pause();
    truncate(file, 1000).then(() => answer.resume(), reject);
    answer.on('end', () => resolve(0)).on('error', reject);
  });
  request.on('error', reject);
  await assert.rejects(promise);
});
