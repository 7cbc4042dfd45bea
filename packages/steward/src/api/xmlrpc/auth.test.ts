import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { isLoopback } from '../../config/address.ts';
import { isAuthorized, isFromBrowser } from './auth.ts';

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

test('a name and its password are let in, nothing else is', () => {
  const given = { username: 'ops', password: 'a:b é' };
  assert.equal(isAuthorized(basic('ops:a:b é'), given), true);
  assert.equal(isAuthorized(basic('ops:a:b é').replace('Basic', 'basic '), given), true);
  const wrong = ['ops:a:b', 'ops:', 'ops', '', 'Ops:a:b é', ':a:b é', 'ops:a:b é '];
  for (const text of wrong) assert.equal(isAuthorized(basic(text), given), false, text);
  for (const header of [undefined, '', 'Basic', 'Bearer x', 'Basic ???', 'Digest a'])
    assert.equal(isAuthorized(header, given), false, String(header));
});

test('a password may be kept as its SHA-1', () => {
  const hash = createHash('sha1').update('open sesame').digest('hex');
  for (const kept of [`{SHA}${hash}`, `{SHA}${hash.toUpperCase()}`]) {
    assert.equal(isAuthorized(basic('ops:open sesame'), { username: 'ops', password: kept }), true);
    assert.equal(isAuthorized(basic(`ops:${kept}`), { username: 'ops', password: kept }), false);
    assert.equal(isAuthorized(basic(`ops:${hash}`), { username: 'ops', password: kept }), false);
  }
});

test('pages of browsers are known by where they come from, and by the name they use for this machine', () => {
  for (const host of ['', 'localhost', '127.0.0.1:9001', '[::1]:9001', 'LOCALHOST:80']) assert.equal(isFromBrowser({ host }), false, host);
  assert.equal(isFromBrowser({}), false);
  for (const host of ['example.com', 'localhost.example.com:9001', '10.0.0.1', '127.0.0.1.example.com'])
    assert.equal(isFromBrowser({ host }), true, host);
  assert.equal(isFromBrowser({ host: 'localhost', origin: 'null' }), true);
  assert.equal(isLoopback('0.0.0.0'), false);
  assert.equal(isLoopback('127.example.com'), false);
});
