/** What a steward.yaml says of sites, as clients and people who look at logs see it. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort, get, newPlace, until } from './harness.ts';

const program = `
import { createServer } from 'node:http';
import { rmSync } from 'node:fs';
const at = process.env.SOCKET;
rmSync(at, { force: true });
const server = createServer((req, res) => {
  if (req.url === '/download') res.setHeader('X-Accel-Redirect', '/vault/a.txt').setHeader('Content-Type', 'text/x-app');
  if (req.url === '/lost') res.statusCode = 404;
  let body = '';
  req.on('data', (part) => (body += part));
  req.on('end', () => res.end([req.method, req.url, req.headers['x-label'], req.headers['x-user'] ?? '-', body].join(' ')));
});
server.listen(at);
process.on('SIGTERM', () => server.close(() => process.exit(0)) && server.closeIdleConnections());
`;

/** One connection that says \`text\` and reads until the other side ends. */
const say = (port: number, text: string): Promise<string> =>
  new Promise((resolve) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    socket.on('data', (part) => (received += part)).on('error', () => {});
    socket.on('close', () => resolve(received));
  });

test('sites of a steward.yaml: rules, pages, logs, and a program that is restarted while clients ask', { timeout: 90_000 }, async (t) => {
  const place = newPlace(t);
  const [plain, secure, proxied] = [await freePort(), await freePort(), await freePort()];
  place.write('app.mjs', program);
  mkdirSync(join(place.folder, 'www'));
  mkdirSync(join(place.folder, 'logs'));
  place.write('www/a.txt', 'from the vault');
  place.write('www/404.html', 'our own page');
  place.write('users', 'anna:{PLAIN}secret\n');
  place.write(
    'steward.yaml',
    `gateway: {workers: 2}
limits: {each: {rate: 1/s, by: $arg_who}}
services:
  app: {run: "${process.execPath} app.mjs", socket: true, env: {SOCKET: "{{socket}}"}}
sites:
  - hosts: ["*.apps.example"]
    listen: ["127.0.0.1:${plain}"]
    log:
      - {file: logs/access.log, format: "$status $host_label $body_bytes_sent $request"}
      - {format: steward}
    errorPages: [{on: [404], to: /404.html}]
    routes:
      - {path: /, service: app, setHeaders: {X-Label: $host_label}, interceptErrors: true, hold: 10s}
      - {path: /404.html, root: www, internal: true}
      - {path: /vault/, files: www, internal: true}
      - {path: /secret, service: app, basicAuth: {users: users}, setHeaders: {X-User: $remote_user}}
      - {path: /few, respond: ok, rate: [{zone: each, burst: 2}]}
      - {path: /count, counters: json}
      - {path: /stub, counters: stub}
      - {path: /closed, respond: no, access: [deny all]}
  - hosts: [safe.example]
    listen: ["127.0.0.1:${secure}"]
    tls: internal
    hsts: {maxAge: 1d, subdomains: true}
    maintenance: {allow: [10.0.0.0/8], retryAfter: 1m}
    routes: [{respond: never}]
  - hosts: [proxied.example]
    listen: [{to: "127.0.0.1:${proxied}", proxyProtocol: true}]
    trust: {from: [127.0.0.1], header: proxy-protocol}
    routes: [{respond: "$remote_addr"}]
`,
  );
  await place.ok('up', '-d');
  const from = (target: string, headers: Record<string, string> = {}) =>
    get(`http://127.0.0.1:${plain}${target}`, { headers: { host: 'shop.apps.example', ...headers } });
  await until('the app', async () => (await from('/')).status === 200);
  assert.equal((await from('/x')).body, 'GET /x shop - ');
  const download = await from('/download');
  assert.deepEqual([download.body, download.headers['content-type']], ['from the vault', 'text/x-app']);
  const lost = await from('/lost');
  assert.deepEqual([lost.status, lost.body], [404, 'our own page']);
  assert.equal((await from('/vault/a.txt')).status, 404);
  assert.equal((await from('/closed')).status, 403);
  assert.equal((await from('/secret')).status, 401);
  const authorization = `Basic ${Buffer.from('anna:secret').toString('base64')}`;
  assert.match((await from('/secret', { authorization })).body, /^GET \/secret \S* ?anna/);
  const few = await Promise.all(Array.from({ length: 12 }, () => from('/few?who=me')));
  assert.equal(few.filter(({ status }) => status === 200).length, 3, 'one, and a burst of two, over both workers');
  assert.ok(few.every(({ status }) => status === 200 || status === 429));
  assert.ok(JSON.parse((await from('/count')).body).requests > 0);
  assert.match(
    (await from('/stub')).body,
    /^Active connections: \d+ \nserver accepts handled requests\n \d+ \d+ \d+ \nReading: 0 Writing: 1 Waiting: \d+ \n$/,
  );

  const ca = await place.ok('ca');
  const closed = await get(`https://127.0.0.1:${secure}/`, { headers: { host: 'safe.example' }, ...{ servername: 'safe.example' }, ca });
  assert.deepEqual(
    [closed.status, closed.headers['retry-after'], closed.headers['strict-transport-security']],
    [503, '60', 'max-age=86400; includeSubDomains'],
  );
  const request = 'GET / HTTP/1.1\r\nHost: proxied.example\r\nConnection: close\r\n\r\n';
  assert.match(await say(proxied, `PROXY TCP4 203.0.113.9 127.0.0.1 4000 80\r\n${request}`), /\r\n\r\n203\.0\.113\.9$/);

  let asking = true;
  const results = new Map<string, number>();
  const clients = Array.from({ length: 4 }, async () => {
    while (asking) {
      const result = await from('/x').then(
        ({ status }) => String(status),
        (error: Error) => error.message,
      );
      results.set(result, (results.get(result) ?? 0) + 1);
    }
  });
  await place.ok('restart', 'app');
  await place.ok('restart', 'app');
  asking = false;
  await Promise.all(clients);
  assert.deepEqual([...results.keys()], ['200'], 'a restart costs no request');

  const lines = await until('the log', () => {
    const found = readFileSync(join(place.folder, 'logs/access.log'), 'utf8').trim().split('\n');
    return found.some((line) => line.includes('/stub')) && found;
  });
  assert.ok(lines.includes('200 shop 14 GET /download HTTP/1.1'), lines.slice(0, 10).join('\n'));
  assert.ok(lines.includes('404 shop 12 GET /lost HTTP/1.1'));
  assert.equal(lines.filter((line) => line.startsWith('429 ')).length, 9);
  assert.match(await place.ok('logs', 'gateway', '-n', '100000'), /"GET \/download HTTP\/1\.1" 200 14 /);
});
