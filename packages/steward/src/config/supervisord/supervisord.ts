/**
 * Reads supervisord's configuration files as they are, with the meaning supervisord 4.2.5 gives them. Pure: files and
 * environment come in as values.
 *
 *   ini.ts       lines → sections and options with places
 *   document.ts  includes and merging: what is read later wins
 *   expand.ts    %(process_num)02d → {{instance:02d}}, by names.ts; filled.ts keeps letters, templates and places together
 *   words.ts     command → words, environment → pairs;  values.ts, options.ts: everything else
 *   daemon.ts, groups.ts, program.ts, output.ts, socket.ts, servers.ts   a section each → steward.yaml's shape
 *   kinds.ts     what is unknown, and what Steward does not take over
 */
import type { Reader } from '../format.ts';
import type { FileSource } from '../sections/file.ts';
import type { ServiceSource } from '../sections/service.ts';
import { type Daemon, readDaemon } from './daemon.ts';
import { type Document, readDocument, type Section } from './document.ts';
import { readGroups, readName } from './groups.ts';
import { isKnownHeader, reviewSections } from './kinds.ts';
import { checkLines } from './lines.ts';
import { hereOf, type Variables } from './names.ts';
import { readProgram } from './program.ts';
import type { Context } from './reading.ts';
import { type Report, say } from './report.ts';
import { readServers } from './servers.ts';
import { reviewSocket } from './socket.ts';

function readServices(document: Document, contextOf: (section: Section) => Context): Record<string, ServiceSource> {
  const members = readGroups(document, contextOf);
  const services = new Map<string, ServiceSource>();
  for (const section of document.sections.values()) {
    const isSocket = section.name.startsWith('fcgi-program:');
    if (!isSocket && !section.name.startsWith('program:')) continue;
    const context = contextOf(section);
    const name = readName(context);
    if (name === undefined) continue;
    const membership = members.get(section);
    if (isSocket) reviewSocket(context, name, membership !== undefined);
    if (services.has(name))
      say(
        context.report,
        'error',
        'config/duplicate-name',
        section.at,
        `there is another program named "${name}"`,
        'Give one of them another name.',
      );
    else services.set(name, readProgram(context, name, membership));
  }
  return Object.fromEntries(services);
}

/** What a supervisord file and its includes amount to. Reports all problems at once; never throws. */
export const readSupervisord: Reader = (source, around) => {
  const report: Report = { problems: [], origins: new Map() };
  const document = readDocument(source, around, report);
  const contextWith =
    (env: Variables) =>
    (section: Section): Context => ({ document, section, around, report, env });
  const main = document.sections.get('supervisord');
  const daemon: Daemon = main === undefined ? { config: {}, variables: new Map() } : readDaemon(contextWith(new Map())(main));
  const services = readServices(document, contextWith(daemon.variables));
  const supervisorctl = readServers([...document.sections.values()], contextWith(new Map()));
  reviewSections(document, report);
  checkLines(document, report);
  const config: FileSource = {
    ...daemon.config,
    ...(Object.keys(services).length === 0 ? {} : { services }),
    ...(supervisorctl && { supervisorctl }),
  };
  return { config, origins: report.origins, problems: report.problems, sources: document.sources, folder: hereOf(source.file) };
};

/** Whether `text` is a supervisord file: a section header only supervisord has, at the start of a line. */
export function looksLikeSupervisord(text: string): boolean {
  for (const [, name] of text.matchAll(/^[ \t\uFEFF]*\[([^\]\r\n]+)\]/gm)) {
    if (name === 'include' ? /^[ \t]*files[ \t]*[=:]/m.test(text) : isKnownHeader(name as string)) return true;
  }
  return false;
}
