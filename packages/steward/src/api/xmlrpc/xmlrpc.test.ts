/** Where supervisorctl is answered: sockets and ports are opened, replaced and closed, for real. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { SupervisorctlListener } from '../../config/model.ts';
import { freePort } from '../../kernel/free-port.ts';
import type { Rooms } from '../handlers.ts';
import { createXmlRpc, type XmlRpc } from './xmlrpc.ts';

interface Place {
  readonly folder: string;
  readonly troubles: string[];
  /** From where wrong passwords came. */
  readonly denied: string[];
  readonly rpc: XmlRpc;
}

function placeFor(t: TestContext): Place {
  const folder = mkdtempSync(join(tmpdir(), 'steward-rpc-'));
  const troubles: string[] = [];
  const denied: string[] = [];
  const rooms = {
    supervisor: { views: () => [] },
    journal: { last: () => [], follow: () => () => {} },
    system: { groups: { mood: () => 'running' } },
  } as unknown as Rooms;
  const rpc = createXmlRpc({
    rooms,
    mainLog: join(folder, 'no.log'),
    begin: () => () => {},
    onDenied: (from) => denied.push(from),
    onTrouble: (message) => troubles.push(message),
    onError: (error) => assert.fail(error as Error),
  });
  t.after(async () => {
    await rpc.close();
    rmSync(folder, { recursive: true });
  });
  return { folder, troubles, denied, rpc };
}

const unix = (path: string, more: object = {}): SupervisorctlListener => ({ kind: 'unix', path, mode: 0o700, ...more });

const body = '<methodCall><methodName>supervisor.getPID</methodName></methodCall>';

/** The answer to a call: its status and text; 0 when nobody answers. */
function ask(at: { socketPath: string } | { port: number }, auth?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const sent = request(
      { ...at, method: 'POST', path: '/RPC2', agent: false, headers: { 'content-type': 'text/xml' }, ...(auth && { auth }) },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk) => (text += chunk));
        answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    sent.once('error', (error) => resolve({ status: 0, text: error.message }));
    sent.end(body);
  });
}

const statusAt = async (path: string): Promise<number> => (await ask({ socketPath: path })).status;

test('a socket has its rights from its first moment, is the only thing left behind, and goes when nobody wants it', async (t) => {
  const { folder, rpc, troubles } = placeFor(t);
  const path = join(folder, 's.sock');
  await rpc.listen([unix(path, { mode: 0o640 })]);
  assert.equal(lstatSync(path).mode & 0o777, 0o640);
  assert.deepEqual(readdirSync(folder), ['s.sock']);
  const { status, text } = await ask({ socketPath: path });
  assert.deepEqual([status, text.includes(`<int>${process.pid}</int>`)], [200, true]);
  await rpc.listen([]);
  assert.deepEqual(readdirSync(folder), []);
  assert.deepEqual(troubles, []);
});

test('where it listens follows what is wanted; what stays wanted is not touched', async (t) => {
  const { folder, rpc, denied } = placeFor(t);
  const [a, b] = [join(folder, 'a.sock'), join(folder, 'b.sock')];
  const port = await freePort();
  await rpc.listen([unix(a)]);
  const kept = lstatSync(a).ino;
  await rpc.listen([unix(a), unix(b), { kind: 'tcp', host: '127.0.0.1', port, credentials: { username: 'u', password: 'p' } }]);
  assert.equal(lstatSync(a).ino, kept);
  assert.deepEqual([await statusAt(a), await statusAt(b)], [200, 200]);
  assert.deepEqual(
    [(await ask({ port })).status, (await ask({ port }, 'u:x')).status, (await ask({ port }, 'u:p')).status],
    [401, 401, 200],
  );
  await Promise.all(Array.from({ length: 5 }, () => ask({ port }, 'u:x')));
  assert.deepEqual(denied, ['127.0.0.1'], 'who tries many is told once in a while');
  await rpc.listen([unix(b, { credentials: { username: 'u', password: 'p' } })]);
  assert.deepEqual([existsSync(a), await statusAt(b), (await ask({ port })).status], [false, 401, 0]);
});

test('a wrong password is answered a second late, and the right one at once', async (t) => {
  const { folder, rpc } = placeFor(t);
  const socketPath = join(folder, 'slow.sock');
  await rpc.listen([unix(socketPath, { credentials: { username: 'ops', password: 'right' } })]);
  const begun = performance.now();
  const guesses = await Promise.all(['a', 'b', 'c'].map((guess) => ask({ socketPath }, `ops:${guess}`)));
  assert.deepEqual(
    guesses.map(({ status }) => status),
    [401, 401, 401],
  );
  assert.ok(performance.now() - begun >= 990);
  assert.equal((await ask({ socketPath }, 'ops:right')).status, 200);
});

