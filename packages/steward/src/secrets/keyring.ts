/**
 * The data key that all values are sealed with, itself sealed by the master key:
 *
 *   master key ──opens──▶ data key ──opens──▶ values            secret_key: one row, the data key sealed by the key in force
 *                                                                and, during a rekey, by the next one too
 *
 * A rekey makes both keys new, in steps that can be cut off anywhere: 1. the next master key is on the disk; 2. one
 * transaction seals all values with a new data key, and that with the master key in force and the next; 3. the next becomes
 * the one in force; 4. the seal of the old one goes. Whatever it was cut off at, opening goes on from there: at each moment the
 * master key that is in force opens it.
 */
import { rmSync } from 'node:fs';
import type { Store } from '../store/store.ts';
import { type KeySource, keyFileIn, nameOfSource, newKey, nextFileIn, promoteNext, readKey, writeKeyFile } from './master-key.ts';
import { seal, unseal } from './seal.ts';

const purpose = 'steward data key';

interface Seals {
  readonly current: string;
  readonly next: string | null;
}

/** The data key, or why there is none: then nothing can be read or set. */
export type Opened = { readonly dataKey: Buffer } | { readonly locked: string };

export interface Keyring {
  /** As it is now. Never makes a key: `empty` when nothing was ever stored. */
  state(): Opened | 'empty';
  /** The same, with a key made when nothing was ever stored. */
  ready(): Opened;
  /**
   * Makes new keys. `reseal` is to seal all values anew, within the transaction. Without `given` the next master key is made
   * and put into the state directory; with it, it is in force from the next start on that has it.
   */
  rekey(given: Buffer | undefined, reseal: (before: Buffer, after: Buffer) => void): void;
}

export interface KeyringOptions {
  readonly store: Store;
  readonly source: KeySource;
  /** The state directory. */
  readonly folder: string;
}

/** Opens what is there and finishes a rekey that was cut off. */
export function openKeyring({ store, source, folder }: KeyringOptions): Keyring {
  const seals = (): Seals | undefined => store.all<Seals>('select current, next from secret_key where id = 1')[0];

  /** All that was deleted is overwritten, in the log too: an old key must open nothing that still lies on the disk. */
  function wipe(): void {
    store.all('pragma wal_checkpoint(truncate)');
  }

  function settleOn(sealed: string): void {
    store.all('pragma secure_delete = on');
    store.all('update secret_key set current = ?, next = null where id = 1', sealed);
    wipe();
  }

  /** A rekey of the key in the state directory that was cut off before its third step, or before its fourth. */
  function finish(): void {
    const found = seals();
    if (source.kind !== 'folder' || found === undefined) return;
    const next = readKey({ kind: 'file', path: nextFileIn(folder) }, folder);
    if ('key' in next && found.next !== null && unseal(next.key, purpose, found.next) !== undefined) promoteNext(folder);
    else rmSync(nextFileIn(folder), { force: true });
  }

  function open(): Opened | 'empty' {
    const found = seals();
    const read = readKey(source, folder);
    const where = nameOfSource(source, folder);
    if ('why' in read) return { locked: read.why };
    if (found === undefined) return 'empty';
    if ('none' in read) return { locked: `the master key is missing: there is no ${where}` };
    const byNext = found.next === null ? undefined : unseal(read.key, purpose, found.next);
    if (byNext !== undefined) {
      settleOn(found.next as string);
      if (source.kind !== 'folder') rmSync(keyFileIn(folder), { force: true });
      return { dataKey: byNext };
    }
    const dataKey = unseal(read.key, purpose, found.current);
    return dataKey === undefined ? { locked: `the master key is another one: that of ${where} does not open them` } : { dataKey };
  }

  function make(): Opened {
    const read = readKey(source, folder);
    if ('why' in read) return { locked: read.why };
    const master = 'key' in read ? read.key : newKey();
    if ('none' in read) writeKeyFile(keyFileIn(folder), master);
    const dataKey = newKey();
    store.all('insert into secret_key (id, current) values (1, ?)', seal(master, purpose, dataKey));
    return { dataKey };
  }

  finish();
  let state = open();
  return {
    state: () => state,
    ready() {
      if (state === 'empty') state = make();
      return state;
    },
    rekey(given, reseal) {
      if (state === 'empty' || 'locked' in state) return;
      const read = readKey(source, folder);
      if (!('key' in read) || unseal(read.key, purpose, (seals() as Seals).current) === undefined)
        throw new Error(`the key in ${nameOfSource(source, folder)} is no longer the one that was read at the start`);
      const next = given ?? newKey();
      const dataKey = newKey();
      const { dataKey: before } = state;
      if (given === undefined) writeKeyFile(nextFileIn(folder), next);
      store.all('pragma secure_delete = on');
      store.atomically(() => {
        reseal(before, dataKey);
        store.all(
          'update secret_key set current = ?, next = ? where id = 1',
          seal(read.key, purpose, dataKey),
          seal(next, purpose, dataKey),
        );
      });
      state = { dataKey };
      wipe();
      if (given !== undefined) return;
      promoteNext(folder);
      settleOn((seals() as Seals).next as string);
    },
  };
}
