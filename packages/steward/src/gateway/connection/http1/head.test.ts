import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunked, isFault, LastFields, maxHeaderLines, readRequestHead, readResponseHead, readTrailers, untilClose } from './head.ts';
import { randomFrom } from './testing-mutations.ts';

const request = (lines: string, first = 'GET / HTTP/1.1') =>
  readRequestHead(`${first}\r\nHost: a${lines === '' ? '' : `\r\n${lines}`}`, new LastFields());

/** The status a head is refused with, or what it says of the body. */
function verdict(head: ReturnType<typeof readRequestHead>): string {
  if (isFault(head)) return String(head.status);
  return `${head.bodyLength}${head.keepAlive ? ' keep' : ''}${head.expectsContinue ? ' expects' : ''}${head.upgrade === undefined ? '' : ` ${head.upgrade}`}`;
}

test('a request line has a method, a target and a version, one space apart', () => {
  const table: [string, string][] = [
    ['GET / HTTP/1.1', '0 keep'],
    ['GET / HTTP/1.0', '0'],
    ['M-SEARCH * HTTP/1.1', '0 keep'],
    ['GET http://b/ HTTP/1.1', '0 keep'],
    [`${'X'.repeat(64)} / HTTP/1.1`, '0 keep'],
    [`${'X'.repeat(65)} / HTTP/1.1`, '400'],
    ['GET /a b HTTP/1.1', '400'],
    ['GET  / HTTP/1.1', '400'],
    ['GET /  HTTP/1.1', '400'],
    ['GET\t/ HTTP/1.1', '400'],
    ['GET /\tx HTTP/1.1', '400'],
    ['GET /\x0bx HTTP/1.1', '400'],
    ['GET /\x7f HTTP/1.1', '400'],
    ['GET /a#b HTTP/1.1', '400'],
    ['GET /', '400'],
    ['GET', '400'],
    ['', '400'],
    [' GET / HTTP/1.1', '400'],
    ['G(T / HTTP/1.1', '400'],
    ['GET / HTTP/1.1 ', '400'],
    ['GET / http/1.1', '400'],
    ['GET / HTTP/1.', '400'],
    ['GET / HTTP/1.11', '400'],
    ['GET / HTTP/1.2', '505'],
    ['GET / HTTP/2.0', '505'],
    ['GET / HTTP/0.9', '400'],
    ['GET / XTTP/1.1', '400'],
  ];
  for (const [first, expected] of table) assert.equal(verdict(request('', first)), expected, JSON.stringify(first));
});

