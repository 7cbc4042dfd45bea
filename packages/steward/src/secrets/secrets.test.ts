/** The store of secrets by itself: sealing, keys, versions, limits, masking, files. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { openStore, type Store } from '../store/store.ts';
import { createSecretFiles } from './files.ts';
import { createMask, maskText } from './mask.ts';
import { newKey, takeKey } from './master-key.ts';
import { seal, unseal } from './seal.ts';
import { createSecrets, type KeySource, mostSecretBytes, type Secrets } from './secrets.ts';

const fail = (error: Error): void => assert.fail(error.message);

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

interface Opened {
  readonly store: Store;
  readonly secrets: Secrets;
  close(): void;
}

function open(folder: string, source: KeySource = { kind: 'folder' }): Opened {
  const store = openStore(join(folder, 'state.db'), fail);
  const secrets = createSecrets({ store, source, folder, markKey: 'mark', now: () => 1000 });
  return { store, secrets, close: () => store.close() };
}

const bytes = (text: string): Buffer => Buffer.from(text);

/** The value as the configuration gets it; a text that says why when it does not. */
function valueIn(secrets: Secrets, name: string): string | undefined {
  const found = secrets.snapshot()(name);
  if (found === undefined || typeof found === 'string') return undefined;
  return 'lacks' in found ? `lacks: ${found.lacks}` : Buffer.from(found.bytes).toString();
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return 'nothing was thrown';
};

test('what is sealed opens with its key and for its purpose alone, and not when a bit of it is another', () => {
  const key = newKey();
  const sealed = seal(key, 'one', bytes('value'));
  assert.equal(unseal(key, 'one', sealed)?.toString(), 'value');
  assert.equal(unseal(newKey(), 'one', sealed), undefined);
  assert.equal(unseal(key, 'two', sealed), undefined);
  const raw = Buffer.from(sealed, 'base64');
  for (let at = 0; at < raw.length; at++) {
    const altered = Buffer.from(raw);
    altered[at] = (altered[at] as number) ^ 1;
    assert.equal(unseal(key, 'one', altered.toString('base64')), undefined, `byte ${at}`);
    assert.equal(unseal(key, 'one', raw.subarray(0, at).toString('base64')), undefined, `cut at ${at}`);
  }
  assert.notEqual(seal(key, 'one', bytes('value')), sealed, 'the same value looks different each time');
});

test('a value comes back as it was set, any bytes, over a new start; the one before is kept until the next', (t) => {
  const folder = newFolder(t);
  const first = open(folder);
  const all = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
  assert.deepEqual(first.secrets.set('db', all, 'ann'), { version: 1, changed: true });
  assert.deepEqual(first.secrets.set('db', all, 'bob'), { version: 1, changed: false }, 'the same value is no change');
  assert.equal(statSync(join(folder, 'secrets.key')).mode & 0o777, 0o600);
  first.close();
  const second = open(folder);
  t.after(second.close);
  const { secrets } = second;
  const found = secrets.snapshot()('db');
  assert.ok(found !== undefined && typeof found !== 'string' && 'bytes' in found && all.equals(found.bytes));
  assert.equal(valueIn(secrets, 'none'), undefined);
  secrets.set('db', bytes('two'), 'bob');
  secrets.set('db', bytes('three'), 'bob');
  assert.equal(valueIn(secrets, 'db'), 'three');
  assert.equal(valueIn(secrets, 'db.previous'), 'two');
  assert.deepEqual(secrets.list(), [{ name: 'db', version: 3, setMs: 1000, setBy: 'bob', hasPrevious: true }]);
  secrets.set('new', bytes('only'), 'bob');
  assert.equal(valueIn(secrets, 'new.previous'), 'only', 'without one before, the value itself');
  secrets.remove('db');
  assert.equal(valueIn(secrets, 'db'), undefined);
  assert.equal(
    codeOf(() => secrets.remove('db')),
    'api/unknown-secret',
  );
});

