import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectionNames } from './connection/headers.ts';
import { encodePath, parseHost, parsePath, parseTarget } from './target.ts';

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
    ['', undefined],
    ['.', undefined],
    ['a..b', undefined],
    ['a b', undefined],
    ['a/b', undefined],
    ['user@a', undefined],
    ['a:x', 'a'],
    ['a:1:2', 'a'],
    ['a:/', undefined],
  ];
  for (const [header, host] of table) assert.equal(parseHost(header), host, header);
});

test('names in a Connection header are dropped, but never host or content-length', () => {
  assert.deepEqual([...(connectionNames('close, X-A , host,Content-Length,x-b') ?? [])], ['close', 'x-a', 'x-b']);
  assert.equal(connectionNames('keep-alive'), undefined);
});
