import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PathMatch, VariableSpec } from '../config/model.ts';
import { plainRoute } from '../config/model.ts';
import { type CompiledListener, type CompiledRoute, compileTable, matchRoute, matchSite } from './match.ts';
import { compileTemplate, expand } from './rules/variables.ts';
import type { RouteEntry, RouteTable, SiteEntry } from './table.ts';
import { requestOf } from './testing-request.ts';

const plain = { ...plainRoute, maxBodyBytes: 0 };

/** A place as nginx writes it: `/prefix`, `= /exact`, `^~ /prefix`, `~ regex`, `~* regex`, `@name`. */
function matchOf(text: string): PathMatch {
  const [, sign, rest = ''] = /^(?:(=|\^~|~\*|~) )?(.*)$/.exec(text) ?? [];
  if (rest.startsWith('@')) return { kind: 'named', name: rest.slice(1) };
  if (sign === '=') return { kind: 'exact', path: rest };
  if (sign === '~' || sign === '~*') return { kind: 'regex', pattern: rest, anyCase: sign === '~*' };
  return { kind: 'prefix', path: rest, stop: sign === '^~' };
}

const answering = (place: string, body: string, routes: RouteEntry[] = []): RouteEntry => ({
  ...plain,
  match: matchOf(place),
  routes,
  action: { kind: 'answer', answer: { status: 200, body } },
});

const proxying = (place: string): RouteEntry => ({
  ...answering(place, ''),
  action: {
    kind: 'proxy',
    target: { kind: 'upstream', name: 'u', proxyHost: 'u' },
    scheme: 'http',
    path: { kind: 'keep' },
    setHeaders: [],
    passHeaders: true,
    passBody: true,
    forwardedHeaders: 'set',
    requestId: false,
    traceparent: false,
    upstreamHost: 'keep',
    rewriteLocation: [],
    rewriteCookies: [],
    hideHeaders: [],
    interceptErrors: false,
    buffering: false,
    connectTimeoutMs: 1000,
    readTimeoutMs: 1000,
    sendTimeoutMs: 1000,
    retry: { on: ['error'], tries: 0, timeoutMs: 0 },
    holdMs: 0,
  },
});

const siteOf = (serverName: string, hosts: readonly string[], routes: readonly RouteEntry[] = []): SiteEntry => ({
  hosts,
  serverName,
  steps: [],
  routes,
  rest: answering('/', 'rest'),
});

const tableOf = (sites: readonly SiteEntry[], defaultSite = 0, variables: readonly VariableSpec[] = []): RouteTable => ({
  listeners: [{ port: 80, tls: false, sites: sites.map((_, index) => index), defaultSite }],
  sites,
  upstreams: {},
  certificates: {},
  files: {},
  challenges: { http: {}, alpn: {} },
  gateway: {
    headerTimeoutMs: 1000,
    stallTimeoutMs: 1000,
    idleTimeoutMs: 1000,
    maxHeaderBytes: 16_384,
    http2: false,
    accessLog: false,
    variables,
    zones: {},
  },
});

function listenerOf(sites: readonly SiteEntry[], defaultSite = 0): CompiledListener {
  const listener = compileTable(tableOf(sites, defaultSite)).compiled.listeners.get('*:80');
  assert.ok(listener);
  return listener;
}

test("a host finds its site by nginx's precedence, and what it matched becomes variables", () => {
  const names: Record<string, string> = {
    'first.example': 'first',
    'www.example.com': 'exact',
    '*.example.com': 'star',
    '*.api.example.com': 'longer star',
    'www.*': 'ending star',
    'www.shop.*': 'longer ending star',
    '~^(?P<shop>[a-z]+)\\.local$': 'regex',
    '~local$': 'second regex',
    '.dot.example': 'dotted',
    'marked.example': 'marked',
  };
  const listener = listenerOf(
    Object.entries(names).map(([host, name]) => siteOf(name, [host])),
    9,
  );
  const table: Record<string, [site: string, label: string]> = {
    'www.example.com': ['exact', ''],
    'a.example.com': ['star', 'a'],
    'a.b.example.com': ['star', 'a.b'],
    'v1.api.example.com': ['longer star', 'v1'],
    'example.com': ['marked', ''],
    'www.other.org': ['ending star', 'other.org'],
    'www.shop.org': ['longer ending star', 'org'],
    'abc.local': ['regex', ''],
    'a1.local': ['second regex', ''],
    'dot.example': ['dotted', ''],
    'x.dot.example': ['dotted', 'x'],
    'nobody.example': ['marked', ''],
    '': ['marked', ''],
  };
  for (const [host, [name, label]] of Object.entries(table)) {
    const source = requestOf({});
    assert.equal(matchSite(listener, host, source).entry.serverName, name, host);
    assert.equal(source.hostLabel, label, host);
    assert.equal(matchSite(listener, host).entry.serverName, name, host);
  }
});

