/** The listening socket of a [fcgi-program:x]: checked as supervisord does, and named as not taken over. */
import { optionOf } from './document.ts';
import { valuePlace } from './ini.ts';
import { socketOptions } from './options.ts';
import { type Context, readText, readValue } from './reading.ts';
import { placeOfLetters, say } from './report.ts';
import { type Parse, parseMask, someText, wholeNumber } from './values.ts';

const hint = 'Write unix:///PATH or tcp://HOST:PORT.';

const parseSocket: Parse<'unix' | 'tcp' | undefined> = (text) => {
  if (text.startsWith('unix:///')) return { value: 'unix' };
  const port = /^tcp:\/\/[^\s:]+:(\d+)$/.exec(text)?.[1];
  if (port !== undefined && Number(port) >= 1 && Number(port) <= 65535) return { value: 'tcp' };
  return { code: 'config/bad-socket', message: `"${text}" is not a socket`, hint };
};

function checkRest(context: Context, kind: 'unix' | 'tcp' | undefined): void {
  readValue(context, 'socket_owner', someText('the owner', 'Write USER or USER:GROUP.'), undefined, 'file');
  readValue(context, 'socket_mode', parseMask, 0, 'file');
  readValue(context, 'socket_backlog', wholeNumber('Write a number from 1 to 65535.', 1, 65_535), 1, 'file');
  if (kind !== 'tcp') return;
  for (const key of ['socket_owner', 'socket_mode']) {
    const option = optionOf(context.document, context.section, key);
    if (option === undefined) continue;
    const message = `[${context.section.name}] ${key}: is only for a unix socket`;
    say(context.report, 'error', 'config/conflicting-options', valuePlace(option), message, 'Remove this line.');
  }
}

/**
 * Reports what is wrong with the socket options, and that they are not taken over. supervisord forgets the socket of a
 * program in a group, so there it may be anything or missing.
 */
export function reviewSocket(context: Context, name: string, isGrouped: boolean): void {
  const { document, section, report } = context;
  const option = optionOf(document, section, 'socket');
  const named: Context = { ...context, program: { program: name, group: name, numprocs: 1, firstNumber: 0 } };
  if (!isGrouped) {
    const found = readText(named, 'socket', 'socket');
    if (option === undefined || found?.value.text === '') {
      const at = option === undefined ? section.at : valuePlace(option);
      say(
        report,
        'error',
        'config/missing-option',
        at,
        `[${section.name}] has no socket`,
        `${hint} A program without one is a [program:${name}].`,
      );
      return;
    }
    const parsed = found === undefined ? undefined : parseSocket(found.value.text);
    if (found !== undefined && parsed !== undefined && !('value' in parsed)) {
      say(
        report,
        'error',
        parsed.code,
        placeOfLetters(found.option, found.value, 0, found.value.text.length),
        `[${section.name}] socket: ${parsed.message}`,
        hint,
      );
    }
    checkRest(context, parsed !== undefined && 'value' in parsed ? parsed.value : undefined);
  }
  const set = socketOptions.filter((key) => optionOf(document, section, key) !== undefined);
  if (set.length === 0) return;
  const message = `[${section.name}] ${set.join(', ')}: Steward does not hand an open socket to a program`;
  const advice = 'Have the program listen on that address itself, such as by an option of its command.';
  say(report, 'note', 'config/not-taken-over', option === undefined ? section.at : valuePlace(option), message, advice);
}
