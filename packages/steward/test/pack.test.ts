/** The package that `npm pack` makes, installed into an empty folder. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort, get, newPlace, repository, run } from './harness.ts';

test('the packed package works outside the checkout', { timeout: 240_000 }, async (t) => {
  const place = newPlace(t);
  const packed = await run('npm', ['pack', '--workspace', 'packages/steward', '--pack-destination', place.folder], { cwd: repository });
  assert.equal(packed.code, 0, packed.err);
  const archive = readdirSync(place.folder).find((name) => name.endsWith('.tgz')) ?? assert.fail('no archive');
  writeFileSync(join(place.folder, 'package.json'), '{"private": true}');
  const installed = await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', `./${archive}`], { cwd: place.folder });
  assert.equal(installed.code, 0, installed.err);
  const steward = join(place.folder, 'node_modules/.bin/steward');
  const env = { PATH: '/usr/bin:/bin', HOME: '/root', STEWARD_STATE: place.state };
  const version = await run(steward, ['version'], { cwd: '/', env });
  assert.match(version.out, /^steward \d+\.\d+\.\d+ on node v26\./, version.err);
  const port = await freePort();
  place.write(
    'steward.yaml',
    `services:\n  a: {run: sleep 1000}\nsites:\n  - {listen: ["127.0.0.1:${port}"], tls: internal, routes: [{respond: packed}]}\n`,
  );
  const up = await run(steward, ['up', '-d'], { cwd: place.folder, env });
  assert.equal(up.code, 0, up.out + up.err);
  const ca = (await run(steward, ['ca'], { cwd: place.folder, env })).out;
  assert.equal((await get(`https://localhost:${port}/`, { ca })).body, 'packed');
  const files = (await run('tar', ['tzf', archive], { cwd: place.folder })).out;
  assert.doesNotMatch(files, /\.ts\n|test|golden|mutate/, 'no sources and no tests in the package');
});
