import assert from 'node:assert/strict';
import { test } from 'node:test';
import { expand, type Names } from './expand.ts';
import { filled, plain, toTemplate } from './filled.ts';

const names: Names = {
  find: (name) => {
    if (name === 'process_num') return { kind: 'number', value: 7, template: 'instance', padded: true, varies: true };
    if (name === 'numprocs') return { kind: 'number', value: 3, template: 'instances', padded: false, varies: false };
    if (name === 'here') return { kind: 'text', value: plain('/etc') };
    if (name === 'ENV_HOME') return { kind: 'text', value: filled([{ text: '/root', template: '{{env.HOME}}', from: 0, length: 0 }]) };
    return undefined;
  },
  all: () => ['process_num', 'numprocs', 'here', 'ENV_HOME'],
};

function written(text: string): string {
  const { value, faults } = expand(plain(text), names);
  return faults.length === 0
    ? `${value.text} = ${toTemplate(value)}`
    : faults.map(({ from, length, message }) => `${from}+${length} ${message}`).join('; ');
}

test('names are filled in, and become templates where they are not fixed', () => {
  assert.equal(written('%(here)s/%(ENV_HOME)s/%(process_num)d 100%%'), '/etc//root/7 100% = /etc/{{env.HOME}}/{{instance}} 100%');
});

test("numbers take Python's flags, width and precision", () => {
  assert.equal(written('%(process_num)02d'), '07 = {{instance:02d}}');
  assert.equal(written('%(process_num).3i'), '007 = {{instance:03d}}');
  assert.equal(written('%(process_num)s'), '7 = {{instance}}');
  assert.equal(written('%(numprocs)02d'), '03 = 03');
  assert.equal(written('%(numprocs)-3d|'), '3  | = 3  |');
  assert.equal(written('%(numprocs)+d'), '+3 = +3');
});

test('texts take a width and a precision', () => {
  assert.equal(written('%(here)6s|%(here)-6s|%(here).2s'), '  /etc|/etc  |/e =   /etc|/etc  |/e');
});

test('braces in the file are written so that no template comes of them', () => {
  assert.equal(written('{{x}} {%(process_num)d}'), '{{x}} {7} = {{{{x}} {{{instance}}}');
});

test('all mistakes of a value are found, each at its place', () => {
  assert.equal(
    written('%d %(here)d %(heer)s %(process_num)3d'),
    '0+1 a lone "%" is not allowed; 3+8 here is a text, and "d" writes numbers; 12+8 "heer" cannot be filled in here; 21+16 Steward cannot write process_num in this format',
  );
  assert.equal(written('50%'), '2+1 a lone "%" is not allowed');
  assert.equal(written('%(here'), '0+6 "%(here" has no closing parenthesis');
  assert.equal(written('%(ENV_X)s'), '0+9 the environment variable X is not set');
  assert.equal(written('%(process_num)0999999999d'), '0+25 "%(process_num)0999999999d" is wider than 200 characters');
});

test('a second pass keeps the places of the first', () => {
  const once = expand(plain('a%%%%b %%(heer)s'), names);
  const twice = expand(once.value, names);
  assert.equal(twice.value.text, 'a%b ');
  assert.deepEqual(
    twice.faults.map(({ from, length }) => [from, length]),
    [[7, 9]],
  );
});
