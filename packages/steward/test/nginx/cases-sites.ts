/** Which server answers: names, default_server, addresses, TLS and SNI. */
import { type Case, get, gets, type Options } from './requests.ts';
import type { Sent } from './wire.ts';

const site = (name: string, more = ''): string =>
  `server { listen 127.0.0.1:{{port}} ${more}; server_name ${name}; location / { return 200 "${name.replaceAll(/["$]/g, '')}|$server_name|$host\\n"; } }\n`;
const hosts = (...names: readonly string[]): Sent[] => names.map((Host) => get('/', { Host }));
const onPort = (port: number, sent: Sent): Sent => ({ ...sent, port, name: `${sent.name} at port ${port}` });
const overTls = (servername: string | undefined, sent: Sent): Sent => ({
  ...sent,
  name: `${sent.name} for ${servername}`,
  tls: { ...(servername === undefined ? {} : { servername }), ALPNProtocols: ['http/1.1'] },
});
const old: Options = { version: '1.0', noHost: true };
const cert = (name: string): string => `ssl_certificate {{tls}}/${name}.crt; ssl_certificate_key {{tls}}/${name}.key;`;

export const siteCases: readonly Case[] = [
  {
    name: 'names: exact, wildcards and regular expressions in order',
    conf: [
      site('first.example'),
      site('a.example www.a.example'),
      site('*.a.example'),
      site('*.b.a.example'),
      site('mail.*'),
      site('.dot.example'),
      site('~^(?<sub>\\w+)\\.re\\.example$'),
      site('~^x\\d+\\.re\\.example$'),
      site('mail.a.example'),
    ].join(''),
    requests: [
      ...hosts(
        'a.example',
        'www.a.example',
        'x.a.example',
        'y.b.a.example',
        'mail.org',
        'mail.co.uk',
        'mail.a.example',
        'dot.example',
        'a.dot.example',
        'a.b.dot.example',
        'q.re.example',
        'x1.re.example',
        'unknown',
        'A.EXAMPLE',
        'a.example:1234',
        'a.example.',
        '*.a.example',
        'first.example',
      ),
      get('/', {}, old),
    ],
  },
  {
    name: 'default_server answers what nobody does',
    conf: site('one.example') + site('two.example', 'default_server') + site('""'),
    requests: [...hosts('one.example', 'two.example', 'three.example', '127.0.0.1', '_'), get('/', {}, old)],
  },
  {
    name: 'captures of a server name',
    conf: 'server { listen 127.0.0.1:{{port}}; server_name ~^(www\\.)?(?<domain>.+)$; root {{files}}/vhost/$domain; location = /say { return 200 "$domain|$1|$2\\n"; } }',
    requests: [
      get('/', { Host: 'one.example' }),
      get('/', { Host: 'www.two.example' }),
      get('/say', { Host: 'www.x.y' }),
      get('/say', { Host: 'X.Y' }),
    ],
  },
  {
    name: 'two ports of one file',
    conf: 'server { listen 127.0.0.1:{{port}}; location / { return 200 "one $server_port\\n"; } } server { listen 127.0.0.1:{{port2}}; listen 127.0.0.1:{{port3}}; location / { return 200 "two $server_port\\n"; } }',
    requests: [1, 2, 3].map((port) => onPort(port, get('/'))),
  },
  {
    name: 'settings of http reach every server and location',
    conf: `add_header X-Http h; client_max_body_size 5; root {{files}}; index b.html; error_page 404 /errors/404.html;
      server { listen 127.0.0.1:{{port}}; server_name a; location / { } location /own/ { add_header X-Own o; alias {{files}}/; } }
      server { listen 127.0.0.1:{{port}}; server_name b; add_header X-B b; index a.txt; location / { error_page 404 =200 /a.txt; } }`,
    requests: ['a', 'b'].flatMap((Host) => [
      get('/', { Host }),
      get('/none', { Host }),
      get('/own/a.txt', { Host }),
      get('/own/none', { Host }),
      get('/a.txt', { Host }, { body: '123456' }),
    ]),
  },
  {
    name: 'TLS and the server of the name asked for',
    conf: `server { listen 127.0.0.1:{{port}} ssl; server_name one.example; ${cert('one.example')} location / { return 200 "one $scheme $https $ssl_server_name $server_name\\n"; } }
      server { listen 127.0.0.1:{{port}} ssl; server_name two.example; ${cert('two.example')} location / { proxy_pass http://{{a}}; proxy_set_header X-Scheme $scheme; } location /r { return 301 $scheme://$host/x; } }`,
    requests: [
      overTls('one.example', get('/', { Host: 'one.example' })),
      overTls('two.example', get('/', { Host: 'two.example' })),
      overTls('two.example', get('/r', { Host: 'two.example' })),
      overTls(undefined, get('/', { Host: 'one.example' })),
      overTls('unknown.example', get('/', { Host: 'unknown.example' })),
      overTls('one.example', get('/', { Host: 'two.example' })),
      get('/', { Host: 'one.example' }),
    ],
  },
  {
    name: 'server-level instructions by host',
    conf: `server { listen 127.0.0.1:{{port}}; server_name a.example www.a.example;
      if ($host = www.a.example) { return 301 http://a.example$request_uri; }
      if ($http_x_block) { return 403; }
      set $site a;
      location / { return 200 "$site $uri\\n"; } }`,
    requests: [get('/x?y', { Host: 'www.a.example' }), get('/x', { Host: 'a.example' }), get('/x', { Host: 'a.example', 'X-Block': '1' })],
  },
  {
    name: 'a server without locations',
    conf: 'server { listen 127.0.0.1:{{port}}; root {{files}}; }',
    requests: gets('/', '/a.txt', '/none', '/dir', '/dir/'),
  },
];
