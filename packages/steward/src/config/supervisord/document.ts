/** A supervisord file with its includes, merged the way supervisord merges them: what is read later wins. */
import { dirname, resolve } from 'node:path';
import type { Surroundings } from '../format.ts';
import type { Position, Source } from '../problem.ts';
import { expand } from './expand.ts';
import { plain } from './filled.ts';
import { type IniOption, type IniSection, parseIni } from './ini.ts';
import { hereOf, namesOf } from './names.ts';
import { wordsOf } from './python-text.ts';
import { placeOfLetters, type Report, say, sayFaults } from './report.ts';

export interface Section {
  readonly name: string;
  /** The header. */
  readonly at: Position;
  /** By key, in the order of their first mention. */
  readonly options: Map<string, IniOption>;
}

export interface Document {
  /** By name, in the order of their first mention; `DEFAULT` is not among them. */
  readonly sections: Map<string, Section>;
  /** [DEFAULT]: values for every section that does not set them. */
  readonly defaults: Section;
  readonly sources: Source[];
}

/** The option as its section or [DEFAULT] sets it. */
export const optionOf = (document: Document, section: Section, key: string): IniOption | undefined =>
  section.options.get(key) ?? document.defaults.options.get(key);

const sameFile = (a: Position, b: Position): string => (a.file === b.file ? '' : ` of ${b.file}`);

function mergeOption(report: Report, section: Section, option: IniOption): void {
  const earlier = section.options.get(option.key);
  if (earlier !== undefined) {
    const message = `[${section.name}] sets ${option.key} twice: this value counts`;
    const hint = `Remove this line or line ${earlier.keyAt.line}${sameFile(option.keyAt, earlier.keyAt)}.`;
    say(report, 'warning', 'config/duplicate-option', option.keyAt, message, hint);
  }
  section.options.set(option.key, option);
}

function mergeSection(report: Report, document: Document, incoming: IniSection): void {
  const { name, at } = incoming;
  let section = name === 'DEFAULT' ? document.defaults : document.sections.get(name);
  if (section === undefined) {
    section = { name, at, options: new Map() };
    document.sections.set(name, section);
  } else if (section !== document.defaults) {
    const message = `[${name}] stands twice: both are read as one section`;
    const hint = `Put its options together, at line ${section.at.line}${sameFile(at, section.at)}, or give this one another name.`;
    say(report, 'warning', 'config/duplicate-section', at, message, hint);
  }
  for (const option of incoming.options) mergeOption(report, section, option);
}

function readFile(report: Report, document: Document, source: Source, isIncluded: boolean): void {
  document.sources.push(source);
  const { sections, problems } = parseIni(source);
  for (const problem of problems) report.problems.push(problem);
  for (const section of sections) {
    if (!isIncluded || section.name !== 'include') mergeSection(report, document, section);
    else {
      const message = '[include] in an included file is ignored, as in supervisord';
      say(report, 'note', 'config/nested-include', section.at, message, `Name the files in [include] of ${document.sources[0]?.file}.`);
    }
  }
}

/** Reads the files one pattern of `files` matches. */
function includePattern(report: Report, document: Document, around: Surroundings, pattern: string, at: Position): void {
  const main = (document.sources[0] as Source).file;
  const found = around.open(pattern, hereOf(main));
  if (found.length === 0) {
    say(
      report,
      'warning',
      'config/nothing-included',
      at,
      `[include] files: no file matches "${pattern}"`,
      `Patterns are relative to ${dirname(main)}.`,
    );
  }
  for (const source of found) {
    const read = document.sources.some(({ file }) => resolve(file) === resolve(source.file));
    if (!read) readFile(report, document, source, true);
    else
      say(
        report,
        'warning',
        'config/included-twice',
        at,
        `"${pattern}" names ${source.file}, which was read already`,
        'It is read once; name it once.',
      );
  }
}

function readIncludes(report: Report, document: Document, around: Surroundings): void {
  const include = document.sections.get('include');
  if (include === undefined) return;
  const option = optionOf(document, include, 'files');
  if (option === undefined) {
    say(
      report,
      'error',
      'config/missing-option',
      include.at,
      '[include] has no files',
      'Write files = conf.d/*.conf, or remove the section.',
    );
    return;
  }
  const { value, faults } = expand(plain(option.text), namesOf({ option, env: new Map(), around }, 'machine'));
  sayFaults(report, 'include', option, faults);
  if (faults.length > 0) return;
  for (const { text, from } of wordsOf(value.text))
    includePattern(report, document, around, text, placeOfLetters(option, value, from, text.length));
}

/** All sections of `source` and of the files it includes. Mistakes of the lines and of [include] go to `report`. */
export function readDocument(source: Source, around: Surroundings, report: Report): Document {
  const start: Position = { file: source.file, line: 1, column: 1, length: 1 };
  const document: Document = { sections: new Map(), defaults: { name: 'DEFAULT', at: start, options: new Map() }, sources: [] };
  readFile(report, document, source, false);
  readIncludes(report, document, around);
  return document;
}
