import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isInRange, parseIp, parseRange } from './address-range.ts';

const holds = (range: string, address: string): boolean => {
  const parsed = parseRange(range);
  assert.ok(parsed, range);
  return isInRange(parsed, address);
};

test('a range holds its addresses and no other', () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['192.0.2.7', ['192.0.2.7', '::ffff:192.0.2.7'], ['192.0.2.8', '::1', 'unix:', '']],
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255'], ['9.255.255.255', '11.0.0.0']],
    ['10.1.2.3/8', ['10.9.9.9'], ['11.1.2.3']],
    ['128.0.0.0/1', ['255.255.255.255', '128.0.0.0'], ['127.255.255.255']],
    ['192.0.2.0/31', ['192.0.2.0', '192.0.2.1'], ['192.0.2.2']],
    ['0.0.0.0/0', ['1.2.3.4'], ['::1']],
    ['::/0', ['::1', 'fe80::1'], ['1.2.3.4']],
    ['2001:db8::/32', ['2001:db8::1', '2001:0DB8:ffff::'], ['2001:db9::']],
    ['2001:db8::/33', ['2001:db8:7fff::'], ['2001:db8:8000::']],
    ['fe80::1', ['fe80::1', 'fe80::1%eth0'], ['fe80::2']],
    ['::ffff:10.0.0.0/104', ['10.1.1.1', '::ffff:10.1.1.1'], ['11.0.0.0']],
    ['unix:', ['unix:'], ['127.0.0.1']],
    ['all', ['unix:', '::1', '1.2.3.4', 'anything'], []],
  ];
  for (const [range, inside, outside] of cases) {
    for (const address of inside) assert.ok(holds(range, address), `${address} in ${range}`);
    for (const address of outside) assert.ok(!holds(range, address), `${address} not in ${range}`);
  }
});

test('what is no range is none', () => {
  for (const text of [
    ...['', '10.0.0', '10.0.0.0.0', '10.0.0.256', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/-1', '10.0.0.0/8/8', '01.2.3.4', '1.2.3.4 '],
    ...[':', ':::', '1::2::3', '::1/129', '2001:db8', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8', '::g', '::ffff:10.0.0.0/8', '::1.2.3'],
    ...['localhost', 'unix', 'unix:/a', 'ALL', '10.0.0.1:80'],
  ])
    assert.equal(parseRange(text), undefined, text);
});

test('an address becomes numbers of 32 bits', () => {
  assert.deepEqual(parseIp('1.2.3.4'), [0x01020304]);
  assert.deepEqual(parseIp('255.255.255.255'), [0xffffffff]);
  assert.deepEqual(parseIp('::ffff:1.2.3.4'), [0x01020304]);
  assert.deepEqual(parseIp('::ffff:102:304'), [0x01020304]);
  assert.deepEqual(parseIp('2001:db8::8:1'), [0x20010db8, 0, 0, 0x00080001]);
  assert.deepEqual(parseIp('64:ff9b::1.2.3.4'), [0x0064ff9b, 0, 0, 0x01020304]);
  assert.equal(parseIp('::'.repeat(2)), undefined);
});

test('an address already parsed is matched as well', () => {
  const range = parseRange('10.0.0.0/8');
  assert.ok(range && isInRange(range, parseIp('10.2.3.4') ?? []));
});
