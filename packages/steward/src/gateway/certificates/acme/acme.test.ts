/** F42: an authority that fails in every way it can. Tries stay few, what was served is served on, and people are told in time. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { freePort, until } from '../../testing.ts';
import { acmeFolder, type Fault, openAcme, refuse, startFakeAuthority } from './testing.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const shop = { name: 'acme:shop', hosts: ['shop.example'] };
const blog = { name: 'acme:blog', hosts: ['blog.example'] };

/** An authority, an Acme and a clock that both go by. */
async function open(t: TestContext) {
  const clock = { nowMs: Date.UTC(2026, 0, 1) };
  const now = (): number => clock.nowMs;
  const authority = await startFakeAuthority(t, now);
  const dir = await acmeFolder(t);
  const opened = await openAcme(t, { dir, spec: authority.spec, now });
  const asks = (): number => opened.lines.filter((line) => line.startsWith('asking')).length;
  const answers = (): number => opened.lines.filter((line) => !line.startsWith('asking')).length;
  /** Resolves when `count` orders have come to an end, since the beginning. */
  const ended = (count: number): Promise<unknown> =>
    until(`${count} orders to end: ${opened.lines.join('\n')}`, () => answers() >= count && asks() === answers());
  return { clock, now, authority, dir, ended, asks, ...opened };
}

const status =
  (code: number, headers: Readonly<Record<string, string>> = {}): Fault =>
  (_place, response) => {
    response.writeHead(code, headers).end('<html>');
    return true;
  };

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));

const filesOf = async (dir: string, start: string): Promise<string[]> =>
  (await readdir(dir)).filter((file) => file.startsWith(start)).sort();

test('F42: while an authority answers 500, tries are few, the old certificate is served, and people are told 14 days ahead', async (t) => {
  const { clock, authority, acme, troubles, ended, asks } = await open(t);
  acme.want([shop]);
  await ended(1);
  const old = acme.certificates().get(shop.name);
  const endsMs = new X509Certificate(old?.cert ?? '').validToDate.getTime();
  authority.fail(status(500));
  const wait = async (untilMs: number): Promise<void> => {
    for (; clock.nowMs < untilMs; clock.nowMs += 6 * hour) {
      acme.want([shop]);
      await settled();
      await ended(asks());
    }
  };
  const ofShop = (): string[] => troubles.filter((line) => !line.startsWith('gateway/acme-directory'));
  const before = authority.asked.length;
  clock.nowMs = endsMs - 16 * day;
  acme.want([shop]);
  await ended(2);
  await wait(endsMs - 14.5 * day);
  assert.deepEqual([ofShop(), acme.certificates().get(shop.name)], [[], old]);
  await wait(endsMs - 13 * day);
  const told = await until('the end to be foretold', () => ofShop()[0]);
  const ends = /^gateway\/acme-ends: .* ends at .*, in 1[34] days, and its renewal fails: 127\.0\.0\.1:\d+ refused: HTTP status 500$/;
  assert.match(told, ends);
  const requests = authority.asked.length - before;
  assert.ok(asks() <= 14 && requests <= 2 * asks(), `${asks()} tries, ${requests} requests in 3 days`);
  clock.nowMs = endsMs + hour;
  acme.want([shop]);
  await until('the end to be told', () => troubles.some((line) => line.startsWith('gateway/acme-ended')));
  assert.equal(acme.certificates().get(shop.name), old);
  assert.ok(acme.problems().some(({ severity, code }) => severity === 'error' && code === 'gateway/acme-ended'));
  authority.fail(() => false);
  clock.nowMs += day;
  acme.want([shop]);
  await until('a new certificate', () => acme.certificates().get(shop.name) !== old);
  await until('all to be well', () => acme.problems().length === 0);
});

test('F42: a limit is waited out as long as the authority says, and other names go on soon', async (t) => {
  const { clock, authority, acme, ended, asks, issued } = await open(t);
  authority.fail(
    (place, response) => place === 'newOrder' && refuse(response, 429, 'rateLimited', 'too many certificates for shop.example', '7200'),
  );
  acme.want([shop]);
  await ended(1);
  const [problem] = acme.problems();
  assert.match(problem?.message ?? '', /too many certificates for shop\.example$/);
  assert.equal(problem?.hint, 'It is tried again at 2026-01-01T02:00:00Z.');
  authority.fail(() => false);
  acme.want([shop, blog]);
  await settled();
  assert.equal(asks(), 1, 'all names pause a little');
  clock.nowMs += 2 * minute;
  acme.want([shop, blog]);
  await ended(2);
  assert.deepEqual(issued, [blog.name]);
  clock.nowMs += 117 * minute;
  acme.want([shop, blog]);
  await settled();
  assert.equal(asks(), 2);
  clock.nowMs += 2 * minute;
  acme.want([shop, blog]);
  await ended(3);
  assert.deepEqual(issued, [blog.name, shop.name]);
});

