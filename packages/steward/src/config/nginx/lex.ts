/**
 * Splits the text of an nginx file into words, braces and semicolons, as nginx itself does
 * (https://nginx.org/en/docs/beginners_guide.html#conf_structure; where that is silent, `nginx -t` was asked):
 * - words end at whitespace, `;` or `{`; a `}` inside a word belongs to it; `#` starts a comment only between words;
 * - a word that starts with a quote runs to the same quote, over lines too; a quote inside a word is a plain character;
 * - a backslash keeps the next character from ending a word; `\"`, `\'`, `\\` lose it, `\t`, `\r`, `\n` become control characters;
 * - the brace of `${name}` does not open a block.
 */
import type { Position } from '../problem.ts';

export interface Token {
  readonly kind: 'word' | 'open' | 'close' | 'end';
  /** The value of a word: without quotes, escapes replaced. */
  readonly text: string;
  readonly quoted: boolean;
  readonly at: Position;
}

export interface LexError {
  readonly message: string;
  readonly hint: string;
  readonly at: Position;
}

export interface Lexed {
  readonly tokens: readonly Token[];
  readonly errors: readonly LexError[];
  /** A quote stays open to the end: what follows from that is not worth telling. */
  readonly open: boolean;
}

const isSpace = (ch: string | undefined): boolean => ch === ' ' || ch === '\t' || ch === '\n' || ch === '\r';
const controls: Readonly<Record<string, string>> = { t: '\t', r: '\r', n: '\n', '"': '"', "'": "'", '\\': '\\' };
const marks: Readonly<Record<string, 'open' | 'close' | 'end'>> = { '{': 'open', '}': 'close', ';': 'end' };

const decode = (raw: string): string => raw.replace(/\\([\s\S])/g, (both, ch: string) => controls[ch] ?? both);

/** Turns growing offsets into positions; lines end with LF, CRLF or CR, as in a code frame. */
function createRuler(file: string, text: string): (offset: number, end: number) => Position {
  let line = 1;
  let start = 0;
  let at = 0;
  return (offset, end) => {
    for (; at < offset; at++) {
      if (text[at] !== '\n' && (text[at] !== '\r' || text[at + 1] === '\n')) continue;
      line++;
      start = at + 1;
    }
    const breakAt = text.slice(offset, end).search(/[\r\n]/);
    return { file, line, column: offset - start + 1, length: Math.max(1, breakAt < 0 ? end - offset : breakAt) };
  };
}

/** The offset just behind the quote that closes the one at `from`, or -1. */
function closeOfQuote(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === text[from]) return at + 1;
  }
  return -1;
}

/** The offset just behind the unquoted word that starts at `from`. */
function endOfWord(text: string, from: number): number {
  let afterDollar = false;
  for (let at = from; at < text.length; at++) {
    const ch = text[at];
    if (ch === '\\') at++;
    else if (isSpace(ch) || ch === ';' || (ch === '{' && !afterDollar)) return at;
    afterDollar = ch === '$';
  }
  return text.length;
}

/** Only a line feed ends a comment. */
function endOfLine(text: string, from: number): number {
  const at = text.indexOf('\n', from);
  return at < 0 ? text.length : at;
}

/** The tokens of `text` in order, and what is wrong with its quotes. Never throws. */
export function lex(file: string, source: string): Lexed {
  const text = source.replace(/^\uFEFF/, '');
  const measure = createRuler(file, text);
  const tokens: Token[] = [];
  const errors: LexError[] = [];
  for (let at = 0; at < text.length; ) {
    const ch = text[at] as string;
    const mark = marks[ch];
    if (isSpace(ch)) at++;
    else if (mark !== undefined) tokens.push({ kind: mark, text: ch, quoted: false, at: measure(at, ++at) });
    else if (ch === '#') at = endOfLine(text, at);
    else if (ch !== '"' && ch !== "'") {
      const end = endOfWord(text, at);
      tokens.push({ kind: 'word', text: decode(text.slice(at, end)), quoted: false, at: measure(at, end) });
      at = end;
    } else {
      const end = closeOfQuote(text, at);
      if (end < 0) {
        errors.push({ message: `${ch} opens a text that is never closed`, hint: `Close it with another ${ch}.`, at: measure(at, at + 1) });
        return { tokens, errors, open: true };
      }
      tokens.push({ kind: 'word', text: decode(text.slice(at + 1, end - 1)), quoted: true, at: measure(at, end) });
      at = end;
      if (at < text.length && !isSpace(text[at]) && !';{)'.includes(text[at] as string)) {
        const message = `"${text[at]}" stands directly behind a closing quote`;
        errors.push({ message, hint: 'Put a space or ; between them, or the whole word in quotes.', at: measure(at, at + 1) });
      }
    }
  }
  return { tokens, errors, open: false };
}
