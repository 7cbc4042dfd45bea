/**
 * Regular expressions as people write them for nginx (PCRE) → JavaScript's. Pure; the reader checks with it, the gateway
 * matches with it, so what passes the one works in the other.
 *
 * What is another notation is translated: `(?P<n>...)`, `(?i)` in front or within, `\A`, `\z`, `\Z`, `\h`, `[[:alpha:]]`, `\Q...\E`, a
 * comment, spaces under `(?x)`, `]` as the first of a class, `.` that fits a carriage return, `$` before a last line feed. Possessive quantifiers and atomic
 * groups become plain ones: they fit the same texts wherever they only save time. What JavaScript cannot do is a mistake.
 */

/** A RegExp in two parts, or why there is none. */
export type RegexSource = { readonly source: string; readonly flags: string } | { readonly mistake: string };

/** An opened group, and the groups that letters such as `(?i)` open within it, to its end. */
interface Group {
  readonly letters: string[];
}

type Rule = readonly [pattern: RegExp, becomes: (match: RegExpExecArray, groups: Group[]) => string | { readonly mistake: string }];

const posixClasses: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7f',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  word: '\\w',
  xdigit: '0-9A-Fa-f',
};

const escapeText = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
const cannot = (what: string): { mistake: string } => ({ mistake: `${what} of PCRE is not available` });

/** Notations that mean the same inside of a class and outside. */
const anywhere: readonly Rule[] = [
  [/\\Q(.*?)(?:\\E|$)/sy, ([, text = '']) => escapeText(text)],
  [/\\E/y, () => ''],
  [/\\a/y, () => '\\x07'],
  [/\\e/y, () => '\\x1b'],
  [/\\x\{([0-9a-fA-F]{1,4})\}/y, ([, digits = '']) => `\\u${digits.padStart(4, '0')}`],
  [/\\[pPX]/y, ([whole]) => cannot(whole)],
];

const inClass: readonly Rule[] = [
  ...anywhere,
  [/\[:(\^?)(\w+):\]/y, ([whole, not, name = '']) => (not === '' ? posixClasses[name] : undefined) ?? cannot(whole)],
  [/\\h/y, () => ' \\t'],
  [/\\./sy, ([whole]) => whole],
];

