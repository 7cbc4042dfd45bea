/** Reads directives one by one: replaces names, looks each up in the table, checks its arguments, lets its entry read it. */
import { resolve } from 'node:path';
import { readUnlisted } from './directives/rest.ts';
import { splitWords, type Word } from './lex.ts';
import { type Directive, parse } from './parse.ts';
import type { Call, Entry, Level, Scene, Server } from './scene.ts';
import { entryOf, suggestName } from './table.ts';

const maxIncludes = 2000;
const maxDepth = 100;

function argumentProblem(entry: Entry, directive: Directive, count: number): string | undefined {
  const [least, most] = entry.args;
  if (entry.section === true && directive.block === undefined) return `is a section: write <${entry.name} ...> and </${entry.name}>`;
  if (entry.section !== true && directive.block !== undefined) return 'is no section: write it without < and >';
  if (count >= least && count <= most) return undefined;
  const wanted = least === most ? String(least) : most === Number.POSITIVE_INFINITY ? `at least ${least}` : `${least} to ${most}`;
  return `needs ${wanted} ${wanted === '1' || wanted === 'at least 1' ? 'argument' : 'arguments'}, not ${count}`;
}

/** Tells names without a value; false when the directive cannot be read without them. */
function areNamesKnown(entry: Entry, missing: readonly Word[], scene: Scene): boolean {
  for (const { text, at } of missing) {
    const hint = `Set it: Define ${text} value, or in the environment of Steward.`;
    if (entry.undefinedNames === undefined) scene.error('config/apache-undefined', `"\${${text}}" is not defined`, at, hint);
    else if (entry.undefinedNames === 'note')
      scene.note(`\${${text}}`, 'config/apache-undefined', `"\${${text}}" is not defined, and not needed here`, at);
  }
  return missing.length === 0 || entry.undefinedNames !== undefined;
}

/** Why a directive may not stand where it does. */
function placeProblem(entry: Entry, server: Server, level: Level): string | undefined {
  if (entry.in === 'main' && server.main !== undefined) return '<VirtualHost>';
  return entry.in !== undefined && level.context !== 'server' ? level.shown : undefined;
}

function readDirective(directive: Directive, server: Server, level: Level, scene: Scene): void {
  const { words, undefined: missing } = scene.wordsOf(directive);
  const call: Call = { directive, args: words, missing, server, level, scene };
  const entry = entryOf(directive.name);
  if (entry === undefined) {
    readUnlisted(call, suggestName(directive.name));
    return;
  }
  const wrong = argumentProblem(entry, directive, words.length);
  const misplaced = placeProblem(entry, server, level);
  if (wrong !== undefined) scene.error('config/apache-arguments', `${directive.name} ${wrong}`, directive.at);
  else if (misplaced !== undefined) {
    const hint = 'Write it outside of sections.';
    scene.error('config/apache-not-allowed-here', `${directive.name} is not allowed in ${misplaced}`, directive.at, hint);
  } else if (areNamesKnown(entry, missing, scene)) entry.read(call);
}

/** Splits a directive's words with what Define and the environment say at that moment; an open quote is told. */
export function createWordsOf(sceneOf: () => Scene): Scene['wordsOf'] {
  return (directive) => {
    const scene = sceneOf();
    const lookUp = (name: string): string | undefined =>
      scene.defined.get(name) ?? (Object.hasOwn(scene.around.env, name) ? scene.around.env[name] : undefined);
    const found = splitWords(directive.line, directive.from, directive.to, lookUp);
    // Apache 1.3 wrote ErrorDocument texts with an opening quote only, and Apache still reads that.
    if (found.openQuote !== undefined && !/^errordocument$/i.test(directive.name)) {
      scene.error('config/apache-syntax', 'this quote is never closed', found.openQuote, 'Close it on the same line.');
    }
    return found;
  };
}

/** Walks directives into `server`, opening includes where they stand. The result is `Scene.walk`. */
export function createWalk(file: string, sceneOf: () => Scene): Scene['walk'] {
  const open = [resolve(file)];
  let opened = 0;

  const enter = (source: { readonly file: string; readonly text: string }, word: Word, server: Server, level: Level): void => {
    const scene = sceneOf();
    const path = resolve(source.file);
    if (open.includes(path)) {
      const chain = [...open.slice(open.indexOf(path)), path].join(' -> ');
      scene.error('config/apache-include', `these files include each other: ${chain}`, word.at, 'Remove one of the includes.');
      return;
    }
    if (++opened > maxIncludes || open.length > maxDepth) {
      scene.error(
        'config/apache-include',
        `includes reach more than ${maxDepth} files deep, or ${maxIncludes} files`,
        word.at,
        'Look for files that include others again and again.',
      );
      return;
    }
    if (!scene.sources.some((known) => resolve(known.file) === path)) scene.sources.push(source);
    const { directives, errors } = parse(source.file, source.text);
    for (const error of errors) scene.error('config/apache-syntax', error.message, error.at, error.hint);
    open.push(path);
    walk(directives, server, level);
    open.pop();
  };
  const include = (directive: Directive, server: Server, level: Level): void => {
    const scene = sceneOf();
    const [word, ...more] = scene.wordsOf(directive).words;
    if (word === undefined || more.length > 0) {
      scene.error(
        'config/apache-arguments',
        `${directive.name} needs 1 argument, not ${more.length + (word === undefined ? 0 : 1)}`,
        directive.at,
      );
      return;
    }
    const folder = scene.serverRoot ?? scene.folder;
    const found = scene.around.open(word.text, folder);
    if (found.length === 0 && /^include$/i.test(directive.name)) {
      scene.error(
        'config/apache-include',
        `Include: "${word.text}" does not exist`,
        word.at,
        `It is looked for in ${folder}. IncludeOptional may name files that are missing.`,
      );
    }
    for (const source of found) enter(source, word, server, level);
  };
  const walk = (block: readonly Directive[], server: Server, level: Level): void => {
    for (const directive of block) {
      if (/^include(optional)?$/i.test(directive.name) && directive.block === undefined) include(directive, server, level);
      else readDirective(directive, server, level, sceneOf());
    }
  };
  return walk;
}
