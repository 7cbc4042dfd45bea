/**
 * Secrets: values that services need and nobody else gets to see. They are kept in state.db, each sealed (seal.ts) by a data key
 * that the master key opens (keyring.ts). Nothing here gives a value to anybody but the configuration, which hands it to services.
 *
 *   set · remove · list · rekey        snapshot() → what the configuration finds under `{{secret.NAME}}`
 *   mask(text) → the text without values                     createSecretFiles: values as files for one run (files.ts)
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { baseOf, type StoredSecret, type StoredSecrets } from '../config/stored-secret.ts';
import { StewardError } from '../errors.ts';
import type { Store } from '../store/store.ts';
import { openKeyring } from './keyring.ts';
import { createMask, type Mask } from './mask.ts';
import { type KeySource, nameOfSource } from './master-key.ts';
import { seal, unseal } from './seal.ts';

export { createSecretFiles, type FileOwner, type SecretFile, type SecretFiles, secretFolderFor } from './files.ts';
export type { Mask } from './mask.ts';
export { type KeySource, keyFileVariable, keyVariable, parseKey, type TakenKey, takeKey } from './master-key.ts';

/** Of one value. */
export const mostSecretBytes = 64 * 1024;
/** How many there may be: all are read at each apply. */
export const mostSecrets = 1000;
export const secretName = /^[A-Za-z][A-Za-z0-9_.-]{0,127}$/;

export interface SecretInfo {
  readonly name: string;
  readonly version: number;
  /** Epoch ms. */
  readonly setMs: number;
  readonly setBy: string;
  readonly hasPrevious: boolean;
  /** Why it cannot be read; undefined when it can. */
  readonly lacks?: string;
}

export interface Secrets {
  /** Why nothing can be read or set: the master key is missing or another one. Undefined when all is well. */
  readonly locked: string | undefined;
  list(): SecretInfo[];
  /** `changed: false`: it has this value already, and nothing is done. @throws StewardError. */
  set(name: string, value: Uint8Array, by: string): { readonly version: number; readonly changed: boolean };
  /** @throws StewardError when there is none. */
  remove(name: string): void;
  /** New keys; see Keyring. @throws StewardError. */
  rekey(given: Buffer | undefined): void;
  /** All values as they are now, or only that of one name, whatever is set later. */
  snapshot(only?: string): StoredSecrets;
  /** Hides the values that are stored; the text itself when there are none. */
  readonly mask: Mask;
  /** The same as a function, undefined when there is nothing to hide. */
  currentMask(): Mask | undefined;
}

export interface SecretsOptions {
  readonly store: Store;
  readonly source: KeySource;
  /** The state directory. */
  readonly folder: string;
  /** Makes marks of values; private to this installation. */
  readonly markKey: string;
  readonly now: () => number;
}

interface Row {
  readonly name: string;
  readonly version: number;
  readonly set_ms: number;
  readonly set_by: string;
  readonly sealed: string;
  readonly previous_version: number | null;
  readonly previous: string | null;
}

const purposeOf = (name: string, version: number): string => JSON.stringify(['steward secret', name, version]);

const damaged = 'what is stored was altered or cut, and cannot be opened: set it again';

/** @throws StewardError for what cannot be the name of a secret. */
function checkName(name: string): void {
  if (secretName.test(name) && baseOf(name) === name) return;
  throw new StewardError('api/secret-name', `${JSON.stringify(name.slice(0, 150))} cannot be the name of a secret`, {
    status: 400,
    hint: 'Use up to 128 letters, digits and _ . - with a letter first; .previous at the end means the value before.',
  });
}

/** @throws StewardError for a value that is empty or too large. */
function checkValue(name: string, value: Uint8Array): void {
  if (value.length > 0 && value.length <= mostSecretBytes) return;
  const message = value.length === 0 ? `the value of ${name} is empty` : `the value of ${name} is larger than 64 KB`;
  throw new StewardError('api/secret-value', message, { status: 400, hint: 'A secret has 1 to 65536 bytes.' });
}

