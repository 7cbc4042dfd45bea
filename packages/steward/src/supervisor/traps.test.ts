import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InstanceSpec } from '../config/model.ts';
import { identify } from './spawn.ts';
import { describeDaemon, describeSocketFolder, type Ended, explainEnd, foregroundOption, portInLines, quoteLines } from './traps.ts';

const spec = (fields: Partial<InstanceSpec>): InstanceSpec => ({ command: ['app'], ...fields }) as InstanceSpec;
const ended = (fields: Partial<Ended>): Ended => ({
  spec: spec({}),
  identity: undefined,
  exit: { code: 1, signal: null },
  outOfMemory: false,
  early: true,
  strays: [],
  lines: [],
  ...fields,
});

test('what keeps a program in the foreground is known by its name, also behind an interpreter or with a version', () => {
  assert.equal(foregroundOption(['/usr/sbin/nginx', '-c', 'x.conf']), "-g 'daemon off;'");
  assert.equal(foregroundOption(['redis-server']), '--daemonize no');
  assert.equal(foregroundOption(['/usr/sbin/php-fpm8.2']), '--nodaemonize');
  assert.match(foregroundOption(['python3', '/venv/bin/gunicorn', 'app:app']) ?? '', /daemon = True/);
  assert.equal(foregroundOption(['./server']), undefined);
});

test('a daemon is told with its pid and the option at fault', () => {
  assert.equal(
    describeDaemon(['nginx'], [{ pid: 7, command: 'nginx: master process' }]),
    "it made itself a daemon: pid 7 (nginx: master process) lived on without it; keep it in the foreground: -g 'daemon off;'",
  );
  const four = [1, 2, 3, 4].map((pid) => ({ pid, command: 'x' }));
  assert.match(describeDaemon(['./own'], four), /pid 3 \(x\) and 1 more lived on without it; keep it in the foreground$/);
});

test('the last lines are quoted: three of them, without empty ones, cut', () => {
  assert.equal(quoteLines([]), undefined);
  assert.equal(quoteLines(['a', '', 'b', ' ', 'c', 'd']), 'it wrote: b / c / d');
  const stack = [
    'Error: no luck',
    '    at a (b:1)',
    '    at c (d:2)',
    "Emitted 'error' event",
    "  code: 'X',",
    '  port: 80',
    '}',
    '',
    'Node.js v26',
  ];
  assert.equal(quoteLines(stack), 'it wrote: Error: no luck / port: 80 / Node.js v26');
  const long = quoteLines(['x'.repeat(1000)]) ?? '';
  assert.ok(long.length < 200 && long.endsWith('...'));
});

test('the port that a line says is taken is found in the words of several runtimes', () => {
  assert.equal(portInLines(['Error: listen EADDRINUSE: address already in use 127.0.0.1:8080']), 8080);
  assert.equal(portInLines(['Error: listen EADDRINUSE: address already in use :::3000', '    at Server.setupListenHandle']), 3000);
  assert.equal(portInLines(['nginx: [emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)']), 80);
  assert.equal(portInLines(['OSError: [Errno 98] Address already in use']), undefined);
  assert.equal(portInLines(["[ERROR] Connection in use: ('127.0.0.1', 8000)", '[Errno 98] Address already in use: port 8000']), 8000);
  assert.equal(portInLines(['listening on 8080']), undefined);
});

test('a start that failed because somebody has its port is told by whom', async () => {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as { port: number };
  const taken = spec({ endpoint: { kind: 'tcp', host: '127.0.0.1', port } });
  assert.match(explainEnd(ended({ spec: taken })) ?? '', new RegExp(`^port ${port} is taken by .+ \\(pid ${process.pid}`));
  assert.equal(explainEnd(ended({ spec: taken, early: false })), undefined);
  assert.equal(explainEnd(ended({ spec: taken, exit: { code: 0, signal: null } })), undefined);
  const said = explainEnd(ended({ lines: [`Error: listen EADDRINUSE: address already in use :::${port}`] }));
  assert.match(said ?? '', /is taken by .*; it wrote: Error: listen EADDRINUSE/);
  const late = explainEnd(ended({ early: false, lines: [`Error: listen EADDRINUSE: address already in use :::${port}`] }));
  assert.equal(late, said);
  await new Promise((done) => server.close(done));
  assert.equal(explainEnd(ended({ spec: taken })), undefined);
});

test('a folder that the user of a service may not put its socket into is told', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'steward-traps-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const own = identify({});
  const at = (path: string): InstanceSpec => spec({ endpoint: { kind: 'unix', path, owned: false } });
  assert.equal(describeSocketFolder(at(join(folder, 'app.sock')), own), undefined);
  assert.match(describeSocketFolder(at(join(folder, 'none/app.sock')), own) ?? '', /none, does not exist; with socket: true/);
  const other = {
    user: { name: 'somebody', uid: 4_000_000, gid: 4_000_000, home: '/', shell: '' },
    gid: 4_000_000,
    groups: [],
    switches: true,
  };
  assert.match(describeSocketFolder(at(join(folder, 'app.sock')), other) ?? '', /^user somebody may not make its socket in/);
});

test('a kill by the kernel for its memory is told', () =>
  assert.equal(
    explainEnd(ended({ exit: { code: null, signal: 9 }, outOfMemory: true })),
    'the kernel killed it: its tree was over limits.memory',
  ));

test('a crash that nothing is known of is told in no more words', () => assert.equal(explainEnd(ended({})), undefined));
