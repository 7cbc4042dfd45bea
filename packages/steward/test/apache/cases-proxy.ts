/** Requests handed on: ProxyPass in all its forms, headers, redirects, balancers. */
import { ask, get, gets, post, want } from '../nginx/requests.ts';
import { host, hosts } from './hosts.ts';
import type { Case } from './run.ts';

const location = (to: string) => want({ status: 302, headers: [['Location', to]] });

export const proxyCases: readonly Case[] = [
  {
    name: 'the first ProxyPass that fits answers',
    conf: host(`
      ProxyPass /api/v2/ http://{{b}}/two/
      ProxyPass /api/static !
      ProxyPass /api http://{{a}}/base
      ProxyPass /same http://{{b}}/same
      ProxyPass / http://{{a}}/root/
      DocumentRoot {{files}}`),
    requests: gets(
      '/',
      '/x',
      '/x?q=1&r=2',
      '/api',
      '/api/',
      '/api/x',
      '/apidocs',
      '/api/v2',
      '/api/v2/',
      '/api/v2/y?z',
      '/api/static',
      '/api/static/a.txt',
      '/same',
      '/same/x',
      '/samex',
    ),
  },
  {
    name: 'a shorter ProxyPass above hides longer ones below',
    conf: host(`
      ProxyPass /a/ http://{{a}}/one/
      ProxyPass /a/deep/ http://{{b}}/two/
      ProxyPass /deep !
      ProxyPass /deep/x http://{{b}}/x
      DocumentRoot {{files}}`),
    requests: gets('/a/deep/x', '/a/x', '/a', '/deep/x', '/dir/', '/a.txt'),
  },
  {
    name: 'ProxyPass in a Location goes before the others',
    conf: host(`
      ProxyPass / http://{{a}}/
      <Location /inner>
        ProxyPass http://{{b}}/other
        ProxyPassReverse http://{{b}}/other
      </Location>
      <Location /inner/files>
        ProxyPass !
      </Location>
      DocumentRoot {{files}}`),
    requests: [
      ...gets('/', '/inner', '/inner/', '/inner/x?y', '/innerx', '/inner/files', '/inner/files/a.txt'),
      get('/inner/go', location('http://127.0.0.1/elsewhere')),
    ],
  },
  {
    name: 'ProxyPassMatch with groups',
    conf: host(`
      ProxyPassMatch ^/user/([0-9]+)/(.*)$ http://{{a}}/u/$2/$1
      ProxyPassMatch \\.(gif|png)$ http://{{b}}
      ProxyPassMatch ^/none/ !
      ProxyPass /user/ http://{{b}}/rest/
      DocumentRoot {{files}}`),
    requests: gets('/user/12/photo', '/user/12/a%20b?x=1', '/user/me/photo', '/x/y.gif', '/y.png?z=1', '/a.txt', '/none/x'),
  },
  {
    name: 'what is sent to the program',
    conf: host(`
      ProxyPreserveHost On
      RequestHeader set X-Set "a value"
      RequestHeader append X-Append more
      RequestHeader add X-Add second
      RequestHeader unset X-Gone
      RequestHeader setifempty X-Default usual
      RequestHeader merge X-Merge one
      RequestHeader set X-Uri "expr=%{REQUEST_URI}"
      ProxyPass / http://{{a}}/`),
    requests: [
      get('/x'),
      get('/x', { 'X-Set': 'mine', 'X-Append': 'first', 'X-Add': 'first', 'X-Gone': 'here', 'X-Default': 'own', 'X-Merge': 'one, two' }),
      get('/x', { Host: 'other.example', 'X-Forwarded-For': '10.1.1.1', 'User-Agent': 'test' }),
      get('/x', { 'X-Merge': 'two' }),
      post('/form?x=1', 'a=b&c=d', { 'Content-Type': 'application/x-www-form-urlencoded' }),
      ask('PUT', '/put', { body: 'data' }),
      ask('DELETE', '/gone'),
      ask('HEAD', '/head'),
      ask('OPTIONS', '/opt'),
      ask('PATCH', '/patch', { body: 'p' }),
    ],
  },
  {
    name: 'the host that a program sees',
    conf: host(`
      ProxyAddHeaders Off
      ProxyPass /sock {{c}}|http://backend.example/s
      ProxyPass / http://{{b}}/`),
    requests: [get('/x', { 'X-Forwarded-For': '10.0.0.9' }), get('/sock/y'), get('/sock')],
  },
  {
    name: 'headers of answers',
    conf: host(`
      Header set X-Frame-Options DENY
      Header always set X-Always yes
      Header append X-List more
      Header merge X-Merge one
      Header add X-Added extra
      Header unset X-Powered-By
      Header setifempty X-Empty filled
      <Location /deep>
        Header set X-Frame-Options SAMEORIGIN
        Header unset X-Added
      </Location>
      ProxyPass /no !
      ProxyPass / http://{{a}}/`),
    requests: [
      get('/'),
      get('/deep/x'),
      get('/missing', want({ status: 404 })),
      get(
        '/broken',
        want({
          status: 500,
          headers: [
            ['X-Frame-Options', 'ALLOW'],
            ['X-List', 'first'],
            ['X-Powered-By', 'it'],
            ['X-Empty', 'not'],
            ['X-Merge', 'one'],
          ],
        }),
      ),
      get(
        '/always',
        want({
          headers: [
            ['X-Always', 'upstream'],
            ['X-Added', 'up'],
          ],
        }),
      ),
      get('/redirect', want({ status: 302, headers: [['Location', '/there']] })),
    ],
  },
  {
    name: 'redirects and cookies of the program',
    conf: host(`
      ProxyPass /app/ http://{{a}}/inner/
      ProxyPassReverse /app/ http://{{a}}/inner/
      ProxyPassReverseCookiePath /inner/ /app/
      ProxyPassReverseCookieDomain backend.example public.example
      ProxyPass / http://{{b}}/
      ProxyPassReverse / http://{{b}}/`),
    requests: [
      get('/app/x', location('http://{{a}}/inner/y')),
      get('/app/x', location('http://elsewhere.example/inner/y')),
      get('/app/x', location('/inner/relative')),
      get('/x', location('https://other.example/')),
      get('/app/c', want({ headers: [['Set-Cookie', 'a=b; Path=/inner/; Domain=backend.example; HttpOnly']] })),
      get('/app/c', want({ headers: [['Set-Cookie', 'a=b; Path=/other']] })),
    ],
  },
  {
    name: 'a balancer',
    conf: host(`
      <Proxy balancer://app>
        BalancerMember http://{{a}}
        BalancerMember http://{{b}} status=+H
        ProxySet lbmethod=byrequests
      </Proxy>
      ProxyPass /status !
      ProxyPass / balancer://app/
      ProxyPassReverse / balancer://app/`),
    requests: gets('/', '/x', '/y?z=1'),
  },
  {
    name: 'errors of the program replaced',
    conf: host(`
      DocumentRoot {{files}}
      ProxyErrorOverride On
      ErrorDocument 404 /errors/404.html
      ErrorDocument 500 "sorry"
      ErrorDocument 503 https://status.example/down
      ProxyPass /errors !
      ProxyPass / http://{{a}}/`),
    requests: [
      get('/x'),
      get('/x', want({ status: 404 })),
      get('/x', want({ status: 500 })),
      get('/x', want({ status: 503 })),
      get('/x', want({ status: 403 })),
      get('/errors/none'),
    ],
  },
  {
    name: 'who may ask the program',
    conf: host(`
      <Proxy *>
        Order deny,allow
        Deny from all
        Allow from 127.0.0.1
      </Proxy>
      <Location /admin>
        Require ip 10.0.0.0/8
      </Location>
      <Location /admin/open>
        Require all granted
      </Location>
      <Location /local>
        Require local
      </Location>
      ProxyPass / http://{{a}}/`),
    requests: gets('/', '/admin', '/admin/x', '/adminx', '/admin/open', '/admin/open/x', '/local'),
  },
  {
    name: 'hosts by name',
    conf: hosts(`
      <VirtualHost 127.0.0.1:{{port}}>
        ServerName one.example
        ProxyPass / http://{{a}}/one/
      </VirtualHost>
      <VirtualHost 127.0.0.1:{{port}}>
        ServerName two.example
        ServerAlias *.two.example www?.three.example
        ProxyPass / http://{{a}}/two/
      </VirtualHost>
      <VirtualHost 127.0.0.1:{{port2}}>
        ServerName three.example
        ProxyPass / http://{{b}}/three/
      </VirtualHost>`),
    requests: [
      ...[
        'one.example',
        'two.example',
        'a.two.example',
        'TWO.example',
        'www1.three.example',
        'www12.three.example',
        'none.example',
        'two.example:8080',
      ].map((name) => get('/x', { Host: name })),
      { ...get('/x', { Host: 'two.example' }, { name: 'another port' }), port: 2 },
    ],
  },
  {
    name: 'websockets',
    conf: host(`
      ProxyPass /ws ws://{{a}}/socket
      ProxyPass /up http://{{a}}/up upgrade=websocket
      ProxyPass / http://{{b}}/`),
    requests: [
      get('/ws', {
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version': '13',
      }),
      get('/up/x', {
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version': '13',
      }),
      get('/x'),
    ],
  },
  {
    name: 'expressions and paths together',
    conf: host(`
      Header set X-All yes
      <LocationMatch "\\.json$">
        Header set X-Json yes
        RequestHeader set X-Kind json
      </LocationMatch>
      <LocationMatch "^/api/private/">
        Require all denied
      </LocationMatch>
      ProxyPassMatch "^/api/(v[0-9]+)/(.*)$" "http://{{b}}/$1/app/$2"
      ProxyPass /api/ http://{{a}}/api/
      ProxyPass /deep/er/ http://{{a}}/short/
      DocumentRoot {{files}}`),
    requests: gets(
      '/api/x',
      '/api/x.json',
      '/api/v1/x',
      '/api/v1/x.json?q=1',
      '/api/private/x',
      '/api/private/x.json',
      '/deep/er/x.json',
      '/deep/er/a%2Cb',
      '/data.json',
      '/api/v2/%C3%BC',
    ),
  },
  {
    name: 'paths that are written oddly',
    conf: host(`
      ProxyPass /a/ http://{{a}}/b/
      ProxyPass / http://{{b}}/`),
    requests: gets(
      '/a/x%20y',
      '/a/./x',
      '/a/../x',
      '/a/x+y',
      "/a/it's",
      '/a/x;y=1',
      '/a/100%25',
      '/a/?',
      '/a/x?a=%20b',
      '/a/~user',
      '/a/x:y@z',
    ),
    allow: { 'GET /a/? ': 'A ? without a query behind it is dropped.' },
  },
  {
    name: 'a balancer with a path and a second one',
    conf: host(`
      <Proxy balancer://one>
        BalancerMember http://{{a}}/app
      </Proxy>
      <Proxy balancer://two>
        BalancerMember http://{{b}} loadfactor=2
        BalancerMember http://{{a}} status=+D
        ProxySet lbmethod=bybusyness
      </Proxy>
      ProxyPass /one balancer://one
      ProxyPass /two/ balancer://two/second/
      ProxyPassReverse /one balancer://one`),
    requests: [...gets('/one', '/one/x?y', '/two/x', '/two'), get('/one/go', location('http://{{a}}/app/there'))],
  },
  {
    name: 'https by name, and http beside it',
    conf: hosts(`
      <VirtualHost 127.0.0.1:{{port}}>
        ServerName one.example
        SSLEngine On
        SSLCertificateFile {{tls}}/one.example.crt
        SSLCertificateKeyFile {{tls}}/one.example.key
        Header always set Strict-Transport-Security "max-age=600"
        RequestHeader set X-Scheme "expr=%{REQUEST_SCHEME}"
        RequestHeader set X-Https "expr=%{HTTPS}"
        ProxyPass / http://{{a}}/
      </VirtualHost>
      <VirtualHost 127.0.0.1:{{port}}>
        ServerName two.example
        SSLEngine On
        SSLCertificateFile {{tls}}/two.example.crt
        SSLCertificateKeyFile {{tls}}/two.example.key
        RewriteEngine On
        RewriteCond %{HTTPS} on
        RewriteRule ^/secure - [F]
        ProxyPass / http://{{b}}/
      </VirtualHost>
      <VirtualHost 127.0.0.1:{{port2}}>
        ServerName one.example
        Redirect permanent / https://one.example/
      </VirtualHost>`),
    requests: [
      ...['one.example', 'two.example', 'other.example'].flatMap((name) =>
        ['/x', '/secure'].map((path) => ({
          ...get(path, { Host: name }, { name: `https ${name}${path}` }),
          tls: { servername: name },
        })),
      ),
      { ...get('/x?y', { Host: 'one.example' }, { name: 'plain' }), port: 2 },
    ],
  },
];
