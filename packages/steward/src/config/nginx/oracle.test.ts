/** The real nginx is asked about every case: what it accepts Steward must read, what it refuses must be an error here too. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Reading } from '../format.ts';
import { readCases, surroundingsOf } from '../golden.ts';
import type { Source } from '../problem.ts';
import { readNginx, topContext } from './nginx.ts';
import { parse } from './parse.ts';

const nginx = '/usr/sbin/nginx';
const missing = existsSync(nginx) || process.env.CI === 'true' ? false : `${nginx} is not installed`;

/** An error that nginx does not have is Steward's alone: something it does not take over. */
const refuses = ({ problems }: Reading): boolean =>
  problems.some(({ severity, code }) => severity === 'error' && code !== 'config/nginx-not-taken-over');

const has = (text: string, name: string): boolean => parse('', text).directives.some((directive) => directive.name === name);

/** A main file around the case: what nginx insists on and the case leaves out. */
function mainFile(text: string): string {
  const frame = `${has(text, 'pid') ? '' : 'pid nginx.pid;\n'}${has(text, 'events') ? '' : 'events {}\n'}`;
  const inside = topContext(parse('', text).directives) === 'http' ? 'http { access_log off; include site.conf; }' : 'include site.conf;';
  return `${frame}${inside}\n`;
}

