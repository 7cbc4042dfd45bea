/** A location that serves files as a route: root, alias, index, try_files, types. */
import { posix } from 'node:path';
import { lookup } from 'mime-types';
import type { Given } from '../draft.ts';
import type { RouteSource } from '../sections/site.ts';
import { inherited } from './inherit.ts';
import type { Word } from './parse.ts';
import { given, type Level, type LocationLevel, type Scene } from './scene.ts';
import { hasVariable, resolveText } from './variables.ts';

/** nginx's own list, for files that name none. */
const fewTypes: Readonly<Record<string, string>> = { html: 'text/html', gif: 'image/gif', jpg: 'image/jpeg' };
const nginxDefaultType = 'text/plain';
/** What nginx serves where nobody says. */
const nginxRoot = 'html';
const stewardDefaultType = 'application/octet-stream';

/** `alias` of a location: `files` takes the matched prefix off, `file` is the path itself. */
function setAlias(route: RouteSource, location: LocationLevel, alias: Given<string>, scene: Scene): void {
  const { text, kind } = location;
  if (kind === 'regex' || (kind === 'exact' && !alias.value.endsWith('/'))) {
    scene.draft.set(route, 'file', alias);
    return;
  }
  if (text.endsWith('/') && !alias.value.endsWith('/') && kind === 'prefix') {
    const message = `alias "${alias.value}" has no / at its end and location "${text}" has: nginx would look for ${text}x in ${alias.value}x`;
    const hint = `Steward looks in ${posix.join(alias.value, 'x')}. Write the / at both ends or at none.`;
    if (!hasVariable(alias.value)) scene.warning('config/nginx-value', message, alias.at, hint);
  }
  scene.draft.set(route, 'files', alias);
}

/** https://nginx.org/en/docs/http/ngx_http_core_module.html#try_files */
function setTryFiles(route: RouteSource, tries: Given<readonly Word[]>, scene: Scene): void {
  const paths = tries.value.map((word) => resolveText(scene, word.text, { at: word.at, where: 'try_files' }));
  route.try = paths;
  tries.value.forEach(({ at }, index) => {
    scene.draft.place(paths, index, at);
  });
}

/** `root /srv/static` inside `location /static` looks for /srv/static/static/...: hardly what was meant. */
function warnOfDoubledPath(root: Given<string>, level: Level, location: LocationLevel | undefined, scene: Scene): void {
  const path = location?.text.replace(/\/$/, '') ?? '';
  const folder = root.value.replace(/\/$/, '');
  if (path === '' || level.settings.files === undefined || location?.kind !== 'prefix' || !folder.endsWith(path)) return;
  const hint = `nginx and Steward look for ${folder}${path}/... here. If the files are right in ${folder}, write alias ${folder}; instead of root.`;
  scene.warning('config/nginx-doubled-path', `root "${root.value}" repeats the path of location "${location.text}"`, root.at, hint);
}

/** A list of types as long as this is one of all types, such as mime.types; a shorter one says what there is to be. */
const allTypes = 30;

/** Whether `level` knows the types it lists and no others: `types { }` makes pages of uploads harmless. */
function isShortList(level: Level): boolean {
  const types = inherited(level, 'types')?.value;
  return types !== undefined && Object.keys(types).length < allTypes;
}

/** Media types that `level` gives extensions and Steward would not. */
function ownTypes(level: Level): Record<string, string> {
  const types = Object.entries(inherited(level, 'types')?.value ?? {});
  const own = isShortList(level) ? types : types.filter(([extension, type]) => lookup(extension) !== type);
  return Object.fromEntries(own.map(([extension, type]) => [extension, withCharset(level, type)]));
}

/** What nginx says the charset of (https://nginx.org/en/docs/http/ngx_http_charset_module.html#charset_types). */
const charsetTypes = /^(text\/(html|xml|plain|vnd\.wap\.wml)|application\/(javascript|rss\+xml))$/;

/** A media type as `level` sends it. */
function withCharset(level: Level, type: string): string {
  const charset = inherited(level, 'charset')?.value ?? false;
  return charset === false || !charsetTypes.test(type) ? type : `${type}; charset=${charset}`;
}

/** The media type nginx gives a text for this very path. */
export function typeOf(level: Level, path: string): string {
  const types = inherited(level, 'types')?.value ?? fewTypes;
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? '';
  const byDefault = inherited(level, 'defaultType')?.value ?? nginxDefaultType;
  return withCharset(level, Object.hasOwn(types, extension) ? (types[extension] ?? byDefault) : byDefault);
}

function setTypes(route: RouteSource, level: Level, scene: Scene): void {
  const types = ownTypes(level);
  const byDefault = inherited(level, 'defaultType');
  if (Object.keys(types).length > 0) route.types = types;
  if (isShortList(level)) route.builtInTypes = false;
  if (byDefault === undefined) route.defaultType = withCharset(level, nginxDefaultType);
  else if (byDefault.value !== stewardDefaultType)
    scene.draft.set(route, 'defaultType', given(withCharset(level, byDefault.value), byDefault));
}

/** The types of the texts that `level` answers, by the path. */
export function setAnswerTypes(route: RouteSource, level: Level, scene: Scene): void {
  setTypes(route, level, scene);
  route.defaultType ??= stewardDefaultType;
}

/** The folder that `level` serves, with what try_files looks for there; false when the file names none. */
function setFolder(route: RouteSource, level: Level, location: LocationLevel | undefined, scene: Scene): boolean {
  const tries = level.settings.tryFiles;
  const files =
    inherited(level, 'files') ?? (tries === undefined ? undefined : given({ folder: nginxRoot, mapping: 'root' as const }, tries));
  if (files === undefined) return false;
  const { folder, mapping } = files.value;
  const text = given(resolveText(scene, folder, { at: files.at, where: mapping, decides: true }), files);
  if (mapping === 'root' || location === undefined) {
    warnOfDoubledPath(text, level, location, scene);
    scene.draft.set(route, 'root', text);
  } else setAlias(route, location, text, scene);
  // An `if` that holds takes its location's try_files away, in nginx too.
  if (tries !== undefined && level.context !== 'if') setTryFiles(route, tries, scene);
  return true;
}

/** Where try_files looks in a location whose files are not served but handed on. */
export function setFolderOfTries(route: RouteSource, level: Level, location: LocationLevel, scene: Scene): void {
  setFolder(route, level, location, scene);
}

/** Fills `route` with the folder that `level` serves; false when the file names none. */
export function setFiles(route: RouteSource, level: Level, location: LocationLevel | undefined, scene: Scene): boolean {
  if (!setFolder(route, level, location, scene)) return false;
  const index = inherited(level, 'index');
  if (index !== undefined && route.file === undefined) {
    const names = index.value.map((name) => resolveText(scene, name, { at: index.at, where: 'index' }));
    scene.draft.set(route, 'index', given(names, index));
  }
  if (inherited(level, 'precompressed')?.value === true) route.precompressed = ['gzip'];
  setTypes(route, level, scene);
  const modified = inherited(level, 'ifModifiedSince');
  if (modified !== undefined && modified.value !== 'exact') scene.draft.set(route, 'ifModifiedSince', modified);
  return true;
}
