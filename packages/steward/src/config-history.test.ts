import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { writeTexts } from './config-files.ts';
import { createConfigHistory, etagOf } from './config-history.ts';
import { openStore } from './store/store.ts';

const folder = mkdtempSync(join(tmpdir(), 'steward-history-'));
after(() => rmSync(folder, { recursive: true }));

test('what is applied is kept with its texts, newest first, the same twice only once, and the oldest go', () => {
  const store = openStore(join(folder, 'h.db'), (error) => assert.fail(error.message));
  const history = createConfigHistory(store, () => 1000);
  const keep = (text: string) => history.keep({ by: 'root', summary: text, roots: ['/a.yaml'] }, [{ path: '/a.yaml', text }]);
  keep('one');
  keep('one');
  keep('two');
  assert.deepEqual(
    history.list(10).map(({ version, summary, by }) => [version, summary, by]),
    [
      [2, 'two', 'root'],
      [1, 'one', 'root'],
    ],
  );
  assert.deepEqual(history.texts(1)?.texts, [{ path: '/a.yaml', text: 'one' }]);
  assert.equal(history.texts(9), undefined);
  for (let n = 0; n < 210; n++) keep(`text ${n}`);
  assert.equal(history.list(1000).length, 200);
  assert.equal(history.texts(1), undefined);
  assert.deepEqual(
    history.list(1, 100).map(({ version }) => version),
    [99],
  );
  store.close();
});

test('an etag stands for exactly these texts, in whatever order', () => {
  const [a, b] = [
    { path: '/a', text: 'x' },
    { path: '/b', text: 'y' },
  ];
  assert.equal(etagOf([a, b]), etagOf([b, a]));
  assert.notEqual(
    etagOf([a, b]),
    etagOf([
      { ...a, text: 'xy' },
      { ...b, text: '' },
    ]),
  );
  assert.notEqual(etagOf([a]), etagOf([{ path: '/ax', text: '' }]));
});

test('files are replaced with their rights kept, and when one cannot be written all are as they were', () => {
  const path = (name: string): string => join(folder, name);
  writeFileSync(path('one.yaml'), 'old one');
  chmodSync(path('one.yaml'), 0o640);
  writeTexts([{ path: path('one.yaml'), text: 'new one' }]);
  assert.equal(readFileSync(path('one.yaml'), 'utf8'), 'new one');
  assert.equal(statSync(path('one.yaml')).mode & 0o777, 0o640);
  assert.throws(
    () =>
      writeTexts([
        { path: path('one.yaml'), text: 'newer' },
        { path: path('none/two.yaml'), text: 'x' },
      ]),
    { code: 'config/not-written' },
  );
  assert.equal(readFileSync(path('one.yaml'), 'utf8'), 'new one');
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith('.')),
    [],
  );
});

test('a link that somebody planted where a text is prepared is not followed', () => {
  const file = join(folder, 'served.yaml');
  const victim = join(folder, 'victim');
  writeFileSync(file, 'old');
  writeFileSync(victim, 'precious');
  symlinkSync(victim, join(folder, `.served.yaml.steward-${process.pid}`));
  writeTexts([{ path: file, text: 'new' }]);
  assert.equal(readFileSync(victim, 'utf8'), 'precious');
  assert.equal(readFileSync(file, 'utf8'), 'new');
});
