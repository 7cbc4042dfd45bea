/** Lines that supervisord reads as the rest of a value because they are indented, though they look like more than that. */
import type { Position } from '../problem.ts';
import type { Document } from './document.ts';
import type { IniOption } from './ini.ts';
import { isKnownHeader } from './kinds.ts';
import { programOptions } from './options.ts';
import { type Report, say } from './report.ts';

/** What an indented line looks like, or undefined when it may well be part of a value. */
function looksLike(text: string, key: string): string | undefined {
  const header = /^\[(.+)\]/.exec(text)?.[1];
  if (header !== undefined && isKnownHeader(header)) return `the section [${header}]`;
  const name = /^([a-z_]+)\s*[=:]/.exec(text)?.[1];
  return name !== undefined && key !== 'environment' && programOptions.includes(name) ? `the option ${name}` : undefined;
}

function checkOption(option: IniOption, section: string, report: Report): void {
  for (const { text, line, column } of option.lines.slice(1)) {
    const thing = looksLike(text, option.key);
    if (thing === undefined) continue;
    const at: Position = { file: option.keyAt.file, line, column, length: text.length };
    const message = `[${section}] ${option.key}: this line continues its value, though it looks like ${thing}`;
    say(report, 'warning', 'config/indented-line', at, message, `Indent it no deeper than ${option.key} above.`);
  }
}

/** Warns of sections and options that are lost in the value above them. */
export function checkLines(document: Document, report: Report): void {
  for (const section of [document.defaults, ...document.sections.values()]) {
    for (const option of section.options.values()) checkOption(option, section.name, report);
  }
}
