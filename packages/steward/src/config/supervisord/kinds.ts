/** The kinds of section a supervisord file may have, with their options and what Steward does with each. */

import { nearest } from '../near.ts';
import { daemonOptions } from './daemon.ts';
import type { Document, Section } from './document.ts';
import { programOptions, socketOptions } from './options.ts';
import { type Report, say } from './report.ts';

interface Kind {
  readonly title: string;
  /** Followed by a colon and a name. */
  readonly named: 'always' | 'never' | 'may';
  /** Undefined: options are the business of a plugin. */
  readonly options?: readonly string[];
  /** Why the section is not taken over, and what to do. */
  readonly instead?: readonly [message: string, hint: string];
  /** Sections that need no such word. */
  readonly taken?: readonly string[];
}

const socket = ['username', 'password'];
const kinds: readonly Kind[] = [
  { title: 'program', named: 'always', options: programOptions },
  { title: 'fcgi-program', named: 'always', options: [...programOptions, ...socketOptions] },
  { title: 'group', named: 'always', options: ['programs', 'priority'] },
  { title: 'include', named: 'never', options: ['files'] },
  { title: 'supervisord', named: 'never', options: daemonOptions },
  {
    title: 'eventlistener',
    named: 'always',
    options: [...programOptions, 'buffer_size', 'events', 'result_handler'],
    instead: ['Steward does not speak the event listener protocol', 'Follow the events of Steward with a program of your own instead.'],
  },
  {
    title: 'unix_http_server',
    named: 'may',
    options: [...socket, 'file', 'chmod', 'chown'],
  },
  {
    title: 'inet_http_server',
    named: 'may',
    options: [...socket, 'port'],
  },
  // supervisorctl reads this one itself.
  { title: 'supervisorctl', named: 'never', options: [...socket, 'serverurl', 'prompt', 'history_file'] },
  {
    title: 'rpcinterface',
    named: 'always',
    instead: ['Steward has the interface of supervisord, and takes no plugins', 'Ask Steward by its own API for what is missing.'],
    taken: ['rpcinterface:supervisor'],
  },
  {
    title: 'ctlplugin',
    named: 'always',
    instead: ['supervisorctl plugins do not run in `steward`', 'Use the commands of `steward` instead.'],
  },
];

function kindOf(name: string): Kind | undefined {
  return kinds.find(({ title, named }) => (named !== 'always' && name === title) || (named !== 'never' && name.startsWith(`${title}:`)));
}

function sayUnknownSection(report: Report, { name, at }: Section): void {
  const colon = name.indexOf(':');
  const [head, tail] = colon === -1 ? [name, ''] : [name.slice(0, colon), name.slice(colon)];
  const near = nearest(
    head.trim(),
    kinds.map(({ title }) => title),
  );
  const guess =
    near === undefined
      ? undefined
      : tail === '' && kinds.find(({ title }) => title === near)?.named === 'always'
        ? `${near}:NAME`
        : near + tail;
  const hint = guess === undefined ? 'supervisord ignores it too; remove it if nothing else reads it.' : `Did you mean [${guess}]?`;
  say(report, 'warning', 'config/unknown-section', at, `[${name}] is no section of supervisord and is ignored`, hint);
}

function sayUnknownOptions(report: Report, section: Section, known: readonly string[]): void {
  for (const option of section.options.values()) {
    if (known.includes(option.key)) continue;
    const near = nearest(option.key, known);
    const hint = near === undefined ? 'supervisord ignores it too; remove it.' : `Did you mean "${near}"?`;
    say(report, 'warning', 'config/unknown-option', option.keyAt, `[${section.name}] has no option "${option.key}": it is ignored`, hint);
  }
}

/** Names sections and options that supervisord does not know, and sections Steward does not take over. */
export function reviewSections(document: Document, report: Report): void {
  for (const section of document.sections.values()) {
    const kind = kindOf(section.name);
    if (kind === undefined) {
      // A header without a name was reported when its line was read.
      if (section.name !== '') sayUnknownSection(report, section);
      continue;
    }
    if (kind.options !== undefined) sayUnknownOptions(report, section, kind.options);
    if (kind.instead !== undefined && !kind.taken?.includes(section.name))
      say(report, 'note', 'config/not-taken-over', section.at, `[${section.name}]: ${kind.instead[0]}`, kind.instead[1]);
  }
  sayUnknownOptions(
    report,
    document.defaults,
    kinds.flatMap(({ options = [] }) => options),
  );
}

/** Whether a header belongs to supervisord. */
export const isKnownHeader = (name: string): boolean => kindOf(name) !== undefined;
