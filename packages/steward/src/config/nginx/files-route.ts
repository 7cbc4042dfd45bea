/** A location that serves files as a route: root, alias, index, try_files. */
import { posix } from 'node:path';
import type { Given } from '../draft.ts';
import type { RouteSource } from '../sections/site.ts';
import { inherited } from './inherit.ts';
import type { Word } from './parse.ts';
import { given, type Level, type LocationLevel, type Scene } from './scene.ts';
import { hasVariable } from './variables.ts';

/** `alias` of a location as `files` (prefix taken off) or as `root`, when the folder ends as the path does. */
function setAlias(route: RouteSource, location: LocationLevel, alias: Given<string>, scene: Scene): string | undefined {
  const { text, kind } = location;
  if (kind === 'regex') return 'alias in a location with a regular expression';
  if (kind === 'exact') {
    if (!alias.value.endsWith(text)) return `alias "${alias.value}", which does not end in "${text}", for one exact path`;
    scene.draft.set(route, 'root', given(alias.value.slice(0, -text.length) || '/', alias));
    return undefined;
  }
  if (text.endsWith('/') && !alias.value.endsWith('/')) {
    const message = `alias "${alias.value}" has no / at its end and location "${text}" has: nginx would look for ${text}x in ${alias.value}x`;
    scene.warning(
      'config/nginx-value',
      message,
      alias.at,
      `Steward looks in ${posix.join(alias.value, 'x')}. Write the / at both ends or at none.`,
    );
  }
  scene.draft.set(route, 'files', alias);
  return undefined;
}

/** Forms of try_files that Steward's own rule equals: the file, its folder's index, then a fallback or 404. */
function setTryFiles(route: RouteSource, tries: Given<readonly Word[]>, scene: Scene): string | undefined {
  const words = tries.value;
  const last = words.at(-1) as Word;
  const others = words.slice(0, -1).map((word) => word.text);
  const shown = words.map((word) => word.text).join(' ');
  if (!others.every((text) => text === '$uri' || text === '$uri/')) return `try_files ${shown}`;
  if (last.text.startsWith('@')) return `try_files ${shown}, with a named location at its end`;
  if (last.text === '=404') return undefined;
  if (!last.text.startsWith('/') || hasVariable(last.text) || last.text.includes('?') || /\.php$/.test(last.text))
    return `try_files ${shown}`;
  scene.draft.set(route, 'fallback', given(last.text, last));
  return undefined;
}

/** `root /srv/static` inside `location /static` looks for /srv/static/static/...: hardly what was meant. */
function warnOfDoubledPath(root: Given<string>, level: Level, location: LocationLevel | undefined, scene: Scene): void {
  const path = location?.text.replace(/\/$/, '') ?? '';
  const folder = root.value.replace(/\/$/, '');
  if (path === '' || level.settings.files === undefined || location?.kind !== 'prefix' || !folder.endsWith(path)) return;
  const hint = `nginx and Steward look for ${folder}${path}/... here. If the files are right in ${folder}, write alias ${folder}; instead of root.`;
  scene.warning('config/nginx-doubled-path', `root "${root.value}" repeats the path of location "${location.text}"`, root.at, hint);
}

/** The answer of `setFiles` when the file names no folder at all. */
export const noFolder = 'no folder';

/**
 * Fills `route` with the folder that `level` serves. Gives back what cannot be taken over, in words, or undefined;
 * `noFolder` when the file names none.
 */
export function setFiles(route: RouteSource, level: Level, location: LocationLevel | undefined, scene: Scene): string | undefined {
  const files = inherited(level, 'files');
  if (files === undefined) return noFolder;
  const folder = given(files.value.folder, files);
  if (hasVariable(folder.value)) return `${files.value.mapping} "${folder.value}", which has a variable,`;
  if (files.value.mapping === 'root' || location === undefined) {
    warnOfDoubledPath(folder, level, location, scene);
    scene.draft.set(route, 'root', folder);
  } else {
    const wrong = setAlias(route, location, folder, scene);
    if (wrong !== undefined) return wrong;
  }
  scene.draft.set(route, 'index', inherited(level, 'index'));
  const tries = level.settings.tryFiles;
  return tries === undefined ? undefined : setTryFiles(route, tries, scene);
}
