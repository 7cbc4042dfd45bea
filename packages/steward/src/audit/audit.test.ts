import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StewardError } from '../errors.ts';
import { openStore, type Store } from '../store/store.ts';
import { type Audit, createAudit, type Deed, formatHead, verifyDatabase, verifyExport } from './audit.ts';

const deed: Deed = {
  as: 'person',
  who: 'ada',
  via: 'https',
  from: '10.0.0.1',
  action: 'stopInstances',
  object: 'web',
  details: { names: ['web'] },
};
const dayMs = 24 * 60 * 60 * 1000;

interface Stage {
  audit: Audit;
  readonly file: string;
  readonly told: string[];
  nowMs: number;
  full: boolean;
  /** Closes it, as when the daemon ends. */
  close(): void;
  reopen(): void;
  /** Alters the file as somebody would who may write it: triggers do not keep them. */
  tamper(sql: string): void;
}

function stageOf(t: TestContext): Stage {
  const folder = mkdtempSync(join(tmpdir(), 'steward-audit-'));
  const file = join(folder, 'state.db');
  let open: Store | undefined;
  const stage: Stage = {
    audit: undefined as unknown as Audit,
    file,
    told: [],
    nowMs: Date.UTC(2026, 10, 21),
    full: false,
    close() {
      stage.audit?.stop();
      open?.close();
      open = undefined;
    },
    reopen() {
      stage.close();
      const inner = openStore(file, (error) => stage.told.push(error.message));
      open = inner;
      const store: Store = { ...inner, run: (sql, ...values) => !stage.full && inner.run(sql, ...values) };
      stage.audit = createAudit({ store, now: () => stage.nowMs, onTrouble: (message) => stage.told.push(message) });
    },
    tamper(sql) {
      const db = new DatabaseSync(file);
      const triggers = db.prepare("select name, sql from sqlite_schema where type = 'trigger'").all() as { name: string; sql: string }[];
      for (const { name } of triggers) db.exec(`drop trigger ${name}`);
      db.exec(sql);
      for (const trigger of triggers) db.exec(trigger.sql);
      db.close();
    },
  };
  stage.reopen();
  t.after(() => {
    stage.close();
    rmSync(folder, { recursive: true });
  });
  return stage;
}

const listAll = async (audit: Audit, more: object = {}) => (await audit.list({ limit: 1000, ...more })).entries;

function fill({ audit }: Stage, count: number): void {
  for (let index = 0; index < count; index++)
    audit.begin({ ...deed, object: `web ${index}` })(index % 3 === 0 ? 'refused' : 'done', index % 3 === 0 ? 'no' : undefined);
}

async function exported(audit: Audit, format: 'ndjson' | 'csv' = 'ndjson', span = {}) {
  let text = '';
  let head: string | undefined;
  for await (const part of audit.export(format, span)) {
    text += part.text;
    if (part.head !== undefined) head = formatHead(part.head);
  }
  return { text, head: head ?? assert.fail('no head'), lines: text.split('\n').slice(0, -1) };
}

test('what is begun is in the trail before it is done, and then what came of it', async (t) => {
  const { audit, file } = stageOf(t);
  const finish = audit.begin(deed);
  const db = new DatabaseSync(file, { readOnly: true });
  assert.deepEqual(
    { ...db.prepare('select seq, who, action, object, result from audit').get() },
    { seq: 1, who: 'ada', action: 'stopInstances', object: 'web', result: 'begun' },
  );
  db.close();
  finish('failed', 'the disk is full');
  finish('done');
  const [last, first] = await listAll(audit);
  assert.deepEqual([first?.result, first?.hasOutcome, first?.details], ['begun', true, { names: ['web'] }]);
  assert.deepEqual((await listAll(audit, { brief: true }))[0]?.details, { names: ['web'] }, 'with what was given, where it stands alone');
  assert.deepEqual([last?.result, last?.of, last?.reason, last?.who], ['failed', 1, 'the disk is full', 'ada']);
  assert.equal((await listAll(audit)).length, 2, 'once');
});