test('the socket of a server that lives is left to it, and taken once it goes', async (t) => {
  const { folder, rpc, troubles } = placeFor(t);
  const path = join(folder, 's.sock');
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(path, resolve));
  await rpc.listen([unix(path)]);
  assert.equal(troubles.length, 1);
  assert.match(troubles[0] ?? '', /another server answers at .*s\.sock/);
  await rpc.listen([unix(path)]);
  assert.equal(troubles.length, 1, 'the same trouble is told once');
  await new Promise((resolve) => other.close(resolve));
  assert.equal(existsSync(path), false);
  for (let tries = 0; !existsSync(path) && tries < 200; tries++) await wait(50); // it tries again by itself
  assert.equal(await statusAt(path), 200);
});

test('what a killed server left of its socket is replaced', async (t) => {
  const { folder, rpc, troubles } = placeFor(t);
  const path = join(folder, 's.sock');
  const bind = `import socket; s = socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(path)}); s.listen(1)`;
  execFileSync('/usr/bin/python3', ['-c', bind]);
  assert.equal(lstatSync(path).isSocket(), true);
  await rpc.listen([unix(path)]);
  assert.deepEqual([await statusAt(path), troubles], [200, []]);
});

test('nothing but a socket is replaced, and no link is followed', async (t) => {
  const { folder, rpc, troubles } = placeFor(t);
  const [file, link] = [join(folder, 'file'), join(folder, 'link')];
  writeFileSync(file, 'precious');
  symlinkSync(file, link);
  await rpc.listen([unix(file), unix(link)]);
  assert.equal(readFileSync(file, 'utf8'), 'precious');
  assert.equal(lstatSync(link).isSymbolicLink(), true);
  assert.equal(lstatSync(file).mode & 0o777, 0o644);
  assert.deepEqual(
    troubles.map((text) => /is no socket/.test(text)),
    [true, true],
  );
  assert.deepEqual(readdirSync(folder).toSorted(), ['file', 'link']);
});

test('a folder in which anybody can put something else in its place is refused, as one that is missing', async (t) => {
  const { folder, rpc, troubles } = placeFor(t);
  const [open, sticky] = [join(folder, 'open'), join(folder, 'sticky')];
  for (const path of [open, sticky]) mkdirSync(path);
  chmodSync(open, 0o777);
  chmodSync(sticky, 0o1777);
  await rpc.listen([
    unix(join(open, 's')),
    unix(join(folder, 'none', 's')),
    unix(join(sticky, 's')),
    unix(join(folder, 'x'), { group: 'nobody-has-this' }),
  ]);
  assert.deepEqual(
    troubles.map((text) => /anybody may replace|there is no folder|there is no group/.exec(text)?.[0]),
    ['anybody may replace', 'there is no folder', 'there is no group'],
  );
  assert.equal(await statusAt(join(sticky, 's')), 200);
  assert.deepEqual(readdirSync(folder).toSorted(), ['open', 'sticky']);
});

test('a port that is taken is told, and had once it is free', async (t) => {
  const { rpc, troubles } = placeFor(t);
  const other = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  const spec: SupervisorctlListener = { kind: 'tcp', host: '127.0.0.1', port };
  await rpc.listen([spec]);
  assert.match(troubles[0] ?? '', /another program listens there/);
  await new Promise((resolve) => other.close(resolve));
  await rpc.listen([spec]);
  assert.equal((await ask({ port })).status, 200);
});

test('connections that say nothing take no place from others for ever', async (t) => {
  const { folder, rpc } = placeFor(t);
  const path = join(folder, 's.sock');
  await rpc.listen([unix(path)]);
  const idle: Socket[] = [];
  t.after(() => idle.forEach((socket) => void socket.destroy()));
  let closed = 0;
  for (let n = 0; n < 80; n++) {
    const socket = connect(path);
    socket.on('error', () => {});
    socket.once('close', () => (closed += 1));
    idle.push(socket);
  }
  for (let tries = 0; closed < 16 && tries < 200; tries++) await wait(20);
  assert.equal(closed, 16, 'what is over the limit is closed');
  for (const socket of idle) socket.destroy();
  for (let tries = 0; (await statusAt(path)) !== 200 && tries < 200; tries++) await wait(20);
  assert.equal(await statusAt(path), 200);
});