test('F42: a name that is dead does not hold up the others', async (t) => {
  const { clock, authority, acme, ended, issued, troubles } = await open(t);
  authority.fail((place, response) => {
    if (place !== 'newOrder' || authority.ordered.length > 0) return false;
    return refuse(response, 400, 'rejectedIdentifier', 'dead.example has no address');
  });
  const dead = { name: 'acme:dead', hosts: ['dead.example'] };
  acme.want([dead]);
  await ended(1);
  acme.want([dead, shop, blog]);
  authority.fail(() => false);
  await ended(3);
  assert.deepEqual(issued, [shop.name, blog.name]);
  assert.equal(troubles.length, 1);
  clock.nowMs += hour;
  acme.want([shop, blog]);
  await settled();
  assert.equal(authority.ordered.flat().includes('dead.example'), false, 'what is no longer wanted is not asked for');
  assert.deepEqual(acme.problems(), []);
});

test('an order for a name that goes away is given up at once, without a trace of failure', async (t) => {
  const { authority, acme, asks, issued, troubles } = await open(t);
  let held: ServerResponse | undefined;
  authority.fail((place, response) => {
    if (place !== 'finalize') return false;
    held = response;
    return true;
  });
  acme.want([shop]);
  await until('the order to hang', () => held);
  authority.fail(() => false);
  acme.want([blog]);
  await until('the next order', () => issued.length > 0);
  assert.deepEqual([issued, troubles, asks()], [[blog.name], [], 2]);
});

test('F42: an authority that never answers ends with the order, and does not keep Steward from stopping', async (t) => {
  const clock = { nowMs: Date.UTC(2026, 0, 1) };
  const authority = await startFakeAuthority(t, () => clock.nowMs);
  authority.fail((place) => place === 'newOrder');
  const dir = await acmeFolder(t);
  const { acme, troubles } = await openAcme(t, { dir, spec: authority.spec, now: () => clock.nowMs, orderMs: 300 });
  acme.want([shop]);
  await until('the end of the order', () => troubles.length > 0);
  assert.match(troubles[0] ?? '', /there is no certificate for shop\.example: the order was not done in time$/);
  await acme.stop();
  const other = await openAcme(t, { dir, spec: authority.spec, now: () => clock.nowMs });
  clock.nowMs += hour;
  const before = authority.asked.length;
  other.acme.want([shop]);
  await until('the order', () => authority.asked.slice(before).includes('POST newOrder'));
  const startedAt = performance.now();
  await Promise.all([other.acme.stop(), other.acme.stop()]);
  assert.ok(performance.now() - startedAt < 1000);
});

