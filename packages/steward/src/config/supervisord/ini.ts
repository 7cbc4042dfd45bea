/**
 * The lines of a supervisord file, sorted into sections and options, each with its place.
 *
 * The rules are those of Python's RawConfigParser with the settings supervisord 4.2.5 gives it (`strict=False`, inline
 * comments by `;` and `#`), because a file must mean here what it means there:
 * - a comment starts at `;` or `#` at the start of a line or after white space, inside quotes too;
 * - a line indented deeper than its option continues the option's value;
 * - `=` or `:`, whichever comes first, ends the key; keys are lowercased.
 * A byte order mark and all three line endings are accepted.
 */
import type { Position, Problem, Source } from '../problem.ts';
import type { SupervisordCode } from './codes.ts';
import { lastNotAbove } from './offsets.ts';
import { isBlank, leadOf, strip, stripEnd } from './python-text.ts';

/** One line's share of a value. */
interface ValueLine {
  readonly text: string;
  readonly line: number;
  readonly column: number;
  /** A comment was cut off its end. */
  readonly commented: boolean;
}

export interface IniOption {
  /** Lowercase. */
  readonly key: string;
  readonly keyAt: Position;
  readonly lines: readonly ValueLine[];
  /** The value: its lines joined by newlines. */
  readonly text: string;
  /** Where each line starts in `text`. */
  readonly starts: readonly number[];
}

export interface IniSection {
  readonly name: string;
  readonly at: Position;
  /** As written: the same key may occur more than once, the later one counts. */
  readonly options: readonly IniOption[];
}

export interface IniFile {
  readonly sections: readonly IniSection[];
  readonly problems: readonly Problem<SupervisordCode>[];
}

interface OpenOption {
  readonly key: string;
  readonly keyAt: Position;
  readonly lines: ValueLine[];
}

interface OpenSection {
  readonly name: string;
  readonly at: Position;
  readonly options: OpenOption[];
}

interface State {
  readonly file: string;
  readonly sections: OpenSection[];
  readonly problems: Problem<SupervisordCode>[];
  option: OpenOption | undefined;
  indent: number;
  /** Lines before the first section are reported once. */
  strayReported: boolean;
}

/** A line without its comment. */
interface Line {
  readonly text: string;
  readonly number: number;
  readonly indent: number;
  readonly commented: boolean;
}

/**
 * Where the comment of a line starts, or undefined. The nth `;` and the nth `#` are looked at together and the first round
 * with a hit decides, so a `;` may survive in front of a `#` comment: RawConfigParser does the same.
 */
export function commentStart(line: string): number | undefined {
  const first = line[leadOf(line)];
  if (first === ';' || first === '#') return 0;
  let marks = [';', '#'].map((sign) => ({ sign, at: -1 }));
  while (marks.length > 0) {
    marks = marks.map(({ sign, at }) => ({ sign, at: line.indexOf(sign, at + 1) })).filter(({ at }) => at !== -1);
    const hits = marks.filter(({ at }) => at === 0 || isBlank(line[at - 1] as string));
    if (hits.length > 0) return Math.min(...hits.map(({ at }) => at));
  }
  return undefined;
}

const at = (state: State, line: Line, from = 0, length = line.text.length): Position => ({
  file: state.file,
  line: line.number,
  column: line.indent + from + 1,
  length: Math.max(1, length),
});

function openSection(state: State, line: Line, name: string, length: number): void {
  state.sections.push({ name, at: at(state, line, 0, length), options: [] });
  state.option = undefined;
}

/** A line that starts with `[`: a section header, or one with a mistake, after which reading goes on as if it were right. */
function readHeader(state: State, line: Line): void {
  const end = line.text.lastIndexOf(']');
  if (end < 2) {
    const name = line.text.slice(1).replace(/\].*$/s, '');
    state.problems.push({
      severity: 'error',
      code: 'config/bad-section',
      message: name === '' ? `"${line.text}" names no section` : `the section header "${line.text}" has no closing bracket`,
      hint: name === '' ? 'Write a name between the brackets, such as [program:web].' : `Write [${name}].`,
      at: at(state, line),
    });
    openSection(state, line, name, line.text.length);
    return;
  }
  const rest = line.text.slice(end + 1);
  if (strip(rest) !== '') {
    const lead = leadOf(rest);
    const message = `"${strip(rest)}" after a section header is ignored`;
    const hint = 'Write it on a line of its own.';
    state.problems.push({
      severity: 'warning',
      code: 'config/text-after-section',
      message,
      hint,
      at: at(state, line, end + 1 + lead, strip(rest).length),
    });
  }
  openSection(state, line, line.text.slice(1, end), end + 1);
}

