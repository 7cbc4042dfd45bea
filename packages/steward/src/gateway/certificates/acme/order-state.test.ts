import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  askableHosts,
  directoryFailed,
  directoryProblems,
  failed,
  type Held,
  nextOrder,
  noTries,
  renewalAt,
  servingOf,
  standingProblems,
  started,
  succeeded,
  type Tries,
  triesADay,
  wantedAt,
} from './order-state.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const now = Date.UTC(2026, 0, 1);
const policy = { directory: 'https://ca.example/dir' };
const need = { name: 'shop', hosts: ['shop.example'] };

const held = (fromDay: number, toDay: number, more: Partial<Held> = {}): Held => ({
  hosts: ['shop.example'],
  fromMs: now + fromDay * day,
  toMs: now + toDay * day,
  directory: policy.directory,
  ...more,
});

test('a certificate of 90 days is renewed with a third left, at most three days earlier', () => {
  const at = (renewalAt(held(0, 90), policy) - now) / day;
  assert.ok(at > 57 && at <= 60, `${at}`);
  const many = Array.from({ length: 50 }, (_, n) => renewalAt(held(0, 90, { hosts: [`${n}.example`] }), policy));
  assert.equal(new Set(many).size, 50, 'not all at once');
  assert.equal(renewalAt(held(0, 90), policy), renewalAt(held(0, 90), policy), 'the same after a restart');
});

test('renewBefore is followed, up to half of the lifetime', () => {
  const at = (renewBeforeDays: number, lifetime: number): number =>
    (renewalAt(held(0, lifetime), { ...policy, renewBeforeMs: renewBeforeDays * day }) - now) / day;
  assert.ok(at(10, 90) > 77 && at(10, 90) <= 80);
  assert.ok(at(30, 6) > 2.7 && at(30, 6) <= 3, 'a certificate of six days is not renewed all the time');
});

test('a certificate is wanted at once when there is none, a host is new, or it is from elsewhere', () => {
  assert.equal(wantedAt(need, undefined, policy), 0);
  assert.equal(wantedAt({ name: 'shop', hosts: ['shop.example', 'www.shop.example'] }, held(0, 90), policy), 0);
  assert.equal(wantedAt(need, held(0, 90, { directory: 'https://staging.example/dir' }), policy), 0);
  assert.ok(wantedAt(need, held(0, 90, { hosts: ['old.example', 'shop.example'] }), policy) > now, 'a host less is no reason');
  assert.ok(wantedAt(need, held(0, 90, { directory: undefined }), policy) > now, 'nor is a lost note of where it is from');
});

