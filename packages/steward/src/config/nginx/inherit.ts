/** What holds on a level, counting what the levels around it say. */
import type { Level } from './scene.ts';
import type { Several, Single } from './settings.ts';

/** The value of the nearest level that has one. */
export function inherited<K extends keyof Single>(level: Level, key: K): Single[K] | undefined {
  for (let at: Level | undefined = level; at !== undefined; at = at.parent) {
    const own = at.settings[key] as Single[K] | undefined;
    if (own !== undefined) return own;
  }
  return undefined;
}

/** The lines of the nearest level that has any: one line of its own, and a level inherits none of the others. */
export function inheritedLines<K extends keyof Several>(level: Level, key: K): Several[K] {
  for (let at: Level | undefined = level; at !== undefined; at = at.parent) {
    if (at.settings[key].length > 0) return at.settings[key];
  }
  return level.settings[key];
}
