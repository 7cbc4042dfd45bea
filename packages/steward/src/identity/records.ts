/**
 * What identity remembers: all of it in memory, so that a request costs no look at the disk, and in state.db. What cannot be written
 * holds all the same, and is written with the next record that can be.
 */
import type { Store } from '../store/store.ts';
import type { Grant } from './may.ts';
import type { Failures } from './throttle.ts';

export interface Person {
  readonly name: string;
  readonly grants: readonly Grant[];
  readonly disabled: boolean;
  /** PHC. */
  readonly password?: string;
  readonly secondFactor?: {
    /** Sealed. */
    readonly secret: string;
    /** Of the last code that was taken. */
    readonly lastStep: number;
    /** SHA-256 of those that are left. */
    readonly recovery: readonly string[];
  };
  readonly invitation?: { readonly hash: string; readonly untilMs: number };
  readonly madeBy: string;
  readonly createdMs: number;
  readonly loggedInMs?: number;
  /** Addresses of the last logins. */
  readonly knownFrom: readonly { readonly address: string; readonly atMs: number }[];
}

export interface Session {
  /** SHA-256 of what the browser sends. */
  readonly hash: string;
  readonly person: string;
  readonly createdMs: number;
  readonly usedMs: number;
  readonly from: string;
  readonly agent: string;
}

export interface Token {
  readonly id: string;
  readonly hash: string;
  readonly name: string;
  readonly person: string;
  readonly grants: readonly Grant[];
  readonly createdMs: number;
  readonly expiresMs?: number;
  readonly usedMs?: number;
}

/** Records of one kind by key. */
export interface Records<T> {
  get(key: string): T | undefined;
  values(): MapIterator<T>;
  readonly size: number;
  /** False when it holds in memory only for now. */
  set(key: string, value: T): boolean;
  delete(key: string): boolean;
}

interface Row {
  readonly key: string;
  readonly data: string;
}

function openRecords<T>(store: Store, kind: string): Records<T> {
  const rows = store.all<Row>('select key, data from identity where kind = ? order by key', kind);
  const all = new Map(rows.map(({ key, data }): [string, T] => [key, JSON.parse(data) as T]));
  const unwritten = new Set<string>();

  const write = (key: string): boolean => {
    const value = all.get(key);
    const written =
      value === undefined
        ? store.run('delete from identity where kind = ? and key = ?', kind, key)
        : store.run(
            'insert into identity (kind, key, data) values (?, ?, ?) on conflict (kind, key) do update set data = excluded.data',
            kind,
            key,
            JSON.stringify(value),
          );
    if (written) unwritten.delete(key);
    else unwritten.add(key);
    return written;
  };
  const writeWithRest = (key: string): boolean => {
    const written = write(key);
    if (written) for (const other of [...unwritten]) if (!write(other)) break;
    return written;
  };

  return {
    get: (key) => all.get(key),
    values: () => all.values(),
    get size() {
      return all.size;
    },
    set(key, value) {
      all.set(key, value);
      return writeWithRest(key);
    },
    delete(key) {
      all.delete(key);
      return writeWithRest(key);
    },
  };
}

export interface Memory {
  readonly people: Records<Person>;
  readonly sessions: Records<Session>;
  readonly tokens: Records<Token>;
  /** Of names of people. */
  readonly failures: Records<Failures>;
}

export const openMemory = (store: Store): Memory => ({
  people: openRecords(store, 'person'),
  sessions: openRecords(store, 'session'),
  tokens: openRecords(store, 'token'),
  failures: openRecords(store, 'failure'),
});
