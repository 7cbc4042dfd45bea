import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import Format from 'typebox/format';
import { Check } from 'typebox/value';
import type { Reading } from '../format.ts';
import { readCases, surroundingsOf } from '../golden.ts';
import { createRandom, mutate } from '../mutate.ts';
import { hasErrors, originOf, type Source } from '../problem.ts';
import { fileShape } from '../sections/file.ts';
import { parseDuration, parseSize } from '../units.ts';
import { nginxCodes } from './codes.ts';
import { looksLikeNginx, readNginx } from './nginx.ts';

Format.Set('duration', (text) => parseDuration(text) !== undefined);
Format.Set('size', (text) => parseSize(text) !== undefined);

const cases = readCases(join(import.meta.dirname, 'cases'), '/etc/nginx', 'site.conf');

const read = (text: string, ...others: readonly Source[]): Reading => {
  const source = { file: '/etc/nginx/site.conf', text };
  return readNginx(source, surroundingsOf([source, ...others]));
};

const textAt = (reading: Reading, pointer: string): string => {
  const at = originOf(reading.origins, pointer);
  const source = reading.sources.find(({ file }) => file === at?.file);
  const line = source?.text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)[(at?.line ?? 0) - 1] ?? '';
  return line.slice((at?.column ?? 0) - 1, (at?.column ?? 0) - 1 + (at?.length ?? 0));
};

test('every value can be traced to the text it came from', () => {
  const reading = read(`upstream app { server 127.0.0.1:1; server 127.0.0.1:2 weight=2; }
server {
  listen 443 ssl;
  server_name a.example b.example;
  ssl_certificate "my site.crt"; ssl_certificate_key site.key;
  client_max_body_size 2m;
  location / { proxy_pass https://app/v2; proxy_set_header X-A 'a b'; }
  location /x { root /srv; index i.html; return 301 https://c.example/; }
  location /y { root /srv/y; index i.html; }
}`);
  const expected: Readonly<Record<string, string>> = {
    '/upstreams/app/servers/1/weight': '127.0.0.1:2',
    '/sites/0': 'server',
    '/sites/0/hosts/1': 'b.example',
    '/sites/0/listen/0': '443',
    '/sites/0/tls/cert': '"my site.crt"',
    '/sites/0/tls/key': 'site.key',
    '/sites/0/maxBody': '2m',
    '/sites/0/routes/0/path': '/',
    '/sites/0/routes/0/upstream': 'https://app/v2',
    '/sites/0/routes/0/upstreamPath': 'https://app/v2',
    '/sites/0/routes/0/setHeaders/0': "'a b'",
    '/sites/0/routes/1/redirect': 'https://c.example/',
    '/sites/0/routes/2/root': '/srv/y',
    '/sites/0/routes/2/index/0': 'i.html',
  };
  for (const [pointer, text] of Object.entries(expected)) assert.equal(textAt(reading, pointer), text, pointer);
});

test('values of an included file are traced into that file', () => {
  const reading = read('server {\n  include part.conf;\n}\n', { file: '/etc/nginx/part.conf', text: '\nlocation / { root /srv; }' });
  assert.deepEqual(reading.origins.get('/sites/0/routes/0/root'), { file: '/etc/nginx/part.conf', line: 2, column: 19, length: 4 });
  assert.deepEqual(
    reading.sources.map(({ file }) => file),
    ['/etc/nginx/site.conf', '/etc/nginx/part.conf'],
  );
});

test('a file in sites-enabled finds what it includes beside nginx.conf', () => {
  const source = { file: '/etc/nginx/sites-enabled/shop', text: 'server { include snippets/a.conf; }' };
  const part = { file: '/etc/nginx/snippets/a.conf', text: 'return 204;' };
  const { config, problems } = readNginx(source, surroundingsOf([source, part]));
  assert.deepEqual(problems, []);
  assert.equal(config.sites?.[0]?.routes[0]?.status, 204);
});

test('a byte order mark does not count as a column', () => {
  const reading = read('\uFEFFserver { autoindex on; }');
  assert.equal(reading.problems[0]?.at?.column, 10);
});

