/** All directives this reader knows. A new one is one entry in a list under directives/. */

import { nearest } from '../near.ts';
import { accessEntries } from './directives/access.ts';
import { contentEntries } from './directives/content.ts';
import { hostEntries } from './directives/host.ts';
import { logEntries } from './directives/logs.ts';
import { proxyEntries } from './directives/proxy.ts';
import { restEntries } from './directives/rest.ts';
import { rewriteEntries } from './directives/rewrite.ts';
import { sectionEntries } from './directives/sections.ts';
import type { Entry } from './scene.ts';

const entries: readonly Entry[] = [
  ...hostEntries,
  ...proxyEntries,
  ...contentEntries,
  ...accessEntries,
  ...rewriteEntries,
  ...logEntries,
  ...sectionEntries,
  ...restEntries,
];
const byName = new Map(entries.map((entry) => [entry.name.toLowerCase(), entry]));

/** The entry of a name in any case, or undefined. */
export const entryOf = (name: string): Entry | undefined => byName.get(name.toLowerCase());

/** The known name that is nearest to a misspelt one, or undefined when none is near. */
export const suggestName = (name: string): string | undefined =>
  nearest(
    name,
    entries.map((entry) => entry.name),
  );
