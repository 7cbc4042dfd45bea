/** rewrite, return, set, if, break, map, error_page. */
import { ask, type Case, get, gets, server } from './requests.ts';

export const rewriteCases: readonly Case[] = [
  {
    name: 'return answers texts, redirects and bare statuses',
    allow: { bare: ['GET /301bare'] },
    conf: server(`
      location /200 { return 200 "ok $uri\\n"; }
      location /empty { return 200; }
      location /204 { return 204; }
      location /301 { return 301 /to$is_args$args; }
      location /302 { return 302 https://example.com$request_uri; }
      location /303 { return 303 /x; }
      location /307 { return 307 /x; }
      location /308 { return 308 /x; }
      location /url { return https://example.com/u; }
      location /scheme { return $scheme://$host/s; }
      location /400 { return 400; }
      location /403 { return 403; }
      location /404 { return 404; }
      location /404t { return 404 "nothing here\\n"; }
      location /410 { return 410 gone; }
      location /444 { return 444; }
      location /500 { return 500; }
      location /503 { return 503 "busy\\n"; }
      location /599 { return 599 x; }
      location /301bare { return 301; }`),
    requests: gets(
      '/200',
      '/200/x%20y',
      '/empty',
      '/204',
      '/301',
      '/301?x=y',
      '/302?x=y',
      '/303',
      '/307',
      '/308',
      '/url',
      '/scheme',
      '/400',
      '/403',
      '/404',
      '/404t',
      '/410',
      '/444',
      '/500',
      '/503',
      '/599',
      '/301bare',
    ).concat(
      ask('HEAD', '/200'),
      ask('HEAD', '/404'),
      ask('POST', '/200', { body: 'x=1' }),
      ask('GET', '/200', { version: '1.0' }),
      ask('GET', '/404', { version: '1.0' }),
      ask('GET', '/200', { version: '1.0', headers: { Connection: 'keep-alive' } }),
      ask('GET', '/200', { headers: { Connection: 'close' } }),
    ),
  },
  {
    name: 'return at the server comes before every location',
    conf: server(`
      return 301 https://$host$request_uri;
      location / { return 200 never; }`),
    requests: [...gets('/', '/x?y=z', '/%2F//x'), get('/', { Host: 'Other.Example:8080' })],
  },
  {
    name: 'rewrite with every flag',
    allow: { escape: ['GET /esc/a%3Fb'] },
    conf: server(`
      rewrite ^/server/(.*)$ /loc/$1;
      rewrite ^/away/(.*)$ http://example.com/$1;
      rewrite ^/perm/(.*)$ /new/$1 permanent;
      rewrite ^/temp/(.*)$ /new/$1 redirect;
      rewrite ^/drop/(.*)$ /loc/$1? last;
      rewrite ^/more/(.*)$ /loc/$1?own=1 last;
      location /loc/ { return 200 "loc $uri $args $request_uri\\n"; }
      location /last/ { rewrite ^/last/(.*)$ /loc/$1 last; return 200 never; }
      location /break/ { rewrite ^/break/(.*)$ /loc/$1 break; return 200 "never $uri\\n"; }
      location /plain/ { rewrite ^/plain/(.*)$ /loc/$1; return 200 "plain $uri\\n"; }
      location /two/ { rewrite ^/two/(.*)$ /three/$1; rewrite ^/three/(.*)$ /loc/$1; }
      location /loop/ { rewrite ^/loop/(.*)$ /loop/x$1 last; }
      location /q/ { rewrite ^/q/(.*)$ /loc/$1?a=b&c=$1; }
      location /esc/ { rewrite ^/esc/(.*)$ /to/$1 redirect; }
      location / { return 200 "rest $uri\\n"; }`),
    requests: gets(
      '/server/x',
      '/server/x?y=1',
      '/away/x',
      '/away/x?y=1',
      '/perm/x?y=1',
      '/temp/x',
      '/drop/x?y=1',
      '/more/x?y=1',
      '/last/x',
      '/last/x?y',
      '/break/x',
      '/plain/x',
      '/two/x',
      '/loop/x',
      '/q/x?z=1',
      '/q/x',
      '/esc/a%20b',
      '/esc/a%3Fb',
      '/esc/%C3%BC',
      '/other',
    ),
  },
  {
    name: 'a rewritten path is handed on escaped',
    conf: server(`
      location /r/ { rewrite ^/r/(.*)$ /x/$1 break; proxy_pass http://{{a}}; }
      location /u/ { rewrite ^/u/(.*)$ /x/$1 break; proxy_pass http://{{a}}/base/; }
      location /l/ { rewrite ^/l/(.*)$ /p/$1 last; }
      location /p/ { proxy_pass http://{{a}}; }
      location /pu/ { proxy_pass http://{{a}}/uri/; }
      location /lu/ { rewrite ^/lu/(.*)$ /pu/$1 last; }`),
    requests: gets(
      '/r/a',
      '/r/a%20b',
      '/r/a%2Fb?x=%20y',
      '/r/%C3%BC',
      '/r/a//b',
      '/u/a',
      '/u/a?x=1',
      '/l/a%20b?q=1',
      '/l/a%2Fb',
      '/p/a%2Fb',
      '/p/a//b/../c',
      '/lu/a?x',
      '/lu/a%20b',
      '/pu/a%2Fb',
      '/r/a%3Fb',
      '/r/a+b;c=d',
    ),
  },
  {
    name: 'set and if with every comparison',
    conf: server(`
      set $v "";
      if ($arg_x) { set $v "$v x"; }
      if ($arg_x = 1) { set $v "$v =1"; }
      if ($arg_x != 1) { set $v "$v !=1"; }
      if ($http_user_agent ~ Fire) { set $v "$v ~Fire"; }
      if ($http_user_agent ~* fire) { set $v "$v ~*fire"; }
      if ($http_user_agent !~ Fire) { set $v "$v !~Fire"; }
      if ($http_user_agent !~* fire) { set $v "$v !~*fire"; }
      if (-f {{files}}$uri) { set $v "$v file"; }
      if (!-f {{files}}$uri) { set $v "$v nofile"; }
      if (-d {{files}}$uri) { set $v "$v dir"; }
      if (-e {{files}}$uri) { set $v "$v exists"; }
      if (!-e {{files}}$uri) { set $v "$v missing"; }
      if (-x {{files}}$uri) { set $v "$v exec"; }
      if ($uri ~ ^/cap/(\\w+)/(?<named>\\w+)) { set $v "$v cap=$1,$named"; }
      if ($request_method = POST) { return 405; }
      location / { return 200 "$v\\n"; }`),
    requests: [
      ...gets('/', '/?x=1', '/?x=0', '/?x=2', '/?x=', '/a.txt', '/dir', '/dir/', '/none', '/cap/one/two', '/cap/one'),
      get('/', { 'User-Agent': 'Firefox' }),
      get('/', { 'User-Agent': 'firefox' }),
      ask('POST', '/', { body: 'x' }),
    ],
  },
  {
    name: 'if in a location with other directives',
    conf: server(`
      root {{files}};
      add_header X-Server s;
      location /h/ {
        add_header X-Loc l;
        if ($arg_a) { add_header X-If yes; }
        return 200 "h\\n";
      }
      location /p/ {
        proxy_set_header X-From loc;
        proxy_pass http://{{a}};
        if ($arg_b) { proxy_pass http://{{b}}; }
        if ($arg_h) { add_header X-If h; }
        if ($arg_s) { set $x 1; }
      }
      location /r/ {
        if ($arg_r) { root {{files}}/vhost; }
        if ($arg_e) { expires 1h; }
      }
      location /e/ {
        if ($request_method = PUT) { return 403; }
        if ($arg_rw) { rewrite ^ /h/x last; }
        if ($arg_br) { break; }
        return 200 "end\\n";
      }`),
    requests: [
      ...gets(
        '/h/',
        '/h/?a=1',
        '/p/x',
        '/p/x?b=1',
        '/p/x?h=1',
        '/p/x?s=1',
        '/p/x?b=1&h=1',
        '/r/',
        '/r/?r=1',
        '/r/?e=1',
        '/e/',
        '/e/?rw=1',
        '/e/?br=1',
      ),
      ask('PUT', '/e/', { body: 'x' }),
    ],
  },
  {
    name: 'break ends the instructions of a location',
    conf: server(`
      location /a/ { set $x 1; break; set $x 2; return 200 never; }
      location /b/ { rewrite ^/b/(.*) /c/$1; break; }
      location /c/ { return 200 c; }
      root {{files}};`),
    requests: gets('/a/', '/b/x'),
  },
  {
    name: 'maps in all forms',
    conf: `
      map $uri $m { default none; /exact exact; ~^/re/(\\w+)$ "re $1"; ~*^/CASE/ case; ~^/named/(?<part>\\w+) "named $part"; "" empty; }
      map $host $h { hostnames; default other; .example.com com; *.example.net net; www.example.* star; "~^r(.+)\\.x$" "regex $1"; }
      map "$arg_a:$arg_b" $two { default "$arg_a-$arg_b"; x:y xy; ~^z: z; }
      map $http_x_num $num { default 0; 1 one; 10 ten; 2 two; \\~tilde tilde; }
      map $m $again { default "<$m>"; exact deep; }
      ${server('location / { return 200 "$m|$h|$two|$num|$again\\n"; }')}`,
    requests: [
      ...gets('/', '/exact', '/EXACT', '/re/abc', '/case/x', '/named/p1', '/?a=x&b=y', '/?a=X&b=Y', '/?a=z&b=1', '/?a=q'),
      ...[
        'example.com',
        'a.example.com',
        'a.b.example.com',
        'example.net',
        'x.example.net',
        'www.example.org',
        'www.example.co.uk',
        'rabc.x',
        'WWW.EXAMPLE.DE',
      ].map((Host) => get('/', { Host })),
      ...['1', '10', '2', '3', '~tilde'].map((value) => get('/', { 'X-Num': value })),
    ],
  },
  {
    name: 'error_page to files, texts, other statuses and addresses',
    conf: server(`
      root {{files}};
      error_page 404 /errors/404.html;
      error_page 500 502 503 504 /errors/50x.html;
      error_page 403 =200 /errors/403.html;
      location /own/ { error_page 404 = /a.txt; }
      location /as/ { error_page 404 =410 /a.txt; }
      location /url/ { error_page 404 https://example.com/$uri; }
      location /url301/ { error_page 404 =301 https://example.com/x; }
      location /named/ { error_page 404 = @n; }
      location /named2/ { error_page 404 @n; }
      location @n { return 200 "named $uri $request_uri\\n"; }
      location /500 { return 500; }
      location /503 { return 503; }
      location /403 { deny all; }
      location /405 { error_page 405 =200 $uri.txt; return 405; }
      location /var/ { error_page 404 /errors/$arg_p.html; }
      location /gone/ { error_page 404 /nowhere.html; }
      location = /proxy404 { error_page 404 = @p; return 404; }
      location @p { proxy_pass http://{{a}}; }`),
    requests: gets(
      '/none',
      '/own/x',
      '/as/x',
      '/url/x',
      '/url301/x',
      '/named/x?q=1',
      '/named2/x',
      '/500',
      '/503',
      '/403',
      '/405',
      '/var/x?p=404',
      '/gone/x',
      '/proxy404?x=1',
      '/errors/404.html',
    ).concat(ask('POST', '/none', { body: 'x' }), ask('HEAD', '/none'), ask('POST', '/proxy404', { body: 'abc' })),
  },
  {
    name: 'variables of the request',
    conf: server(`
      server_name site.example;
      location / { return 200 "$scheme|$host|$http_host|$server_name|$request_method|$request_uri|$uri|$document_uri|$args|$query_string|$is_args|$arg_one|$arg_two|$cookie_c|$cookie_D|$http_x_test|$remote_addr|$server_protocol|$content_type|$content_length|$https|$request\\n"; }`),
    requests: [
      ...gets('/', '/a%20b?one=1&two=%202', '/?one=&ONE=2', '/?one', '/?xone=1&one=2', '/?one=1&one=2'),
      get('/', { Cookie: 'c=1; d=2' }),
      get('/', { Cookie: 'x=1;c=a=b; C=3' }),
      get('/', { 'X-Test': 'a b' }),
      get('/', { Host: 'UPPER.example:81' }),
      get('/', { Host: '' }),
      ask('GET', '/', { noHost: true, version: '1.0' }),
      ask('GET', '/', { noHost: true }),
      ask('POST', '/', { body: 'abc', headers: { 'Content-Type': 'text/x' } }),
      get('/', { Host: '[::1]:80' }),
      get('/', { Host: 'a b' }),
      get('/', { Host: 'a/b' }),
      get('/', { Host: 'x.example.' }),
      get('/', { Host: 'a_b.example' }),
      get('/', { Host: 'a..b' }),
      get('/', { Host: 'x:y' }),
    ],
  },
];
