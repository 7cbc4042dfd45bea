import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRandom, mutate } from '../../config/mutate.ts';
import { NoCall, parseCall, type Value, writeAnswer, writeFault } from './xml.ts';

const call = (params: string): string =>
  `<?xml version='1.0'?>\n<methodCall>\n<methodName>a.b</methodName>\n<params>\n${params}\n</params>\n</methodCall>\n`;
const param = (inner: string): string => `<param><value>${inner}</value></param>`;
const valueIn = (inner: string): Value | undefined => parseCall(call(param(inner))).params[0];

test('every type of a value is read', () => {
  const cases: [string, Value][] = [
    ['<int>-5</int>', -5],
    ['<i4> 7 </i4>', 7],
    ['<boolean>1</boolean>', true],
    ['<boolean>0</boolean>', false],
    ['<double>1.5</double>', 1.5],
    ['<string> a b </string>', ' a b '],
    ['<string></string>', ''],
    ['<string/>', ''],
    ['no type', 'no type'],
    ['', ''],
    ['<string>&lt;&amp;&#65;&#x42;&quot;</string>', '<&AB"'],
    ['<string><![CDATA[<&amp;>]]></string>', '<&amp;>'],
    ['<string>中文 💥</string>', '中文 💥'],
    ['<base64>eHk=</base64>', 'xy'],
    ['<array><data><value>a</value><value><int>1</int></value></data></array>', ['a', 1]],
    ['<array><data/></array>', []],
    ['<struct><member><name>n</name><value><int>1</int></value></member></struct>', { n: 1 }],
  ];
  for (const [inner, expected] of cases) assert.deepEqual(valueIn(inner), expected, inner);
});

test('a name that every object has is a name like any other', () => {
  const value = valueIn('<struct><member><name>__proto__</name><value>x</value></member></struct>') as object;
  assert.deepEqual(Object.keys(value), ['__proto__']);
  assert.throws(() => valueIn('<constructor>1</constructor>'), NoCall);
});

test('what is no call is told, whatever it is', () => {
  const wrong = [
    '',
    'text',
    '<methodCall>',
    '<methodCall/>',
    '<other><methodName>a.b</methodName></other>',
    '<methodCall><methodName></methodName></methodCall>',
    '<methodCall><methodName>a</methodName><methodName>b</methodName></methodCall>',
    '<methodCall><methodName>a.b</methodName></methodCall><methodCall><methodName>a.b</methodName></methodCall>',
    call('<param/>'),
    call(param('<int>1e5</int>')),
    call(param('<int></int>')),
    call(param('<nothing>1</nothing>')),
    call(param('<int>1</int><int>2</int>')),
    call(param('<string><b>1</b></string>')),
    call(param('&nothing;')),
    call(param('a & b')),
    call(param('&#99999999;')),
    call(param('<array><data>'.padEnd(1300, '<value><array><data>'))),
    `<!DOCTYPE a [<!ENTITY x "y">]>${call(param('&x;'))}`,
    `<!DOCTYPE a SYSTEM "file:///etc/passwd">${call('')}`,
  ];
  for (const text of wrong) assert.throws(() => parseCall(text), NoCall, text);
});

test('no text makes reading fail in another way', () => {
  const random = createRandom(20_261_121);
  const pieces = [
    '<',
    '>',
    '&',
    ';',
    '</',
    '/>',
    '<![CDATA[',
    ']]>',
    '<!--',
    '-->',
    '<?',
    '?>',
    '<value>',
    '</value>',
    '<int>',
    '<struct>',
    '\0',
    '<!DOCTYPE x [',
    ']>',
    '&#',
    '"',
    '=',
  ];
  const seed = call(
    param(
      '<array><data><value>a</value><value><struct><member><name>n</name><value><int>1</int></value></member></struct></value></data></array>',
    ),
  );
  for (let n = 0; n < 3000; n++) {
    const text = mutate(seed, random, pieces);
    try {
      parseCall(text);
    } catch (error) {
      assert.ok(error instanceof NoCall, `${error}\n${text}`);
    }
  }
});

test('answers are XML whatever they hold', () => {
  const text = writeAnswer({ a: [1, true, '<&>\r\u001B[1m'], b: 3e9, c: '\uD800' });
  assert.match(text, /<int>1<\/int>.*<boolean>1<\/boolean>.*<string>&lt;&amp;&gt;&#13;\uFFFD\[1m<\/string>/s);
  assert.match(text, /<int>2147483647<\/int>.*\uFFFD/s);
  assert.match(writeFault(10, 'BAD_NAME: <x>'), /<fault>.*faultCode.*<int>10<\/int>.*BAD_NAME: &lt;x&gt;/s);
});
