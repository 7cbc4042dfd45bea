/** Which location answers: exact, ^~, regular expressions in order, longest prefix, nested, named, internal. */
import { ask, type Case, get, gets, raw, server } from './requests.ts';

const untyped = (lines: string): string => server(`types { } ${lines}`);
const say = (name: string): string => `return 200 "${name}|$uri|$request_uri|$args\\n";`;

/** Ways to write a path that lead to the same or to another place. */
const strangePaths = [
  '/',
  '//',
  '/a',
  '/a/',
  '//a',
  '/a//b',
  '/a/./b',
  '/a/../b',
  '/a/b/../../c',
  '/%61',
  '/a%2Fb',
  '/a%2fb',
  '/a%2e%2e/b',
  '/a/%2e%2e/b',
  '/a%20b',
  '/a+b',
  '/%C3%BC',
  '/a?x=1',
  '/a?',
  '/a??',
  '/a?x=/../y',
  '/a/?x#y',
  '/a%3Fx',
  '/a%23x',
  '/a;b',
  '/a:b',
  '/A',
  '/a.php',
  '/a.php/x',
  '/a/b.php',
];

/** What must be refused, or not. */
const refusedPaths = [
  '/..',
  '/../a',
  '/a/../../b',
  '/%00',
  '/a%00b',
  '/%',
  '/%4',
  '/%zz',
  '/a%',
  '/%2e%2e/a',
  '/a/..',
  '/a/.',
  '/...',
  '/..a',
  '/a/..b',
];

