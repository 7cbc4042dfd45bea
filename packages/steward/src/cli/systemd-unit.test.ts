import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemdUnit, systemdWord } from './systemd-unit.ts';

test('a word is quoted and escaped as systemd reads it', () => {
  const words: readonly [string, string][] = [
    ['/srv/steward.yaml', '/srv/steward.yaml'],
    ['/srv/my files', '"/srv/my files"'],
    ['/srv/100%', '/srv/100%%'],
    ['/srv/$HOME', '/srv/$$HOME'],
    ['a "b" \\c', '"a \\"b\\" \\\\c"'],
    ['two\nlines\t', '"two\\nlines\\t"'],
    ["it's", '"it\'s"'],
    [';', '";"'],
  ];
  for (const [text, written] of words) assert.equal(systemdWord(text, 'argument'), written);
  assert.equal(systemdWord('/opt/$a/steward', 'program'), '/opt/$a/steward');
});

test('the unit of a user waits for no network, and starts with the user', () => {
  const common = { launcher: '/opt/steward/bin/steward', state: '/var/lib/steward', files: ['/etc/steward.yaml'] };
  const [machine, user] = [systemdUnit({ ...common, isForUser: false }), systemdUnit({ ...common, isForUser: true })];
  assert.match(machine, /\nExecStart=\/opt\/steward\/bin\/steward daemon --state \/var\/lib\/steward --resume \/etc\/steward\.yaml\n/);
  assert.match(machine, /\nAfter=network-online\.target\n[\s\S]*\nWantedBy=multi-user\.target\n$/);
  assert.doesNotMatch(user, /network/);
  assert.match(user, /\nWantedBy=default\.target\n$/);
});
