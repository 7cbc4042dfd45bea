/** Against Pebble, the test authority of Let's Encrypt's makers: a real ACME server that connects back to look. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { freePort, until } from '../../testing.ts';
import { acmeFolder, openAcme, startPebble, startResponder } from './testing.ts';

const shop = { name: 'acme:shop', hosts: ['shop.example', 'www.shop.example'] };

test('a site gets its certificate over port 80, from an authority that refuses every fifth nonce', async (t) => {
  const responder = await startResponder(t);
  const pebble = await startPebble(t, { ...responder, nonceReject: 20 });
  const dir = await acmeFolder(t);
  const { acme, lines, troubles, issued } = await openAcme(t, { dir, spec: pebble.spec, publish: responder.publish });
  assert.deepEqual([...acme.certificates()], []);
  acme.want([shop]);
  await until(`a certificate; ${lines.join('\n')} ${pebble.log()}`, () => issued.length > 0);
  const { cert = '', key = '' } = acme.certificates().get(shop.name) ?? {};
  const leaf = new X509Certificate(cert);
  assert.ok(leaf.checkHost('shop.example') && leaf.checkHost('www.shop.example'));
  assert.equal(cert.match(/BEGIN CERTIFICATE/g)?.length, 2, 'leaf and intermediate');
  assert.match(key, /BEGIN PRIVATE KEY/);
  assert.deepEqual(responder.seen(), ['http shop.example', 'http www.shop.example']);
  assert.deepEqual(responder.current(), { http: {}, alpn: {} }, 'what was shown is withdrawn');
  assert.deepEqual([troubles, acme.problems()], [[], []]);
  assert.equal((await stat(dir)).mode & 0o777, 0o700);
  for (const file of await readdir(dir)) assert.equal((await stat(path.join(dir, file))).mode & 0o777, 0o600, file);
  assert.match(await pebble.root(), /BEGIN CERTIFICATE/);
});

test('a site whose port 80 is closed gets its certificate over TLS at the second try', async (t) => {
  const responder = await startResponder(t, { http: false });
  const pebble = await startPebble(t, responder);
  const dir = await acmeFolder(t);
  let shift = 0;
  const now = () => Date.now() + shift;
  const { acme, troubles, issued, lines } = await openAcme(t, { dir, spec: pebble.spec, publish: responder.publish, now });
  acme.want([shop]);
  await until('the first try to fail', () => troubles.length > 0);
  assert.match(
    troubles[0] ?? '',
    /^gateway\/acme-refused: there is no certificate for shop\.example, www\.shop\.example: .*connection refused/i,
  );
  assert.match(acme.problems()[0]?.hint ?? '', /^It is tried again at \d{4}-/);
  assert.deepEqual(responder.current(), { http: {}, alpn: {} });
  shift = 10 * 60_000;
  acme.want([shop]);
  await until(`a certificate; ${lines.join('\n')}`, () => issued.length > 0);
  assert.deepEqual(responder.seen(), ['alpn shop.example', 'alpn www.shop.example']);
  assert.deepEqual(acme.problems(), []);
});

test('a site without a plain port gets its certificate over TLS at once', async (t) => {
  const responder = await startResponder(t, { http: false });
  const pebble = await startPebble(t, responder);
  const { acme, issued, lines } = await openAcme(t, { dir: await acmeFolder(t), spec: pebble.spec, publish: responder.publish });
  acme.want([{ ...shop, ways: ['tls-alpn-01'] }]);
  await until(`a certificate: ${lines.join('\n')}`, () => issued.length > 0);
  assert.deepEqual(responder.seen(), ['alpn shop.example', 'alpn www.shop.example']);
});

test('after a restart nothing is asked, and later the same account renews', async (t) => {
  const responder = await startResponder(t);
  const pebble = await startPebble(t, responder);
  const dir = await acmeFolder(t);
  const common = { dir, spec: pebble.spec, publish: responder.publish };
  const first = await openAcme(t, common);
  first.acme.want([shop]);
  await until('a certificate', () => first.issued.length > 0);
  await first.acme.stop();
  const before = first.acme.certificates().get(shop.name);

  let nowMs = Date.now();
  const again = await openAcme(t, { ...common, now: () => nowMs });
  again.acme.want([shop]);
  assert.deepEqual(again.acme.certificates().get(shop.name), before);
  const leaf = new X509Certificate(before?.cert ?? '');
  const lifetime = leaf.validToDate.getTime() - leaf.validFromDate.getTime();
  nowMs = leaf.validToDate.getTime() - lifetime / 2;
  again.acme.want([shop]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.deepEqual([again.lines, again.issued], [[], []]);
  nowMs = leaf.validToDate.getTime() - lifetime / 3;
  again.acme.want([shop]);
  await until(`a renewal: ${again.lines.join('\n')}`, () => again.issued.length > 0);
  assert.notEqual(again.acme.certificates().get(shop.name)?.cert, before?.cert);
  // This clock is years ahead of Pebble's: the new certificate is due at once, too, which does not go round in a circle.
  await until('it to be told', () => again.lines.some((line) => line.includes('is due again')));
  assert.equal(again.lines.filter((line) => line.startsWith('asking')).length, 1);
  assert.equal(pebble.log().match(/There are now \d+ accounts/g)?.length, 1);
});

test('certificates that live for seconds are renewed while they run, and each one is shown', async (t) => {
  const responder = await startResponder(t);
  const pebble = await startPebble(t, { ...responder, lifetimeSeconds: 12 });
  const { acme, issued, lines } = await openAcme(t, { dir: await acmeFolder(t), spec: pebble.spec, publish: responder.publish });
  acme.want([shop]);
  const shown = new Set<string>();
  await until(`a renewal: ${lines.join('\n')}`, () => {
    const { cert } = acme.certificates().get(shop.name) ?? {};
    if (cert === undefined) return false;
    assert.ok(new X509Certificate(cert).validToDate.getTime() > Date.now(), 'never an ended one');
    return shown.add(cert).size >= 2;
  });
  assert.ok(issued.length <= 2, 'not before two thirds of the time');
});

test('an authority that has forgotten the account gets a new one', async (t) => {
  const responder = await startResponder(t);
  const port = await freePort();
  const pebble = await startPebble(t, { ...responder, port });
  const dir = await acmeFolder(t);
  const first = await openAcme(t, { dir, spec: pebble.spec, publish: responder.publish });
  first.acme.want([shop]);
  await until('a certificate', () => first.issued.length > 0);
  await first.acme.stop();
  await pebble.stop();
  const other = await startPebble(t, { ...responder, port });
  const again = await openAcme(t, { dir, spec: other.spec, publish: responder.publish });
  const blog = { name: 'acme:blog', hosts: ['blog.example'] };
  again.acme.want([shop, blog]);
  await until(`a certificate: ${again.lines.join('\n')}`, () => again.issued.length > 0);
  assert.deepEqual(again.issued, [blog.name]);
  assert.equal(again.acme.certificates().size, 2);
});

test('an authority for customers only is shown the key that it handed out', async (t) => {
  const responder = await startResponder(t);
  const key = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W';
  const pebble = await startPebble(t, { ...responder, customer: ['kid-1', key] });
  const stranger = await openAcme(t, { dir: await acmeFolder(t), spec: pebble.spec, publish: responder.publish });
  stranger.acme.want([shop]);
  await until('a refusal', () => stranger.troubles.length > 0);
  assert.match(stranger.troubles.join(), /externalAccountBinding/);
  const spec = { ...pebble.spec, externalAccount: { keyId: 'kid-1', key } };
  const customer = await openAcme(t, { dir: await acmeFolder(t), spec, publish: responder.publish });
  customer.acme.want([shop]);
  await until(`a certificate: ${customer.lines.join('\n')}`, () => customer.issued.length > 0);
});

test('a directory with a certificate that nobody vouches for gets no request', async (t) => {
  const responder = await startResponder(t);
  const pebble = await startPebble(t, responder);
  const { directoryCa: _unknown, ...spec } = pebble.spec;
  const { acme, troubles } = await openAcme(t, { dir: await acmeFolder(t), spec, publish: responder.publish });
  acme.want([shop]);
  await until('a refusal', () => troubles.length > 0);
  assert.match(troubles.join(), /cannot be reached: .*(self-signed|unable to (verify|get))/i);
  assert.doesNotMatch(pebble.log(), /POST/);
});
