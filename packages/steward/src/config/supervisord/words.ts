/**
 * The two ways in which supervisord takes a value apart, both from Python's shlex module: a command into words as a POSIX
 * shell would, and `environment` into NAME=value pairs by the older, stricter lexer. Letters are given by their indexes, so
 * that a caller can tell where each came from.
 */

/** A mistake, by index into the text. */
export interface Slip {
  readonly at: number;
  readonly length: number;
  readonly message: string;
  readonly hint: string;
  /** A quote has no end: a comment sign inside it may be the reason. */
  readonly unclosed: boolean;
}

export type Taken<T> = { readonly value: T } | { readonly slip: Slip };

/** The letters of a word, by index, ascending. */
export type Letters = readonly number[];

const isSpace = (char: string): boolean => char === ' ' || char === '\t' || char === '\r' || char === '\n';
const isQuote = (char: string): boolean => char === '"' || char === "'";

const unclosedQuote = (text: string, at: number): { readonly slip: Slip } => ({
  slip: {
    at,
    length: text.length - at,
    message: `the quote ${text[at]} is never closed`,
    hint: `Close it with a second ${text[at]}.`,
    unclosed: true,
  },
});

const loneBackslash = (at: number): { readonly slip: Slip } => ({
  slip: { at, length: 1, message: 'nothing follows the backslash at the end', hint: 'Write \\\\ for a backslash.', unclosed: false },
});

/** The words of a command line as `shlex.split` finds them: `'` and `"` quote, backslash takes the next letter as it is. */
export function splitWords(text: string): Taken<readonly Letters[]> {
  const words: number[][] = [];
  let word: number[] | undefined;
  let quote = -1;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (quote === -1 && isSpace(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    word ??= [];
    if (char === '\\' && text[quote] !== "'") {
      if (i + 1 === text.length) return loneBackslash(i);
      // Inside double quotes a backslash is special only before " and another backslash.
      if (quote !== -1 && text[i + 1] !== '"' && text[i + 1] !== '\\') word.push(i);
      word.push(++i);
    } else if (quote === -1 && isQuote(char)) quote = i;
    else if (quote !== -1 && char === text[quote]) quote = -1;
    else word.push(i);
  }
  if (quote !== -1) return unclosedQuote(text, quote);
  if (word !== undefined) words.push(word);
  return { value: words };
}

/** Letters that make up a bare word in `environment`; any other stands alone. */
const bare = /[A-Za-z0-9_/.+\-():]/;

/** The tokens of shlex's older mode: quotes stay part of a token, and `#` skips to the end of the line. */
function tokensOf(text: string): Taken<readonly Letters[]> {
  const tokens: number[][] = [];
  let token: number[] = [];
  let quote = -1;
  const end = (): void => {
    if (token.length > 0) tokens.push(token);
    token = [];
  };
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string;
    if (quote !== -1) {
      token.push(i);
      if (char !== text[quote]) continue;
      quote = -1;
      end();
    } else if (isSpace(char)) end();
    else if (char === '#') {
      const newline = text.indexOf('\n', i);
      i = newline === -1 ? text.length : newline;
    } else if (bare.test(char)) token.push(i);
    else if (isQuote(char)) {
      if (token.length === 0) quote = i;
      token.push(i);
    } else {
      end();
      tokens.push((text.codePointAt(i) as number) > 0xffff ? [i, ++i] : [i]);
    }
  }
  if (quote !== -1) return unclosedQuote(text, quote);
  end();
  return { value: tokens };
}

export interface Pair {
  readonly name: Letters;
  readonly value: Letters;
}

const quoteHint = 'Write NAME="value", with commas between pairs; only letters, digits and _ / . + - ( ) : need no quotes.';

/** What is wrong with the pair that starts at token `i`, in words that point at the likely reason. */
function badPair(text: string, tokens: readonly Letters[], i: number): { readonly slip: Slip } {
  const read = (token: Letters | undefined): string => (token ?? []).map((index) => text[index]).join('');
  const slip = (token: Letters, message: string): { readonly slip: Slip } => ({
    slip: { at: token[0] as number, length: token.length, message, hint: quoteHint, unclosed: false },
  });
  const [name, equals] = [tokens[i] as Letters, tokens[i + 1]];
  const before = tokens[i - 1];
  if (before !== undefined && read(before) !== ',')
    return slip(before, `"${read(before)}" follows the value of ${read(tokens[i - 4])} where a comma belongs`);
  if (equals === undefined) return slip(name, `"${read(name)}" has no value`);
  if (read(equals) !== '=') return slip(equals, `"${read(equals)}" follows "${read(name)}" where "=" belongs`);
  return slip(name, `"${read(name)}" has no value`);
}

/**
 * The NAME=value pairs of `environment`. As in supervisord, any single token may stand where a comma belongs as long as
 * pairs still line up, and quotes at both ends of a value are taken off.
 */
export function splitPairs(text: string): Taken<readonly Pair[]> {
  const found = tokensOf(text);
  if ('slip' in found) return found;
  const tokens = found.value;
  const pairs: Pair[] = [];
  for (let i = 0; i < tokens.length; i += 4) {
    const [name, equals, value] = tokens.slice(i, i + 3);
    if (name === undefined || equals === undefined || value === undefined || text[equals[0] as number] !== '=')
      return badPair(text, tokens, i);
    const inner = value.findIndex((index) => !isQuote(text[index] as string));
    const last = value.findLastIndex((index) => !isQuote(text[index] as string));
    pairs.push({ name, value: inner === -1 ? [] : value.slice(inner, last + 1) });
  }
  return { value: pairs };
}