describe('nginx agrees', { skip: missing }, () => {
  let prefix = '';
  before(() => {
    assert.ok(existsSync(nginx), `${nginx} is not installed, and CI must not skip this`);
    prefix = mkdtempSync(join(tmpdir(), 'steward-nginx-'));
    const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=site'];
    execFileSync('openssl', [...request, '-keyout', join(prefix, 'site.key'), '-out', join(prefix, 'site.crt')], { stdio: 'ignore' });
    writeFileSync(join(prefix, 'mime.types'), 'types { text/html html; }\n');
  });
  after(() => rmSync(prefix, { recursive: true, force: true }));

  /** What `nginx -t` says; a port it may not open comes after it found the syntax right. */
  function ask(sources: readonly Source[]): { accepts: boolean; said: string } {
    for (const { file, text } of sources) {
      const path = join(prefix, relative('/etc/nginx', file));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    writeFileSync(join(prefix, 'main.conf'), mainFile(sources[0]?.text ?? ''));
    const { stderr } = spawnSync(nginx, ['-t', '-p', prefix, '-c', join(prefix, 'main.conf'), '-e', 'stderr'], { encoding: 'utf8' });
    for (const { file } of sources) rmSync(join(prefix, relative('/etc/nginx', file)));
    return { accepts: /syntax is ok/.test(stderr), said: stderr };
  }

  /** Nothing when both say the same, else what each says. */
  function difference(sources: readonly [Source, ...Source[]]): string {
    const reading = readNginx(sources[0], surroundingsOf(sources));
    const { accepts, said } = ask(sources);
    const told = reading.problems.map(({ severity, message, at }) => `${severity} ${at?.line}: ${message}`).join('\n');
    // A directive of a module that this nginx has not is a warning here: Steward cannot know all modules.
    const isUnknown = /unknown directive/.test(said) && reading.problems.some(({ code }) => code === 'config/nginx-not-taken-over');
    return isUnknown || refuses(reading) !== accepts ? '' : `${sources[0].text}\nnginx: ${said}\nSteward: ${told}\n`;
  }
  const differences = (bodies: readonly string[], block: string): string =>
    bodies.map((body) => difference([{ file: '/etc/nginx/site.conf', text: `${block} {\n${body}\n}\n` }])).join('');

  for (const { name, sources } of readCases(join(import.meta.dirname, 'cases'), '/etc/nginx', 'site.conf')) {
    test(name, () => assert.equal(difference(sources), ''));
  }

  const snippets: readonly string[] = [
    'listen 80;;',
    'listen 80 ssl',
    'listen 0;',
    'listen 65536;',
    'listen *:80;',
    'listen [::1];',
    'listen [::]:80 ipv6only=off;',
    'listen localhost;',
    'listen 127.0.0.1:80 backlog=5 reuseport;',
    'listen unix:/tmp/x.sock;',
    'listen 80 nonsense;',
    'listen;',
    'listen 80; listen 80;',
    'server_name;',
    'server_name a "" _ *.a .a a.* ~^a$;',
    'server_name *a.b; } server { server_name z;',
    'server_name a.*.b; } server { server_name z;',
    'server_name .a.*; } server { server_name z;',
    'server_name a..b; } server { server_name z;',
    'server_name ~;',
    'server_name "~(";',
    'server_name *; } server { server_name z;',
    'server_name *.; } server { server_name z;',
    'server_name .; } server { server_name z;',
    'server_name a.;',
    'server_name https://a/;',
    'client_max_body_size 1;',
    'client_max_body_size 1K;',
    'client_max_body_size 1T;',
    'client_max_body_size -1;',
    'client_max_body_size "";',
    'proxy_read_timeout 1;',
    'proxy_read_timeout 1s500ms;',
    'proxy_read_timeout 1m30;',
    'proxy_read_timeout 30s1m;',
    'proxy_read_timeout 1y;',
    'proxy_read_timeout 1w2d3h4m5s6ms;',
    'proxy_read_timeout "1m 30s";',
    'proxy_read_timeout 1s1s;',
    'proxy_read_timeout 1.5s;',
    'proxy_read_timeout ms;',
    'proxy_read_timeout "1s ";',
    'proxy_read_timeout 99999999999999;',
    'proxy_buffering on;',
    'proxy_buffering On;',
    'proxy_buffering yes;',
    'proxy_buffering on off;',
    'proxy_buffering on { }',
    'root /a; root /b;',
    'root;',
    'root /a { }',
    'alias /a;',
    'index a b; index c;',
    'try_files $uri;',
    'try_files $uri =404; try_files $uri =404;',
    'location {}',
    'location / {} location / {}',
    'location = / {} location / {}',
    'location ^~ /a {} location /a {}',
    'location =/ {}',
    'location ~a {} location ~a {}',
    'location ~*a {}',
    'location a b {}',
    'location / / / {}',
    'location "" {}',
    'location foo {}',
    'location @a {} location /x { try_files $uri @a; }',
    'location /;',
    'location / return 200;',
    'location / { proxy_pass http://127.0.0.1; }',
    'location / { proxy_pass HTTP://127.0.0.1; }',
    'location / { proxy_pass ftp://127.0.0.1; }',
    'location / { proxy_pass http://; }',
    'location / { proxy_pass http://127.0.0.1:0; }',
    'location / { proxy_pass http://127.0.0.1:x; }',
    'location / { proxy_pass http://127.0.0.1:70000; }',
    'location / { proxy_pass http://unix:/a; }',
    'location / { proxy_pass http://unix:/a:/b; }',
    'location / { proxy_pass http://unix:; }',
    'location / { proxy_pass http://[::1]:80/x; }',
    'location / { proxy_pass; }',
    'location / { proxy_pass http://127.0.0.1?a=b; }',
    'location ~ / { proxy_pass http://127.0.0.1/; }',
    'location ~ / { proxy_pass http://127.0.0.1; }',
    'proxy_pass http://127.0.0.1;',
    'location / { proxy_redirect default; proxy_pass http://127.0.0.1; }',
    'location / { proxy_pass http://127.0.0.1; proxy_redirect default; }',
    'proxy_redirect off;',
    'proxy_redirect on;',
    'proxy_redirect a b;',
    'proxy_set_header Host;',
    'proxy_set_header Host a b;',
    'proxy_set_header Host "";',
    'add_header A b always;',
    'add_header A b never;',
    'add_header A;',
    'return;',
    'return 200;',
    'return 200 a b;',
    'return 1000;',
    'return 999;',
    'return http://a;',
    'return /a;',
    'return 301 /a;',
    'return 99 a;',
    'rewrite ^ /a;',
    'rewrite ^ /a last;',
    'rewrite ^ /a first;',
    'rewrite ( /a;',
    'internal;',
    'location / { internal; }',
    'location / { internal on; }',
    'if ($host = a) { return 301 https://a$request_uri; }',
    'allow all; deny all;',
    'deny 1.2.3.4;',
    'deny;',
    'error_page 404 /x;',
    'error_page 404;',
    'user www-data;',
    'server { }',
    'upstream a { }',
    'http { }',
    'events { }',
    'worker_processes 1;',
    'access_log off;',
    'access_log /dev/null combined;',
    'access_log;',
    'keepalive_timeout 65 60;',
    'keepalive_timeout x;',
    'client_header_timeout 5s;',
    'location / { client_header_timeout 5s; }',
    'ssl_certificate site.crt; ssl_certificate_key site.key; listen 443 ssl;',
    'ssl_certificate site.crt; listen 443 ssl;',
    'listen 443 ssl;',
    'listen 443 ssl; ssl_reject_handshake on;',
    'add_header A "b"c;',
    'add_header A "b\\"c";',
    "add_header A 'b\"c';",
    'add_header A b\\ c;',
    'add_header A b"c;',
    'add_header A b#c;',
    'add_header A ${host};',
    'add_header A ${host}x;',
    'add_header A "${host";',
    'add_header A "b" ;# comment',
    '# only a comment }',
    'add_header A b }',
    '"return" 200;',
    'return 200 "{};";',
    'return 200 };',
    'return 200 a{b;',
    'return 200 $a{b};',
    'return 200 \\;;',
    "return 200 'a",
    '{ }',
    ';',
  ];
  const instructions: readonly string[] = [
    'set $x 1; return 200 $x;',
    'set x 1;',
    'set $x;',
    'set $x "${y";',
    'return 200 $nothing;',
    'return 200 "$1$2";',
    'return 200 "a$";',
    'rewrite ^/(?<n>.*)$ /$n;',
    'rewrite ^ http://a/ last;',
    'break;',
    'break on;',
    'if ($host) { return 200; }',
    'if ($host = a b) { return 200; }',
    'if ($host == a) { return 200; }',
    'if (host = a) { return 200; }',
    'if $host { return 200; }',
    'if ( $host ~* "^(a|b)$" ) { return 200; }',
    'if ($host ~ () { return 200; }',
    'if (-f $uri) { return 200; }',
    'if (!-x $uri) { break; }',
    'if (-f) { return 200; }',
    'if (-z $uri) { return 200; }',
    'if ($host) { proxy_pass http://127.0.0.1; }',
    'if ($host) { add_header A b; }',
    'location / { if ($host) { add_header A b; expires 1h; root /x; error_page 404 /x; } }',
    'location / { if ($host) { proxy_pass http://127.0.0.1; } }',
    'location / { if ($host) { proxy_pass http://127.0.0.1/x; } }',
    'location / { if ($host) { index a; } }',
    'location / { if ($host) { try_files a b; } }',
    'location / { if ($host) { if ($host) { return 200; } } }',
    'location / { set $u 127.0.0.1; proxy_pass http://$u; }',
    'location / { set $u 127.0.0.1; proxy_pass http://$u; proxy_redirect default; }',
    'location ~ ^/(a) { proxy_pass http://127.0.0.1/$1; }',
    'location @n { proxy_pass http://127.0.0.1/x; }',
    'location /a/ { location /a/b { } }',
    'location /a/ { location /b { } }',
    'location = /a { location /a { } }',
    'location /a { location @n { } }',
    'location /a { location ~ x { location ~ y { } } }',
    'error_page 404 = /x;',
    'error_page 404 =200 @x; location @x { }',
    'error_page 200 /x;',
    'error_page 404 =x /x;',
    'error_page 404 500 /x;',
    'error_page 600 /x;',
    'expires 1h;',
    'expires -1;',
    'expires modified 1h;',
    'expires later 1h;',
    'expires @15h30m;',
    'expires @25h;',
    'expires 1x;',
    'expires $arg_e;',
    'gzip on; gzip_types text/css; gzip_min_length 1k; gzip_comp_level 9;',
    'gzip_comp_level 10;',
    'gzip maybe;',
    'gzip_static always;',
    'auth_basic off;',
    'auth_basic r; auth_basic_user_file x;',
    'auth_request /x;',
    'auth_request_set $u $upstream_http_x;',
    'auth_request_set u x;',
    'satisfy any;',
    'satisfy some;',
    'allow 10.0.0.0/8; deny all;',
    'allow 10.0.0.0/33;',
    'allow 300.0.0.1;',
    'allow unix:;',
    'deny 2001:db8::/32;',
    'allow nobody;',
    'location / { limit_except GET { deny all; } }',
    'location / { limit_except FETCH { deny all; } }',
    'location / { limit_except { deny all; } }',
    'limit_except GET { deny all; }',
    'limit_req_status 429; limit_conn_status 500;',
    'limit_req_status 200;',
    'set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;',
    'set_real_ip_from 10.0.0.0/99;',
    'real_ip_recursive maybe;',
    'location / { internal; stub_status; }',
    'types { text/html html; }',
    'default_type text/x;',
    'access_log off; access_log /dev/null combined;',
    'access_log /dev/null combined buffer=32k flush=5s if=$host;',
    'large_client_header_buffers 4 8k;',
    'large_client_header_buffers 4;',
    'listen 80 proxy_protocol;',
    'proxy_cookie_path / /x; proxy_cookie_domain a b;',
    'proxy_cookie_path x;',
    'proxy_cookie_path ~( /x;',
    'proxy_redirect ~( /x;',
    'proxy_redirect ~*^http://a(.*) $1;',
    'proxy_hide_header X; proxy_pass_header Server;',
    'proxy_intercept_errors on; proxy_method GET; proxy_pass_request_headers off; proxy_pass_request_body off;',
    'proxy_next_upstream error http_503 non_idempotent; proxy_next_upstream_tries 2; proxy_next_upstream_timeout 5s;',
    'proxy_next_upstream http_502 off;',
    'proxy_next_upstream http_418;',
    'proxy_next_upstream_tries x;',
    'proxy_ssl_verify on; proxy_ssl_name a; proxy_ssl_server_name on;',
    'merge_slashes on; underscores_in_headers off;',
    'merge_slashes maybe;',
    'ssl_protocols TLSv1.2 TLSv1.3;',
    'ssl_protocols TLSv9;',
    'ssl_verify_client maybe;',
  ];
  test('on instructions, access, limits and the like', () => assert.equal(differences(instructions, 'server'), ''));

  const outside: readonly string[] = [
    'map $host $x { default a; b c; } server { return 200 $x; }',
    'map $host x { default a; }',
    'map $host $x { default a; default b; }',
    'map $host $x { a b; a c; }',
    'map $host $x { a; }',
    'map $host $x { a b c; }',
    'map $host $x { ~( c; }',
    'map $host $x { hostnames; *.a b; .c d; e.* f; volatile; }',
    'map $host { a b; }',
    'limit_req_zone $host zone=z:1m rate=1r/s; server { limit_req zone=z burst=5 nodelay; }',
    'limit_req_zone $host zone=z:1m rate=1r/s; server { limit_req zone=z burst=5 delay=2; }',
    'limit_req_zone $host zone=z:1m rate=1r/h;',
    'limit_req_zone $host zone=z rate=1r/s;',
    'limit_req_zone $host zone=z:1m rate=1r/s; server { limit_req zone=z; limit_req zone=z; }',
    'limit_conn_zone $host zone=z:1m; server { limit_conn z 5; }',
    'limit_conn_zone $host zone=z:1m; server { limit_conn z 0; }',
    'limit_conn_zone $host zone=z:1m; server { limit_conn z; }',
    "log_format f '$host $status'; server { access_log /dev/null f; }",
    "log_format f escape=json '$host'; log_format f x;",
    "log_format f escape=odd '$host';",
    'log_format f $nothing; server { access_log /dev/null f; }',
    'upstream u { hash $arg_x consistent; server 127.0.0.1; }',
    'upstream u { hash $arg_x sometimes; server 127.0.0.1; }',
    'upstream u { hash; server 127.0.0.1; }',
    'upstream u { ip_hash; server 127.0.0.1; }',
    'upstream u { random two least_conn; server 127.0.0.1; }',
    'upstream u { random three; server 127.0.0.1; }',
    'upstream u { server 127.0.0.1; keepalive 0; }',
    'upstream u { server 127.0.0.1; keepalive 16; keepalive_timeout 5s; }',
    'server { auth_basic $nothing; }',
    'types { text/html html; text/x x y; }',
  ];
  test('on what stands outside of servers', () =>
    assert.equal(outside.map((text) => difference([{ file: '/etc/nginx/site.conf', text: `${text}\n` }])).join(''), ''));

  test('on every small thing that a server may say', () => assert.equal(differences(snippets, 'server'), ''));

  const upstreams: readonly string[] = [
    'server 127.0.0.1;',
    'server 127.0.0.1:1 weight=1 max_fails=0 fail_timeout=0 backup; server 127.0.0.1:2;',
    'server 127.0.0.1 weight=0;',
    'server 127.0.0.1 weight=x;',
    'server 127.0.0.1 weight;',
    'server 127.0.0.1 fail_timeout=1m30s;',
    'server 127.0.0.1 fail_timeout=1ms;',
    'server 127.0.0.1 fail_timeout=1M;',
    'server 127.0.0.1 down;',
    'server 127.0.0.1 max_conns=2;',
    'server 127.0.0.1 nothing;',
    'server unix:/a;',
    'server unix:;',
    'server 127.0.0.1:0;',
    'server 127.0.0.1:70000;',
    'server [::1];',
    'server;',
    '',
    'keepalive 3;',
    'server 127.0.0.1; keepalive 3; least_conn;',
    'server 127.0.0.1; server_name a;',
    'server 127.0.0.1; root /a;',
  ];
  test('on every small thing that an upstream may say', () => assert.equal(differences(upstreams, 'upstream u'), ''));
});
