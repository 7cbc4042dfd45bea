/** Which files an `include` means. */
import { basename, dirname } from 'node:path';
import type { Source } from '../problem.ts';
import { type Directive, parse } from './parse.ts';
import type { Scene } from './scene.ts';

/** Folders that hold parts of a configuration: their files count relative paths from the folder above, as nginx does. */
const partFolders = /^(sites-(enabled|available)|conf\.d|snippets|modules-enabled|vhosts?(\.d)?)$/;

/**
 * The files an include names, in order, with what is wrong reported. nginx takes relative names from the folder of the main
 * file, also inside included files. A missing file is an error only when it is named without * ? [, as in nginx; the
 * list of file types is not missed, since Steward has its own.
 */
export function nearestFiles(directive: Directive, scene: Scene): readonly Source[] {
  const [word, ...more] = directive.args;
  if (word === undefined || more.length > 0 || directive.block !== undefined) {
    scene.error('config/nginx-arguments', 'include needs 1 argument', directive.at, 'Write include conf.d/*.conf;');
    return [];
  }
  const folders = partFolders.test(basename(scene.folder)) ? [scene.folder, dirname(scene.folder)] : [scene.folder];
  for (const folder of folders) {
    const found = scene.around.open(word.text, folder);
    if (found.length > 0) return found;
  }
  if (basename(word.text) === 'mime.types') scene.instead('types', directive.at, 'Steward knows the types of files itself.');
  else if (!/[*?[]/.test(word.text)) {
    const message = `include: "${word.text}" does not exist`;
    scene.error('config/nginx-include', message, word.at, `It is looked for in ${folders.join(' and ')}, and must be readable.`);
  }
  return [];
}

const deepest = 10;

/** The lines of a block whose lines are no directives, with those of the files it includes. */
export function includedDirectives(block: readonly Directive[], scene: Scene, depth = 0): readonly Directive[] {
  return block.flatMap((line) => {
    if (line.name !== 'include' || line.block !== undefined) return [line];
    if (depth >= deepest) {
      scene.error(
        'config/nginx-include',
        `includes reach more than ${deepest} files deep`,
        line.at,
        'Look for files that include each other.',
      );
      return [];
    }
    return nearestFiles(line, scene).flatMap((source) => {
      if (!scene.sources.some(({ file }) => file === source.file)) scene.sources.push(source);
      const { directives, errors } = parse(source.file, source.text);
      for (const error of errors) scene.error('config/nginx-syntax', error.message, error.at, error.hint);
      return includedDirectives(directives, scene, depth + 1);
    });
  });
}
