import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { AccessLogSpec } from '../../config/site-model.ts';
import { compileLine, compileLog, createAccessLog, escapeLogged, fileNamePart, type LogSource } from './access-log.ts';

const headers: Readonly<Record<string, string>> = {
  referer: 'http://a/',
  'user-agent': 'Mozilla "x"',
  'x-name': Buffer.from('点"\n').toString('latin1'),
};

const sourceOf = (more: Partial<LogSource> = {}, own = headers): LogSource =>
  ({
    host: 'example.com',
    remoteAddress: '1.2.3.4',
    remoteUser: '',
    method: 'GET',
    protocol: 'HTTP/1.1',
    requestLine: 'GET /a?b=1 HTTP/1.1',
    requestUri: '/a?b=1',
    status: 200,
    bodyBytesSent: 12,
    startedAtMs: performance.now(),
    requestId: 'r1',
    traceparent: '',
    serverName: 'site',
    vars: undefined,
    header: (name: string) => own[name] ?? '',
    upstreamValue: (name: string) => (name === 'upstream_addr' ? '127.0.0.1:1, 127.0.0.1:2' : '0.010, 0.020'),
    ...more,
  }) as unknown as LogSource;

const textOf = (text: string, kind: 'default' | 'json' | 'none') => compileLine({ kind: 'text', text, escape: kind });

test('combined and steward lines have the form their readers know', () => {
  const combined = compileLine({ kind: 'combined' })(sourceOf());
  assert.match(
    combined,
    /^1\.2\.3\.4 - - \[\d\d\/\w{3}\/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET \/a\?b=1 HTTP\/1\.1" 200 12 "http:\/\/a\/" "Mozilla \\x22x\\x22"$/,
  );
  assert.match(compileLine({ kind: 'combined' })(sourceOf({ remoteUser: 'ann', status: 0 }, {})), /- ann \[.* 499 12 "-" "-"$/);
  assert.match(
    compileLine({ kind: 'steward' })(sourceOf({ upstream: '127.0.0.1:2' })),
    /^1\.2\.3\.4 \[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET \/a\?b=1 HTTP\/1\.1" 200 12 "http:\/\/a\/" "Mozilla \\x22x\\x22" example\.com \d+\.\d 127\.0\.0\.1:2$/,
  );
});

test('JSON lines are JSON whatever the client sent', () => {
  const line = compileLine({ kind: 'json' });
  const { time, ms, ...facts } = JSON.parse(line(sourceOf({ routeName: '/a' })));
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60_000 && typeof ms === 'number');
  assert.deepEqual(facts, {
    client: '1.2.3.4',
    method: 'GET',
    host: 'example.com',
    path: '/a',
    query: 'b=1',
    protocol: 'HTTP/1.1',
    status: 200,
    bytes: 12,
    upstream: '127.0.0.1:1, 127.0.0.1:2',
    upstreamMs: 30,
    requestId: 'r1',
    site: 'site',
    route: '/a',
    referer: 'http://a/',
    agent: 'Mozilla "x"',
  });
  const agents = ['"\\\n\r\t\b\f\0\x1f\x7f', Buffer.from('点餐 é').toString('latin1'), '\xff\xfe broken', '点', '\u2028'];
  const read = agents.map((agent) => JSON.parse(line(sourceOf({ upstream: '-' }, { 'user-agent': agent }))).agent);
  assert.deepEqual(read, ['"\\\n\r\t\b\f\0\x1f\x7f', '点餐 é', '\xff\xfe broken', '点', '\u2028']);
  assert.doesNotMatch(line(sourceOf({}, { 'user-agent': 'a\nb\r' })), /[\n\r]/);
});

test('texts escape the values of variables, and those alone, as nginx does', () => {
  assert.equal(textOf('"$http_x_name" é $http_none', 'default')(sourceOf()), '"\\xE7\\x82\\xB9\\x22\\x0A" é -');
  assert.equal(textOf('{"n":"$http_x_name","e":"$http_none"}', 'json')(sourceOf()), '{"n":"点\\"\\n","e":""}');
  assert.equal(textOf('$http_x_name|$http_none|${status}', 'none')(sourceOf()), '点"\n||200');
  assert.equal(textOf('$http_c', 'json')(sourceOf({}, { c: '\x1f\x01' })), '\\u001F\\u0001');
  assert.equal(
    escapeLogged('a"b\\c\r\n\x1b[31m\x7fé点😀'),
    'a\\x22b\\x5Cc\\x0D\\x0A\\x1B[31m\\x7F\\xE9\\xE7\\x82\\xB9\\xF0\\x9F\\x98\\x80',
  );
});

test('names of files made from variables stay in their folder', () => {
  assert.deepEqual(['a.example', '../../etc/passwd', '..', '.', 'a/b\0\n', 'x'.repeat(300)].map(fileNamePart), [
    'a.example',
    '_._.._etc_passwd',
    '_.',
    '_',
    'a_b__',
    'x'.repeat(100),
  ]);
});

test('each log gets its line when its condition holds, in the file of its name', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'logs-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const own: string[] = [];
  const log = createAccessLog({ write: (line) => own.push(line), dropped: () => 0, flush: async () => {} }, () => {});
  const format = { kind: 'text', text: '$host $status', escape: 'default' } as const;
  const spec = (more: Partial<AccessLogSpec>): AccessLogSpec => ({ format, maxBytes: 0, keep: 0, ...more });
  const logs = [
    spec({}),
    spec({ when: '$arg_log' }),
    spec({ file: `${folder}/all.log`, when: '1' }),
    spec({ file: `${folder}/$host.log` }),
  ].map((one) => compileLog(one));
  log.write(logs, sourceOf({ args: 'log=0' }));
  log.write(logs, sourceOf({ args: 'log=yes', host: '../x' }));
  for (let at = 0; at < 300; at++) log.write(logs.slice(3), sourceOf({ host: `h${at}` }));
  await log.flush(5_000);
  assert.deepEqual(own, ['example.com 200', '../x 200', '../x 200']);
  assert.equal(await readFile(`${folder}/all.log`, 'utf8'), 'example.com 200\n../x 200\n');
  const names = await readdir(folder);
  assert.equal(names.length, 303);
  assert.ok(names.includes('_._x.log'));
  assert.equal(await readFile(`${folder}/h7.log`, 'utf8'), 'h7 200\n');
  assert.equal(log.dropped(), 0);
});
