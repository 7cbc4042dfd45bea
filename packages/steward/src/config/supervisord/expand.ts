/**
 * Fills in `%(name)s`: Python's %-formatting with a dictionary, as supervisord applies it to its options
 * (options.py, `expand`). Text without a name after `%` is refused, where Python would print the whole dictionary.
 */

import { nearest } from '../near.ts';
import type { SupervisordCode } from './codes.ts';
import { addSlice, type Filled, filled, type Piece, placedAt, slice } from './filled.ts';

/** What a name stands for. */
export type Filling =
  | { readonly kind: 'text'; readonly value: Filled }
  /** `template` is the name Steward's templates know it by; `padded`: that name takes `:02d`. */
  | { readonly kind: 'number'; readonly value: number; readonly template: string; readonly padded: boolean; readonly varies: boolean };

/** What may be filled in at some place. */
export interface Names {
  find(name: string): Filling | undefined;
  /** All names, for advice. */
  all(): readonly string[];
}

/** A mistake in a value, by offsets into the option's value. */
export interface Fault {
  readonly from: number;
  readonly length: number;
  readonly code: SupervisordCode;
  readonly message: string;
  readonly hint: string;
}

interface Spec {
  readonly name: string;
  readonly flags: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly conversion: string;
}

type Scanned = { readonly length: number } & ({ readonly spec: Spec } | { readonly wrong: string; readonly hint: string });

/** No name, path or number needs more; without a limit one line could ask for gigabytes. */
const widestField = 200;
const percentHint = 'Write %% for a percent sign, or %(name)s with one of the names supervisord knows.';

/** Longer names are not looked for: an unclosed one would be sought to the end of the value, again and again. */
const longestName = 300;

/** The end of the name that opens at `open`, parentheses nested; -1 when it does not end. */
function closingParenthesis(text: string, open: number): number {
  for (let at = open, depth = 0; at < Math.min(text.length, open + longestName); at++) {
    if (text[at] === '(') depth++;
    else if (text[at] === ')' && --depth === 0) return at;
  }
  return -1;
}

