import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { StewardError } from '../errors.ts';
import { checkSchema, openStore } from './store.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-store-'));
after(() => rmSync(folder, { recursive: true }));

const fail = (error: Error): never => assert.fail(error.message);
const steps = ['create table a (x integer) strict;', 'create table b (y text) strict; insert into b values (1);'];

const valuesOf = (file: string): unknown => {
  const db = new DatabaseSync(file, { readOnly: true });
  const values = [db.prepare('pragma user_version').get(), db.prepare("select name from sqlite_schema where type = 'table'").all()];
  db.close();
  return JSON.parse(JSON.stringify(values));
};

test('a file of an older schema is taken forward, and what is in it stays', () => {
  const file = join(folder, 'forward.db');
  const first = openStore(file, fail, steps.slice(0, 1));
  first.run('insert into a values (?)', 7);
  first.close();
  const second = openStore(file, fail, [...steps.slice(0, 1), 'alter table a add column z integer;']);
  assert.deepEqual(
    second.all('select x, z from a').map((row) => ({ ...(row as object) })),
    [{ x: 7, z: null }],
  );
  second.close();
  assert.equal(statSync(file).mode & 0o777, 0o600);
});

test('a step that fails leaves the file as the step before made it', () => {
  const file = join(folder, 'half.db');
  openStore(file, fail, steps.slice(0, 1)).close();
  const before = valuesOf(file);
  assert.throws(
    () => openStore(file, () => {}, [...steps.slice(0, 1), 'create table b (y text) strict; create table a (x integer);']),
    /cannot be opened/,
  );
  assert.deepEqual(valuesOf(file), before);
});

test('a file that a newer Steward wrote is refused in words and not touched', () => {
  const file = join(folder, 'newer.db');
  const db = new DatabaseSync(file);
  db.exec('pragma user_version = 99');
  db.close();
  const isRefused = (error: unknown): boolean =>
    error instanceof StewardError &&
    error.code === 'daemon/state-newer' &&
    /was written by a newer Steward \(schema 99; this one knows \d+\)/.test(error.message);
  assert.throws(() => checkSchema(file), isRefused);
  assert.throws(() => openStore(file, fail), isRefused);
  assert.deepEqual(valuesOf(file), [{ user_version: 99 }, []]);
  checkSchema(join(folder, 'not-there.db'));
});

test('a file that is no database is told in words', () => {
  const file = join(folder, 'none.db');
  writeFileSync(file, 'x'.repeat(5000));
  assert.throws(
    () => openStore(file, () => {}),
    (error) => error instanceof StewardError && error.code === 'daemon/state-database' && /none\.db cannot be opened: /.test(error.message),
  );
});

test('a writer that is killed at any moment leaves each row old or new', async () => {
  const file = join(folder, 'killed.db');
  openStore(file, fail).close();
  const text = `import { openStore } from ${JSON.stringify(fileURLToPath(new URL('./store.ts', import.meta.url)))};
const store = openStore(${JSON.stringify(file)}, (error) => { console.error(error); process.exit(1); });
const [row] = store.all("select value from setting where name = 'n'");
for (let n = row === undefined ? 0 : Number(JSON.parse(row.value)[0]); ; n++) {
  store.run("insert into setting (name, value) values ('n', ?) on conflict (name) do update set value = excluded.value", JSON.stringify(Array(500).fill(n)));
  if (n % 100 === 0) console.log('on');
}`;
  let last = -1;
  for (let round = 0; round < 12; round++) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', text], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await wait(Math.random() * 20);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
    const store = openStore(file, fail);
    const [row] = store.all<{ value: string }>("select value from setting where name = 'n'");
    const values = new Set(JSON.parse(row?.value ?? '[]') as number[]);
    assert.deepEqual(
      store.all<{ integrity_check: string }>('pragma integrity_check').map((found) => found.integrity_check),
      ['ok'],
    );
    store.close();
    assert.equal(values.size, 1, 'one value throughout');
    const [now = -1] = values;
    assert.ok(now >= last, 'never older than at the kill before');
    last = now;
  }
});