test('a snapshot stays as it was, whatever is set later', (t) => {
  const { secrets, close } = open(newFolder(t));
  t.after(close);
  secrets.set('a', bytes('old'), 'x');
  secrets.set('b', bytes('old'), 'x');
  const before = secrets.snapshot();
  secrets.set('a', bytes('new'), 'x');
  secrets.rekey(undefined);
  const [now, then] = [secrets.snapshot('a')('a'), before('a')];
  assert.ok(typeof now === 'object' && typeof then === 'object' && 'bytes' in now && 'bytes' in then);
  assert.deepEqual([Buffer.from(now.bytes).toString(), Buffer.from(then.bytes).toString()], ['new', 'old']);
  assert.notEqual(now.mark, then.mark);
  const b = [before('b'), secrets.snapshot()('b')];
  assert.deepEqual(b[0], b[1], 'new keys change no mark: nothing that uses it is restarted');
});

test('names and sizes are held to their limits', (t) => {
  const { secrets, close } = open(newFolder(t));
  t.after(close);
  for (const name of ['a', 'A.b_c-9', `a${'x'.repeat(127)}`]) assert.equal(secrets.set(name, bytes('v'), 'x').version, 1);
  for (const name of ['', '1a', '_a', 'a b', 'a/b', 'ä', 'a\n', `a${'x'.repeat(128)}`, 'db.previous'])
    assert.equal(
      codeOf(() => secrets.set(name, bytes('v'), 'x')),
      'api/secret-name',
      JSON.stringify(name),
    );
  assert.equal(secrets.set('large', Buffer.alloc(mostSecretBytes, 1), 'x').changed, true);
  assert.equal(
    codeOf(() => secrets.set('large', Buffer.alloc(mostSecretBytes + 1, 1), 'x')),
    'api/secret-value',
  );
  assert.equal(
    codeOf(() => secrets.set('large', Buffer.alloc(0), 'x')),
    'api/secret-value',
  );
});

test('a row that was altered, cut, or put in the place of another is refused, and the others are read', (t) => {
  const { secrets, store, close } = open(newFolder(t));
  t.after(close);
  for (const name of ['a', 'b', 'c', 'd', 'good']) secrets.set(name, bytes(`value of ${name}`), 'x');
  store.run(
    `update secret set sealed = substr(sealed, 1, 20) || 'A' || substr(sealed, 22) where name = 'a' and substr(sealed, 21, 1) <> 'A'`,
  );
  store.run(`update secret set sealed = substr(sealed, 1, 24) where name = 'b'`);
  store.run(`update secret set sealed = (select sealed from secret where name = 'good') where name = 'c'`);
  store.run(`update secret set version = 2 where name = 'd'`);
  for (const name of ['b', 'c', 'd']) assert.match(valueIn(secrets, name) ?? '', /^lacks: what is stored was altered or cut/, name);
  assert.equal(valueIn(secrets, 'good'), 'value of good');
  assert.equal(secrets.list().filter(({ lacks }) => lacks !== undefined).length >= 3, true);
  secrets.set('b', bytes('again'), 'x');
  assert.equal(valueIn(secrets, 'b'), 'again', 'setting it again heals it');
});

test('without its master key, or with another one, nothing is read or set, and the words say which', (t) => {
  const folder = newFolder(t);
  const [right, wrong] = [newKey().toString('base64'), newKey().toString('base64')];
  const first = open(folder, { kind: 'variable', text: right });
  first.secrets.set('db', bytes('value'), 'x');
  first.close();
  assert.ok(!existsSync(join(folder, 'secrets.key')), 'a key from outside is written nowhere');
  const cases: [KeySource, RegExp][] = [
    [{ kind: 'variable', text: wrong }, /another one: that of STEWARD_SECRETS_KEY does not open them/],
    [{ kind: 'variable', text: 'short' }, /STEWARD_SECRETS_KEY does not hold 32 bytes in base64/],
    [{ kind: 'folder' }, /missing: there is no .*secrets\.key/],
    [{ kind: 'file', path: join(folder, 'none') }, /STEWARD_SECRETS_KEY_FILE names, is not there/],
  ];
  for (const [source, words] of cases) {
    const { secrets, close } = open(folder, source);
    assert.match(secrets.locked ?? '', words);
    assert.match(valueIn(secrets, 'db') ?? '', /^lacks: /);
    assert.equal(
      codeOf(() => secrets.set('db', bytes('v'), 'x')),
      'daemon/secrets-locked',
    );
    assert.equal(
      codeOf(() => secrets.rekey(undefined)),
      'daemon/secrets-locked',
    );
    assert.equal(secrets.list()[0]?.name, 'db', 'names are no secret');
    assert.equal(secrets.mask('value'), 'value');
    close();
  }
  const key = join(folder, 'key');
  writeFileSync(key, `${right}\n`);
  const again = open(folder, { kind: 'file', path: key });
  assert.equal(valueIn(again.secrets, 'db'), 'value');
  again.close();
});

