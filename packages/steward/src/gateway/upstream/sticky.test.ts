import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canaryCookie, canarySide } from './canary.ts';
import { readCookie, stickyCookie, stickyValue } from './sticky.ts';

test('a cookie is found among others, and only by its whole name', () => {
  for (const [header, value] of [
    ['route=a1', 'a1'],
    ['x=1; route=a1; y=2', 'a1'],
    ['x=1;route=a1;y=2', 'a1'],
    ['myroute=no; route=a1', 'a1'],
    ['x=route=no; route=a1', 'a1'],
    ['route2=no; \troute=a1', 'a1'],
    ['route="a1"', 'a1'],
    ['route= a1 ;x=1', 'a1'],
    ['route=a1; route=b2', 'a1'],
    ['route=', ''],
    ['x=1; route', undefined],
    ['myroute=no', undefined],
    ['', undefined],
    [undefined, undefined],
  ] as const) {
    assert.equal(readCookie(header, 'route'), value, String(header));
  }
});

test("a server's cookie value is short, safe in a cookie, always the same, and another for every server", () => {
  const ports = Array.from({ length: 2000 }, (_, n) => stickyValue({ kind: 'tcp', host: '10.0.0.1', port: n }));
  assert.equal(new Set(ports).size, ports.length);
  for (const value of ports) assert.match(value, /^[\w-]{16}$/);
  assert.equal(stickyValue({ kind: 'tcp', host: '10.0.0.1', port: 7 }), ports[7]);
  assert.notEqual(stickyValue({ kind: 'unix', path: '/run/a' }), stickyValue({ kind: 'unix', path: '/run/b' }));
});

test('Set-Cookie says what the configuration says', () => {
  assert.equal(stickyCookie({ cookie: 'route', path: '/', secure: false }, 'abc'), 'route=abc; Path=/; HttpOnly');
  assert.equal(
    stickyCookie({ cookie: 'route', path: '/app', secure: true, maxAgeSeconds: 3600, sameSite: 'none' }, 'abc'),
    'route=abc; Path=/app; Max-Age=3600; Secure; HttpOnly; SameSite=None',
  );
});

test('a canary gets its share of new clients, and clients stay on their side', () => {
  for (const [percent, cookie, chance, side] of [
    [10, undefined, 0.0999, 'canary'],
    [10, undefined, 0.1, 'main'],
    [10, 'canary', 0.9, 'canary'],
    [10, 'main', 0, 'main'],
    [10, 'other', 0, 'canary'],
    [0, 'canary', 0, 'main'],
    [100, 'main', 0.9999, 'canary'],
  ] as const) {
    assert.equal(canarySide({ percent }, cookie, chance), side, `${percent} ${cookie} ${chance}`);
  }
  assert.equal(canaryCookie({ cookie: 'side' }, 'canary', true), 'side=canary; Path=/; Secure; HttpOnly; SameSite=Lax');
});
