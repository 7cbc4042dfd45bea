/**
 * The journal: every state change is a fact with its cause. Facts have a growing number, their cursor; a reader that
 * remembers it goes on where it stopped, over restarts of the daemon too.
 */
import type { Fact } from '@steward/sdk/contract/facts';
import type { Store } from './store/store.ts';

/** What somebody states; number and time are added here. */
export type Statement = Omit<Fact, 'cursor' | 'at'>;

export interface Journal {
  record(statement: Statement): void;
  /** Facts after `cursor`, oldest first, at most `limit`. */
  since(cursor: number, limit: number): Fact[];
  /** The last `count` facts, oldest first. */
  last(count: number): Fact[];
  /** Calls back with each fact from now on; the function given back ends that. */
  follow(listener: (fact: Fact) => void): () => void;
}

/** Facts kept; older ones go. About 20 MB of disk. */
const kept = 100_000;
const pruneEvery = 1000;

interface Row {
  readonly seq: number;
  readonly at_ms: number;
  readonly type: string;
  readonly subject: string;
  readonly data: string;
}

const fromRow = ({ seq, at_ms, type, subject, data }: Row): Fact => ({
  cursor: seq,
  at: new Date(at_ms).toISOString(),
  type: type as Fact['type'],
  subject,
  ...(JSON.parse(data) as Pick<Fact, 'message' | 'data'>),
});

type Data = NonNullable<Fact['data']>;

const maskedData = (data: Data, mask: (text: string) => string): Data =>
  Object.fromEntries(Object.entries(data).map(([name, value]) => [name, typeof value === 'string' ? mask(value) : value]));

/** A fact that cannot be kept (a full disk) still reaches listeners. `mask` takes out of texts what nobody is to read. */
export function createJournal(store: Store, now: () => number, mask: (text: string) => string = (text) => text): Journal {
  const listeners = new Set<(fact: Fact) => void>();
  const [newest] = store.all<{ seq: number | null }>('select max(seq) as seq from fact');
  let cursor = newest?.seq ?? 0;

  function save(fact: Fact, atMs: number): void {
    const data = JSON.stringify({ message: fact.message, data: fact.data });
    store.run(
      'insert into fact (seq, at_ms, type, subject, data) values (?, ?, ?, ?, ?)',
      fact.cursor,
      atMs,
      fact.type,
      fact.subject,
      data,
    );
    if (fact.cursor % pruneEvery === 0) store.run('delete from fact where seq <= ?', fact.cursor - kept);
  }

  return {
    record({ message, data, ...statement }) {
      const atMs = now();
      const told = { message: mask(message), ...(data && { data: maskedData(data, mask) }) };
      const fact: Fact = { cursor: ++cursor, at: new Date(atMs).toISOString(), ...statement, ...told };
      save(fact, atMs);
      for (const listener of [...listeners]) listener(fact);
    },
    since: (from, limit) => store.all<Row>('select * from fact where seq > ? order by seq limit ?', from, limit).map(fromRow),
    last: (count) => store.all<Row>('select * from (select * from fact order by seq desc limit ?) order by seq', count).map(fromRow),
    follow(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