test('a key is taken out of the environment, and given back to what follows', () => {
  const env: NodeJS.ProcessEnv = { STEWARD_SECRETS_KEY: 'key', STEWARD_SECRETS_KEY_FILE: '/x', PATH: '/bin' };
  const taken = takeKey(env);
  assert.deepEqual(env, { PATH: '/bin' });
  assert.deepEqual(taken.source, { kind: 'variable', text: 'key' });
  taken.giveBack(env);
  assert.deepEqual(env, { STEWARD_SECRETS_KEY: 'key', STEWARD_SECRETS_KEY_FILE: '/x', PATH: '/bin' });
});

test('a rekey makes another key, and the old one opens nothing that is on the disk', (t) => {
  const folder = newFolder(t);
  const first = open(folder);
  first.secrets.set('db', bytes('one'), 'x');
  first.secrets.set('db', bytes('two'), 'x');
  const old = readFileSync(join(folder, 'secrets.key'), 'utf8');
  const [{ current } = { current: '' }] = first.store.all<{ current: string }>('select current from secret_key');
  const onDisk = (): string => ['state.db', 'state.db-wal'].map((name) => readFileSync(join(folder, name), 'latin1')).join();
  assert.ok(onDisk().includes(current));
  first.secrets.rekey(undefined);
  assert.ok(!onDisk().includes(current), 'what the old key opens is overwritten');
  assert.equal(valueIn(first.secrets, 'db.previous'), 'one', 'it goes on with the new keys at once');
  first.close();
  assert.notEqual(readFileSync(join(folder, 'secrets.key'), 'utf8'), old);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('secrets.key')),
    ['secrets.key'],
  );
  const second = open(folder);
  assert.deepEqual([valueIn(second.secrets, 'db'), valueIn(second.secrets, 'db.previous')], ['two', 'one']);
  const sealed = second.store.all<{ current: string; next: string | null }>('select * from secret_key');
  assert.equal(unseal(Buffer.from(old, 'base64'), 'steward data key', sealed[0]?.current ?? ''), undefined);
  assert.equal(sealed[0]?.next, null);
  second.close();
  writeFileSync(join(folder, 'secrets.key'), old);
  const third = open(folder);
  assert.match(third.secrets.locked ?? '', /another one/);
  third.close();
});

test('a key that is kept outside is changed by giving the next one; both open until a start with the new one', (t) => {
  const folder = newFolder(t);
  const [one, two] = [newKey(), newKey()];
  const by = (key: Buffer): KeySource => ({ kind: 'variable', text: key.toString('base64') });
  const first = open(folder, by(one));
  first.secrets.set('db', bytes('value'), 'x');
  assert.equal(
    codeOf(() => first.secrets.rekey(undefined)),
    'api/outside-key',
  );
  first.secrets.rekey(two);
  first.close();
  for (const key of [one, two, two]) {
    const { secrets, close } = open(folder, by(key));
    assert.equal(valueIn(secrets, 'db'), 'value');
    close();
  }
  const last = open(folder, by(one));
  assert.match(last.secrets.locked ?? '', /another one/, 'once the new one was used the old one is worth nothing');
  last.close();
});

test('the key moves from the state directory to the outside, and its file goes', (t) => {
  const folder = newFolder(t);
  const first = open(folder);
  first.secrets.set('db', bytes('value'), 'x');
  const key = newKey();
  first.secrets.rekey(key);
  first.close();
  const second = open(folder, { kind: 'variable', text: key.toString('base64') });
  assert.equal(valueIn(second.secrets, 'db'), 'value');
  assert.ok(!existsSync(join(folder, 'secrets.key')));
  second.close();
});