function reportStray(state: State, line: Line): void {
  if (state.strayReported) return;
  state.strayReported = true;
  const message = `"${line.text}" stands before the first section`;
  const hint = 'Write a section header such as [program:web] above it.';
  state.problems.push({ severity: 'error', code: 'config/text-before-section', message, hint, at: at(state, line) });
}

function readOption(state: State, section: OpenSection, line: Line): void {
  const delimiter = line.text.search(/[=:]/);
  if (delimiter < 1) {
    const message = delimiter === 0 ? `"${line.text}" has no name before "${line.text[0]}"` : `"${line.text}" is no option`;
    const hint = 'Write NAME=VALUE; to continue the value of the line above, indent this line deeper.';
    state.problems.push({ severity: 'error', code: 'config/not-an-option', message, hint, at: at(state, line) });
    if (delimiter === 0) state.option = undefined;
    return;
  }
  const key = stripEnd(line.text.slice(0, delimiter));
  const rest = line.text.slice(delimiter + 1);
  const first = { text: strip(rest), line: line.number, column: line.indent + delimiter + leadOf(rest) + 2, commented: line.commented };
  state.option = { key: key.toLowerCase(), keyAt: at(state, line, 0, key.length), lines: [first] };
  section.options.push(state.option);
}

function readLine(state: State, raw: string, number: number): void {
  const comment = commentStart(raw);
  const text = strip(raw.slice(0, comment));
  if (text === '') {
    if (comment === undefined) state.option?.lines.push({ text: '', line: number, column: 1, commented: false });
    return;
  }
  const line: Line = { text, number, indent: leadOf(raw), commented: comment !== undefined };
  if (state.option !== undefined && line.indent > state.indent) {
    state.option.lines.push({ text, line: number, column: line.indent + 1, commented: line.commented });
    return;
  }
  state.indent = line.indent;
  const section = state.sections.at(-1);
  if (text.startsWith('[')) readHeader(state, line);
  else if (section === undefined) reportStray(state, line);
  else readOption(state, section, line);
}

/** An option whose value is complete: empty lines at its end do not belong to it. */
function closeOption({ key, keyAt, lines }: OpenOption): IniOption {
  const kept = lines.slice(0, lines.findLastIndex(({ text }) => text !== '') + 1);
  const starts: number[] = [];
  let end = 0;
  for (const { text } of kept) {
    starts.push(end);
    end += text.length + 1;
  }
  return { key, keyAt, lines: kept, text: kept.map(({ text }) => text).join('\n'), starts };
}

/** The sections of a file in their order, and what is wrong with its lines. Never throws. */
export function parseIni({ file, text }: Source): IniFile {
  const state: State = { file, sections: [], problems: [], option: undefined, indent: 0, strayReported: false };
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/);
  for (const [index, line] of lines.entries()) readLine(state, line, index + 1);
  const sections = state.sections.map((section) => ({ ...section, options: section.options.map(closeOption) }));
  return { sections, problems: state.problems };
}

/** The place of `length` characters at `from` in an option's value; no further than the end of that line. */
export function placeIn({ keyAt, lines, starts }: IniOption, from: number, length: number): Position {
  const at = lastNotAbove(starts, from);
  const line = lines[at];
  if (line === undefined) return keyAt;
  const inside = Math.min(from - (starts[at] as number), line.text.length);
  return {
    file: keyAt.file,
    line: line.line,
    column: line.column + inside,
    length: Math.max(1, Math.min(length, line.text.length - inside)),
  };
}

/** The place of an option's value: the first line that has any of it, or the key when there is no value. */
export function valuePlace(option: IniOption): Position {
  const lead = leadOf(option.text);
  return lead === option.text.length ? option.keyAt : placeIn(option, lead, option.text.length - lead);
}

/** Whether a comment was cut off any line of an option's value. */
export const hasComment = (option: IniOption): boolean => option.lines.some(({ commented }) => commented);
