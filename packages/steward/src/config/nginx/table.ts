/** All directives this reader knows. A new one is one entry in a list under directives/. */

import { nearest } from '../near.ts';
import { accessEntries } from './directives/access.ts';
import { answerEntries } from './directives/answers.ts';
import { blockEntries } from './directives/blocks.ts';
import { fileEntries } from './directives/files.ts';
import { gatewayEntries } from './directives/gateway.ts';
import { listenEntries } from './directives/listen.ts';
import { mapEntries } from './directives/maps.ts';
import { proxyEntries } from './directives/proxy.ts';
import { restEntries } from './directives/rest.ts';
import { rewriteEntries } from './directives/rewrite.ts';
import { upstreamEntries } from './directives/upstream.ts';
import type { Context, Entry } from './scene.ts';

const entries: readonly Entry[] = [
  ...blockEntries,
  ...rewriteEntries,
  ...mapEntries,
  ...accessEntries,
  ...listenEntries,
  ...upstreamEntries,
  ...proxyEntries,
  ...answerEntries,
  ...fileEntries,
  ...gatewayEntries,
  ...restEntries,
];

const byName = new Map<string, Entry[]>();
for (const entry of entries) byName.set(entry.name, [...(byName.get(entry.name) ?? []), entry]);

/** The entries of a name, one for each set of contexts; [] when nothing is known about it. */
export const entriesOf = (name: string): readonly Entry[] => byName.get(name) ?? [];

/** The known name nearest to a misspelt one, best of this context, or undefined when none is near. */
export function suggestName(name: string, context: Context): string | undefined {
  const namesOf = (some: readonly Entry[]): string[] => some.map((entry) => entry.name);
  return nearest(name, namesOf(entries.filter(({ contexts }) => contexts.includes(context)))) ?? nearest(name, namesOf(entries));
}
