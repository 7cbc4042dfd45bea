/** What holds on a level, counting what the levels around it say. */
import type { Level, Settings } from './scene.ts';

type Single = { [K in keyof Settings]-?: NonNullable<Settings[K]> extends readonly unknown[] ? never : K }[keyof Settings];
type Several = Exclude<keyof Settings, Single>;

/** The value of the nearest level that has one. */
export function inherited<K extends Single>(level: Level, key: K): Settings[K] {
  for (let at: Level | undefined = level; at !== undefined; at = at.parent) {
    if (at.settings[key] !== undefined) return at.settings[key];
  }
  return undefined as Settings[K];
}

/** The lines of the nearest level that has any: one line of its own, and a level inherits none of the others. */
export function inheritedLines<K extends Several>(level: Level, key: K): Settings[K] {
  for (let at: Level | undefined = level; at !== undefined; at = at.parent) {
    if (at.settings[key].length > 0) return at.settings[key];
  }
  return level.settings[key];
}