test('entries are found by who, action, object, result and time, the newest first, page by page', async (t) => {
  const stage = stageOf(t);
  fill(stage, 10);
  stage.nowMs += dayMs;
  stage.audit.note({ ...deed, who: 'eve', action: 'login', object: '', details: {}, result: 'refused', reason: 'identity/wrong' });
  const { audit } = stage;
  assert.equal((await listAll(audit, { who: 'eve' })).length, 1);
  assert.equal((await listAll(audit, { action: 'login' }))[0]?.reason, 'identity/wrong');
  assert.equal((await listAll(audit, { object: 'eb 3' })).length, 2);
  assert.equal((await listAll(audit, { result: 'refused' })).length, 5);
  assert.equal((await listAll(audit, { sinceMs: stage.nowMs })).length, 1);
  assert.equal((await listAll(audit, { untilMs: stage.nowMs - 1 })).length, 20);
  assert.equal((await listAll(audit, { brief: true })).length, 11);
  assert.equal((await listAll(audit, { who: "x' or 1=1" })).length, 0);

  const seqs: number[] = [];
  for (let before: number | undefined; ; ) {
    const { entries, next } = await audit.list({ limit: 4, before });
    seqs.push(...entries.map(({ seq }) => seq));
    if (next === undefined) break;
    before = next;
  }
  assert.deepEqual(
    seqs,
    Array.from({ length: 21 }, (_, index) => 21 - index),
  );
});

test('what was begun and has no outcome is told', async (t) => {
  const stage = stageOf(t);
  stage.audit.begin(deed);
  stage.reopen();
  const [entry] = await listAll(stage.audit, { brief: true });
  assert.deepEqual([entry?.result, entry?.hasOutcome], ['begun', false]);
});

test('the chain goes on over restarts', async (t) => {
  const stage = stageOf(t);
  fill(stage, 5);
  stage.reopen();
  fill(stage, 5);
  const verdict = await stage.audit.verify();
  assert.deepEqual([verdict.whole, verdict.entries, verdict.head?.seq], [true, 20, 20]);
});

test('the database refuses to alter, remove, replace or insert entries out of order', (t) => {
  const stage = stageOf(t);
  fill(stage, 3);
  const db = new DatabaseSync(stage.file);
  t.after(() => db.close());
  const text = "'{}'";
  for (const sql of [
    "update audit set text = '{}' where seq = 2",
    'update audit set hash = 1',
    'delete from audit where seq = 2',
    'delete from audit',
    `insert or replace into audit (seq, text, hash) values (2, ${text}, 'x')`,
    `insert into audit (seq, text, hash) values (9, ${text}, 'x')`,
    `insert into audit (text, hash) values (${text}, 'x')`,
    'delete from audit_anchor',
    'update audit_anchor set seq = 0',
    'update audit_anchor set seq = seq',
  ])
    assert.throws(() => db.exec(sql), /append-only|follows the last|moves on|has an anchor/, sql);
  assert.throws(() => db.exec("update audit set who = 'eve' where seq = 2"), /generated column/);
});

test('a character altered, a row removed, two swapped, and an end cut off are each found, with and without a daemon', async (t) => {
  const swap = 'update audit set seq = -2 where seq = 2; update audit set seq = 2 where seq = 3; update audit set seq = 3 where seq = -2';
  const cases: readonly (readonly [string, number, RegExp])[] = [
    [`update audit set text = replace(text, 'ada', 'eve') where seq = 2`, 2, /altered/],
    [`update audit set hash = replace(hash, substr(hash, 1, 1), 'z') where seq = 4`, 4, /altered/],
    ['delete from audit where seq = 3', 3, /missing/],
    ['delete from audit where seq = 1', 1, /missing/],
    [swap, 2, /altered/],
    [
      `update audit_anchor set seq = 2, hash = (select hash from audit where seq = 2); delete from audit where seq <= 2`,
      3,
      /no entry says so/,
    ],
  ];
  for (const [sql, brokenAt, words] of cases) {
    const stage = stageOf(t);
    fill(stage, 3);
    stage.tamper(sql);
    for (const verdict of [await stage.audit.verify(), await verifyDatabase(stage.file)]) {
      assert.deepEqual([verdict.whole, verdict.brokenAt], [false, brokenAt], sql);
      assert.match(verdict.why ?? '', words, sql);
    }
  }
});

