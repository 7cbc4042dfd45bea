/** Files a route serves, and files it looks for before anything else answers. Pure. */
import type { FilesAction, PathMatch, TriesSpec } from './model.ts';
import { checkPlace, pathText } from './resolve-text.ts';
import type { Scope, SiteScope } from './scope.ts';
import type { RouteSource } from './sections/step.ts';

export type Folder = Pick<FilesAction, 'folder' | 'mapping'>;

/** Where a route looks for files; undefined when it does not say. `files` cannot take a prefix off where none matched. */
export function resolveFolder(scope: Scope, pointer: string, route: RouteSource, match: PathMatch): Folder | undefined {
  const { files, root, file } = route;
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
  const { index, fallback, precompressed = false, types, defaultType } = route;
  return {
    ...plainFiles,
    ...folder,
    ...(index && { index: index.map((name, at) => scope.text(`${pointer}/index/${at}`, name)) }),
    ...(fallback !== undefined && { fallback }),
    precompressed: precompressed === true ? encodings : precompressed === false ? [] : precompressed,
    types: Object.fromEntries(Object.entries(types ?? {}).map(([extension, type]) => [extension.replace(/^\./, '').toLowerCase(), type])),
    ...(defaultType !== undefined && { defaultType }),
  };
}

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