const rekeyer = `
  import { openStore } from '${join(import.meta.dirname, '../store/store.ts')}';
  import { createSecrets } from '${join(import.meta.dirname, 'secrets.ts')}';
  const store = openStore(process.argv[1] + '/state.db', (error) => { throw error; });
  const secrets = createSecrets({ store, source: { kind: 'folder' }, folder: process.argv[1], markKey: 'mark', now: () => 1000 });
  process.stdout.write('ready');
  for (;;) secrets.rekey(undefined);
`;

const ended = (child: ChildProcess): Promise<unknown> => new Promise((resolve) => child.once('exit', resolve));

test('kill -9 at any moment of a rekey leaves one key that opens everything', async (t) => {
  const folder = newFolder(t);
  const first = open(folder);
  for (let n = 0; n < 20; n++) first.secrets.set(`s${n}`, bytes(`value ${n}`), 'x');
  first.close();
  const keys = new Set([readFileSync(join(folder, 'secrets.key'), 'utf8')]);
  for (let round = 0; round < 12; round++) {
    const child = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', rekeyer, folder],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await new Promise((resolve) => child.stdout.once('data', resolve));
    setTimeout(() => child.kill('SIGKILL'), round * 3.7);
    await ended(child);
    const { secrets, close } = open(folder);
    assert.equal(secrets.locked, undefined, `round ${round}`);
    for (let n = 0; n < 20; n++) assert.equal(valueIn(secrets, `s${n}`), `value ${n}`);
    close();
    keys.add(readFileSync(join(folder, 'secrets.key'), 'utf8'));
    assert.deepEqual(
      readdirSync(folder).filter((name) => /^secrets\.key\.next$/.test(name)),
      [],
    );
  }
  assert.ok(keys.size > 2, 'the kills did hit rekeys');
});

test('each step of a rekey can be the last one', (t) => {
  for (const step of ['the next key is written', 'all is sealed with both', 'the next key is in force']) {
    const folder = newFolder(t);
    const { secrets, store, close } = open(folder);
    secrets.set('db', bytes('value'), 'x');
    const before = readFileSync(join(folder, 'secrets.key'));
    const sealedBefore = store.all<{ current: string }>('select current from secret_key')[0]?.current as string;
    secrets.rekey(undefined);
    const after = readFileSync(join(folder, 'secrets.key'));
    // Put back as if it had been cut off there.
    const dataKey = unseal(
      Buffer.from(after.toString(), 'base64'),
      'steward data key',
      store.all<{ current: string }>('select current from secret_key')[0]?.current as string,
    ) as Buffer;
    const old = Buffer.from(before.toString(), 'base64');
    if (step === 'the next key is written') {
      const oldData = unseal(old, 'steward data key', sealedBefore) as Buffer;
      store.run('update secret_key set current = ?', sealedBefore);
      store.run('update secret set sealed = ?', seal(oldData, JSON.stringify(['steward secret', 'db', 1]), bytes('value')));
    } else {
      const next = store.all<{ current: string }>('select current from secret_key')[0]?.current as string;
      store.run('update secret_key set current = ?, next = ?', seal(old, 'steward data key', dataKey), next);
    }
    if (step !== 'the next key is in force') {
      writeFileSync(join(folder, 'secrets.key'), before);
      writeFileSync(join(folder, 'secrets.key.next'), after, { mode: 0o600 });
    }
    close();
    const again = open(folder);
    assert.equal(valueIn(again.secrets, 'db'), 'value', step);
    assert.deepEqual(readFileSync(join(folder, 'secrets.key')), step === 'the next key is written' ? before : after, step);
    assert.ok(!existsSync(join(folder, 'secrets.key.next')), step);
    assert.equal(again.store.all<{ next: string | null }>('select next from secret_key')[0]?.next, null);
    again.close();
  }
});

test('values are taken out of texts: whole, line by line, and as JSON writes them; short ones are not', () => {
  const mask = createMask([
    bytes('hunter22'),
    bytes('tiny'),
    bytes('with "quotes" in it'),
    bytes('-----BEGIN KEY-----\nfirst line\nshort\n'),
  ]);
  assert.ok(mask);
  assert.equal(mask('a hunter22 b hunter22'), `a ${maskText} b ${maskText}`);
  assert.equal(mask('tiny short'), 'tiny short');
  assert.equal(mask(JSON.stringify({ a: 'with "quotes" in it' })), `{"a":"${maskText}"}`);
  assert.equal(mask('-----BEGIN KEY-----'), '-----BEGIN KEY-----');
  assert.equal(mask('it was: first line.'), `it was: ${maskText}.`);
  assert.equal(createMask([bytes('1234567')]), undefined, 'with nothing to hide there is nothing to do');
});

