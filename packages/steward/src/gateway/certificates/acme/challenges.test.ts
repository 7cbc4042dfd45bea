// Before @peculiar/x509, which needs it when it is loaded.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import tls from 'node:tls';
import { X509Certificate as ParsedCertificate } from '@peculiar/x509';
import { alpnCertificate } from './alpn-certificate.ts';
import { alpnProtocol, challengeAnswer, noChallenges } from './challenges.ts';
import { startResponder } from './testing.ts';

test('a challenge is answered at its own path only', () => {
  const challenges = { http: { token: 'token.thumb' }, alpn: {} };
  const at = (path: string): string | undefined => challengeAnswer(challenges, path);
  assert.equal(at('/.well-known/acme-challenge/token'), 'token.thumb');
  for (const path of ['/.well-known/acme-challenge/', '/.well-known/acme-challenge/other', '/token', '/.well-known/acme-challenge/token/'])
    assert.equal(at(path), undefined, path);
  assert.equal(at('/.well-known/acme-challenge/constructor'), undefined);
});

test('the certificate of a TLS challenge is for the host alone and carries the hash of the answer, critical', async () => {
  const { cert } = await alpnCertificate('token.thumb', 'shop.example');
  assert.equal(new X509Certificate(cert).subjectAltName, 'DNS:shop.example');
  const extension = new ParsedCertificate(cert).getExtension('1.3.6.1.5.5.7.1.31');
  assert.equal(extension?.critical, true);
  const digest = createHash('sha256').update('token.thumb').digest('hex');
  assert.equal(Buffer.from(extension?.value ?? new ArrayBuffer(0)).toString('hex'), `0420${digest}`);
});

test('while a TLS challenge waits, browsers still get the usual certificate of the host', async (t) => {
  const { tlsPort, publish } = await startResponder(t);
  await publish({ http: {}, alpn: { 'shop.example': await alpnCertificate('token.thumb', 'shop.example') } });
  const nameShown = (maxVersion: tls.SecureVersion, ALPNProtocols?: string[], servername = 'shop.example'): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: tlsPort, servername, rejectUnauthorized: false, maxVersion };
      const socket = tls.connect({ ...options, ...(ALPNProtocols && { ALPNProtocols }) }, () => {
        resolve(new X509Certificate(socket.getPeerCertificate().raw).subjectAltName);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    assert.equal(await nameShown(version, [alpnProtocol]), 'DNS:shop.example', version);
    assert.equal(await nameShown(version, ['http/1.1']), 'DNS:localhost', version);
    assert.equal(await nameShown(version), 'DNS:localhost', version);
    assert.equal(await nameShown(version, ['http/1.1'], ''), 'DNS:localhost', version);
  }
  await publish(noChallenges);
  await assert.rejects(nameShown('TLSv1.3', [alpnProtocol]), /no application protocol/);
});
