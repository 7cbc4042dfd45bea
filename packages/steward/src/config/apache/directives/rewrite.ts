/** mod_rewrite, read (https://httpd.apache.org/docs/2.4/mod/mod_rewrite.html); rewrite-steps.ts makes steps of it. */
import type { Word } from '../lex.ts';
import { badValue, type Call, type Entry, firstArg, given, leaveOut, many, type RewriteTest, readFlag } from '../scene.ts';
import { hasDollar, variableOf } from '../values.ts';
import { isExpression } from './proxy.ts';

const flagNames: Readonly<Record<string, string>> = {
  last: 'L',
  redirect: 'R',
  nocase: 'NC',
  noescape: 'NE',
  qsappend: 'QSA',
  qsdiscard: 'QSD',
  qslast: 'QSL',
  proxy: 'P',
  forbidden: 'F',
  gone: 'G',
  passthrough: 'PT',
  ornext: 'OR',
  chain: 'C',
  skip: 'S',
  next: 'N',
  env: 'E',
  cookie: 'CO',
  type: 'T',
  handler: 'H',
  nosubreq: 'NS',
  discardpath: 'DPI',
  novary: 'NV',
};

/** `[R=301,L]` by the short names of the flags. */
function flagsOf(word: Word | undefined): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const part of (word?.text ?? '').replace(/^\[|\]$/g, '').split(',')) {
    const [, name = '', value = ''] = /^\s*([^=]+?)\s*(?:=(.*))?$/.exec(part) ?? [];
    if (name === '') continue;
    const short = Object.hasOwn(flagNames, name.toLowerCase()) ? flagNames[name.toLowerCase()] : undefined;
    found.set(short ?? name.toUpperCase(), value);
  }
  return found;
}

/** A text with `%{NAME}`s in Steward's variables. `$1` and `%1` stay; undefined when it holds a variable that Steward has not. */
function textOf(text: string): string | undefined {
  if (/\$\{|%\{[^}]*$/.test(text) || hasDollar(text.replace(/\$\d/g, ''))) return undefined;
  let known = true;
  const made = text.replace(/%\{([^}]*)\}/g, (_, name: string) => {
    const variable = variableOf(name);
    known &&= variable !== undefined;
    return variable ?? '';
  });
  return known ? made : undefined;
}

const fileTests: Readonly<Record<string, 'file' | 'folder' | 'any' | 'executable'>> = {
  '-f': 'file',
  '-d': 'folder',
  '-e': 'any',
  '-s': 'file',
  '-F': 'file',
  '-x': 'executable',
};

/** `%{HTTPS}` is on or off in Apache, and on or empty here. */
function httpsTest(pattern: string, not: boolean, or: boolean): RewriteTest | undefined {
  const wanted = /^(=|\^)?(on|off)\$?$/i.exec(pattern)?.[2]?.toLowerCase();
  return wanted === undefined ? undefined : { kind: 'equals', left: '$https', right: wanted === 'on' ? 'on' : '', not, or };
}

function testOf(call: Call, left: Word, pattern: Word, flags: ReadonlyMap<string, string>): RewriteTest | undefined {
  const or = flags.has('OR');
  const not = pattern.text.startsWith('!');
  const text = pattern.text.replace(/^!/, '');
  if (/^%\{HTTPS\}$/i.test(left.text)) return httpsTest(text, not, or);
  const made = textOf(left.text);
  if (made === undefined) return undefined;
  if (Object.hasOwn(fileTests, text)) return { kind: 'file', path: made, is: fileTests[text] ?? 'file', not, or };
  if (/^-[a-zA-Z]{1,2}\b/.test(text) || /^[<>]/.test(text)) return undefined;
  if (text.startsWith('=')) return { kind: 'equals', left: made, right: text.slice(1).replace(/^""$/, ''), not, or };
  if (!isExpression(call, { text, at: pattern.at })) return undefined;
  return { kind: 'matches', left: made, pattern: text, anyCase: flags.has('NC'), not, or };
}