test('an end that was cut off is found by the daemon that wrote it, and by whoever noted the head', async (t) => {
  const stage = stageOf(t);
  fill(stage, 3);
  const { head } = await stage.audit.verify();
  const noted = formatHead(head ?? assert.fail());
  stage.tamper('delete from audit where seq > 4');
  assert.match((await stage.audit.verify()).why ?? '', /ends at 4, and 6 was written/);
  stage.reopen();
  assert.equal((await stage.audit.verify()).whole, true, 'a new daemon cannot know');
  fill(stage, 3);
  for (const text of [noted, noted.replace(/^\d+:/, '')])
    for (const verdict of [await stage.audit.verify(text), await verifyDatabase(stage.file, text)]) {
      assert.equal(verdict.whole, false, text);
      assert.match(verdict.why ?? '', /noted head is not in the trail/);
    }
  await assert.rejects(verifyDatabase(stage.file, 'nonsense'), (error) => error instanceof StewardError && error.code === 'audit/no-trail');
});

test('an export can be verified, also one of a span of time, and what is altered in it is found', async (t) => {
  const stage = stageOf(t);
  for (let day = 0; day < 5; day++) {
    fill(stage, 2);
    stage.nowMs += dayMs;
  }
  const { audit } = stage;
  const all = await exported(audit);
  assert.equal(all.lines.length, 21);
  const whole = await verifyExport(all.lines, all.head);
  assert.deepEqual([whole.whole, whole.entries, whole.head?.seq], [true, 20, 20]);

  const start = Date.UTC(2026, 10, 22);
  const part = await exported(audit, 'ndjson', { sinceMs: start, untilMs: start + dayMs });
  const verdict = await verifyExport(part.lines, part.head);
  assert.deepEqual([verdict.whole, verdict.anchor?.seq, verdict.head?.seq], [true, 4, 12]);
  assert.equal((await exported(audit, 'ndjson', { sinceMs: stage.nowMs + 1 })).lines.length, 1, 'nothing is an export too');

  const broken = async (lines: string[], head?: string) => {
    const { whole: isWhole, brokenAt } = await verifyExport(lines, head);
    return isWhole ? 'whole' : brokenAt;
  };
  assert.equal(await broken(all.lines.with(3, (all.lines[3] as string).replace('ada', 'eve'))), 3);
  assert.equal(await broken(all.lines.toSpliced(7, 1)), 7);
  assert.equal(await broken(all.lines.with(4, all.lines[5] as string).with(5, all.lines[4] as string)), 4);
  assert.equal(await broken(all.lines.slice(0, -1)), 'whole', 'without a head nobody can tell');
  assert.equal(await broken(all.lines.slice(0, -1), all.head), 20);
  assert.equal(await broken(all.lines.with(9, 'garbage')), 9);
  assert.equal(await broken([all.lines[0] as string, ...all.lines.slice(3)]), 1);
  await assert.rejects(verifyExport(all.lines.slice(1)), /first line/);
  await assert.rejects(verifyExport([]), /empty/);
});

test('an export as a table has all entries', async (t) => {
  const stage = stageOf(t);
  fill(stage, 4);
  const { text, head } = await exported(stage.audit, 'csv');
  assert.equal(text.split('\r\n').length, 10);
  assert.match(head, /^8:[0-9a-f]{64}$/);
});

