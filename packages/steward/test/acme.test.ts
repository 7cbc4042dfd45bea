/** A certificate of an authority out there, from the first `up` to the restart of the daemon. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { startPebble } from '../src/gateway/certificates/acme/testing.ts';
import { freePort, get, kill, newPlace, until } from './harness.ts';

const host = 'shop.example';

/** The authority's certificate that is shown for the host, as text; undefined while there is only one of our own. */
function shownAt(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, servername: host, rejectUnauthorized: false }, () => {
      const shown = socket.getPeerX509Certificate();
      resolve(shown?.issuer.includes('Pebble') ? shown.toString() : undefined);
      socket.destroy();
    });
    socket.on('error', () => resolve(undefined));
  });
}

test('a site with `tls: acme` gets a certificate over its plain port, and a new daemon asks for none', { timeout: 90_000 }, async (t) => {
  const [plain, secure] = [await freePort(), await freePort()];
  const pebble = await startPebble(t, { httpPort: plain, tlsPort: await freePort() });
  const place = newPlace(t);
  const { directory, directoryCa } = pebble.spec;
  place.write('ca.pem', readFileSync(String(directoryCa), 'utf8'));
  place.write(
    'steward.yaml',
    `gateway: {workers: 1}
acme: {directory: "${directory}", directoryCa: ca.pem}
sites:
  - hosts: [${host}]
    listen: ["127.0.0.1:${secure}"]
    redirectFrom: ["127.0.0.1:${plain}"]
    tls: acme
    routes: [{respond: "over tls"}]
`,
  );
  await place.ok('up', '-d');
  const log = (): string => readFileSync(join(place.state, 'daemon.log'), 'utf8');
  const first = await until('a certificate', () => shownAt(secure)).catch((error) => assert.fail(`${error}\n${log()}\n${pebble.log()}`));
  const redirected = await get(`http://127.0.0.1:${plain}/a`, { headers: { host } });
  assert.deepEqual([redirected.status, redirected.headers.location], [308, `https://${host}:${secure}/a`]);
  assert.equal((await get(`http://127.0.0.1:${plain}/.well-known/acme-challenge/other`, { headers: { host } })).status, 308);
  const asked = pebble.log().match(/POST/g)?.length ?? 0;
  assert.ok(asked > 5);

  kill(await place.daemonPid());
  assert.equal(await shownAt(secure), first, 'served on without a daemon');
  await place.ok('up', '-d');
  assert.equal(await shownAt(secure), first, 'and by the new one from its first table on');
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  assert.equal(await shownAt(secure), first);
  assert.equal(pebble.log().match(/POST/g)?.length, asked, 'nothing is asked again');
});
