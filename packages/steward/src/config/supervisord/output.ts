/** Where the output of a program goes: `stdout_logfile` and its neighbours, and those Steward does not take over. */
import type { ServiceSource } from '../sections/service.ts';
import { formatSize } from '../units.ts';
import type { SupervisordCode } from './codes.ts';
import { optionOf } from './document.ts';
import { filled, slice, toTemplate } from './filled.ts';
import { valuePlace } from './ini.ts';
import type { SimpleValues } from './options.ts';
import { type Context, markOrigin, noteRelative, readText, type TextOption } from './reading.ts';
import { say } from './report.ts';

type Channel = 'stdout' | 'stderr';

/** `auto`: Steward chooses the file, as supervisord does for AUTO. */
type LogFile =
  | { readonly kind: 'auto' }
  | { readonly kind: 'syslog' }
  | { readonly kind: 'none' }
  | { readonly kind: 'path'; readonly path: string };

function sayAt(
  context: Context,
  severity: 'note' | 'warning' | 'error',
  code: SupervisordCode,
  key: string,
  message: string,
  hint: string,
): void {
  const option = optionOf(context.document, context.section, key);
  const at = option === undefined ? context.section.at : valuePlace(option);
  say(context.report, severity, code, at, `[${context.section.name}] ${key}: ${message}`, hint);
}

/** A path that starts with `~`: the home directory of Steward's own user, as far as a file can know it. */
function readHomePath(context: Context, key: string, { value }: TextOption): LogFile {
  const end = value.text.indexOf('/');
  const who = end === -1 ? value.text : value.text.slice(0, end);
  const home = context.around.env.HOME;
  if (who !== '~' || home === undefined) {
    sayAt(context, 'error', 'config/tilde', key, `the home directory "${who}" is not known`, 'Write the whole path.');
    return { kind: 'auto' };
  }
  const rest = slice(value, 1, value.text.length);
  return { kind: 'path', path: toTemplate(filled([{ text: home, template: '{{env.HOME}}', from: 0, length: 1 }, ...rest.pieces])) };
}

function readLogFile(context: Context, channel: Channel): LogFile {
  const key = `${channel}_logfile`;
  // supervisord fills in the names of log files twice, so a percent sign needs four.
  const found = readText(context, key, 'process', 'process');
  const text = found?.value.text ?? 'AUTO';
  const word = text.toLowerCase();
  if (found === undefined || word === 'auto') return { kind: 'auto' };
  if (word === 'none' || word === 'off' || word === '') return { kind: 'none' };
  if (word === 'syslog') return { kind: 'syslog' };
  if (text.startsWith('~')) return readHomePath(context, key, found);
  if (!text.startsWith('/')) noteRelative(context, key, text);
  return { kind: 'path', path: toTemplate(found.value) };
}

/** Names what was switched on for a channel and has no counterpart. */
function noteRest(context: Context, channel: Channel, values: SimpleValues): void {
  const note = (key: string, message: string, hint: string): void => sayAt(context, 'note', 'config/not-taken-over', key, message, hint);
  if (values[`${channel}_events_enabled`])
    note(`${channel}_events_enabled`, 'Steward has no event listeners', 'Read the lines with `steward logs` instead.');
  if (values[`${channel}_capture_maxbytes`] > 0) {
    note(
      `${channel}_capture_maxbytes`,
      'Steward has no capture mode',
      'What the program writes between the capture marks stays in its log.',
    );
  }
}

/** syslog(3), as supervisord writes; the lines are kept in a log of Steward's own too, from which they are sent. */
const toSyslog = { to: 'unix:/dev/log', facility: 'user' } as const;

function readOutput(context: Context, channel: Channel, values: SimpleValues): NonNullable<ServiceSource['stdout']> {
  const log = readLogFile(context, channel);
  const maxBytes = values[`${channel}_logfile_maxbytes`];
  if (log.kind === 'auto' && maxBytes === 0) {
    const message = 'the log is never rotated and may fill the disk';
    sayAt(context, 'warning', 'config/endless-log', `${channel}_logfile_maxbytes`, message, 'Write a size such as 50MB.');
  }
  const isSent = values[`${channel}_syslog`] || log.kind === 'syslog';
  if (log.kind === 'none' && !isSent) return { file: 'none' };
  const limits = { maxSize: formatSize(maxBytes), keep: values[`${channel}_logfile_backups`] };
  // Other programs read the rotated files by the names supervisord gives them.
  const kept = { ...limits, compress: 'none' as const, ...(isSent && { syslog: toSyslog }) };
  return log.kind === 'path' ? { file: log.path, ...kept } : kept;
}

/** `stdout` and `stderr` of the service. */
export function readOutputs(context: Context, values: SimpleValues, pointer: string): Pick<ServiceSource, 'stdout' | 'stderr'> {
  noteRest(context, 'stdout', values);
  markOrigin(context, `${pointer}/stdout/file`, 'stdout_logfile');
  const stdout = readOutput(context, 'stdout', values);
  if (values.serverurl !== undefined && values.serverurl.trim().toUpperCase() !== 'AUTO' && values.serverurl !== '') {
    sayAt(
      context,
      'note',
      'config/not-taken-over',
      'serverurl',
      'Steward does not set SUPERVISOR_SERVER_URL',
      'Set it in environment= when the program needs it.',
    );
  }
  if (!values.redirect_stderr) {
    noteRest(context, 'stderr', values);
    markOrigin(context, `${pointer}/stderr/file`, 'stderr_logfile');
    return { stdout, stderr: readOutput(context, 'stderr', values) };
  }
  const ignored = readText(context, 'stderr_logfile', 'process', 'process');
  if (ignored !== undefined && !['auto', 'none', 'off', 'syslog', ''].includes(ignored.value.text.toLowerCase())) {
    sayAt(
      context,
      'warning',
      'config/conflicting-options',
      'stderr_logfile',
      'is ignored while redirect_stderr is true',
      'Remove this line, or set redirect_stderr = false.',
    );
  }
  return { stdout, stderr: 'stdout' };
}
