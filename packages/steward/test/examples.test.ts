/** Every example runs, as its README says. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort, get, kill, newPlace, type Place, repository, run, until } from './harness.ts';

const examples = join(repository, 'examples');

/** A copy of an example with texts replaced, since its ports and paths may be taken here. */
function copyExample(place: Place, name: string, replace: (text: string) => string): string {
  const folder = join(place.folder, name);
  cpSync(join(examples, name), folder, { recursive: true });
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, file);
    if (!statSync(path).isFile() || !/\.(conf|ini|yaml)$/.test(file)) continue;
    writeFileSync(path, replace(readFileSync(path, 'utf8')));
  }
  return folder;
}

test('quickstart: two languages, files and HTTPS', async (t) => {
  const place = newPlace(t);
  const [tls, plain, counter] = [await freePort(), await freePort(), await freePort()];
  const folder = copyExample(place, 'quickstart', (text) =>
    text.replaceAll('8443', String(tls)).replaceAll('8080', String(plain)).replaceAll('8701', String(counter)),
  );
  const up = place.foreground('up', folder);
  await until('the gateway serves', () => up.text().includes(`serving https://localhost:${tls}/`));
  await until('all run', async () => (await place.ps()).every(({ state }) => state === 'RUNNING'));
  const ca = await place.ok('ca');
  const page = await get(`https://localhost:${tls}/`, { ca });
  assert.match(page.body, /Steward is running/);
  assert.match(String(page.headers['content-type']), /^text\/html/);
  const greetings = new Set<string>();
  for (let n = 0; n < 4; n++)
    greetings.add((JSON.parse((await get(`https://localhost:${tls}/api/hello`, { ca })).body) as { instance: string }).instance);
  assert.deepEqual([...greetings].toSorted(), ['greeter:greeter_1', 'greeter:greeter_2']);
  assert.equal((JSON.parse((await get(`https://localhost:${tls}/api/count`, { ca })).body) as { count: number }).count, 1);
  assert.equal((await get(`http://localhost:${plain}/`)).headers.location, `https://localhost:${tls}/`);
  up.kill('SIGINT');
  assert.equal(await new Promise((resolve) => up.once('exit', resolve)), 0);
});

test('shared-socket: processes that are killed refuse nobody', async (t) => {
  const place = newPlace(t);
  const port = await freePort();
  const folder = copyExample(place, 'shared-socket', (text) => text.replaceAll('8600', String(port)));
  await place.ok('up', '-d', folder);
  const before = await place.ps();
  for (const { pid } of before) kill(pid as number);
  const { body } = await get(`http://localhost:${port}/`);
  assert.match(body, /^hello from process \d+\n$/);
  assert.ok(
    before.every(({ pid }) => !body.includes(` ${pid}\n`)),
    'one that was started since answers',
  );
});

test('ooad: the supervisord and nginx files of a real back end, as they are', {
  skip: process.getuid?.() !== 0 && 'user=www-data needs root',
}, async (t) => {
  const place = newPlace(t);
  const [site, first] = [await freePort(), 18_000 + Math.floor(Math.random() * 1000) * 10];
  const folder = copyExample(place, 'ooad', (text) =>
    text
      .replaceAll('/srv/aio_ooad', join(place.folder, 'ooad'))
      .replace('listen 8000', `listen 127.0.0.1:${site}`)
      .replace('--port=808%(process_num)s', `--port=${first / 10}%(process_num)s`),
  );
  const { gid, uid } = await wwwData();
  for (const path of ['.', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })]) chownSync(join(folder, path), uid, gid);
  await place.ok('up', '-d', join(folder, 'supervisord.conf'), join(folder, 'nginx.conf'));
  const url = `http://127.0.0.1:${site}`;
  const instances = (await place.ps()).filter(({ service }) => service === 'aiohttp');
  assert.deepEqual(
    instances.map(({ id, state }) => `${id} ${state}`),
    [1, 2, 3, 4].map((n) => `aiohttp:example_${n} RUNNING`),
  );
  for (const n of [1, 2, 3, 4]) {
    assert.equal(statSync(join(folder, `example_${n}.sock`)).uid, uid);
    assert.equal((await get(`http://127.0.0.1:${first + n}/api/products`)).status, 200, 'each also answers on its own port');
  }
  const count = new Map<string, number>();
  for (let n = 0; n < 400; n++) {
    const { headers } = await get(`${url}/api/products`);
    const name = String(headers['x-instance']);
    count.set(name, (count.get(name) ?? 0) + 1);
  }
  for (const n of [1, 2, 3, 4]) assert.ok(Math.abs((count.get(`example_${n}`) ?? 0) - 100) <= 5, `uneven: ${JSON.stringify([...count])}`);
  const seen = JSON.parse((await get(`${url}/api/request`, { headers: { 'x-forwarded-for': '10.0.0.1' } })).body) as Record<string, string>;
  assert.deepEqual([seen.host, seen.forwarded], [`127.0.0.1:${site}`, '10.0.0.1, 127.0.0.1']);
  assert.match((await get(`${url}/static/site.css`)).body, /^body \{/);
  assert.equal((await get(`${url}/static/missing.css`)).status, 404);
  assert.match(await oneMegabyteOver(site), /^HTTP\/1\.1 200/, 'client_max_body_size 4G lets a larger body than 1 MB through');
  // Each killed in turn under load: no GET fails, and it is back within 3 s.
  const failed: string[] = [];
  let asking = true;
  const load = (async () => {
    while (asking)
      await get(`${url}/api/products`).then(
        ({ status }) => status !== 200 && failed.push(String(status)),
        (error: Error) => failed.push(error.message),
      );
  })();
  for (const { id, pid } of instances) {
    const at = Date.now();
    kill(pid as number);
    await until(`${id} is back`, async () => {
      const now = await place.instance(id);
      return now.pid !== undefined && now.pid !== pid;
    });
    t.diagnostic(`${id} was back after ${Date.now() - at} ms`);
  }
  asking = false;
  await load;
  assert.deepEqual(failed, []);
});