/** Reads what starts with the `%` at `from`, which is not `%%`. */
function scan(text: string, from: number): Scanned {
  if (text[from + 1] !== '(') return { length: 1, wrong: 'a lone "%" is not allowed', hint: percentHint };
  const close = closingParenthesis(text, from + 1);
  if (close === -1) {
    const length = /^[^\n\s]*/.exec(text.slice(from))?.[0].length ?? 1;
    return { length, wrong: `"${text.slice(from, from + length)}" has no closing parenthesis`, hint: 'Write %(name)s.' };
  }
  const name = text.slice(from + 2, close);
  const [whole, flags, width, precision, conversion] = /^([-+ #0]*)(\d*)(?:\.(\d*))?[hlL]?(.?)/su.exec(
    text.slice(close + 1),
  ) as unknown as [string, string, string, string | undefined, string];
  const length = close + 1 - from + whole.length;
  const shown = text.slice(from, from + length).trimEnd();
  if (conversion === '') return { length, wrong: `"${shown}" is not finished`, hint: `Write %(${name})s.` };
  if (!'sdiu'.includes(conversion)) {
    const done = close + 1 - from;
    return {
      length: done,
      wrong: `"${text.slice(from, from + done)}" is followed by "${conversion}"`,
      hint: `Write %(${name})s; numbers also take d, as in %(process_num)02d.`,
    };
  }
  if (Number(width) > widestField || Number(precision ?? 0) > widestField) {
    return { length, wrong: `"${shown}" is wider than ${widestField} characters`, hint: 'Write a smaller width.' };
  }
  return {
    length,
    spec: { name, flags, width: Number(width), precision: precision === undefined ? undefined : Number(precision), conversion },
  };
}

const pad = (text: string, { flags, width }: Spec): string => (flags.includes('-') ? text.padEnd(width) : text.padStart(width));

function formatText(text: string, spec: Spec): string {
  return pad(spec.precision === undefined ? text : [...text].slice(0, spec.precision).join(''), spec);
}

function formatNumber(value: number, spec: Spec): string {
  if (spec.conversion === 's') return formatText(String(value), spec);
  const sign = value < 0 ? '-' : spec.flags.includes('+') ? '+' : spec.flags.includes(' ') ? ' ' : '';
  const digits = String(Math.abs(value)).padStart(spec.precision ?? 0, '0');
  const zeros = spec.flags.includes('0') && !spec.flags.includes('-');
  return pad(sign + (zeros ? digits.padStart(spec.width - sign.length, '0') : digits), spec);
}

/** How Steward's templates write a number in this format, or undefined when they cannot. */
function numberTemplate({ template, padded }: Filling & { kind: 'number' }, spec: Spec): string | undefined {
  const { flags, width, precision = 0, conversion } = spec;
  if (conversion === 's' && spec.precision !== undefined) return undefined;
  if (width <= 1 && precision <= 1 && !/[+ ]/.test(flags)) return `{{${template}}}`;
  if (!padded || conversion === 's' || /[-+ ]/.test(flags)) return undefined;
  if (precision > 1 && width <= precision) return `{{${template}:0${precision}d}}`;
  return flags.includes('0') && precision <= 1 ? `{{${template}:0${width}d}}` : undefined;
}

interface Place {
  readonly from: number;
  readonly length: number;
}

function fillNumber(filling: Filling & { kind: 'number' }, spec: Spec, place: Place): Piece[] | Fault {
  const text = formatNumber(filling.value, spec);
  const template = numberTemplate(filling, spec);
  if (template !== undefined) return [{ ...place, text, template, varies: filling.varies }];
  if (!filling.varies) return [{ ...place, text }];
  const message = `Steward cannot write ${spec.name} in this format`;
  return { ...place, code: 'config/bad-expansion', message, hint: `Write %(${spec.name})s, or %(${spec.name})02d for leading zeros.` };
}

function fill(filling: Filling, spec: Spec, place: Place): Piece[] | Fault {
  if (filling.kind === 'number') return fillNumber(filling, spec, place);
  if (spec.conversion !== 's') {
    const message = `${spec.name} is a text, and "${spec.conversion}" writes numbers`;
    return { ...place, code: 'config/bad-expansion', message, hint: `Write %(${spec.name})s.` };
  }
  if (spec.width === 0 && spec.precision === undefined) return placedAt(filling.value, place.from, place.length);
  return [{ ...place, text: formatText(filling.value.text, spec) }];
}

function unsetVariable(variable: string, names: Names, place: Place): Fault {
  const set = names.all().flatMap((known) => (known.startsWith('ENV_') ? known.slice(4) : []));
  const near = nearest(variable, set);
  const guess = near === undefined ? '' : ` Did you mean %(ENV_${near})s?`;
  const hint = `Set ${variable} where Steward is started, or in environment= of [supervisord].${guess}`;
  return { ...place, code: 'config/unset-variable', message: `the environment variable ${variable} is not set`, hint };
}

function unknownName(name: string, names: Names, place: Place): Fault {
  if (name.startsWith('ENV_')) return unsetVariable(name.slice(4), names, place);
  const known = names.all().filter((each) => !each.startsWith('ENV_'));
  const near = nearest(name, known);
  const hint = `Use one of: ${known.join(', ')}, ENV_NAME.${near === undefined ? '' : ` Did you mean "${near}"?`}`;
  return { ...place, code: 'config/unknown-name', message: `"${name}" cannot be filled in here`, hint };
}

function expandAt(scanned: Scanned, names: Names, place: Place): Piece[] | Fault {
  if ('wrong' in scanned) return { ...place, code: 'config/bad-expansion', message: scanned.wrong, hint: scanned.hint };
  const filling = names.find(scanned.spec.name);
  return filling === undefined ? unknownName(scanned.spec.name, names, place) : fill(filling, scanned.spec, place);
}

/** The part of the option's value that the letters from `from` come from. */
function placeOf(value: Filled, from: number, length: number): Place {
  const { pieces } = slice(value, from, from + length);
  const first = pieces[0]?.from ?? 0;
  const last = pieces.at(-1);
  return { from: first, length: last === undefined ? 1 : last.from + last.length - first };
}

/**
 * `value` with every `%(name)s` filled in and `%%` made `%`, and all mistakes found on the way; what is wrong stays out of
 * the result. Never throws.
 */
export function expand(value: Filled, names: Names): { readonly value: Filled; readonly faults: readonly Fault[] } {
  const pieces: Piece[] = [];
  const faults: Fault[] = [];
  let done = 0;
  for (let at = value.text.indexOf('%'); at !== -1; at = value.text.indexOf('%', done)) {
    addSlice(pieces, value, done, at);
    const twice = value.text[at + 1] === '%';
    const scanned = twice ? undefined : scan(value.text, at);
    const length = scanned?.length ?? 2;
    const place = placeOf(value, at, length);
    const found = scanned === undefined ? [{ ...place, text: '%' }] : expandAt(scanned, names, place);
    if (Array.isArray(found)) for (const piece of found) pieces.push(piece);
    else faults.push(found as Fault);
    done = at + length;
  }
  addSlice(pieces, value, done, value.text.length);
  return { value: filled(pieces), faults };
}
