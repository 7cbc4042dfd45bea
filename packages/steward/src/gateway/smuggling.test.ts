/**
 * Requests that two programs could read in two ways, each followed at once by another one in the same write. Either the first
 * is refused, the connection ends, and the upstream sees nothing; or the upstream gets exactly the two, byte for byte.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { freePort, proxyTo, route, site, startGateway, until } from './testing.ts';
import { connectRaw, type RawUpstream, startRawUpstream, statusesOf } from './testing-raw.ts';

const next = 'GET /next HTTP/1.1\r\nHost: a\r\n\r\n';

async function startRecorded(t: TestContext): Promise<{ port: number; upstream: RawUpstream }> {
  const upstream = await startRawUpstream(t);
  const port = await freePort();
  await startGateway(t, [site(port, [route('/', proxyTo([upstream.address], { forwardedHeaders: 'off' }))])]);
  return { port, upstream };
}

/** Sends `text` and a good request behind it; what came back, once that is over. */
async function sendWithNext(t: TestContext, port: number, text: string): Promise<string> {
  const client = await connectRaw(t, port);
  client.send(text + next.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
  await until(`the end of ${JSON.stringify(text.slice(0, 100))}, got ${client.received()}`, () => client.ended());
  client.socket.destroy();
  return client.received();
}

const get = (lines: string, first = 'GET / HTTP/1.1') => `${first}\r\nHost: a\r\n${lines}\r\n`;
const post = (lines: string, body = '', first = 'POST / HTTP/1.1') => `${first}\r\nHost: a\r\n${lines}\r\n${body}`;
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const chunk = (body: string) => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const te = (value: string, body = `0\r\n\r\n${smuggled}`) => post(`Transfer-Encoding:${value}\r\n`, body);
const cl = (value: string, body = `hello${smuggled}`) => post(`Content-Length:${value}\r\n`, body);
const chunks = (body: string) => post('Transfer-Encoding: chunked\r\n', body);

const refused: [string, number][] = [
  // Two lengths
  [post('Content-Length: 6\r\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', `5c\r\n${smuggled}\r\n0\r\n\r\n`), 400],
  [post('Content-Length: 5\r\nContent-Length: 5\r\n', `hello${smuggled}`), 400],
  [post('Content-Length: 5\r\nContent-Length: 0\r\n', `hello${smuggled}`), 400],
  [post('Content-Length: 0\r\ncontent-length: 42\r\n', smuggled), 400],
  // Transfer-Encoding in disguise
  [te(' xchunked'), 501],
  [te(' chunked, identity'), 501],
  [te(' identity, chunked'), 501],
  [te(' chunked, chunked'), 501],
  [te(' "chunked"'), 501],
  [te(' chunked;foo=bar'), 501],
  [te(' identity'), 501],
  [te(' cow'), 501],
  [te(''), 501],
  [te('\x0bchunked'), 400],
  [te(' chunked\x0b'), 400],
  [te('\x00 chunked'), 400],
  [te(' \rchunked'), 400],
  [te('\n chunked'), 400],
  [te('\r\n chunked'), 400],
  [te(' chunked\r\nTransfer-Encoding: chunked'), 400],
  [te(' chunked\r\nTransfer-Encoding: identity'), 400],
  [te(' x\r\nTransfer-Encoding: chunked'), 400],
  [post('Transfer-Encoding : chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('Transfer-Encoding\t: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('Transfer-Encoding\x00: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post(' Transfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('X: y\r\n Transfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('X: y\nTransfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('X: y\rTransfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`), 400],
  [post('Transfer-Encoding: chunked\r\n', `0\r\n\r\n${smuggled}`, 'POST / HTTP/1.0'), 400],
  // Content-Length in disguise
  [cl(' +5'), 400],
  [cl(' -5'), 400],
  [cl(' 0x5'), 400],
  [cl(' 5, 5'), 400],
  [cl(' 5,6'), 400],
  [cl(' 5 6'), 400],
  [cl(' 5e0'), 400],
  [cl(''), 400],
  [cl(' \x0b5'), 400],
  [cl(' 18446744073709551621'), 400],
  [cl(' 00000000000000000005'), 400],
  [post('Content-Length : 5\r\n', `hello${smuggled}`), 400],
  [post('\tContent-Length: 5\r\n', `hello${smuggled}`), 400],
  // Chunks
  [chunks(`0x5\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`+5\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`-1\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(` 5\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`5\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`5\rhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`5\r\nhello\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`5\r\nhello0\r\n\r\n${smuggled}`), 400],
  [chunks(`5\r\nhello!!0\r\n\r\n${smuggled}`), 400],
  [chunks(`5;a\nb\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`5;a="\r\n\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`5;${'a'.repeat(300)}\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`ffffffffffffffff5\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`100000000000000005\r\nhello\r\n0\r\n\r\n${smuggled}`), 400],
  [chunks(`g\r\n${smuggled}`), 400],
  [chunks(`\r\n${smuggled}`), 400],
  [chunks(`0\n\n${smuggled}`), 400],
  [chunks(`0\r\n\n${smuggled}`), 400],
  [chunks(`0\r\nX: y\n\r\n${smuggled}`), 400],
  [chunks(`0\r\nX : y\r\n\r\n${smuggled}`), 400],
  [chunks(`0\r\n X: y\r\n\r\n${smuggled}`), 400],
  [chunks(`0\r\nX: ${'y'.repeat(20_000)}\r\n\r\n${smuggled}`), 400],
  // Lines and names
  ['GET / HTTP/1.1\nHost: a\n\n', 400],
  ['GET / HTTP/1.1\nHost: a\r\n\r\n', 400],
  ['GET / HTTP/1.1\r\nHost: a\n\r\n\r\n', 400],
  ['GET / HTTP/1.1\rHost: a\r\n\r\n', 400],
  ['\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  [' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  [get('X: a\r\n b\r\n'), 400],
  [get('X: a\rb\r\n'), 400],
  [get('X: a\0b\r\n'), 400],
  [get('X\0: a\r\n'), 400],
  [get('X Y: a\r\n'), 400],
  [get(': a\r\n'), 400],
  [get('noColon\r\n'), 400],
  [get('X\xa0: a\r\n'), 400],
  [get('Host: b\r\n'), 400],
  [get('host : b\r\n'), 400],
  ['GET / HTTP/1.1\r\n\r\n', 400],
  // Request lines
  ['GET /\r\n\r\n', 400],
  ['GET / HTTP/0.9\r\nHost: a\r\n\r\n', 400],
  ['GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
  ['GET / HTTP/3.0\r\nHost: a\r\n\r\n', 505],
  ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
  ['GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  [`${'X'.repeat(65)} / HTTP/1.1\r\nHost: a\r\n\r\n`, 400],
  ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  // Sizes
  [get(Array.from({ length: 10_000 }, (_, n) => `X-${n}: 1\r\n`).join('')), 431],
  [get(`Cookie: ${'c'.repeat(65_536)}\r\n`), 431],
  [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
  [get(Array.from({ length: 200 }, (_, n) => `X-${n}: 1\r\n`).join('')), 431],
];

test('what could be read in two ways is refused, and nothing behind it is served', async (t) => {
  const { port, upstream } = await startRecorded(t);
  for (const [text, status] of refused) {
    const name = JSON.stringify(text.slice(0, 120));
    const answer = await sendWithNext(t, port, text);
    assert.deepEqual(statusesOf(answer), [status], `${name}\n${answer}`);
    assert.match(answer, /\r\nConnection: close\r\n/, name);
    // Of a broken body the part that was well may have been passed on, but no end of it.
    assert.deepEqual(upstream.requests, [], name);
    assert.ok(!/smuggled|next/.test(upstream.received()), name);
  }
});

/** Targets that no site takes: the connection goes on, the next request is answered. */
const unanswered: [string, number][] = [
  ['GET / HTTP/1.1\r\nHost:\r\n\r\n', 400],
  ['GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
  ['GET / HTTP/1.1\r\nHost: u@a\r\n\r\n', 400],
  ['GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
  ['GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
  ['GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['GET /../x HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', 405],
  ['TRACE / HTTP/1.1\r\nHost: a\r\n\r\n', 405],
];

test('a target that is none is refused, and the next request on the connection is itself', async (t) => {
  const { port, upstream } = await startRecorded(t);
  for (const [text, status] of unanswered) {
    const before = upstream.requests.length;
    const answer = await sendWithNext(t, port, text);
    const statuses = statusesOf(answer);
    assert.equal(statuses[0], status, answer);
    const served = upstream.requests.slice(before);
    assert.deepEqual(served, statuses.length === 1 ? [] : [next], text);
  }
});

/** What the client sends, and what the upstream gets for it (undefined: the same). */
const passed: [string, string?][] = [
  [get('')],
  [get('X-A: \xe4\tb\r\nx-a: 2\r\n')],
  ['\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n', get('')],
  [get('X:  \t y \t\r\n'), get('X: y\r\n')],
  [get('Connection: keep-alive, X-Foo\r\nX-Foo: 1\r\nX-Bar: 2\r\n'), get('X-Bar: 2\r\n')],
  [get('Connection: Host\r\n'), get('')],
  [get('Expect: 200-ok\r\n'), get('')],
  [
    get(
      'Keep-Alive: 5\r\nTE: trailers\r\nTrailer: x\r\nProxy-Authorization: y\r\nProxy-Connection: z\r\nHTTP2-Settings: w\r\nUpgrade: u\r\n',
    ),
    get(''),
  ],
  [get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'), get('')],
  [get('Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX-Custom: 1\r\n'), get('X-Custom: 1\r\n')],
  [get('X-Forwarded-For: 1\r\nForwarded: for=1\r\n')],
  ['GET http://b:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /x?y HTTP/1.1\r\nHost: b:80\r\n\r\n'],
  ['GET http://b HTTP/1.1\r\nHost: a\r\n\r\n', 'GET / HTTP/1.1\r\nHost: b\r\n\r\n'],
  ['GET HTTPS://b/ HTTP/1.1\r\nHost: a\r\n\r\n', 'GET / HTTP/1.1\r\nHost: b\r\n\r\n'],
  ['GET /a//b/./c/../d?x=/../y HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['GET /%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n'],
  [`${'X'.repeat(64)} / HTTP/1.1\r\nHost: a\r\n\r\n`],
  [get(Array.from({ length: 199 }, (_, n) => `X-${n}: 1\r\n`).join(''))],
  [get(`Cookie: ${'c'.repeat(16_000)}\r\n`)],
  [post('Content-Length: 5\r\n', 'hello')],
  [post('Content-Length: 0005\r\n', 'hello'), post('Content-Length: 5\r\n', 'hello')],
  [post('Content-Length:5\r\nX: y\r\n', 'hello'), post('X: y\r\nContent-Length: 5\r\n', 'hello')],
  [post('Content-Length: 5\r\nConnection: Content-Length\r\n', 'hello'), post('Content-Length: 5\r\n', 'hello')],
  [post('Content-Length: 0\r\n')],
  [post('Content-Length: 5\r\n', 'hello', 'GET / HTTP/1.1')],
  [post('Content-Length: 42\r\n', smuggled.padEnd(42)), post('Content-Length: 42\r\n', smuggled.padEnd(42))],
  [chunks(chunk('hello'))],
  [chunks('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'), chunks('5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n')],
  [chunks('00005;a="b c";d\r\nhello\r\n0;e\r\n\r\n'), chunks(chunk('hello'))],
  [chunks('A\r\n0123456789\r\n0\r\n\r\n'), chunks(chunk('0123456789'))],
  [chunks('0\r\n\r\n'), chunks('0\r\n\r\n')],
  [post('transfer-encoding: CHUNKED\r\n', chunk('hello')), chunks(chunk('hello'))],
  [chunks('5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n')],
  [
    chunks('5\r\nhello\r\n0\r\nContent-Length: 9\r\nHost: b\r\nTransfer-Encoding: chunked\r\nAuthorization: x\r\nX-Sum: 1\r\n\r\n'),
    chunks('5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n'),
  ],
  [post('Transfer-Encoding: chunked\r\n', chunk('hello'), 'GET / HTTP/1.1')],
];

test('what is clear reaches the upstream as one request, and so does the one behind it', async (t) => {
  const { port, upstream } = await startRecorded(t);
  for (const [text, expected = text] of passed) {
    const before = upstream.requests.length;
    const answer = await sendWithNext(t, port, text);
    assert.deepEqual(statusesOf(answer), [200, 200], `${text}\n${answer}`);
    const served = upstream.requests.slice(before);
    assert.deepEqual(served, [expected, next], JSON.stringify(text));
  }
  assert.equal(upstream.received(), upstream.requests.join(''));
});

test('a request in single bytes is the same request', async (t) => {
  const { port, upstream } = await startRecorded(t);
  const text = post('Transfer-Encoding: chunked\r\nX: y\r\n', '5;x\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n');
  const client = await connectRaw(t, port);
  for (const byte of `\r\n${text}\r\n${next}`) {
    client.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until(`both answers: ${client.received()}`, () => statusesOf(client.received()).length === 2);
  assert.equal(upstream.requests.length, 2);
  assert.match(
    upstream.requests[0] ?? '',
    /^POST \/ HTTP\/1\.1\r\nHost: a\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n[\s\S]*0\r\nX-Sum: 1\r\n\r\n$/,
  );
  assert.equal(upstream.requests[1], next);
});

test('what a configuration makes of a path cannot break out of its line', async (t) => {
  const upstream = await startRawUpstream(t);
  const port = await freePort();
  const to = (more: Parameters<typeof proxyTo>[1]) => proxyTo([upstream.address], { forwardedHeaders: 'off', ...more });
  const rewrite = (from: string, target: string) => ({
    steps: [{ kind: 'rewrite', pattern: { kind: 'regex', pattern: from, anyCase: false }, to: target, flag: 'break' } as const],
  });
  await startGateway(t, [
    site(port, [
      route('/args/', to({}), rewrite('^/args/(.*)$', '/x?q=$1&u=$uri')),
      route('/path/', to({}), rewrite('^/path/(.*)$', '/new/$1')),
      route('/replace/', to({ path: { kind: 'replace', to: '/$uri/' } })),
      route('/whole/', to({ path: { kind: 'whole', to: '/w$uri?u=$uri' } })),
      route('/header/', to({ setHeaders: [{ name: 'X-Uri', value: '$uri' }] })),
      route('/host/', to({ upstreamHost: '$arg_h' })),
      route('/named/', to({ upstreamHost: '$uri' })),
      route('/set/', to({}), { steps: [{ kind: 'set', variable: 'args', value: '$uri' }] }),
      route('/redirect/', { kind: 'answer', answer: { status: 302, to: 'http://a$uri' } }),
      route(
        '/add/',
        { kind: 'answer', answer: { status: 200, body: 'ok' } },
        { addHeaders: [{ name: 'X-Uri', value: '$uri', always: true }] },
      ),
    ]),
  ]);
  for (const escaped of [
    '%0d%0aX-Evil:%20y',
    '%0a',
    '%c4%8aX-Evil:%20y',
    '%e2%80%8d%c4%8d%c4%8a',
    'a%20HTTP/1.1%0d%0a%0d%0aGET%20/smuggled',
  ]) {
    for (const place of ['args', 'path', 'replace', 'whole', 'header', 'host', 'named', 'set']) {
      const before = upstream.requests.length;
      const answer = await sendWithNext(t, port, `GET /${place}/${escaped}?h=${escaped} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const [first = '', ...more] = upstream.requests.slice(before);
      assert.ok(
        more.length <= 1 && !more.some((one) => one.includes('smuggled')),
        `${place} ${escaped}: ${JSON.stringify(upstream.requests.slice(before))}`,
      );
      assert.match(
        first,
        /^GET [!-~\x80-\xff]+ HTTP\/1\.1\r\nHost: [^\r\n]*\r\n(?:X-Uri: [^\r\n]*\r\n)?\r\n$/,
        `${place} ${escaped} ${answer}`,
      );
    }
    for (const place of ['redirect', 'add']) {
      const answer = await sendWithNext(t, port, `GET /${place}/${escaped} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.ok(!/^X-Evil:|\nX-Evil|^\s*GET/m.test(answer), answer);
      for (const line of answer.slice(0, answer.indexOf('\r\n\r\n')).split('\r\n')) assert.ok(!/[\r\n]/.test(line), line);
    }
  }
});
