/** Single values that the daemon remembers, by name. */
import type { Store } from './store/store.ts';

export interface Settings {
  get<T>(name: string): T | undefined;
  set(name: string, value: unknown): void;
}

export const createSettings = (store: Store): Settings => ({
  get: <T>(name: string): T | undefined => {
    const [row] = store.all<{ value: string }>('select value from setting where name = ?', name);
    return row === undefined ? undefined : (JSON.parse(row.value) as T);
  },
  set: (name, value) =>
    void store.run(
      'insert into setting (name, value) values (?, ?) on conflict (name) do update set value = excluded.value',
      name,
      JSON.stringify(value),
    ),
});
