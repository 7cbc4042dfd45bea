/** What lies below and around HTTP: TLS on both sides, PROXY protocol, changed protocols, broken answers, headers of answers. */
import { ask, type Case, get, gets, pipeline, post, raw, server, want } from './requests.ts';
import type { Sent } from './wire.ts';

const cert = (name: string): string => `ssl_certificate {{tls}}/${name}.crt; ssl_certificate_key {{tls}}/${name}.key;`;
const overTls = (sent: Sent, shows?: string): Sent => ({
  ...sent,
  name: `${sent.name} with ${shows ?? 'no certificate'}`,
  tls: { servername: 'one.example', ALPNProtocols: ['http/1.1'] },
  ...(shows !== undefined && { shows }),
});

const behind = (header: string | Buffer, name: string, sent: Sent): Sent => ({
  ...sent,
  name: `${name}, ${sent.name}`,
  bytes: Buffer.concat([Buffer.from(header), sent.bytes]),
});

/** Version 2 of the PROXY protocol, for TCP over IPv4. */
const binaryHeader = Buffer.concat([
  Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a, 0x21, 0x11, 0, 12]),
  Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 80]),
]);

const webSocket = {
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Version': '13',
};
const echoing = (sent: Sent, text: string): Sent => ({ ...sent, name: `${sent.name} and an echo`, echo: Buffer.from(text) });