test('values are found wherever they stand, among many and whatever surrounds them', () => {
  const values = Array.from({ length: 300 }, (_, n) => `${'aab'.repeat(1 + (n % 5))}-value-${n}-中💥`);
  const mask = createMask(values.map(bytes));
  for (const [n, value] of values.entries())
    for (const around of ['', 'a', 'aa', 'aaba', ' ', `${'x'.repeat(n)}aab`, 'ａ'])
      assert.equal(mask?.(`${around}${value}${around}`), `${around}${maskText}${around}`);
  assert.equal(mask?.('aab-value-1-中'), 'aab-value-1-中', 'a part of one is none');
});

test('a longer value that holds a shorter one is hidden whole', () => {
  const mask = createMask([bytes('password'), bytes('password-and-more')]);
  assert.equal(mask?.('x password-and-more y'), `x ${maskText} y`);
});

const file = (variable: string, text: string) => ({ variable, content: bytes(text).toString('base64') });
const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

test('a file of a secret is for its user alone, in a folder that only Steward can change', (t) => {
  const folder = join(newFolder(t), 'run');
  const files = createSecretFiles(folder);
  const owner = own.uid === 0 ? { uid: 65534, gid: 65534 } : own;
  const { KEY_FILE: path = '' } = files.write('home.run-1', [file('KEY_FILE', 'a\0b\n')], owner);
  assert.equal(path, join(folder, 'home.run-1', 'KEY_FILE'));
  assert.equal(readFileSync(path, 'latin1'), 'a\0b\n');
  const stat = statSync(path);
  assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.gid], [0o400, owner.uid, owner.gid]);
  const above = statSync(join(folder, 'home.run-1'));
  assert.deepEqual([above.mode & 0o7777, above.uid], [0o711, own.uid]);
  const inode = stat.ino;
  files.write('home.run-1', [file('KEY_FILE', 'a\0b\n')], owner);
  assert.equal(statSync(path).ino, inode, 'what is right is left alone');
  files.write('home.run-2', [file('KEY_FILE', 'x')], owner);
  files.keepOnly(['home.run-2']);
  assert.deepEqual(readdirSync(folder), ['home.run-2']);
  files.remove('home.run-2');
  assert.deepEqual(readdirSync(folder), []);
});

test('links and wrong modes in the way are replaced, never followed', (t) => {
  const place = newFolder(t);
  const folder = join(place, 'run');
  const target = join(place, 'target');
  writeFileSync(target, 'untouched');
  const files = createSecretFiles(folder);
  const [path, draft] = [join(folder, 'run-1', 'KEY'), join(folder, 'run-1', 'KEY.draft')];
  files.write('run-1', [file('KEY', 'one')], own);
  rmSync(path);
  symlinkSync(target, path);
  symlinkSync(target, draft);
  files.write('run-1', [file('KEY', 'one')], own);
  assert.ok(lstatSync(path).isFile());
  assert.equal(readFileSync(path, 'utf8'), 'one');
  assert.ok(!existsSync(draft));
  chmodSync(path, 0o644);
  files.write('run-1', [file('KEY', 'one')], own);
  assert.equal(statSync(path).mode & 0o7777, 0o400);
  rmSync(join(folder, 'run-1'), { recursive: true });
  mkdirSync(join(place, 'elsewhere'));
  symlinkSync(join(place, 'elsewhere'), join(folder, 'run-1'));
  assert.throws(() => files.write('run-1', [file('KEY', 'one')], own), /is no folder: remove it/);
  files.remove('run-1');
  rmSync(folder, { recursive: true });
  symlinkSync(join(place, 'elsewhere'), folder);
  assert.throws(() => files.write('run-1', [file('KEY', 'one')], own), /is no folder: remove it/);
  files.keepOnly([]);
  rmSync(folder);
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  assert.throws(() => files.write('run-1', [file('KEY', 'one')], own), /can be changed by others: remove it/);
  assert.equal(readFileSync(target, 'utf8'), 'untouched');
  assert.deepEqual(readdirSync(join(place, 'elsewhere')), []);
});
