/** Who gets in and how often: allow, deny, auth_basic, auth_request, satisfy, limit_except, limit_req, real_ip. */
import { ask, type Case, get, gets, post, server, want } from './requests.ts';

const basic = (user: string): { Authorization: string } => ({ Authorization: `Basic ${Buffer.from(user).toString('base64')}` });

export const limitCases: readonly Case[] = [
  {
    name: 'allow and deny in order, inherited and replaced',
    conf: server(`
      root {{files}};
      deny 10.0.0.0/8; allow 127.0.0.0/8; deny all;
      location / { }
      location /d/ { deny all; }
      location /d1/ { deny 127.0.0.1; allow all; }
      location /a1/ { allow 127.0.0.1; deny all; return 200 "before\\n"; }
      location /a2/ { allow 127.0.0.1; deny all; proxy_pass http://{{a}}; }
      location /six/ { allow 2001:db8::/32; deny all; proxy_pass http://{{a}}; }
      location /unix/ { allow unix:; deny all; proxy_pass http://{{a}}; }
      location /range/ { deny 127.0.0.0/31; proxy_pass http://{{a}}; }
      location /none/ { allow 192.168.0.0/16; proxy_pass http://{{a}}; }
      location /ret/ { deny all; return 200 "return comes first\\n"; }`),
    requests: gets('/a.txt', '/d/x', '/d1/x', '/a1/x', '/a2/x', '/six/x', '/unix/x', '/range/x', '/none/x', '/ret/x'),
  },
  {
    name: 'auth_basic',
    conf: server(`
      root {{files}};
      auth_basic "the realm"; auth_basic_user_file {{files}}/htpasswd;
      location / { }
      location /open/ { auth_basic off; return 200 open; }
      location /o/ { auth_basic off; proxy_pass http://{{a}}; }
      location /p/ { proxy_pass http://{{a}}; proxy_set_header X-User $remote_user; }
      location /v/ { auth_basic "realm $arg_r"; proxy_pass http://{{a}}; }
      location /nofile/ { auth_basic_user_file {{files}}/none; proxy_pass http://{{a}}; }`),
    requests: [
      ...gets('/a.txt', '/open/', '/o/', '/p/', '/v/?r=7', '/none'),
      ...['anna:secret', 'bob:secret', 'plain:open', 'anna:wrong', 'nobody:secret', 'anna', 'anna:', ':', 'anna:secret:x'].flatMap(
        (user) => [get('/a.txt', basic(user)), get('/p/', basic(user))],
      ),
      get('/a.txt', { Authorization: 'Bearer x' }),
      get('/a.txt', { Authorization: 'Basic' }),
      get('/a.txt', { Authorization: 'basic YW5uYTpzZWNyZXQ=' }),
      get('/a.txt', { Authorization: 'Basic !!!' }),
      get('/nofile/', basic('anna:secret')),
      ask('HEAD', '/a.txt'),
    ],
  },
  {
    name: 'hashes of every kind',
    conf: server('auth_basic r; auth_basic_user_file {{files}}/htpasswd.more; location / { proxy_pass http://{{a}}; }'),
    requests: ['cleo', 'dora', 'emil', 'finn'].flatMap((user) => [
      get('/', basic(`${user}:secret`)),
      get('/', basic(`${user}:wrong`)),
      get('/', basic(`${user}:`)),
    ]),
  },
  {
    name: 'limit_req delays some, lets others through at once and turns the rest away',
    conf: `limit_req_zone $arg_k zone=quick:1m rate=20r/s; limit_req_zone $arg_k zone=slow:1m rate=2r/m; ${server(`
      location /delayed { limit_req zone=quick burst=5; proxy_pass http://{{a}}; }
      location /some { limit_req zone=slow burst=2 delay=2; proxy_pass http://{{a}}; }
      location /both { limit_req zone=quick burst=5 nodelay; limit_req zone=slow burst=1 nodelay; limit_req_status 429; proxy_pass http://{{a}}; }`)}`,
    requests: ['/delayed?k=1', '/some?k=2', '/both?k=3'].flatMap((path) => gets(path, path, path, path)),
  },
  {
    name: 'ip_hash by the address of a trusted header',
    conf: `upstream h { ip_hash; server {{a}}; server {{b}}; server {{c}}; }
      ${server('set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; location / { proxy_pass http://h; }')}`,
    requests: ['1.2.3.4', '1.2.3.99', '9.8.7.6', '200.1.2.3', '2001:db8::1', '2001:db8::2', '2001:db8:1:2::3', 'fe80::1'].map((value) =>
      get('/', { 'X-Forwarded-For': value }),
    ),
  },
  {
    name: 'satisfy any and all',
    conf: server(`
      auth_basic r; auth_basic_user_file {{files}}/htpasswd;
      location /any/ { satisfy any; allow 127.0.0.1; deny all; proxy_pass http://{{a}}; }
      location /any2/ { satisfy any; deny all; proxy_pass http://{{a}}; }
      location /all/ { satisfy all; allow 127.0.0.1; deny all; proxy_pass http://{{a}}; }
      location /all2/ { satisfy all; deny all; proxy_pass http://{{a}}; }`),
    requests: ['/any/', '/any2/', '/all/', '/all2/'].flatMap((path) => [
      get(path),
      get(path, basic('anna:secret')),
      get(path, basic('anna:wrong')),
    ]),
  },
  {
    name: 'limit_except',
    conf: server(`
      location /g/ { limit_except GET { deny all; } proxy_pass http://{{a}}; }
      location /gp/ { limit_except GET POST { auth_basic r; auth_basic_user_file {{files}}/htpasswd; } proxy_pass http://{{a}}; }
      location /all/ { limit_except GET { allow 127.0.0.1; deny all; } proxy_pass http://{{a}}; }`),
    requests: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']
      .flatMap((method) => ['/g/', '/gp/', '/all/'].map((path) => ask(method, path, method === 'POST' ? { body: 'x' } : {})))
      .concat(ask('PUT', '/gp/', { headers: basic('anna:secret') })),
  },
  {
    name: 'auth_request',
    conf: server(`
      error_page 401 = @login;
      location @login { return 302 /login?to=$request_uri; }
      location / { auth_request /auth; auth_request_set $user $upstream_http_x_user; proxy_set_header X-User $user; add_header X-User-Was $user; proxy_pass http://{{a}}; }
      location /plain/ { auth_request off; proxy_pass http://{{a}}; }
      location = /auth { internal; proxy_pass http://{{b}}/check; proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header X-Original-URI $request_uri; }
      location /ret/ { auth_request /deny; proxy_pass http://{{a}}; }
      location = /deny { return 403; }
      location /ok/ { auth_request /yes; proxy_pass http://{{a}}; }
      location = /yes { return 204; }`),
    requests: [
      get(
        '/x?y=1',
        want({
          at: 'b',
          status: 200,
          headers: [
            ['X-User', 'anna'],
            ['Content-Type', 'text/plain'],
          ],
        }),
      ),
      get('/x', want({ at: 'b', status: 401, headers: [['WWW-Authenticate', 'Basic realm="b"']] })),
      get('/x', want({ at: 'b', status: 403 })),
      get('/x', want({ at: 'b', status: 500 })),
      get('/x', want({ at: 'b', status: 302 })),
      get('/x', want({ at: 'b', status: 204 })),
      get('/plain/x'),
      get('/ret/x'),
      get('/ok/x'),
      get('/auth'),
      post('/x', 'the body', want({ at: 'b', status: 204 })),
    ],
  },
  {
    name: 'limit_req turns away what is over the rate',
    conf: `limit_req_zone $binary_remote_addr zone=slow:1m rate=1r/m; limit_req_zone $arg_k zone=key:1m rate=1r/m; ${server(`
      root {{files}};
      location /one { limit_req zone=slow; alias {{files}}/a.txt; }
      location /burst { limit_req zone=key burst=2 nodelay; proxy_pass http://{{a}}; }
      location /status { limit_req zone=key; limit_req_status 429; proxy_pass http://{{a}}; }
      location /ret { limit_req zone=slow; return 200 r; }`)}`,
    requests: gets(
      '/one',
      '/one',
      '/ret',
      '/ret',
      '/burst?k=1',
      '/burst?k=1',
      '/burst?k=1',
      '/burst?k=1',
      '/burst?k=2',
      '/burst',
      '/burst',
      '/burst',
      '/burst',
      '/status?k=s',
      '/status?k=s',
      '/status?k=t',
    ),
  },
  {
    name: 'limit_conn lets single requests through',
    conf: `limit_conn_zone $binary_remote_addr zone=c:1m; ${server('limit_conn c 1; location / { proxy_pass http://{{a}}; }')}`,
    requests: gets('/1', '/2'),
  },
  {
    name: 'real_ip believes trusted proxies',
    allow: { empty: ['GET / {"X-Forwarded-For":""}'] },
    conf: server(`
      set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;
      location / { add_header X-Addr "$remote_addr|$realip_remote_addr" always; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_pass http://{{a}}; }
      location /deny { deny 9.9.9.9; proxy_pass http://{{a}}; }`),
    requests: [
      '1.2.3.4',
      '1.2.3.4, 10.0.0.1',
      '1.2.3.4, 5.6.7.8, 10.1.1.1',
      '10.0.0.1',
      'nonsense',
      '1.2.3.4, nonsense',
      '::1',
      '2001:db8::1',
      '1.2.3.4:5678',
      '[2001:db8::1]:80',
      ' 1.2.3.4 ',
      '',
    ]
      .map((value) => get('/', { 'X-Forwarded-For': value }))
      .concat(get('/'), get('/deny', { 'X-Forwarded-For': '9.9.9.9' })),
  },
  {
    name: 'real_ip without recursion, by another header',
    conf: server('set_real_ip_from 127.0.0.0/8; location / { add_header X-Addr $remote_addr; proxy_pass http://{{a}}; }'),
    requests: [get('/', { 'X-Real-IP': '1.2.3.4' }), get('/', { 'X-Forwarded-For': '1.2.3.4' }), get('/', { 'X-Real-IP': 'x' })],
  },
  {
    name: 'access logs',
    conf: `log_format own '$remote_addr "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time $host $uri|$args|$upstream_addr|$upstream_status|$sent_http_content_type';
      log_format js escape=json '{"ua":"$http_user_agent","uri":"$uri"}';
      log_format none escape=none '$http_user_agent';
      map $status $loggable { ~^[23] 0; default 1; }
      ${server(`
      access_log {{logs}}/own.log own;
      access_log {{logs}}/js.log js;
      access_log {{logs}}/none.log none;
      root {{files}};
      location / { }
      location /off/ { access_log off; return 200 x; }
      location /if/ { access_log {{logs}}/if.log own if=$loggable; try_files $uri =404; }
      location /comb/ { access_log {{logs}}/comb.log combined; return 204; }
      location /p/ { proxy_pass http://{{a}}; }`)}`,
    logs: ['own.log', 'js.log', 'none.log', 'if.log', 'comb.log'],
    requests: [
      ...gets('/a.txt', '/none', '/off/', '/if/none', '/comb/', '/p/x?y=1'),
      get('/a.txt', { 'User-Agent': 'a "quoted" \\ agent', Referer: 'http://x/y?z' }),
      get('/a.txt', { 'User-Agent': 'tab\tand \xc3\xbc' }),
      post('/p/x', 'body'),
      ask('HEAD', '/a.txt'),
      get('/a.txt', { Range: 'bytes=0-3' }),
      get('/%20x'),
    ],
  },
  {
    name: 'access logs with many variables',
    conf: `log_format many '$scheme|$server_name|$server_port|$request_method|$request_uri|$uri|$document_uri|$args|$is_args|$query_string|$arg_x|$cookie_c|$http_x_own|$content_length|$content_type|$host|$http_host|$hostname|$https|$server_protocol|$status|$request_length|$request_completion|$remote_user|$pipe|$sent_http_x_sent|$upstream_http_x_up|$upstream_status|$proxy_host|$proxy_add_x_forwarded_for|$mine';
      ${server(`
      server_name site.example; access_log {{logs}}/many.log many; root {{files}}; set $mine m$arg_x;
      location / { add_header X-Sent s; }
      location ~ ^/r/(.*)$ { return 302 /to/$1; }
      location /p/ { proxy_pass http://{{a}}; }`)}`,
    logs: ['many.log'],
    requests: [
      ...gets('/a.txt?x=1', '/r/abc', '/dir/'),
      get('/a.txt', { Cookie: 'c=7', 'X-Own': 'o' }),
      post('/p/x?x=2', 'body', { 'Content-Type': 'a/b' }),
    ],
  },
  {
    name: 'stub_status',
    conf: server('location /status { stub_status; }'),
    requests: [ask('POST', '/status', { body: 'x' })],
  },
];
