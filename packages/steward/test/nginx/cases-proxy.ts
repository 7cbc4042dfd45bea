/** proxy_pass and what shapes the request, the answer and the choice of a server. */
import { ask, type Case, get, gets, type Headers, pipeline, post, server, type Wanted, want } from './requests.ts';

const paths = [
  '/x/',
  '/x/a',
  '/x/a%20b',
  '/x/a%2Fb',
  '/x/a//b',
  '/x/a/../b',
  '/x/a?q=1',
  '/x/?',
  '/x/%C3%BC',
  '/x/a+b',
  '/x/%7Ea',
  '/x/a%3Fb?c',
  "/x/a'b",
  '/x/a|b',
];

/** The same on a connection that ends with it: none is kept, as none is in nginx without `keepalive`. */
const closing = (wanted: Wanted): Headers => want({ ...wanted, headers: [['Connection', 'close']] });

export const proxyCases: readonly Case[] = [
  {
    name: 'proxy_pass without a path keeps what was sent',
    conf: server('location /x/ { proxy_pass http://{{a}}; }'),
    requests: gets(...paths),
  },
  {
    name: 'proxy_pass with a path replaces the prefix',
    conf: server('location /x/ { proxy_pass http://{{a}}/y/; }'),
    requests: gets(...paths, '/x'),
  },
  {
    name: 'proxy_pass with a bare slash',
    conf: server('location /x { proxy_pass http://{{a}}/; }'),
    requests: gets('/x', '/x/', '/xyz', '/x/a', '/x?q'),
  },
  {
    name: 'proxy_pass with the path / in location /',
    conf: server('location / { proxy_pass http://{{a}}/; }'),
    requests: gets('/', '/a%2Fb', '//a', '/a%20b?x=%20', '/a/../b', '/?q'),
  },
  {
    name: 'proxy_pass with a path and a query',
    conf: server('location /x/ { proxy_pass http://{{a}}/y?own=1; }'),
    requests: gets('/x/', '/x/a', '/x/a?q=1'),
  },
  {
    name: 'proxy_pass in exact, regular and named locations, over unix sockets too',
    conf: server(`
      location = /e { proxy_pass http://{{a}}/exact; }
      location ~ ^/r/(.*) { proxy_pass http://{{b}}; }
      location /u/ { proxy_pass http://{{c}}; }
      location /s/ { proxy_pass http://{{d}}:/sock/; }
      location /n { try_files /nothing @n; }
      location @n { proxy_pass http://{{a}}; }`),
    requests: gets('/e', '/e?q', '/r/a%20b', '/r/a//b', '/u/x', '/s/x%20y', '/s/a?b', '/n/x?y=1'),
  },
  {
    name: 'proxy_pass with variables',
    conf: `upstream app { server {{a}}; } ${server(`
      set $path /fixed;
      location /host { set $up {{a}}; proxy_pass http://$up; }
      location /whole { proxy_pass http://{{a}}$request_uri; }
      location /uri { proxy_pass http://{{a}}$uri; }
      location /args { proxy_pass http://{{a}}/p$is_args$args; }
      location /up { set $name app; proxy_pass http://$name; }
      location /upp { set $name app; proxy_pass http://$name/q; }
      location /set { proxy_pass http://app$path?x=$arg_x; }
      location ~ ^/re/(\\w+)/(.*)$ { proxy_pass http://{{b}}/$1-$2$is_args$args; }
      location /url { set $url http://{{b}}/deep; proxy_pass $url; }
      location /rw { rewrite ^/rw/(.*) /y/$1 break; proxy_pass http://$host_up; set $host_up {{a}}; }
      location /scheme { proxy_pass $scheme://{{a}}; }`)}`,
    requests: gets(
      '/host/x%20y?q',
      '/whole/a%2Fb?c',
      '/uri/ab?c',
      '/args?a=b',
      '/args',
      '/up/x?y',
      '/upp/x?y',
      '/set?x=1',
      '/re/one/two?q=1',
      '/url/x',
      '/scheme/x',
    ),
  },
  {
    name: 'request headers by default and set, removed and inherited',
    conf: server(`
      proxy_set_header X-Server "s $host";
      location /default { proxy_pass http://{{a}}; proxy_set_header X-None ""; }
      location /inherit { proxy_pass http://{{a}}; }
      location /own {
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header Accept-Encoding "";
        proxy_set_header X-Twice one;
        proxy_set_header X-Twice two;
        proxy_set_header X-Empty $arg_none;
        proxy_set_header User-Agent "own $http_user_agent";
        proxy_pass http://{{a}};
      }
      location /hh { proxy_set_header Host $http_host; proxy_pass http://{{a}}; }
      location /hp { proxy_set_header Host $host:$server_port; proxy_pass http://{{a}}; }
      location /hproxy { proxy_set_header X-P "$proxy_host $proxy_port"; proxy_pass http://{{a}}; }
      location /off { proxy_pass_request_headers off; proxy_pass http://{{a}}; }
      location /body { proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_pass http://{{a}}; }
      location /method { proxy_method POST; proxy_pass http://{{a}}; }`),
    allow: { named: ['GET /default {"TE":"trailers"'] },
    requests: [
      ...gets('/default', '/inherit', '/own', '/hh', '/hp', '/hproxy', '/off', '/method'),
      get('/default', {
        'Accept-Encoding': 'gzip',
        Accept: '*/*',
        Cookie: 'a=b',
        'X-Forwarded-For': '1.2.3.4',
        'User-Agent': 'me',
        Referer: 'x',
      }),
      get('/own', {
        'Accept-Encoding': 'gzip',
        'X-Forwarded-For': '1.2.3.4',
        'User-Agent': 'me',
        'x-twice': 'client',
        'X-Empty': 'client',
      }),
      get('/off', { Accept: 'a', Cookie: 'b' }),
      get('/default', { TE: 'trailers', 'Keep-Alive': '300', Connection: 'keep-alive, X-Hop', 'X-Hop': '1' }),
      get('/default', { X_Under: '1', 'X-Ok': '2' }),
      get('/default', { 'X-Bad Name': '1' }),
      get('/default', { Expect: '' }),
      get('/hh', { Host: 'Some.Example:99' }),
      get('/own', { Host: 'Some.Example:99' }),
      post('/body', 'the body'),
      post('/default', 'the body', { 'Content-Type': 'text/plain' }),
      ask('PUT', '/default', { body: 'x'.repeat(20_000) }),
      ask('DELETE', '/default'),
      ask('OPTIONS', '/default'),
      ask('PATCH', '/default', { body: '{}' }),
    ],
  },
  {
    name: 'answers are passed on, but for headers that are hidden or added',
    conf: server(`
      proxy_hide_header X-Secret;
      add_header X-Added yes;
      add_header X-Always always always;
      location / { proxy_pass http://{{a}}; }
      location /own { proxy_hide_header X-Other; proxy_pass_header Server; proxy_pass http://{{a}}; add_header X-Up $upstream_http_x_value; add_header X-Status $upstream_status always; }`),
    requests: [
      get(
        '/',
        want({
          headers: [
            ['X-Secret', '1'],
            ['X-Other', '2'],
            ['Content-Type', 'text/plain'],
            ['X-Added', 'upstream'],
          ],
        }),
      ),
      get(
        '/own',
        want({
          headers: [
            ['X-Secret', '1'],
            ['X-Other', '2'],
            ['X-Value', 'v'],
            ['Content-Type', 'text/plain; charset=x'],
          ],
        }),
      ),
      ...[201, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 418, 500, 503].map((status) =>
        get('/own', want({ status, headers: [['X-Value', 'v']] })),
      ),
      get(
        '/',
        want({
          headers: [
            ['Set-Cookie', 'a=1'],
            ['Set-Cookie', 'b=2'],
            ['Cache-Control', 'no-store'],
            ['Cache-Control', 'private'],
          ],
        }),
      ),
      get(
        '/',
        want({
          headers: [
            ['X-Accel-Expires', '1'],
            ['X-Accel-Buffering', 'no'],
            ['X-Ok', '1'],
          ],
        }),
      ),
      get('/', want({ status: 200, headers: [['Transfer-Encoding', 'chunked']], body: 'chunks' })),
      get('/', want({ status: 200, headers: [['Transfer-Encoding', 'chunked']], body: 'chunks' }), { version: '1.0' }),
      get(
        '/',
        want({
          headers: [
            ['ETag', '"x"'],
            ['Last-Modified', 'Sun, 01 Jun 2025 12:00:00 GMT'],
          ],
        }),
      ),
      get('/', want({ headers: [['Location', '/only-with-200']] })),
      ask('HEAD', '/', { headers: want({ body: 'twelve bytes' }) }),
      get(
        '/',
        want({
          status: 401,
          headers: [
            ['WWW-Authenticate', 'Basic realm="x"'],
            ['WWW-Authenticate', 'Bearer'],
          ],
        }),
      ),
      get(
        '/',
        want({
          status: 200,
          headers: [
            ['Content-Encoding', 'identity'],
            ['Link', '</x>; rel=preload'],
          ],
        }),
      ),
    ],
  },
  {
    name: 'X-Accel-Redirect sends to an internal location',
    conf: server(`
      root {{files}};
      location / { proxy_pass http://{{a}}; }
      location /static/ { internal; add_header X-Static yes; }
      location @named { return 200 "named $uri\\n"; }`),
    requests: [
      get(
        '/x',
        want({
          headers: [
            ['X-Accel-Redirect', '/static/a.txt'],
            ['Content-Type', 'text/x-own'],
            ['Set-Cookie', 'a=b'],
            ['Cache-Control', 'no-cache'],
            ['X-Lost', '1'],
          ],
        }),
      ),
      get('/x', want({ headers: [['X-Accel-Redirect', '/static/none']] })),
      get('/x', want({ headers: [['X-Accel-Redirect', '@named']] })),
      get('/static/a.txt'),
      ask('POST', '/x', { body: 'y', headers: want({ headers: [['X-Accel-Redirect', '/static/a.txt']] }) }),
    ],
  },
  {
    name: 'redirects of upstreams are rewritten',
    conf: `upstream app { server {{a}}; } ${server(`
      location /one/ { proxy_pass http://app/two/; }
      location /keep/ { proxy_pass http://app; }
      location /off/ { proxy_pass http://app/two/; proxy_redirect off; }
      location /own/ { proxy_pass http://app; proxy_redirect http://a.example/ /own/; proxy_redirect ~^http://([^/]+)/re/(.*)$ /re/$1/$2; proxy_redirect default; }
      location /var/ { proxy_pass http://app; proxy_redirect http://$host/ https://$host/; }
      location /case/ { proxy_pass http://app; proxy_redirect ~*^HTTP://Case/ /lower/; }`)}`,
    requests: [
      ...['http://app/two/x', 'http://app/other', '/relative', 'http://app/two', 'http://else/', '?q', '//app/two/x', 'x'].map((to) =>
        get('/one/y', want({ status: 302, headers: [['Location', to]] })),
      ),
      ...['http://app/x', 'http://app', '/x'].map((to) => get('/keep/y', want({ status: 301, headers: [['Location', to]] }))),
      get('/off/y', want({ status: 302, headers: [['Location', 'http://app/two/x']] })),
      ...['http://a.example/x', 'http://b.example/re/z', 'http://app/q', 'https://a.example/x'].map((to) =>
        get('/own/y', want({ status: 302, headers: [['Location', to]] })),
      ),
      get('/var/', want({ status: 302, headers: [['Location', 'http://localhost/x']] })),
      get('/case/', want({ status: 302, headers: [['Location', 'http://case/x']] })),
      get('/one/y', want({ status: 200, headers: [['Refresh', '5; url=http://app/two/r']] })),
      get('/one/y', want({ status: 201, headers: [['Location', 'http://app/two/new']] })),
    ],
  },
  {
    name: 'cookies of upstreams are rewritten',
    conf: server(`
      location /d/ { proxy_pass http://{{a}}; proxy_cookie_domain internal.example $host; proxy_cookie_domain ~\\.([a-z]+)\\.lan$ $1.example.com; }
      location /p/ { proxy_pass http://{{a}}; proxy_cookie_path /app/ /; proxy_cookie_path ~^/re/(\\w+) /x/$1; }
      location /off/ { proxy_pass http://{{a}}; proxy_cookie_path off; }`),
    requests: [
      ...[
        'a=1; Domain=internal.example',
        'a=1; Domain=.internal.example; Path=/app/x',
        'a=1; domain=INTERNAL.example',
        'a=1; Domain=x.shop.lan',
        'a=1',
      ].map((cookie) => get('/d/', want({ headers: [['Set-Cookie', cookie]] }))),
      ...['a=1; Path=/app/x', 'a=1; path=/app/; HttpOnly', 'a=1; Path=/re/yy/z; Secure', 'a=1; Path=/', 'a=1;Path=/app/'].map((cookie) =>
        get('/p/', want({ headers: [['Set-Cookie', cookie]] })),
      ),
      get('/off/', want({ headers: [['Set-Cookie', 'a=1; Path=/app/']] })),
    ],
  },
  {
    name: 'errors of upstreams are replaced only with proxy_intercept_errors',
    allow: { kept: ['a dropped GET'] },
    conf: server(`
      root {{files}};
      error_page 404 /errors/404.html;
      error_page 500 502 503 /errors/50x.html;
      location / { proxy_pass http://{{a}}; }
      location /i/ { proxy_pass http://{{a}}; proxy_intercept_errors on; }
      location /down/ { proxy_pass http://127.0.0.1:1; }
      location /errors/ { }`),
    requests: [
      ...[404, 500, 503, 200, 403].flatMap((status) => [
        get('/x', want({ status, body: 'upstream\n' })),
        get('/i/x', want({ status, body: 'upstream\n' })),
      ]),
      get('/down/'),
      get('/x', want({ drop: true }), { name: 'a dropped GET' }),
      ask('POST', '/i/x', { body: 'b', headers: want({ status: 404 }) }),
    ],
  },
  {
    name: 'requests go round by weight',
    conf: `upstream app { server {{a}} weight=3; server {{b}}; server {{c}} weight=2; } ${server('location / { proxy_pass http://app; }')}`,
    requests: gets(...Array.from({ length: 14 }, (_, n) => `/${n}`)),
  },
  {
    name: 'a server that is down or a backup gets nothing while others answer',
    conf: `upstream app { server {{a}} down; server {{b}}; server {{c}} backup; } upstream gone { server 127.0.0.1:1; server {{c}} backup; } ${server('location / { proxy_pass http://app; } location /g { proxy_pass http://gone; }')}`,
    requests: gets('/1', '/2', '/3', '/g1', '/g2', '/g3'),
  },
  {
    name: 'a failed server is passed over, and taken out by max_fails',
    conf: `upstream app { server 127.0.0.1:1 max_fails=2 fail_timeout=60s; server {{a}}; }
      upstream all { server 127.0.0.1:1; server 127.0.0.1:2; }
      upstream status { server {{a}} max_fails=0; server {{b}} max_fails=0; }
      ${server(`
      location / { proxy_pass http://app; add_header X-Tried "$upstream_addr|$upstream_status" always; }
      location /all { proxy_pass http://all; }
      location /s { proxy_pass http://status; proxy_next_upstream error timeout http_503 http_404; add_header X-Tried $upstream_status always; }
      location /off { proxy_pass http://status; proxy_next_upstream off; }
      location /non { proxy_pass http://status; proxy_next_upstream error http_503 non_idempotent; add_header X-Tried $upstream_status always; }
      location /one { proxy_pass http://status; proxy_next_upstream http_503; proxy_next_upstream_tries 1; add_header X-Tried $upstream_status always; }`)}`,
    requests: [
      ...gets('/1', '/2', '/3', '/4', '/5', '/6', '/all', '/all'),
      post('/p', 'body'),
      get('/s', closing({ status: 503, at: 'a' })),
      get('/s', closing({ status: 503, at: 'b' })),
      get('/s', closing({ status: 404 })),
      get('/s', closing({ status: 500 })),
      post('/s', 'x', closing({ status: 503, at: 'a' })),
      post('/s', 'x', closing({ status: 503, at: 'b' })),
      get('/off', closing({ drop: true, at: 'a' })),
      get('/off', closing({ drop: true, at: 'b' })),
      post('/non', 'x', closing({ status: 503, at: 'a' })),
      post('/non', 'x', closing({ status: 503, at: 'b' })),
      get('/one', closing({ status: 503 })),
      get('/s', closing({ drop: true, at: 'a' })),
      get('/s', closing({ drop: true, at: 'b' })),
    ],
  },
  {
    name: 'hash, consistent hash and ip_hash choose the same server as nginx',
    conf: `upstream h { hash $arg_k; server {{a}}; server {{b}}; server {{c}} weight=2; }
      upstream hc { hash $arg_k consistent; server 127.0.0.1:1 down; server {{c}}; server {{d}}; }
      upstream ip { ip_hash; server {{a}}; server {{b}}; server {{c}}; }
      upstream lc { least_conn; server {{a}}; server {{b}} weight=2; }
      ${server('location /h { proxy_pass http://h; } location /hc { proxy_pass http://hc; } location /ip { proxy_pass http://ip; } location /lc { proxy_pass http://lc; }')}`,
    requests: gets(
      ...['', '1', '2', '3', 'abc', 'x', 'y', 'zz', 'long-key-of-a-client'].map((k) => `/h?k=${k}`),
      '/ip',
      '/ip',
      '/lc',
      '/lc',
      '/lc',
      '/lc',
    ),
  },
  {
    name: 'timeouts and broken upstreams',
    allow: { kept: ['a dropped GET'] },
    conf: server(`
      location / { proxy_pass http://{{a}}; proxy_read_timeout 300ms; }
      location /refused { proxy_pass http://127.0.0.1:1; }
      location /nosock { proxy_pass http://unix:/nowhere.sock; }`),
    requests: [
      get('/', want({ afterMs: 900 })),
      get('/', want({ afterMs: 50 })),
      get('/refused'),
      get('/nosock'),
      get('/', want({ drop: true }), { name: 'a dropped GET' }),
      post('/', 'x', want({ drop: true })),
    ],
  },
  {
    name: 'bodies are handed on, chunked ones too, up to client_max_body_size',
    conf: server(`
      client_max_body_size 1k;
      location / { proxy_pass http://{{a}}; }
      location /big { client_max_body_size 0; proxy_pass http://{{a}}; }
      location /ret { return 200 "r\\n"; }`),
    requests: [
      post('/', 'x'.repeat(1024)),
      post('/', 'x'.repeat(1025)),
      post('/big', 'x'.repeat(200_000)),
      post('/ret', 'x'.repeat(2000)),
      post('/', '5\r\nhello\r\n0\r\n\r\n', { 'Transfer-Encoding': 'chunked' }),
      post('/', `${(2000).toString(16)}\r\n${'y'.repeat(2000)}\r\n0\r\n\r\n`, { 'Transfer-Encoding': 'chunked' }),
      post('/big', `${(2000).toString(16)}\r\n${'y'.repeat(2000)}\r\n0\r\n\r\n`, { 'Transfer-Encoding': 'chunked' }),
      post('/', '', { 'Content-Length': '0' }),
      get('/', { 'Content-Length': '3' }, { body: 'abc' }),
      pipeline(post('/', 'abc'), get('/2'), post('/ret', 'x')),
    ],
  },
  {
    name: 'buffering on and off give the same answer',
    conf: server('location / { proxy_pass http://{{c}}; } location /off { proxy_buffering off; proxy_pass http://{{c}}; }'),
    requests: ['/', '/off'].flatMap((path) => [
      get(path, want({ body: 'z'.repeat(3000) })),
      get(path, want({ status: 206, headers: [['Content-Range', 'bytes 0-1/9']], body: 'zz' })),
    ]),
  },
  {
    name: 'websockets',
    conf: server(`
      location /ws { proxy_pass http://{{a}}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $host; add_header X-Added yes; }
      location /sock { proxy_pass http://{{c}}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }`),
    requests: ['/ws', '/ws/x%20y?z=1', '/sock'].map((path) =>
      get(path, {
        Upgrade: 'websocket',
        Connection: 'Upgrade',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Protocol': 'chat',
      }),
    ),
  },
];