test('named groups of a host are variables', () => {
  const { compiled } = compileTable(tableOf([siteOf('shop', ['~^(?<Shop>[a-z]+)\\.local$'])]));
  const listener = compiled.listeners.get('*:80');
  assert.ok(listener);
  const source = requestOf({});
  matchSite(listener, 'books.local', source);
  assert.equal(expand(compileTemplate('$shop $1', compiled.scope), source), 'books books');
});

/** Found with nginx 1.22. */
const nested = siteOf(
  'nested',
  [],
  [
    answering('/', 'root'),
    answering('= /', 'exact-root'),
    answering('/a/', 'a', [
      answering('/a/b/', 'a-b'),
      answering('~ \\.php$', 'a-php'),
      answering('= /a/x.html', 'a-exact'),
      answering('^~ /a/s/', 'a-stop'),
      answering('~ ^/a/deep/(\\w+)', 'deep $1', [answering('~ z$', 'deep-z $1')]),
    ]),
    answering('~ \\.(php|html)$', 'outer $1'),
    answering('^~ /stop/', 'stop', [answering('~ \\.php$', 'stop-php'), answering('/stop/n/', 'stop-n')]),
    answering('~ ^/stop/.*\\.html$', 'never'),
    proxying('/app/'),
    proxying('/app2/'),
    answering('/app2', 'app2'),
    answering('~ ^/app', 'app-regex'),
    answering('~* ^/CI', 'ci'),
    answering('@far', 'far'),
  ],
);

const bodyOf = (route: CompiledRoute | undefined, source = requestOf({})): string => {
  const { action } = route ?? {};
  return action?.kind === 'answer' && action.answer.body !== undefined ? expand(action.answer.body, source) : (action?.kind ?? 'none');
};

test("a path finds its route, nested ones too, by nginx's precedence", () => {
  const site = listenerOf([nested]).fallback;
  const found: Record<string, string> = {
    '/': 'exact-root',
    '/q': 'root',
    '/a/': 'a',
    '/a/1': 'a',
    '/a/b/': 'a-b',
    '/a/b/x.php': 'a-php',
    '/a/x.php': 'a-php',
    '/a/x.html': 'a-exact',
    '/a/y.html': 'outer html',
    '/a/s/x.php': 'outer php',
    '/a/s/y.html': 'outer html',
    '/a/s/z': 'a-stop',
    '/a/b/y.html': 'outer html',
    '/a/deep/wwz': 'deep-z ',
    '/a/deep/ww': 'deep ww',
    '/a/deep/ww.php': 'a-php',
    '/x.php': 'outer php',
    '/stop/x': 'stop',
    '/stop/x.php': 'stop-php',
    '/stop/x.html': 'stop',
    '/stop/n/x.html': 'stop-n',
    '/stop/n/x.php': 'stop-php',
    '/app/': 'app-regex',
    '/app2': 'app-regex',
    '/ci': 'ci',
    '@far': 'none',
  };
  for (const [path, body] of Object.entries(found)) {
    const source = requestOf({});
    assert.equal(bodyOf(matchRoute(site, path, source), source), body, path);
  }
  assert.equal(bodyOf(site.named.get('far')), 'far');
  assert.equal(bodyOf(site.rest), 'rest');
});