test('where a body ends is said once, and in one way', () => {
  const table: [string, string][] = [
    ['Content-Length: 5', '5 keep'],
    ['content-length:5', '5 keep'],
    ['Content-Length:\t 5 \t', '5 keep'],
    ['Content-Length: 0005', '5 keep'],
    ['Content-Length: 0', '0 keep'],
    ['Content-Length: +5', '400'],
    ['Content-Length: -5', '400'],
    ['Content-Length: 0x5', '400'],
    ['Content-Length: 5, 5', '400'],
    ['Content-Length: 5 5', '400'],
    ['Content-Length: 5;', '400'],
    ['Content-Length:', '400'],
    ['Content-Length: five', '400'],
    ['Content-Length: 12345678901234567890', '400'],
    ['Content-Length: 5\r\nContent-Length: 5', '400'],
    ['Content-Length: 5\r\ncontent-length: 6', '400'],
    ['Content-Length : 5', '400'],
    ['Transfer-Encoding: chunked', `${chunked} keep`],
    ['transfer-encoding: CHUNKED', `${chunked} keep`],
    ['Transfer-Encoding: chunked\r\nContent-Length: 5', '400'],
    ['Content-Length: 5\r\nTransfer-Encoding: chunked', '400'],
    ['Content-Length: 0\r\nTransfer-Encoding: identity', '400'],
    ['Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '400'],
    ['Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', '400'],
    ['Transfer-Encoding : chunked', '400'],
    ['Transfer-Encoding\t: chunked', '400'],
    [' Transfer-Encoding: chunked', '400'],
    ['Transfer-Encoding:\x0bchunked', '400'],
    ['Transfer-Encoding: \x00chunked', '400'],
    ['X: y\r\n Transfer-Encoding: chunked', '400'],
    ['Transfer-Encoding: xchunked', '501'],
    ['Transfer-Encoding: chunked, chunked', '501'],
    ['Transfer-Encoding: chunked, identity', '501'],
    ['Transfer-Encoding: gzip, chunked', '501'],
    ['Transfer-Encoding: "chunked"', '501'],
    ['Transfer-Encoding: chunked;q=1', '501'],
    ['Transfer-Encoding: identity', '501'],
    ['Transfer-Encoding:', '501'],
    ['Transfer-Encoding: \xa0chunked', '501'],
  ];
  for (const [lines, expected] of table) assert.equal(verdict(request(lines, 'POST / HTTP/1.1')), expected, JSON.stringify(lines));
  assert.equal(verdict(request('Transfer-Encoding: chunked', 'POST / HTTP/1.0')), '400');
});

test('a header line is a name, a colon and a value', () => {
  const bad = [
    'X',
    ': y',
    'X Y: z',
    'X : y',
    'X\xe9: y',
    'X: a\rb',
    'X: a\nb',
    'X: a\n',
    'X: a\0',
    'X: \x01',
    'X: a\x7f',
    '\tX: y',
    'X(: y',
  ];
  for (const line of bad) assert.equal(verdict(request(line)), '400', JSON.stringify(line));
  assert.equal(verdict(request('X: y\r')), '400');
  assert.equal(verdict(request(`X-A: \xe4\tb\r\nX-B:\r\n!#$%&'*+-.^_\`|~9z: :`)), '0 keep');
  const head = request('X: \t a \t b \t');
  assert.deepEqual(isFault(head) ? [] : head.headers.values, ['a', 'a \t b']);
});

test('one Host, at most so many headers, and one expectation', () => {
  assert.equal(verdict(readRequestHead('GET / HTTP/1.1', new LastFields())), '400');
  assert.equal(verdict(readRequestHead('GET / HTTP/1.0', new LastFields())), '0');
  assert.equal(verdict(request('host: a')), '400');
  assert.equal(verdict(request('Host: b', 'GET / HTTP/1.0')), '400');
  const many = (count: number) => Array.from({ length: count }, (_, n) => `X-${n}: 1`).join('\r\n');
  assert.equal(verdict(request(many(maxHeaderLines - 1))), '0 keep');
  assert.equal(verdict(request(many(maxHeaderLines))), '431');
  assert.equal(verdict(request('Expect: 100-Continue\r\nContent-Length: 1')), '1 keep expects');
  assert.equal(verdict(request('Expect: 200-ok')), '0 keep');
  assert.equal(verdict(request('Expect: 100-continue', 'GET / HTTP/1.0')), '0');
});

test('a connection goes on or changes its protocol when both sides can know', () => {
  const table: [string, string, string][] = [
    ['GET / HTTP/1.1', 'Connection: Close', '0'],
    ['GET / HTTP/1.1', 'Connection: x\r\nConnection: y , CLOSE', '0'],
    ['GET / HTTP/1.0', 'Connection: Keep-Alive', '0 keep'],
    ['GET / HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: websocket', '0 keep websocket'],
    ['GET / HTTP/1.1', 'Upgrade: websocket', '0 keep'],
    ['GET / HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: h2c', '0 keep'],
    ['GET / HTTP/1.0', 'Connection: Upgrade\r\nUpgrade: websocket', '0'],
    ['POST / HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3', '3 keep'],
    ['POST / HTTP/1.1', 'Connection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked', `${chunked} keep`],
  ];
  for (const [first, lines, expected] of table) assert.equal(verdict(request(lines, first)), expected, lines);
});

test('an answer that can be read in two ways is not read', () => {
  const answer = (lines: string, first = 'HTTP/1.1 200 OK') => {
    const head = readResponseHead(`${first}${lines === '' ? '' : `\r\n${lines}`}`, new LastFields());
    return typeof head === 'string' ? 'bad' : `${head.status} ${head.bodyLength}${head.keepAlive ? ' keep' : ''}`;
  };
  assert.equal(answer(''), `200 ${untilClose} keep`);
  assert.equal(answer('', 'HTTP/1.1 200'), `200 ${untilClose} keep`);
  assert.equal(answer('', 'HTTP/1.0 404 Not \xe4 Found'), `404 ${untilClose}`);
  assert.equal(answer('Content-Length: 3'), '200 3 keep');
  assert.equal(answer('Transfer-Encoding: Chunked'), `200 ${chunked} keep`);
  assert.equal(answer('Transfer-Encoding: chunked\r\nConnection: keep-alive', 'HTTP/1.0 200 OK'), `200 ${chunked}`);
  const bad: [string, string?][] = [
    ['Content-Length: 3\r\nTransfer-Encoding: chunked'],
    ['Content-Length: 3\r\nContent-Length: 3'],
    ['Content-Length: 3, 3'],
    ['Transfer-Encoding: gzip, chunked'],
    ['X: a\nb'],
    ['X: a\rb'],
    [' folded: x'],
    ['X : y'],
    ['', 'HTTP/1.1  200 OK'],
    ['', 'HTTP/1.1 20 OK'],
    ['', 'HTTP/1.1 600 OK'],
    ['', 'HTTP/2 200'],
    ['', 'hello'],
    ['', ''],
  ];
  for (const [lines, first] of bad) assert.equal(answer(lines, first), 'bad', `${first} ${lines}`);
});

test('trailers keep only what may stand behind a body', () => {
  const names = (text: string) => readTrailers(text)?.names.map(({ lower }) => lower);
  assert.deepEqual(names('X-Sum: 1\r\nServer-Timing: db'), ['x-sum', 'server-timing']);
  const forbidden = ['Content-Length: 5', 'Transfer-Encoding: chunked', 'Host: b', 'Authorization: x', 'Cookie: a', 'X-Forwarded-For: 1'];
  for (const line of [...forbidden, 'Set-Cookie: a', 'Content-Type: b', 'Connection: c', 'TE: d', 'content_length: 3', 'If-Match: *'])
    assert.deepEqual(names(`${line}\r\nX-Sum: 1`), ['x-sum'], line);
  for (const bad of ['X', ' X: y', 'X: a\nb', 'X Y: z', 'X: \0', 'Content-Length: a'])
    assert.equal(readTrailers(bad), undefined, JSON.stringify(bad));
});

test('heads with random bytes changed never throw, and what is taken holds no line break', () => {
  const { mutate, below } = randomFrom(7);
  const seeds = [
    'POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nX: y',
    'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close, x',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b',
  ];
  const last = new LastFields();
  for (let n = 0; n < 20_000; n++) {
    const text = mutate(seeds[below(seeds.length)] ?? '');
    const heads = [readRequestHead(text, last), readResponseHead(text, last)];
    assert.deepEqual(heads, [readRequestHead(text, new LastFields()), readResponseHead(text, new LastFields())]);
    for (const head of heads) {
      if (typeof head === 'string' || 'why' in head) continue;
      assert.ok(!head.headers.values.some((value) => /[\r\n\0]/.test(value)), JSON.stringify(text));
      assert.ok(head.headers.names.length <= maxHeaderLines);
    }
  }
});

test('fields that are the same as the last are not read again, and never taken for others', () => {
  const last = new LastFields();
  const read = (text: string) => {
    const head = readRequestHead(text, last);
    return isFault(head) ? head.status : head;
  };
  const first = read('GET /a HTTP/1.1\r\nHost: a\r\nX: 1');
  const again = read('POST /b HTTP/1.1\r\nHost: a\r\nX: 1');
  const other = read('GET /a HTTP/1.1\r\nHost: a\r\nX: 2');
  assert.ok(typeof first === 'object' && typeof again === 'object' && typeof other === 'object');
  assert.equal(again.headers, first.headers);
  assert.deepEqual([again.method, again.target], ['POST', '/b']);
  assert.deepEqual(other.headers.values, ['a', '2']);
  assert.deepEqual(first.headers.values, ['a', '1']);
  for (const bad of ['Host: a\r\nHost: b', 'Host: a\r\nX', 'Host: a\r\nX: \0', 'Host: a\r\nContent-Length: 1\r\nContent-Length: 1'])
    for (const _ of [1, 2]) assert.equal(read(`GET / HTTP/1.1\r\n${bad}`), 400, bad);
  assert.equal(read('GET / HTTP/1.1'), 400, 'no Host');
  assert.equal(read('GET / HTTP/2.1\r\nHost: a'), 505);
  const long = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(3000)}`;
  const [one, two] = [read(long), read(long)];
  assert.ok(typeof one === 'object' && typeof two === 'object' && one.headers !== two.headers, 'too long to be kept');
});
