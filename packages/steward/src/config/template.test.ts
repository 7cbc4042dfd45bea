import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Lookup, render } from './template.ts';

const values: Readonly<Record<string, string | number>> = { instance: 7, service: 'web', 'env.HOME': '/root' };
const lookup: Lookup = (name) => {
  const value = values[name];
  if (name === 'port') return { missing: 'there is no port', hint: 'Add port: NUMBER.' };
  return value === undefined ? undefined : { value };
};
const textOf = (text: string): string => render(text, lookup, Object.keys(values)).text;

test('each name is replaced, with or without blanks around it', () => {
  assert.equal(textOf('{{service}}-{{ instance }} in {{env.HOME}}'), 'web-7 in /root');
});

test('a number is padded with zeros or blanks to a width', () => {
  assert.equal(textOf('{{instance:02d}} {{instance:3d}} {{instance:d}} {{instance:02}}'), '07   7 7 07');
});

test('a width that is no width, or larger than any name needs, changes nothing', () => {
  assert.equal(textOf('{{instance:x}} {{instance:-3d}} {{instance:}} {{instance:09999999999d}}'), '7 7 7 7');
});

test('four braces write two', () => {
  assert.equal(textOf('{{{{service}}'), '{{service}}');
});

test('single braces and open ones stay as they are', () => {
  for (const text of ['{service}', '{{service', 'service}}', '{{', '}}', '{{a{b}}']) assert.equal(textOf(text), text);
});

test('what a value holds is not replaced again', () => {
  const { text } = render('{{a}}', (name) => (name === 'a' ? { value: '{{service}} $& $1' } : lookup(name)), []);
  assert.equal(text, '{{service}} $& $1');
});

test('a name nobody knows stays, and is told with what may be meant', () => {
  const { text, mistakes } = render('x {{servce}}', lookup, ['service', 'instance']);
  assert.equal(text, 'x {{servce}}');
  assert.deepEqual(mistakes, [
    {
      message: 'there is no {{servce}}',
      hint: 'Use one of: {{service}}, {{instance}}. Did you mean "service"?',
      offset: 2,
      length: 10,
    },
  ]);
});

test('a name without a value says why', () => {
  const { mistakes, used } = render('{{port}}', lookup, []);
  assert.deepEqual(
    mistakes.map(({ message, hint }) => [message, hint]),
    [['there is no port', 'Add port: NUMBER.']],
  );
  assert.deepEqual(used, ['port']);
});
