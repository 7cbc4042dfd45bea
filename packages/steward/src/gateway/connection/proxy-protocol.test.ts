import assert from 'node:assert/strict';
import { test } from 'node:test';
import { randomFrom } from './http1/testing-mutations.ts';
import { readProxyHeader } from './proxy-protocol.ts';

const line = (text: string) => readProxyHeader(Buffer.from(text, 'latin1'));
const signature = '0d0a0d0a000d0a515549540a';
/** Version 2: command, family, what follows; all in hexadecimal. */
const block = (command: string, family: string, rest: string, length = rest.length / 2) =>
  readProxyHeader(Buffer.from(`${signature}${command}${family}${length.toString(16).padStart(4, '0')}${rest}`, 'hex'));

test('version 1 names the client', () => {
  const begin = 'PROXY TCP4 10.0.0.1 10.0.0.2 50000 443\r\n';
  assert.deepEqual(line(`${begin}GET /`), { source: { address: '10.0.0.1', port: 50000 }, length: begin.length });
  assert.deepEqual(line('PROXY TCP6 2001:DB8::1 ::1 1 2\r\n'), { source: { address: '2001:db8::1', port: 1 }, length: 32 });
  assert.deepEqual(line('PROXY UNKNOWN\r\n'), { length: 15 });
  assert.deepEqual(line('PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n'), { length: 43 });
});

test('what is not quite version 1 is wrong', () => {
  const bad = [
    'GET / HTTP/1.1\r\n\r\n',
    'proxy TCP4 10.0.0.1 10.0.0.2 1 2\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 1 2 3\r\n',
    'PROXY TCP4 10.0.0.256 10.0.0.2 1 2\r\n',
    'PROXY TCP4 10.0.0.1 evil 1 2\r\n',
    'PROXY TCP4 ::1 ::1 1 2\r\n',
    'PROXY TCP6 10.0.0.1 10.0.0.2 1 2\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n',
    'PROXY TCP4 10.0.0.1 10.0.0.2 -1 2\r\n',
    'PROXY  TCP4 10.0.0.1 10.0.0.2 1 2\r\n',
    'PROXY TCP5 10.0.0.1 10.0.0.2 1 2\r\n',
    'PROXY \r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    `PROXY TCP4 ${'1'.repeat(200)}`,
    '\r\nGET / HTTP/1.1',
  ];
  for (const text of bad) assert.equal(line(text), 'wrong', JSON.stringify(text));
});

test('version 2 names the client, in IPv4 and IPv6, with fields behind it', () => {
  const v4 = '0a0000010a000002c35001bb';
  assert.deepEqual(block('21', '11', v4), { source: { address: '10.0.0.1', port: 50000 }, length: 28 });
  assert.deepEqual(block('21', '11', `${v4}0300044142434405000100`), { source: { address: '10.0.0.1', port: 50000 }, length: 39 });
  const v6 = `20010db8000000000000000000000001${'0'.repeat(32)}000101bb`;
  assert.deepEqual(block('21', '21', v6), { source: { address: '2001:db8::1', port: 1 }, length: 52 });
  const mapped = `00000000000000000000ffff0a000001${'0'.repeat(32)}000101bb`;
  assert.deepEqual(block('21', '21', mapped), { source: { address: '10.0.0.1', port: 1 }, length: 52 });
  assert.deepEqual(block('20', '00', ''), { length: 16 }); // the proxy's own health check
  assert.deepEqual(block('20', '11', v4), { length: 28 });
  assert.deepEqual(block('21', '00', ''), { length: 16 });
  assert.deepEqual(block('21', '31', '00'.repeat(216)), { length: 232 }); // unix sockets
});

test('what is not quite version 2 is wrong', () => {
  const v4 = '0a0000010a000002c35001bb';
  for (const [command, family, rest] of [
    ['11', '11', v4],
    ['31', '11', v4],
    ['22', '11', v4],
    ['2f', '11', v4],
    ['21', '11', '0a00'],
    ['21', '21', v4],
  ] as const)
    assert.equal(block(command, family, rest), 'wrong', `${command} ${family}`);
  assert.equal(block('21', '11', v4, 60_000), 'wrong');
  assert.equal(readProxyHeader(Buffer.from('0d0a0d0a00ff', 'hex')), 'wrong');
});

test('a header in pieces asks for more until it is whole', () => {
  const whole = [
    Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 50000 443\r\n'),
    Buffer.from(`${signature}2111000c0a0000010a000002c35001bb`, 'hex'),
  ];
  for (const header of whole) {
    for (let length = 0; length < header.length; length++)
      assert.equal(readProxyHeader(header.subarray(0, length)), 'more', String(length));
    assert.notEqual(typeof readProxyHeader(header), 'string');
  }
});

test('random headers never throw, and are never longer than what came', () => {
  const { mutate, below } = randomFrom(5);
  const seeds = [
    'PROXY TCP4 10.0.0.1 10.0.0.2 50000 443\r\n',
    Buffer.from(`${signature}2111000c0a0000010a000002c35001bb`, 'hex').toString('latin1'),
  ];
  for (let n = 0; n < 20_000; n++) {
    const bytes = Buffer.from(mutate(seeds[below(2)] ?? ''), 'latin1');
    const found = readProxyHeader(bytes);
    if (typeof found !== 'string') assert.ok(found.length <= bytes.length);
  }
});