function readCondition(call: Call): void {
  const [left, pattern, flags] = call.args as [Word, Word, Word?];
  const { conditions } = call.scene;
  const test = testOf(call, left, pattern, flagsOf(flags));
  if (test === undefined) conditions.unread = left.at;
  else conditions.tests.push(test);
}

/** What Steward has no word for, and where leaving it out would change what is answered. */
const untold: Readonly<Record<string, string>> = {
  C: 'Write the chained rules as steps with `if` in steward.yaml.',
  S: 'Write the rules as steps with `if` in steward.yaml.',
  N: 'Write the loop otherwise: steps are taken once.',
  CO: 'Set the cookie in the program, or with Header add Set-Cookie.',
  T: 'Write types: in steward.yaml.',
  H: 'Let the program speak HTTP.',
};

function readRule(call: Call): void {
  const [pattern, to, last] = call.args as [Word, Word, Word?];
  const { tests, unread } = call.scene.conditions;
  call.scene.conditions = { tests: [] };
  const flags = flagsOf(last);
  const refuses = flags.has('F') || flags.has('G') || /^[45]/.test(flags.get('R') ?? '');
  const foreign = Object.keys(untold).find((name) => flags.has(name));
  const text = textOf(to.text);
  const not = pattern.text.startsWith('!');
  const isSound = isExpression(call, { text: pattern.text.replace(/^!/, ''), at: pattern.at });
  if (unread !== undefined || foreign !== undefined || text === undefined) {
    const what =
      unread !== undefined
        ? 'a condition of this RewriteRule'
        : foreign === undefined
          ? `RewriteRule to "${to.text}"`
          : `RewriteRule with [${foreign}]`;
    const hint = foreign === undefined ? 'Steward has no such variable or test: write steps in steward.yaml.' : (untold[foreign] ?? '');
    const at = unread ?? to.at;
    if (refuses)
      call.scene.error(
        'config/apache-not-taken-over',
        `${what} is not taken over: without it the site would be open to everybody`,
        at,
        hint,
      );
    else call.scene.warning('config/apache-not-taken-over', `${what} is not taken over; the rule is left out`, at, hint);
    return;
  }
  if (call.level.context === 'location') {
    const hint = 'Write it outside of sections, or in a <Directory>.';
    if (refuses)
      call.scene.error('config/apache-not-taken-over', `RewriteRule in ${call.level.shown} is not taken over`, call.directive.at, hint);
    else leaveOut(call, hint, `RewriteRule in ${call.level.shown}`);
    return;
  }
  if (!isSound) return;
  const rule = { pattern: pattern.text.replace(/^!/, ''), not, anyCase: flags.has('NC'), tests, to: text, flags, at: call.directive.at };
  call.level.settings.rewrites.push(rule);
}

function readEngine(call: Call): void {
  const flag = readFlag(call);
  if (flag !== undefined) call.level.settings.rewriteEngine = flag;
}

function readBase(call: Call): void {
  const word = firstArg(call);
  if (word.text.startsWith('/')) call.level.settings.rewriteBase = given(word.text.endsWith('/') ? word.text : `${word.text}/`, word);
  else badValue(call, word, 'a path', 'It starts with /.');
}

export const rewriteEntries: readonly Entry[] = [
  { name: 'RewriteEngine', args: [1, 1], read: readEngine },
  { name: 'RewriteBase', args: [1, 1], read: readBase },
  { name: 'RewriteCond', args: [2, 3], undefinedNames: 'ignore', read: readCondition },
  { name: 'RewriteRule', args: [2, 3], undefinedNames: 'ignore', read: readRule },
  { name: 'RewriteMap', args: [2, many], read: (call) => leaveOut(call, 'Write variables: with cases in steward.yaml.') },
  { name: 'RewriteOptions', args: [1, many], read: (call) => leaveOut(call, 'Repeat the rules where they should hold.') },
];