test('/app leads to /app/ before a regular expression, unless something else answers it', () => {
  const targetOf = (routes: RouteEntry[], url: string): string => {
    const route = matchRoute(listenerOf([siteOf('s', [], routes)]).fallback, '/app');
    const to = route?.action.kind === 'answer' ? route.action.answer.to : undefined;
    return to === undefined ? bodyOf(route) : expand(to, requestOf({ url }));
  };
  assert.equal(targetOf([proxying('/app/'), answering('~ ^/app', 'regex')], '/app?x=1'), '/app/?x=1');
  assert.equal(targetOf([proxying('/app/'), answering('/', 'root')], '/app'), '/app/');
  assert.equal(targetOf([proxying('/app/'), answering('/app', 'prefix')], '/app'), 'prefix');
  assert.equal(targetOf([proxying('/app/'), answering('= /app', 'exact')], '/app'), 'exact');
  assert.equal(targetOf([answering('/app/', 'answered')], '/app'), 'none');
});

test('the longest of a thousand prefixes is found as a look at each would find it', () => {
  const paths = ['/'];
  for (let n = 0; n < 1000; n++) paths.push(`${paths[(n * 7) % paths.length]}${'abc'[n % 3]}${n % 4 === 0 ? '/' : n}`);
  const unique = [...new Set(paths)];
  const site = listenerOf([
    siteOf(
      's',
      [],
      unique.map((path) => answering(path, path)),
    ),
  ]).fallback;
  for (const path of unique.flatMap((one) => [one, `${one}x`, one.slice(0, -1), `${one}/a`])) {
    const longest = unique.reduce((best, one) => (path.startsWith(one) && one.length > best.length ? one : best), '');
    assert.equal(matchRoute(site, path)?.prefix ?? '', longest, path);
  }
});

test('a route that uses nothing else is plain', () => {
  const site = listenerOf([nested]).fallback;
  assert.equal(matchRoute(site, '/q')?.plain, true);
  const guarded = { ...answering('/', ''), access: { satisfy: 'all', rules: [{ allow: false, who: 'all' }] } } as const;
  assert.equal(matchRoute(listenerOf([siteOf('s', [], [guarded])]).fallback, '/')?.plain, false);
});

test('everything of a route is compiled', () => {
  const full: RouteEntry = {
    ...answering('/', 'body'),
    accessExcept: { methods: ['GET'], access: { satisfy: 'all', rules: [{ allow: false, who: 'all' }] } },
    addHeaders: [{ name: 'X-A', value: 'a', always: true }],
    logs: [{ file: '/var/log/a.log', format: { kind: 'text', text: '$uri', escape: 'default' }, when: '$args', maxBytes: 0, keep: 1 }],
    tries: { folder: '/srv', mapping: 'append', paths: ['$uri', '$uri/'], last: { kind: 'path', to: '/index.php?$args' } },
  };
  const route = matchRoute(listenerOf([siteOf('s', [], [full])]).fallback, '/');
  assert.deepEqual([...(route?.accessExcept?.methods ?? [])], ['GET', 'HEAD']);
  assert.deepEqual(
    route?.addHeaders.map(({ name, lower, always }) => ({ name, lower, always })),
    [{ name: 'X-A', lower: 'x-a', always: true }],
  );
  assert.equal(route?.logs.length, 1);
  assert.deepEqual(
    route?.tries?.paths.map((path) => expand(path, requestOf({ url: '/x' }))),
    ['/x', '/x/'],
  );
  const { last } = route?.tries ?? {};
  assert.equal(last?.kind === 'path' ? expand(last.to, requestOf({ url: '/x?y=1' })) : '', '/index.php?y=1');
});

test('broken regular expressions and variables made from themselves are told, and the rest serves', () => {
  const made = (name: string, from: string): VariableSpec => ({ name, from, hostnames: false, cases: [], byDefault: `of ${name}` });
  const routes = [answering('~ (', 'never'), answering('~ \\p{L}', 'never'), answering('/', 'root')];
  const variables = [made('x', '$y'), made('y', '$x'), made('z', '$x')];
  const { compiled, problems } = compileTable(tableOf([siteOf('s', ['~['], routes)], 0, variables));
  assert.deepEqual(problems.map(({ code }) => code).sort(), [
    'gateway/pattern',
    'gateway/pattern',
    'gateway/pattern',
    'gateway/variable-cycle',
    'gateway/variable-cycle',
  ]);
  const site = compiled.listeners.get('*:80')?.fallback;
  assert.ok(site);
  assert.equal(bodyOf(matchRoute(site, '/aa')), 'root');
  assert.equal(expand(compileTemplate('[$x] [$z]', compiled.scope), requestOf({})), '[] [of z]');
});
