/** Files a route serves, and files it looks for before anything else answers. Pure. */
import type { FilesAction, MediaTypes, PathMatch, TriesSpec } from './model.ts';
import { checkPlace, pathText } from './resolve-text.ts';
import type { Scope, SiteScope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';
import { variablesIn } from './text-variables.ts';

export type Folder = Pick<FilesAction, 'folder' | 'mapping'>;

/** Where a route looks for files; undefined when it does not say. `files` cannot take a prefix off where none matched. */
export function resolveFolder(scope: Scope, pointer: string, route: RouteSource, match: PathMatch): Folder | undefined {
  const { files, root, file } = route;
  for (const key of ['files', 'root', 'file'] as const) tellCircle(scope, `${pointer}/${key}`, route[key]);
  if (files !== undefined) {
    if (match.kind === 'regex' || match.kind === 'named')
      scope.tell(
        `${pointer}/files`,
        'config/regex-path',
        'files takes the matched prefix off the path, and this route has none',
        'Write root: FOLDER, or file: PATH with $1 of the expression.',
      );
    return { folder: pathText(scope, `${pointer}/files`, files), mapping: 'strip' };
  }
  if (root !== undefined) return { folder: pathText(scope, `${pointer}/root`, root), mapping: 'append' };
  return file === undefined ? undefined : { folder: pathText(scope, `${pointer}/file`, file), mapping: 'whole' };
}

/** Variables that tell where a route's files are, which is what its folder is to say. */
const madeOfFolder: ReadonlySet<string> = new Set(['document_root', 'realpath_root', 'request_filename']);

function tellCircle(scope: Scope, pointer: string, folder = ''): void {
  const name = variablesIn(folder).find((one) => madeOfFolder.has(one));
  if (name !== undefined)
    scope.tell(pointer, 'config/variable-circle', `$${name} is made of this very path`, 'Write the folder itself, or another variable.');
}

type TypesSource = Pick<RouteSource, 'types' | 'defaultType' | 'builtInTypes' | 'charset'>;

const encodings = ['br', 'zstd', 'gzip'] as const;

/** How files are served unless a route says otherwise. */
export const plainFiles = {
  kind: 'files',
  index: ['index.html'],
  precompressed: [],
  types: {},
  defaultType: 'application/octet-stream',
} as const satisfies Partial<FilesAction>;

/** What a route answers with from `folder`. */
export function resolveFiles(scope: Scope, pointer: string, route: RouteSource, folder: Folder): FilesAction {
  const { index, fallback, precompressed = false, ifModifiedSince } = route;
  return {
    ...plainFiles,
    ...folder,
    ...(index && { index: index.map((name, at) => scope.text(`${pointer}/index/${at}`, name)) }),
    ...(fallback !== undefined && { fallback }),
    precompressed: precompressed === true ? encodings : precompressed === false ? [] : precompressed,
    ...resolveTypes(route),
    ...(ifModifiedSince && { ifModifiedSince }),
  };
}

/** Media types by the path, as a route has them. */
function resolveTypes({ types = {}, defaultType = plainFiles.defaultType, builtInTypes, charset }: TypesSource): MediaTypes {
  return {
    types: Object.fromEntries(Object.entries(types).map(([extension, type]) => [extension.replace(/^\./, '').toLowerCase(), type])),
    defaultType,
    ...(builtInTypes !== undefined && { builtInTypes }),
    ...(charset !== undefined && { charset }),
  };
}

/** Those of the texts that a route answers; undefined when it says nothing of them. */
export const resolveAnswerTypes = (route: TypesSource, charset: RouteSource['charset']): MediaTypes | undefined =>
  route.types === undefined && route.defaultType === undefined ? undefined : resolveTypes({ ...route, charset });

function lastOf(scope: SiteScope, pointer: string, text: string): TriesSpec['last'] {
  const [, digits] = /^=(\d{3})$/.exec(text) ?? [];
  if (digits !== undefined) return { kind: 'status', status: Number(digits) };
  checkPlace(scope, pointer, text, { fits: /(?!)/, words: 'a status such as =404' });
  return text.startsWith('@') ? { kind: 'named', name: text.slice(1) } : { kind: 'path', to: text };
}

/** `try` of a route, in its `folder`; undefined, once told, when there is none to look in. */
export function resolveTries(
  scope: SiteScope,
  pointer: string,
  given: readonly string[],
  folder: Folder | undefined,
): TriesSpec | undefined {
  const texts = given.map((text, index) => scope.text(`${pointer}/try/${index}`, text));
  const last = lastOf(scope, `${pointer}/try/${texts.length - 1}`, texts.at(-1) ?? '');
  if (folder === undefined || folder.mapping === 'whole') {
    scope.tell(
      `${pointer}/try`,
      'config/try',
      'the route does not say where to look for the files of try',
      'Add root: FOLDER or files: FOLDER.',
    );
    return undefined;
  }
  return { ...folder, paths: texts.slice(0, -1), last };
}
