import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escapeLogged } from './access-log.ts';
import { relativePath } from './files.ts';
import { connectionNames } from './proxy-action.ts';
import { encodePath, parseHost, parsePath, parseTarget } from './target.ts';
import { compileTemplate, expand, type VariableSource } from './variables.ts';

test('paths are decoded, slashes merged and dots resolved, and never leave the root', () => {
  const table: [string, string | undefined][] = [
    ['/', '/'],
    ['/a/b.txt', '/a/b.txt'],
    ['//a///b/', '/a/b/'],
    ['/a/./b/../c', '/a/c'],
    ['/a/b/..', '/a/'],
    ['/a%2fb', '/a/b'],
    ['/%41%20%25', '/A %'],
    ['/%e7%82%b9', '/点'],
    ['/%2e%2e/x', undefined],
    ['/..', undefined],
    ['/a/../../x', undefined],
    ['/%00', undefined],
    ['/%', undefined],
    ['/%4', undefined],
    ['/%g1', undefined],
    ['/.hidden', '/.hidden'],
    ['/a..b/...', '/a..b/...'],
  ];
  for (const [raw, text] of table) assert.equal(parsePath(raw)?.text, text, raw);
  const gbk = parsePath('/%c4%e3');
  assert.equal(encodePath(gbk?.bytes ?? ''), '/%C4%E3');
});

test('a request target is a path or an absolute address', () => {
  assert.deepEqual(parseTarget('/a?b=c?d'), { path: { raw: '/a', bytes: '/a', text: '/a' }, query: '?b=c?d' });
  assert.equal(parseTarget('http://h.example:81?x')?.authority, 'h.example:81');
  for (const bad of ['*', 'a', '', 'ftp://x/', '/a#b', 'http://']) assert.equal(parseTarget(bad), undefined, bad);
});

test('host headers give a lowercase name, or nothing when they are none', () => {
  const table: [string, string | undefined][] = [
    ['Example.COM:8080', 'example.com'],
    ['example.com.', 'example.com'],
    ['[::1]:80', '[::1]'],
    ['', ''],
    ['a b', undefined],
    ['a/b', undefined],
    ['user@a', undefined],
    ['a:x', undefined],
    ['a:1:2', undefined],
  ];
  for (const [header, host] of table) assert.equal(parseHost(header), host, header);
});

test('file paths are hidden, alias-safe and relative', () => {
  const strip = (text: string, prefix: string) => relativePath({ mapping: 'strip' }, text, prefix);
  assert.equal(strip('/static/a.txt', '/static'), '/a.txt');
  assert.equal(strip('/static/a.txt', '/static/'), '/a.txt');
  assert.equal(strip('/static', '/static'), '/');
  assert.equal(strip('/statics', '/static'), undefined);
  assert.equal(strip('/static../x', '/static'), undefined);
  assert.equal(relativePath({ mapping: 'append' }, '/a/.git/x', '/'), undefined);
  assert.equal(relativePath({ mapping: 'append' }, '/.well-known/x', '/'), '/.well-known/x');
});

test('names in a Connection header are dropped, but never host or content-length', () => {
  assert.deepEqual([...(connectionNames('close, X-A , host,Content-Length,x-b') ?? [])], ['close', 'x-a', 'x-b']);
  assert.equal(connectionNames('keep-alive'), undefined);
});

test('templates know their variables and leave the rest alone', () => {
  const source: VariableSource = {
    host: 'h',
    httpHost: 'H:1',
    remoteAddress: '1.2.3.4',
    scheme: 'https',
    serverPort: 443,
    serverName: 's',
    method: 'GET',
    requestUri: '/a?b',
    uri: '/a',
    args: 'b',
    proxyHost: 'p',
    header: (name) => (name === 'x-forwarded-for' ? '9.9.9.9' : name === 'user-agent' ? 'curl' : ''),
  };
  const text =
    '$scheme://${host}:$server_port$request_uri $proxy_add_x_forwarded_for $http_user_agent $remote_addr $http_host $server_name $uri$is_args$args $request_method $proxy_host $nothing $ 5$';
  assert.equal(expand(compileTemplate(text), source), 'https://h:443/a?b 9.9.9.9, 1.2.3.4 curl 1.2.3.4 H:1 s /a?b GET p $nothing $ 5$');
  assert.equal(expand(compileTemplate('$http_missing'), source), '');
});

test('logged values cannot leave their quotes or their line', () => {
  assert.equal(escapeLogged('a"b\\c\r\n\x1b[31m\x7fé点'), 'a\\x22b\\x5Cc\\x0D\\x0A\\x1B[31m\\x7F\\xE9\\u{70b9}');
});