const outside: readonly Rule[] = [
  ...anywhere,
  [/\\A/y, () => '(?<![\\s\\S])'],
  [/\\z/y, () => '(?![\\s\\S])'],
  [/\\Z/y, () => '(?=\\n?(?![\\s\\S]))'],
  [/\\h/y, () => '[ \\t]'],
  [/\\H/y, () => '[^ \\t]'],
  [/\\R/y, () => '(?:\\r\\n|[\\n\\x0b\\f\\r\\x85\\u2028\\u2029])'],
  [/\\N/y, () => '[^\\n]'],
  [/\\[KGC]/y, ([whole]) => cannot(whole)],
  [/\\g\{?(\d+)\}?/y, ([, number]) => `\\${number}`],
  [/\\(?:g\{|k\{|k')([A-Za-z_]\w*)[}']/y, ([, name]) => `\\k<${name}>`],
  [/\\./sy, ([whole]) => whole],
  [/\(\?#[^)]*\)/y, () => ''],
  [/\(\?P=(\w+)\)/y, ([, name]) => `\\k<${name}>`],
  [/\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')/y, ([, angled, quoted], groups) => open(groups, `(?<${angled ?? quoted}>`)],
  [/\(\?>/y, (_, groups) => open(groups, '(?:')],
  [/\(\?(?:<?[=!]|:)/y, ([whole], groups) => open(groups, whole)],
  [/\(\?([a-zA-Z]*)(?:-([a-zA-Z]*))?([:)])/y, modifiers],
  [/\(\?(?:R|[-+]?\d|&|P>)|\(\?\(|\(\?\||\(\*\w*/y, ([whole]) => cannot(`"${whole}"`)],
  [/\(/y, (_, groups) => open(groups, '(')],
  [/\)/y, (_, groups) => `${groups.length > 1 ? closing(groups.pop()) : ''})`],
  [/\|/y, (_, groups) => `${closing(groups.at(-1))}|${groups.at(-1)?.letters.join('') ?? ''}`],
  [/([*+?]|\{\d+(?:,\d*)?\})\+/y, ([, quantifier = '']) => quantifier],
];

function open(groups: Group[], text: string): string {
  groups.push({ letters: [] });
  return text;
}

const closing = (group: Group | undefined): string => ')'.repeat(group?.letters.length ?? 0);

/** `(?i)` holds to the end of the group around it, `(?i:...)` for itself. */
function modifiers([whole, on = '', off = '', end]: RegExpExecArray, groups: Group[]): string | { mistake: string } {
  if (/[^i]/.test(on + off)) return cannot(`"${whole}"`);
  const group = off === '' ? `(?${on}:` : `(?${on}-${off}:`;
  if (end === ':') return open(groups, group);
  groups.at(-1)?.letters.push(group);
  return group;
}

/** Where the class that opens at `start` ends, and its text in JavaScript's notation. */
function classAt(pattern: string, start: number): { source: string; end: number } | { mistake: string } {
  const [head = '['] = /^\[\^?\]?/.exec(pattern.slice(start)) ?? [];
  let source = head.replace(']', '\\]');
  for (let at = start + head.length; at < pattern.length; ) {
    if (pattern[at] === ']') return { source: `${source}]`, end: at + 1 };
    const taken = take(inClass, pattern, at, []);
    if (taken !== undefined && 'mistake' in taken) return taken;
    source += taken?.text ?? pattern[at];
    at = taken?.end ?? at + 1;
  }
  return { mistake: 'a [ is not closed' };
}

/** What the first rule that fits at `at` makes of it. */
function take(
  rules: readonly Rule[],
  pattern: string,
  at: number,
  groups: Group[],
): { text: string; end: number } | { mistake: string } | undefined {
  for (const [expression, becomes] of rules) {
    expression.lastIndex = at;
    const match = expression.exec(pattern);
    if (match === null) continue;
    const text = becomes(match, groups);
    return typeof text === 'string' ? { text, end: at + match[0].length } : text;
  }
  return undefined;
}

/** `pattern` as source and flags of a RegExp. It may still be refused by RegExp itself: see `regexMistake`. */
export function regexSource(pattern: string, anyCase: boolean): RegexSource {
  const [front, letters = ''] = /^(?:\(\*[A-Z0-9_]+\))*(?:\(\?([imsx]+)\))?/.exec(pattern) ?? [''];
  const flags = [...'ims'].filter((flag) => letters.includes(flag) || (flag === 'i' && anyCase)).join('');
  const groups: Group[] = [{ letters: [] }];
  let source = '';
  for (let at = front.length; at < pattern.length; ) {
    const char = pattern[at] as string;
    const [space] = letters.includes('x') ? (/^(?:\s+|#.*)/.exec(pattern.slice(at)) ?? []) : [];
    if (space !== undefined) {
      at += space.length;
      continue;
    }
    const part = char === '[' ? classAt(pattern, at) : take(outside, pattern, at, groups);
    if (part !== undefined && 'mistake' in part) return part;
    source += part === undefined ? plain(char, flags) : 'source' in part ? part.source : part.text;
    at = part?.end ?? at + 1;
  }
  return { source: source + closing(groups[0]), flags };
}

/** PCRE's `.` leaves out the line feed alone, and its `$` fits before one at the very end. */
function plain(char: string, flags: string): string {
  if (char === '.' && !flags.includes('s')) return '[^\\n]';
  return char === '$' && !flags.includes('m') ? '(?=\\n?$)' : char;
}

/** Why a text is no regular expression; undefined when it is one. */
export function regexMistake(pattern: string, anyCase = false): string | undefined {
  const translated = regexSource(pattern, anyCase);
  if ('mistake' in translated) return translated.mistake;
  try {
    new RegExp(translated.source, translated.flags);
    return undefined;
  } catch (error) {
    return (error as Error).message.replace(/^.*: /s, '');
  }
}

/** The expression, ready to match. Throws SyntaxError for one that has a `regexMistake`. */
export function compileRegex(pattern: string, anyCase: boolean): RegExp {
  const translated = regexSource(pattern, anyCase);
  if ('mistake' in translated) throw new SyntaxError(translated.mistake);
  return new RegExp(translated.source, translated.flags);
}

/** Names of the groups of an expression, in the order they stand in it. */
export function groupNames(pattern: string): string[] {
  const names = [...pattern.matchAll(/\\.|\[(?:\\.|[^\]\\])*\]|\(\?(?:P?<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')/gs)];
  return names.flatMap(([, angled, quoted]) => angled ?? quoted ?? []);
}