export function createSecrets({ store, source, folder, markKey, now }: SecretsOptions): Secrets {
  const keyring = openKeyring({ store, source, folder });
  /** Undefined: to be made again. */
  let mask: { readonly made: Mask | undefined } | undefined;

  const rows = (): Row[] => store.all<Row>('select * from secret order by name');
  const rowOf = (name: string): Row | undefined => store.all<Row>('select * from secret where name = ?', name)[0];

  const why = (): string | undefined => {
    const state = keyring.state();
    return state !== 'empty' && 'locked' in state ? state.locked : undefined;
  };

  /** @throws StewardError when the master key is not there. */
  function refuseLocked(reason: string | undefined): void {
    if (reason === undefined) return;
    throw new StewardError('daemon/secrets-locked', `the secrets are locked: ${reason}`, {
      status: 409,
      hint: `Start the daemon with the master key they were sealed with (${nameOfSource(source, folder)} now); see docs/secrets.md.`,
    });
  }

  const valueIn = (key: Buffer, { name, version, sealed }: Row): Buffer | undefined => unseal(key, purposeOf(name, version), sealed);

  const previousOf = (key: Buffer, { name, previous_version: version, previous }: Row): Buffer | undefined =>
    version === null || previous === null ? undefined : unseal(key, purposeOf(name, version), previous);

  const markOf = (bytes: Uint8Array): string =>
    createHmac('sha256', markKey).update('secret\0').update(bytes).digest('base64url').slice(0, 22);

  const found = (bytes: Buffer | undefined): StoredSecret => (bytes === undefined ? { lacks: damaged } : { bytes, mark: markOf(bytes) });

  /** A changed value, which becomes the one in force while the one before is kept. */
  function replace(key: Buffer, before: Row, bytes: Uint8Array, by: string): number {
    const version = before.version + 1;
    // One that cannot be opened is worth nothing as the one before.
    const kept = valueIn(key, before) === undefined ? undefined : before;
    store.all(
      'update secret set version = ?, set_ms = ?, set_by = ?, sealed = ?, previous_version = ?, previous = ? where name = ?',
      version,
      now(),
      by,
      seal(key, purposeOf(before.name, version), bytes),
      kept?.version ?? null,
      kept?.sealed ?? null,
      before.name,
    );
    return version;
  }

  function add(key: Buffer, name: string, bytes: Uint8Array, by: string): number {
    const [{ count } = { count: 0 }] = store.all<{ count: number }>('select count(*) as count from secret');
    if (count >= mostSecrets)
      throw new StewardError('api/too-many-secrets', `there are ${count} secrets already, and there can be no more`, {
        status: 409,
        hint: 'Remove some that nothing uses: steward secret list.',
      });
    store.all(
      'insert into secret (name, version, set_ms, set_by, sealed) values (?, 1, ?, ?, ?)',
      name,
      now(),
      by,
      seal(key, purposeOf(name, 1), bytes),
    );
    return 1;
  }

  /** Does what writes into state.db. @throws StewardError when that cannot be done, on a full disk for instance. */
  function writing<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof StewardError) throw error;
      throw new StewardError('daemon/state-database', `the secrets cannot be written: ${(error as Error).message}; they are as they were`, {
        hint: 'Look whether the disk is full (df) or read-only.',
        cause: error,
      });
    }
  }

  function makeMask(): Mask | undefined {
    const state = keyring.state();
    if (state === 'empty' || 'locked' in state) return undefined;
    const { dataKey } = state;
    return createMask(rows().flatMap((row) => [valueIn(dataKey, row) ?? [], previousOf(dataKey, row) ?? []].flat() as Buffer[]));
  }

  function currentMask(): Mask | undefined {
    mask ??= { made: makeMask() };
    return mask.made;
  }

  /** Seals a value anew; one that cannot be opened stays as it is. */
  function resealRow(before: Buffer, after: Buffer, row: Row): void {
    const value = valueIn(before, row);
    const previous = previousOf(before, row);
    store.all(
      'update secret set sealed = ?, previous = ? where name = ?',
      value === undefined ? row.sealed : seal(after, purposeOf(row.name, row.version), value),
      previous === undefined ? row.previous : seal(after, purposeOf(row.name, row.previous_version as number), previous),
      row.name,
    );
  }

  return {
    get locked() {
      return why();
    },
    list: () => {
      const state = keyring.state();
      const key = state === 'empty' || 'locked' in state ? undefined : state.dataKey;
      return rows().map((row) => {
        const lacks = key === undefined ? why() : valueIn(key, row) === undefined ? damaged : undefined;
        return {
          name: row.name,
          version: row.version,
          setMs: row.set_ms,
          setBy: row.set_by,
          hasPrevious: row.previous !== null,
          ...(lacks !== undefined && { lacks }),
        };
      });
    },
    set(name, value, by) {
      checkName(name);
      checkValue(name, value);
      refuseLocked(why());
      const opened = writing(keyring.ready);
      if ('locked' in opened) refuseLocked(opened.locked);
      const { dataKey } = opened as { readonly dataKey: Buffer };
      const before = rowOf(name);
      const present = before && valueIn(dataKey, before);
      if (before !== undefined && present?.length === value.length && timingSafeEqual(present, value))
        return { version: before.version, changed: false };
      const version = writing(() => (before === undefined ? add(dataKey, name, value, by) : replace(dataKey, before, value, by)));
      mask = undefined;
      return { version, changed: true };
    },
    remove(name) {
      checkName(name);
      if (rowOf(name) === undefined)
        throw new StewardError('api/unknown-secret', `there is no stored secret "${name}"`, {
          status: 404,
          hint: '`steward secret list` has them.',
        });
      writing(() => store.all('delete from secret where name = ?', name));
      mask = undefined;
    },
    rekey(given) {
      refuseLocked(why());
      if (keyring.state() === 'empty')
        throw new StewardError('api/no-secrets', 'nothing was ever stored: there is no key to replace', { status: 409 });
      if (given === undefined && source.kind !== 'folder')
        throw new StewardError(
          'api/outside-key',
          `the master key comes from ${nameOfSource(source, folder)}, where Steward cannot change it`,
          {
            status: 409,
            hint: 'Give the next one: steward secret rekey --key-file FILE. Both open the secrets until the daemon starts with the new one.',
          },
        );
      writing(() =>
        keyring.rekey(given, (before, after) => {
          for (const row of rows()) resealRow(before, after, row);
        }),
      );
    },
    snapshot(only) {
      const state = keyring.state();
      const wanted = only === undefined ? rows() : [rowOf(only) ?? []].flat();
      const known = new Map(wanted.map((row) => [row.name, row]));
      return (name) => {
        const row = known.get(baseOf(name));
        if (row === undefined) return undefined;
        if (state === 'empty') return { lacks: damaged };
        if ('locked' in state) return { lacks: state.locked };
        if (baseOf(name) === name || row.previous === null) return found(valueIn(state.dataKey, row));
        return found(previousOf(state.dataKey, row));
      };
    },
    mask: (text) => currentMask()?.(text) ?? text,
    currentMask,
  };
}
