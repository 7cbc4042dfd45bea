/**
 * Lines and words of an Apache file (https://httpd.apache.org/docs/2.4/configuring.html#syntax):
 * - one directive a line; a backslash at its end joins the next line, in comments too; `#` starts a comment only at the start of a line;
 * - `${NAME}` is replaced before the line is split into words, so a value may hold several words;
 * - a word that starts with a quote runs to the same quote; there a backslash keeps the quote or a backslash.
 */
import type { Position } from '../problem.ts';

/** A directive's text, joined from one or more lines of the file. */
export interface Line {
  readonly file: string;
  readonly text: string;
  /** Where each joined piece starts: in `text`, and in the file. */
  readonly pieces: readonly { readonly start: number; readonly line: number; readonly column: number }[];
}

/** The span from `start` to `end` of a line; it ends with the line of the file it starts on. */
export function positionIn({ file, text, pieces }: Line, start: number, end: number = text.length): Position {
  const index = Math.max(
    0,
    pieces.findLastIndex((piece) => piece.start <= start),
  );
  const { start: from, line, column } = pieces[index] as Line['pieces'][number];
  const until = Math.min(end, pieces[index + 1]?.start ?? end);
  return { file, line, column: column + start - from, length: Math.max(1, until - start) };
}

/** All directives of a text that are no comments, without blanks around them. */
export function splitLines(file: string, source: string): readonly Line[] {
  const found: Line[] = [];
  let text = '';
  let pieces: { start: number; line: number; column: number }[] = [];
  const rows = source.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  rows.forEach((row, index) => {
    const joins = row.endsWith('\\') && index < rows.length - 1;
    const from = text === '' ? row.length - row.trimStart().length : 0;
    pieces.push({ start: text.length, line: index + 1, column: from + 1 });
    text += joins ? row.slice(from, -1) : row.slice(from);
    if (joins) return;
    const trimmed = text.trimEnd();
    if (trimmed !== '' && !trimmed.startsWith('#')) found.push({ file, text: trimmed, pieces });
    text = '';
    pieces = [];
  });
  return found;
}

export interface Word {
  readonly text: string;
  readonly at: Position;
}

export interface Words {
  readonly words: readonly Word[];
  /** `${NAME}` without a value: they stand in the words as they are written. */
  readonly undefined: readonly Word[];
  /** The quote that is never closed. */
  readonly openQuote?: Position;
}

interface Expanded {
  readonly text: string;
  /** For each character, where it stands in the line; one more for the end. */
  readonly from: readonly number[];
  readonly undefined: readonly Word[];
}

function expand(line: Line, start: number, end: number, lookUp: (name: string) => string | undefined): Expanded {
  const from: number[] = [];
  const missing: Word[] = [];
  let text = '';
  for (let at = start; at < end; ) {
    const close = line.text.startsWith('${', at) ? line.text.indexOf('}', at) : -1;
    const name = close >= 0 && close < end ? line.text.slice(at + 2, close) : '';
    const value = name === '' ? undefined : lookUp(name);
    if (name !== '' && value === undefined) missing.push({ text: name, at: positionIn(line, at, close + 1) });
    const added = value ?? (line.text[at] as string);
    for (let n = 0; n < added.length; n++) from.push(at);
    text += added;
    at = value === undefined ? at + 1 : close + 1;
  }
  return { text, from: [...from, end], undefined: missing };
}

const withoutEscapes = (text: string, quote: string): string =>
  text.replaceAll(/\\([\\"'])/g, (both, ch: string) => (ch === '\\' || ch === quote ? ch : both));

/** The offset of the quote that closes the one at `open`, or -1. */
function closeOfQuote(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at++) {
    if (text[at] === '\\' && (text[at + 1] === '\\' || text[at + 1] === text[open])) at++;
    else if (text[at] === text[open]) return at;
  }
  return -1;
}

/** The words between `start` and `end` of a line, after `${NAME}` is replaced. Never throws. */
export function splitWords(line: Line, start: number, end: number, lookUp: (name: string) => string | undefined): Words {
  const { text, from, undefined: missing } = expand(line, start, end, lookUp);
  const words: Word[] = [];
  let openQuote: Position | undefined;
  const add = (value: string, first: number, next: number): void => {
    words.push({ text: value, at: positionIn(line, from[first] as number, from[next] as number) });
  };
  for (let at = 0; at < text.length; ) {
    const ch = text[at] as string;
    if (/\s/.test(ch)) at++;
    else if (ch === '"' || ch === "'") {
      const close = closeOfQuote(text, at);
      if (close < 0) openQuote = positionIn(line, from[at] as number, (from[at] as number) + 1);
      const stop = close < 0 ? text.length : close;
      add(withoutEscapes(text.slice(at + 1, stop), ch), at, Math.min(stop + 1, text.length));
      at = stop + 1;
    } else {
      const length = text.slice(at).search(/\s/);
      const next = length < 0 ? text.length : at + length;
      add(withoutEscapes(text.slice(at, next), ''), at, next);
      at = next;
    }
  }
  return { words, undefined: missing, ...(openQuote === undefined ? {} : { openQuote }) };
}