async function wwwData(): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all(['-u', '-g'].map(async (flag) => Number((await run('id', [flag, 'www-data'])).out)));
  return { uid: uid as number, gid: gid as number };
}

/** Sends 2 MB and gives back the head of the answer. */
function oneMegabyteOver(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const size = 2 * 1024 * 1024;
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(`POST /api/order HTTP/1.1\r\nHost: x\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`);
      socket.write(Buffer.alloc(size, 'x'));
    });
    let text = '';
    socket.on('data', (chunk) => (text += chunk));
    socket.once('error', reject);
    socket.once('close', () => resolve(text));
  });
}

test('watchdog: a service on its port, and the Apache file in front of it with three certificate files', async (t) => {
  const place = newPlace(t);
  const [back, front] = [await freePort(), await freePort()];
  const folder = copyExample(place, 'watchdog', (text) =>
    text.replaceAll('7878', String(back)).replaceAll(/(?<!apache-)7879/g, String(front)),
  );
  writeFileSync(join(folder, 'run.sh'), readFileSync(join(folder, 'run.sh'), 'utf8').replace('7878', String(back)));
  chmodSync(join(folder, 'run.sh'), 0o755);
  assert.equal((await run(join(folder, 'make-certificates.sh'), [])).code, 0);
  const { code, err, out } = await place.steward('up', '-d', folder);
  assert.equal(code, 0, out + err);
  assert.match(err, /apache-7879-proxy\.conf:25:14 {2}warning: this virtual host is never used/, 'the useless second virtual host is told');
  const ca = readFileSync(join(folder, 'ssl/1_root_bundle.crt'), 'utf8');
  const url = `https://localhost:${front}`;
  const direct = await get(`http://localhost:${back}/api/x?y=1`, { headers: { host: `localhost:${front}` } });
  const proxied = await get(`${url}/api/x?y=1`, { ca });
  assert.deepEqual([proxied.status, proxied.body], [200, direct.body], 'https in front answers as http behind');
  assert.equal((await get(`${url}/moved`, { ca })).headers.location, `${url}/here`, 'ProxyPassReverse rewrites Location');
  assert.equal((await get(`http://localhost:${front}/api`)).status, 400, 'plain HTTP on the HTTPS port is refused in words');
  const { pid } = await place.instance('backend');
  kill(pid as number);
  const at = Date.now();
  await until('the back end answers again', async () => {
    const now = await place.instance('backend');
    return now.pid !== pid && now.state === 'RUNNING';
  });
  t.diagnostic(`the back end was back after ${Date.now() - at} ms`);
  assert.equal((await get(`${url}/api`, { ca })).status, 200);
});

test('every example file is checked without errors, and names the schema for editors', async (t) => {
  const place = newPlace(t);
  for (const name of readdirSync(examples)) {
    const file = join(examples, name, 'steward.yaml');
    if (!existsSync(file)) continue;
    assert.match(readFileSync(file, 'utf8'), /^# yaml-language-server: \$schema=\.\.\/\.\.\/docs\/steward\.schema\.json\n/);
    if (name !== 'watchdog') await place.ok('check', file);
  }
});

test('import prints a steward.yaml that runs the same instances', async (t) => {
  const place = newPlace(t);
  const files = [join(examples, 'ooad/supervisord.conf'), join(examples, 'ooad/nginx.conf')];
  place.write('imported.yaml', await place.ok('import', ...files));
  await place.ok('check', 'imported.yaml');
  const json = JSON.parse(await place.ok('import', '--json', ...files)) as { services: Record<string, { instances: number }> };
  assert.equal(json.services.aiohttp?.instances, 4);
  const again = await place.ok('import', 'imported.yaml');
  assert.equal(again, readFileSync(join(place.folder, 'imported.yaml'), 'utf8'), 'what was imported imports as itself');
});
