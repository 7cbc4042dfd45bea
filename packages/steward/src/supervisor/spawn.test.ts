import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { InstanceSpec } from '../config/model.ts';
import { tryStart } from './spawn.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-spawn-'));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true }));
const isRoot = process.getuid?.() === 0;

function write(name: string, text: string, mode = 0o755): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

const why = (command: readonly [string, ...string[]], fields: Partial<InstanceSpec> = {}): string | undefined =>
  tryStart({ command, cwd: folder, env: {}, inheritEnv: false, ...fields } as InstanceSpec)?.message;

test('a command that is there can start', () => {
  assert.equal(why(['sh', '-c', 'true']), undefined);
  assert.equal(why([write('good', '#!/bin/sh\ntrue\n')]), undefined);
  assert.equal(why([write('by-env', '#!/usr/bin/env -S sh -e\ntrue\n')]), undefined);
});

test('a command that is misspelt is told with the one that is meant', () => {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  write('bin/gunicorn', '#!/bin/sh\n');
  assert.match(
    why(['gunicron'], { env: { PATH: bin } }) ?? '',
    /^command not found: "gunicron" is in none of .*\. Did you mean "gunicorn"\?$/,
  );
  assert.match(why(['qqqqqqqq'], { env: { PATH: bin } }) ?? '', /is in none of [^?]*$/);
});

test('a script whose interpreter is missing, or whose lines end as on Windows, is told', () => {
  const missing = write('missing', '#!/opt/none/python3\n');
  assert.equal(why([missing]), `${missing} asks in its first line for the interpreter /opt/none/python3, which does not exist`);
  const windows = write('windows', '#!/bin/sh\r\ntrue\r\n');
  assert.match(why([windows]) ?? '', /end as on Windows \(CRLF\).*"\/bin\/sh\\r": sed -i 's\/\\r\$\/\/' /);
  const byEnv = write('by-env-missing', '#!/usr/bin/env pyhton-none\n');
  assert.match(why([byEnv]) ?? '', /asks in its first line for "pyhton-none": command not found/);
});

test('a script that the chosen user may not read, or an interpreter it may not run, is told', { skip: !isRoot && 'needs root' }, () => {
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  write('closed/python', '#!/bin/sh\n');
  const user = { user: 'nobody' };
  assert.match(why(['sh', write('secret.sh', 'true\n', 0o600)], user) ?? '', /secret\.sh cannot be read by user nobody: chmod \+r it/);
  assert.match(why([write('unread', '#!/bin/sh\n', 0o711)], user) ?? '', /its interpreter may not read it for user nobody/);
  const script = write('script', `#!${closed}/python\n`);
  assert.match(why([script], user) ?? '', /interpreter .*closed\/python, which is not executable for user nobody/);
  assert.equal(why(['sh', write('open.sh', 'true\n', 0o644)], user), undefined);
});
