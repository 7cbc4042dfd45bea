/** Collects problems and places while a supervisord file is read. */
import type { Position, Problem, Severity } from '../problem.ts';
import type { SupervisordCode } from './codes.ts';
import type { Fault } from './expand.ts';
import { type Filled, sourceOf } from './filled.ts';
import { hasComment, type IniOption, placeIn } from './ini.ts';
import type { Wrong } from './values.ts';
import type { Slip } from './words.ts';

export interface Report {
  readonly problems: Problem<SupervisordCode>[];
  /** Places by JSON pointer into the result. */
  readonly origins: Map<string, Position>;
}

export function say(report: Report, severity: Severity, code: SupervisordCode, at: Position, message: string, hint: string): void {
  report.problems.push({ severity, code, message, hint, at });
}

/** `[program:web] command`, as problems name an option. */
export const optionName = (section: string, option: IniOption): string => `[${section}] ${option.key}`;

/** The place of `length` letters at `index` of a filled value, in the file. */
export function placeOfLetters(option: IniOption, value: Filled, index: number, length: number): Position {
  const source = sourceOf(value, index, length);
  return option.text === '' ? option.keyAt : placeIn(option, source.from, source.length);
}

export function sayFaults(report: Report, section: string, option: IniOption, faults: readonly Fault[]): void {
  for (const { from, length, code, message, hint } of faults) {
    say(report, 'error', code, placeIn(option, from, length), `${optionName(section, option)}: ${message}`, hint);
  }
}

export function sayWrong(report: Report, section: string, option: IniOption, value: Filled, wrong: Wrong): void {
  const place = placeOfLetters(option, value, wrong.from ?? 0, wrong.length ?? value.text.length);
  say(report, 'error', wrong.code, place, `${optionName(section, option)}: ${wrong.message}`, wrong.hint);
}

const commentHint =
  ' White space and ; or # start a comment even inside quotes: this line is cut there. Remove the white space, or put the text into a script.';

export function saySlip(report: Report, section: string, option: IniOption, value: Filled, slip: Slip): void {
  const code = slip.unclosed ? 'config/unclosed-quote' : option.key === 'environment' ? 'config/bad-environment' : 'config/bad-command';
  const hint = slip.unclosed && hasComment(option) ? `${slip.hint}${commentHint}` : slip.hint;
  say(report, 'error', code, placeOfLetters(option, value, slip.at, slip.length), `${optionName(section, option)}: ${slip.message}`, hint);
}
