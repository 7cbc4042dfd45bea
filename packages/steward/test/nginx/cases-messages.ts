/** HTTP itself: sizes, framing, versions, pipelines, connections. */
import { ask, type Case, get, pipeline, post, raw, server } from './requests.ts';

const conf = server(
  'client_max_body_size 100k; location / { return 200 "$request_method $uri\\n"; } location /p { proxy_pass http://{{a}}; } location /f { root {{files}}; try_files /a.txt =404; }',
);
const line = (text: string): string => `GET /${text} HTTP/1.1\r\nHost: localhost\r\n`;

export const messageCases: readonly Case[] = [
  {
    name: 'headers of many sizes',
    conf,
    allow: { sizes: ['a line of 9000', 'seven lines of 6000', 'a path of 9000'] },
    requests: [
      get('/', { 'X-Big': 'x'.repeat(1000) }),
      get('/', { 'X-Big': 'x'.repeat(7000) }),
      get('/', { 'X-Big': 'x'.repeat(9000) }, { name: 'a line of 9000' }),
      get('/', { 'X-A': 'x'.repeat(6000), 'X-B': 'x'.repeat(6000), 'X-C': 'x'.repeat(6000) }),
      get('/', Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`X-${n}`, 'x'.repeat(6000)])), { name: 'seven lines of 6000' }),
      get(`/${'p'.repeat(4000)}`),
      get(`/${'p'.repeat(9000)}`, {}, { name: 'a path of 9000' }),
      get('/', Object.fromEntries(Array.from({ length: 90 }, (_, n) => [`X-${n}`, String(n)]))),
      get('/p', Object.fromEntries(Array.from({ length: 90 }, (_, n) => [`X-${n}`, String(n)]))),
    ],
  },
  {
    name: 'malformed messages',
    conf,
    allow: { strict: ['no colon', 'a control character'] },
    requests: [
      raw('no colon', `${line('')}NoColon\r\n\r\n`),
      raw('blank before the colon', `${line('')}X-A : b\r\n\r\n`),
      raw('folded header', `${line('')}X-A: b\r\n c\r\n\r\n`),
      raw('empty name', `${line('')}: b\r\n\r\n`),
      raw('a control character in a value', `${line('p')}X-A: a\x01b\r\n\r\n`),
      raw('a NUL in a value', `${line('')}X-A: a\0b\r\n\r\n`),
      raw('two hosts', `${line('')}Host: other\r\n\r\n`),
      raw('two equal lengths', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx', ['POST']),
      raw('two other lengths', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx', ['POST']),
      raw('a length that is none', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\nx', ['POST']),
      raw('a negative length', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n', ['POST']),
      raw('length and chunked', 'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', [
        'POST',
      ]),
      raw('unknown coding', 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n', ['POST']),
      raw('chunked in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', ['POST']),
      raw('a chunk size that is none', 'POST /p HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n', ['POST']),
      raw('nonsense', 'nonsense\r\n\r\n'),
      raw('a TLS hello', '\x16\x03\x01\x00\x05hello\r\n\r\n'),
    ],
  },
  {
    name: 'chunked bodies',
    conf,
    requests: [
      raw('plain', 'POST /p HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n', ['POST']),
      raw(
        'extensions and trailers',
        'POST /p HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n',
        ['POST'],
      ),
      raw('capitals', 'POST /p HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n', ['POST']),
      raw('for a return', 'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', ['POST']),
      raw('for a file', 'POST /f HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n', ['POST']),
    ],
  },
  {
    name: 'pipelines and connections',
    conf,
    requests: [
      pipeline(get('/1'), get('/2'), get('/3')),
      pipeline(post('/1', 'body'), get('/2'), post('/p', 'more'), get('/f')),
      pipeline(get('/p'), get('/p2'), ask('HEAD', '/f'), get('/f')),
      pipeline(get('/1'), get('/2', { Connection: 'close' })),
      pipeline(get('/1', { Connection: 'close' }), get('/2')),
      pipeline(ask('GET', '/1', { version: '1.0', headers: { Connection: 'keep-alive' } }), get('/2')),
      ask('GET', '/p', { version: '1.0' }),
      ask('GET', '/f', { version: '1.0' }),
      pipeline(post('/x', 'x'.repeat(200_000)), get('/2')),
      get('/', { Connection: 'Close' }),
      get('/', { Connection: 'keep-alive, close' }),
      get('/', { Connection: 'upgrade', Upgrade: 'h2c' }),
    ],
  },
  {
    name: 'Expect',
    conf,
    requests: [
      {
        ...raw('100-continue', 'POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n', ['POST']),
        after: Buffer.from('abc'),
      },
      raw('too large for it', 'POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\nExpect: 100-continue\r\n\r\n', ['POST']),
      raw('in HTTP/1.0', 'POST /p HTTP/1.0\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc', ['POST']),
      get('/', { Expect: 'something' }),
    ],
  },
];
