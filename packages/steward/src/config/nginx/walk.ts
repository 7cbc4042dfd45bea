/** Reads the directives of a block one by one: looks each up in the table, checks what nginx checks, then lets its entry read it. */
import { resolve } from 'node:path';
import type { Position } from '../problem.ts';
import { readUnlisted } from './directives/rest.ts';
import { nearestFiles } from './include.ts';
import { type Directive, parse } from './parse.ts';
import type { Call, Entry, Level, Scene } from './scene.ts';
import { entriesOf, suggestName } from './table.ts';

const contextNames = {
  main: 'the top of the file',
  http: 'http',
  server: 'server',
  location: 'location',
  upstream: 'upstream',
  'server-if': 'if',
  if: 'if',
  limit_except: 'limit_except',
} as const;
/** Directives of the rewrite module: an `if` with these alone changes nothing else of its location. */
const rewriting: ReadonlySet<string> = new Set(['set', 'rewrite', 'return', 'break', 'if']);
const maxIncludes = 2000;
const maxDepth = 100;

function argumentProblem(entry: Entry, directive: Directive): string | undefined {
  const [least, most] = entry.args;
  const count = directive.args.length;
  if (entry.block === true && directive.block === undefined) return 'needs a block in braces';
  if (entry.block !== true && directive.block !== undefined) return 'has no block; it ends with ;';
  if (count >= least && count <= most) return undefined;
  const wanted = least === most ? String(least) : most === Number.POSITIVE_INFINITY ? `at least ${least}` : `${least} to ${most}`;
  return `needs ${wanted === '0' ? 'no' : wanted} ${wanted === '1' || wanted === 'at least 1' ? 'argument' : 'arguments'}, not ${count}`;
}

/** A known directive that stands as an argument on a later line: the semicolon before it was forgotten. */
function swallowed(directive: Directive): { before: Position; name: string } | undefined {
  const index = directive.args.findIndex((word, at) => {
    const previous = directive.args[at - 1]?.at ?? directive.at;
    return !word.quoted && word.at.line > previous.line && entriesOf(word.text).length > 0;
  });
  if (index < 0) return undefined;
  const { line, column, length, file } = directive.args[index - 1]?.at ?? directive.at;
  return { before: { file, line, column: column + length - 1, length: 1 }, name: directive.args[index]?.text ?? '' };
}

function isTwice(entry: Entry, directive: Directive, level: Level, scene: Scene): boolean {
  const key = typeof entry.once === 'string' ? entry.once : directive.name;
  const earlier = level.seen.get(key);
  if (earlier === undefined) level.seen.set(key, directive.at);
  if (earlier === undefined || entry.once === undefined || entry.once === false) return false;
  scene.error(
    'config/nginx-duplicate',
    `${directive.name} stands twice in this block, first on line ${earlier.line}`,
    directive.at,
    'Keep one of them.',
  );
  return true;
}

function readOne(directive: Directive, level: Level, scene: Scene): void {
  const call: Call = { directive, args: directive.args, level, scene };
  const known = entriesOf(directive.name);
  const entry = known.find(({ contexts }) => contexts.includes(level.context));
  if (known.length === 0) {
    readUnlisted(call, suggestName(directive.name, level.context));
  } else if (entry === undefined) {
    const places = [...new Set(known.flatMap(({ contexts }) => contexts))].map((context) => contextNames[context]);
    const message = `${directive.name} is not allowed in ${contextNames[level.context]}`;
    scene.error('config/nginx-not-allowed-here', message, directive.at, `It belongs in ${places.join(', ')}.`);
  } else {
    const wrong = argumentProblem(entry, directive);
    const twice = isTwice(entry, directive, level, scene);
    if (wrong !== undefined) scene.error('config/nginx-arguments', `${directive.name} ${wrong}`, directive.at);
    else if (!twice) {
      if (!rewriting.has(directive.name)) level.settings.isMore = true;
      entry.read(call);
    }
  }
}

/** Reads one directive; when that fails and the next line was swallowed, the missing semicolon is the only thing told. */
function readDirective(directive: Directive, level: Level, scene: Scene): void {
  const before = scene.draft.problems.length;
  readOne(directive, level, scene);
  const next = scene.draft.problems.length > before ? swallowed(directive) : undefined;
  if (next === undefined) return;
  scene.draft.forget(before);
  scene.error('config/nginx-syntax', `${directive.name} has no ; before "${next.name}"`, next.before, 'End it with a semicolon.');
}

/** Walks blocks into levels, opening includes where they stand. The result is `Scene.walk`. */
export function createWalk(file: string, sceneOf: () => Scene): Scene['walk'] {
  const open = [resolve(file)];
  let opened = 0;

  const include = (directive: Directive, level: Level): void => {
    const scene = sceneOf();
    for (const source of nearestFiles(directive, scene)) {
      const path = resolve(source.file);
      if (open.includes(path)) {
        const chain = [...open.slice(open.indexOf(path)), path].join(' -> ');
        scene.error(
          'config/nginx-include',
          `these files include each other: ${chain}`,
          directive.args[0]?.at ?? directive.at,
          'Remove one of the includes.',
        );
        continue;
      }
      if (++opened > maxIncludes || open.length > maxDepth) {
        const limit = open.length > maxDepth ? `${maxDepth} files deep` : `${maxIncludes} files`;
        scene.error(
          'config/nginx-include',
          `includes reach more than ${limit}`,
          directive.at,
          'Look for files that include others again and again.',
        );
        return;
      }
      if (!scene.sources.some((known) => resolve(known.file) === path)) scene.sources.push(source);
      const { directives, errors } = parse(source.file, source.text);
      for (const error of errors) scene.error('config/nginx-syntax', error.message, error.at, error.hint);
      open.push(path);
      walk(directives, level);
      open.pop();
    }
  };
  const walk = (block: readonly Directive[], level: Level): void => {
    for (const directive of block) {
      if (directive.name === 'include') include(directive, level);
      else readDirective(directive, level, sceneOf());
    }
  };
  return walk;
}
