/** [unix_http_server] and [inet_http_server]: where supervisorctl is answered. */
import { pointerStep } from '../problem.ts';
import type { SupervisorctlSource } from '../sections/supervisorctl.ts';
import type { Section } from './document.ts';
import { toTemplate } from './filled.ts';
import { parseInteger, strip } from './python-text.ts';
import { type Context, markOrigin, noteRelative, readText, readValue } from './reading.ts';
import { say } from './report.ts';
import type { Parse } from './values.ts';

type UnixSource = NonNullable<SupervisorctlSource['unix']>;
type TcpSource = NonNullable<SupervisorctlSource['tcp']>;

const pointers = { unix: '/supervisorctl/unix', tcp: '/supervisorctl/tcp' } as const;

const parseMode: Parse<number | undefined> = (text) => {
  const value = parseInteger(text, 8);
  const hint = 'Write octal digits such as 0700.';
  if (value === undefined) return { code: 'config/not-octal', message: `"${text}" is not an octal number`, hint };
  return value < 0 || value > 0o777 ? { code: 'config/out-of-range', message: `the mode "${text}" is out of range`, hint } : { value };
};

/** The text of an option as a template, with its place remembered; undefined when it is not set, or wrong. */
function readTemplate(context: Context, key: string, pointer: string, field: string): string | undefined {
  markOrigin(context, pointer + pointerStep(field), key);
  const found = readText(context, key, 'file');
  return found === undefined ? undefined : strip(toTemplate(found.value));
}

function readCredentials(context: Context, pointer: string): Pick<UnixSource, 'username' | 'password'> {
  const [username, password] = (['username', 'password'] as const).map((key) => readTemplate(context, key, pointer, key));
  return { ...(username !== undefined && { username }), ...(password !== undefined && { password }) };
}

function sayMissing({ section, report }: Context, key: string, hint: string): void {
  say(report, 'error', 'config/missing-option', section.at, `[${section.name}] has no ${key}`, hint);
}

function readUnix(context: Context): UnixSource | undefined {
  const { origins } = context.report;
  origins.set(pointers.unix, context.section.at);
  const path = readTemplate(context, 'file', pointers.unix, 'path');
  if (path === undefined) {
    sayMissing(context, 'file', 'Write file = /run/supervisor.sock, or remove the section.');
    return undefined;
  }
  if (!path.startsWith('/') && !path.startsWith('{{')) noteRelative(context, 'file', path);
  markOrigin(context, `${pointers.unix}/mode`, 'chmod');
  const mode = readValue(context, 'chmod', parseMode, undefined, 'file');
  const owner = readTemplate(context, 'chown', pointers.unix, 'owner');
  return {
    path,
    ...(mode !== undefined && { mode: mode.toString(8).padStart(4, '0') }),
    ...(owner && { owner }),
    ...readCredentials(context, pointers.unix),
  };
}

function readTcp(context: Context): TcpSource | undefined {
  context.report.origins.set(pointers.tcp, context.section.at);
  const address = readTemplate(context, 'port', pointers.tcp, 'address');
  if (address === undefined) {
    sayMissing(context, 'port', 'Write port = 127.0.0.1:9001, or remove the section.');
    return undefined;
  }
  return { address: address.replace(/^:/, '*:'), ...readCredentials(context, pointers.tcp) };
}

const kindOf = ({ name }: Section): string => name.split(':', 1)[0] as string;

/** The first section of each kind; another one is named. */
export function readServers(sections: readonly Section[], contextOf: (section: Section) => Context): SupervisorctlSource | undefined {
  const firstOf = (kind: string): Context | undefined => {
    const [first, ...more] = sections.filter((section) => kindOf(section) === kind).map(contextOf);
    for (const { section, report } of more)
      say(
        report,
        'note',
        'config/not-taken-over',
        section.at,
        `[${section.name}]: one section of this kind is read`,
        'Keep the one that is used.',
      );
    return first;
  };
  const [unixSection, tcpSection] = [firstOf('unix_http_server'), firstOf('inet_http_server')];
  const unix = unixSection && readUnix(unixSection);
  const tcp = tcpSection && readTcp(tcpSection);
  return unix === undefined && tcp === undefined ? undefined : { ...(unix && { unix }), ...(tcp && { tcp }) };
}
