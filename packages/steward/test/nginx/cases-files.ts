/** Files: root, alias, index, try_files, ranges, conditions, types, compression, expires. */
import { ask, type Case, get, gets, server, want } from './requests.ts';

const types =
  'types { text/html html htm; text/css css; application/javascript js; application/json json; image/png png; text/plain txt; }';
const modified = 'Sun, 01 Jun 2025 12:00:00 GMT';

export const fileCases: readonly Case[] = [
  {
    name: 'files below a root',
    conf: server(`${types} root {{files}}; location / { }`),
    requests: [
      ...gets(
        '/',
        '/index.html',
        '/a.txt',
        '/b.html',
        '/empty.txt',
        '/noextension',
        '/app.js',
        '/style.css',
        '/data.json',
        '/image.png',
        '/sp%20ace.txt',
        '/%C3%BC.txt',
        '/plus+and%25percent.txt',
        '/dir',
        '/dir/',
        '/dir?x=1',
        '/dir/sub',
        '/dir/sub/',
        '/noindex/',
        '/noindex',
        '/emptydir/',
        '/none',
        '/none/',
        '/a.txt/',
        '/a.txt/x',
        '/link.txt',
        '/upper.HTML',
        '/dir/../a.txt',
        '/dir//b.txt',
        '/%61.txt',
        '/A.txt',
        '/long.txt',
      ),
      ask('HEAD', '/a.txt'),
      ask('HEAD', '/dir/'),
      ask('HEAD', '/none'),
      ask('POST', '/a.txt', { body: 'x' }),
      ask('PUT', '/a.txt', { body: 'x' }),
      ask('DELETE', '/a.txt'),
      ask('OPTIONS', '/a.txt'),
      ask('POST', '/dir/', { body: 'x' }),
      ask('GET', '/a.txt', { version: '1.0' }),
      ask('GET', '/a.txt', { body: 'x' }),
    ],
  },
  {
    name: 'ranges',
    conf: server(`${types} root {{files}};`),
    requests: [
      'bytes=0-3',
      'bytes=4-',
      'bytes=-3',
      'bytes=0-0',
      'bytes=0-999999',
      'bytes=9999-',
      'bytes=5-2',
      'bytes=x',
      'bytes=',
      'bytes=-0',
      'lines=0-1',
      'bytes=0-1,4-5',
      'bytes=0-1, 3-3',
      'Bytes=0-3',
      'bytes= 0-3',
    ]
      .map((Range) => get(Range.includes(',') ? '/none-of-it' : '/a.txt', { Range }))
      .concat(
        get('/long.txt', { Range: 'bytes=65530-' }),
        get('/a.txt', { Range: 'bytes=0-3', 'If-Range': modified }),
        get('/a.txt', { Range: 'bytes=0-3', 'If-Range': 'Sun, 01 Jun 2024 12:00:00 GMT' }),
        get('/a.txt', { Range: 'bytes=0-3', 'If-Range': '"x"' }),
        ask('HEAD', '/a.txt', { headers: { Range: 'bytes=0-3' } }),
        get('/empty.txt', { Range: 'bytes=0-' }),
        get('/empty.txt', { Range: 'bytes=-1' }),
      ),
  },
  {
    name: 'conditions',
    conf: server(`${types} root {{files}};`),
    requests: [
      get('/a.txt', { 'If-Modified-Since': modified }),
      get('/a.txt', { 'If-Modified-Since': 'Sun, 01 Jun 2024 12:00:00 GMT' }),
      get('/a.txt', { 'If-Modified-Since': 'Mon, 01 Jun 2026 12:00:00 GMT' }),
      get('/a.txt', { 'If-Modified-Since': 'nonsense' }),
      get('/a.txt', { 'If-Unmodified-Since': modified }),
      get('/a.txt', { 'If-Unmodified-Since': 'Sun, 01 Jun 2024 12:00:00 GMT' }),
      get('/a.txt', { 'If-None-Match': '*' }),
      get('/a.txt', { 'If-None-Match': '"x"' }),
      get('/a.txt', { 'If-Match': '*' }),
      get('/a.txt', { 'If-Match': '"x"' }),
      get('/a.txt', { 'If-Modified-Since': modified, 'If-None-Match': '"x"' }),
      ask('HEAD', '/a.txt', { headers: { 'If-Modified-Since': modified } }),
    ],
  },
  {
    name: 'alias in prefix, exact and regular locations',
    conf: server(`${types}
      location /i/ { alias {{files}}/static/; }
      location /noslash { alias {{files}}/static; }
      location = /one { alias {{files}}/a.txt; }
      location ~ ^/u/(\\w+)/(.*)$ { alias {{files}}/$1/$2; }
      location /v/ { set $d static; alias {{files}}/$d/; }
      location ^~ /deep/er/ { alias {{files}}/dir/; index other.html; }`),
    requests: gets(
      '/i/a.txt',
      '/i/',
      '/i',
      '/i/dir',
      '/i/dir/',
      '/i/none',
      '/noslash/a.txt',
      '/noslash',
      '/noslash/',
      '/one',
      '/one/',
      '/u/dir/b.txt',
      '/u/dir/',
      '/u/none/x',
      '/v/a.txt',
      '/deep/er/',
      '/deep/er/b.txt',
      '/i/../a.txt',
      '/i/%2e%2e/a.txt',
    ),
  },
  {
    name: 'index names, and that they are looked for as locations',
    conf: server(`${types} root {{files}};
      location / { index none.html index.htm index.html; }
      location /dir/ { index other.html; }
      location = /dir/other.html { add_header X-Exact yes; }
      location /static/ { index /a.txt; }
      location /noindex/ { index only$arg_e; }
      location ~ \\.htm$ { return 200 "htm $uri\\n"; }`),
    requests: gets('/', '/dir/', '/other/', '/static/', '/noindex/', '/noindex/?e=.txt', '/dir/sub/'),
  },
  {
    name: 'try_files in its forms',
    conf: server(`${types} root {{files}};
      location / { try_files $uri $uri/ =404; }
      location /app/ { try_files $uri /app/index.html; }
      location /q/ { try_files /none /a.txt?x=$uri; }
      location /html/ { try_files $uri.html /b.html =410; }
      location /named/ { try_files $uri @up; }
      location /first/ { try_files /a.txt /b.html; }
      location /code/ { try_files $uri =503; }
      location /rw/ { rewrite ^/rw/(.*)$ /$1 break; try_files $uri /b.html; }
      location /loop/ { try_files $uri /loop/x; }
      location @up { proxy_pass http://{{a}}; }
      location = /a.txt { add_header X-Args "a $args"; }`),
    requests: gets(
      '/',
      '/a.txt',
      '/dir',
      '/dir/',
      '/none',
      '/noindex/',
      '/noindex',
      '/app/',
      '/app/real.txt',
      '/app/x/y?z',
      '/q/x',
      '/html/b',
      '/named/x%20y?z=1',
      '/first/',
      '/code/x',
      '/rw/a.txt',
      '/rw/none',
      '/loop/y',
      '/%2e%2e/x',
    ).concat(ask('POST', '/named/x', { body: 'body' }), ask('HEAD', '/app/x')),
  },
  {
    name: 'a root with variables',
    conf: server(`${types} root {{files}}/vhost/$host; location /m/ { root {{files}}/$arg_d; }`),
    requests: [
      get('/', { Host: 'one.example' }),
      get('/', { Host: 'TWO.example:80' }),
      get('/', { Host: 'none.example' }),
      get('/m/x'),
      get('/', { Host: '..' }),
    ],
  },
  {
    name: 'types and default_type',
    conf: `types { text/x-a txt; application/x-b HTML; } default_type text/x-default; ${server(`root {{files}};
      location / { }
      location /static/ { types { } default_type text/x-static; }
      location /dir/ { types { text/x-dir txt; } }
      location /ret { return 200 x; }`)}`,
    requests: gets(
      '/a.txt',
      '/b.html',
      '/upper.HTML',
      '/noextension',
      '/static/a.txt',
      '/dir/b.txt',
      '/dir/other.html',
      '/ret',
      '/image.png',
      '/ret.txt',
    ),
  },
  {
    name: 'mime.types as it comes',
    conf: `include /etc/nginx/mime.types; default_type application/octet-stream; ${server('root {{files}}; location /ret { return 200 x; }')}`,
    allow: { types: ['GET /ret.md'] },
    requests: gets(
      '/a.txt',
      '/b.html',
      '/app.js',
      '/style.css',
      '/data.json',
      '/noextension',
      '/upper.HTML',
      '/ret',
      '/ret.js',
      '/ret.mp4',
      '/ret.md',
    ),
  },
  {
    name: 'charset and if_modified_since',
    conf: server(`${types} root {{files}}; charset utf-8;
      location /static/ { charset off; }
      location /dir/ { charset gbk; if_modified_since off; }
      location /vhost/ { if_modified_since before; }
      location / { add_header X-Type $sent_http_content_type; }`),
    requests: [
      ...gets('/a.txt', '/b.html', '/image.png', '/static/a.txt', '/dir/b.txt', '/data.json', '/noextension'),
      ...['/a.txt', '/dir/b.txt', '/vhost/one.example/index.html'].flatMap((path) => [
        get(path, { 'If-Modified-Since': modified }),
        get(path, { 'If-Modified-Since': 'Mon, 01 Jun 2026 12:00:00 GMT' }),
      ]),
    ],
  },
  {
    name: 'compression',
    conf: server(`${types} root {{files}};
      gzip on; gzip_types application/json text/css; gzip_min_length 100; gzip_comp_level 5;
      location / { }
      location /p/ { proxy_pass http://{{a}}; }
      location /off/ { gzip off; alias {{files}}/; }
      location /all/ { gzip_types *; gzip_min_length 1; alias {{files}}/; }`),
    requests: [
      ...['/data.json', '/style.css', '/a.txt', '/long.txt', '/index.html', '/off/data.json', '/all/a.txt', '/all/image.png'].flatMap(
        (path) => [get(path, { 'Accept-Encoding': 'gzip' }), get(path)],
      ),
      ...['gzip;q=0', 'identity', 'deflate, gzip;q=0.5', '*', 'br, gzip', 'x-gzip', 'GZIP', 'gzip;q=1.0', ''].map((value) =>
        get('/data.json', { 'Accept-Encoding': value }),
      ),
      get('/p/', { 'Accept-Encoding': 'gzip', ...want({ body: 'h'.repeat(500) }) }),
      get('/p/', { 'Accept-Encoding': 'gzip', ...want({ body: 'h'.repeat(50) }) }),
      get('/p/', {
        'Accept-Encoding': 'gzip',
        ...want({
          body: 'h'.repeat(500),
          headers: [
            ['Content-Encoding', 'br'],
            ['Content-Type', 'text/html'],
          ],
        }),
      }),
      get('/p/', { 'Accept-Encoding': 'gzip', ...want({ status: 404, body: 'h'.repeat(500) }) }),
      get('/p/', { 'Accept-Encoding': 'gzip', ...want({ status: 500, body: 'h'.repeat(500) }) }),
      ask('HEAD', '/data.json', { headers: { 'Accept-Encoding': 'gzip' } }),
      get('/data.json', { 'Accept-Encoding': 'gzip', Range: 'bytes=0-9' }),
      ask('GET', '/data.json', { version: '1.0', headers: { 'Accept-Encoding': 'gzip' } }),
      get('/data.json', { 'Accept-Encoding': 'gzip', Via: '1.1 cache' }),
    ],
  },
  {
    name: 'compression for proxies and HTTP/1.0',
    conf: server(`${types} root {{files}}; gzip on; gzip_types application/json; gzip_min_length 10;
      location / { gzip_comp_level 9; gzip_http_version 1.0; gzip_proxied any; }
      location /p/ { gzip_proxied expired no-cache no-store private auth; proxy_pass http://{{a}}; }
      location /q/ { gzip_proxied no_last_modified no_etag; proxy_pass http://{{a}}; }
      location /off/ { alias {{files}}/; gzip_proxied off; }`),
    requests: [
      ask('GET', '/data.json', { version: '1.0', headers: { 'Accept-Encoding': 'gzip' } }),
      ...['/data.json', '/off/data.json'].map((path) => get(path, { 'Accept-Encoding': 'gzip', Via: 'x' })),
      ...[
        ['Expires', 'Thu, 01 Jan 1970 00:00:01 GMT'],
        ['Expires', 'Fri, 01 Jan 2100 00:00:00 GMT'],
        ['Cache-Control', 'no-cache'],
        ['Cache-Control', 'public'],
        ['Cache-Control', 'max-age=1, private'],
        ['Last-Modified', modified],
        ['ETag', '"x"'],
        ['X-None', '1'],
      ].flatMap(([name = '', value = '']) =>
        ['/p/', '/q/'].map((path) =>
          get(path, {
            'Accept-Encoding': 'gzip',
            Via: 'x',
            ...want({
              body: 'h'.repeat(100),
              headers: [
                [name, value],
                ['Content-Type', 'text/html'],
              ],
            }),
          }),
        ),
      ),
      get('/p/', {
        'Accept-Encoding': 'gzip',
        Via: 'x',
        Authorization: 'Basic x',
        ...want({ body: 'h'.repeat(100), headers: [['Cache-Control', 'public']] }),
      }),
    ],
  },
  {
    name: 'precompressed files',
    conf: server(`${types} root {{files}}; gzip_static on;`),
    requests: [
      get('/packed.txt', { 'Accept-Encoding': 'gzip' }),
      get('/packed.txt'),
      get('/a.txt', { 'Accept-Encoding': 'gzip' }),
      get('/packed.txt', { 'Accept-Encoding': 'gzip', Range: 'bytes=0-3' }),
      ask('HEAD', '/packed.txt', { headers: { 'Accept-Encoding': 'gzip' } }),
      get('/packed.txt.gz'),
    ],
  },
  {
    name: 'expires in its forms',
    conf: `map $sent_http_content_type $by { default off; text/css 30d; text/plain epoch; text/html max; } ${server(`${types} root {{files}};
      location / { expires $by; }
      location = /e1 { expires 1h; alias {{files}}/a.txt; }
      location = /e2 { expires -1; alias {{files}}/a.txt; }
      location = /e3 { expires max; alias {{files}}/a.txt; }
      location = /e4 { expires epoch; alias {{files}}/a.txt; }
      location = /e5 { expires modified +24h; alias {{files}}/a.txt; }
      location = /e6 { expires 0; alias {{files}}/a.txt; }
      location = /e7 { expires 1h; add_header Cache-Control private; alias {{files}}/a.txt; }
      location = /e8 { expires @23h59m; alias {{files}}/a.txt; }
      location = /e9 { expires 1h; return 404; }
      location = /e10 { expires 1h; proxy_pass http://{{a}}; }
      location = /e11 { expires off; proxy_pass http://{{a}}; }
      location = /e12 { expires 30d; return 301 /x; }`)}`,
    requests: [
      ...gets('/style.css', '/a.txt', '/index.html', '/app.js', '/e1', '/e2', '/e3', '/e4', '/e5', '/e6', '/e7', '/e9', '/e12'),
      ...['/e10', '/e11'].map((path) =>
        get(
          path,
          want({
            headers: [
              ['Cache-Control', 'no-store'],
              ['Expires', 'Thu, 01 Jan 1970 00:00:01 GMT'],
            ],
          }),
        ),
      ),
      get('/e10', want({ status: 404 })),
      get('/e1', { 'If-Modified-Since': modified }),
      get('/e1', { Range: 'bytes=0-1' }),
    ],
  },
  {
    name: 'hidden files and nothing that protects them',
    conf: server(`${types} root {{files}}; location ~ /\\.ht { deny all; }`),
    requests: gets('/.hidden', '/.htaccess', '/dir/.htx', '/a.txt'),
    allow: { hidden: ['GET /.hidden'] },
  },
];
