/**
 * Python's idea of white space and whole numbers, which differ from JavaScript's: supervisord's files are read by Python,
 * and a value must come out the same here.
 */

/** What `str.isspace` calls white space, for use inside a character class. */
const blank = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const blankChar = new RegExp(`[${blank}]`);
const leading = new RegExp(`^[${blank}]+`);
const notBlank = new RegExp(`[^${blank}]`);
const word = new RegExp(`[^${blank}]+`, 'g');

export const isBlank = (char: string): boolean => blankChar.test(char);

/** Where the first character that is no white space stands, or the length of `text` when there is none. */
export function leadOf(text: string): number {
  const at = text.search(notBlank);
  return at === -1 ? text.length : at;
}

/** `text` without white space at its end. Runs backwards: a pattern anchored at the end would be quadratic on long gaps. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isBlank(text[end - 1] as string)) end--;
  return text.slice(0, end);
}

/** `text` without white space at either end. */
export const strip = (text: string): string => stripEnd(text.replace(leading, ''));

/** The words of `text` between white space, each with its offset. */
export function wordsOf(text: string): { readonly text: string; readonly from: number }[] {
  return [...text.matchAll(word)].map((found) => ({ text: found[0], from: found.index }));
}

/** What Python's `int(text, base)` gives (signs, `_` between digits and white space around are allowed), or undefined when it refuses. */
export function parseInteger(text: string, base: 8 | 10 = 10): number | undefined {
  const pattern = base === 8 ? /^([+-]?)(?:0[oO]_?)?([0-7](?:_?[0-7])*)$/ : /^([+-]?)(\d(?:_?\d)*)$/;
  const found = pattern.exec(strip(text));
  if (found === null) return undefined;
  const value = Number.parseInt((found[2] as string).replaceAll('_', ''), base);
  return found[1] === '-' && value !== 0 ? -value : value;
}
