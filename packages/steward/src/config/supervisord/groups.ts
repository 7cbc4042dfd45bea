/** [group:x] sections: which programs belong together, and when the group starts among the others. */

import { nearest } from '../near.ts';
import type { Position } from '../problem.ts';
import { type Document, optionOf, type Section } from './document.ts';
import { valuePlace } from './ini.ts';
import { simpleOptions } from './options.ts';
import { type Membership, ownPriority } from './program.ts';
import { strip } from './python-text.ts';
import { type Context, readText, readValue, type TextOption } from './reading.ts';
import { placeOfLetters, say } from './report.ts';

/** The name after the colon of a header, when supervisord would take it; else undefined, and the report says why. */
export function readName(context: Context): string | undefined {
  const { section, report } = context;
  const name = strip(section.name.slice(section.name.indexOf(':') + 1));
  const bad = /[ :/]/.exec(name);
  if (name !== '' && bad === null) return name;
  const message = bad === null ? `[${section.name}] has no name` : `the name "${name}" holds "${bad[0]}", which no name may`;
  say(report, 'error', 'config/bad-name', section.at, message, 'Write a name without blanks, colons and slashes, such as [program:web].');
  return undefined;
}

/** The program section a group names, or undefined with a problem. */
function findProgram(document: Document, context: Context, name: string, at: Position): Section | undefined {
  const plainProgram = document.sections.get(`program:${name}`);
  const socketProgram = document.sections.get(`fcgi-program:${name}`);
  const { section, report } = context;
  if (plainProgram !== undefined && socketProgram !== undefined) {
    const message = `[${section.name}] programs: "${name}" is both [program:${name}] and [fcgi-program:${name}]`;
    say(report, 'error', 'config/ambiguous-program', at, message, 'Give one of them another name.');
    return undefined;
  }
  if (plainProgram === undefined && socketProgram === undefined) {
    const known = [...document.sections.keys()].flatMap((each) => /^(?:fcgi-)?program:(.*)$/s.exec(each)?.[1] ?? []);
    const near = nearest(name, known);
    const message =
      name === ''
        ? `[${section.name}] programs: a name is missing beside a comma`
        : `[${section.name}] programs: there is no program "${name}"`;
    const hint = near === undefined ? 'Name programs of this file and its includes, with commas between.' : `Did you mean "${near}"?`;
    say(report, 'error', 'config/unknown-program', at, message, hint);
  }
  return plainProgram ?? socketProgram;
}

/** The program sections that `programs` lists, each once, with the place of its name. */
function readMembers(context: Context, { option, value }: TextOption): ReadonlyMap<Section, Position> {
  const members = new Map<Section, Position>();
  let from = 0;
  for (const part of value.text === '' ? [] : value.text.split(',')) {
    const name = strip(part);
    const place = placeOfLetters(option, value, from + part.indexOf(name), Math.max(1, name.length));
    const member = findProgram(context.document, context, name, place);
    if (member !== undefined) members.set(member, place);
    from += part.length + 1;
  }
  return members;
}

function refuseSecond(context: Context, member: Section, at: Position, first: string): void {
  const message = `[${member.name}] is in the group ${first} and in [${context.section.name}]`;
  const hint = 'Copy the section under a second name, and put that one into this group.';
  say(context.report, 'error', 'config/program-in-two-groups', at, message, hint);
}

function readGroup(context: Context, contextOf: (section: Section) => Context, members: Map<Section, Membership>): void {
  const group = readName(context);
  const { section, report } = context;
  const priority = readValue(context, 'priority', simpleOptions.priority.parse, 999, 'file');
  const found = readText(context, 'programs', 'file');
  const named = found === undefined ? new Map<Section, Position>() : readMembers(context, found);
  if (named.size === 0 && (found === undefined || found.value.text === '')) {
    say(
      report,
      'warning',
      'config/empty-group',
      section.at,
      `[${section.name}] names no programs`,
      'Write programs = NAME,NAME or remove the section.',
    );
  }
  if (group === undefined) return;
  const own = new Map([...named.keys()].map((member) => [member, ownPriority(contextOf(member))]));
  // A group starts as a whole at its own priority; those of its programs only order them among themselves.
  const ranks = [...new Set(own.values())].toSorted((a, b) => a - b);
  if (ranks.length > 1) {
    const message = `[${section.name}]: the priorities of its programs become ${ranks.map((_, rank) => priority + rank).join(', ')}`;
    say(
      report,
      'note',
      'config/group-priority',
      section.at,
      message,
      "supervisord starts a group at the group's priority, whatever those of its programs.",
    );
  }
  const set = optionOf(context.document, section, 'priority');
  const at = set === undefined ? section.at : valuePlace(set);
  for (const [member, value] of own) {
    const earlier = members.get(member);
    if (earlier === undefined) members.set(member, { group, priority: priority + ranks.indexOf(value), at });
    else refuseSecond(context, member, named.get(member) ?? section.at, earlier.group);
  }
}

/** The group of every program that is in one. */
export function readGroups(document: Document, contextOf: (section: Section) => Context): ReadonlyMap<Section, Membership> {
  const members = new Map<Section, Membership>();
  for (const section of document.sections.values()) {
    if (section.name.startsWith('group:')) readGroup(contextOf(section), contextOf, members);
  }
  return members;
}
