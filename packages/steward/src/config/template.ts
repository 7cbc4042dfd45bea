/**
 * `{{name}}` in texts of a configuration. `{{name:02d}}` pads a number, `{{{{` writes two braces. Pure.
 */
import { didYouMean } from './near.ts';

export interface Rendered {
  readonly text: string;
  /** Names that were used. */
  readonly used: readonly string[];
  /** What is wrong, in words, with where in the text it stands (0-based). */
  readonly mistakes: readonly { readonly message: string; readonly hint: string; readonly offset: number; readonly length: number }[];
}

/** What a name stands for: a value, or why it has none. */
export type Lookup = (
  name: string,
) => { readonly value: string | number } | { readonly missing: string; readonly hint: string } | undefined;

const pattern = /\{\{\{\{|\{\{\s*([^{}]*?)\s*\}\}/g;

/** To two digits of width: no name needs more, and a longer one could ask for gigabytes. */
function pad(value: string | number, format: string | undefined): string {
  const width = format === undefined ? undefined : /^(0?)(\d{0,2})d?$/.exec(format);
  return width?.[2] ? String(value).padStart(Number(width[2]), width[1] ? '0' : ' ') : String(value);
}

/** Replaces every name; a name that has no value stays as written and is told. `known` feeds "did you mean". */
export function render(text: string, lookup: Lookup, known: readonly string[]): Rendered {
  const used: string[] = [];
  const mistakes: { message: string; hint: string; offset: number; length: number }[] = [];
  const rendered = text.replace(pattern, (whole: string, inner: string | undefined, offset: number) => {
    if (inner === undefined) return '{{';
    const [, name = '', format] = /^([^:]*)(?::(.*))?$/.exec(inner) ?? [];
    used.push(name);
    const found = lookup(name);
    if (found !== undefined && 'value' in found) return pad(found.value, format);
    const message = found?.missing ?? `there is no {{${name}}}`;
    const hint = found?.hint ?? `Use one of: ${known.map((word) => `{{${word}}}`).join(', ')}.${didYouMean(name, known)}`;
    mistakes.push({ message, hint, offset, length: whole.length });
    return whole;
  });
  return { text: rendered, used, mistakes };
}
