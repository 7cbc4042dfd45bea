/** Reads one option of a section: looks it up, fills in its names, parses it, and remembers where it stands. */
import type { Surroundings } from '../format.ts';
import { pointerStep } from '../problem.ts';
import { type Document, optionOf, type Section } from './document.ts';
import { expand } from './expand.ts';
import { type Filled, pick, plain, sourceOf, variesIn } from './filled.ts';
import { type IniOption, placeIn, valuePlace } from './ini.ts';
import { namesOf, type ProgramNames, type Stage, type Variables } from './names.ts';
import { optionName, placeOfLetters, type Report, say, sayFaults, saySlip, sayWrong } from './report.ts';
import type { Parse } from './values.ts';
import { splitPairs } from './words.ts';

/** A section being read, and what its options may refer to. */
export interface Context {
  readonly document: Document;
  readonly section: Section;
  readonly around: Surroundings;
  readonly report: Report;
  readonly env: Variables;
  readonly program?: ProgramNames;
}

export interface TextOption {
  readonly option: IniOption;
  readonly value: Filled;
}

const twiceHint = 'supervisord fills in this option twice: write %%%% for a percent sign.';

/** An option with its names filled in, once for each of `stages`; undefined when it is not set, or wrong (which is reported). */
export function readText(context: Context, key: string, ...stages: readonly Stage[]): TextOption | undefined {
  const { document, section, report } = context;
  const option = optionOf(document, section, key);
  if (option === undefined) return undefined;
  let value = plain(option.text);
  for (const [pass, stage] of stages.entries()) {
    const done = expand(value, namesOf({ ...context, option }, stage));
    const faults =
      pass === 0
        ? done.faults
        : done.faults.map((fault) => (fault.code === 'config/bad-expansion' ? { ...fault, hint: twiceHint } : fault));
    sayFaults(report, section.name, option, faults);
    if (done.faults.length > 0) return undefined;
    value = done.value;
  }
  return { option, value };
}

/** The value of an option, or `fallback` when it is not set or wrong (which is reported). */
export function readValue<T>(context: Context, key: string, parse: Parse<T>, fallback: T, stage: Stage): T {
  const found = readText(context, key, stage);
  if (found === undefined) return fallback;
  const { option, value } = found;
  const { section, report } = context;
  if (variesIn(value)) {
    const message = `${optionName(section.name, option)}: differs between the processes`;
    say(
      report,
      'error',
      'config/per-process-value',
      valuePlace(option),
      message,
      'Write one value for all, or split the program into several.',
    );
    return fallback;
  }
  const parsed = parse(value.text);
  if ('value' in parsed) return parsed.value;
  sayWrong(report, section.name, option, value, parsed);
  return fallback;
}

/** Remembers that the value at `pointer` comes from option `key` of the section, when that is set. */
export function markOrigin(context: Context, pointer: string, key: string): void {
  const option = optionOf(context.document, context.section, key);
  if (option !== undefined) context.report.origins.set(pointer, valuePlace(option));
}

/** Says that a relative path starts elsewhere than in supervisord. */
export function noteRelative(context: Context, key: string, path: string): void {
  const { section, report, document } = context;
  const option = optionOf(document, section, key);
  const message = `[${section.name}] ${key}: "${path}" starts from the folder of the file; in supervisord from the folder it runs in`;
  say(
    report,
    'note',
    'config/relative-path',
    option === undefined ? section.at : valuePlace(option),
    message,
    'Write the whole path to be sure.',
  );
}

export interface Variable {
  readonly name: string;
  readonly value: Filled;
}

function readPair(
  context: Context,
  { option, value }: TextOption,
  pointer: string,
  name: readonly number[],
  letters: readonly number[],
): Variable | undefined {
  const { report, section } = context;
  const named = pick(value, name);
  const place = placeOfLetters(option, value, name[0] as number, name.length);
  if (variesIn(named)) {
    const message = `${optionName(section.name, option)}: the name ${named.text} differs between the processes`;
    say(report, 'error', 'config/per-process-value', place, message, 'Put %(process_num)d into the value only.');
    return undefined;
  }
  if (/["']/.test(named.text)) {
    const message = `${optionName(section.name, option)}: the quotes become part of the name ${named.text}`;
    say(report, 'warning', 'config/quoted-name', place, message, 'Write the name without quotes.');
  }
  const first = letters[0];
  const source = first === undefined ? undefined : sourceOf(value, first, letters.length);
  report.origins.set(pointer + pointerStep(named.text), source === undefined ? place : placeIn(option, source.from, source.length));
  return { name: named.text, value: pick(value, letters) };
}

/** The variables of `environment`, the last of equal names; their places are remembered below `pointer`. */
export function readEnvironment(context: Context, pointer: string, ...stages: readonly Stage[]): readonly Variable[] {
  const found = readText(context, 'environment', ...stages);
  if (found === undefined) return [];
  markOrigin(context, pointer, 'environment');
  const pairs = splitPairs(found.value.text);
  if ('slip' in pairs) {
    saySlip(context.report, context.section.name, found.option, found.value, pairs.slip);
    return [];
  }
  const variables = new Map<string, Variable>();
  for (const { name, value } of pairs.value) {
    const variable = readPair(context, found, pointer, name, value);
    if (variable !== undefined) variables.set(variable.name, variable);
  }
  return [...variables.values()];
}
