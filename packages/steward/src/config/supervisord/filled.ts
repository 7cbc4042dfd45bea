/**
 * A value with its expansions filled in: what supervisord would see, letter by letter, and beside it how Steward writes
 * the parts that are not fixed (`{{instance}}`, `{{env.HOME}}`). Splitting into words works on the letters, as in
 * supervisord; what comes out is written with the templates again, and each letter still knows its place in the file.
 */

import { lastNotAbove } from './offsets.ts';

export interface Piece {
  /** What it amounts to now; for a process number, the number of the first process. */
  readonly text: string;
  /** How Steward writes it; undefined is plain text. */
  readonly template?: string;
  /** Differs between the processes of a program. */
  readonly varies?: boolean;
  /** The part of the option's value it comes from. Plain text of the same length maps letter by letter. */
  readonly from: number;
  readonly length: number;
}

export interface Filled {
  readonly text: string;
  /** Without empty ones. */
  readonly pieces: readonly Piece[];
  /** Where each piece starts in `text`: values may be long, and every word of them asks. */
  readonly starts: readonly number[];
}

/** Plain text as it stands in an option. */
export const plain = (text: string): Filled => filled([{ text, from: 0, length: text.length }]);

/** The pieces one after the other. */
export function filled(pieces: readonly Piece[]): Filled {
  const kept = pieces.filter(({ text }) => text !== '');
  const starts: number[] = [];
  let end = 0;
  for (const { text } of kept) {
    starts.push(end);
    end += text.length;
  }
  return { text: kept.map(({ text }) => text).join(''), pieces: kept, starts };
}

/** `piece` cut to the letters from `start` to `end`: a template survives whole or becomes the text it amounts to. */
function cut(piece: Piece, start: number, end: number): Piece {
  if (start === 0 && end === piece.text.length) return piece;
  const text = piece.text.slice(start, end);
  const varies = piece.varies === true;
  return piece.text.length === piece.length && piece.template === undefined
    ? { text, from: piece.from + start, length: end - start, varies }
    : { text, from: piece.from, length: piece.length, varies };
}

/** Adds the letters from `from` to `to` to `parts`. */
export function addSlice(parts: Piece[], { pieces, starts }: Filled, from: number, to: number): void {
  for (let at = lastNotAbove(starts, from); at < pieces.length && (starts[at] as number) < to; at++) {
    const piece = pieces[at] as Piece;
    const start = starts[at] as number;
    const end = Math.min(start + piece.text.length, to);
    if (end > from) parts.push(cut(piece, Math.max(0, from - start), end - start));
  }
}

/** The letters from `from` to `to`. */
export function slice(value: Filled, from: number, to: number): Filled {
  const parts: Piece[] = [];
  addSlice(parts, value, from, to);
  return filled(parts);
}

/** The letters at `indexes`, which ascend. */
export function pick(value: Filled, indexes: readonly number[]): Filled {
  const parts: Piece[] = [];
  for (let i = 0; i < indexes.length; ) {
    let run = i + 1;
    while (run < indexes.length && indexes[run] === (indexes[run - 1] as number) + 1) run++;
    addSlice(parts, value, indexes[i] as number, (indexes[run - 1] as number) + 1);
    i = run;
  }
  return filled(parts);
}

/** The value as Steward's template language writes it: a literal `{{` is `{{{{`. */
export function toTemplate({ pieces }: Filled): string {
  let out = '';
  let text = '';
  const flush = (): void => {
    out += text.replaceAll('{{', '{{{{');
    text = '';
  };
  for (const piece of pieces) {
    if (piece.template === undefined) text += piece.text;
    else {
      flush();
      out += piece.template;
    }
  }
  flush();
  return out;
}

/** The same letters, all said to come from one place: for a value used inside another option. */
export const placedAt = (value: Filled, from: number, length: number): Piece[] => value.pieces.map((piece) => ({ ...piece, from, length }));

export const variesIn = ({ pieces }: Filled): boolean => pieces.some(({ varies }) => varies === true);

/** Where `length` letters at `index` come from, in the option's value. */
export function sourceOf({ pieces, starts }: Filled, index: number, length: number): { readonly from: number; readonly length: number } {
  const at = lastNotAbove(starts, index);
  const piece = pieces[at];
  if (piece === undefined) return { from: 0, length };
  const inside = index - (starts[at] as number);
  if (inside >= piece.text.length) return { from: piece.from + piece.length, length };
  const exact = piece.template === undefined && piece.text.length === piece.length;
  return exact ? { from: piece.from + inside, length } : { from: piece.from, length: piece.length };
}