test('entries older than the policy go, the anchor says up to where, and the rest is whole', async (t) => {
  const stage = stageOf(t);
  fill(stage, 5);
  const old = await exported(stage.audit);
  stage.nowMs += 10 * dayMs;
  fill(stage, 5);
  stage.audit.keep(30 * dayMs);
  assert.equal((await listAll(stage.audit)).length, 20, 'nothing is that old');
  stage.audit.keep(5 * dayMs);
  const entries = await listAll(stage.audit);
  assert.deepEqual([entries.length, entries.at(-1)?.seq], [11, 11]);
  assert.deepEqual(
    [entries[0]?.action, entries[0]?.as, entries[0]?.details.seq, entries[0]?.details.entries],
    ['removeOldEntries', 'steward', 10, 10],
  );
  assert.equal(`10:${entries[0]?.details.hash}`, old.head, 'what an export of before ends in');
  for (const verdict of [await stage.audit.verify(), await verifyDatabase(stage.file)])
    assert.deepEqual([verdict.whole, verdict.anchor?.seq, verdict.entries], [true, 10, 11]);
  assert.equal((await stage.audit.verify(old.head)).whole, true, 'the head noted before is the anchor');

  stage.reopen();
  stage.audit.keep(5 * dayMs);
  assert.equal((await listAll(stage.audit)).length, 11, 'no second time');
  stage.nowMs += 10 * dayMs;
  stage.audit.keep(5 * dayMs);
  const verdict = await stage.audit.verify();
  assert.deepEqual([verdict.whole, verdict.entries, verdict.anchor?.seq], [true, 1, 21], 'the entry of the removal is all that is left');
});

test('on a full disk entries wait and are written in order; those without room are counted', async (t) => {
  const stage = stageOf(t);
  fill(stage, 2);
  stage.full = true;
  for (let index = 0; index < 10_050; index++) stage.audit.note({ ...deed, object: String(index), result: 'done' });
  assert.deepEqual(stage.audit.waiting(), { entries: 10_000, lost: 50 });
  assert.match(stage.told[0] ?? '', /cannot be written/);
  assert.equal((await stage.audit.verify()).whole, true, 'what is on the disk');
  stage.full = false;
  stage.audit.stop(); // as soon as it looks again
  assert.deepEqual(stage.audit.waiting(), { entries: 0, lost: 0 });
  const [last, before] = await listAll(stage.audit);
  assert.deepEqual([last?.action, last?.details.entries, before?.object], ['loseEntries', 50, '9999']);
  const verdict = await stage.audit.verify();
  assert.deepEqual([verdict.whole, verdict.entries], [true, 10_005]);
  assert.match(stage.told.at(-1) ?? '', /written again; 50 entries are lost/);
});

test('who nobody knows cannot fill the trail: of too many the number is told, and who got in always', async (t) => {
  const stage = stageOf(t);
  const stranger = { ...deed, as: 'nobody', who: 'ada', action: 'login', object: '', details: { name: 'x'.repeat(5000) } };
  for (let index = 0; index < 1000; index++) stage.audit.begin(stranger)('refused', 'identity/wrong');
  assert.equal((await listAll(stage.audit)).length, 60, 'thirty tries, begun and refused');
  stage.audit.begin(stranger)('done');
  stage.audit.begin(deed)('done');
  assert.deepEqual(
    (await listAll(stage.audit)).slice(0, 3).map(({ as, result }) => `${as} ${result}`),
    ['person done', 'person begun', 'nobody done'],
  );
  stage.nowMs += 60_000;
  const [last] = await listAll(stage.audit);
  assert.deepEqual([last?.action, last?.object, last?.details], ['skipEntries', '10.0.0.1', { entries: 971 }]);
  assert.equal((await stage.audit.verify()).whole, true);
});

test('killed at any moment, the program leaves a chain that is whole', async (t) => {
  const stage = stageOf(t);
  const program = fileURLToPath(new URL('./testing.ts', import.meta.url));
  let entries = 0;
  for (let round = 0; round < 6; round++) {
    stage.close();
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, stage.file], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await new Promise((resolve) => {
      let written = 0;
      child.stdout.on('data', (chunk: Buffer) => {
        written += chunk.length;
        if (written > 20 + 37 * round) resolve(undefined);
      });
    });
    child.kill('SIGKILL');
    await ended;
    const offline = await verifyDatabase(stage.file);
    assert.equal(offline.whole, true, offline.why ?? '');
    assert.ok(offline.entries > entries);
    entries = offline.entries;
    stage.reopen();
    stage.audit.note({ ...deed, result: 'done' });
    assert.equal((await stage.audit.verify()).whole, true);
  }
});

test('what holds no trail is refused in words', async (t) => {
  const { file } = stageOf(t);
  for (const name of [`${file}.missing`, fileURLToPath(import.meta.url)])
    await assert.rejects(verifyDatabase(name), (error) => error instanceof StewardError && error.code === 'audit/no-trail', name);
});