test('a file that includes itself is told, under whatever name it was given', () => {
  const source = { file: 'site.conf', text: 'include site.conf;' };
  const { problems } = readNginx(source, {
    open: () => [{ file: join(process.cwd(), 'site.conf'), text: source.text }],
    env: {},
    hostname: 'h',
  });
  assert.match(problems[0]?.message ?? '', /include each other/);
});

test('files that double their includes stop at a limit', () => {
  const around = {
    open: (name: string) => [{ file: `/e/${Number(name) + 1}`, text: `include ${Number(name) + 1}; include ${Number(name) + 1};` }],
    env: {},
    hostname: 'h',
  };
  const { problems } = readNginx({ file: '/e/0', text: 'include 0;' }, around);
  assert.ok(problems.some(({ message }) => /more than 100 files deep/.test(message)));
});

test('a dispatch name that JavaScript knows is a directive like any other', () => {
  const { problems } = read('server { constructor 1; __proto__ 2; location / { return 200; } } upstream __proto__ { server 127.0.0.1:1; }');
  assert.deepEqual(
    problems.map(({ severity }) => severity),
    ['warning', 'warning'],
  );
});

test('nginx files are told from others', () => {
  for (const { sources, name } of cases) {
    if (name !== 'too many braces and semicolons') assert.equal(looksLikeNginx(sources[0].text), true, name);
  }
  for (const { sources, name } of readCases(join(import.meta.dirname, '../apache/cases'), '/etc/apache2', 'site.conf')) {
    assert.equal(looksLikeNginx(sources[0].text), false, name);
  }
  assert.equal(looksLikeNginx('# a comment\nworker_processes 4;\n'), true);
  assert.equal(looksLikeNginx('services:\n  web:\n    run: node server.ts\n'), false);
  assert.equal(looksLikeNginx('{"server": {"listen": 80}}'), false);
  assert.equal(looksLikeNginx('[program:server]\ncommand=nginx -g "daemon off;"\n'), false);
  assert.equal(looksLikeNginx('<VirtualHost *:80>\n  ServerName a\n</VirtualHost>\n'), false);
  assert.equal(looksLikeNginx('Listen 80\nServerName a\n'), false);
  assert.equal(looksLikeNginx(''), false);
});

const pieces = [
  '{',
  '}',
  ';',
  '"',
  "'",
  '\\',
  '#',
  '$',
  '${',
  '\n',
  '\r',
  '\r\n',
  '\t',
  ' ',
  '\0',
  '\uFEFF',
  '中',
  '~',
  '=',
  '*',
  '/',
  ':',
  '[',
  '(',
  '99999999999',
  'server {',
  'location / {',
  'listen ssl;',
  'include *;',
  'if ($host = a) {',
];

test('no text makes the reader throw, and what it answers always has the shape of a steward.yaml', () => {
  const random = createRandom(20_260_101);
  for (let n = 0; n < 4000; n++) {
    const { sources } = cases[n % cases.length] as (typeof cases)[number];
    const source = { file: sources[0].file, text: mutate(sources[0].text, random, pieces) };
    const around = surroundingsOf([source, ...sources.slice(1)]);
    const reading = readNginx(source, around);
    looksLikeNginx(source.text);
    assert.ok(hasErrors(reading.problems) || Check(fileShape, reading.config), source.text);
    for (const { at, code } of reading.problems) {
      const lines = reading.sources.find(({ file }) => file === at?.file)?.text.split(/\r\n|\n|\r/) ?? [];
      assert.ok(Object.hasOwn(nginxCodes, code), code);
      assert.ok(at !== undefined && at.line >= 1 && at.line <= lines.length && at.column >= 1, source.text);
    }
  }
});

test('a large file and deep nesting are read in a moment', () => {
  const started = performance.now();
  read(
    `server { ${'location /a { return 200; } # comment\n'.repeat(1)}${Array.from({ length: 5000 }, (_, n) => `location /${n} { return 200 "${'x'.repeat(50)}"; }`).join('\n')} }`,
  );
  read('a { '.repeat(50_000));
  read(`server { proxy_read_timeout ${'1'.repeat(100_000)}x; }`);
  assert.ok(performance.now() - started < 3000, `${performance.now() - started} ms`);
});
