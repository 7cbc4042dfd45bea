/** Access logs (https://httpd.apache.org/docs/2.4/mod/mod_log_config.html). */
import type { Word } from '../lex.ts';
import { type Call, type Entry, many } from '../scene.ts';
import { hasDollar } from '../values.ts';
import { filePath } from './host.ts';

const ownLog = 'Steward writes one line for each request to its own log: `steward logs gateway`.';

/** Formats that Debian's apache2.conf names: a file of sites-enabled uses them without saying what they are. */
export const knownFormats: Readonly<Record<string, string>> = {
  common: '%h %l %u %t "%r" %>s %O',
  combined: '%h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
  vhost_combined: '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i"',
  referer: '%{Referer}i -> %U',
  agent: '%{User-agent}i',
};

function readFormat(call: Call): void {
  const [format, name] = call.args as [Word, Word?];
  call.scene.logFormats.set(name?.text ?? '', format.text);
}

/** A format by its name or as it stands. */
function formatOf(call: Call, word: Word | undefined): string {
  const { logFormats } = call.scene;
  if (word === undefined) return logFormats.get('') ?? '%h %l %u %t "%r" %>s %b';
  return logFormats.get(word.text) ?? (Object.hasOwn(knownFormats, word.text) ? knownFormats[word.text] : undefined) ?? word.text;
}

/** `CustomLog file|pipe format|nickname [env=...|expr=...]`. */
function readLog(call: Call): void {
  const [file, format, condition] = call.args as [Word, Word?, Word?];
  const { scene, directive } = call;
  if (condition !== undefined)
    scene.warning(
      'config/apache-not-taken-over',
      `${directive.name}: ${condition.text} is not taken over, all requests are logged`,
      condition.at,
      'Write when: with a variable in steward.yaml.',
    );
  if (file.text.startsWith('|') || call.missing.length > 0 || hasDollar(file.text) || /^syslog/i.test(file.text)) {
    scene.instead('logs', directive.at, ownLog, directive.name);
    return;
  }
  const text = formatOf(call, format);
  if (hasDollar(text))
    scene.warning(
      'config/apache-not-taken-over',
      `${directive.name}: the $ in its format would be read as a variable`,
      directive.at,
      'Leave the $ out.',
    );
  else call.server.own.logs.push({ file: filePath(call, file), format: text, at: file.at });
}

const note = (hint: string) => (call: Call) => call.scene.instead('logs', call.directive.at, hint, call.directive.name);

export const logEntries: readonly Entry[] = [
  { name: 'CustomLog', in: 'server', args: [1, 3], undefinedNames: 'note', read: readLog },
  { name: 'TransferLog', in: 'server', args: [1, 1], undefinedNames: 'note', read: readLog },
  { name: 'LogFormat', in: 'server', args: [1, 2], undefinedNames: 'note', read: readFormat },
  ...['ErrorLog', 'LogLevel', 'ErrorLogFormat', 'GlobalLog', 'ForensicLog'].map(
    (name): Entry => ({ name, args: [0, many], undefinedNames: 'note', read: note(ownLog) }),
  ),
];
