/** mod_rewrite, as people use it. */
import { get, gets } from '../nginx/requests.ts';
import { host, hosts } from './hosts.ts';
import type { Case } from './run.ts';

const upgrade = {
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
};

export const rewriteCases: readonly Case[] = [
  {
    name: 'to https',
    conf: host(`
      RewriteEngine On
      RewriteCond %{HTTPS} off
      RewriteRule ^(.*)$ https://%{HTTP_HOST}$1 [R=301,L]
      ProxyPass / http://{{a}}/`),
    requests: [...gets('/', '/x/y?z=1', '/a%20b'), get('/x', { Host: 'other.example' })],
  },
  {
    name: 'to https but for one path',
    conf: host(`
      RewriteEngine On
      RewriteCond %{HTTPS} !=on
      RewriteCond %{REQUEST_URI} !^/\\.well-known/
      RewriteRule ^/?(.*) https://secure.example/$1 [R,L]
      DocumentRoot {{files}}`),
    requests: gets('/', '/x?y=1', '/.well-known/none'),
  },
  {
    name: 'to www and back',
    conf: hosts(`
      <VirtualHost 127.0.0.1:{{port}}>
        ServerName one.example
        ServerAlias *
        RewriteEngine On
        RewriteCond %{HTTP_HOST} ^www\\.(.+)$ [NC]
        RewriteRule ^ http://%1%{REQUEST_URI} [R=301,L]
        RewriteCond %{HTTP_HOST} ^old\\.example$ [OR]
        RewriteCond %{HTTP_HOST} ^older\\.example$
        RewriteRule ^/(.*)$ http://new.example/$1 [R=302,L,NE]
        ProxyPass / http://{{a}}/
      </VirtualHost>`),
    requests: [
      ...['one.example', 'www.one.example', 'WWW.Two.example', 'old.example', 'older.example', 'oldest.example'].map((name) =>
        get('/x?q=1', { Host: name }),
      ),
    ],
  },
  {
    name: 'a front controller in a folder',
    conf: host(`
      DocumentRoot {{files}}/app
      <Directory {{files}}/app>
        RewriteEngine On
        RewriteBase /
        RewriteRule ^index\\.html$ - [L]
        RewriteCond %{REQUEST_FILENAME} !-f
        RewriteCond %{REQUEST_FILENAME} !-d
        RewriteRule . /index.html [L]
      </Directory>`),
    requests: gets('/', '/real.txt', '/some/path?x=1', '/index.html', '/none.txt'),
  },
  {
    name: 'files first, then the program',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteCond %{DOCUMENT_ROOT}%{REQUEST_URI} !-f
      RewriteRule ^/(.*)$ http://{{a}}/app/$1 [P,L]`),
    requests: gets('/a.txt', '/none', '/none?x=1', '/dir/b.txt', '/x%20y'),
  },
  {
    name: 'websockets by a rule',
    conf: host(`
      RewriteEngine On
      RewriteCond %{HTTP:Upgrade} websocket [NC]
      RewriteCond %{HTTP:Connection} upgrade [NC]
      RewriteRule ^/?(.*) ws://{{b}}/$1 [P,L]
      ProxyPass / http://{{a}}/
      ProxyPassReverse / http://{{a}}/`),
    requests: [get('/socket', upgrade), get('/socket'), get('/x?y')],
  },
  {
    name: 'closed paths and methods',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteRule ^/dir/ - [F]
      RewriteRule ^/static/a\\.txt$ - [G]
      RewriteCond %{REQUEST_METHOD} ^(TRACE|TRACK|DELETE)
      RewriteRule .* - [F]
      RewriteCond %{HTTP_USER_AGENT} (bad|worse) [NC]
      RewriteRule ^ - [F,L]
      RewriteCond %{QUERY_STRING} secret
      RewriteRule ^ - [R=404,L]`),
    requests: [...gets('/dir/b.txt', '/static/a.txt', '/a.txt', '/a.txt?secret=1'), get('/a.txt', { 'User-Agent': 'a BAD one' })],
  },
  {
    name: 'maintenance',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteCond %{REMOTE_ADDR} !^10\\.
      RewriteCond %{DOCUMENT_ROOT}/errors/50x.html -f
      RewriteCond %{REQUEST_URI} !^/errors/
      RewriteRule ^ - [R=503,L]
      ErrorDocument 503 /errors/50x.html
      ProxyPass /errors !
      ProxyPass / http://{{a}}/`),
    requests: gets('/', '/x', '/errors/404.html'),
  },
  {
    name: 'queries',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteRule ^/keep/(.*)$ /p/$1 [PT,L]
      RewriteRule ^/new/(.*)$ /p?id=$1 [PT,L]
      RewriteRule ^/add/(.*)$ /p?id=$1 [PT,L,QSA]
      RewriteRule ^/drop/(.*)$ /p/$1? [PT,L]
      RewriteRule ^/discard/(.*)$ /p/$1 [PT,L,QSD]
      RewriteRule ^/go/(.*)$ http://elsewhere.example/?id=$1 [R=301,L]
      RewriteRule ^/goadd/(.*)$ http://elsewhere.example/?id=$1 [R=301,L,QSA]
      RewriteRule ^/godrop/(.*)$ http://elsewhere.example/$1? [R=301,L]
      ProxyPass /p http://{{a}}/p`),
    requests: ['keep', 'new', 'add', 'drop', 'discard', 'go', 'goadd', 'godrop'].flatMap((name) => gets(`/${name}/7?x=1`, `/${name}/7`)),
  },
  {
    name: 'rules go on from each other',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteRule ^/one/(.*)$ /two/$1
      RewriteRule ^/two/(.*)$ /dir/$1
      RewriteRule ^/LOUD/(.*)$ /static/$1 [NC,L]
      RewriteRule !^/(dir|static|a|errors) /a.txt
      ProxyPass /proxied http://{{a}}/`),
    requests: gets('/one/b.txt', '/two/b.txt', '/loud/a.txt', '/a.txt', '/other/a.txt', '/dir/b.txt'),
  },
  {
    name: 'rules that lead past ProxyPass to a file',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteRule ^/health$ /a.txt [L]
      RewriteRule ^/disk$ {{files}}/dir/b.txt [L]
      ProxyPass / http://{{a}}/`),
    requests: gets('/health', '/disk', '/a.txt', '/x'),
  },
  {
    name: 'rules in a folder',
    conf: host(`
      DocumentRoot {{files}}
      <Directory {{files}}/dir>
        RewriteEngine On
        RewriteRule ^go/(.*)$ http://elsewhere.example/$1 [R=301,L]
        RewriteRule ^short$ b.txt [L]
        RewriteRule ^up$ /a.txt [L]
        RewriteRule ^closed - [F]
      </Directory>`),
    requests: gets('/dir/go/x?y=1', '/dir/short', '/dir/up', '/dir/closed', '/dir/b.txt', '/dir/', '/short'),
  },
  {
    name: 'a canonical path and an old one',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteRule ^/(.*)/index\\.html$ /$1/ [R=301,L]
      RewriteRule ^/old-([a-z]+)\\.html$ /$1.html [R=301,L,NC]
      RewriteCond %{REQUEST_URI} ^/lower/(.*)$
      RewriteRule ^ /%1 [R=302,L]
      RewriteCond %{QUERY_STRING} ^page=([0-9]+)$
      RewriteRule ^/list$ /list/%1? [R=301,L]`),
    requests: gets('/dir/index.html', '/dir/', '/old-b.html', '/OLD-b.html?x=1', '/lower/a.txt', '/list?page=7', '/list?page=x', '/b.html'),
  },
  {
    name: 'rules and sections',
    conf: host(`
      DocumentRoot {{files}}
      RewriteEngine On
      RewriteRule ^/hidden$ /dir/b.txt [L]
      RewriteRule ^/shown$ /static/a.txt [L]
      <Directory {{files}}/dir>
        Require all denied
      </Directory>
      <Directory {{files}}/static>
        Header set X-Static yes
      </Directory>`),
    requests: gets('/hidden', '/shown', '/dir/b.txt', '/static/a.txt'),
  },
];
