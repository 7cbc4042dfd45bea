/** install, uninstall: the systemd unit. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openDatagrams, receiveDatagram } from '../src/kernel/kernel.ts';
import { isRunning, launcher, newPlace, run, until } from './harness.ts';

const unitIn = (root: string): string => join(root, 'etc/systemd/system/steward.service');

test('a unit is written, told about, and taken away again', async (t) => {
  const place = newPlace(t);
  const root = join(place.folder, 'root');
  const file = place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  const told = await place.ok('install', '--root', root);
  assert.match(told, /^wrote .*steward\.service\nnow run:\n {2}systemctl daemon-reload\n {2}systemctl enable --now steward\n$/);
  const text = readFileSync(unitIn(root), 'utf8');
  assert.match(text, new RegExp(`\nExecStart=${launcher} daemon --state ${place.state} --resume ${file}\n`));
  assert.match(text, /\nType=notify\n/);
  assert.equal(await place.ok('install', '--root', root), told, 'again, over the one of before');
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  mkdirSync(wants);
  symlinkSync('../steward.service', join(wants, 'steward.service'));
  assert.match(await place.ok('uninstall', '--root', root), /^removed /);
  assert.ok(!existsSync(unitIn(root)) && !existsSync(join(wants, 'steward.service')));
  assert.match(await place.ok('uninstall', '--root', root), /^there is no /);
});

test('systemd reads the unit as it is meant, blanks, quotes and signs in paths too', {
  skip: !existsSync('/usr/bin/systemd-analyze') && 'needs systemd-analyze',
}, async (t) => {
  const place = newPlace(t);
  const folder = join(place.folder, 'a "b" 100% $HOME');
  mkdirSync(folder);
  writeFileSync(join(folder, 'steward.yaml'), 'services:\n  a: {run: sleep 1000}\n');
  const text = await place.ok('install', '--dry-run', folder);
  assert.match(text, /--resume ".*\/a \\"b\\" 100%% \$\$HOME"/);
  const unit = place.write('steward-test.service', text);
  const { code, out, err } = await run('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', unit]);
  assert.equal(`${out}${err}`.trim(), '');
  assert.equal(code, 0);
});

test('a unit of a user goes to the folder of units of that user', async (t) => {
  const place = newPlace(t);
  const root = join(place.folder, 'root');
  const told = await place.ok('install', '--user', '--root', root);
  assert.match(told, /systemctl --user enable --now steward\n {2}loginctl enable-linger/);
  const [, file = ''] = /^wrote (.*)$/m.exec(told) ?? [];
  assert.match(file, /\/systemd\/user\/steward\.service$/);
  assert.match(readFileSync(file, 'utf8'), /\nWantedBy=default\.target\n/);
});

test('what cannot be installed is refused in words, and nothing is written', async (t) => {
  const place = newPlace(t);
  const root = join(place.folder, 'root');
  place.write('steward.yaml', 'services:\n  a: {runs: sleep 1000}\n');
  const wrong = await place.steward('install', '--root', root);
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /steward\.yaml:2:7/);
  assert.ok(!existsSync(unitIn(root)));
  place.write('steward.yaml', 'services:\n  a: {run: sleep 1000}\n');
  mkdirSync(join(root, 'etc/systemd/system'), { recursive: true });
  writeFileSync(unitIn(root), '[Service]\nExecStart=/bin/true\n');
  for (const words of [
    ['install', '--root', root],
    ['uninstall', '--root', root],
  ]) {
    const { code, err } = await place.steward(...words);
    assert.equal(code, 2);
    assert.match(err, /was not written by `steward install` {2}\[daemon\/not-ours\]/);
  }
  assert.equal(readFileSync(unitIn(root), 'utf8'), '[Service]\nExecStart=/bin/true\n');
});

test('without systemd it says what to do instead', { skip: existsSync('/run/systemd/system') && 'systemd runs here' }, async (t) => {
  const { code, err } = await newPlace(t).steward('install');
  assert.equal(code, 2);
  assert.match(
    err,
    /this machine does not run systemd {2}\[daemon\/no-service-manager\]\n {2}In a container make `steward up FILE` its command/,
  );
});

test('started by a service manager, the daemon tells when it is ready, reloads and stops, and applies the files of the unit', async (t) => {
  const place = newPlace(t);
  const file = place.write('steward.yaml', 'services:\n  a: {run: "sh -c \'echo [$NOTIFY_SOCKET]; exec sleep 1000\'", inheritEnv: true}\n');
  const path = join(place.folder, 'notify');
  const fd = openDatagrams(path);
  const said: string[] = [];
  // Taken all the time: the kernel keeps no more than ten messages.
  const taking = setInterval(() => {
    for (let text = receiveDatagram(fd); text !== undefined; text = receiveDatagram(fd)) said.push(text);
  }, 10);
  t.after(() => {
    clearInterval(taking);
    closeSync(fd);
  });
  const hears = (pattern: RegExp): Promise<true> =>
    until(String(pattern), () => {
      const found = said.findIndex((text) => pattern.test(text));
      if (found === -1) return false;
      said.splice(0, found + 1);
      return true;
    });
  const managed = newPlace(t, { NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000' });
  const child = managed.foreground('daemon', '--resume', file);
  await hears(/^READY=1\nSTATUS=applied .*steward\.yaml$/);
  await hears(/^WATCHDOG=1$/);
  await until('it runs', async () => (await managed.steward('ps')).out.includes('RUNNING'));
  child.kill('SIGHUP');
  await hears(/^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  await hears(/^READY=1/);
  await managed.ok('upgrade-daemon');
  await hears(/^RELOADING=1/);
  await hears(/^READY=1/);
  await hears(/^WATCHDOG=1$/);
  assert.match(await managed.ok('logs', 'a'), /\[\]/, 'the socket is not for services');
  child.kill('SIGTERM');
  await hears(/^STOPPING=1$/);
  await until('it has ended', () => !isRunning(child.pid as number));
});