export const locationCases: readonly Case[] = [
  {
    name: 'texts of return have the media type of the path',
    conf: server(
      `location / { ${say('rest')} } location = /exact.gif { ${say('exact')} } location /steps { if ($arg_x) { ${say('step')} } root {{files}}; }`,
    ),
    requests: gets('/x.html', '/x.gif', '/x.txt', '/x', '/exact.gif', '/steps.html?x=1'),
  },
  {
    name: 'exact, prefix, ^~ and regular expressions take precedence as documented',
    conf: untyped(`
      location = / { ${say('A exact /')} }
      location / { ${say('B prefix /')} }
      location /documents/ { ${say('C prefix /documents/')} }
      location ^~ /images/ { ${say('D stop /images/')} }
      location ~* \\.(gif|jpg|jpeg)$ { ${say('E regex')} }
      location = /exact.gif { ${say('F exact')} }
      location /images/big/ { ${say('G longer prefix')} }`),
    requests: gets(
      '/',
      '/index.html',
      '/documents/document.html',
      '/images/1.gif',
      '/documents/1.jpg',
      '/documents/1.JPG',
      '/exact.gif',
      '/EXACT.gif',
      '/images/big/1.gif',
      '/images',
      '/documents',
      '/?x',
      '//',
      '/images/../x.gif',
      '/a.jpeg?x=y',
    ),
  },
  {
    name: 'regular expressions are tried in order and case counts for ~ alone',
    conf: untyped(`
      location ~ ^/x { ${say('first')} }
      location ~* ^/X/y { ${say('second')} }
      location ~* ^/Z { ${say('third')} }
      location ~ ^/z/long { ${say('never')} }
      location ~ "^/[0-9]{2,3}$" { ${say('digits')} }
      location /x/y { ${say('prefix')} }`),
    requests: gets('/x', '/X', '/x/y', '/X/Y', '/X/y', '/z/long', '/Z', '/12', '/1', '/1234', '/q'),
  },
  {
    name: 'strange paths are normalized before a location is looked for',
    conf: untyped(`
      location / { ${say('rest')} }
      location = /a { ${say('exact a')} }
      location /a/ { ${say('a/')} }
      location = /b { ${say('exact b')} }
      location ~ \\.php$ { ${say('php')} }
      location "/a b" { ${say('space')} }`),
    allow: { strict: ['GET /a/?x#y'] },
    requests: gets(...strangePaths),
  },
  {
    name: 'paths that leave the root or cannot be decoded are refused',
    conf: untyped(`location / { ${say('rest')} }`),
    requests: gets(...refusedPaths),
  },
  {
    name: 'nested locations are looked at once the one around them is the best',
    conf: untyped(`
      location /a/ {
        ${''}
        location /a/b/ { ${say('a b')} }
        location ~ \\.txt$ { ${say('a txt')} }
        location = /a/exact { ${say('a exact')} }
        location ^~ /a/stop/ { location ~ x { ${say('stop x')} } ${say('stop')} }
        ${say('a')}
      }
      location ~ \\.txt$ { ${say('txt')} }
      location ~ ^/r/ { location ~ \\.q$ { ${say('r q')} } ${say('r')} }
      location / { ${say('rest')} }`),
    requests: gets(
      '/a/',
      '/a/x',
      '/a/b/',
      '/a/b/c.txt',
      '/a/c.txt',
      '/a/exact',
      '/a/stop/y',
      '/a/stop/x',
      '/a/stop/y.txt',
      '/c.txt',
      '/r/',
      '/r/x.q',
      '/r/x.txt',
      '/a',
    ),
  },
  {
    name: 'nested locations inherit and replace headers',
    conf: untyped(`
      add_header X-Level server;
      location /a/ {
        add_header X-Level a;
        location /a/b/ { ${say('b')} }
        location /a/c/ { add_header X-Level c; ${say('c')} }
        ${say('a')}
      }
      location / { ${say('rest')} }`),
    requests: gets('/a/', '/a/b/', '/a/c/', '/'),
  },
  {
    name: 'internal locations answer 404 to clients',
    conf: untyped(`
      root {{files}};
      location /static/ { internal; }
      location = /secret { internal; ${say('secret')} }
      location / { ${say('rest')} }
      location /go { rewrite ^ /secret last; }`),
    requests: gets('/static/a.txt', '/secret', '/go', '/x'),
  },
  {
    name: 'a proxied location with a slash at its end redirects the path without it',
    conf: untyped(`
      location /app/ { proxy_pass http://{{a}}; }
      location /both/ { proxy_pass http://{{a}}; }
      location = /both { return 204; }
      location /files/ { root {{files}}; }
      location /deep/ { location /deep/er/ { proxy_pass http://{{a}}; } return 200 deep; }`),
    requests: [
      ...gets('/app', '/app?x=y', '/app/', '/app/x', '/both', '/both/', '/files', '/ap', '/deep/er', '/deep/er?q', '/deep'),
      ask('POST', '/app', { body: 'x' }),
      ask('HEAD', '/app'),
    ],
  },
  {
    name: 'captures of a location are variables',
    conf: untyped(`
      location ~ ^/(\\w+)/(?<second>\\w+)/?(.*)$ { return 200 "$1|$second|$3\\n"; }
      location ~ ^/(one)$ { set $x $1; return 200 "$x\\n"; }`),
    requests: gets('/a/b', '/a/b/c/d', '/one', '/a'),
  },
  {
    name: 'named locations are reached by try_files and error_page alone',
    conf: untyped(`
      root {{files}};
      location / { try_files $uri @missing; }
      location @missing { ${say('missing')} }
      location = /denied { deny all; error_page 403 @denied; }
      location @denied { return 402 "denied $uri\\n"; }`),
    requests: gets('/a.txt', '/none', '/@missing', '/denied', '/none?x=1'),
  },
  {
    name: 'a location without content serves what its server does',
    conf: server(`
      root {{files}};
      location /dir/ { }
      location /static { }`),
    requests: gets('/a.txt', '/dir/b.txt', '/dir/', '/static/a.txt', '/static/', '/'),
  },
  {
    name: 'locations with letters beyond ASCII and blanks',
    conf: untyped(`
      location /ü/ { ${say('umlaut')} }
      location "/a b/" { ${say('blank')} }
      location ~ "^/x y$" { ${say('regex blank')} }
      location / { ${say('rest')} }`),
    requests: gets('/%C3%BC/', '/%c3%bc/x', '/a%20b/', '/x%20y', '/a+b/'),
  },
  {
    name: 'absolute targets, options and asterisks',
    conf: untyped(`
      server_name localhost;
      location / { return 200 "$request_method|$host|$uri|$request_uri|$args|$http_host\\n"; }`),
    allow: { strict: ['version 1.2', 'two blanks', 'line feeds alone', 'no version'], methods: ['CONNECT', 'get '] },
    requests: [
      get('http://localhost/x?y=1'),
      get('http://other.example/x', { Host: 'localhost' }),
      get('http://other.example:8080', { Host: 'localhost' }),
      get('HTTP://UPPER.example/x'),
      get('http://localhost?x=1'),
      get('http://user:pw@localhost/x'),
      ask('OPTIONS', '*'),
      ask('OPTIONS', '/x'),
      ask('TRACE', '/x'),
      ask('CONNECT', 'localhost:80'),
      ask('PATCH', '/x'),
      ask('FOO', '/x'),
      ask('get', '/x'),
      ask('HEAD', '/x'),
      ask('PROPFIND', '/x'),
      raw('no leading slash', 'GET x HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      raw('no version', 'GET /x\r\n\r\n'),
      raw('a blank in the path', 'GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      raw('version 1.2', 'GET /x HTTP/1.2\r\nHost: localhost\r\n\r\n'),
      raw('version 2.0', 'GET /x HTTP/2.0\r\nHost: localhost\r\n\r\n'),
      raw('two blanks', 'GET  /x  HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      raw('line feeds alone', 'GET /x HTTP/1.1\nHost: localhost\n\n'),
      raw('empty lines before', '\r\n\r\nGET /x HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    ],
  },
];
