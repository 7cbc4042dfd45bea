import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  connectionNames,
  Headers,
  headerName,
  headerValue,
  isHeaderName,
  kindOf,
  locationValue,
  mayTrail,
  saysConnection,
} from './headers.ts';

test('headers of a connection never pass, however they are written', () => {
  for (const name of ['keep-alive', 'proxy-connection', 'proxy-authorization', 'te', 'trailer', 'upgrade', 'expect', 'http2-settings'])
    assert.equal(kindOf(name), 'hop', name);
  // A program that reads `_` as `-` must not be told another length than ours.
  for (const name of ['content_length', 'transfer_encoding', 'x_real_ip', 'x-forwarded_proto', 'x_custom'])
    assert.equal(kindOf(name), 'underscored', name);
  for (const name of ['x-real-ip', 'forwarded', 'x-forwarded-host']) assert.equal(kindOf(name), 'forwarded', name);
  for (const name of ['x-realip', 'content-type', 'x-forward', 'cookie']) assert.equal(kindOf(name), 'pass', name);
});

test('names are tokens, kept as written', () => {
  for (const bad of ['', 'a b', 'a:', 'ä', 'a\r\n', '(a)', 'a"']) {
    assert.equal(isHeaderName(bad), false);
    assert.equal(headerName(bad), undefined);
  }
  assert.deepEqual(headerName('X-Thing'), { text: 'X-Thing', lower: 'x-thing', kind: 'pass' });
});

test('Connection names headers to drop, but not those a message cannot do without', () => {
  assert.equal(connectionNames('keep-alive'), undefined);
  assert.deepEqual([...(connectionNames('close, X-Foo,host , Content-Length, ,TE') ?? [])], ['close', 'x-foo', 'te']);
  assert.ok(saysConnection('a, UPGRADE ,b', 'upgrade'));
  assert.ok(!saysConnection('upgraded, no-upgrade', 'upgrade'));
});

test('values made from variables cannot end their line, in any encoding', () => {
  assert.equal(headerValue('a\r\nX: y\0\x7f'), 'aX: y');
  for (const text of ['Ċ', '‍Ċč', 'größe', '漢', '😀', 'a\tb']) {
    const written = Buffer.from(headerValue(text), 'latin1');
    assert.ok(!written.includes(10) && !written.includes(13), text);
  }
  assert.equal(Buffer.from(headerValue('漢'), 'latin1').toString('utf8'), '漢');
  assert.equal(locationValue('/a b\r\nX: ü漢%20?q=1#f'), '/a%20bX:%20%C3%BC%E6%BC%A2%20?q=1#f');
});

test('fields are found by name, cookies joined in their own way', () => {
  const headers = new Headers();
  for (const [name, value] of [
    ['Cookie', 'a=1'],
    ['X-A', '1'],
    ['cookie', 'b=2'],
    ['x-a', '2'],
  ] as const) {
    const known = headerName(name);
    if (known !== undefined) headers.add(known, value);
  }
  assert.deepEqual(
    [headers.get('x-a'), headers.joined('x-a'), headers.joined('cookie'), headers.all('cookie')],
    ['1', '1, 2', 'a=1; b=2', ['a=1', 'b=2']],
  );
  assert.deepEqual([headers.get('none'), headers.joined('none'), headers.all('none')], [undefined, '', []]);
});

test('a field that says how to read a message, or who sent it, is no trailer', () => {
  const may = (name: string) => {
    const known = headerName(name);
    return known !== undefined && mayTrail(known);
  };
  for (const name of ['X-Checksum', 'Server-Timing', 'ETag', 'Digest']) assert.ok(may(name), name);
  for (const name of [
    'Content-Length',
    'Content-Type',
    'Host',
    'Transfer-Encoding',
    'Authorization',
    'Set-Cookie',
    'X-Forwarded-For',
    'TE',
    'If-None-Match',
    'Range',
  ])
    assert.ok(!may(name), name);
});
