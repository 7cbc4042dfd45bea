/**
 * The state that outlives the daemon: one SQLite file, `state.db`, in the state directory. Each write is one transaction,
 * so after a kill or a power cut it is old or new, never half. Only the daemon opens it.
 */
import { chmodSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';

export type Value = string | number | null;

export interface Store {
  /** Runs one statement that changes something. Never throws: who opened the store hears of a write that failed. */
  run(sql: string, ...values: Value[]): void;
  /** The rows of a query. */
  all<T>(sql: string, ...values: Value[]): T[];
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
];

function migrate(db: DatabaseSync): void {
  const { user_version } = db.prepare('pragma user_version').get() as { user_version: number };
  if (user_version > migrations.length)
    throw new Error(`state.db was written by a newer Steward (schema ${user_version}, this one knows ${migrations.length})`);
  for (let version = user_version; version < migrations.length; version++) {
    db.exec(`begin; ${migrations[version]}; pragma user_version = ${version + 1}; commit`);
  }
}

/**
 * `onError` hears of writes that fail, on a full disk for instance: Steward goes on without its memory rather than not at all.
 * @throws when the file cannot be opened, is no database, or was written by a newer Steward.
 */
export function openStore(file: string, onError: (error: Error) => void): Store {
  const db = new DatabaseSync(file);
  chmodSync(file, 0o600);
  // NORMAL: a commit survives any death of this process; a power cut may lose the last ones but never tears one.
  db.exec('pragma journal_mode = wal; pragma synchronous = normal; pragma busy_timeout = 2000');
  migrate(db);
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
      } catch (error) {
        onError(error as Error);
      }
    },
    all: <T>(sql: string, ...values: Value[]) => statement(sql).all(...values) as T[],
    close: () => db.close(),
  };
}
