import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSyslogTarget } from './syslog.ts';

test('a place for syslog is a host by UDP or TCP, or a unix socket', () => {
  assert.deepEqual(parseSyslogTarget('udp://logs.example.com:5514'), { kind: 'udp', host: 'logs.example.com', port: 5514 });
  assert.deepEqual(parseSyslogTarget('udp://logs'), { kind: 'udp', host: 'logs', port: 514 });
  assert.deepEqual(parseSyslogTarget('tcp://[::1]'), { kind: 'tcp', host: '::1', port: 601 });
  assert.deepEqual(parseSyslogTarget('unix:/dev/log'), { kind: 'unix', path: '/dev/log' });
  assert.deepEqual(parseSyslogTarget('unix:///dev/log'), { kind: 'unix', path: '/dev/log' });
  for (const wrong of ['logs:514', 'udp://', 'udp://logs:0', 'tcp://logs:70000', 'unix:dev/log', 'http://logs', 'udp://[logs]:1'])
    assert.equal(parseSyslogTarget(wrong), undefined, wrong);
});
