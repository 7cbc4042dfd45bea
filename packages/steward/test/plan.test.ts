/** Promise 2 and 4: change is planned, then applied; a broken file changes nothing; every problem at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, get, newPlace, type Place } from './harness.ts';

const base = 'services:\n  a: {run: sleep 1000, env: {MODE: one}}\n  b: {run: sleep 1000}\n  c: {run: sleep 1000}\n';

const pids = async (place: Place): Promise<Record<string, number | undefined>> =>
  Object.fromEntries((await place.ps()).map(({ id, pid }) => [id, pid]));

test('plan says what starts, restarts, stops and stays, and why; apply does just that', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', base);
  await place.ok('up', '-d');
  const before = await pids(place);
  place.write(
    'steward.yaml',
    'services:\n  a: {run: sleep 1000, env: {MODE: two}}\n  b: {run: sleep 1000, stop: {timeout: 3s}}\n  d: {run: sleep 1000}\n',
  );
  const plan = await place.ok('plan');
  assert.match(plan, /~ a restarts\n {4}env\.MODE changed\n\* b is changed without a restart\n {4}stop: .*\n\+ d starts\n- c stops\n/);
  assert.deepEqual(await pids(place), before, 'a plan changes nothing');
  assert.equal(await place.ok('apply'), plan, 'apply prints and does the same');
  await place.ok('up', '-d');
  const after = await pids(place);
  assert.notEqual(after.a, before.a);
  assert.equal(after.b, before.b);
  assert.deepEqual(Object.keys(after), ['a', 'b', 'd']);
  assert.match(await place.ok('plan'), /3 stay untouched: a, b, d/);
});

test('a file with errors changes nothing and exits with 2, all its problems told with line and column', async (t) => {
  const place = newPlace(t);
  place.write('steward.yaml', base);
  await place.ok('up', '-d');
  const before = await pids(place);
  place.write(
    'steward.yaml',
    `services:
  a:
    run: sleep 1000
    restart: alwayz
    stop: {timeout: soon}
  b:
    rnu: sleep 1000
  c: {run: "sleep 'x", after: [d], port: 99999}
`,
  );
  for (const command of ['apply', 'up', 'check']) {
    const { code, err } = await place.steward(command, ...(command === 'up' ? ['-d'] : []));
    assert.equal(code, 2, `${command}: ${err}`);
    assert.ok(
      err.includes(`steward.yaml:4:14  services.a.restart: "alwayz" is not one of its values
  4 |     restart: alwayz
    |              ^^^^^^
  Use one of: always, on-failure, never. Did you mean "always"?  [config/unknown-value]`),
      err,
    );
    assert.match(err, /steward\.yaml:5:21 {2}services\.a\.stop\.timeout: "soon" is not a duration/);
    assert.match(err, /steward\.yaml:7:5 {2}services\.b\.rnu: there is no "rnu" in services\.b\n[\s\S]*Did you mean "run"\?/);
    assert.match(err, /steward\.yaml:6:3 {2}services\.b: "run" is missing/);
    assert.match(err, /services\.c\.port: 99999 is out of range/);
  }
  assert.deepEqual(await pids(place), before);
});

test('CRLF and a byte order mark are accepted, and positions count as an editor does', async (t) => {
  const place = newPlace(t);
  place.write('good.yaml', '\uFEFFservices:\r\n  a:\r\n    run: sleep 1000\r\n');
  await place.ok('check', 'good.yaml');
  place.write('bad.yaml', '\uFEFFservices:\r\n  a:\r\n    run: sleep 1000\r\n    user: [x]\r\n');
  assert.match(
    (await place.steward('check', 'bad.yaml')).err,
    /bad\.yaml:4:11 {2}services\.a\.user: a list stands where a text is expected/,
  );
});

test('references, ports and circles are checked over all files', async (t) => {
  const place = newPlace(t);
  place.write(
    'steward.yaml',
    `include: ['parts/*.yaml', one.yaml]
services:
  a: {run: sleep 1, after: [b], port: 7000, instances: 3}
  b: {run: sleep 1, after: [a]}
  c: {run: sleep 1, port: 7002}
sites:
  - {listen: [8443], tls: internal, routes: [{service: aa}]}
  - {listen: [8443], routes: [{path: nope, service: a}, {service: b}]}
`,
  );
  place.write('one.yaml', 'services:\n  a: {run: sleep 2}\n');
  const { code, err } = await place.steward('check');
  assert.equal(code, 2);
  for (const message of [
    /services wait for each other in a circle: a → b → a/,
    /c and a:a_3 have the same port 7002/,
    /there is no service "aa"\n[\s\S]*Did you mean "a"\?/,
    /port 8443 speaks HTTPS in one site and plain HTTP in another/,
    /the path "nope" does not begin with \//,
    /service "b" has no port and no socket to send requests to/,
    /one\.yaml:2:3 {2}service "a" is defined at .*steward\.yaml:3 already/,
  ])
    assert.match(err, message);
});

test('other files that would stop what runs are refused unless --replace is given', async (t) => {
  const place = newPlace(t);
  place.write('one.yaml', 'services:\n  a: {run: sleep 1000}\n');
  place.write('two.yaml', 'services:\n  b: {run: sleep 1000}\n');
  await place.ok('up', '-d', 'one.yaml');
  const { code, err } = await place.steward('up', '-d', 'two.yaml');
  assert.equal(code, 2);
  assert.match(err, /these files alone would stop a {2}\[config\/other-files\]/);
  await place.ok('up', '-d', 'one.yaml', 'two.yaml');
  assert.deepEqual(Object.keys(await pids(place)), ['a', 'b']);
  await place.ok('up', '-d', '--replace', 'two.yaml');
  assert.deepEqual(Object.keys(await pids(place)), ['b']);
});

test('routes change without a dropped request or a restarted worker', async (t) => {
  const place = newPlace(t);
  const port = await freePort();
  const site = (text: string): string => `sites:\n  - {listen: ["127.0.0.1:${port}"], routes: [{path: /, respond: ${text}}]}\n`;
  place.write('steward.yaml', site('first'));
  await place.ok('up', '-d');
  const before = await pids(place);
  assert.equal((await get(`http://127.0.0.1:${port}/`)).body, 'first');
  place.write('steward.yaml', site('second'));
  assert.match(await place.ok('plan'), /gateway: 1 site on 127\.0\.0\.1:\d+ \(changed; no connection is dropped\)/);
  await place.ok('apply');
  assert.equal((await get(`http://127.0.0.1:${port}/`)).body, 'second');
  assert.deepEqual(await pids(place), before);
});

test('a secret in a command line is refused, one that changes restarts its user only', async (t) => {
  const place = newPlace(t);
  place.write('key', 'one\n');
  place.write('steward.yaml', 'secrets: {key: {file: key}}\nservices:\n  a: {run: "echo {{secret.key}}"}\n');
  assert.match((await place.steward('check')).err, /\{\{secret\.key\}\} may stand in env only/);
  place.write(
    'steward.yaml',
    'secrets: {key: {file: key}}\nservices:\n  a: {run: sleep 1000, env: {KEY: "{{secret.key}}"}}\n  b: {run: sleep 1000}\n',
  );
  await place.ok('up', '-d');
  place.write('key', 'two\n');
  const plan = await place.ok('plan');
  assert.match(plan, /~ a restarts\n {4}env\.KEY changed\n {2}1 stays untouched: b/);
  assert.doesNotMatch(plan, /one|two/);
});
