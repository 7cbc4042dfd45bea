import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PathMatch, SiteSpec } from '../config/model.ts';
import { type CompiledListener, compileTable, matchRoute, matchSite } from './match.ts';
import type { RouteTable } from './table.ts';
import { proxyTo, proxyToService, route, serverAt, site, tableOf } from './testing.ts';

function compile(sites: readonly SiteSpec[], port = 80): CompiledListener {
  const listener = compileTable(tableOf(sites)).compiled.listeners.get(`127.0.0.1:${port}`);
  assert.ok(listener);
  return listener;
}

const named = (name: string, hosts: readonly string[], more: Partial<SiteSpec> = {}) => site(80, [], { serverName: name, hosts, ...more });

test("a host finds its site by nginx's precedence", () => {
  const listener = compile([
    named('first', ['first.example']),
    named('exact', ['www.example.com']),
    named('star', ['*.example.com']),
    named('longer star', ['*.api.example.com']),
    named('ending star', ['www.*']),
    named('longer ending star', ['www.shop.*']),
    named('regex', ['~^(?P<shop>[a-z]+)\\.local$']),
    named('second regex', ['~local$']),
    named('dotted', ['.dot.example']),
    named('marked', ['marked.example'], { isDefault: true }),
  ]);
  const table: Record<string, string> = {
    'www.example.com': 'exact',
    'a.example.com': 'star',
    'a.b.example.com': 'star',
    'v1.api.example.com': 'longer star',
    'example.com': 'marked',
    'www.other.org': 'ending star',
    'www.shop.org': 'longer ending star',
    'abc.local': 'regex',
    'a1.local': 'second regex',
    'dot.example': 'dotted',
    'x.dot.example': 'dotted',
    'nobody.example': 'marked',
    '': 'marked',
  };
  for (const [host, name] of Object.entries(table)) assert.equal(matchSite(listener, host).entry.serverName, name, host);
});

test('the default is the marked site, else the one without hosts, else the first', () => {
  const of = (...sites: SiteSpec[]) => matchSite(compile(sites), 'unknown').entry.serverName;
  assert.equal(of(named('a', ['a']), named('b', [])), 'b');
  assert.equal(of(named('a', ['a']), named('b', ['b'])), 'a');
  assert.equal(of(named('a', []), named('b', ['b'], { isDefault: true })), 'b');
});

test("a path finds its route by nginx's precedence", () => {
  const matches: PathMatch[] = [
    { kind: 'regex', pattern: '\\.php$', anyCase: false },
    { kind: 'regex', pattern: '\\.(PNG|jpg)$', anyCase: true },
    { kind: 'prefix', path: '/', stop: false },
    { kind: 'prefix', path: '/images/', stop: true },
    { kind: 'prefix', path: '/images/raw/', stop: false },
    { kind: 'exact', path: '/' },
    { kind: 'exact', path: '/images/logo.png' },
  ];
  const listener = compile([
    site(
      80,
      matches.map((match, n) => ({ ...route('/', { kind: 'respond', status: 200, body: String(n) }), match })),
    ),
  ]);
  const found = (path: string) => {
    const action = matchRoute(listener.fallback, path)?.action;
    return action?.kind === 'respond' ? Number(action.body) : undefined;
  };
  assert.deepEqual(
    ['/', '/a', '/a.php', '/a.PHP', '/a.png', '/images/a.png', '/images/raw/a.png', '/images/raw/a', '/images/logo.png'].map(found),
    [5, 2, 0, 2, 1, 3, 1, 4, 6],
  );
});

test('/app leads to /app/ only when nothing else answers it', () => {
  const proxied = route('/app/', proxyToService('web'));
  const kindOf = (routes: SiteSpec['routes']) => matchRoute(compile([site(80, routes)]).fallback, '/app')?.action.kind;
  assert.equal(kindOf([proxied]), 'redirect');
  assert.equal(kindOf([proxied, route('/', { kind: 'respond', status: 200, body: '' })]), 'redirect');
  assert.equal(kindOf([proxied, route('/app', { kind: 'respond', status: 200, body: '' })]), 'respond');
  assert.equal(kindOf([route('/app/', { kind: 'respond', status: 200, body: '' })]), undefined);
});

test('a broken regular expression is a problem, and the rest serves', () => {
  const { compiled, problems } = compileTable(
    tableOf([
      site(80, [
        { ...route('/', proxyToService('web')), match: { kind: 'regex', pattern: '(', anyCase: false } },
        route('/', proxyToService('web')),
      ]),
    ]),
  );
  assert.deepEqual(
    problems.map(({ code }) => code),
    ['gateway/pattern'],
  );
  const listener = compiled.listeners.get('127.0.0.1:80');
  assert.ok(listener && matchRoute(listener.fallback, '/x'));
});

test('the table is plain JSON, names each set of servers once, and fills in the ready instances', () => {
  const web = { kind: 'unix' as const, path: '/run/web.sock' };
  const other = { kind: 'tcp' as const, host: '10.0.0.1', port: 80 };
  const routes = [
    route('/', proxyToService('web')),
    route('/a', proxyTo([other])),
    route('/b', proxyTo([other])),
    route('/c', proxyTo([serverAt(other, { weight: 2 })])),
  ];
  const table = tableOf([site(80, routes)], { endpoints: new Map([['web', [web]]]) });
  assert.deepEqual(JSON.parse(JSON.stringify(table)) as RouteTable, table);
  assert.deepEqual(Object.keys(table.upstreams), ['service:web', 'servers:backend', 'servers:backend#2']);
  assert.deepEqual(
    table.upstreams['service:web']?.servers.map(({ address }) => address),
    [web],
  );
});
