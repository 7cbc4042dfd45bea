/** The API as others reach it: over HTTPS, with sessions, tokens and roles. One Steward for most of it. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { type Client, createClient } from '@steward/sdk/client';
import { operations } from '@steward/sdk/contract/contract';
import type { Operation } from '@steward/sdk/contract/operation';
import type { Role } from '@steward/sdk/contract/rights';
import { freePort, launcher, newPlace, type Place, run, until } from './harness.ts';

interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly json: Record<string, unknown>;
}

/** Says what a browser would: a request as it is, over TLS that is checked. */
type Ask = (method: string, path: string, more?: { headers?: Record<string, string>; body?: unknown }) => Promise<Reply>;

const asker =
  (port: number, ca: string): Ask =>
  (method, path, { headers = {}, body } = {}) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const made = request(
        {
          host: 'localhost',
          port,
          method,
          path,
          ca,
          agent: false,
          timeout: 20_000,
          headers: { ...(text !== undefined && { 'content-type': 'application/json' }), ...headers },
        },
        (answer) => {
          let whole = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk) => (whole += chunk));
          answer.once('end', () => {
            const json = whole.startsWith('{') ? (JSON.parse(whole) as Record<string, unknown>) : { text: whole };
            resolve({ status: answer.statusCode ?? 0, headers: answer.headers, json });
          });
        },
      );
      made.once('error', reject);
      made.once('timeout', () => made.destroy(new Error('no answer')));
      made.end(text);
    });

interface Served {
  readonly place: Place;
  readonly port: number;
  readonly ca: string;
  readonly ask: Ask;
  /** At the control socket. */
  readonly local: Client;
  readonly yaml: string;
  /** A client with a token of a new person who has these roles. */
  as(role: Role, on?: readonly string[]): Promise<Client & { readonly secret: string }>;
}

const password = 'correct horse battery staple';
const services = `services:
  web: {run: [sleep, "1000"], upAfter: 0s}
  shop: {run: [sh, -c, "echo in the shop; exec sleep 1000"], upAfter: 0s, group: trade}
`;