test('F42: answers that are no answers are refused with words', async (t) => {
  const cases: readonly [string, Fault, RegExp][] = [
    ['directory', (_, response) => Boolean(response.end('{"newNonce": ')), /the answer of 127\.0\.0\.1:\d+ is no JSON object$/],
    ['directory', (_, response) => Boolean(response.end('[]')), /is no JSON object$/],
    ['directory', (_, response) => Boolean(response.end('{}')), /has no "newAccount"$/],
    ['directory', (_, response) => Boolean(response.end('x'.repeat(2 * 1024 * 1024))), /cannot be reached: .*(size|exceeded)/i],
    ['newNonce', (_, response) => Boolean(response.removeHeader('replay-nonce') ?? response.end()), /has no nonce$/],
    ['authorization', (_, response) => Boolean(response.end('{"status":"pending"}')), /offers no http-01 or tls-alpn-01 for/],
    ['authorization', (_, response) => Boolean(response.end('{"status":"deactivated"}')), /is deactivated$/],
    ['order', (_, response) => Boolean(response.end('{"status":"invalid"}')), /the order is invalid$/],
    ['certificate', (_, response) => Boolean(response.end('-----BEGIN CERTIFICATE-----\nnonsense')), /the new certificate cannot be used/],
    ['newOrder', (_, response) => Boolean(response.destroy()), /cannot be reached/],
    ['newOrder', (_, response) => refuse(response, 400, 'badNonce', 'bad nonce'), /bad nonce$/],
    ['newOrder', (_, response) => refuse(response, 403, 'unauthorized', `a\u001b[31m\nb`), /refused: a \[31m b$/],
  ];
  for (const [place, fault, reason] of cases) {
    const { authority, acme, troubles } = await open(t);
    authority.fail((at, response) => at === place && fault(at, response));
    acme.want([shop]);
    await until(`${place} ${reason}`, () => troubles.length > 0);
    assert.match(troubles[0] ?? '', reason);
    assert.ok(authority.asked.length < 15, `${authority.asked}`);
    await acme.stop();
  }
});

test('a nonce that is refused is followed by the one in the refusal', async (t) => {
  const { authority, acme, ended, issued } = await open(t);
  let refused = 0;
  authority.fail((place, response) => place === 'newOrder' && refused++ < 3 && refuse(response, 400, 'badNonce', 'bad nonce'));
  acme.want([shop]);
  await ended(1);
  assert.deepEqual([issued, refused], [[shop.name], 4]);
  assert.equal(authority.asked.filter((line) => line === 'HEAD newNonce').length, 1);
});

test('F42: with a wrong clock an ended certificate is not taken, and is not asked for in a circle', async (t) => {
  const { authority, acme, ended, asks, troubles } = await open(t);
  authority.lifetime = [-100, -10];
  acme.want([shop]);
  await ended(1);
  await settled();
  assert.match(
    troubles[0] ?? '',
    /the new certificate ended at 2025-12-22T00:00:00.000Z, or the clock of this machine \(2026-01-01T00:00:00.000Z\) is wrong/,
  );
  assert.deepEqual([asks(), acme.certificates().size], [1, 0]);
});

test('after a restart nothing is asked before it is due, and a failed try waits on', async (t) => {
  const { authority, acme, ended, dir, now, clock } = await open(t);
  acme.want([shop]);
  await ended(1);
  authority.fail(status(503, { 'retry-after': '3600' }));
  acme.want([shop, blog]);
  await ended(2);
  await acme.stop();
  const before = authority.asked.length;
  for (let n = 0; n < 3; n++) {
    const again = await openAcme(t, { dir, spec: authority.spec, now });
    again.acme.want([shop, blog]);
    assert.equal(again.acme.certificates().size, 1);
    await settled();
    assert.match(again.acme.problems()[0]?.hint ?? '', /tried again at 2026-01-01T01:00:00Z/);
    await again.acme.stop();
  }
  assert.equal(authority.asked.length, before);
  clock.nowMs += 61 * minute;
  authority.fail(() => false);
  const later = await openAcme(t, { dir, spec: authority.spec, now });
  later.acme.want([shop, blog]);
  await until('the certificate', () => later.issued.length > 0);
  assert.deepEqual(later.issued, [blog.name]);
});

test('F42: files that are lost or broken are told and made anew, and a good certificate is never thrown away', async (t) => {
  const { authority, acme, ended, dir, now } = await open(t);
  acme.want([shop, blog]);
  await ended(2);
  await acme.stop();
  const [blogPem = '', shopJson = ''] = [(await filesOf(dir, 'cert-acme_blog'))[1], (await filesOf(dir, 'cert-acme_shop'))[0]];
  const [accountJson = '', accountPem = ''] = await filesOf(dir, 'account-');
  assert.deepEqual(
    [blogPem, shopJson, accountJson, accountPem].map((file) => path.extname(file)),
    ['.pem', '.json', '.json', '.pem'],
  );
  await writeFile(path.join(dir, blogPem), 'no pem');
  await writeFile(path.join(dir, shopJson), '{"name":');
  await rm(path.join(dir, accountJson));
  await writeFile(path.join(dir, accountPem), 'no key');
  const again = await openAcme(t, { dir, spec: authority.spec, now });
  again.acme.want([shop, blog]);
  await until('a new certificate', () => again.issued.length > 0);
  assert.deepEqual(again.issued, [blog.name], 'the one for the shop is still good');
  assert.deepEqual([...again.acme.certificates().keys()], [shop.name, blog.name]);
  const told = again.troubles.join('\n');
  for (const file of [blogPem, shopJson, `${accountPem}.broken`])
    assert.match(told, new RegExp(`gateway/acme-state: ".*${file}" cannot be used`));
  assert.equal(await readFile(path.join(dir, `${accountPem}.broken`), 'utf8'), 'no key');
  await again.acme.stop();

  await rm(dir, { recursive: true });
  const anew = await openAcme(t, { dir, spec: authority.spec, now });
  anew.acme.want([shop]);
  await until('a new certificate', () => anew.issued.length > 0);
});

test('nothing is asked while the try cannot be written down first', async (t) => {
  const { authority, acme, clock, dir, ended, asks, lines, troubles } = await open(t);
  acme.want([shop]);
  await ended(1);
  const [json = ''] = await filesOf(dir, 'cert-acme_shop');
  await mkdir(path.join(dir, `${json}.new`));
  clock.nowMs += 80 * day;
  const before = authority.asked.length;
  acme.want([shop]);
  await until('it to be told', () => troubles.length > 0);
  await settled();
  assert.equal(authority.asked.length, before);
  assert.match(troubles.join('\n'), /gateway\/acme-state: ".*" cannot be written/);
  assert.match(lines.join('\n'), /nothing is asked while .* cannot be used/);
  assert.equal(acme.certificates().size, 1);
  await rm(path.join(dir, `${json}.new`), { recursive: true });
  clock.nowMs += hour;
  acme.want([shop]);
  await until('a renewal', () => asks() === 2);
});

test('a site with one more host is served by its old certificate until the new one is there; with one less nothing is asked', async (t) => {
  const { acme, ended, asks, issued } = await open(t);
  acme.want([shop]);
  await ended(1);
  const more = { name: 'acme:shop,www', hosts: ['shop.example', 'www.shop.example', '*.shop.example'] };
  const old = acme.certificates().get(shop.name);
  acme.want([more]);
  assert.equal(acme.certificates().get(more.name), old);
  assert.deepEqual(
    acme.problems().map(({ code, message }) => `${code} ${message}`),
    ['gateway/acme-host no certificate can be asked for "*.shop.example": wildcards need a check by DNS, which Steward does not do'],
  );
  await ended(2);
  assert.deepEqual(issued, [shop.name, more.name]);
  const both = acme.certificates().get(more.name);
  const less = { name: 'acme:www', hosts: ['www.shop.example'] };
  acme.want([less]);
  await settled();
  assert.equal(asks(), 2);
  assert.equal(acme.certificates().get(less.name), both);
});

test('another authority in the configuration gives new certificates, with an account of its own', async (t) => {
  const { acme, ended, dir, now } = await open(t);
  acme.want([shop]);
  await ended(1);
  const old = acme.certificates().get(shop.name);
  await acme.stop();
  const other = await startFakeAuthority(t, now);
  const again = await openAcme(t, { dir, spec: other.spec, now });
  again.acme.want([shop]);
  assert.equal(again.acme.certificates().get(shop.name)?.cert, old?.cert, 'until then the old one serves');
  await until('the new certificate', () => again.issued.length > 0);
  assert.equal((await filesOf(dir, 'account-')).length, 4);
});

test('an authority that is not there, or a directoryCa that is not, are told as such', async (t) => {
  const port = await freePort();
  const spec = { directory: `http://127.0.0.1:${port}/directory` };
  const gone = await openAcme(t, { dir: await acmeFolder(t), spec });
  gone.acme.want([shop]);
  const lost = await openAcme(t, { dir: await acmeFolder(t), spec: { ...spec, directoryCa: '/none/ca.pem' } });
  lost.acme.want([shop]);
  await until('both to be told', () => gone.troubles.length > 0 && lost.troubles.length > 0);
  assert.match(gone.troubles[0] ?? '', /: 127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED/);
  assert.match(lost.troubles[0] ?? '', /: directoryCa cannot be read: ENOENT/);
});

test('the authority is told of another address to write to, once', async (t) => {
  const { acme, authority, ended, dir, now } = await open(t);
  acme.want([shop]);
  await ended(1);
  await acme.stop();
  const wanted = [blog, { name: 'acme:news', hosts: ['news.example'] }];
  const before = authority.asked.length;
  const again = await openAcme(t, { dir, spec: { ...authority.spec, email: 'ops@shop.example' }, now });
  again.acme.want(wanted);
  await until('two certificates', () => again.issued.length === 2);
  assert.equal(authority.asked.slice(before).filter((line) => line === 'POST newAccount').length, 1);
});

test('what nobody wants any more is forgotten a month after its end', async (t) => {
  const { acme, ended, dir, clock } = await open(t);
  acme.want([shop, blog]);
  await ended(2);
  const files = async (): Promise<number> => (await filesOf(dir, 'cert-')).length;
  clock.nowMs += 119 * day;
  acme.want([]);
  await settled();
  assert.equal(await files(), 4);
  clock.nowMs += 2 * day;
  acme.want([]);
  await until('the files to be gone', async () => (await files()) === 0);
});