test('pauses double from five minutes to a day and are a fifth shorter by chance', () => {
  const pauses = (chance: number): number[] => {
    let tries = noTries;
    return Array.from({ length: 12 }, () => {
      tries = failed(tries, { reason: 'no' }, now, chance);
      return (tries.notBefore - now) / minute;
    });
  };
  assert.deepEqual(pauses(0), [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
  assert.equal(pauses(1)[0], 4);
  assert.deepEqual(succeeded(failed(noTries, { reason: 'no' }, now, 0)), noTries);
});

test('an authority that says when to come back is obeyed, up to a week', () => {
  const wait = (retryAfterMs: number): number => failed(noTries, { reason: 'slow down', retryAfterMs }, now, 0).notBefore - now;
  assert.equal(wait(3 * hour), 3 * hour);
  assert.equal(wait(1000), 5 * minute, 'not sooner than our own pause');
  assert.equal(wait(365 * day), 7 * day);
});

test('ten tries a day at most, whatever failed in between', () => {
  let tries: Tries = noTries;
  for (let n = 0; n < triesADay; n++) tries = started(tries, now + n * minute);
  const next = nextOrder([{ need, held: undefined, tries }], noTries, policy, now + hour);
  assert.equal(next?.atMs, now + day);
});

test('a hold from a clock that was years ahead does not hold', () => {
  const tries = failed(noTries, { reason: 'no' }, now + 3000 * day, 0);
  assert.equal(nextOrder([{ need, held: undefined, tries }], noTries, policy, now)?.atMs, 0);
});

test('of several that are due the one tried longest ago comes first', () => {
  const standing = (name: string, lastMs?: number) => ({
    need: { name, hosts: [`${name}.example`] },
    held: undefined,
    tries: { ...noTries, starts: lastMs === undefined ? [] : [lastMs] },
  });
  const standings = [standing('dead', now - minute), standing('alive', now - hour), standing('new')];
  assert.equal(nextOrder(standings, noTries, policy, now)?.name, 'new');
  assert.equal(nextOrder(standings.slice(0, 2), noTries, policy, now)?.name, 'alive');
  const paused = directoryFailed(noTries, { reason: 'down' }, now, 0);
  assert.equal(nextOrder(standings, paused, policy, now)?.atMs, now + minute, 'when the authority is down all wait');
});

test('nothing is asked for a site none of whose hosts can have a certificate', () => {
  assert.equal(nextOrder([{ need: { name: 'x', hosts: [] }, held: undefined, tries: noTries }], noTries, policy, now), undefined);
});

test('over 60 days of failing, an hour sees at most five tries, a day at most ten, and all together stay below 90', () => {
  let tries: Tries = noTries;
  const starts: number[] = [];
  for (let at = now; at < now + 60 * day; at += minute) {
    const next = nextOrder([{ need, held: undefined, tries }], noTries, policy, at);
    if (next === undefined || next.atMs > at) continue;
    starts.push(at);
    tries = failed(started(tries, at), { reason: 'no' }, at, 1);
  }
  const most = (span: number): number => Math.max(...starts.map((from) => starts.filter((at) => at >= from && at < from + span).length));
  assert.ok(most(hour) <= 5 && most(day) <= triesADay && starts.length < 90, `${most(hour)} ${most(day)} ${starts.length}`);
});

test('a name without a certificate of its own is served by the one that covers most of its hosts', () => {
  const both = { name: 'both', hosts: ['a.example', 'b.example'] };
  const a = held(0, 50, { hosts: ['a.example'] });
  const ab = held(0, 40, { hosts: ['a.example', 'b.example', 'c.example'] });
  const ended = held(-90, -1, { hosts: ['a.example', 'b.example'] });
  assert.equal(servingOf(both, undefined, [a, ab], now), ab);
  assert.equal(servingOf(both, undefined, [a, ended], now), a);
  assert.equal(servingOf(both, ended, [ended], now), ended, 'an ended one is better than none');
  assert.equal(servingOf(both, undefined, [held(0, 50)], now), undefined);
});

test('failures are told at once while there is no certificate, else from 14 days before the end', () => {
  const tries = failed(noTries, { reason: 'ca.example refused: no' }, now, 0);
  const told = (certificate: Held | undefined, what: Tries = tries): string[] =>
    standingProblems({ need, held: certificate, tries: what }, now).map(({ severity, code, message }) => `${severity} ${code} ${message}`);
  assert.deepEqual(told(undefined), ['warning gateway/acme-refused there is no certificate for shop.example: ca.example refused: no']);
  assert.deepEqual(told(undefined, noTries), []);
  assert.deepEqual(told(held(-60, 30)), []);
  assert.deepEqual(told(held(-76, 15)), []);
  assert.deepEqual(told(held(-77, 13.5)), [
    'warning gateway/acme-ends the certificate for shop.example ends at 2026-01-14T12:00:00Z, in 13 days, and its renewal fails: ca.example refused: no',
  ]);
  assert.deepEqual(told(held(-77, 13.5), noTries), []);
  assert.deepEqual(told(held(-91, -1)), [
    'error gateway/acme-ended the certificate for shop.example ended at 2025-12-31T00:00:00Z: ca.example refused: no',
  ]);
  const [first] = standingProblems({ need, held: undefined, tries }, now);
  assert.equal(first?.hint, 'It is tried again at 2026-01-01T00:05:00Z.');
});

test('an authority is told of once it has failed twice', () => {
  const once = directoryFailed(noTries, { reason: 'it is down' }, now, 0);
  assert.deepEqual(directoryProblems(policy.directory, once, now), []);
  const twice = directoryFailed(once, { reason: 'it is down' }, now, 0);
  assert.match(directoryProblems(policy.directory, twice, now)[0]?.message ?? '', /gives no certificates: it is down/);
});

test('hosts that no certificate can be asked for are named with the reason', () => {
  const { hosts, refused } = askableHosts([
    'Shop.Example',
    'shop.example',
    'bücher.example',
    '*.shop.example',
    '.shop.example',
    'shop.*',
    '~^www',
    '10.0.0.1',
    '[::1]',
    'localhost',
    'two words.example',
  ]);
  assert.deepEqual(hosts, ['shop.example', 'xn--bcher-kva.example']);
  assert.deepEqual(
    refused.map(({ host, why }) => `${host}: ${why.split(',')[0]}`),
    [
      '*.shop.example: wildcards need a check by DNS',
      '.shop.example: wildcards need a check by DNS',
      'shop.*: wildcards need a check by DNS',
      '~^www: a pattern names no host',
      '10.0.0.1: it is an address',
      '[::1]: it is an address',
      'localhost: it is no full domain name',
      'two words.example: it is no full domain name',
    ],
  );
  assert.equal(askableHosts(Array.from({ length: 101 }, (_, n) => `h${n}.example`)).refused.length, 1);
});