async function serve(t: Parameters<typeof newPlace>[0], more = ''): Promise<Served> {
  const place = newPlace(t);
  const port = await freePort();
  const yaml = place.write('steward.yaml', `${services}api: {listen: "127.0.0.1:${port}"${more}}\n`);
  await place.ok('up', '-d', yaml);
  const local = createClient({ socketPath: join(place.state, 'control.sock') });
  const { certificate: ca } = await local.getAuthority();
  const ask = asker(port, ca);
  await until('the API over HTTPS', () =>
    ask('GET', '/openapi.json').then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  let people = 0;
  return {
    place,
    port,
    ca,
    ask,
    local,
    yaml,
    async as(role, on) {
      const name = `p${++people}`;
      const grants = [{ role, ...(on && { on: [...on] }) }];
      await local.createPerson({ body: { name, grants } });
      const { secret } = await local.createToken({ body: { name: 't', for: name, grants } });
      return Object.assign(createClient({ url: `https://localhost:${port}`, token: secret, ca }), { secret });
    },
  };
}

const code = (reply: Reply): unknown => reply.json.code;
const refused = (work: Promise<unknown>, status: number, code?: string): Promise<void> =>
  assert.rejects(work, { status, ...(code && { code }) });

test('people, programs and pages of other sites', async (t) => {
  const served = await serve(t);
  const { ask, local } = served;

  await t.test(
    'the first super admin sets a password by a code that works once, and the session is a cookie no script can read',
    async () => {
      const { code: invitation } = await local.createAdmin({ body: { name: 'alice' } });
      const body = { code: invitation, password };
      const first = await ask('POST', '/v1/invitations/redeem', { body });
      assert.equal(first.status, 200, JSON.stringify(first.json));
      const cookie = String(first.headers['set-cookie']);
      for (const part of ['__Host-steward=', 'Path=/', 'HttpOnly', 'Secure', 'SameSite=Strict'])
        assert.ok(cookie.includes(part), `${part} in ${cookie}`);
      assert.equal(first.json.session, undefined);
      assert.equal((await ask('POST', '/v1/invitations/redeem', { body })).status >= 400, true);
    },
  );

  await t.test('an unknown name and a wrong password are refused in the same words', async () => {
    const wrong = await ask('POST', '/v1/login', { body: { name: 'alice', password: 'wrong password 123' } });
    const unknown = await ask('POST', '/v1/login', { body: { name: 'nobody-here', password: 'wrong password 123' } });
    assert.equal(wrong.status, 401);
    assert.deepEqual({ ...unknown.json }, { ...wrong.json });
  });

  await t.test('what changes something with a session needs the token of a page of ours; other sites get nothing done', async () => {
    const login = await ask('POST', '/v1/login', { body: { name: 'alice', password } });
    const cookie = String(login.headers['set-cookie']).split(';')[0] as string;
    const csrf = login.json.csrf as string;
    const restart = (headers: Record<string, string>) =>
      ask('POST', '/v1/instances/restart', { headers: { cookie, ...headers }, body: { names: ['web'] } });
    assert.equal((await ask('GET', '/v1/status', { headers: { cookie } })).status, 200);
    assert.equal(code(await restart({})), 'api/csrf');
    assert.equal(code(await restart({ 'x-csrf-token': `${csrf}x` })), 'api/csrf');
    assert.equal(code(await restart({ 'x-csrf-token': csrf, origin: 'https://evil.example' })), 'api/csrf');
    assert.equal(code(await restart({ 'x-csrf-token': csrf, 'sec-fetch-site': 'cross-site' })), 'api/csrf');
    assert.equal(
      code(await ask('POST', '/v1/login', { headers: { origin: 'https://evil.example' }, body: { name: 'alice', password } })),
      'api/csrf',
    );
    assert.equal(
      (await restart({ 'x-csrf-token': csrf, origin: `https://localhost:${served.port}`, 'sec-fetch-site': 'same-origin' })).status,
      200,
    );
    const out = await ask('POST', '/v1/logout', { headers: { cookie, 'x-csrf-token': csrf } });
    assert.equal(out.status, 200, JSON.stringify(out.json));
    assert.match(String(out.headers['set-cookie']), /__Host-steward=;/);
    assert.equal((await ask('GET', '/v1/status', { headers: { cookie } })).status, 401);
  });

  await t.test('without a session or a token no operation is done but those by which somebody becomes known', async () => {
    for (const [name, { method, path, needs, local: isLocal }] of Object.entries(operations) as [string, Operation][]) {
      if (needs === 'nothing') continue;
      const reply = await ask(
        method,
        path.replace(/:\w+/g, '1'),
        method === 'GET'
          ? {}
          : {
              body: {
                names: ['web'],
                service: 'web',
                command: ['id'],
                instance: 'x',
                files: [{ path: '/x', text: '' }],
                to: '2',
                signal: 'HUP',
                name: 'x',
                password: 'y',
                value: 'z',
                totp: '1',
                newPassword: 'n',
                grants: [],
                node: '/x',
                main: '/y',
              },
            },
      );
      assert.ok([400, 401, 403].includes(reply.status), `${name}: ${reply.status} ${JSON.stringify(reply.json)}`);
      if (method === 'GET') assert.ok(reply.status === 401 || reply.status === 400 || isLocal, name);
    }
    assert.equal((await ask('GET', '/v1/status', { headers: { authorization: 'Bearer stw_nonsense' } })).status, 401);
  });

  await t.test(
    'a viewer sees and does nothing, an operator operates and configures nothing, an audit admin reads the trail alone',
    async () => {
      const viewer = await served.as('viewer');
      assert.equal((await viewer.listInstances()).instances.length, 2);
      await refused(viewer.restartInstances({ body: { names: ['web'] } }), 403, 'api/forbidden');
      const operator = await served.as('operator');
      await operator.restartInstances({ body: { names: ['web'] } });
      await refused(operator.getConfig(), 403);
      await refused(operator.runCommand({ body: { service: 'web', command: ['id'] } }), 403);
      await refused(operator.listAudit(), 403);
      const auditor = await served.as('audit');
      assert.ok((await auditor.listAudit()).entries.length > 0);
      await refused(auditor.listInstances(), 403);
      await refused(auditor.restartInstances({ body: { names: ['web'] } }), 403);
      const admin = await served.as('super');
      await refused(admin.createAdmin({ body: { name: 'mallory' } }), 403, 'api/local-only');
    },
  );

  await t.test('who has a role for one service neither sees nor touches another', async () => {
    const scoped = await served.as('operator', ['service:web']);
    assert.deepEqual(
      (await scoped.listInstances()).instances.map(({ id }) => id),
      ['web'],
    );
    assert.deepEqual(
      (await scoped.listServices()).services.map(({ name }) => name),
      ['web'],
    );
    await refused(scoped.restartInstances({ body: { names: ['trade:shop'] } }), 404, 'api/unknown-name');
    await refused(scoped.getInstance({ params: { id: 'trade:shop' } }), 404);
    const { instances } = await scoped.restartInstances({ body: { names: ['all'] } });
    assert.deepEqual(
      instances.map(({ id }) => id),
      ['web'],
    );
    const subjects = new Set((await scoped.pageFacts({ query: { limit: 1000 } })).facts.map(({ subject }) => subject));
    assert.deepEqual([...subjects], ['web']);
    const lines: string[] = [];
    for await (const { data } of scoped.readLogs()) lines.push(data.text);
    assert.ok(!lines.includes('in the shop'));
    const group = await served.as('viewer', ['group:trade']);
    assert.deepEqual(
      (await group.listInstances()).instances.map(({ service }) => service),
      ['shop'],
    );
    await refused(scoped.getTraffic(), 403);
  });

  await t.test('everything that was done or refused stands in the audit trail, with no secret in it', async () => {
    const { entries } = await local.listAudit({ query: { limit: 1000 } });
    const find = (action: string, result: string) => entries.find((entry) => entry.action === action && entry.result === result);
    for (const [action, result] of [
      ['createAdmin', 'done'],
      ['redeemInvitation', 'done'],
      ['login', 'refused'],
      ['login', 'done'],
      ['restartInstances', 'done'],
      ['restartInstances', 'refused'],
    ] as const)
      assert.ok(find(action, result), `${action} ${result}`);
    const text = JSON.stringify(entries);
    assert.ok(!text.includes(password) && !text.includes('wrong password'));
    assert.equal(
      entries.find(({ as, action }) => as === 'local' && action === 'createAdmin')?.who.startsWith('root') || process.getuid?.() !== 0,
      true,
    );
    assert.equal((await local.verifyAudit()).whole, true);
  });

  await t.test('a request with the same key is done once', async () => {
    const operator = await served.as('operator');
    await until('web to run', async () => (await served.place.instance('web')).state === 'RUNNING');
    const { pid } = await served.place.instance('web');
    const once = { body: { names: ['web'] }, idempotencyKey: 'k1' };
    const first = await operator.restartInstances(once);
    await until('web to run again', async () => {
      const web = await served.place.instance('web');
      return web.state === 'RUNNING' && web.pid !== pid;
    });
    const { pid: second } = await served.place.instance('web');
    assert.deepEqual(await operator.restartInstances(once), first);
    assert.equal((await served.place.instance('web')).pid, second);
    await refused(operator.restartInstances({ ...once, body: { names: ['shop'] } }), 422, 'api/key-reused');
  });

  await t.test('a stream of facts goes on behind the last one that was seen', async () => {
    const viewer = await served.as('viewer');
    const ids: number[] = [];
    const first = new AbortController();
    for await (const { id } of viewer.listFacts({ query: { after: 0, follow: true } }, first.signal)) {
      ids.push(Number(id));
      if (ids.length === 5) first.abort();
    }
    await local.restartInstances({ body: { names: ['web'] } });
    const reply = await ask('GET', '/v1/facts', {
      headers: { authorization: `Bearer ${viewer.secret}`, 'last-event-id': String(ids.at(-1)) },
    });
    const next = [...String(reply.json.text).matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    assert.equal(next[0], (ids.at(-1) ?? 0) + 1);
    assert.deepEqual(
      next,
      Array.from({ length: next.length }, (_, index) => (next[0] ?? 0) + index),
    );
  });

  await t.test('a stream ends when the token it was opened with is taken back', async () => {
    const viewer = await served.as('viewer');
    const { tokens } = await viewer.listTokens();
    const stream = viewer.listFacts({ query: { follow: true, count: 1 } });
    await stream.next();
    await local.revokeToken({ params: { id: tokens[0]?.id ?? '' } });
    await until('the end of the stream', async () => {
      const next = await Promise.race([stream.next().catch(() => ({ done: true })), wait(1000)]);
      return next?.done === true;
    });
    await refused(viewer.listInstances(), 401);
  });

  await t.test('the configuration is written by who has read it as it is, applied, kept, and rolled back', async () => {
    const admin = await served.as('super');
    const before = await admin.getConfig();
    assert.deepEqual(
      before.files.map(({ path }) => path),
      [served.yaml],
    );
    const text = before.files[0]?.text ?? '';
    const more = { path: served.yaml, text: `${text}# a remark\n`.replace('web: {', 'web: {env: {A: "1"}, ') };
    await refused(admin.putConfig({ body: { files: [{ path: served.yaml, text: 'services: {web: 7}' }] } }), 422, 'config/errors');
    await refused(admin.putConfig({ body: { files: [{ path: '/etc/passwd', text: 'x' }] } }), 422, 'config/not-ours');
    await refused(admin.putConfig({ body: { files: [more] }, ifMatch: 'another' }), 412, 'config/changed-meanwhile');
    assert.equal(readFileSync(served.yaml, 'utf8'), text);
    const check = await admin.checkConfig({ body: { files: [more] } });
    assert.deepEqual(
      check.changes.filter(({ kind }) => kind === 'restart').map(({ id }) => id),
      ['web'],
    );
    assert.equal(readFileSync(served.yaml, 'utf8'), text);
    await admin.putConfig({ body: { files: [more] }, ifMatch: before.etag });
    assert.equal(readFileSync(served.yaml, 'utf8'), more.text);
    const { versions } = await admin.listConfigVersions();
    assert.deepEqual(
      versions.map(({ by }) => by.split('/')[0]),
      [/^p\d+$/.exec(versions[0]?.by.split('/')[0] ?? '')?.[0], versions[1]?.by],
    );
    writeFileSync(served.yaml, `${more.text}# edited by hand\n`);
    assert.equal((await admin.getConfig()).changedSinceApply, true);
    await admin.rollBackConfig({ params: { version: 1 }, body: {} });
    assert.equal(readFileSync(served.yaml, 'utf8'), text);
    assert.equal((await served.place.ok('history')).trim().split('\n').length, 3);
    await refused(admin.rollBackConfig({ params: { version: 99 }, body: {} }), 404, 'api/unknown-version');
  });

  await t.test('the command line does the same to a Steward elsewhere with a token', async () => {
    const { secret } = await served.as('operator');
    const file = served.place.write('token', `${secret}\n`);
    const env = { ...process.env, STEWARD_CA: served.place.write('ca.pem', served.ca) };
    const remote = (more: NodeJS.ProcessEnv, ...words: string[]) =>
      run(launcher, [...words, '--url', `https://localhost:${served.port}`, '--token-file', file], { env: { ...env, ...more } });
    const listed = await remote({}, 'ps', '--json');
    assert.equal(listed.code, 0, listed.err);
    assert.deepEqual(
      (JSON.parse(listed.out) as { instances: { id: string }[] }).instances.map(({ id }) => id),
      ['web', 'trade:shop'],
    );
    assert.equal((await remote({}, 'restart', 'web')).code, 0);
    const forbidden = await remote({}, 'down');
    assert.deepEqual([forbidden.code, /api\/forbidden/.test(forbidden.err)], [2, true]);
    const unknown = await remote({ STEWARD_CA: '' }, 'ps');
    assert.equal(unknown.code, 3, 'an authority nobody told of is not believed');
    assert.match(unknown.err, /no Steward answers at https:.*certificate.*\$STEWARD_CA/s);
    assert.equal((await remote({}, 'upgrade-daemon')).code, 2, 'that is for the machine itself');
  });

  await t.test('what is too large, too much or malformed is refused in words, and the daemon goes on', async () => {
    const { secret } = await served.as('operator');
    const headers = { authorization: `Bearer ${secret}` };
    const large = await ask('POST', '/v1/instances/start', { headers, body: { names: ['x'.repeat(2 * 1024 * 1024)] } });
    assert.deepEqual([large.status, code(large)], [413, 'api/bad-request']);
    assert.equal((await ask('POST', '/v1/instances/start', { headers, body: { names: 7 } })).status, 400);
    assert.equal((await ask('GET', '/v1/none', { headers })).status, 404);
    assert.equal((await ask('GET', '/v1/status', { headers: { ...headers, 'x-long': 'a'.repeat(20_000) } })).status, 431);
    assert.equal((await ask('GET', '/v1/status', { headers })).status, 200);
  });
});

test('an address that asks too often is answered 429 with when to come again', async (t) => {
  const { ask } = await serve(t, ', requestsPerMinute: 10');
  let last: Reply | undefined;
  for (let count = 0; count < 12; count++) last = await ask('GET', '/v1/status');
  assert.deepEqual([last?.status, code(last as Reply)], [429, 'api/too-many']);
  assert.ok(Number(last?.headers['retry-after']) > 0);
});

test('a client that sends its request byte by byte is let go, and the others are answered meanwhile', async (t) => {
  const { port, ca, ask } = await serve(t);
  const socket = connectTls({ host: 'localhost', port, ca });
  let closed = false;
  socket.on('error', () => {});
  socket.once('close', () => {
    closed = true;
  });
  socket.write('GET /v1/status HTTP/1.1\r\nHost: localhost\r\n');
  const drip = setInterval(() => socket.writable && socket.write('x'), 500);
  await until('the slow client to be let go', async () => {
    assert.equal((await ask('GET', '/openapi.json')).status, 200);
    return closed;
  });
  clearInterval(drip);
});

test('a port that is taken is told, and had as soon as it is free', async (t) => {
  const served = await serve(t);
  const { createServer } = await import('node:net');
  const port = await freePort();
  const taken = createServer().listen(port, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  served.place.write('steward.yaml', `${services}api: {listen: "127.0.0.1:${port}"}\n`);
  await served.place.ok('apply', served.yaml);
  await until('the fact that says so', async () => (await served.place.ok('events')).includes(`cannot listen on 127.0.0.1:${port}`));
  await new Promise((resolve) => taken.close(resolve));
  await until('the API at its new address', () =>
    asker(port, served.ca)('GET', '/openapi.json').then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  await assert.rejects(served.ask('GET', '/openapi.json'), 'the old address is closed');
});
