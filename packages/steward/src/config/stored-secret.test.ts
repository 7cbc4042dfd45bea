/** Stored secrets as the configuration uses them, and what a plan says when one changes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InstanceSpec } from './model.ts';
import { planChanges, withoutSecrets } from './plan.ts';
import { type Resolution, resolve } from './resolve.ts';
import { readSteward } from './steward-file.ts';
import { assumedSecrets, type StoredSecrets, textOfSecret } from './stored-secret.ts';

function resolved(text: string, stored?: StoredSecrets): Resolution {
  const around = { env: {}, hostname: 'hôte', socketFolder: '/run/x', readText: () => ({ text: 'declared\n' }), ...(stored && { stored }) };
  const file = '/srv/app/steward.yaml';
  return resolve([readSteward({ file, text })], around);
}

const storing =
  (values: Readonly<Record<string, string | Uint8Array>>): StoredSecrets =>
  (name) => {
    const value = values[name];
    return value === undefined ? undefined : { bytes: Buffer.from(value), mark: `mark of ${Buffer.from(value).toString('hex')}` };
  };

const codesOf = ({ problems }: Resolution): string[] => problems.map(({ severity, code }) => `${severity} ${code}`);
const only = ({ config }: Resolution): InstanceSpec => config.instances[0] as InstanceSpec;
const contentsOf = ({ secretFiles = [] }: InstanceSpec): Record<string, string> =>
  Object.fromEntries(secretFiles.map(({ variable, content }) => [variable, Buffer.from(content, 'base64').toString('latin1')]));

const service = (rest: string): string => `services:\n  web: {run: x, ${rest}}\n`;

test('a file gets exactly the bytes of a secret, and texts around it as UTF-8', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const found = resolved(service(`secretFiles: {A: "{{secret.bin}}", B: "é{{host}}={{secret.bin}}"}`), storing({ bin: bytes }));
  assert.deepEqual(codesOf(found), []);
  const all = Buffer.from(bytes).toString('latin1');
  assert.deepEqual(contentsOf(only(found)), { A: all, B: `${Buffer.from('éhôte=').toString('latin1')}${all}` });
});

test('a declared secret wins over a stored one of its name, with a warning', () => {
  const text = `secrets: {db: {file: f}}\n${service('env: {DB: "{{secret.db}}"}, secretFiles: {F: "{{secret.db}}"}')}`;
  const found = resolved(text, storing({ db: 'stored' }));
  assert.deepEqual(codesOf(found), ['warning config/secret-twice']);
  assert.equal(only(found).env.DB, 'declared');
  assert.deepEqual(contentsOf(only(found)), { F: 'declared' });
  assert.equal(only(found).secrets, undefined, 'it does not use the stored one');
});

test('what cannot be had keeps its own service from starting, and no other', () => {
  const stored: StoredSecrets = (name) =>
    name === 'gone' ? { lacks: 'the key is missing' } : storing({ nul: 'a\0b', bad: Uint8Array.of(255) })(name);
  for (const [name, why] of [
    ['gone', 'the key is missing'],
    ['nul', 'it holds a NUL, which no environment variable can'],
    ['bad', 'it is not UTF-8, as an environment variable has to be'],
  ]) {
    const found = resolved(`${service(`env: {A: "{{secret.${name}}}"}`)}  other: {run: y}\n`, stored);
    assert.deepEqual(codesOf(found), ['warning config/secret-lacking']);
    assert.equal(only(found).lacks, `secret "${name}" cannot be had: ${why}`);
    assert.equal(found.config.instances[1]?.lacks, undefined);
  }
});

test('an unknown name is an error, told once; where nobody can look it is a note or nothing', () => {
  const text = service('instances: 3, env: {A: "{{secret.x}}"}');
  assert.deepEqual(codesOf(resolved(text)), ['error config/template']);
  assert.deepEqual(codesOf(resolved(text, () => 'unseen')), ['note config/secret-unseen']);
  assert.deepEqual(codesOf(resolved(text, assumedSecrets)), []);
});

test('secretFiles refuses names that are none, names that env has, and texts without a secret', () => {
  const text = service(`env: {A: x}, secretFiles: {A: "{{secret.s}}", "a-b": "{{secret.s}}", "../x": "{{secret.s}}", B: plain}`);
  assert.deepEqual(codesOf(resolved(text, storing({ s: 'v' }))), Array(4).fill('error config/secret-files'));
});

const plainOf = (text: string, stored: StoredSecrets): Map<string, InstanceSpec> =>
  new Map(resolved(text, stored).config.instances.map((spec) => [spec.id, withoutSecrets(spec, 'key')]));

const both = service('env: {A: "{{secret.s}}", B: b}, secretFiles: {F: "{{secret.s}}"}');

test('a plan names the secret that changed, once, and no value', () => {
  const changes = planChanges(plainOf(both, storing({ s: 'first value' })), plainOf(both, storing({ s: 'other value' })), new Set());
  assert.deepEqual(changes, [{ kind: 'restart', id: 'web', reasons: ['secret s changed'] }]);
  const edited = both.replace('B: b', 'B: c').replace('F:', 'G:');
  const more = planChanges(plainOf(both, storing({ s: 'first value' })), plainOf(edited, storing({ s: 'other value' })), new Set());
  assert.deepEqual(more[0]?.reasons, ['env.B changed', 'secret s changed', 'secretFiles.F is gone', 'secretFiles.G is new']);
});

test('a record holds no value, and is what it was when it is made again', () => {
  const plain = plainOf(both, storing({ s: 'first value' })).get('web') as InstanceSpec;
  const text = JSON.stringify(plain);
  for (const form of ['first value', Buffer.from('first value').toString('base64')]) assert.ok(!text.includes(form));
  assert.deepEqual(withoutSecrets(plain, 'key'), plain);
});

test('what runs stays as it is while a secret of its new self cannot be had', () => {
  const before = plainOf(both, storing({ s: 'first value' }));
  const after = plainOf(both.replace('run: x', 'run: y'), () => ({ lacks: 'locked' }));
  assert.deepEqual(planChanges(before, after, new Set()), [{ kind: 'stay', id: 'web', reasons: [] }]);
  assert.equal(planChanges(new Map(), after, new Set())[0]?.kind, 'start');
});

test('text is taken from bytes as it stands, a byte order mark too', () => {
  assert.deepEqual(textOfSecret(Buffer.from('\uFEFFé\n')), { text: '\uFEFFé\n' });
});
