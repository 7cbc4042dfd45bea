/**
 * What is wrong with an input, and how it is told: every problem of every file at once, each with its place, the
 * offending text and what to write instead.
 */

import { harmless, widthOf } from './terminal.ts';

/** A span in a source text: 1-based line and column, and how many characters it covers (at least 1). */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

/**
 * `error` stops an apply; `warning` does not; `note` names something of a foreign file that Steward does not take over.
 */
export type Severity = 'error' | 'warning' | 'note';

/** Whoever makes problems narrows `Code` to the codes they declared, so that no other one can be told. */
export interface Problem<Code extends string = string> {
  readonly severity: Severity;
  /** `config/...` or `gateway/...`, listed in docs/errors.md. */
  readonly code: Code;
  /** What is wrong, in the words of the file: lowercase, quoting what was given. */
  readonly message: string;
  /** What to write instead, or what to do. */
  readonly hint?: string;
  readonly at?: Position;
}

/** A text that was read, under the name the user gave it. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

/** Where each value of a parsed file stands, by JSON pointer (`/services/web/restart`). */
export type Origins = ReadonlyMap<string, Position>;

/** The position of the value at `pointer`, else of its nearest ancestor that has one. */
export function originOf(origins: Origins, pointer: string): Position | undefined {
  for (let at = pointer; ; at = at.slice(0, at.lastIndexOf('/'))) {
    const found = origins.get(at);
    if (found !== undefined || at === '') return found;
  }
}

/** One step of a JSON pointer, escaped. */
export const pointerStep = (key: string | number): string => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`;

const order = (a: Problem, b: Problem): number =>
  (a.at?.file ?? '').localeCompare(b.at?.file ?? '') || (a.at?.line ?? 0) - (b.at?.line ?? 0) || (a.at?.column ?? 0) - (b.at?.column ?? 0);

/** A code frame: the line with a marker under the offending text, as wide as a terminal shows it. A tab stays one. */
function frame(at: Position, lines: readonly string[]): string[] {
  const line = lines[at.line - 1];
  if (line === undefined || line.length > 400) return [];
  const number = String(at.line);
  const before = line.slice(0, at.column - 1);
  const marks = '^'.repeat(Math.max(1, widthOf(line.slice(at.column - 1, at.column - 1 + at.length))));
  const lead = before.replace(/[^\t]+/g, (text) => ' '.repeat(widthOf(text)));
  return [`  ${number} | ${line}`, `  ${' '.repeat(number.length)} | ${lead}${marks}`];
}

/** `steward.yaml:4:11`; empty when there is no place. */
export const formatPlace = (at: Position | undefined): string => (at === undefined ? '' : `${at.file}:${at.line}:${at.column}`);

function formatOne(problem: Problem, linesOf: ReadonlyMap<string, readonly string[]>): string {
  const { at, severity, message, hint, code } = problem;
  const where = at === undefined ? '' : `${formatPlace(at)}  `;
  const kind = severity === 'error' ? '' : `${severity}: `;
  const lines = at === undefined ? undefined : linesOf.get(at.file);
  const advice = hint === undefined ? `  [${code}]` : `  ${hint}  [${code}]`;
  const frameLines = at && lines !== undefined ? frame(at, lines) : [];
  return [`${where}${kind}${message}`, ...frameLines, advice].map(harmless).join('\n');
}

/** All problems as text for a person, sorted by file and position, an empty line between two. */
export function formatProblems(problems: readonly Problem[], sources: readonly Source[]): string {
  const linesOf = new Map(sources.map(({ file, text }) => [file, text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)]));
  return problems
    .toSorted(order)
    .map((problem) => formatOne(problem, linesOf))
    .join('\n\n');
}

/** `3 errors, 1 warning`, leaving out what there is none of; `no problems` when there is nothing. */
export function countProblems(problems: readonly Problem[]): string {
  const count = (severity: Severity): string[] => {
    const n = problems.filter((problem) => problem.severity === severity).length;
    return n === 0 ? [] : [`${n} ${severity}${n === 1 ? '' : 's'}`];
  };
  const parts = [...count('error'), ...count('warning'), ...count('note')];
  return parts.length === 0 ? 'no problems' : parts.join(', ');
}

export const hasErrors = (problems: readonly Problem[]): boolean => problems.some(({ severity }) => severity === 'error');
