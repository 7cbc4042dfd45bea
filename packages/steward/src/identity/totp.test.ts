import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { base32, hotp, matchingStep, otpauthUri, seal, stepAt, unseal } from './totp.ts';

const secret = Buffer.from('12345678901234567890');

test('codes by counter are those of RFC 4226, appendix D', () => {
  assert.deepEqual(
    Array.from({ length: 10 }, (_, counter) => hotp(secret, counter)),
    ['755224', '287082', '359152', '969429', '338314', '254676', '287922', '162583', '399871', '520489'],
  );
});

test('codes by time are those of RFC 6238, appendix B, in their last six digits', () => {
  assert.deepEqual(
    [59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000].map((seconds) => hotp(secret, stepAt(seconds * 1000))),
    ['287082', '081804', '050471', '005924', '279037', '353130'],
  );
});

test('a code is good one step before and after its own, and once', () => {
  const at = 1_234_567_890_000;
  const step = stepAt(at);
  const codeOf = (counter: number): string => hotp(secret, counter);
  assert.deepEqual(
    [-2, -1, 0, 1, 2].map((away) => matchingStep(secret, codeOf(step + away), at, 0)),
    [undefined, step - 1, step, step + 1, undefined],
  );
  assert.equal(matchingStep(secret, codeOf(step), at, step), undefined);
  assert.equal(matchingStep(secret, codeOf(step - 1), at, step), undefined, 'nor one from before it');
  assert.equal(matchingStep(secret, codeOf(step + 1), at, step), step + 1);
});

test('what is no code is none', () => {
  for (const text of ['', '12345', '1234567', '12345a', '１２３４５６']) assert.equal(matchingStep(secret, text, 0, -1), undefined);
});

test('base32 is that of RFC 4648', () => {
  assert.deepEqual(
    ['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map((text) => base32(Buffer.from(text))),
    ['', 'MY', 'MZXQ', 'MZXW6', 'MZXW6YQ', 'MZXW6YTB', 'MZXW6YTBOI'],
  );
});

test('an authenticator gets secret, name and issuer in one address', () => {
  const uri = new URL(otpauthUri(secret, 'alice', 'Steward web 1'));
  assert.deepEqual([uri.protocol, uri.host, uri.pathname], ['otpauth:', 'totp', '/Steward%20web%201:alice']);
  assert.equal(uri.searchParams.get('secret'), base32(secret));
  assert.equal(uri.searchParams.get('issuer'), 'Steward web 1');
});

test('a sealed secret opens with its key for its name, and not when any part of it is altered', () => {
  const key = randomBytes(32);
  const sealed = seal(key, secret, 'alice');
  assert.deepEqual(unseal(key, sealed, 'alice'), secret);
  assert.equal(unseal(key, sealed, 'bob'), undefined);
  assert.equal(unseal(randomBytes(32), sealed, 'alice'), undefined);
  const parts = sealed.split('.');
  for (const index of [1, 2, 3]) {
    const altered = parts
      .with(
        index,
        (parts[index] as string).replace(/^./, (char) => (char === 'A' ? 'B' : 'A')),
      )
      .join('.');
    assert.equal(unseal(key, altered, 'alice'), undefined, `part ${index}`);
  }
  assert.equal(unseal(key, 'v1.a', 'alice'), undefined);
  assert.ok(!sealed.includes(secret.toString('base64url')));
});
