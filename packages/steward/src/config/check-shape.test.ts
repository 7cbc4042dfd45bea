import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type TSchema, Type } from 'typebox';
import { checkShape, dotted } from './check-shape.ts';
import { closed, duration, listOf, refersTo, size, words } from './sections/vocabulary.ts';
import { readYaml } from './yaml.ts';

const shape = closed(
  {
    restart: Type.Optional(words(['always', 'never'], '')),
    timeout: Type.Optional(duration('', '1s')),
    maxSize: Type.Optional(size('', '1MB')),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
    factor: Type.Optional(Type.Number({ minimum: 1 })),
    shell: Type.Optional(Type.Boolean()),
    run: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String(), { minItems: 1 })])),
    umask: Type.Optional(Type.String({ pattern: '^[0-7]+$' })),
    tls: Type.Optional(Type.Union([Type.Literal('internal'), closed({ cert: Type.String(), key: Type.String() }, '')])),
    env: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean()]))),
    parts: Type.Optional(Type.Record(Type.String(), closed({ name: Type.String() }, ''))),
  },
  '',
);

/** `LINE:COLUMN+LENGTH code message | hint` of each problem of a text. */
function told(text: string, root: TSchema = shape): string[] {
  const { value, origins, problems } = readYaml({ file: 'a.yaml', text });
  assert.deepEqual(problems, []);
  return checkShape(root, value, origins).map(
    ({ code, message, hint, at }) => `${at?.line}:${at?.column}+${at?.length} ${code} ${message} | ${hint}`,
  );
}

test('a value that fits is not told', () => {
  const text =
    'restart: never\ntimeout: 1h30m\nmaxSize: 50MB\nport: 80\nfactor: 1.5\nshell: true\nrun: [a, b]\numask: "022"\ntls: internal\nenv: {A: 1, B: yes, C: true}\nparts: {a: {name: x}}\n';
  assert.deepEqual(told(text), []);
  assert.deepEqual(told('timeout: 0\nmaxSize: 1024\nrun: a b\ntls: {cert: a, key: b}\n'), []);
});

test('a misspelt word of a list gets the list and a guess', () => {
  assert.deepEqual(told('restart: alwayz'), [
    '1:10+6 config/unknown-value restart: "alwayz" is not one of its values | Use one of: always, never. Did you mean "always"?',
  ]);
});

test('a misspelt key is told at the key', () => {
  assert.deepEqual(told('prot: 80'), [
    '1:1+4 config/unknown-key prot: there is no "prot" in this file | Use one of: restart, timeout, maxSize, port, factor, shell, run, umask, tls, env, parts. Did you mean "port"?',
  ]);
});

test('keys that every JavaScript object has are unknown like others', () => {
  for (const key of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    assert.match(told(`${key}: 1`)[0] ?? '', /^1:1\+\d+ config\/unknown-key /, key);
  }
});

test('a value of another kind is told in the words of YAML', () => {
  assert.deepEqual(told('port: [80]\nshell: "yes"\nrun: {a: b}\nenv: text\ntimeout:\n'), [
    '1:7+4 config/wrong-type port: a list stands where a whole number from 1 to 65535 is expected | Write a whole number from 1 to 65535.',
    '2:8+5 config/wrong-type shell: "yes" stands where true or false is expected | Write true or false.',
    '3:6+6 config/wrong-type run: a mapping stands where a text or a list is expected | Write a text or a list.',
    '4:6+4 config/wrong-type env: "text" stands where a mapping is expected | Write a mapping.',
    '5:9+1 config/wrong-type timeout: nothing stands where a duration such as 30s, 5m or 1h30m is expected | Write a duration such as 30s, 5m or 1h30m.',
  ]);
});

test('a whole file that is no mapping is told', () => {
  assert.match(told('just text')[0] ?? '', /config\/wrong-type the file: "just text" stands where a mapping is expected/);
});

test('numbers out of range and texts of the wrong form are told', () => {
  assert.deepEqual(told('port: 70000\nfactor: 0\numask: "999"\ntimeout: 30\nmaxSize: 5 apples'), [
    '1:7+5 config/out-of-range port: 70000 is out of range | Write a whole number from 1 to 65535.',
    '2:9+1 config/out-of-range factor: 0 is out of range | Write a number from 1.',
    '3:8+5 config/wrong-form umask: "999" is not of the right form | It must match ^[0-7]+$.',
    '4:10+2 config/wrong-type timeout: the number 30 stands where a duration such as 30s, 5m or 1h30m is expected | Write a duration such as 30s, 5m or 1h30m.',
    '5:10+8 config/wrong-form maxSize: "5 apples" is not a size such as 64KB, 50MB or 4GB | Write a size such as 64KB, 50MB or 4GB.',
  ]);
});

test('inside a choice the branch that was meant is told about', () => {
  assert.deepEqual(told('tls: {cert: a}'), ['1:1+3 config/missing-key tls: "key" is missing | Add key: a text.']);
  assert.deepEqual(told('run: []'), ['1:6+2 config/empty-list run: the list is empty | Write at least one entry.']);
  assert.deepEqual(told('tls: interal'), [
    '1:6+7 config/wrong-type tls: "interal" stands where internal or a mapping is expected | Write internal or a mapping. Did you mean "internal"?',
  ]);
});

test('what is missing in a mapping is told at the name of the mapping', () => {
  assert.deepEqual(told('parts:\n  a:\n    {}\n'), ['2:3+1 config/missing-key parts.a: "name" is missing | Add name: a text.']);
});

test('all problems come at once, those of a list by their place', () => {
  assert.deepEqual(
    told('run: [a, 1, b, true]\nport: x').map((line) => line.split(' ', 3).slice(0, 3).join(' ')),
    ['1:10+1 config/wrong-type run.1:', '1:16+4 config/wrong-type run.3:', '2:7+1 config/wrong-type port:'],
  );
});

const tree = Type.Object(
  { root: Type.Optional(refersTo('node', '')), nodes: Type.Optional(listOf('node', '')) },
  {
    additionalProperties: false,
    $defs: { node: closed({ name: Type.String(), nodes: Type.Optional(listOf('node', '')) }, '') },
  },
);

test('a shape that holds itself is checked at every depth', () => {
  assert.deepEqual(told('root: {name: a, nodes: [{name: b, nodes: []}]}\nnodes: [{name: c}]', tree), []);
  assert.deepEqual(told('root: {name: a, nodes: [{name: b, nodes: [{nam: c}]}]}\nnodes: {}', tree), [
    '1:44+3 config/unknown-key root.nodes.0.nodes.0.nam: there is no "nam" in root.nodes.0.nodes.0 | Use one of: name, nodes. Did you mean "name"?',
    '1:43+8 config/missing-key root.nodes.0.nodes.0: "name" is missing | Add name: a text.',
    '2:8+2 config/wrong-type nodes: a mapping stands where a list is expected | Write a list.',
  ]);
});

test('a pointer reads as a path of names', () => {
  assert.equal(dotted('/services/a~1b~0c/run'), 'services.a/b~c.run');
});
