/**
 * The state that outlives the daemon: one SQLite file, `state.db`, in the state directory. Each write is one transaction,
 * so after a kill or a power cut it is old or new, never half. Only the daemon opens it.
 */
import { chmodSync, existsSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { StewardError } from '../errors.ts';

export type Value = string | number | null;

export interface Store {
  /** Runs one statement that changes something. Never throws: it is false for a write that failed, of which who opened the store hears. */
  run(sql: string, ...values: Value[]): boolean;
  /** The rows of a query. */
  all<T>(sql: string, ...values: Value[]): T[];
  /** Does all that `work` does in one transaction. @throws what `work` throws, and nothing is changed then. */
  atomically<T>(work: () => T): T;
  close(): void;
}

/** Each step takes the schema one version further; steps are only ever added. */
const migrations: readonly string[] = [
  `create table instance (
     id text primary key, run_id text not null, pid integer, start integer, boot text not null,
     started_ms integer not null, state text not null, restarts integer not null default 0, exit text, spec text not null
   ) strict;
   create table stopped (id text primary key) strict;
   create table fact (seq integer primary key, at_ms integer not null, type text not null, subject text not null, data text not null) strict;
   create table setting (name text primary key, value text not null) strict;`,
  `create table config_version (
     version integer primary key, at_ms integer not null, by text not null, summary text not null, etag text not null,
     roots text not null, paths text not null, texts text not null
   ) strict;
   create table request (key text primary key, operation text not null, body text not null, at_ms integer not null, status integer, answer text) strict;`,
  `create table identity (kind text not null, key text not null, data text not null, primary key (kind, key)) strict, without rowid;
   create table audit (
     seq integer primary key, text text not null, hash text not null,
     at text as (json_extract(text, '$.at')) stored, who text as (json_extract(text, '$.who')) stored,
     action text as (json_extract(text, '$.action')) stored, object text as (json_extract(text, '$.object')) stored,
     result text as (json_extract(text, '$.result')) stored, of integer as (json_extract(text, '$.of')) stored
   ) strict;
   create index audit_of on audit (of) where of is not null;
   create table audit_anchor (one integer primary key check (one = 1), seq integer not null, hash text not null) strict;
   insert into audit_anchor values (1, 0, '${'0'.repeat(64)}');
   create trigger audit_follows before insert on audit
     when new.seq is not 1 + coalesce((select max(seq) from audit), (select seq from audit_anchor))
     begin select raise(abort, 'an entry of the audit trail follows the last one'); end;
   create trigger audit_stays before update on audit begin select raise(abort, 'the audit trail is append-only'); end;
   create trigger audit_kept before delete on audit when old.seq > (select seq from audit_anchor)
     begin select raise(abort, 'the audit trail is append-only'); end;
   create trigger audit_anchor_grows before update on audit_anchor when new.seq <= old.seq
     begin select raise(abort, 'the anchor of the audit trail only moves on'); end;
   create trigger audit_anchor_stays before delete on audit_anchor begin select raise(abort, 'the audit trail has an anchor'); end;`,
  `create table secret_key (id integer primary key check (id = 1), current text not null, next text) strict;
   create table secret (
     name text primary key, version integer not null, set_ms integer not null, set_by text not null, sealed text not null,
     previous_version integer, previous text
   ) strict;`,
];

const versionOf = (db: DatabaseSync): number => (db.prepare('pragma user_version').get() as { user_version: number }).user_version;

/** @throws StewardError when the file is of a schema that this program does not know. */
function refuseNewer(file: string, version: number, known: number): void {
  if (version <= known) return;
  throw new StewardError('daemon/state-newer', `${file} was written by a newer Steward (schema ${version}; this one knows ${known})`, {
    status: 409,
    hint: 'Run the newer one, or give this one another state directory with --state.',
  });
}

/** Takes the schema as far as `steps` go, each step in one transaction: after a failure, or a kill, the file is as it was. */
function migrate(db: DatabaseSync, file: string, steps: readonly string[]): void {
  const found = versionOf(db);
  refuseNewer(file, found, steps.length);
  for (const [index, step] of steps.entries()) {
    if (index < found) continue;
    db.exec('begin immediate');
    try {
      db.exec(`${step}; pragma user_version = ${index + 1}; commit`);
    } catch (error) {
      if (db.isTransaction) db.exec('rollback');
      throw error;
    }
  }
}

/** @throws StewardError when this program cannot read the file, because a newer one wrote it. A file that is not there is fine. */
export function checkSchema(file: string): void {
  if (!existsSync(file)) return;
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    refuseNewer(file, versionOf(db), migrations.length);
  } finally {
    db.close();
  }
}

/**
 * `exclusive`: without the file that processes share to read at the same time, so that a database can be opened on a disk
 * that has no room for it.
 */
function open(file: string, mode: 'normal' | 'exclusive', steps: readonly string[]): DatabaseSync {
  const db = new DatabaseSync(file);
  try {
    chmodSync(file, 0o600);
    // NORMAL: a commit survives any death of this process; a power cut may lose the last ones but never tears one.
    db.exec(`pragma busy_timeout = 2000; pragma locking_mode = ${mode}; pragma journal_mode = wal; pragma synchronous = normal`);
    migrate(db, file, steps);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function openSomehow(file: string, onError: (error: Error) => void, steps: readonly string[]): DatabaseSync {
  try {
    return open(file, 'normal', steps);
  } catch (error) {
    if (error instanceof StewardError) throw error;
    try {
      const db = open(file, 'exclusive', steps);
      onError(error as Error);
      return db;
    } catch {} // the first reason is the one to tell
    throw new StewardError('daemon/state-database', `${file} cannot be opened: ${(error as Error).message}`, {
      hint: 'Look whether the disk is full (df) or read-only, and whether the file is whole. What runs goes on meanwhile.',
      cause: error,
    });
  }
}

/**
 * `onError` hears of writes that fail, on a full disk for instance: Steward goes on without its memory rather than not at all.
 * `steps` are its migrations. @throws StewardError when the file cannot be opened, is no database, or was written by a newer Steward.
 */
export function openStore(file: string, onError: (error: Error) => void, steps = migrations): Store {
  const db = openSomehow(file, onError, steps);
  const prepared = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    const known = prepared.get(sql) ?? db.prepare(sql);
    prepared.set(sql, known);
    return known;
  };
  return {
    run(sql, ...values) {
      try {
        statement(sql).run(...values);
        return true;
      } catch (error) {
        onError(error as Error);
        return false;
      }
    },
    all: <T>(sql: string, ...values: Value[]) => statement(sql).all(...values) as T[],
    atomically(work) {
      db.exec('begin immediate');
      try {
        const result = work();
        db.exec('commit');
        return result;
      } catch (error) {
        if (db.isTransaction) db.exec('rollback');
        throw error;
      }
    },
    close: () => db.close(),
  };
}
