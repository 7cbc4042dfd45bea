/** Files, redirects, access, limits. */
import { ask, get, gets, post } from '../nginx/requests.ts';
import { host } from './hosts.ts';
import type { Case } from './run.ts';

const basic = (text: string) => ({ Authorization: `Basic ${Buffer.from(text).toString('base64')}` });
const secret = `AuthType Basic
AuthName "closed area"
AuthUserFile {{files}}/htpasswd`;

export const fileCases: readonly Case[] = [
  {
    name: 'a document root',
    conf: host(`
      DocumentRoot {{files}}
      DirectoryIndex index.html index.htm`),
    requests: [
      ...gets(
        '/',
        '/index.html',
        '/a.txt',
        '/dir',
        '/dir/',
        '/dir?x=1',
        '/dir/other.html',
        '/other/',
        '/none',
        '/none/',
        '/sp%20ace.txt',
        '/image.png',
        '/app.js',
        '/data.json',
        '/link.txt',
      ),
      ask('HEAD', '/a.txt'),
      get('/a.txt', { Range: 'bytes=0-2' }),
      get('/a.txt', { 'If-Modified-Since': 'Sun, 01 Jun 2025 12:00:00 GMT' }),
      get('/a.txt', { 'If-Modified-Since': 'Sun, 01 Jun 2020 12:00:00 GMT' }),
      get('/../a.txt'),
      get('//a.txt'),
    ],
  },
  {
    name: 'aliases',
    conf: host(`
      Alias /pics/ {{files}}/dir/
      Alias /bare {{files}}/static
      Alias /one.txt {{files}}/a.txt
      AliasMatch ^/any/(.*)\\.text$ {{files}}/$1.txt
      DocumentRoot {{files}}/app`),
    requests: gets(
      '/pics/',
      '/pics',
      '/pics/b.txt',
      '/pics/sub/c.txt',
      '/bare',
      '/bare/',
      '/bare/a.txt',
      '/barex',
      '/one.txt',
      '/any/a.text',
      '/any/dir/b.text',
      '/any/none.text',
      '/real.txt',
      '/',
    ),
  },
  {
    name: 'folders without an index, and hidden files',
    conf: host(`
      DocumentRoot {{files}}
      <Directory {{files}}>
        Options -Indexes
        AllowOverride None
        Require all granted
      </Directory>
      <FilesMatch "^\\.ht">
        Require all denied
      </FilesMatch>
      <Files "b.html">
        Require all denied
      </Files>`),
    requests: gets('/.htaccess', '/b.html', '/dir/b.txt', '/xb.html', '/noindex/', '/a.txt', '/'),
  },
  {
    name: 'a folder that is closed, and one below it that is open',
    conf: host(`
      DocumentRoot {{files}}
      <Directory {{files}}/dir>
        Require all denied
      </Directory>
      <Directory {{files}}/dir/sub>
        Require all granted
      </Directory>
      <Directory {{files}}/static>
        Require ip 10.0.0.0/8 192.168
      </Directory>
      <Directory {{files}}/other>
        Order allow,deny
        Allow from 127
      </Directory>
      <Location /other/index.htm>
        Deny from all
      </Location>`),
    requests: gets('/dir/b.txt', '/dir/', '/dir/sub/c.txt', '/static/a.txt', '/other/a.txt', '/other/index.htm', '/a.txt', '/dirx'),
  },
  {
    name: 'passwords',
    conf: host(`
      DocumentRoot {{files}}
      <Location /dir>
        ${secret}
        Require valid-user
      </Location>
      <Location /static>
        ${secret}
        Require user anna
      </Location>
      <Location /other>
        ${secret}
        <RequireAny>
          Require ip 127.0.0.1
          Require valid-user
        </RequireAny>
      </Location>
      <Location /app>
        ${secret}
        <RequireAll>
          Require all granted
          Require not ip 127.0.0.1
        </RequireAll>
      </Location>
      <Location /errors>
        ${secret}
        <RequireAll>
          Require valid-user
          Require ip 127.0.0.0/8
        </RequireAll>
      </Location>
      <Location /vhost>
        ${secret}
        Order deny,allow
        Deny from all
        Require valid-user
        Satisfy Any
      </Location>`),
    requests: [
      ...gets('/dir/b.txt', '/static/a.txt', '/other/a.txt', '/app/real.txt', '/errors/404.html', '/vhost/one.example/', '/a.txt'),
      ...['anna:secret', 'bob:secret', 'anna:wrong', 'none:secret'].map((text) =>
        get('/dir/b.txt', basic(text), { name: `dir as ${text}` }),
      ),
      ...['anna:secret', 'bob:secret'].map((text) => get('/static/a.txt', basic(text), { name: `static as ${text}` })),
      ...['anna:secret', 'anna:wrong'].map((text) => get('/errors/404.html', basic(text), { name: `errors as ${text}` })),
      ...['anna:secret', 'anna:wrong'].map((text) => get('/vhost/one.example/index.html', basic(text), { name: `vhost as ${text}` })),
    ],
  },
  {
    name: 'redirects',
    conf: host(`
      DocumentRoot {{files}}
      Redirect /old http://elsewhere.example/new
      Redirect permanent /moved/ https://elsewhere.example/here/
      Redirect 307 /kept /dir
      Redirect gone /gone
      Redirect 303 /see http://elsewhere.example/see?x=1
      RedirectPermanent /static http://elsewhere.example/static
      RedirectTemp /tmp/a http://elsewhere.example/b
      RedirectMatch 301 ^/blog/([0-9]+)/(.*)$ http://elsewhere.example/$2/$1
      RedirectMatch gone \\.bak$
      RedirectMatch ^/plain$ /dir/`),
    requests: gets(
      '/old',
      '/old/',
      '/old/x?y=1',
      '/oldx',
      '/moved',
      '/moved/',
      '/moved/a/b?c',
      '/kept/x',
      '/kept?q',
      '/gone',
      '/gone/x',
      '/see',
      '/see/y?z',
      '/static/a.txt',
      '/tmp/a',
      '/tmp/a/c',
      '/blog/12/title?x',
      '/blog/x/title',
      '/x.bak',
      '/plain',
      '/a.txt',
    ),
  },
  {
    name: 'a whole host redirected',
    conf: host('Redirect permanent / https://secure.example/'),
    requests: gets('/', '/x/y', '/x%20y?z=1', '/a//b'),
    allow: { 'GET /a//b': 'Steward redirects to the path as it was sent; Apache merges its slashes.' },
  },
  {
    name: 'error documents',
    conf: host(`
      DocumentRoot {{files}}
      ErrorDocument 404 /errors/404.html
      ErrorDocument 403 "this is closed"
      ErrorDocument 410 http://elsewhere.example/gone
      Redirect gone /gone
      <Location /dir>
        Require all denied
      </Location>
      <Location /static>
        ErrorDocument 404 "nothing static"
      </Location>`),
    requests: gets('/none', '/dir/', '/gone', '/static/none', '/static/a.txt', '/a.txt'),
  },
  {
    name: 'a single-page app',
    conf: host(`
      DocumentRoot {{files}}/app
      FallbackResource /index.html`),
    requests: gets('/', '/real.txt', '/some/path', '/other?x=1', '/index.html'),
  },
  {
    name: 'limits of bodies and methods',
    conf: host(`
      DocumentRoot {{files}}
      ProxyPass /app http://{{a}}/app
      <Location /app>
        LimitRequestBody 10
        <LimitExcept GET POST>
          Require all denied
        </LimitExcept>
      </Location>
      <Location /app/big>
        LimitRequestBody 0
      </Location>`),
    requests: [
      post('/app/x', '0123456789'),
      { ...post('/app/x', '0123456789a'), name: 'too much' },
      post('/app/big', '0123456789a'),
      ask('DELETE', '/app/x'),
      ask('PUT', '/app/x', { body: 'x' }),
      get('/app/x'),
    ],
    allow: { 'too much': 'Apache does not hold LimitRequestBody to requests that it hands on; Steward does.' },
  },
  {
    name: 'how long answers keep, and compression',
    conf: host(`
      DocumentRoot {{files}}
      AddOutputFilterByType DEFLATE text/html application/json
      ExpiresActive On
      ExpiresDefault "access plus 1 hour"
      ExpiresByType text/css "access plus 1 month"
      ExpiresByType image/png A600
      <Location /static>
        ExpiresActive Off
      </Location>`),
    requests: [
      ...gets('/a.txt', '/style.css', '/image.png', '/index.html', '/static/a.txt', '/none'),
      get('/data.json', { 'Accept-Encoding': 'gzip' }),
      get('/b.html', { 'Accept-Encoding': 'gzip' }),
      get('/a.txt', { 'Accept-Encoding': 'gzip' }),
    ],
  },
  {
    name: 'headers of files',
    conf: host(`
      DocumentRoot {{files}}
      Header set X-Set one
      Header always set X-Always two
      <FilesMatch "\\.(css|js)$">
        Header set Cache-Control "max-age=86400, public"
      </FilesMatch>
      <Files "a.txt">
        Header set X-Set three
        Header unset X-None
      </Files>
      Redirect /moved http://elsewhere.example/`),
    requests: gets('/', '/a.txt', '/dir/a.txt', '/style.css', '/app.js', '/none', '/none.css', '/moved', '/dir'),
    allow: { 'GET /dir {': 'Headers that are not for always are on redirects too.' },
  },
  {
    name: 'access logs',
    conf: host(`
      DocumentRoot {{files}}
      LogFormat "%h %l %u %t \\"%r\\" %>s %b" short
      LogFormat "%{Host}i|%m|%U%q|%H|%>s|%{X-Seen}o|%{User-Agent}i|%v" own
      Header set X-Seen yes
      CustomLog {{logs}}/short.log short
      CustomLog {{logs}}/own.log own`),
    requests: [get('/a.txt?x=1', { 'User-Agent': 'test' }), get('/none'), ask('HEAD', '/a.txt')],
    logs: ['short.log', 'own.log'],
  },
  {
    name: 'sections by expression',
    conf: host(`
      DocumentRoot {{files}}
      <LocationMatch "^/(dir|static)/">
        Header set X-Matched yes
      </LocationMatch>
      <LocationMatch "/sub/">
        Require all denied
      </LocationMatch>
      <Location ~ "\\.html$">
        Header set X-Html yes
      </Location>
      <DirectoryMatch "/other">
        Require all denied
      </DirectoryMatch>`),
    requests: gets('/a.txt', '/dir/b.txt', '/dir/other.html', '/dir/sub/c.txt', '/static/a.txt', '/b.html', '/other/a.txt', '/dir/'),
  },
  {
    name: 'what is merged in which order',
    conf: host(`
      DocumentRoot {{files}}
      Header set X-Order server
      <Location /dir>
        Header set X-Order location
      </Location>
      <Files b.txt>
        Header set X-Order files
      </Files>
      <Directory {{files}}/dir>
        Header set X-Order directory
      </Directory>
      <Directory {{files}}/static>
        Header set X-Order directory
        <Files a.txt>
          Header set X-Order inner
        </Files>
      </Directory>
      <Directory {{files}}>
        Header set X-Order root
      </Directory>
      <Location /static/index.html>
        Header unset X-Order
      </Location>`),
    requests: gets('/a.txt', '/dir/b.txt', '/dir/other.html', '/static/a.txt', '/static/index.html', '/app/real.txt'),
  },
  {
    name: 'locations that overlap',
    conf: host(`
      DocumentRoot {{files}}
      <Location /dir/sub>
        Require all granted
        Header set X-Where sub
      </Location>
      <Location /dir>
        Require all denied
        Header set X-Where dir
      </Location>
      <Location /static/>
        Require all denied
      </Location>
      <LocationMatch "^/app/(?!real)">
        Require all denied
      </LocationMatch>
      <Location "/o*er">
        Header set X-Where glob
      </Location>`),
    requests: gets('/dir/sub/c.txt', '/dir/b.txt', '/static', '/static/a.txt', '/app/real.txt', '/app/index.html', '/other/a.txt', '/dirx'),
  },
  {
    name: 'rules of 2.2 in each other',
    conf: host(`
      DocumentRoot {{files}}
      <Location />
        Order deny,allow
        Deny from all
      </Location>
      <Location /dir>
        Order allow,deny
        Allow from all
        Deny from 127.0.0.1
      </Location>
      <Location /static>
        Order allow,deny
        Allow from 127.0.0.0/255.0.0.0
      </Location>
      <Location /app>
        Allow from 127.0.0.1
      </Location>`),
    requests: gets('/a.txt', '/dir/b.txt', '/static/a.txt', '/app/real.txt'),
  },
  {
    name: 'redirects within sections',
    conf: host(`
      DocumentRoot {{files}}
      <Location /dir>
        Redirect permanent http://elsewhere.example/dir
      </Location>
      <Location /static>
        Require all denied
        Redirect http://elsewhere.example/static
      </Location>
      <LocationMatch "^/app/real">
        Redirect gone
      </LocationMatch>`),
    requests: gets('/dir', '/static/a.txt', '/app/real.txt', '/app/index.html', '/a.txt'),
  },
  {
    name: 'the two ports of a file',
    conf: `Listen 127.0.0.1:{{port}}
Listen 127.0.0.1:{{port2}}
DocumentRoot {{files}}
Redirect /old http://elsewhere.example/old
<VirtualHost 127.0.0.1:{{port2}}>
  ServerName two.example
  DocumentRoot {{files}}/dir
  Alias /up {{files}}/static
</VirtualHost>`,
    requests: [
      ...gets('/a.txt', '/old/x', '/up/a.txt'),
      ...gets('/b.txt', '/old/x', '/up/a.txt', '/a.txt').map((sent) => ({ ...sent, port: 2, name: `${sent.name} at port 2` })),
    ],
  },
  {
    name: 'a folder closed by the name of its index file',
    conf: host(`
      DocumentRoot {{files}}
      <Files "index.html">
        Require all denied
      </Files>
      <Directory {{files}}/app>
        <Files "index.html">
          Require all granted
        </Files>
      </Directory>
      <LocationMatch "^/dir/.*\\.txt$">
        Require all denied
      </LocationMatch>
      <LocationMatch "^/dir/sub/">
        Require all granted
      </LocationMatch>`),
    requests: gets(
      '/',
      '/index.html',
      '/dir/',
      '/dir/index.html',
      '/app/',
      '/app/index.html',
      '/dir/b.txt',
      '/dir/sub/c.txt',
      '/dir/other.html',
      '/static/',
    ),
  },
  {
    name: 'who the client is behind a proxy',
    conf: host(`
      DocumentRoot {{files}}
      RemoteIPHeader X-Forwarded-For
      RemoteIPInternalProxy 127.0.0.1 10.0.0.0/8
      <Location /dir>
        Require ip 192.0.2.7
      </Location>
      ProxyPass /app http://{{a}}/app`),
    requests: [
      ...[undefined, '192.0.2.7', '192.0.2.8', '192.0.2.7, 10.1.1.1', '192.0.2.7, 192.0.2.8'].map((chain) =>
        get('/dir/b.txt', chain === undefined ? {} : { 'X-Forwarded-For': chain }),
      ),
    ],
  },
  {
    name: 'errors and redirects in sections of files',
    conf: host(`
      DocumentRoot {{files}}
      Alias /docs {{files}}/static
      <Directory {{files}}/static>
        ErrorDocument 404 /errors/404.html
        FallbackResource disabled
        DirectoryIndex a.txt
      </Directory>
      <Files "only.txt">
        ErrorDocument 403 "not this one"
        Require ip 10.0.0.1
      </Files>`),
    requests: gets('/docs/', '/docs/none', '/static/none', '/none', '/noindex/only.txt', '/docs/a.txt', '/docs/dir'),
  },
];