export const transportCases: readonly Case[] = [
  {
    name: 'addresses worked out for a request, whole and broken ones',
    conf: `upstream app { server {{a}}; } ${server(`
      location /empty { set $none ""; proxy_pass http://$none; }
      location /scheme { set $to ftp://{{a}}/; proxy_pass $to; }
      location /unix { set $to http://{{c}}:/deep/x; proxy_pass $to; }
      location /query { set $to http://{{a}}?own=1; proxy_pass $to; }
      location /host { set $to http://app; proxy_pass $to; proxy_set_header X-Proxy "$proxy_host $proxy_port"; }
      location /slash { set $to app; proxy_pass http://$to/; }
      location /broken { rewrite ^/broken/(.*)$ /new/$1 break; set $to app; proxy_pass http://$to; }
      location /args { set $args own=2; proxy_pass http://app; }
      location /argspath/ { set $args own=2; proxy_pass http://app/p/; }`)}`,
    requests: gets(
      '/empty',
      '/scheme',
      '/unix?q=1',
      '/query?q=1',
      '/host/x%20y?q',
      '/slash/x?y',
      '/broken/a%20b?',
      '/args?q=1',
      '/args//b?q',
      '/argspath/a?q=1',
    ),
  },
  {
    name: 'upstreams over TLS, with their certificates checked or not',
    conf: `upstream safe { server {{e}}; } upstream good { server {{e}}; } upstream other { server {{e}}; } upstream another { server {{e}}; } ${server(`
      location / { proxy_pass https://{{e}}; }
      location /name/ { proxy_pass https://safe/x/; proxy_ssl_server_name on; proxy_set_header Host $host; }
      location /good/ { proxy_pass https://good; proxy_ssl_verify on; proxy_ssl_trusted_certificate {{tls}}/one.example.crt; proxy_ssl_name one.example; proxy_ssl_server_name on; }
      location /othername/ { proxy_pass https://other; proxy_ssl_verify on; proxy_ssl_trusted_certificate {{tls}}/one.example.crt; proxy_ssl_name two.example; }
      location /otherca/ { proxy_pass https://another; proxy_ssl_verify on; proxy_ssl_trusted_certificate {{tls}}/two.example.crt; proxy_ssl_name one.example; }
      location /plain/ { proxy_pass https://{{a}}; }
      location /var/ { set $to https://safe; proxy_pass $to; }`)}`,
    requests: [...gets('/a', '/a', '/name/y?z', '/good/', '/good/', '/othername/', '/otherca/', '/plain/', '/var/q?r'), post('/p', 'body')],
  },
  {
    name: 'PROXY protocol names the client',
    conf: `server { listen 127.0.0.1:{{port}} proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
        location / { return 200 "$remote_addr|$proxy_protocol_addr|$proxy_protocol_port|$realip_remote_addr\\n"; }
        location /p { proxy_pass http://{{a}}; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } }
      server { listen 127.0.0.1:{{port2}} proxy_protocol; location / { return 200 "$remote_addr|$proxy_protocol_addr\\n"; } }
      server { listen 127.0.0.1:{{port3}} ssl proxy_protocol; ${cert('one.example')} location / { return 200 "$scheme\\n"; } }`,
    requests: [
      behind('PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n', 'version 1', get('/')),
      behind('PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n', 'IPv6', get('/')),
      behind('PROXY UNKNOWN\r\n', 'unknown', get('/')),
      behind('PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n', 'version 1', pipeline(get('/'), get('/p', { 'X-Forwarded-For': '1.1.1.1' }))),
      behind(binaryHeader, 'version 2', get('/')),
      { ...behind('PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n', 'untrusted', get('/')), port: 2 },
      raw('nothing before it', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      raw('a wrong header', 'PROXY nonsense\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    ],
  },
  {
    name: 'websockets carry bytes both ways',
    conf: server(`
      location /ws { proxy_pass http://{{a}}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }
      location /not { proxy_pass http://{{a}}; }
      location /text { return 200 "no\\n"; }
      location /denied { deny all; proxy_pass http://{{a}}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }`),
    requests: [
      echoing(get('/ws', webSocket), 'hello'),
      echoing(get('/ws', webSocket), 'x'.repeat(100_000)),
      get('/denied', webSocket),
      get('/text', webSocket),
      get('/ws'),
    ],
  },
  {
    name: 'clients show certificates',
    conf: `server { listen 127.0.0.1:{{port}} ssl; server_name one.example; ${cert('one.example')} ssl_client_certificate {{tls}}/client.crt; ssl_verify_client on; location / { return 200 "$ssl_client_verify|$ssl_client_s_dn|$ssl_client_i_dn\\n"; } location /p { proxy_pass http://{{a}}; proxy_set_header X-Client $ssl_client_s_dn; proxy_set_header X-Verify $ssl_client_verify; } }
      server { listen 127.0.0.1:{{port2}} ssl; server_name one.example; ${cert('one.example')} ssl_client_certificate {{tls}}/client.crt; ssl_verify_client optional; location / { return 200 "$ssl_client_verify|$ssl_client_s_dn\\n"; } location /only { if ($ssl_client_verify != SUCCESS) { return 403; } return 200 "in\\n"; } }`,
    requests: [
      overTls(get('/'), 'client'),
      overTls(get('/p'), 'client'),
      overTls(get('/')),
      overTls(get('/'), 'two.example'),
      ...[undefined, 'client', 'two.example'].flatMap((shows) => [
        { ...overTls(get('/'), shows), port: 2 },
        { ...overTls(get('/only'), shows), port: 2 },
      ]),
    ],
  },
  {
    name: 'HTTP on a port with TLS has an error page of its own',
    conf: `server { listen 127.0.0.1:{{port}} ssl; ${cert('one.example')} error_page 497 =301 https://$host$request_uri; location / { return 200 "in\\n"; } }
      server { listen 127.0.0.1:{{port2}} ssl; ${cert('one.example')} location / { return 200 "in\\n"; } }`,
    requests: [
      get('/x?y=1'),
      { ...get('/x'), port: 2 },
      { ...pipeline(get('/1'), get('/2')), port: 2, methods: ['GET'] },
      { ...post('/x', 'body'), port: 2 },
    ],
  },
  {
    name: 'answers that break off are not taken for whole ones',
    conf: server(
      'location / { proxy_pass http://{{a}}; } location /off/ { proxy_pass http://{{a}}; proxy_buffering off; } location /gz/ { gzip on; gzip_min_length 1; gzip_types *; proxy_pass http://{{a}}; }',
    ),
    requests: ['/', '/off/', '/gz/'].flatMap((path) => [
      get(path, want({ half: true, body: 'h'.repeat(5000) })),
      get(path, want({ half: true, body: 'h'.repeat(5000), headers: [['Transfer-Encoding', 'chunked']] })),
      get(path, { ...want({ half: true, body: 'h'.repeat(5000) }), 'Accept-Encoding': 'gzip' }),
    ]),
  },
  {
    name: 'long headers of answers',
    conf: server(
      'proxy_buffer_size 32k; proxy_buffers 8 32k; proxy_busy_buffers_size 64k; location / { proxy_pass http://{{a}}; } location /kept/ { proxy_pass http://{{a}}; add_header X-Up $upstream_http_x_long always; }',
    ),
    requests: [100, 4000, 12_000, 30_000].flatMap((long) => ['/', '/kept/'].map((path) => get(path, want({ long })))),
  },
  {
    name: 'redirects to folders and of proxied locations keep port and query',
    allow: { location: ['/dir', '/dir?x=1', '/app', '/app?a=b'].map((path) => `without a port, ${path}`) },
    conf: `server { listen 127.0.0.1:{{port}}; server_name site.example; root {{files}}; location /app/ { proxy_pass http://{{a}}; } location /deny/ { deny all; proxy_pass http://{{a}}; } }
      server { listen 127.0.0.1:{{port2}}; root {{files}}; port_in_redirect off; location /app/ { proxy_pass http://{{a}}; } }
      server { listen 127.0.0.1:{{port3}}; root {{files}}; absolute_redirect off; server_name_in_redirect on; location /app/ { proxy_pass http://{{a}}; } }`,
    requests: [1, 2, 3].flatMap((port) =>
      [
        ...['/dir', '/app', '/dir?x=1', '/app?a=b'].map((path, n) =>
          get(
            path,
            { Host: n < 2 ? 'site.example' : 'other.example:99' },
            { name: port === 2 ? `without a port, ${path}` : `${path} at port ${port}` },
          ),
        ),
        ask('HEAD', '/dir'),
        ask('GET', '/dir', { version: '1.0', noHost: true }),
        get('/deny'),
      ].map((sent) => ({ ...sent, port })),
    ),
  },
  {
    name: 'intercepted errors in every form of error_page',
    allow: { streamed: ['POST /x {"X-Want":"{\\"status\\":404'] },
    conf: server(`
      root {{files}};
      proxy_intercept_errors on;
      location / { proxy_pass http://{{a}}; error_page 404 =200 /a.txt; error_page 500 = @other; error_page 502 503 =302 http://x.example/; error_page 401 /errors/404.html; error_page 418 =444 /none; error_page 403 = /say; error_page 410 /say; }
      location /errors/ { }
      location @other { proxy_pass http://{{b}}; }
      location = /say { return 207 "said $uri\\n"; }`),
    requests: [404, 500, 502, 503, 401, 403, 410, 429, 302].flatMap((status) => [
      get('/x?q=1', want({ status, at: 'a', body: 'own\n', headers: [['WWW-Authenticate', 'Basic realm="u"']] })),
      ask('HEAD', '/x', { headers: want({ status, at: 'a' }) }),
      post('/x', 'sent', want({ status, at: 'a' })),
    ]),
  },
  {
    name: 'X-Accel-Redirect in more forms',
    conf: server(`
      root {{files}};
      location / { proxy_pass http://{{a}}; add_header X-Outer yes; }
      location /to/ { internal; alias {{files}}/; }
      location /again/ { internal; proxy_pass http://{{b}}/deep/; }
      location /text { internal; return 200 "text $uri $args $upstream_http_x_own\\n"; }`),
    requests: [
      ...['/to/a.txt', '/to/none', '/to/dir/', '/again/x?y=1', '/text?a=b', '/to/sp%20ace.txt', '/to/../a.txt', '/outside', 'relative'].map(
        (to) =>
          get(
            '/x',
            want({
              at: 'a',
              headers: [
                ['X-Accel-Redirect', to],
                ['X-Own', 'own'],
              ],
            }),
          ),
      ),
      get('/x', want({ at: 'a', status: 404, headers: [['X-Accel-Redirect', '/to/a.txt']] })),
      get('/x', { ...want({ at: 'a', headers: [['X-Accel-Redirect', '/to/a.txt']] }), Range: 'bytes=0-3' }),
      get('/x', {
        ...want({
          at: 'a',
          headers: [
            ['X-Accel-Redirect', '/to/a.txt'],
            ['Content-Type', 'text/x-own'],
            ['Content-Disposition', 'attachment'],
            ['Last-Modified', 'Sun, 01 Jun 2025 12:00:01 GMT'],
            ['Expires', 'Thu, 01 Jan 1970 00:00:01 GMT'],
          ],
        }),
      }),
      ask('HEAD', '/x', { headers: want({ at: 'a', headers: [['X-Accel-Redirect', '/to/a.txt']] }) }),
    ],
  },
  {
    name: 'clients of HTTP/1.0 and HEAD',
    conf: server(
      'root {{files}}; location /p { proxy_pass http://{{a}}; } location /c { proxy_pass http://{{c}}; gzip on; gzip_min_length 1; gzip_http_version 1.0; } location /r { return 200 "r\\n"; } location /e { return 204; }',
    ),
    requests: ['/p', '/c', '/r', '/e', '/a.txt', '/none', '/dir/'].flatMap((path) => [
      ask('GET', path, { version: '1.0', name: `1.0 ${path}` }),
      ask('HEAD', path, { version: '1.0', name: `1.0 HEAD ${path}` }),
      ask('HEAD', path, { name: `HEAD ${path}` }),
      ask('GET', path, { version: '1.0', headers: { Connection: 'keep-alive' }, name: `1.0 kept ${path}` }),
      ask('GET', path, {
        version: '1.0',
        headers: { Connection: 'keep-alive', ...want({ headers: [['Transfer-Encoding', 'chunked']], body: 'chunks' }) },
        name: `1.0 chunks ${path}`,
      }),
      ask('HEAD', path, { headers: want({ headers: [['Transfer-Encoding', 'chunked']], body: 'chunks' }), name: `HEAD chunks ${path}` }),
    ]),
  },
  {
    name: 'cookies and redirects with variables and regular expressions',
    conf: `map $host $to_domain { default shop.example; } ${server(`
      location /d/ { proxy_pass http://{{a}}; proxy_cookie_domain ~^(.+)\\.local$ $1.example; proxy_cookie_domain .dot.example new.example; proxy_cookie_domain $host $to_domain; proxy_cookie_path ~*^/A(.*)$ /b$1; proxy_cookie_path /Case/ /c/; }
      location /r/ { proxy_pass http://{{a}}; proxy_redirect ~*^https?://[^/]+/(.+)$ /r/$1; }
      location /s/ { proxy_pass http://{{a}}; proxy_redirect / /s/; proxy_redirect http://$proxy_host/ $scheme://$http_host/s/; }`)}`,
    requests: [
      ...[
        'a=1; Domain=x.local',
        'a=1; Domain=dot.example',
        'a=1; Domain=.dot.example',
        'a=1;domain=LOCALHOST;secure',
        'a=1; Path=/a/x; Domain=.x.local; HttpOnly',
        'a=1; path=/Case/x',
        'a=1; path=/case/x',
        'a="x;Path=/a"; Path = /A',
        'a=1; Max-Age=5;; SameSite=Lax',
        'Path=/a; Domain=x.local',
      ].map((cookie) => get('/d/', want({ headers: [['Set-Cookie', cookie]] }))),
      ...['http://any/x', 'HTTPS://any/x/y?z', '/x', 'http://any/'].map((to) =>
        get('/r/', want({ status: 302, headers: [['Location', to]] })),
      ),
      ...['/x', 'x', 'http://other/x'].map((to) => get('/s/', want({ status: 302, headers: [['Location', to]] }))),
    ],
  },
];
