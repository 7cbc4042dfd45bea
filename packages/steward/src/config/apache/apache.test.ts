import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import Format from 'typebox/format';
import { Check } from 'typebox/value';
import type { Reading } from '../format.ts';
import { readCases, surroundingsOf } from '../golden.ts';
import { createRandom, mutate } from '../mutate.ts';
import { formatProblems, hasErrors, originOf } from '../problem.ts';
import { fileShape } from '../sections/file.ts';
import { parseDuration, parseSize } from '../units.ts';
import { looksLikeApache, readApache } from './apache.ts';
import { apacheCodes } from './codes.ts';

Format.Set('steward-duration', (text) => parseDuration(text) !== undefined);
Format.Set('steward-size', (text) => parseSize(text) !== undefined);

const env = { SITE: 'env.example.com' };
const cases = readCases(join(import.meta.dirname, 'cases'), '/etc/apache2', 'site.conf');

for (const golden of cases) {
  test(`Apache: ${golden.name}`, () => {
    const { config, problems, sources, folder } = readApache(golden.sources[0], surroundingsOf(golden.sources, env));
    assert.equal(formatProblems(problems, sources), golden.problems);
    if (golden.config !== undefined) assert.deepEqual(config, golden.config);
    assert.equal(folder, '/etc/apache2');
  });
}

const read = (text: string): Reading => {
  const source = { file: '/etc/apache2/site.conf', text };
  return readApache(source, surroundingsOf([source], env));
};

const textAt = (reading: Reading, pointer: string): string => {
  const at = originOf(reading.origins, pointer);
  const line = reading.sources[0]?.text.split('\n')[(at?.line ?? 0) - 1] ?? '';
  return line.slice((at?.column ?? 0) - 1, (at?.column ?? 0) - 1 + (at?.length ?? 0));
};

test('every value can be traced to the text it came from', () => {
  const reading = read(`Define APP http://127.0.0.1:3000
<VirtualHost *:443>
  ServerName a.example
  ServerAlias b.example \\
    c.example
  SSLEngine On
  SSLCertificateFile "/etc/ssl/my site.crt"
  SSLCertificateKeyFile /etc/ssl/site.key
  ProxyPreserveHost On
  ProxyPass /x \${APP}/y
  RequestHeader set X-A "a b"
  DocumentRoot /srv
</VirtualHost>`);
  const expected: Readonly<Record<string, string>> = {
    '/sites/0': '<VirtualHost',
    '/sites/0/listen/0': '*:443',
    '/sites/0/hosts/0': 'a.example',
    '/sites/0/hosts/2': 'c.example',
    '/sites/0/tls/cert': '"/etc/ssl/my site.crt"',
    '/sites/0/routes/0/root': '/srv',
    '/sites/0/routes/1': '/x',
    '/sites/0/routes/1/setHeaders/1': '"a b"',
    '/sites/0/routes/1/upstream': '${APP}/y',
    '/sites/0/routes/1/upstreamHost': 'On',
    '/sites/0/routes/1/upstreamPath': '${APP}/y',
  };
  for (const [pointer, text] of Object.entries(expected)) assert.equal(textAt(reading, pointer), text, pointer);
});

test('names that JavaScript knows are directives, variables and schemes like any other', () => {
  const { problems } = read('constructor 1\n<toString>\n</toString>\nServerName ${constructor}\nRedirect constructor /x http://a/\n');
  assert.deepEqual(
    problems.map(({ code, at }) => [at?.line, code]),
    [
      [1, 'config/apache-not-taken-over'],
      [2, 'config/apache-not-taken-over'],
      [4, 'config/apache-undefined'],
      [5, 'config/apache-value'],
    ],
  );
});

test('Apache files are told from others', () => {
  for (const { sources, name } of cases) assert.equal(looksLikeApache(sources[0].text), true, name);
  for (const { sources, name } of readCases(join(import.meta.dirname, '../nginx/cases'), '/etc/nginx', 'site.conf')) {
    assert.equal(looksLikeApache(sources[0].text), false, name);
  }
  assert.equal(looksLikeApache('server {\n  listen 80;\n}\n'), false);
  assert.equal(looksLikeApache('services:\n  web:\n    run: httpd -D FOREGROUND\n'), false);
  assert.equal(looksLikeApache('[program:httpd]\ncommand=httpd\n'), false);
  assert.equal(looksLikeApache('<?xml version="1.0"?>\n<Proxy>a</Proxy>\n'), false);
  assert.equal(looksLikeApache('User: me\nListen: 80\n'), false);
  assert.equal(looksLikeApache(''), false);
});

const pieces = [
  '<',
  '>',
  '</',
  '/>',
  '"',
  "'",
  '\\',
  '\\\n',
  '#',
  '${',
  '}',
  '${X}',
  '\n',
  '\r\n',
  '\r',
  '\t',
  ' ',
  '\0',
  '%{',
  '%',
  '!',
  '*',
  ':',
  '99999',
  '中',
  '<VirtualHost *:80>',
  '</VirtualHost>',
  'ProxyPass / ',
  'On',
  'Define X ${X}',
  '<Directory /srv>',
  '</Directory>',
  '<Location /x>',
  '</Location>',
  '<FilesMatch "\\.x$">',
  'Require ',
  'RewriteRule ^(.*)$ /$1 ',
  'RewriteCond %{HTTP_HOST} ',
  'Header set X ',
  '[L,',
  'balancer://a',
  '^(',
  '$1',
  '|',
];

test('no text makes the reader throw, and what it answers always has the shape of a steward.yaml', () => {
  const random = createRandom(20_260_102);
  for (let n = 0; n < 4000; n++) {
    const { sources } = cases[n % cases.length] as (typeof cases)[number];
    const source = { file: sources[0].file, text: mutate(sources[0].text, random, pieces) };
    const reading = readApache(source, surroundingsOf([source, ...sources.slice(1)], env));
    looksLikeApache(source.text);
    assert.ok(hasErrors(reading.problems) || Check(fileShape, reading.config), source.text);
    for (const { at, code } of reading.problems) {
      const lines = reading.sources.find(({ file }) => file === at?.file)?.text.split(/\r\n|\n|\r/) ?? [];
      assert.ok(Object.hasOwn(apacheCodes, code), code);
      assert.ok(at !== undefined && at.line >= 1 && at.line <= lines.length && at.column >= 1, source.text);
    }
  }
});

test('a large file and deep nesting are read in a moment', () => {
  const started = performance.now();
  read(
    Array.from(
      { length: 5000 },
      (_, n) => `<VirtualHost *:80>\nServerName h${n}.example\nProxyPass / http://127.0.0.1:3000/\n</VirtualHost>`,
    ).join('\n'),
  );
  read('<IfModule a>\n'.repeat(20_000));
  read(`ServerName ${'x\\\n'.repeat(50_000)}`);
  read(`ServerName ${'${'.repeat(50_000)}`);
  assert.ok(performance.now() - started < 5000, `${performance.now() - started} ms`);
});
